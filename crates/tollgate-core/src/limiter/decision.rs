//! What the limiter answers: admitted with what is held, refused and why, or undecided.

use crate::limit::{Evicted, Rate};
use crate::policy::{Limit, LimitId};
use crate::store::StoreError;

use super::ATTEMPTS_MAX;

/// Why no decision was reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// Others changed the balance at each of [`ATTEMPTS_MAX`] attempts.
    #[error("the balance was changed by others at each of {ATTEMPTS_MAX} attempts")]
    Contention,
    /// The host refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a limit answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Every limit took the request.
    Admit(Admission),
    /// A limit did not, and none has consumed anything.
    Refuse(Refusal),
}

/// Why a limit refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is used up for now.
    Exhausted,
    /// The request is larger than the limit: waiting won't help.
    TooLarge,
    /// Too many requests are in flight.
    Busy,
    /// This Envoy's slice of a global quota is spent, or its share of a global rate too small, and more is being asked for.
    Unleased,
    /// The same, and the ledger does not answer.
    Unreachable,
}

impl Why {
    /// True when nobody knows whether the limit has room: what is lacking is a lease.
    pub const fn lacks_lease(self) -> bool {
        matches!(self, Self::Unleased | Self::Unreachable)
    }
}

/// The limit that binds, and how things stand with it. Amounts are in its meter's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The limit.
    pub limit: LimitId,
    /// Why.
    pub why: Why,
    /// When to come again, in nanoseconds; None when waiting won't help.
    pub wait_ns: Option<u64>,
    /// Units asked for.
    pub requested: u64,
    /// Units there are at most.
    pub most: u64,
    /// Units left.
    pub remaining: u64,
    /// Until the limit is whole again, in nanoseconds.
    pub reset_ns: u64,
    /// The account the limit's balance is in; 0 for a limit without one.
    pub account: u64,
    /// Every limit that refused is one to queue at: the request may wait and be tried again.
    pub queueable: bool,
}

/// How a limit stands after a request was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The limit.
    pub limit: LimitId,
    /// Units there are at most.
    pub most: u64,
    /// Units left.
    pub remaining: u64,
    /// Until it is whole again, in nanoseconds.
    pub reset_ns: u64,
}

/// What an admitted request holds, and what there is to tell about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// To be settled when the answer ends.
    pub reservation: Reservation,
    /// Every limit touched.
    pub statuses: Vec<Status>,
    /// Thresholds passed, in percent.
    pub warnings: Vec<(LimitId, u8)>,
    /// Limits that were exceeded and let the request pass: they only warn, or their grace lasts.
    pub exceeded: Vec<LimitId>,
    /// Limits that would have refused it, were they not in shadow.
    pub shadowed: Vec<LimitId>,
    /// How long the request must wait before it goes on, in nanoseconds; 0 unless a limit throttles. What it waits for
    /// is booked: nobody overtakes it.
    pub delay_ns: u64,
    /// The limit it waits longest for.
    pub throttled: Option<LimitId>,
    /// Limits whose burst allowance it draws from.
    pub bursts: Vec<LimitId>,
    /// Swaps lost on the way.
    pub retries: u32,
    /// What full slots forgot.
    pub evicted: Evicted,
}

/// What one limit gave a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub account: u64,
    pub cell: u32,
    pub limit: LimitId,
    pub amount: u64,
    /// What of it is beyond the expected use, in a sliding window.
    pub excess: u64,
    /// The first second of a quota's window, the number of a sliding one, the generation of an allowance.
    pub window: u32,
    /// Taken from the burst allowance, not from the rate; of a global quota: covered by no lease.
    pub spare: bool,
    /// The lease of a global quota; 0 of any other limit.
    pub life: u64,
    /// How much of the limit there was, in percent: what comes back comes back to as much.
    pub percent: u32,
    /// Taken while rates were tightened: what comes back comes back at that rate.
    pub tight: bool,
    /// Taken from the burst allowance in mid-stream, on top of what the rate gave.
    pub spared: u64,
}

impl Held {
    /// The rate it was taken at.
    pub const fn rate<'l>(&self, limit: &'l Limit, rate: &'l Rate) -> &'l Rate {
        limit.rate_when(self.tight, rate)
    }

    /// All it holds.
    pub const fn total(&self) -> u64 {
        self.amount.saturating_add(self.spared)
    }
}

/// What a request holds. Dropping it leaks the hold until its owner dies: settle it.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reservation {
    pub(super) held: Vec<Held>,
}

impl Reservation {
    /// The accounts something is held in, each once.
    pub fn accounts(&self) -> impl Iterator<Item = u64> {
        self.held
            .chunk_by(|a, b| a.account == b.account)
            .filter_map(|group| group.first())
            .map(|held| held.account)
    }
}
