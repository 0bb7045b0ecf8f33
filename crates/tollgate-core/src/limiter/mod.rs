//! Admit and settle: the limiter itself. Either every limit takes a request, or none.
//!
//! Each account touched is one compare-and-swap; a step that lost its swap runs again on what it finds then.

mod adjust;
mod admit;
mod amounts;
mod change;
mod context;
mod decision;
mod later;
mod lease;
mod lease_talk;
mod plan;
mod process;
mod refusal;
mod settle;
mod share;
mod standing;
mod take;
#[cfg(test)]
mod tests;
mod top_up;
mod watch;

use hashbrown::HashMap;

use crate::limit::{Cell, Owner, Owners};
use crate::policy::{LimitId, Policy};
use crate::store::{Expected, SharedStore, Slot, Swap};
use crate::time::Now;

pub use adjust::{HOLD_S, Memory};
pub use amounts::{Amounts, Demand};
pub use decision::{Admission, Decision, Refusal, Reservation, Status, Undecided, Why};
pub use lease_talk::{Answer, Asked, Say};
use plan::Charge;
pub use process::Process;
pub use top_up::TopUp;
pub use watch::Watch;

/// Most attempts at one swap. Two workers that do nothing else lose about one in two; in Envoy it is one in a hundred.
pub const ATTEMPTS_MAX: u32 = 64;

/// One worker's hand on the shared balances.
#[derive(Debug)]
pub struct Limiter {
    process: Process,
    owner: Owner,
    owners: Owners,
    /// The models are strained: rates are tightened.
    tight: bool,
    /// The request that is decided has waited for a lease as long as it may.
    last_try: bool,
    later: later::Later,
    limits: Vec<LimitId>,
    charges: Vec<Charge>,
    cells: Vec<Cell>,
    old: Vec<u8>,
    new: Vec<u8>,
    /// The slots of a request's accounts, in their order, as they were looked at first.
    seen: Vec<admit::Seen>,
    /// Accounts with leases, and when they are looked after next, in monotonic milliseconds.
    leases: HashMap<u64, u64>,
    /// The slot that was last searched for leases.
    searched: u32,
    /// What is to be said to the ledger.
    asks: Vec<lease_talk::Asked>,
    /// The version of the slot in `old`, if it is the next that is changed.
    looked: Option<Expected>,
}

impl Limiter {
    /// Joins the process: creates its identity from `random` if this is its first worker, and enters the worker.
    ///
    /// # Errors
    /// [`Undecided`] when shared storage can't be used.
    pub fn join(
        policy: &Policy,
        store: &impl SharedStore,
        random: [u8; 24],
        owner: Owner,
        now: Now,
    ) -> Result<Self, Undecided> {
        let mut limiter = Self {
            process: process::join(store, random, policy.slots)?,
            owner,
            owners: Owners::default(),
            tight: false,
            last_try: false,
            later: later::Later::default(),
            limits: Vec::new(),
            charges: Vec::new(),
            cells: Vec::new(),
            old: Vec::new(),
            new: Vec::new(),
            seen: Vec::new(),
            leases: HashMap::new(),
            searched: 0,
            asks: Vec::new(),
            looked: None,
        };
        limiter.beat(store, now)?;
        Ok(limiter)
    }

    /// Creates all slots, so that no request ever does: a new key may stall every worker. O(slots).
    ///
    /// # Errors
    /// [`Undecided`] when shared storage can't be used.
    pub fn prepare(&self, store: &impl SharedStore) -> Result<(), Undecided> {
        for slot in 0..self.process.slots {
            // A slot somebody else created, or that has balances already, stays as it is.
            store.swap(Slot::Accounts(slot), &[], Expected::Absent)?;
        }
        Ok(())
    }

    /// What this worker's holds are tagged with.
    pub const fn owner(&self) -> Owner {
        self.owner
    }

    /// Whether rates are tightened from now on.
    pub const fn tighten(&mut self, tight: bool) {
        self.tight = tight;
    }

    /// The process.
    pub const fn process(&self) -> Process {
        self.process
    }

    /// Enters this worker's heartbeat and learns of the others. Call it about once a second.
    ///
    /// # Errors
    /// [`Undecided`] when shared storage can't be used; the worker is not taken for dead before ten seconds of it.
    pub fn beat(&mut self, store: &impl SharedStore, now: Now) -> Result<(), Undecided> {
        for attempt in 1..=ATTEMPTS_MAX {
            let expected = store.load(Slot::Owners, &mut self.old)?;
            self.owners = Owners::decode(&self.old);
            self.owners.beat(self.owner, now.mono_s());
            self.owners.encode(&mut self.new);
            if store.swap(Slot::Owners, &self.new, expected)? == Swap::Done {
                return Ok(());
            }
            store.lost(attempt);
        }
        Err(Undecided::Contention)
    }
}
