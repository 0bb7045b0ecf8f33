//! What a node's earlier processes used: the balances an Envoy starts with after a restart.
//!
//! Taken from the entries and not from the roll-up, because the windows asked for are days and months of any zone,
//! and because only the entries know route and policy. A page reads a bounded part of them: consumers in their order,
//! many with few entries together, and one with many in several steps, each a part of its balances.

use std::collections::VecDeque;

use tollgate_wire::{Balance, Credits, NanoUsd, TokenCount, WindowRange};

use super::rows::names;
use super::{Cell, Conditions, Row, Sql, months};
use crate::calendar::Month;
use crate::store::{Opening, OpeningCursor, OpeningQuery, StoreError};

const DOING: &str = "reading balances";

/// Consumers that are looked at together.
const CONSUMERS: u64 = 50;

/// Consumers that a page ends with: they may have nothing in the window.
const WALKED_MAX: usize = 2000;

/// A consumer with more than this part of a page's entries is read alone.
const PART_OF_PAGE: u64 = 10;

const KEY: &str = "consumer, team, project, tier, route, policy, action, workflow, provider, model, tool, interface, region";

/// See [`crate::store::Store::opening`].
pub(in crate::store) async fn page(sql: &mut dyn Sql, query: &OpeningQuery) -> Result<Opening, StoreError> {
    let mut page = Page { query, balances: Vec::new(), read: 0, walked: 0 };
    let first = query.after.as_ref().map_or((0, 0), |after| (after.window, after.month));
    let windows = query.windows.iter().enumerate().skip(first.0).filter(|_| !query.node.is_empty());
    for (window, range) in windows {
        for month in months::between(sql, Some(range.start_ms), Some(range.end_ms)).await? {
            let here = (window, month.yyyymm());
            let place = match &query.after {
                Some(_) if here < first => continue,
                Some(after) if here == first => Place::of(after),
                _ => Place::Begin,
            };
            if let Some(stopped) = walk(sql, Table { window, range: *range, month }, place, &mut page).await?
            {
                return Ok(Opening { balances: page.balances, next: Some(stopped.cursor(here)) });
            }
        }
    }
    Ok(Opening { balances: page.balances, next: None })
}

/// What a page has so far.
struct Page<'q> {
    query: &'q OpeningQuery,
    balances: Vec<Balance>,
    /// Entries, at most.
    read: u64,
    /// Consumers.
    walked: usize,
}

impl Page<'_> {
    fn is_full(&self) -> bool {
        self.balances.len() >= self.query.limit
            || self.read >= self.query.entries
            || self.walked >= WALKED_MAX
    }

    /// From so many entries on a consumer is read alone.
    fn many(&self) -> u64 {
        (self.query.entries / PART_OF_PAGE).max(1)
    }
}

/// How far a month was read.
enum Place {
    Begin,
    /// All of this consumer was.
    Behind(String),
    /// This consumer was up to this moment.
    Within(String, u64),
}

impl Place {
    fn of(cursor: &OpeningCursor) -> Self {
        match cursor.at_ms {
            Some(at_ms) => Self::Within(cursor.consumer.clone(), at_ms),
            None => Self::Behind(cursor.consumer.clone()),
        }
    }

    fn cursor(self, (window, month): (usize, u32)) -> OpeningCursor {
        let (consumer, at_ms) = match self {
            Self::Begin => (String::new(), None),
            Self::Behind(consumer) => (consumer, None),
            Self::Within(consumer, at_ms) => (consumer, Some(at_ms)),
        };
        OpeningCursor { window, month, consumer, at_ms }
    }
}

/// A month of a window.
struct Table {
    window: usize,
    range: WindowRange,
    month: Month,
}

/// Reads on until the page is full, and tells where it stopped; None: the month is through.
async fn walk(
    sql: &mut dyn Sql,
    table: Table,
    mut place: Place,
    page: &mut Page<'_>,
) -> Result<Option<Place>, StoreError> {
    let mut ahead = VecDeque::new();
    while !page.is_full() {
        place = match place {
            Place::Within(consumer, at_ms) => {
                table.step(sql, page, consumer, at_ms.saturating_add(1)).await?
            }
            Place::Begin | Place::Behind(_) => {
                if ahead.is_empty() {
                    ahead = table.consumers(sql, &place, page.many()).await?;
                    page.walked += ahead.len();
                }
                match ahead.pop_front() {
                    None => return Ok(None),
                    Some((consumer, entries)) if entries >= page.many() => {
                        table.step(sql, page, consumer, table.range.start_ms).await?
                    }
                    Some(first) => table.several(sql, page, first, &mut ahead).await?,
                }
            }
        };
    }
    Ok(Some(place))
}

impl Table {
    /// The next consumers of the month, of whatever node, and how many entries each has in the window, counted up to `many`.
    /// From one to the next by the index: neither database skips what is between by itself.
    async fn consumers(
        &self,
        sql: &mut dyn Sql,
        place: &Place,
        many: u64,
    ) -> Result<VecDeque<(String, u64)>, StoreError> {
        let behind = match place {
            Place::Begin => None,
            Place::Behind(consumer) | Place::Within(consumer, _) => Some(consumer.as_str()),
        };
        let mut given = Conditions::default();
        let first = behind.map_or_else(|| "TRUE".into(), |name| format!("consumer > {}", given.value(name)));
        let (start, end) = (given.value(self.range.start_ms), given.value(self.range.end_ms));
        let (many, count) = (given.value(many), given.value(CONSUMERS));
        let table = months::table(self.month);
        let text = format!(
            "WITH RECURSIVE each (consumer) AS (
               SELECT MIN(consumer) FROM {table} WHERE {first}
               UNION ALL SELECT (SELECT MIN(e.consumer) FROM {table} AS e WHERE e.consumer > each.consumer)
               FROM each WHERE each.consumer IS NOT NULL
             )
             SELECT part.consumer, (SELECT COUNT(*) FROM (
                 SELECT 1 FROM {table} AS e WHERE e.consumer = part.consumer AND e.at_ms >= {start}
                   AND e.at_ms < {end} LIMIT {many}) AS counted)
             FROM (SELECT consumer FROM each WHERE consumer IS NOT NULL LIMIT {count}) AS part
             ORDER BY part.consumer"
        );
        let rows = sql.query(DOING, &text, &given.values).await?;
        rows.iter().map(|row| Ok((row.text(0)?, row.int(1)?))).collect()
    }

    /// Reads one consumer, and of those ahead as many as there is room for: none has more balances than entries.
    async fn several(
        &self,
        sql: &mut dyn Sql,
        page: &mut Page<'_>,
        (first, entries): (String, u64),
        ahead: &mut VecDeque<(String, u64)>,
    ) -> Result<Place, StoreError> {
        let (mut last, mut few) = (first.clone(), vec![first]);
        page.read += entries;
        let mut room = (page.query.limit as u64).saturating_sub(page.balances.len() as u64 + entries);
        while let Some((consumer, entries)) =
            ahead.pop_front_if(|(_, entries)| *entries <= room && page.read + *entries <= page.query.entries)
        {
            page.read += entries;
            room -= entries;
            last.clone_from(&consumer);
            few.push(consumer);
        }
        let (start_ms, end_ms) = (self.range.start_ms, self.range.end_ms);
        self.add(sql, page, &few, WindowRange { start_ms, end_ms }).await?;
        Ok(Place::Behind(last))
    }

    /// Reads as many entries of one consumer as a page may, from a moment on.
    async fn step(
        &self,
        sql: &mut dyn Sql,
        page: &mut Page<'_>,
        consumer: String,
        start_ms: u64,
    ) -> Result<Place, StoreError> {
        page.read += page.query.entries;
        let text = format!(
            "SELECT at_ms FROM {} WHERE consumer = ?1 AND at_ms >= ?2 AND at_ms < ?3 ORDER BY at_ms LIMIT 1 OFFSET ?4",
            months::table(self.month)
        );
        let values = [
            consumer.as_str().into(),
            start_ms.into(),
            self.range.end_ms.into(),
            page.query.entries.saturating_sub(1).into(),
        ];
        let last_ms = sql.query(DOING, &text, &values).await?.first().map(|row| row.int(0)).transpose()?;
        let end_ms = last_ms.map_or(self.range.end_ms, |last_ms: u64| last_ms.saturating_add(1));
        let one = [consumer];
        self.add(sql, page, &one, WindowRange { start_ms, end_ms }).await?;
        let [consumer] = one;
        Ok(match last_ms {
            Some(last_ms) => Place::Within(consumer, last_ms),
            None => Place::Behind(consumer),
        })
    }

    /// Adds the balances of these consumers in a span of time.
    async fn add(
        &self,
        sql: &mut dyn Sql,
        page: &mut Page<'_>,
        consumers: &[String],
        span: WindowRange,
    ) -> Result<(), StoreError> {
        let (text, values) = self.text_of(page.query, consumers, span);
        for row in &sql.query(DOING, &text, &values).await? {
            page.balances.push(balance(self.window, row)?);
        }
        Ok(())
    }

    /// The statement, and what stands for the names in it.
    fn text_of(&self, query: &OpeningQuery, consumers: &[String], span: WindowRange) -> (String, Vec<Cell>) {
        let mut given = Conditions::default();
        let (node, process) = (given.value(query.node.as_str()), given.value(query.process.as_str()));
        let (start, end) = (given.value(span.start_ms), given.value(span.end_ms));
        let consumers = names(&mut given, consumers.iter());
        let text = format!(
            "SELECT {KEY}, CAST(SUM(requests) AS BIGINT), CAST(SUM(input + cache_read + cache_write) AS BIGINT),
               CAST(SUM(output) AS BIGINT), CAST(SUM(cost_nusd) AS BIGINT), CAST(SUM(credits) AS BIGINT)
             FROM {} WHERE consumer IN ({consumers}) AND at_ms >= {start} AND at_ms < {end}
               AND outcome <> 'refused'
               AND source_id IN (SELECT source_id FROM sources WHERE node = {node} AND process <> {process})
             GROUP BY {KEY} ORDER BY {KEY}",
            months::table(self.month)
        );
        (text, given.values)
    }
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
        workflow: row.text(7)?,
        provider: row.text(8)?,
        model: row.text(9)?,
        tool: row.text(10)?,
        interface: row.text(11)?,
        region: row.text(12)?,
        requests: row.int(13)?,
        input: TokenCount(row.int(14)?),
        output: TokenCount(row.int(15)?),
        cost_nusd: NanoUsd(row.int(16)?),
        credits: Credits(row.int(17)?),
    })
}
