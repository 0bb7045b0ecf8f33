//! Tallies on their way to the ledger: numbered batches, kept until they are acknowledged.
//!
//! A batch is sent again with the same number and the same bytes until the ledger has it, so that it is applied
//! exactly once. Only one is on its way at a time: the order then needs no thought.

use std::collections::VecDeque;

use hashbrown::HashMap;
use tollgate_wire::{SYNC_BODY_BYTES_MAX, Tally, TallyOf};

/// Tallies in one batch: what the ledger writes in one transaction without keeping others waiting.
pub const BATCH_TALLIES_MAX: usize = 500;

/// Room for what surrounds the tallies of a request.
const BATCH_BYTES_MAX: usize = SYNC_BODY_BYTES_MAX - 4096;

/// Tallies that wait one by one; beyond it they are merged per key. About ten megabytes.
pub const WAITING_MAX: usize = 20_000;

/// Keys that tallies are merged under; beyond it they are counted as lost, and come back from the journal.
const MERGED_MAX: usize = 10_000;

/// Shortest and longest pause after a failure, in nanoseconds.
const PAUSE_NS: (u64, u64) = (100_000_000, 5_000_000_000);

/// Numbered and unchangeable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// 1, 2, 3, ...
    pub seq: u64,
    /// Its tallies, each as JSON.
    pub tallies: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key([String; 10]);

/// What waits for the ledger.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: VecDeque<String>,
    merged: HashMap<Key, Tally>,
    sent: Option<Batch>,
    in_flight: bool,
    last_seq: u64,
    oldest_ns: Option<u64>,
    pause_ns: u64,
    not_before_ns: u64,
    lost: u64,
}

impl Outbox {
    /// Adds a tally, and its JSON. O(1), and copies nothing before [`WAITING_MAX`].
    pub fn push(&mut self, tally: TallyOf<&str>, json: String, mono_ns: u64) {
        self.oldest_ns.get_or_insert(mono_ns);
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(json);
            return;
        }
        let tally = tally.into_owned();
        let key = key(&tally);
        let room = self.merged.len() < MERGED_MAX;
        match self.merged.get_mut(&key) {
            Some(sum) => merge(sum, &tally),
            None if room => {
                self.merged.insert(key, tally);
            }
            None => self.lost += 1,
        }
    }

    /// Tallies that wait, merged ones and those under way included.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.merged.len() + self.sent.as_ref().map_or(0, |batch| batch.tallies.len())
    }

    /// True when there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tallies that were dropped because too many keys waited.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// The batch to send now, if any: one that was not acknowledged, or a new one when the oldest tally has waited
    /// `flush_ns` or a batch is full.
    pub fn next(&mut self, mono_ns: u64, flush_ns: u64) -> Option<Batch> {
        if self.in_flight || mono_ns < self.not_before_ns {
            return None;
        }
        if self.sent.is_none() {
            let ripe = self.oldest_ns.is_some_and(|oldest| mono_ns.saturating_sub(oldest) >= flush_ns);
            if !ripe && self.waiting.len() < BATCH_TALLIES_MAX {
                return None;
            }
            self.sent = self.cut();
        }
        self.in_flight = self.sent.is_some();
        self.sent.clone()
    }

    fn cut(&mut self) -> Option<Batch> {
        let mut tallies = Vec::new();
        let mut bytes = 0;
        while let Some(json) = self.waiting.front() {
            bytes += json.len() + 1;
            if tallies.len() == BATCH_TALLIES_MAX || (bytes > BATCH_BYTES_MAX && !tallies.is_empty()) {
                break;
            }
            tallies.extend(self.waiting.pop_front());
        }
        // There is room again for what had to be merged.
        if self.waiting.len() < WAITING_MAX {
            let room = WAITING_MAX - self.waiting.len();
            let keys = self.merged.extract_if(|_, _| true).take(room).map(|(_, tally)| tally);
            self.waiting.extend(keys.filter_map(|tally| serde_json::to_string(&tally).ok()));
        }
        if self.waiting.is_empty() {
            self.oldest_ns = None;
        }
        if tallies.is_empty() {
            return None;
        }
        self.last_seq += 1;
        Some(Batch { seq: self.last_seq, tallies })
    }

    /// The ledger has everything up to `seq`.
    pub fn acknowledged(&mut self, seq: u64) {
        self.in_flight = false;
        (self.pause_ns, self.not_before_ns) = (0, 0);
        if self.sent.as_ref().is_some_and(|batch| batch.seq <= seq) {
            self.sent = None;
        }
    }

    /// The batch did not arrive, or nobody knows: it is sent again after a pause that doubles.
    pub fn failed(&mut self, mono_ns: u64) {
        self.in_flight = false;
        self.pause_ns = self.pause_ns.saturating_mul(2).clamp(PAUSE_NS.0, PAUSE_NS.1);
        self.not_before_ns = mono_ns.saturating_add(self.pause_ns);
    }

    /// The ledger will never take this batch: it is dropped, for the others' sake, and counted.
    pub fn rejected(&mut self) {
        self.in_flight = false;
        self.lost += self.sent.take().map_or(0, |batch| batch.tallies.len() as u64);
    }
}

fn key(tally: &Tally) -> Key {
    Key([
        tally.consumer.clone(),
        tally.team.clone(),
        tally.project.clone(),
        tally.tier.clone(),
        tally.route.clone(),
        tally.policy.clone(),
        tally.action.clone(),
        tally.provider.clone(),
        tally.model.clone(),
        format!("{}/{}/{}", tally.outcome.as_str(), tally.at_ms / 3_600_000, tally.price_version),
    ])
}

/// Totals stay exact; what is of one request only (GUID, status) stays the first's.
fn merge(sum: &mut Tally, tally: &Tally) {
    sum.requests = sum.requests.saturating_add(tally.requests);
    sum.input += tally.input;
    sum.cache_read += tally.cache_read;
    sum.cache_write += tally.cache_write;
    sum.output += tally.output;
    sum.reasoning += tally.reasoning;
    sum.cost_nusd += tally.cost_nusd;
    sum.credits += tally.credits;
    sum.unknown_price |= tally.unknown_price;
    sum.exempt |= tally.exempt;
    sum.warnings.extend(tally.warnings.iter().cloned());
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_wire::NanoUsd;

    const SECOND: u64 = 1_000_000_000;

    fn push(outbox: &mut Outbox, n: u64) {
        let id = n.to_string();
        let tally =
            TallyOf { id: &*id, consumer: "a", requests: 1, cost_nusd: NanoUsd(n), ..TallyOf::default() };
        let json = serde_json::to_string(&tally).unwrap();
        outbox.push(tally, json, 0);
    }

    #[test]
    fn a_batch_is_the_same_until_it_is_acknowledged() {
        let mut outbox = Outbox::default();
        push(&mut outbox, 1);
        assert_eq!(outbox.next(SECOND / 2, SECOND), None, "it waits for others");
        let first = outbox.next(SECOND, SECOND).unwrap();
        push(&mut outbox, 2);
        assert_eq!(outbox.next(2 * SECOND, SECOND), None, "one at a time");
        outbox.failed(2 * SECOND);
        assert_eq!(outbox.next(2 * SECOND, SECOND), None, "a pause");
        assert_eq!(outbox.next(3 * SECOND, SECOND), Some(first));
        outbox.acknowledged(1);
        assert_eq!(outbox.next(4 * SECOND, SECOND).unwrap().seq, 2);
        outbox.acknowledged(2);
        assert!(outbox.is_empty());
    }

    #[test]
    fn batches_are_bounded_in_count_and_bytes() {
        let mut outbox = Outbox::default();
        for n in 0..BATCH_TALLIES_MAX as u64 + 1 {
            push(&mut outbox, n);
        }
        assert_eq!(outbox.next(0, SECOND).unwrap().tallies.len(), BATCH_TALLIES_MAX);
        let mut outbox = Outbox::default();
        for _ in 0..10 {
            outbox.push(TallyOf::default(), "x".repeat(100_000), 0);
        }
        let batch = outbox.next(SECOND, SECOND).unwrap();
        assert_eq!(batch.tallies.len(), 2);
    }

    #[test]
    fn past_the_bound_totals_stay_exact() {
        let mut outbox = Outbox::default();
        let count = WAITING_MAX as u64 + 1000;
        for n in 0..count {
            push(&mut outbox, n);
        }
        assert_eq!(outbox.len(), WAITING_MAX + 1);
        let (mut cost, mut requests, mut seq) = (0, 0, 0);
        while let Some(batch) = outbox.next(SECOND, SECOND) {
            for json in &batch.tallies {
                let tally: Tally = serde_json::from_str(json).unwrap();
                cost += tally.cost_nusd.0;
                requests += u64::from(tally.requests);
            }
            seq = batch.seq;
            outbox.acknowledged(seq);
        }
        assert_eq!((cost, requests, outbox.lost()), (count * (count - 1) / 2, count, 0));
        assert!(seq > 40);
    }

    #[test]
    fn a_batch_the_ledger_refuses_is_dropped_and_counted() {
        let mut outbox = Outbox::default();
        push(&mut outbox, 1);
        outbox.next(SECOND, SECOND).unwrap();
        outbox.rejected();
        assert_eq!((outbox.len(), outbox.lost()), (0, 1));
    }
}
