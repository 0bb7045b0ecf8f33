//! The months of the audit trail: a table each, made ahead or when first needed, dropped as a whole.

use std::collections::BTreeSet;

use super::schema::{self, Dialect};
use super::{Sql, leases, shares};
use crate::calendar::Month;
use crate::store::{BATCH_MEMORY_MS, StoreError};

/// Name of a month's table. Nothing but digits of a [`Month`] ever gets into it.
pub(in crate::store) fn table(month: Month) -> String {
    format!("entries_{}", month.yyyymm())
}

/// Which months are there: what an engine remembers, so that it need not ask for every batch.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Months {
    present: BTreeSet<Month>,
    retired_to: Option<Month>,
}

impl Months {
    /// Reads what is there.
    pub(in crate::store) async fn load(sql: &mut dyn Sql) -> Result<Self, StoreError> {
        Ok(Self { present: present(sql).await?.into_iter().collect(), retired_to: retired_to(sql).await? })
    }

    /// True for a month whose table is there.
    pub(in crate::store) fn has(&self, month: Month) -> bool {
        self.present.contains(&month)
    }

    /// True for a month that retention has dropped, or would have.
    pub(in crate::store) fn is_retired(&self, month: Month) -> bool {
        self.retired_to.is_some_and(|retired| month <= retired)
    }

    /// Makes a month's table if it is missing; refuses a month that retention has dropped, which would otherwise
    /// enter its tallies a second time.
    pub(in crate::store) async fn ensure(
        &mut self,
        sql: &mut dyn Sql,
        engine: &Dialect,
        month: Month,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        if self.has(month) {
            return Ok(());
        }
        if self.is_retired(month) {
            return Err(StoreError::Retired { month });
        }
        schema::run(sql, engine, &schema::ENTRIES.replace(schema::MONTH, &table(month))).await?;
        let note = "INSERT INTO months (yyyymm, created_ms) VALUES (?1, ?2)";
        sql.execute("making a month", note, &[month.yyyymm().into(), now_ms.into()]).await?;
        self.present.insert(month);
        Ok(())
    }

    /// Retention: drops the months before `oldest_kept`, forgets old batch numbers, makes the months around `now_ms` and
    /// closes windows of quotas. Returns the months dropped.
    pub(in crate::store) async fn retain(
        &mut self,
        sql: &mut dyn Sql,
        engine: &Dialect,
        oldest_kept: Month,
        now_ms: u64,
    ) -> Result<Vec<Month>, StoreError> {
        let doing = "dropping months";
        let old: Vec<Month> = self.present.range(..oldest_kept).copied().collect();
        for month in &old {
            sql.execute(doing, &format!("DROP TABLE {}", table(*month)), &[]).await?;
            let note = "UPDATE months SET dropped_ms = ?2 WHERE yyyymm = ?1";
            sql.execute(doing, note, &[month.yyyymm().into(), now_ms.into()]).await?;
            self.present.remove(month);
        }
        // Remembered even when there was no such table: everything up to here is refused from now on.
        let boundary = oldest_kept.back(1);
        let note =
            "INSERT INTO months (yyyymm, created_ms, dropped_ms) VALUES (?1, ?2, ?2) ON CONFLICT DO NOTHING";
        sql.execute(doing, note, &[boundary.yyyymm().into(), now_ms.into()]).await?;
        self.retired_to = self.retired_to.max(Some(boundary));
        let forgotten_ms = now_ms.saturating_sub(BATCH_MEMORY_MS);
        let forget = "DELETE FROM batches WHERE received_ms < ?1";
        sql.execute("forgetting batch numbers", forget, &[forgotten_ms.into()]).await?;
        let current = Month::of(now_ms);
        // A clock that was set back may point into a month that is gone; that is no reason not to retire others.
        for month in [current, current.next()] {
            if !self.is_retired(month) {
                self.ensure(sql, engine, month, now_ms).await?;
            }
        }
        leases::close_windows(sql, now_ms).await?;
        shares::forget(sql, now_ms).await?;
        Ok(old)
    }
}

/// The last month that retention has dropped; all before it are gone too.
pub(in crate::store) async fn retired_to(sql: &mut dyn Sql) -> Result<Option<Month>, StoreError> {
    let text = "SELECT MAX(yyyymm) FROM months WHERE dropped_ms IS NOT NULL";
    let rows = sql.query("reading the months", text, &[]).await?;
    let yyyymm = rows.first().map(|row| row.int_or_null(0)).transpose()?.flatten();
    Ok(yyyymm.and_then(|yyyymm| u32::try_from(yyyymm).ok()).and_then(Month::from_yyyymm))
}

/// The months whose tables are there, oldest first.
pub(in crate::store) async fn present(sql: &mut dyn Sql) -> Result<Vec<Month>, StoreError> {
    let text = "SELECT yyyymm FROM months WHERE dropped_ms IS NULL ORDER BY yyyymm";
    let rows = sql.query("reading the months", text, &[]).await?;
    let months = rows.iter().map(|row| row.small(0)).collect::<Result<Vec<u32>, _>>()?;
    Ok(months.into_iter().filter_map(Month::from_yyyymm).collect())
}

/// The present months that share a moment with `from_ms <= t < before_ms`.
pub(in crate::store) async fn between(
    sql: &mut dyn Sql,
    from_ms: Option<u64>,
    before_ms: Option<u64>,
) -> Result<Vec<Month>, StoreError> {
    let touches = |month: &Month| {
        from_ms.is_none_or(|from| month.next().start_ms() > from)
            && before_ms.is_none_or(|before| month.start_ms() < before)
    };
    Ok(present(sql).await?.into_iter().filter(touches).collect())
}
