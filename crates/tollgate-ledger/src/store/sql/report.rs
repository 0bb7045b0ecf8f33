//! Usage and the audit trail, a page at a time.

use tollgate_wire::{Credits, NanoUsd, Outcome, Tally, TokenCount};

use super::{Cell, Conditions, Row, Sql, months, strange};
use crate::store::{
    Dimension, EntriesQuery, Entry, KeyPart, StoreError, Sums, UsageFilter, UsageQuery, UsageReport, UsageRow,
};

/// Columns of the sums, in the order of [`sums`].
pub(super) const SUM_COLUMNS: [&str; 11] = [
    "requests",
    "refused",
    "errors",
    "estimated",
    "input",
    "cache_read",
    "cache_write",
    "output",
    "reasoning",
    "cost_nusd",
    "credits",
];

/// What usage is keyed by within a window.
pub(in crate::store) const USAGE_KEY: &str =
    "consumer, team, project, tier, provider, model, action, workflow, tool, interface";

/// Columns of an entry, in the order of [`entry`].
const ENTRY_COLUMNS: &str = "e.entry_id, e.at_ms, e.consumer, e.team, e.project, e.tier, e.route, e.policy, e.action,
    e.workflow, e.provider, e.model, e.status, e.outcome, e.refused_by, e.requests, e.input, e.cache_read,
    e.cache_write, e.output, e.reasoning, e.cost_nusd, e.credits, e.price_version, e.unknown_price, e.warnings,
    e.exempt, e.tool, e.interface, e.region, s.process, s.worker, s.node, e.seq";

/// The sums over a group, zero where there is none.
pub(super) fn summed() -> String {
    let sums = SUM_COLUMNS.map(|column| format!("CAST(COALESCE(SUM({column}), 0) AS BIGINT) AS {column}"));
    sums.join(", ")
}

/// See [`crate::store::Store::usage`].
pub(in crate::store) async fn usage(
    sql: &mut dyn Sql,
    query: &UsageQuery,
) -> Result<UsageReport, StoreError> {
    let doing = "reading usage";
    let sums_of_all = summed();
    let mut conditions = matching(query.kind.as_str(), &query.filter);
    let text = format!("SELECT {sums_of_all} FROM usage_windows WHERE {}", conditions.all());
    let rows = sql.query(doing, &text, &conditions.values).await?;
    let totals = rows.first().map(|row| sums(row, 0)).transpose()?.unwrap_or_default();
    if query.group_by.is_empty() {
        return Ok(UsageReport { rows: Vec::new(), totals });
    }
    let columns: Vec<&str> = query.group_by.iter().map(|dimension| column(*dimension)).collect();
    let columns = columns.join(", ");
    if let Some(after) = &query.after {
        let names: Vec<String> = after.iter().map(|part| conditions.value(part_value(part))).collect();
        conditions.text.push(format!("({columns}) > ({})", names.join(", ")));
    }
    let limit = conditions.value(query.limit as u64);
    let text = format!(
        "SELECT {columns}, {sums_of_all} FROM usage_windows WHERE {} GROUP BY {columns} ORDER BY {columns}
         LIMIT {limit}",
        conditions.all()
    );
    let rows = sql.query(doing, &text, &conditions.values).await?;
    let rows = rows.iter().map(|row| usage_row(row, &query.group_by)).collect::<Result<_, _>>()?;
    Ok(UsageReport { rows, totals })
}

fn matching(kind: &str, filter: &UsageFilter) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.compare("window_kind", "=", kind);
    if let Some(from) = filter.from_ms {
        conditions.compare("window_start_ms", ">=", from);
    }
    if let Some(before) = filter.before_ms {
        conditions.compare("window_start_ms", "<", before);
    }
    for (dimension, value) in &filter.equals {
        conditions.compare(column(*dimension), "=", value.as_str());
    }
    conditions
}

const fn column(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Window => "window_start_ms",
        other => other.as_str(),
    }
}

fn part_value(part: &KeyPart) -> Cell {
    match part {
        KeyPart::Window(start_ms) => (*start_ms).into(),
        KeyPart::Text(text) => text.as_str().into(),
    }
}

fn usage_row(row: &Row, group_by: &[Dimension]) -> Result<UsageRow, StoreError> {
    let mut key = Vec::with_capacity(group_by.len());
    for (at, dimension) in group_by.iter().enumerate() {
        key.push(match dimension {
            Dimension::Window => KeyPart::Window(row.int(at)?),
            _ => KeyPart::Text(row.text(at)?),
        });
    }
    Ok(UsageRow { key, sums: sums(row, group_by.len())? })
}

/// Reads the columns of [`SUM_COLUMNS`] from `at` on.
pub(super) fn sums(row: &Row, at: usize) -> Result<Sums, StoreError> {
    Ok(Sums {
        requests: row.int(at)?,
        refused: row.int(at + 1)?,
        errors: row.int(at + 2)?,
        estimated: row.int(at + 3)?,
        input: TokenCount(row.int(at + 4)?),
        cache_read: TokenCount(row.int(at + 5)?),
        cache_write: TokenCount(row.int(at + 6)?),
        output: TokenCount(row.int(at + 7)?),
        reasoning: TokenCount(row.int(at + 8)?),
        cost_nusd: NanoUsd(row.int(at + 9)?),
        credits: Credits(row.int(at + 10)?),
    })
}

/// See [`crate::store::Store::entries`]. Months are in order of time, so each is read only when the ones before it did
/// not fill the page.
pub(in crate::store) async fn entries(
    sql: &mut dyn Sql,
    query: &EntriesQuery,
) -> Result<Vec<Entry>, StoreError> {
    let from_ms = query.from_ms.max(query.after.as_ref().map(|after| after.0));
    let mut found = Vec::new();
    for month in months::between(sql, from_ms, query.before_ms).await? {
        let room = query.limit - found.len();
        if room == 0 {
            break;
        }
        let (text, values) = entries_of(&months::table(month), query, from_ms, room);
        for row in sql.query("reading entries", &text, &values).await? {
            found.push(entry(&row)?);
        }
    }
    Ok(found)
}

fn entries_of(table: &str, query: &EntriesQuery, from_ms: Option<u64>, limit: usize) -> (String, Vec<Cell>) {
    let mut conditions = Conditions::default();
    for (dimension, value) in &query.equals {
        conditions.compare(column(*dimension), "=", value.as_str());
    }
    conditions.compare_if("region", "=", query.region.as_deref());
    if let Some(from) = from_ms {
        conditions.compare("at_ms", ">=", from);
    }
    if let Some(before) = query.before_ms {
        conditions.compare("at_ms", "<", before);
    }
    if let Some(after) = &query.after {
        let (at, id) = (conditions.value(after.0), conditions.value(after.1.as_str()));
        conditions.text.push(format!("(at_ms, entry_id) > ({at}, {id})"));
    }
    let limit = conditions.value(limit as u64);
    let text = format!(
        "SELECT {ENTRY_COLUMNS} FROM {table} AS e JOIN sources AS s ON s.source_id = e.source_id
         WHERE {} ORDER BY at_ms, entry_id LIMIT {limit}",
        conditions.all()
    );
    (text, conditions.values)
}

fn entry(row: &Row) -> Result<Entry, StoreError> {
    Ok(Entry {
        tally: tally(row)?,
        process: row.text(30)?,
        worker: row.text(31)?,
        node: row.text(32)?,
        seq: row.int(33)?,
    })
}

fn tally(row: &Row) -> Result<Tally, StoreError> {
    Ok(Tally {
        id: row.text(0)?,
        at_ms: row.int(1)?,
        consumer: row.text(2)?,
        team: row.text(3)?,
        project: row.text(4)?,
        tier: row.text(5)?,
        route: row.text(6)?,
        policy: row.text(7)?,
        action: row.text(8)?,
        workflow: row.text(9)?,
        provider: row.text(10)?,
        model: row.text(11)?,
        status: row.small(12)?,
        outcome: from_json::<Outcome>(row, 13, |text| format!("\"{text}\""))?,
        refused_by: row.text(14)?,
        requests: row.small(15)?,
        input: TokenCount(row.int(16)?),
        cache_read: TokenCount(row.int(17)?),
        cache_write: TokenCount(row.int(18)?),
        output: TokenCount(row.int(19)?),
        reasoning: TokenCount(row.int(20)?),
        cost_nusd: NanoUsd(row.int(21)?),
        credits: Credits(row.int(22)?),
        price_version: row.small(23)?,
        unknown_price: row.int(24)? != 0,
        warnings: from_json(row, 25, |text| if text.is_empty() { "[]".into() } else { text })?,
        exempt: row.int(26)? != 0,
        tool: row.text(27)?,
        interface: row.text(28)?,
        region: row.text(29)?,
    })
}

/// Reads a value through its wire form: the wire's names are the database's names.
fn from_json<T: serde::de::DeserializeOwned>(
    row: &Row,
    at: usize,
    as_json: impl FnOnce(String) -> String,
) -> Result<T, StoreError> {
    serde_json::from_str(&as_json(row.text(at)?)).map_err(|_| strange(at))
}
