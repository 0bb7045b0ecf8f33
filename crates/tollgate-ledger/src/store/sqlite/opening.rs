//! What a node's earlier processes used: the balances an Envoy starts with after a restart.
//!
//! Taken from the entries and not from the roll-up, because the windows asked for are days and months of any zone,
//! and because only the entries know route and policy.

use rusqlite::types::{ToSql, Value};
use rusqlite::{Row, Transaction, params_from_iter};
use tollgate_wire::{Balance, Credits, NanoUsd, TokenCount, WindowRange};

use super::months;
use crate::store::{OpeningCursor, OpeningQuery};

const KEY: &str = "consumer, team, project, tier, route, policy, action, provider, model";

pub(super) fn balances(
    transaction: &Transaction<'_>,
    query: &OpeningQuery,
) -> rusqlite::Result<Vec<Balance>> {
    let mut found = Vec::new();
    let first = query.after.as_ref().map_or(0, |after| after.0);
    for (window, range) in query.windows.iter().enumerate().skip(first) {
        let after = query.after.as_ref().filter(|after| after.0 == window);
        let room = query.limit - found.len();
        if room == 0 || query.node.is_empty() {
            break;
        }
        found.extend(in_window(transaction, query, window, *range, after, room)?);
    }
    Ok(found)
}

fn in_window(
    transaction: &Transaction<'_>,
    query: &OpeningQuery,
    window: usize,
    range: WindowRange,
    after: Option<&OpeningCursor>,
    limit: usize,
) -> rusqlite::Result<Vec<Balance>> {
    let months = months::between(transaction, Some(range.start_ms), Some(range.end_ms))?;
    if months.is_empty() {
        return Ok(Vec::new());
    }
    let mut values: Vec<Value> = vec![
        query.node.clone().into(),
        query.process.clone().into(),
        bound(range.start_ms),
        bound(range.end_ms),
        bound(u64::try_from(limit).unwrap_or(u64::MAX)),
    ];
    let mut behind = "";
    if let Some(OpeningCursor(_, key)) = after {
        behind =
            "AND consumer >= ?6 AND (consumer, team, project, tier, route, policy, action, provider, model)
                  > (?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
        values.extend(key.iter().cloned().map(Value::from));
    }
    let parts: Vec<String> = months.into_iter().map(|month| part(&months::table(month), behind)).collect();
    let text = format!(
        "SELECT {KEY}, SUM(requests), SUM(input), SUM(output), SUM(cost_nusd), SUM(credits) FROM ({}) AS part
         GROUP BY {KEY} ORDER BY {KEY} LIMIT ?5",
        parts.join(" UNION ALL ")
    );
    let mut statement = transaction.prepare(&text)?;
    let values = values.iter().map(|value| value as &dyn ToSql);
    statement.query_map(params_from_iter(values), |row| balance(window, row))?.collect()
}

fn part(table: &str, behind: &str) -> String {
    format!(
        "SELECT {KEY}, SUM(requests) AS requests, SUM(input + cache_read + cache_write) AS input,
           SUM(output) AS output, SUM(cost_nusd) AS cost_nusd, SUM(credits) AS credits
         FROM {table} WHERE at_ms >= ?3 AND at_ms < ?4 AND outcome <> 'refused'
           AND source_id IN (SELECT source_id FROM sources WHERE node = ?1 AND process <> ?2) {behind}
         GROUP BY {KEY}"
    )
}

/// Times and counts beyond the database's integers are beyond everything in it.
fn bound(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

fn balance(window: usize, row: &Row<'_>) -> rusqlite::Result<Balance> {
    Ok(Balance {
        window,
        consumer: row.get(0)?,
        team: row.get(1)?,
        project: row.get(2)?,
        tier: row.get(3)?,
        route: row.get(4)?,
        policy: row.get(5)?,
        action: row.get(6)?,
        provider: row.get(7)?,
        model: row.get(8)?,
        requests: row.get(9)?,
        input: TokenCount(row.get(10)?),
        output: TokenCount(row.get(11)?),
        cost_nusd: NanoUsd(row.get(12)?),
        credits: Credits(row.get(13)?),
    })
}
