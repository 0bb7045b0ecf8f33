//! What a node's earlier processes used: the balances an Envoy starts with after a restart.
//!
//! Taken from the entries and not from the roll-up, because the windows asked for are days and months of any zone,
//! and because only the entries know route and policy.

use tollgate_wire::{Balance, Credits, NanoUsd, TokenCount, WindowRange};

use super::{Cell, Row, Sql, months};
use crate::store::{OpeningCursor, OpeningQuery, StoreError};

const KEY: &str = "consumer, team, project, tier, route, policy, action, provider, model";

/// See [`crate::store::Store::opening`].
pub(in crate::store) async fn balances(
    sql: &mut dyn Sql,
    query: &OpeningQuery,
) -> Result<Vec<Balance>, StoreError> {
    let mut found = Vec::new();
    let first = query.after.as_ref().map_or(0, |after| after.0);
    for (window, range) in query.windows.iter().enumerate().skip(first) {
        let after = query.after.as_ref().filter(|after| after.0 == window);
        let room = query.limit - found.len();
        if room == 0 || query.node.is_empty() {
            break;
        }
        found.extend(in_window(sql, query, window, *range, after, room).await?);
    }
    Ok(found)
}

async fn in_window(
    sql: &mut dyn Sql,
    query: &OpeningQuery,
    window: usize,
    range: WindowRange,
    after: Option<&OpeningCursor>,
    limit: usize,
) -> Result<Vec<Balance>, StoreError> {
    let months = months::between(sql, Some(range.start_ms), Some(range.end_ms)).await?;
    if months.is_empty() {
        return Ok(Vec::new());
    }
    let mut values: Vec<Cell> = vec![
        query.node.as_str().into(),
        query.process.as_str().into(),
        range.start_ms.into(),
        range.end_ms.into(),
        (limit as u64).into(),
    ];
    let mut behind = "";
    if let Some(OpeningCursor(_, key)) = after {
        behind =
            "AND consumer >= ?6 AND (consumer, team, project, tier, route, policy, action, provider, model)
                  > (?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
        values.extend(key.iter().map(|part| Cell::from(part.as_str())));
    }
    let parts: Vec<String> = months.into_iter().map(|month| part(&months::table(month), behind)).collect();
    let text = format!(
        "SELECT {KEY}, CAST(SUM(requests) AS BIGINT), CAST(SUM(input) AS BIGINT), CAST(SUM(output) AS BIGINT),
           CAST(SUM(cost_nusd) AS BIGINT), CAST(SUM(credits) AS BIGINT) FROM ({}) AS part
         GROUP BY {KEY} ORDER BY {KEY} LIMIT ?5",
        parts.join(" UNION ALL ")
    );
    let rows = sql.query("reading balances", &text, &values).await?;
    rows.iter().map(|row| balance(window, row)).collect()
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

fn balance(window: usize, row: &Row) -> Result<Balance, StoreError> {
    Ok(Balance {
        window,
        consumer: row.text(0)?,
        team: row.text(1)?,
        project: row.text(2)?,
        tier: row.text(3)?,
        route: row.text(4)?,
        policy: row.text(5)?,
        action: row.text(6)?,
        provider: row.text(7)?,
        model: row.text(8)?,
        requests: row.int(9)?,
        input: TokenCount(row.int(10)?),
        output: TokenCount(row.int(11)?),
        cost_nusd: NanoUsd(row.int(12)?),
        credits: Credits(row.int(13)?),
    })
}
