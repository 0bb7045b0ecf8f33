//! Entering a group of batches, all in one transaction.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};
use tollgate_wire::{LeaseAsk, Tally};

use super::speak::Speaking;
use super::{failed, in_transaction};
use crate::calendar::Month;
use crate::store::sql::months::{self, Months};
use crate::store::sql::{at_once, leases, schema};
use crate::store::{Alert, Applied, Batch, Ingested, StoreError, Sums, Synced, UsageKey, rollup};

/// Workers remembered; past this the memory starts over. A worker costs a look-up then, nothing else.
const SOURCES_KEPT: usize = 10_000;

/// A batch, the hash of its body, and the leases that came with it.
#[derive(Debug)]
pub(super) struct HashedBatch {
    pub(super) batch: Batch,
    pub(super) hash: String,
    pub(super) asks: Vec<LeaseAsk>,
}

/// What the writer remembers of the database. Only true while every transaction commits.
#[derive(Debug, Default)]
pub(super) struct Books {
    months: Months,
    sources: HashMap<(String, String), i64>,
}

impl Books {
    pub(super) fn load(connection: &mut Connection) -> Result<Self, StoreError> {
        Ok(Self { months: at_once(Months::load(&mut Speaking(connection)))?, sources: HashMap::new() })
    }

    /// Enters a group and commits. On an error nothing of the group was applied.
    pub(super) fn enter(
        &mut self,
        connection: &mut Connection,
        batches: &[Box<HashedBatch>],
    ) -> Result<Vec<Synced>, StoreError> {
        in_transaction(connection, |connection| {
            let mut usage = rollup::Rollup::default();
            let mut outcomes = Vec::with_capacity(batches.len());
            for HashedBatch { batch, hash, asks } in batches.iter().map(AsRef::as_ref) {
                let outcome = self.enter_batch(connection, batch, hash, &mut usage)?;
                let grants = match outcome {
                    Ingested::Conflict => Vec::new(),
                    _ => at_once(leases::steps(&mut Speaking(connection), batch, asks))?,
                };
                outcomes.push(Synced { outcome, grants });
            }
            write_usage(connection, usage.into_sorted()).map_err(failed("rolling up usage"))?;
            Ok(outcomes)
        })
    }

    /// Retention, in a transaction of its own.
    pub(super) fn retain(
        &mut self,
        connection: &mut Connection,
        now_ms: u64,
        oldest_kept: Month,
    ) -> Result<Vec<Month>, StoreError> {
        in_transaction(connection, |connection| {
            let sql = &mut Speaking(connection);
            at_once(self.months.retain(sql, &schema::SQLITE, oldest_kept, now_ms))
        })
    }

    fn enter_batch<'a>(
        &mut self,
        connection: &mut Connection,
        batch: &'a Batch,
        hash: &str,
        usage: &mut rollup::Rollup<'a>,
    ) -> Result<Ingested, StoreError> {
        if let Some(known) = known_hash(connection, batch).map_err(failed("looking up a batch"))? {
            return Ok(if known == hash { Ingested::Repeated } else { Ingested::Conflict });
        }
        let source = self.source(connection, batch).map_err(failed("noting a worker"))?;
        let mut applied = Applied::default();
        for tally in &batch.tallies {
            let month = Month::of(tally.at_ms);
            if !self.months.has(month) {
                let sql = &mut Speaking(connection);
                at_once(self.months.ensure(sql, &schema::SQLITE, month, batch.received_ms))?;
            }
            if insert_entry(connection, month, source, batch.seq, tally)
                .map_err(failed("entering a tally"))?
            {
                applied.inserted += 1;
                applied.cost_nusd += tally.cost_nusd;
                usage.add(tally);
                fire_alerts(connection, tally, batch.received_ms, &mut applied.alerts)
                    .map_err(failed("noting an alert"))?;
            } else {
                applied.duplicates += 1;
            }
        }
        if batch.seq > 0 {
            insert_batch(connection, batch, hash, applied.inserted).map_err(failed("noting a batch"))?;
        }
        Ok(Ingested::Applied(applied))
    }

    /// The worker's row: made when it is new, its node and last sign of life brought up to date.
    fn source(&mut self, connection: &Connection, batch: &Batch) -> rusqlite::Result<i64> {
        let worker = (batch.worker.clone(), batch.process.clone());
        if let Some(source) = self.sources.get(&worker) {
            let mut touch = connection.prepare_cached(
                "UPDATE sources SET last_seen_ms = CASE WHEN last_seen_ms < ?2 THEN ?2 ELSE last_seen_ms END, node = ?3
                 WHERE source_id = ?1",
            )?;
            touch.execute(params![source, batch.received_ms, batch.node])?;
            return Ok(*source);
        }
        let mut insert = connection.prepare_cached(
            "INSERT INTO sources (source_id, process, worker, node, first_seen_ms, last_seen_ms)
             SELECT COALESCE(MAX(source_id), 0) + 1, ?1, ?2, ?3, ?4, ?4 FROM sources WHERE TRUE
             ON CONFLICT (worker, process) DO UPDATE SET node = excluded.node, last_seen_ms = excluded.last_seen_ms
             RETURNING source_id",
        )?;
        let source = insert
            .query_row(params![batch.process, batch.worker, batch.node, batch.received_ms], |row| {
                row.get(0)
            })?;
        if self.sources.len() >= SOURCES_KEPT {
            self.sources.clear();
        }
        self.sources.insert(worker, source);
        Ok(source)
    }
}

fn known_hash(connection: &Connection, batch: &Batch) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT body_hash FROM batches WHERE worker = ?1 AND seq = ?2")?
        .query_row(params![batch.worker, batch.seq], |row| row.get(0))
        .optional()
}

fn insert_batch(connection: &Connection, batch: &Batch, hash: &str, new: u64) -> rusqlite::Result<usize> {
    let entries = u64::try_from(batch.tallies.len()).unwrap_or(u64::MAX);
    let oldest_ms = batch.tallies.iter().map(|tally| tally.at_ms).min().unwrap_or(batch.received_ms);
    connection
        .prepare_cached(
            "INSERT INTO batches (worker, seq, body_hash, entries, entries_new, oldest_ms, received_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![batch.worker, batch.seq, hash, entries, new, oldest_ms, batch.received_ms])
}

/// True when the tally was not in the books yet.
fn insert_entry(
    connection: &Connection,
    month: Month,
    source: i64,
    seq: u64,
    tally: &Tally,
) -> rusqlite::Result<bool> {
    let warnings = match tally.warnings.is_empty() {
        true => String::new(),
        false => serde_json::to_string(&tally.warnings)
            .map_err(|why| rusqlite::Error::ToSqlConversionFailure(why.into()))?,
    };
    let inserted = connection
        .prepare_cached(&format!(
            "INSERT INTO {} VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
             ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32) ON CONFLICT (entry_id) DO NOTHING",
            months::table(month)
        ))?
        .execute(params![
            tally.id,
            tally.at_ms,
            source,
            seq,
            tally.consumer,
            tally.team,
            tally.project,
            tally.tier,
            tally.route,
            tally.policy,
            tally.action,
            tally.workflow,
            tally.provider,
            tally.model,
            tally.status,
            tally.outcome.as_str(),
            tally.refused_by,
            tally.requests,
            tally.input.0,
            tally.cache_read.0,
            tally.cache_write.0,
            tally.output.0,
            tally.reasoning.0,
            tally.cost_nusd.0,
            tally.credits.0,
            tally.price_version,
            u8::from(tally.unknown_price),
            warnings,
            u8::from(tally.exempt),
            tally.tool,
            tally.interface,
            tally.region,
        ])?;
    Ok(inserted == 1)
}

fn fire_alerts(
    connection: &Connection,
    tally: &Tally,
    now_ms: u64,
    fired: &mut Vec<Alert>,
) -> rusqlite::Result<()> {
    for alert in rollup::alerts_of(tally) {
        let first = connection
            .prepare_cached(
                "INSERT INTO alerts (consumer, rule, window_start_ms, entry_id, fired_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
            )?
            .execute(params![alert.consumer, alert.rule, alert.window_start_ms, tally.id, now_ms])?;
        if first == 1 {
            fired.push(alert);
        }
    }
    Ok(())
}

fn write_usage(connection: &Connection, changes: Vec<(UsageKey<'_>, Sums)>) -> rusqlite::Result<()> {
    let mut upsert = connection.prepare_cached(
        "INSERT INTO usage_windows AS held (window_kind, window_start_ms, consumer, team, project, tier, provider,
           model, action, workflow, tool, interface, shard, requests, refused, errors, estimated, input, cache_read,
           cache_write, output, reasoning, cost_nusd, credits)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 0, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21,
           ?22, ?23)
         ON CONFLICT (window_kind, window_start_ms, consumer, team, project, tier, provider, model, action, workflow,
           tool, interface, shard)
         DO UPDATE SET requests = held.requests + excluded.requests, refused = held.refused + excluded.refused,
           errors = held.errors + excluded.errors, estimated = held.estimated + excluded.estimated,
           input = held.input + excluded.input, cache_read = held.cache_read + excluded.cache_read,
           cache_write = held.cache_write + excluded.cache_write, output = held.output + excluded.output,
           reasoning = held.reasoning + excluded.reasoning, cost_nusd = held.cost_nusd + excluded.cost_nusd,
           credits = held.credits + excluded.credits",
    )?;
    for (key, sums) in changes {
        upsert.execute(params![
            key.kind.as_str(),
            key.start_ms,
            key.consumer,
            key.team,
            key.project,
            key.tier,
            key.provider,
            key.model,
            key.action,
            key.workflow,
            key.tool,
            key.interface,
            sums.requests,
            sums.refused,
            sums.errors,
            sums.estimated,
            sums.input.0,
            sums.cache_read.0,
            sums.cache_write.0,
            sums.output.0,
            sums.reasoning.0,
            sums.cost_nusd.0,
            sums.credits.0,
        ])?;
    }
    Ok(())
}
