//! The books in memory: the plainest statement of what they mean, against which the engines are tested. Sums are
//! taken from the entries each time they are asked for, so that no roll-up can be wrong here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tollgate_core::share::ledger::Book;
use tollgate_wire::{Balance, Outcome, Tally};

use super::memory_admin::Records;
use super::memory_leases::Quotas;
use super::{
    Alert, Applied, AuditReport, BATCH_MEMORY_MS, Batch, Dimension, EntriesQuery, Entry, Ingested, KeyPart,
    Opening, OpeningCursor, OpeningQuery, Store, StoreError, Sums, UsageQuery, UsageReport, UsageRow, rollup,
};
use crate::calendar::Month;

/// Books that are gone when the process ends.
#[derive(Debug, Default)]
pub struct MemoryStore {
    books: Mutex<Books>,
    records: Mutex<Records>,
}

#[derive(Debug, Default)]
pub(super) struct Books {
    batches: HashMap<(String, u64), (String, u64)>,
    nodes: HashMap<(String, String), String>,
    entries: BTreeMap<(Month, String), Entry>,
    oldest_kept: Option<Month>,
    alerts: BTreeSet<Alert>,
    pub(super) quotas: Quotas,
    pub(super) rates: BTreeMap<String, Book>,
    closed: bool,
}

impl MemoryStore {
    /// Empty books.
    pub fn new() -> Self {
        Self::default()
    }

    /// The books, while the store is open.
    pub(super) fn books(&self) -> Result<MutexGuard<'_, Books>, StoreError> {
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        if books.closed { Err(StoreError::Closed) } else { Ok(books) }
    }

    /// The records, while the store is open.
    pub(super) fn admin(&self) -> Result<MutexGuard<'_, Records>, StoreError> {
        drop(self.books()?);
        Ok(self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Books {
    pub(super) fn ingest(&mut self, batch: Batch) -> Result<Ingested, StoreError> {
        let hash = batch.body_hash().map_err(|why| StoreError::engine("hashing a batch")(why.into()))?;
        let number = (batch.worker.clone(), batch.seq);
        if let Some((entered, _)) = self.batches.get(&number) {
            return Ok(if *entered == hash { Ingested::Repeated } else { Ingested::Conflict });
        }
        let months = batch.tallies.iter().map(|tally| Month::of(tally.at_ms));
        if let Some(month) = months.into_iter().find(|month| self.is_retired(*month)) {
            return Err(StoreError::Retired { month });
        }
        self.nodes.insert((batch.process.clone(), batch.worker.clone()), batch.node.clone());
        if batch.seq > 0 {
            self.batches.insert(number, (hash, batch.received_ms));
        }
        let mut applied = Applied::default();
        for tally in &batch.tallies {
            self.enter(tally, &batch, &mut applied);
        }
        Ok(Ingested::Applied(applied))
    }

    fn enter(&mut self, tally: &Tally, batch: &Batch, applied: &mut Applied) {
        let key = (Month::of(tally.at_ms), tally.id.clone());
        if self.entries.contains_key(&key) {
            applied.duplicates += 1;
            return;
        }
        applied.inserted += 1;
        applied.cost_nusd += tally.cost_nusd;
        applied.alerts.extend(rollup::alerts_of(tally).filter(|alert| self.alerts.insert(alert.clone())));
        let entry = Entry {
            tally: tally.clone(),
            process: batch.process.clone(),
            worker: batch.worker.clone(),
            node: batch.node.clone(),
            seq: batch.seq,
        };
        self.entries.insert(key, entry);
    }

    fn is_retired(&self, month: Month) -> bool {
        self.oldest_kept.is_some_and(|oldest_kept| month < oldest_kept)
    }

    fn kept(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|((month, _), _)| !self.is_retired(*month)).map(|(_, entry)| entry)
    }

    /// The node a source is known by now, which may differ from what it was called when the entry was made.
    fn node_of(&self, entry: &Entry) -> &str {
        self.nodes.get(&(entry.process.clone(), entry.worker.clone())).map_or("", String::as_str)
    }

    fn opening(&self, query: &OpeningQuery) -> Opening {
        let mut balances: BTreeMap<_, Balance> = BTreeMap::new();
        for entry in self.kept() {
            let tally = &entry.tally;
            let counts = !query.node.is_empty()
                && self.node_of(entry) == query.node
                && entry.process != query.process
                && tally.outcome != Outcome::Refused;
            for (window, range) in query.windows.iter().enumerate() {
                if counts && (range.start_ms..range.end_ms).contains(&tally.at_ms) {
                    let empty = empty_balance(window, tally);
                    add_to_balance(balances.entry(balance_key(&empty)).or_insert(empty), tally);
                }
            }
        }
        let read = |balance: &&Balance| {
            query
                .after
                .as_ref()
                .is_some_and(|after| (balance.window, &balance.consumer) <= (after.window, &after.consumer))
        };
        let mut page = Opening::default();
        let mut left = balances.values().skip_while(read).peekable();
        while let Some(balance) = left.next() {
            page.balances.push(balance.clone());
            let ends = left
                .peek()
                .is_some_and(|next| (next.window, &next.consumer) != (balance.window, &balance.consumer));
            if ends && page.balances.len() >= query.limit {
                let consumer = balance.consumer.clone();
                page.next = Some(OpeningCursor { window: balance.window, month: 0, consumer, at_ms: None });
                break;
            }
        }
        page
    }

    fn usage(&self, query: &UsageQuery) -> UsageReport {
        let mut groups: BTreeMap<Vec<KeyPart>, Sums> = BTreeMap::new();
        let mut totals = Sums::default();
        for Entry { tally, .. } in self.entries.values() {
            let start_ms = query.kind.start_ms(tally.at_ms);
            let filter = &query.filter;
            let matches = filter.from_ms.is_none_or(|from| start_ms >= from)
                && filter.before_ms.is_none_or(|before| start_ms < before)
                && filter.equals.iter().all(|(dimension, value)| {
                    part(*dimension, start_ms, tally) == KeyPart::Text(value.clone())
                });
            if matches {
                let key = query.group_by.iter().map(|dimension| part(*dimension, start_ms, tally)).collect();
                groups.entry(key).or_default().add(&Sums::of(tally));
                totals.add(&Sums::of(tally));
            }
        }
        let behind =
            groups.into_iter().filter(|(key, _)| query.after.as_ref().is_none_or(|after| key > after));
        let rows = behind.map(|(key, sums)| UsageRow { key, sums }).take(query.limit).collect();
        UsageReport { rows, totals }
    }

    fn entries(&self, query: &EntriesQuery) -> Vec<Entry> {
        let matches = |entry: &&Entry| {
            query.equals.iter().all(|(dimension, value)| {
                part(*dimension, entry.tally.at_ms, &entry.tally) == KeyPart::Text(value.clone())
            }) && query.region.as_ref().is_none_or(|region| entry.tally.region == *region)
                && query.from_ms.is_none_or(|from| entry.tally.at_ms >= from)
                && query.before_ms.is_none_or(|before| entry.tally.at_ms < before)
                && query.after.as_ref().is_none_or(|after| entry.cursor() > *after)
        };
        let mut entries: Vec<_> = self
            .kept()
            .filter(matches)
            .map(|entry| Entry { node: self.node_of(entry).to_owned(), ..entry.clone() })
            .collect();
        entries.sort_by_key(Entry::cursor);
        entries.truncate(query.limit);
        entries
    }

    fn retain(&mut self, now_ms: u64, oldest_kept: Month) -> Vec<Month> {
        let months: BTreeSet<Month> = self.entries.keys().map(|(month, _)| *month).collect();
        let old =
            months.into_iter().filter(|month| *month < oldest_kept && !self.is_retired(*month)).collect();
        self.oldest_kept = self.oldest_kept.max(Some(oldest_kept));
        self.batches.retain(|_, (_, received_ms)| received_ms.saturating_add(BATCH_MEMORY_MS) >= now_ms);
        self.quotas.close_windows(now_ms);
        old
    }

    fn audit(&self) -> AuditReport {
        let mut report = AuditReport::default();
        for entry in self.kept() {
            report.entries += 1;
            report.cost_nusd += entry.tally.cost_nusd;
        }
        report.differences.extend(self.quotas.differences());
        report
    }
}

/// The window, then who and what.
fn balance_key(balance: &Balance) -> (usize, [String; 13]) {
    let fields = [
        &balance.consumer,
        &balance.team,
        &balance.project,
        &balance.tier,
        &balance.route,
        &balance.policy,
        &balance.action,
        &balance.workflow,
        &balance.provider,
        &balance.model,
        &balance.tool,
        &balance.interface,
        &balance.region,
    ];
    (balance.window, fields.map(Clone::clone))
}

fn empty_balance(window: usize, tally: &Tally) -> Balance {
    Balance {
        window,
        consumer: tally.consumer.clone(),
        team: tally.team.clone(),
        project: tally.project.clone(),
        tier: tally.tier.clone(),
        route: tally.route.clone(),
        policy: tally.policy.clone(),
        action: tally.action.clone(),
        workflow: tally.workflow.clone(),
        provider: tally.provider.clone(),
        model: tally.model.clone(),
        tool: tally.tool.clone(),
        interface: tally.interface.clone(),
        region: tally.region.clone(),
        ..Balance::default()
    }
}

fn add_to_balance(balance: &mut Balance, tally: &Tally) {
    balance.requests += u64::from(tally.requests);
    balance.input += tally.input + tally.cache_read + tally.cache_write;
    balance.output += tally.output;
    balance.cost_nusd += tally.cost_nusd;
    balance.credits += tally.credits;
}

fn part(dimension: Dimension, start_ms: u64, tally: &Tally) -> KeyPart {
    let text = match dimension {
        Dimension::Window => return KeyPart::Window(start_ms),
        Dimension::Consumer => &tally.consumer,
        Dimension::Team => &tally.team,
        Dimension::Project => &tally.project,
        Dimension::Tier => &tally.tier,
        Dimension::Provider => &tally.provider,
        Dimension::Model => &tally.model,
        Dimension::Action => &tally.action,
        Dimension::Workflow => &tally.workflow,
        Dimension::Tool => &tally.tool,
        Dimension::Interface => &tally.interface,
    };
    KeyPart::Text(text.clone())
}

#[async_trait]
impl Store for MemoryStore {
    async fn ingest(&self, batch: Batch) -> Result<Ingested, StoreError> {
        self.books()?.ingest(batch)
    }

    async fn opening(&self, query: OpeningQuery) -> Result<Opening, StoreError> {
        Ok(self.books()?.opening(&query))
    }

    async fn usage(&self, query: UsageQuery) -> Result<UsageReport, StoreError> {
        Ok(self.books()?.usage(&query))
    }

    async fn entries(&self, query: EntriesQuery) -> Result<Vec<Entry>, StoreError> {
        Ok(self.books()?.entries(&query))
    }

    async fn retain(&self, now_ms: u64, oldest_kept: Month) -> Result<Vec<Month>, StoreError> {
        Ok(self.books()?.retain(now_ms, oldest_kept))
    }

    async fn audit(&self) -> Result<AuditReport, StoreError> {
        Ok(self.books()?.audit())
    }

    async fn ready(&self, _now_ms: u64) -> Result<(), StoreError> {
        self.books().map(|_| ())
    }

    async fn close(&self) {
        self.books.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
    }
}
