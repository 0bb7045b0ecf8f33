//! Who waits for one account, and who is next: the important first, consumers of one priority in turn, and whoever has
//! waited long enough before all.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hashbrown::HashMap;

use super::Ticket;

/// Where a request stands in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The account that has no room for it.
    pub account: u64,
    /// Whose it is, as a hash.
    pub consumer: u64,
    /// Its tier's priority; larger goes first.
    pub priority: u8,
}

/// How urgent the head of a line is. The larger goes first: the priority, then the longer wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// The priority, or [`PROMOTED`].
    pub level: u16,
    /// When it began to wait, in nanoseconds of the monotonic clock.
    pub since_ns: u64,
}

/// The level of whoever has waited long enough: above every priority.
pub const PROMOTED: u16 = 256;

impl Rank {
    /// True when this one goes before the other.
    pub fn before(&self, other: &Self) -> bool {
        (self.level, core::cmp::Reverse(self.since_ns)) > (other.level, core::cmp::Reverse(other.since_ns))
    }
}

/// The consumers of one priority, each with its own requests in the order they came.
#[derive(Debug, Default)]
struct Level {
    turns: VecDeque<u64>,
    waiting: HashMap<u64, VecDeque<Ticket>>,
}

impl Level {
    fn enter(&mut self, consumer: u64, ticket: Ticket) {
        let own = self.waiting.entry(consumer).or_default();
        if own.is_empty() {
            self.turns.push_back(consumer);
        }
        own.push_back(ticket);
    }

    /// `served` says that it was the consumer's turn: the next one is another's.
    fn leave(&mut self, consumer: u64, ticket: Ticket, served: bool) {
        let Some(own) = self.waiting.get_mut(&consumer) else { return };
        own.retain(|other| *other != ticket);
        let done = own.is_empty();
        if done {
            self.waiting.remove(&consumer);
        }
        if (done || served)
            && let Some(at) = self.turns.iter().position(|other| *other == consumer)
        {
            self.turns.remove(at);
            if !done {
                self.turns.push_back(consumer);
            }
        }
    }

    fn next(&self) -> Option<Ticket> {
        self.waiting.get(self.turns.front()?)?.front().copied()
    }
}

/// Everybody who waits for one account.
#[derive(Debug, Default)]
pub(super) struct Line {
    levels: BTreeMap<u8, Level>,
    /// By the time they came.
    arrivals: BTreeSet<(u64, Ticket)>,
}

impl Line {
    pub fn enter(&mut self, ticket: Ticket, place: &Place, entered_ns: u64) {
        self.arrivals.insert((entered_ns, ticket));
        self.levels.entry(place.priority).or_default().enter(place.consumer, ticket);
    }

    pub fn leave(&mut self, ticket: Ticket, place: &Place, entered_ns: u64, served: bool) {
        self.arrivals.remove(&(entered_ns, ticket));
        if let Some(level) = self.levels.get_mut(&place.priority) {
            level.leave(place.consumer, ticket, served);
            if level.turns.is_empty() {
                self.levels.remove(&place.priority);
            }
        }
    }

    /// Who is next, and whether it was promoted. O(log n).
    pub fn next(&self, now_ns: u64, promote_ns: u64) -> Option<(Ticket, bool)> {
        let (oldest_ns, oldest) = self.arrivals.first()?;
        if now_ns.saturating_sub(*oldest_ns) >= promote_ns {
            return Some((*oldest, true));
        }
        self.levels.last_key_value()?.1.next().map(|ticket| (ticket, false))
    }

    /// When the one that has waited longest came.
    pub fn oldest_ns(&self) -> Option<u64> {
        self.arrivals.first().map(|(entered_ns, _)| *entered_ns)
    }

    pub fn len(&self) -> usize {
        self.arrivals.len()
    }

    pub fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }
}
