//! The months of the audit trail: a table each, made when first needed, dropped as a whole.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use super::failed;
use crate::calendar::Month;
use crate::store::{BATCH_MEMORY_MS, StoreError};

const TEMPLATE: &str = include_str!("schema/entries.sql");

/// Name of a month's table. Nothing but digits of a [`Month`] ever gets into it.
pub(super) fn table(month: Month) -> String {
    format!("entries_{}", month.yyyymm())
}

/// What the writer knows of the months, so that it need not ask for every batch.
#[derive(Debug, Default)]
pub(super) struct Months {
    present: BTreeSet<Month>,
    retired_to: Option<Month>,
}

impl Months {
    /// Reads what is there.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let retired_to = retired_to(connection)?;
        Ok(Self { present: present(connection)?.into_iter().collect(), retired_to })
    }

    /// True for a month that retention has dropped, or would have.
    pub(super) fn is_retired(&self, month: Month) -> bool {
        self.retired_to.is_some_and(|retired| month <= retired)
    }

    /// Makes a month's table if it is missing; refuses a month that retention has dropped, which would otherwise
    /// enter its tallies a second time.
    pub(super) fn ensure(
        &mut self,
        connection: &Connection,
        month: Month,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        if self.present.contains(&month) {
            return Ok(());
        }
        if self.is_retired(month) {
            return Err(StoreError::Retired { month });
        }
        let text = TEMPLATE.replace("entries_YYYYMM", &table(month));
        connection.execute_batch(&text).map_err(failed("making a month"))?;
        connection
            .execute(
                "INSERT INTO months (yyyymm, created_ms) VALUES (?1, ?2)",
                params![month.yyyymm(), now_ms],
            )
            .map_err(failed("making a month"))?;
        self.present.insert(month);
        Ok(())
    }

    /// Drops the months before `oldest_kept` and forgets old batch numbers. Returns the months dropped.
    pub(super) fn retire(
        &mut self,
        connection: &Connection,
        oldest_kept: Month,
        now_ms: u64,
    ) -> rusqlite::Result<Vec<Month>> {
        let old: Vec<Month> = self.present.range(..oldest_kept).copied().collect();
        for month in &old {
            connection.execute_batch(&format!("DROP TABLE {}", table(*month)))?;
            connection.execute(
                "UPDATE months SET dropped_ms = ?2 WHERE yyyymm = ?1",
                params![month.yyyymm(), now_ms],
            )?;
            self.present.remove(month);
        }
        // Remembered even when there was no such table: everything up to here is refused from now on.
        let boundary = oldest_kept.back(1);
        connection.execute(
            "INSERT INTO months (yyyymm, created_ms, dropped_ms) VALUES (?1, ?2, ?2) ON CONFLICT DO NOTHING",
            params![boundary.yyyymm(), now_ms],
        )?;
        self.retired_to = self.retired_to.max(Some(boundary));
        connection.execute(
            "DELETE FROM batches WHERE received_ms < ?1",
            [now_ms.saturating_sub(BATCH_MEMORY_MS)],
        )?;
        Ok(old)
    }
}

/// The last month that retention has dropped; all before it are gone too.
pub(super) fn retired_to(connection: &Connection) -> rusqlite::Result<Option<Month>> {
    let text = "SELECT MAX(yyyymm) FROM months WHERE dropped_ms IS NOT NULL";
    let yyyymm: Option<u32> = connection.query_row(text, [], |row| row.get(0))?;
    Ok(yyyymm.and_then(Month::from_yyyymm))
}

/// The months whose tables are there, oldest first.
pub(super) fn present(connection: &Connection) -> rusqlite::Result<Vec<Month>> {
    let mut statement =
        connection.prepare_cached("SELECT yyyymm FROM months WHERE dropped_ms IS NULL ORDER BY yyyymm")?;
    let months = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<u32>>>()?;
    Ok(months.into_iter().filter_map(Month::from_yyyymm).collect())
}

/// The present months that share a moment with `from_ms <= t < before_ms`.
pub(super) fn between(
    connection: &Connection,
    from_ms: Option<u64>,
    before_ms: Option<u64>,
) -> rusqlite::Result<Vec<Month>> {
    let touches = |month: &Month| {
        from_ms.is_none_or(|from| month.next().start_ms() > from)
            && before_ms.is_none_or(|before| month.start_ms() < before)
    };
    Ok(present(connection)?.into_iter().filter(touches).collect())
}
