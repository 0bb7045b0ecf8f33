//! Tallies on their way to the ledger: numbered batches, kept until they are acknowledged.
//!
//! A batch is sent again with the same number and the same bytes until the ledger has it, so that it is applied
//! exactly once. Only one is on its way at a time: the order then needs no thought.
//!
//! What waits is bounded. What comes beyond the bound is left to the journal, whole and counted. The road not taken is
//! to add such tallies up: a sum has one GUID, and the journal, which has theirs, would enter them a second time.

use std::collections::VecDeque;

use tollgate_wire::SYNC_BODY_BYTES_MAX;

/// Tallies in one batch: what the ledger writes in one transaction without keeping others waiting.
pub const BATCH_TALLIES_MAX: usize = 500;

/// Room for what surrounds the tallies of a request.
const BATCH_BYTES_MAX: usize = SYNC_BODY_BYTES_MAX - 4096;

/// Bytes of tallies that may wait, of one worker: some 80,000 tallies, a quarter of an hour at 90 requests a second.
pub const WAITING_BYTES_MAX: usize = 32 << 20;

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

/// What waits for the ledger.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: VecDeque<String>,
    waiting_bytes: usize,
    sent: Option<Batch>,
    in_flight: bool,
    last_seq: u64,
    oldest_ns: Option<u64>,
    pause_ns: u64,
    not_before_ns: u64,
    lost: u64,
}

impl Outbox {
    /// Adds a tally, as JSON. False when there is no room for it: the journal alone has it then.
    pub fn push(&mut self, json: String, mono_ns: u64) -> bool {
        if self.waiting_bytes + json.len() > WAITING_BYTES_MAX {
            self.lost += 1;
            return false;
        }
        self.oldest_ns.get_or_insert(mono_ns);
        self.waiting_bytes += json.len();
        self.waiting.push_back(json);
        true
    }

    /// Tallies that wait, those under way included.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.sent.as_ref().map_or(0, |batch| batch.tallies.len())
    }

    /// True when there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tallies that were left to the journal: too many waited, or the ledger called their batch wrong.
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
            self.waiting_bytes -= json.len();
            tallies.extend(self.waiting.pop_front());
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn push(outbox: &mut Outbox, n: u64) -> bool {
        outbox.push(format!("{n:>400}"), 0)
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
            outbox.push("x".repeat(100_000), 0);
        }
        let batch = outbox.next(SECOND, SECOND).unwrap();
        assert_eq!(batch.tallies.len(), 2);
    }

    /// With the journal, which has all, every tally is in the books once: what was left is in no batch, not even in part.
    #[test]
    fn past_the_bound_tallies_are_left_to_the_journal_whole() {
        let mut outbox = Outbox::default();
        let room = WAITING_BYTES_MAX as u64 / 400;
        let mut left: HashSet<u64> = (0..room + 1000).filter(|n| !push(&mut outbox, *n)).collect();
        assert_eq!((left.len(), outbox.lost(), outbox.len() as u64), (1000, 1000, room));
        assert!(left.contains(&room) && !left.contains(&(room - 1)));
        // Sending makes room again.
        outbox.next(SECOND, SECOND).unwrap();
        let late = room + 1000..room + 2000;
        left.extend(late.filter(|n| !push(&mut outbox, *n)));
        assert_eq!(left.len(), 1500);
        outbox.failed(SECOND);
        let mut told = HashSet::new();
        while let Some(batch) = outbox.next(10 * SECOND, SECOND) {
            for tally in &batch.tallies {
                assert!(told.insert(tally.trim().parse::<u64>().unwrap()), "told twice: {tally}");
            }
            outbox.acknowledged(batch.seq);
        }
        assert!(told.is_disjoint(&left));
        assert_eq!((told.len() + left.len()) as u64, room + 2000);
        assert!(outbox.is_empty() && push(&mut outbox, 0));
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
