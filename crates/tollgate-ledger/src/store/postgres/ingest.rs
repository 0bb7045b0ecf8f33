//! Entering a batch with one statement: one way to the database and back, and one decision of what is new.
//!
//! The tallies go as one array a column. The statement inserts those whose GUID is not there, rolls up exactly these,
//! fires their alerts and notes the batch's number. Entries are ordered by GUID and usage by its key, so that two nodes
//! take their locks in the same order. If another node enters the same batch at this moment, the number's key
//! refuses the second, which then finds the batch entered.

use std::collections::{BTreeSet, HashSet};

use deadpool_postgres::{Client, GenericClient};
use sha2::{Digest, Sha256};
use tokio_postgres::types::ToSql;
use tollgate_wire::{NanoUsd, Tally};

use super::retry::failed;
use crate::calendar::{DAY_MS, Month};
use crate::store::sql::report::USAGE_KEY as KEY;
use crate::store::sql::{months, strange};
use crate::store::{Alert, Applied, Batch, Ingested, StoreError, rollup};

/// Rows that the usage of one key is spread over, so that workers that count under the same key at once don't wait for
/// each other. One worker always adds to the same.
const SHARDS: i16 = 8;

/// Columns of a tally and their types, in the order of the parameters from [`FIRST_COLUMN`] on.
const COLUMNS: [(&str, &str); 30] = [
    ("entry_id", "text"),
    ("at_ms", "bigint"),
    ("consumer", "text"),
    ("team", "text"),
    ("project", "text"),
    ("tier", "text"),
    ("route", "text"),
    ("policy", "text"),
    ("action", "text"),
    ("workflow", "text"),
    ("provider", "text"),
    ("model", "text"),
    ("status", "integer"),
    ("outcome", "text"),
    ("refused_by", "text"),
    ("requests", "bigint"),
    ("input", "bigint"),
    ("cache_read", "bigint"),
    ("cache_write", "bigint"),
    ("output", "bigint"),
    ("reasoning", "bigint"),
    ("cost_nusd", "bigint"),
    ("credits", "bigint"),
    ("price_version", "bigint"),
    ("unknown_price", "smallint"),
    ("warnings", "text"),
    ("exempt", "smallint"),
    ("tool", "text"),
    ("interface", "text"),
    ("region", "text"),
];

/// Parameters before the columns: see [`HEAD`] and [`noted`].
const FIRST_COLUMN: usize = 11;

/// A batch as the statement takes it.
pub(super) struct Prepared {
    /// The months of its tallies.
    pub(super) months: Vec<Month>,
    head: Head,
    columns: Vec<Column>,
    /// What fires where it is new, with the GUID that is the reason.
    alerts: Vec<(Alert, String)>,
}

struct Head {
    worker: String,
    seq: i64,
    body_hash: String,
    source_id: i64,
    process: String,
    node: String,
    received_ms: i64,
    oldest_ms: i64,
    entries: i64,
    shard: i16,
}

type Column = Box<dyn ToSql + Sync + Send>;

impl Prepared {
    pub(super) fn of(batch: &Batch) -> Result<Self, StoreError> {
        let body_hash = batch.body_hash().map_err(failed("hashing a batch"))?;
        let mut seen = HashSet::with_capacity(batch.tallies.len());
        let mut tallies: Vec<&Tally> = Vec::with_capacity(batch.tallies.len());
        for tally in &batch.tallies {
            if seen.insert((Month::of(tally.at_ms), tally.id.as_str())) {
                tallies.push(tally);
            }
        }
        let alerts = alerts(&tallies);
        tallies.sort_by(|one, other| one.id.cmp(&other.id));
        let months: BTreeSet<Month> = tallies.iter().map(|tally| Month::of(tally.at_ms)).collect();
        let oldest = tallies.iter().map(|tally| tally.at_ms).min().unwrap_or(batch.received_ms);
        let worker_hash = worker_hash(batch);
        let head = Head {
            worker: batch.worker.clone(),
            seq: integer(batch.seq)?,
            body_hash,
            // Made from the name, so that no sequence is needed: 62 bits of a hash, for some thousands of workers.
            source_id: worker_hash >> 2,
            process: batch.process.clone(),
            node: batch.node.clone(),
            received_ms: integer(batch.received_ms)?,
            oldest_ms: integer(oldest)?,
            entries: i64::try_from(batch.tallies.len()).unwrap_or(i64::MAX),
            shard: i16::try_from(worker_hash % i64::from(SHARDS)).unwrap_or(0),
        };
        Ok(Self { months: months.into_iter().collect(), head, columns: columns(&tallies)?, alerts })
    }
}

/// A number that is a worker's own, not negative.
fn worker_hash(batch: &Batch) -> i64 {
    let mut hasher = Sha256::new();
    hasher.update(batch.worker.as_bytes());
    hasher.update([0]);
    hasher.update(batch.process.as_bytes());
    let digest = hasher.finalize();
    let mut first = [0; 8];
    first.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    i64::from_be_bytes(first) & i64::MAX
}

/// Amounts beyond the database's integers are refused, not cut.
fn integer(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(failed("entering a tally"))
}

fn columns(tallies: &[&Tally]) -> Result<Vec<Column>, StoreError> {
    let text = |of: fn(&Tally) -> &str| -> Column {
        Box::new(tallies.iter().map(|tally| of(tally).to_owned()).collect::<Vec<_>>())
    };
    let number = |of: fn(&Tally) -> u64| -> Result<Column, StoreError> {
        Ok(Box::new(tallies.iter().map(|tally| integer(of(tally))).collect::<Result<Vec<_>, _>>()?))
    };
    let warnings = tallies.iter().map(|tally| match tally.warnings.is_empty() {
        true => Ok(String::new()),
        false => serde_json::to_string(&tally.warnings).map_err(failed("entering a tally")),
    });
    Ok(vec![
        text(|tally| &tally.id),
        number(|tally| tally.at_ms)?,
        text(|tally| &tally.consumer),
        text(|tally| &tally.team),
        text(|tally| &tally.project),
        text(|tally| &tally.tier),
        text(|tally| &tally.route),
        text(|tally| &tally.policy),
        text(|tally| &tally.action),
        text(|tally| &tally.workflow),
        text(|tally| &tally.provider),
        text(|tally| &tally.model),
        Box::new(tallies.iter().map(|tally| i32::from(tally.status)).collect::<Vec<_>>()),
        text(|tally| tally.outcome.as_str()),
        text(|tally| &tally.refused_by),
        number(|tally| tally.requests.into())?,
        number(|tally| tally.input.0)?,
        number(|tally| tally.cache_read.0)?,
        number(|tally| tally.cache_write.0)?,
        number(|tally| tally.output.0)?,
        number(|tally| tally.reasoning.0)?,
        number(|tally| tally.cost_nusd.0)?,
        number(|tally| tally.credits.0)?,
        number(|tally| tally.price_version.into())?,
        Box::new(tallies.iter().map(|tally| i16::from(tally.unknown_price)).collect::<Vec<_>>()),
        Box::new(warnings.collect::<Result<Vec<_>, _>>()?),
        Box::new(tallies.iter().map(|tally| i16::from(tally.exempt)).collect::<Vec<_>>()),
        text(|tally| &tally.tool),
        text(|tally| &tally.interface),
        text(|tally| &tally.region),
    ])
}

/// The alerts of a batch in its own order. The same may be there for several tallies, of which some may be known.
fn alerts(tallies: &[&Tally]) -> Vec<(Alert, String)> {
    let of =
        |tally: &&Tally| rollup::alerts_of(tally).map(|alert| (alert, tally.id.clone())).collect::<Vec<_>>();
    tallies.iter().flat_map(of).collect()
}

/// What became of a batch before, if anything did.
pub(super) async fn known(client: &Client, batch: &Prepared) -> Result<Option<Ingested>, StoreError> {
    let doing = "looking up a batch";
    let text = "SELECT body_hash FROM batches WHERE worker = $1 AND seq = $2";
    let statement = client.prepare_cached(text).await.map_err(failed(doing))?;
    let row =
        client.query_opt(&statement, &[&batch.head.worker, &batch.head.seq]).await.map_err(failed(doing))?;
    row.map(|row| row.try_get::<_, String>(0).map(|hash| batch.repeated(&hash)).map_err(failed(doing)))
        .transpose()
}

/// Enters a batch once.
pub(super) async fn enter(client: &impl GenericClient, batch: &Prepared) -> Result<Ingested, StoreError> {
    let doing = "entering a batch";
    let statement = client.prepare_cached(&batch.statement()).await.map_err(failed(doing))?;
    let told = batch.alert_columns()?;
    let head = &batch.head;
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![
        &head.worker,
        &head.seq,
        &head.body_hash,
        &head.source_id,
        &head.process,
        &head.node,
        &head.received_ms,
        &head.oldest_ms,
        &head.entries,
        &head.shard,
    ];
    if !batch.months.is_empty() {
        parameters.extend(batch.columns.iter().chain(&told).map(|column| &**column as &(dyn ToSql + Sync)));
    } else {
        parameters.truncate(9);
    }
    let row = client.query_one(&statement, &parameters).await.map_err(failed(doing))?;
    let read = || -> Result<Ingested, tokio_postgres::Error> {
        if let Some(hash) = row.try_get::<_, Option<String>>(0)? {
            return Ok(batch.repeated(&hash));
        }
        let (inserted, cost): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
        let fired: Vec<i32> = row.try_get(3)?;
        Ok(Ingested::Applied(batch.applied(inserted, cost, fired)))
    };
    read().map_err(|_| strange(0))
}

impl Prepared {
    fn repeated(&self, known_hash: &str) -> Ingested {
        if known_hash == self.head.body_hash { Ingested::Repeated } else { Ingested::Conflict }
    }

    fn applied(&self, inserted: i64, cost: i64, mut fired: Vec<i32>) -> Applied {
        fired.sort_unstable();
        let inserted = u64::try_from(inserted).unwrap_or(0);
        let all = u64::try_from(self.head.entries).unwrap_or(0);
        let at = |place: i32| usize::try_from(place).ok().and_then(|place| self.alerts.get(place));
        Applied {
            inserted,
            duplicates: all.saturating_sub(inserted),
            cost_nusd: NanoUsd(u64::try_from(cost).unwrap_or(0)),
            alerts: fired.into_iter().filter_map(at).map(|(alert, _)| alert.clone()).collect(),
        }
    }

    fn alert_columns(&self) -> Result<Vec<Column>, StoreError> {
        if self.alerts.is_empty() {
            return Ok(Vec::new());
        }
        let text = |of: fn(&(Alert, String)) -> &String| -> Column {
            Box::new(self.alerts.iter().map(|alert| of(alert).clone()).collect::<Vec<_>>())
        };
        let windows = self.alerts.iter().map(|(alert, _)| integer(alert.window_start_ms));
        Ok(vec![
            text(|(alert, _)| &alert.consumer),
            text(|(alert, _)| &alert.rule),
            Box::new(windows.collect::<Result<Vec<_>, _>>()?),
            text(|(_, entry)| entry),
        ])
    }

    /// The statement for these months, with alerts or without: few texts, each prepared once a connection.
    fn statement(&self) -> String {
        if self.months.is_empty() {
            return format!(
                "{HEAD}{}\nSELECT (SELECT body_hash FROM known), 0::bigint, 0::bigint, ARRAY[]::integer[]",
                noted("0")
            );
        }
        let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
        let parts: Vec<String> = self.months.iter().map(|month| new_entries(*month, &names)).collect();
        let added: Vec<String> = self
            .months
            .iter()
            .map(|month| {
                format!(
                    "SELECT {}::bigint AS month_ms, new.* FROM new_{} AS new",
                    month.start_ms(),
                    month.yyyymm()
                )
            })
            .collect();
        let alerts = if self.alerts.is_empty() { String::new() } else { fired() };
        let told = match self.alerts.is_empty() {
            true => "ARRAY[]::integer[]",
            false => {
                "(SELECT COALESCE(array_agg(place), ARRAY[]::integer[]) FROM fired JOIN told USING (consumer, rule, window_start_ms, entry_id))"
            }
        };
        format!(
            "{HEAD},\nsent AS (SELECT * FROM UNNEST({}) AS sent ({})),\n{},\nadded AS ({}),\n{}{}{alerts}
             SELECT (SELECT body_hash FROM known), (SELECT COUNT(*) FROM added),
               (SELECT COALESCE(SUM(cost_nusd), 0)::bigint FROM added), {told}",
            arrays(FIRST_COLUMN, COLUMNS.map(|(_, kind)| kind)),
            names.join(", "),
            parts.join(",\n"),
            added.join(" UNION ALL "),
            usage(),
            noted("(SELECT COUNT(*) FROM added)"),
        )
    }
}

/// The batch, if it is known, and else its worker's row: made when it is new, its node and last sign of life brought up to
/// date.
const HEAD: &str = "WITH known AS MATERIALIZED (SELECT body_hash FROM batches WHERE worker = $1 AND seq = $2),
source AS (
  INSERT INTO sources (source_id, process, worker, node, first_seen_ms, last_seen_ms)
  SELECT $4::bigint, $5::text, $1, $6::text, $7::bigint, $7::bigint WHERE NOT EXISTS (SELECT FROM known)
  ON CONFLICT (worker, process) DO UPDATE SET node = excluded.node, last_seen_ms =
    CASE WHEN sources.last_seen_ms < excluded.last_seen_ms THEN excluded.last_seen_ms ELSE sources.last_seen_ms END
  RETURNING source_id)";

/// The batch's number, unless it has none.
fn noted(entries_new: &str) -> String {
    format!(
        ",\nnoted AS (
  INSERT INTO batches (worker, seq, body_hash, entries, entries_new, oldest_ms, received_ms)
  SELECT $1, $2, $3::text, $9::bigint, {entries_new}, $8::bigint, $7::bigint FROM source WHERE $2 > 0)"
    )
}

/// `$11::text[], $12::bigint[], ...`
fn arrays<const N: usize>(first: usize, kinds: [&str; N]) -> String {
    let parameters = (first..).zip(kinds).map(|(number, kind)| format!("${number}::{kind}[]"));
    parameters.collect::<Vec<_>>().join(", ")
}

fn new_entries(month: Month, names: &[&str]) -> String {
    let (columns, table) = (names.join(", "), months::table(month));
    format!(
        "new_{} AS (
  INSERT INTO {table} (source_id, seq, {columns}) SELECT source.source_id, $2, {columns} FROM sent CROSS JOIN source
  WHERE sent.at_ms >= {} AND sent.at_ms < {} ORDER BY entry_id ON CONFLICT (entry_id) DO NOTHING
  RETURNING entry_id, at_ms, {KEY}, outcome, requests, input, cache_read, cache_write, output, reasoning,
    cost_nusd, credits)",
        month.yyyymm(),
        month.start_ms(),
        month.next().start_ms()
    )
}

/// The roll-up of what was added, by day and by month.
fn usage() -> String {
    let summed = ["input", "cache_read", "cache_write", "output", "reasoning", "cost_nusd", "credits"];
    let counted = ["requests", "refused", "errors", "estimated"];
    let all: Vec<&str> = counted.iter().chain(&summed).copied().collect();
    let when = |outcome| format!("COALESCE(SUM(requests) FILTER (WHERE outcome = '{outcome}'), 0)::bigint");
    let plain = |column: &&str| format!("SUM({column})::bigint AS {column}");
    let of_day: Vec<String> = [
        plain(&"requests"),
        format!("{} AS refused", when("refused")),
        format!("{} AS errors", when("error")),
        format!("{} AS estimated", when("estimated")),
    ]
    .into_iter()
    .chain(summed.iter().map(plain))
    .collect();
    let of_month: Vec<String> = all.iter().map(plain).collect();
    let updates: Vec<String> =
        all.iter().map(|column| format!("{column} = held.{column} + excluded.{column}")).collect();
    let (columns, of_day, of_month, updates) =
        (all.join(", "), of_day.join(", "), of_month.join(", "), updates.join(", "));
    format!(
        "days AS (SELECT month_ms, at_ms - at_ms % {DAY_MS} AS day_ms, {KEY}, {of_day} FROM added
  GROUP BY month_ms, at_ms - at_ms % {DAY_MS}, {KEY}),
rolled AS (
  SELECT 'day' AS window_kind, day_ms AS window_start_ms, {KEY}, {columns} FROM days
  UNION ALL
  SELECT 'month', month_ms, {KEY}, {of_month} FROM days GROUP BY month_ms, {KEY}),
usage AS (
  INSERT INTO usage_windows AS held (window_kind, window_start_ms, {KEY}, shard, {columns})
  SELECT window_kind, window_start_ms, {KEY}, $10::smallint, {columns} FROM rolled
  ORDER BY window_kind, window_start_ms, {KEY}
  ON CONFLICT (window_kind, window_start_ms, {KEY}, shard) DO UPDATE SET {updates})"
    )
}

/// The alerts of what was added that have not fired in their window.
fn fired() -> String {
    let first = FIRST_COLUMN + COLUMNS.len();
    format!(
        ",\ntold AS (SELECT * FROM (SELECT consumer, rule, window_start_ms, entry_id, (place - 1)::integer AS place
    FROM UNNEST({}) WITH ORDINALITY AS told (consumer, rule, window_start_ms, entry_id, place)) AS told
  WHERE entry_id IN (SELECT entry_id FROM added)),
fired AS (
  INSERT INTO alerts (consumer, rule, window_start_ms, entry_id, fired_ms)
  SELECT DISTINCT ON (consumer, rule, window_start_ms) consumer, rule, window_start_ms, entry_id, $7::bigint FROM told
  ORDER BY consumer, rule, window_start_ms, place
  ON CONFLICT DO NOTHING RETURNING consumer, rule, window_start_ms, entry_id)",
        arrays(first, ["text", "text", "bigint", "text"]),
    )
}
