//! Steps of shares in a transaction, all of them with two statements, however many there are.
//!
//! Noting the rates also locks their rows and reads them, in the order of their ids.

use std::collections::BTreeMap;

use tollgate_core::share::ledger::Book;
use tollgate_wire::{ShareAsk, ShareGrant};

use super::rows::Rows;
use super::{Sql, strange};
use crate::store::StoreError;
use crate::store::shares::{self, rate_id};

const DOING: &str = "dividing rates";

/// See [`crate::store::ShareStore::shares`].
pub(in crate::store) async fn steps(
    sql: &mut dyn Sql,
    asks: &[ShareAsk],
    now_ms: u64,
) -> Result<Vec<ShareGrant>, StoreError> {
    if asks.is_empty() {
        return Ok(Vec::new());
    }
    let mut books = lock(sql, asks).await?;
    let (grants, rests) = shares::steps(&mut books, asks, now_ms);
    write(sql, &books, &rests).await?;
    Ok(grants)
}

/// Makes the rows that are missing, locks all and reads them. A new rate has no book yet.
async fn lock(sql: &mut dyn Sql, asks: &[ShareAsk]) -> Result<BTreeMap<String, Book>, StoreError> {
    let names: BTreeMap<String, _> = asks.iter().map(|ask| (rate_id(&ask.rate), &ask.rate)).collect();
    let mut rows = Rows::default();
    for (id, name) in names {
        rows.add(&[id.into(), serde_json::to_string(name).map_err(|_| strange(1))?.into()]);
    }
    let text = format!(
        "INSERT INTO rates AS r (rate_id, name_doc, book, rests_ms, version) VALUES {}
         ON CONFLICT (rate_id) DO UPDATE SET version = r.version + 1 RETURNING rate_id, book",
        rows.values_and(", '', 0, 1")
    );
    let mut books = BTreeMap::new();
    for row in sql.query(DOING, &text, &rows.cells).await? {
        let (id, book) = (row.text(0)?, row.text(1)?);
        if !book.is_empty() {
            books.insert(id, serde_json::from_str(&book).map_err(|_| strange(1))?);
        }
    }
    Ok(books)
}

async fn write(
    sql: &mut dyn Sql,
    books: &BTreeMap<String, Book>,
    rests: &BTreeMap<String, u64>,
) -> Result<(), StoreError> {
    let mut rows = Rows::default();
    for (id, book) in books {
        let rests_ms = rests.get(id).copied().unwrap_or(0);
        let text = serde_json::to_string(book).map_err(|_| strange(1))?;
        rows.add(&[id.as_str().into(), text.into(), rests_ms.into()]);
    }
    // The row is there: only the update happens.
    let text = format!(
        "INSERT INTO rates (rate_id, book, rests_ms, name_doc, version) VALUES {}
         ON CONFLICT (rate_id) DO UPDATE SET book = excluded.book, rests_ms = excluded.rests_ms",
        rows.values_and(", '', 1")
    );
    sql.execute(DOING, &text, &rows.cells).await.map(|_| ())
}

/// Forgets the rates that are as good as new.
pub(in crate::store) async fn forget(sql: &mut dyn Sql, now_ms: u64) -> Result<(), StoreError> {
    let text = "DELETE FROM rates WHERE rests_ms < ?1";
    sql.execute("forgetting rates", text, &[now_ms.into()]).await.map(|_| ())
}
