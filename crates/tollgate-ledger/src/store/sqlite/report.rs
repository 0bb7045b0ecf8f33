//! Usage and the audit trail, a page at a time.

use rusqlite::types::{ToSql, Value};
use rusqlite::{Row, Transaction, params_from_iter};
use tollgate_wire::{Credits, NanoUsd, Outcome, Tally, TokenCount};

use super::months;
use crate::store::{
    Dimension, EntriesQuery, Entry, KeyPart, Sums, UsageFilter, UsageQuery, UsageReport, UsageRow,
};

const SUMS: &str = "COALESCE(SUM(requests), 0), COALESCE(SUM(refused), 0), COALESCE(SUM(errors), 0),
    COALESCE(SUM(estimated), 0), COALESCE(SUM(input), 0), COALESCE(SUM(cache_read), 0),
    COALESCE(SUM(cache_write), 0), COALESCE(SUM(output), 0), COALESCE(SUM(reasoning), 0),
    COALESCE(SUM(cost_nusd), 0), COALESCE(SUM(credits), 0)";

/// Conditions of a statement and the values they name as ?1, ?2, ...
#[derive(Default)]
struct Conditions {
    text: Vec<String>,
    values: Vec<Value>,
}

impl Conditions {
    /// Adds a value and returns its name.
    fn value(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("?{}", self.values.len())
    }

    fn compare(&mut self, column: &str, operator: &str, value: impl Into<Value>) {
        let name = self.value(value);
        self.text.push(format!("{column} {operator} {name}"));
    }

    fn all(&self) -> String {
        if self.text.is_empty() { "TRUE".into() } else { self.text.join(" AND ") }
    }

    fn parameters(&self) -> impl rusqlite::Params + '_ {
        params_from_iter(self.values.iter().map(|value| value as &dyn ToSql))
    }
}

pub(super) fn usage(transaction: &Transaction<'_>, query: &UsageQuery) -> rusqlite::Result<UsageReport> {
    let mut conditions = matching(query.kind.as_str(), &query.filter);
    let totals = transaction.query_row(
        &format!("SELECT {SUMS} FROM usage_windows WHERE {}", conditions.all()),
        conditions.parameters(),
        |row| sums(row, 0),
    )?;
    if query.group_by.is_empty() {
        return Ok(UsageReport { rows: Vec::new(), totals });
    }
    let columns: Vec<&str> = query.group_by.iter().map(|dimension| column(*dimension)).collect();
    let columns = columns.join(", ");
    if let Some(after) = &query.after {
        let names: Vec<String> = after.iter().map(|part| conditions.value(part_value(part))).collect();
        conditions.text.push(format!("({columns}) > ({})", names.join(", ")));
    }
    let limit = conditions.value(integer(query.limit as u64));
    let text = format!(
        "SELECT {columns}, {SUMS} FROM usage_windows WHERE {} GROUP BY {columns} ORDER BY {columns} LIMIT {limit}",
        conditions.all()
    );
    let mut statement = transaction.prepare(&text)?;
    let rows = statement
        .query_map(conditions.parameters(), |row| usage_row(row, &query.group_by))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(UsageReport { rows, totals })
}

fn matching(kind: &str, filter: &UsageFilter) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.compare("window_kind", "=", kind.to_owned());
    if let Some(from) = filter.from_ms {
        conditions.compare("window_start_ms", ">=", integer(from));
    }
    if let Some(before) = filter.before_ms {
        conditions.compare("window_start_ms", "<", integer(before));
    }
    for (dimension, value) in &filter.equals {
        conditions.compare(column(*dimension), "=", value.clone());
    }
    conditions
}

const fn column(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Window => "window_start_ms",
        other => other.as_str(),
    }
}

fn part_value(part: &KeyPart) -> Value {
    match part {
        KeyPart::Window(start_ms) => integer(*start_ms),
        KeyPart::Text(text) => text.clone().into(),
    }
}

/// Times beyond the database's integers are beyond everything in it.
fn integer(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

fn usage_row(row: &Row<'_>, group_by: &[Dimension]) -> rusqlite::Result<UsageRow> {
    let mut key = Vec::with_capacity(group_by.len());
    for (at, dimension) in group_by.iter().enumerate() {
        key.push(match dimension {
            Dimension::Window => KeyPart::Window(row.get(at)?),
            _ => KeyPart::Text(row.get(at)?),
        });
    }
    Ok(UsageRow { key, sums: sums(row, group_by.len())? })
}

/// Reads the columns of [`SUMS`] from `at` on.
pub(super) fn sums(row: &Row<'_>, at: usize) -> rusqlite::Result<Sums> {
    Ok(Sums {
        requests: row.get(at)?,
        refused: row.get(at + 1)?,
        errors: row.get(at + 2)?,
        estimated: row.get(at + 3)?,
        input: TokenCount(row.get(at + 4)?),
        cache_read: TokenCount(row.get(at + 5)?),
        cache_write: TokenCount(row.get(at + 6)?),
        output: TokenCount(row.get(at + 7)?),
        reasoning: TokenCount(row.get(at + 8)?),
        cost_nusd: NanoUsd(row.get(at + 9)?),
        credits: Credits(row.get(at + 10)?),
    })
}

/// Months are in order of time, so each is read only when the ones before it did not fill the page.
pub(super) fn entries(transaction: &Transaction<'_>, query: &EntriesQuery) -> rusqlite::Result<Vec<Entry>> {
    let from_ms = query.from_ms.max(query.after.as_ref().map(|after| after.0));
    let mut found = Vec::new();
    for month in months::between(transaction, from_ms, query.before_ms)? {
        let room = query.limit - found.len();
        if room == 0 {
            break;
        }
        found.extend(entries_of(transaction, &months::table(month), query, from_ms, room)?);
    }
    Ok(found)
}

fn entries_of(
    transaction: &Transaction<'_>,
    table: &str,
    query: &EntriesQuery,
    from_ms: Option<u64>,
    limit: usize,
) -> rusqlite::Result<Vec<Entry>> {
    let mut conditions = Conditions::default();
    if let Some(consumer) = &query.consumer {
        conditions.compare("consumer", "=", consumer.clone());
    }
    if let Some(from) = from_ms {
        conditions.compare("at_ms", ">=", integer(from));
    }
    if let Some(before) = query.before_ms {
        conditions.compare("at_ms", "<", integer(before));
    }
    if let Some(after) = &query.after {
        let (at, id) = (conditions.value(integer(after.0)), conditions.value(after.1.clone()));
        conditions.text.push(format!("(at_ms, entry_id) > ({at}, {id})"));
    }
    let limit = conditions.value(integer(limit as u64));
    let text = format!(
        "SELECT e.*, s.process, s.worker, s.node FROM {table} AS e JOIN sources AS s ON s.source_id = e.source_id
         WHERE {} ORDER BY at_ms, entry_id LIMIT {limit}",
        conditions.all()
    );
    let mut statement = transaction.prepare(&text)?;
    statement.query_map(conditions.parameters(), entry)?.collect()
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        tally: tally(row)?,
        process: row.get("process")?,
        worker: row.get("worker")?,
        node: row.get("node")?,
        seq: row.get("seq")?,
    })
}

fn tally(row: &Row<'_>) -> rusqlite::Result<Tally> {
    Ok(Tally {
        id: row.get("entry_id")?,
        at_ms: row.get("at_ms")?,
        consumer: row.get("consumer")?,
        team: row.get("team")?,
        project: row.get("project")?,
        tier: row.get("tier")?,
        route: row.get("route")?,
        policy: row.get("policy")?,
        action: row.get("action")?,
        workflow: row.get("workflow")?,
        provider: row.get("provider")?,
        model: row.get("model")?,
        status: row.get("status")?,
        outcome: from_json::<Outcome>(row, "outcome", |text| format!("\"{text}\""))?,
        refused_by: row.get("refused_by")?,
        requests: row.get("requests")?,
        input: TokenCount(row.get("input")?),
        cache_read: TokenCount(row.get("cache_read")?),
        cache_write: TokenCount(row.get("cache_write")?),
        output: TokenCount(row.get("output")?),
        reasoning: TokenCount(row.get("reasoning")?),
        cost_nusd: NanoUsd(row.get("cost_nusd")?),
        credits: Credits(row.get("credits")?),
        price_version: row.get("price_version")?,
        unknown_price: row.get::<_, u8>("unknown_price")? != 0,
        warnings: from_json(row, "warnings", |text| if text.is_empty() { "[]".into() } else { text })?,
        // The journal has it; the books do not keep it yet.
        exempt: false,
    })
}

/// Reads a value through its wire form: the wire's names are the database's names.
fn from_json<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    column: &str,
    as_json: impl FnOnce(String) -> String,
) -> rusqlite::Result<T> {
    let at = row.as_ref().column_index(column)?;
    serde_json::from_str(&as_json(row.get(at)?))
        .map_err(|why| rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, why.into()))
}
