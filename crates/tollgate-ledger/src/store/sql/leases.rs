//! Steps of leases in a sync's transaction, all of them with five statements, however many there are.
//!
//! Noting the quotas also locks their rows and reads them: an upsert does all three in both databases, and takes the
//! locks in the order of its rows.

use std::collections::BTreeMap;

use tollgate_core::lease::ledger::{self, ACTIVE_MS, LeaseRow, Peers, QuotaRow};
use tollgate_wire::{Grant, LeaseAsk, LeaseGrant, QuotaName};

use super::rows::{Rows, names};
use super::{Cell, Conditions, Row, Sql, strange};
use crate::store::leases::{
    self, LATE_SETTLEMENT_MS, Lease, QUOTA_MEMORY_MS, Quota, QuotasQuery, consumer_of, quota_id,
};
use crate::store::{Batch, StoreError};

const DOING: &str = "granting leases";

const QUOTA: &str =
    "quota_id, limit_name, policy, meter, key_doc, consumer, start_ms, end_ms, limit_units, limit_most,
    settled, held, overrun, version";
const LEASE: &str =
    "quota_id, lease, process, node, granted, spent, returned, overrun, rate, seen_ms, expires_ms";

/// Quotas of one sync by their id, which is also the order of their locks.
struct Touched<'a> {
    names: BTreeMap<String, &'a QuotaName>,
    quotas: BTreeMap<String, QuotaRow>,
    most: BTreeMap<String, u64>,
    leases: BTreeMap<(String, String), LeaseRow>,
    peers: BTreeMap<String, Peers>,
}

/// Takes a step for each ask, in their order.
pub(in crate::store) async fn steps(
    sql: &mut dyn Sql,
    batch: &Batch,
    asks: &[LeaseAsk],
) -> Result<Vec<LeaseGrant>, StoreError> {
    if asks.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = asks.iter().map(|ask| quota_id(&ask.quota)).collect();
    let mut touched = Touched {
        names: ids.iter().cloned().zip(asks.iter().map(|ask| &ask.quota)).collect(),
        quotas: BTreeMap::new(),
        most: BTreeMap::new(),
        leases: BTreeMap::new(),
        peers: BTreeMap::new(),
    };
    touched.lock(sql).await?;
    touched.read_leases(sql, asks).await?;
    touched.read_peers(sql, asks, batch.received_ms).await?;
    let mut grants = Vec::with_capacity(asks.len());
    for (id, ask) in ids.iter().zip(asks) {
        let grant = touched.step(id, ask, batch.received_ms).ok_or_else(|| strange(0))?;
        grants.push(LeaseGrant { lease: ask.lease.clone(), grant });
    }
    touched.write_leases(sql, batch).await?;
    touched.write_quotas(sql).await?;
    Ok(grants)
}

impl Touched<'_> {
    fn step(&mut self, id: &str, ask: &LeaseAsk, now_ms: u64) -> Option<Grant> {
        let (quota, most) = (self.quotas.get_mut(id)?, self.most.get_mut(id)?);
        let lease = self.leases.entry((id.to_owned(), ask.lease.clone())).or_default();
        let peers = self.peers.get(id).copied().unwrap_or_default();
        Some(leases::step(quota, most, lease, ask, &peers, now_ms))
    }

    /// Makes the rows that are missing, locks all and reads them.
    async fn lock(&mut self, sql: &mut dyn Sql) -> Result<(), StoreError> {
        let mut rows = Rows::default();
        for (id, name) in &self.names {
            rows.add(&[
                id.as_str().into(),
                name.limit.as_str().into(),
                name.policy.as_str().into(),
                name.meter.as_str().into(),
                serde_json::to_string(&name.key).map_err(|_| strange(4))?.into(),
                consumer_of(name).into(),
                name.start_ms.into(),
                name.end_ms.into(),
            ]);
        }
        let text = format!(
            "INSERT INTO quotas AS q ({QUOTA}) VALUES {} ON CONFLICT (quota_id) DO UPDATE SET version = q.version + 1
             RETURNING quota_id, limit_units, settled, held, overrun, end_ms, limit_most",
            rows.values_and(", 0, 0, 0, 0, 0, 1")
        );
        for row in sql.query(DOING, &text, &rows.cells).await? {
            let id = row.text(0)?;
            self.most.insert(id.clone(), row.int(6)?);
            self.quotas.insert(id, quota_row(&row, 1)?);
        }
        Ok(())
    }

    async fn read_leases(&mut self, sql: &mut dyn Sql, asks: &[LeaseAsk]) -> Result<(), StoreError> {
        let mut conditions = Conditions::default();
        let quotas = names(&mut conditions, self.names.keys());
        let leases = names(&mut conditions, asks.iter().map(|ask| &ask.lease));
        let text = format!("SELECT {LEASE} FROM leases WHERE quota_id IN ({quotas}) AND lease IN ({leases})");
        for row in sql.query(DOING, &text, &conditions.values).await? {
            self.leases.insert((row.text(0)?, row.text(1)?), lease_row(&row)?);
        }
        Ok(())
    }

    /// The others that are active: of a lease that asks for itself twice here no peer is made.
    async fn read_peers(
        &mut self,
        sql: &mut dyn Sql,
        asks: &[LeaseAsk],
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let mut conditions = Conditions::default();
        let quotas = names(&mut conditions, self.names.keys());
        let leases = names(&mut conditions, asks.iter().map(|ask| &ask.lease));
        let since = conditions.value(now_ms.saturating_sub(ACTIVE_MS));
        let text = format!(
            "SELECT quota_id, COUNT(*), CAST(SUM(rate) AS BIGINT) FROM leases
             WHERE quota_id IN ({quotas}) AND lease NOT IN ({leases}) AND seen_ms >= {since} GROUP BY quota_id"
        );
        for row in sql.query(DOING, &text, &conditions.values).await? {
            self.peers.insert(row.text(0)?, Peers { active: row.small(1)?, rate: row.int(2)? });
        }
        Ok(())
    }

    async fn write_leases(&self, sql: &mut dyn Sql, batch: &Batch) -> Result<(), StoreError> {
        let mut rows = Rows::default();
        for ((quota, lease), row) in &self.leases {
            rows.add(&[
                quota.as_str().into(),
                lease.as_str().into(),
                batch.process.as_str().into(),
                batch.node.as_str().into(),
                row.granted.into(),
                row.spent.into(),
                row.returned.into(),
                row.overrun.into(),
                row.rate.into(),
                row.seen_ms.into(),
                row.expires_ms.into(),
            ]);
        }
        let text = format!(
            "INSERT INTO leases ({LEASE}) VALUES {} ON CONFLICT (quota_id, lease) DO UPDATE SET
               granted = excluded.granted, spent = excluded.spent, returned = excluded.returned,
               overrun = excluded.overrun, rate = excluded.rate, seen_ms = excluded.seen_ms,
               expires_ms = excluded.expires_ms",
            rows.values_and("")
        );
        sql.execute(DOING, &text, &rows.cells).await.map(|_| ())
    }

    async fn write_quotas(&self, sql: &mut dyn Sql) -> Result<(), StoreError> {
        let mut rows = Rows::default();
        for (id, row) in &self.quotas {
            let most = self.most.get(id).copied().unwrap_or(0);
            rows.add(&[
                id.as_str().into(),
                row.limit.into(),
                most.into(),
                row.settled.into(),
                row.held.into(),
                row.overrun.into(),
            ]);
        }
        // The row is there: only the update happens.
        let text = format!(
            "INSERT INTO quotas (quota_id, limit_units, limit_most, settled, held, overrun,
               limit_name, policy, meter, key_doc, consumer, start_ms, end_ms, version)
             VALUES {} ON CONFLICT (quota_id) DO UPDATE SET limit_units = excluded.limit_units,
               limit_most = excluded.limit_most, settled = excluded.settled, held = excluded.held,
               overrun = excluded.overrun",
            rows.values_and(", '', '', '', '', '', 0, 0, 1")
        );
        sql.execute(DOING, &text, &rows.cells).await.map(|_| ())
    }
}

/// limit_units, settled, held, overrun, end_ms from `at` on.
fn quota_row(row: &Row, at: usize) -> Result<QuotaRow, StoreError> {
    Ok(QuotaRow {
        limit: row.int(at)?,
        settled: row.int(at + 1)?,
        held: row.int(at + 2)?,
        overrun: row.int(at + 3)?,
        end_ms: row.int(at + 4)?,
    })
}

fn lease_row(row: &Row) -> Result<LeaseRow, StoreError> {
    Ok(LeaseRow {
        granted: row.int(4)?,
        spent: row.int(5)?,
        returned: row.int(6)?,
        overrun: row.int(7)?,
        rate: row.int(8)?,
        seen_ms: row.int(9)?,
        expires_ms: row.int(10)?,
    })
}

/// See [`crate::store::LeaseStore::quotas`].
pub(in crate::store) async fn quotas(
    sql: &mut dyn Sql,
    query: &QuotasQuery,
) -> Result<Vec<Quota>, StoreError> {
    let mut conditions = Conditions::default();
    if let Some(consumer) = &query.consumer {
        conditions.compare("consumer", "=", consumer.as_str());
    }
    if let Some(at_ms) = query.open_at_ms {
        conditions.compare("end_ms", ">", at_ms);
    }
    if let Some(after) = &query.after {
        conditions.compare("quota_id", ">", after.as_str());
    }
    let limit = conditions.value(query.limit as u64);
    let text = format!(
        "SELECT quota_id, limit_name, policy, meter, key_doc, start_ms, limit_units, settled, held, overrun, end_ms,
           limit_most, (SELECT COUNT(*) FROM leases AS l
             WHERE l.quota_id = q.quota_id AND l.granted > l.spent + l.returned) AS holders
         FROM quotas AS q WHERE {} ORDER BY quota_id LIMIT {limit}",
        conditions.all()
    );
    let rows = sql.query("reading quotas", &text, &conditions.values).await?;
    rows.iter().map(quota).collect()
}

fn quota(row: &Row) -> Result<Quota, StoreError> {
    let amounts = quota_row(row, 6)?;
    Ok(Quota {
        name: QuotaName {
            limit: row.text(1)?,
            policy: row.text(2)?,
            meter: row.text(3)?,
            key: serde_json::from_str(&row.text(4)?).map_err(|_| strange(4))?,
            start_ms: row.int(5)?,
            end_ms: amounts.end_ms,
        },
        id: row.text(0)?,
        row: amounts,
        limit_most: row.int(11)?,
        holders: row.int(12)?,
    })
}

/// See [`crate::store::LeaseStore::leases`].
pub(in crate::store) async fn leases_of(sql: &mut dyn Sql, quota_id: &str) -> Result<Vec<Lease>, StoreError> {
    let text = format!("SELECT {LEASE} FROM leases WHERE quota_id = ?1 ORDER BY lease");
    let rows = sql.query("reading leases", &text, &[quota_id.into()]).await?;
    let lease = |row: &Row| {
        Ok(Lease {
            quota: row.text(0)?,
            lease: row.text(1)?,
            process: row.text(2)?,
            node: row.text(3)?,
            row: lease_row(row)?,
        })
    };
    rows.iter().map(lease).collect()
}

/// See [`crate::store::LeaseStore::write_off`].
pub(in crate::store) async fn write_off(
    sql: &mut dyn Sql,
    quota_id: &str,
    lease: &str,
) -> Result<Option<u64>, StoreError> {
    let doing = "writing off a lease";
    let lock = "UPDATE quotas SET version = version + 1 WHERE quota_id = ?1
                RETURNING limit_units, settled, held, overrun, end_ms";
    let rows = sql.query(doing, lock, &[quota_id.into()]).await?;
    let Some(mut quota) = rows.first().map(|row| quota_row(row, 0)).transpose()? else { return Ok(None) };
    let text = format!("SELECT {LEASE} FROM leases WHERE quota_id = ?1 AND lease = ?2");
    let rows = sql.query(doing, &text, &[quota_id.into(), lease.into()]).await?;
    let Some(mut row) = rows.first().map(lease_row).transpose()? else { return Ok(None) };
    let units = ledger::write_off(&mut quota, &mut row);
    let text = "UPDATE leases SET returned = ?3 WHERE quota_id = ?1 AND lease = ?2";
    sql.execute(doing, text, &[quota_id.into(), lease.into(), row.returned.into()]).await?;
    let text = "UPDATE quotas SET held = ?2 WHERE quota_id = ?1";
    sql.execute(doing, text, &[quota_id.into(), quota.held.into()]).await?;
    Ok(Some(units))
}

/// Books as spent what leases hold of windows that ended long ago, and forgets windows that ended longer ago. The quotas
/// come first: their rows are the locks.
pub(in crate::store) async fn close_windows(sql: &mut dyn Sql, now_ms: u64) -> Result<(), StoreError> {
    let doing = "closing windows of quotas";
    let ended: Cell = now_ms.saturating_sub(LATE_SETTLEMENT_MS).into();
    let quotas = "UPDATE quotas SET settled = settled + held, held = 0 WHERE end_ms < ?1 AND held > 0";
    sql.execute(doing, quotas, std::slice::from_ref(&ended)).await?;
    let leases = "UPDATE leases SET spent = granted - returned WHERE spent + returned < granted
                  AND quota_id IN (SELECT quota_id FROM quotas WHERE end_ms < ?1)";
    sql.execute(doing, leases, &[ended]).await?;
    let forgotten: Cell = now_ms.saturating_sub(QUOTA_MEMORY_MS).into();
    let leases = "DELETE FROM leases WHERE quota_id IN (SELECT quota_id FROM quotas WHERE end_ms < ?1)";
    sql.execute(doing, leases, std::slice::from_ref(&forgotten)).await?;
    sql.execute(doing, "DELETE FROM quotas WHERE end_ms < ?1", &[forgotten]).await.map(|_| ())
}
