//! Records and their trail. A change is one transaction of the one writer, so its number and its link to the entry
//! before it can't be taken by another.

use async_trait::async_trait;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use serde_json::Value;

use super::{SqliteStore, failed};
use crate::store::admin::GENESIS_HASH;
use crate::store::{
    AdminStore, Change, Changed, FacetCount, Facets, Record, RecordKind, RecordsQuery, StoreError,
    TrailEntry, TrailQuery,
};

const RECORD: &str = "kind, id, version, revision, doc, tier, status, parent, updated_ms";
const ENTRY: &str = "seq, at_ms, actor, action, kind, id, version, before_doc, after_doc, reason,
    COALESCE(idempotency_key, ''), request_hash, prev_hash, hash";

fn change(
    connection: &mut Connection,
    kind: RecordKind,
    id: &str,
    change: &Change,
) -> rusqlite::Result<Changed> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Some(known) = under_key(&transaction, change)? {
        let same = known.request_hash == change.request_hash;
        return Ok(if same { Changed::Repeated(known) } else { Changed::KeyReused });
    }
    let found = transaction
        .prepare_cached("SELECT version FROM admin_records WHERE kind = ?1 AND id = ?2")?
        .query_row([kind.as_str(), id], |row| row.get(0))
        .optional()?
        .unwrap_or(0);
    if found != change.expected {
        return Ok(Changed::Stale { found });
    }
    let (last, prev_hash): (u64, String) = transaction
        .prepare_cached("SELECT seq, hash FROM admin_audit ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .unwrap_or_else(|| (0, GENESIS_HASH.to_owned()));
    let entry = TrailEntry::of(kind, id, change, last + 1, &prev_hash);
    write_record(&transaction, &entry, change)?;
    write_entry(&transaction, &entry)?;
    transaction.commit()?;
    Ok(Changed::Applied(entry))
}

fn under_key(transaction: &Transaction<'_>, change: &Change) -> rusqlite::Result<Option<TrailEntry>> {
    if change.idempotency_key.is_empty() {
        return Ok(None);
    }
    let text = format!("SELECT {ENTRY} FROM admin_audit WHERE actor = ?1 AND idempotency_key = ?2");
    transaction
        .prepare_cached(&text)?
        .query_row([&change.actor, &change.idempotency_key], entry_of)
        .optional()
}

fn write_record(transaction: &Transaction<'_>, entry: &TrailEntry, change: &Change) -> rusqlite::Result<()> {
    let Facets { tier, status, parent } = &change.facets;
    let doc = change.doc.as_ref().map(Value::to_string);
    let text = format!(
        "INSERT INTO admin_records ({RECORD}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (kind, id) DO UPDATE SET version = excluded.version, revision = excluded.revision,
           doc = excluded.doc, tier = excluded.tier, status = excluded.status, parent = excluded.parent,
           updated_ms = excluded.updated_ms"
    );
    let row = params![
        entry.kind.as_str(),
        entry.id,
        entry.version,
        entry.seq,
        doc,
        tier,
        status,
        parent,
        entry.at_ms
    ];
    transaction.prepare_cached(&text)?.execute(row).map(|_| ())
}

fn write_entry(transaction: &Transaction<'_>, entry: &TrailEntry) -> rusqlite::Result<()> {
    let key = Some(&entry.idempotency_key).filter(|key| !key.is_empty());
    let row = params![
        entry.seq,
        entry.at_ms,
        entry.actor,
        entry.action,
        entry.kind.as_str(),
        entry.id,
        entry.version,
        entry.before.to_string(),
        entry.after.to_string(),
        entry.reason,
        key,
        entry.request_hash,
        entry.prev_hash,
        entry.hash
    ];
    transaction
        .prepare_cached(
            "INSERT INTO admin_audit (seq, at_ms, actor, action, kind, id, version, before_doc, after_doc, reason,
               idempotency_key, request_hash, prev_hash, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(row)
        .map(|_| ())
}

fn record(transaction: &Transaction<'_>, kind: RecordKind, id: &str) -> rusqlite::Result<Option<Record>> {
    let text = format!("SELECT {RECORD} FROM admin_records WHERE kind = ?1 AND id = ?2");
    transaction.prepare_cached(&text)?.query_row([kind.as_str(), id], record_of).optional()
}

fn records(transaction: &Transaction<'_>, query: &RecordsQuery) -> rusqlite::Result<Vec<Record>> {
    let text = format!(
        "SELECT {RECORD} FROM admin_records WHERE kind = ?1 AND doc IS NOT NULL AND (?2 IS NULL OR tier = ?2)
           AND (?3 IS NULL OR status = ?3) AND (?4 IS NULL OR parent = ?4) AND (?5 IS NULL OR id > ?5)
         ORDER BY id LIMIT ?6"
    );
    let row = params![query.kind.as_str(), query.tier, query.status, query.parent, query.after, query.limit];
    transaction.prepare_cached(&text)?.query_map(row, record_of)?.collect()
}

fn changed_since(
    transaction: &Transaction<'_>,
    kinds: &[RecordKind],
    revision: u64,
    limit: usize,
) -> rusqlite::Result<Vec<Record>> {
    let names: Vec<String> = kinds.iter().map(|kind| format!("'{}'", kind.as_str())).collect();
    let text = format!(
        "SELECT {RECORD} FROM admin_records WHERE revision > ?1 AND kind IN ({}) ORDER BY revision LIMIT ?2",
        names.join(", ")
    );
    transaction.prepare_cached(&text)?.query_map(params![revision, limit], record_of)?.collect()
}

fn count(transaction: &Transaction<'_>, kind: RecordKind) -> rusqlite::Result<Vec<FacetCount>> {
    let text = "SELECT tier, status, COUNT(*) FROM admin_records WHERE kind = ?1 AND doc IS NOT NULL
         GROUP BY tier, status ORDER BY tier, status";
    let count =
        |row: &Row<'_>| Ok(FacetCount { tier: row.get(0)?, status: row.get(1)?, records: row.get(2)? });
    transaction.prepare_cached(text)?.query_map([kind.as_str()], count)?.collect()
}

/// A part of the trail.
pub(super) fn trail(transaction: &Transaction<'_>, query: &TrailQuery) -> rusqlite::Result<Vec<TrailEntry>> {
    let text = format!(
        "SELECT {ENTRY} FROM admin_audit WHERE seq > ?1 AND (?2 IS NULL OR kind = ?2) AND (?3 IS NULL OR id = ?3)
           AND (?4 IS NULL OR actor = ?4) AND (?5 IS NULL OR action = ?5) AND (?6 IS NULL OR at_ms >= ?6)
           AND (?7 IS NULL OR at_ms < ?7) AND (?8 IS NULL OR idempotency_key = ?8) ORDER BY seq LIMIT ?9"
    );
    let row = params![
        query.after,
        query.kind.map(RecordKind::as_str),
        query.id,
        query.actor,
        query.action,
        query.from_ms,
        query.before_ms,
        query.idempotency_key,
        query.limit
    ];
    transaction.prepare_cached(&text)?.query_map(row, entry_of)?.collect()
}

fn record_of(row: &Row<'_>) -> rusqlite::Result<Record> {
    let doc: Option<String> = row.get(4)?;
    Ok(Record {
        kind: kind_of(row, 0)?,
        id: row.get(1)?,
        version: row.get(2)?,
        revision: row.get(3)?,
        doc: doc.map(|doc| json_of(4, &doc)).transpose()?,
        facets: Facets { tier: row.get(5)?, status: row.get(6)?, parent: row.get(7)? },
        updated_ms: row.get(8)?,
    })
}

fn entry_of(row: &Row<'_>) -> rusqlite::Result<TrailEntry> {
    let (before, after): (String, String) = (row.get(7)?, row.get(8)?);
    Ok(TrailEntry {
        seq: row.get(0)?,
        at_ms: row.get(1)?,
        actor: row.get(2)?,
        action: row.get(3)?,
        kind: kind_of(row, 4)?,
        id: row.get(5)?,
        version: row.get(6)?,
        before: json_of(7, &before)?,
        after: json_of(8, &after)?,
        reason: row.get(9)?,
        idempotency_key: row.get(10)?,
        request_hash: row.get(11)?,
        prev_hash: row.get(12)?,
        hash: row.get(13)?,
    })
}

fn kind_of(row: &Row<'_>, column: usize) -> rusqlite::Result<RecordKind> {
    let name: String = row.get(column)?;
    RecordKind::from_name(&name).ok_or_else(|| {
        let why = format!("{name} is no kind of record").into();
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why)
    })
}

fn json_of(column: usize, text: &str) -> rusqlite::Result<Value> {
    serde_json::from_str(text)
        .map_err(|why| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(why)))
}

#[async_trait]
impl AdminStore for SqliteStore {
    async fn record(&self, kind: RecordKind, id: &str) -> Result<Option<Record>, StoreError> {
        let id = id.to_owned();
        self.readers.read(move |connection| record(connection, kind, &id)).await
    }

    async fn records(&self, query: RecordsQuery) -> Result<Vec<Record>, StoreError> {
        self.readers.read(move |connection| records(connection, &query)).await
    }

    async fn changed_since(
        &self,
        kinds: &[RecordKind],
        revision: u64,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let kinds = kinds.to_vec();
        self.readers.read(move |connection| changed_since(connection, &kinds, revision, limit)).await
    }

    async fn count(&self, kind: RecordKind) -> Result<Vec<FacetCount>, StoreError> {
        self.readers.read(move |connection| count(connection, kind)).await
    }

    async fn change(&self, kind: RecordKind, id: &str, asked: Change) -> Result<Changed, StoreError> {
        let id = id.to_owned();
        let work = move |connection: &mut Connection| change(connection, kind, &id, &asked);
        self.writer.run(move |connection| work(connection).map_err(failed("changing a record"))).await
    }

    async fn trail(&self, query: TrailQuery) -> Result<Vec<TrailEntry>, StoreError> {
        self.readers.read(move |connection| trail(connection, &query)).await
    }
}
