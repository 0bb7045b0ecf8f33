//! What a node's earlier processes used: the balances an Envoy starts with after a restart.
//!
//! Taken from the entries and not from the roll-up, because the windows asked for are days and months of any zone,
//! and because only the entries know route and policy.

use tollgate_wire::{Balance, Credits, NanoUsd, TokenCount, WindowRange};

use super::rows::names;
use super::{Cell, Conditions, Row, Sql, months};
use crate::calendar::Month;
use crate::store::{OpeningCursor, OpeningQuery, StoreError};

const DOING: &str = "reading balances";

/// Consumers that are looked at together.
const CONSUMERS: u64 = 50;

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

/// Goes through the consumers in their order, some at a time, until there are enough: what a page costs is what is in it, and
/// not what is in the books.
async fn in_window(
    sql: &mut dyn Sql,
    query: &OpeningQuery,
    window: usize,
    range: WindowRange,
    after: Option<&OpeningCursor>,
    limit: usize,
) -> Result<Vec<Balance>, StoreError> {
    let months = months::between(sql, Some(range.start_ms), Some(range.end_ms)).await?;
    let mut found = Vec::new();
    let mut from =
        Consumers::From(after.and_then(|after| after.1.first()).map_or("", String::as_str).to_owned());
    while found.len() < limit && !months.is_empty() {
        let consumers = from.next(sql, &months).await?;
        let Some(last) = consumers.last().cloned() else { break };
        let room = limit - found.len();
        let (text, values) = text_of(query, range, (&months, &consumers), after, room);
        let rows = sql.query(DOING, &text, &values).await?;
        for row in &rows {
            found.push(balance(window, row)?);
        }
        from = Consumers::Behind(last);
    }
    Ok(found)
}

/// Which consumers come next.
enum Consumers {
    From(String),
    Behind(String),
}

impl Consumers {
    /// At most [`CONSUMERS`] that have entries in these months, of whatever node. From one to the next by the index: neither
    /// database skips what is between by itself.
    async fn next(&self, sql: &mut dyn Sql, months: &[Month]) -> Result<Vec<String>, StoreError> {
        let (compared, name) = match self {
            Self::From(name) => (">=", name),
            Self::Behind(name) => (">", name),
        };
        let part = |(at, month): (usize, &Month)| {
            let table = months::table(*month);
            format!(
                "SELECT consumer FROM (
                   WITH RECURSIVE each_{at} (consumer) AS (
                     SELECT MIN(consumer) FROM {table} WHERE consumer {compared} ?1
                     UNION ALL SELECT (SELECT MIN(e.consumer) FROM {table} AS e WHERE e.consumer > each_{at}.consumer)
                     FROM each_{at} WHERE each_{at}.consumer IS NOT NULL
                   ) SELECT consumer FROM each_{at} WHERE consumer IS NOT NULL LIMIT ?2) AS part_{at}"
            )
        };
        let parts: Vec<String> = months.iter().enumerate().map(part).collect();
        let text = format!("{} ORDER BY consumer LIMIT ?2", parts.join(" UNION "));
        let rows = sql.query(DOING, &text, &[name.as_str().into(), CONSUMERS.into()]).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }
}

/// The balances of these consumers, and what stands for the names in the text.
fn text_of(
    query: &OpeningQuery,
    range: WindowRange,
    (months, consumers): (&[Month], &[String]),
    after: Option<&OpeningCursor>,
    limit: usize,
) -> (String, Vec<Cell>) {
    let mut given = Conditions::default();
    let (node, process) = (given.value(query.node.as_str()), given.value(query.process.as_str()));
    let (start, end) = (given.value(range.start_ms), given.value(range.end_ms));
    let limit = given.value(limit as u64);
    let consumers = names(&mut given, consumers.iter());
    let behind = after.map_or_else(String::new, |OpeningCursor(_, key)| {
        let key: Vec<String> = key.iter().map(|part| given.value(part.as_str())).collect();
        format!("AND ({KEY}) > ({})", key.join(", "))
    });
    let part = |month: &Month| {
        format!(
            "SELECT {KEY}, SUM(requests) AS requests, SUM(input + cache_read + cache_write) AS input,
               SUM(output) AS output, SUM(cost_nusd) AS cost_nusd, SUM(credits) AS credits
             FROM {} WHERE consumer IN ({consumers}) AND at_ms >= {start} AND at_ms < {end}
               AND outcome <> 'refused'
               AND source_id IN (SELECT source_id FROM sources WHERE node = {node} AND process <> {process})
               {behind} GROUP BY {KEY}",
            months::table(*month)
        )
    };
    let parts: Vec<String> = months.iter().map(part).collect();
    let text = format!(
        "SELECT {KEY}, CAST(SUM(requests) AS BIGINT), CAST(SUM(input) AS BIGINT), CAST(SUM(output) AS BIGINT),
           CAST(SUM(cost_nusd) AS BIGINT), CAST(SUM(credits) AS BIGINT) FROM ({}) AS part
         GROUP BY {KEY} ORDER BY {KEY} LIMIT {limit}",
        parts.join(" UNION ALL ")
    );
    (text, given.values)
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
