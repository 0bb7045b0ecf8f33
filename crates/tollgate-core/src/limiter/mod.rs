//! Admit and settle: the limiter itself. Either every limit takes a request, or none.
//!
//! Each account touched is one compare-and-swap; a step that lost its swap runs again on what it finds then.

mod amounts;
mod context;
mod plan;
mod settle;
mod take;
#[cfg(test)]
mod tests;

use tollgate_wire::Balance;

use crate::hash::HashKey;
use crate::limit::{Cell, Evicted, Fullness, Owner, Owners, read_account, write_account};
use crate::policy::config::Violation;
use crate::policy::{Attributes, Kind, LimitId, Policy};
use crate::store::{SharedStore, Slot, StoreError, Swap};
use crate::time::Now;

pub use amounts::{Amounts, Demand};
use context::Context;
use plan::Charge;
use take::Taken;

/// Most attempts at one swap. Two workers that do nothing else lose about one in two; in Envoy it is one in a hundred.
pub const ATTEMPTS_MAX: u32 = 64;

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
    /// Every limit that refused is one to queue at: the request may wait and be tried again.
    pub queueable: bool,
}

/// How a limit stands after a request was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The limit.
    pub limit: LimitId,
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
    /// Swaps lost on the way.
    pub retries: u32,
    /// What full slots forgot.
    pub evicted: Evicted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    account: u64,
    cell: u32,
    limit: LimitId,
    amount: u64,
    window_start_s: u32,
}

/// What a request holds. Dropping it leaks the hold until its owner dies: settle it.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reservation {
    held: Vec<Held>,
}

/// An Envoy process as its workers know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Random identity, the same for all workers.
    pub id: u64,
    /// Key of the hashes that find a balance.
    pub key: HashKey,
}

/// One worker's hand on the shared balances.
#[derive(Debug)]
pub struct Limiter {
    process: Process,
    owner: Owner,
    owners: Owners,
    limits: Vec<LimitId>,
    charges: Vec<Charge>,
    cells: Vec<Cell>,
    old: Vec<u8>,
    new: Vec<u8>,
}

struct Written {
    retries: u32,
    evicted: Evicted,
}

impl Limiter {
    /// Joins the process: creates its identity from `random` if this is its first worker, and enters the worker.
    ///
    /// # Errors
    /// [`Undecided`] when shared storage can't be used.
    pub fn join(
        store: &impl SharedStore,
        random: [u8; 24],
        owner: Owner,
        now: Now,
    ) -> Result<Self, Undecided> {
        let mut limiter = Self {
            process: process(store, random)?,
            owner,
            owners: Owners::default(),
            limits: Vec::new(),
            charges: Vec::new(),
            cells: Vec::new(),
            old: Vec::new(),
            new: Vec::new(),
        };
        limiter.beat(store, now)?;
        Ok(limiter)
    }

    /// Creates all slots, so that no request ever does: a new key may stall every worker. O(slots).
    ///
    /// # Errors
    /// [`Undecided`] when shared storage can't be used.
    pub fn prepare(policy: &Policy, store: &impl SharedStore) -> Result<(), Undecided> {
        for slot in 0..policy.slots {
            // A slot somebody else created, or that has balances already, stays as it is.
            store.swap(Slot::Accounts(slot), &[], crate::store::Expected::Absent)?;
        }
        Ok(())
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

    /// Decides a request: every limit that matches takes its share, or none does.
    ///
    /// # Errors
    /// [`Undecided`]: nothing was taken.
    pub fn admit(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        request: &Attributes<'_>,
        demand: &Demand,
    ) -> Result<Decision, Undecided> {
        let mut limits = core::mem::take(&mut self.limits);
        let mut charges = core::mem::take(&mut self.charges);
        policy.matching(request, &mut limits);
        let mut admission = Admission::default();
        let decision = match too_large(policy, &limits, demand, &mut admission) {
            Ok(()) => {
                plan::charges(policy, &self.process.key, request, demand, &limits, &mut charges);
                self.take_all(policy, store, now, &charges, admission)
            }
            Err(refusal) => Ok(Decision::Refuse(refusal)),
        };
        (self.limits, self.charges) = (limits, charges);
        decision
    }

    fn take_all(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        charges: &[Charge],
        mut admission: Admission,
    ) -> Result<Decision, Undecided> {
        let several =
            charges.first().is_some_and(|first| charges.iter().any(|charge| charge.account != first.account));
        if several && let Some(refusal) = self.foresee(policy, store, now, charges)? {
            return Ok(Decision::Refuse(refusal));
        }
        for group in charges.chunk_by(|a, b| a.account == b.account) {
            let mut taken = Taken::of(group.len());
            let written = self.change(policy, store, now, group, |context, cells, group| {
                taken.clear();
                let fullness = context.take(cells, group, &mut taken);
                taken.refusal.is_none().then_some(Some(fullness))
            });
            let outcome = match (written, taken.refusal) {
                (Err(error), _) => Err(error),
                (Ok(_), Some(refusal)) => Ok(Decision::Refuse(refusal)),
                (Ok(written), None) => {
                    append(&mut admission.reservation.held, taken.held);
                    append(&mut admission.statuses, taken.statuses);
                    append(&mut admission.warnings, taken.warnings);
                    append(&mut admission.exceeded, taken.exceeded);
                    append(&mut admission.shadowed, taken.shadowed);
                    admission.delay_ns = admission.delay_ns.max(taken.delay_ns);
                    admission.retries += written.retries;
                    admission.evicted.accounts += written.evicted.accounts;
                    admission.evicted.cells += written.evicted.cells;
                    continue;
                }
            };
            self.withdraw(policy, store, now, &admission.reservation)?;
            return outcome;
        }
        Ok(Decision::Admit(admission))
    }

    /// Looks whether any account would refuse, before the first is changed.
    fn foresee(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        charges: &[Charge],
    ) -> Result<Option<Refusal>, Undecided> {
        let mut taken = Taken::default();
        for group in charges.chunk_by(|a, b| a.account == b.account) {
            let Some(first) = group.first() else { continue };
            store.load(slot_of(policy, first.account), &mut self.old)?;
            read_account(&self.old, first.account, &mut self.cells);
            self.meet_owners(store)?;
            let context = Context { policy, now, owner: self.owner, owners: &self.owners };
            context.take(&mut self.cells, group, &mut taken);
        }
        Ok(taken.refusal)
    }

    /// Gives back what was reserved and charges what was used instead. The balance may go below zero.
    ///
    /// # Errors
    /// The part of the reservation that is not settled yet, for another try, and why.
    pub fn settle(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        reservation: Reservation,
        actual: &Amounts,
    ) -> Result<(), (Reservation, Undecided)> {
        let mut done = 0;
        for group in reservation.held.chunk_by(|a, b| a.account == b.account) {
            let settled = self.change(policy, store, now, group, |context, cells, group| {
                context.settle(cells, group, actual).then_some(None)
            });
            if let Err(error) = settled {
                let rest = reservation.held.get(done..).unwrap_or_default().to_vec();
                return Err((Reservation { held: rest }, error));
            }
            done += group.len();
        }
        Ok(())
    }

    /// Takes a reservation back as if it had never been: of a request that left before it went on.
    ///
    /// # Errors
    /// [`Undecided`]: some of it may still be held, until this worker ends.
    pub fn withdraw(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        reservation: &Reservation,
    ) -> Result<(), Undecided> {
        for group in reservation.held.chunk_by(|a, b| a.account == b.account) {
            self.change(policy, store, now, group, |context, cells, group| {
                context.undo(cells, group);
                Some(None)
            })?;
        }
        Ok(())
    }

    /// Adds what an earlier process of this node used to the quotas that are still in the window beginning at
    /// `window_start_s`.
    ///
    /// # Errors
    /// [`Undecided`]: nothing, or only accounts before the failing one, were restored.
    pub fn restore(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        balance: &Balance,
        window_start_s: u32,
    ) -> Result<(), Undecided> {
        let request = Attributes {
            consumer: &balance.consumer,
            team: &balance.team,
            project: &balance.project,
            tier: &balance.tier,
            route: &balance.route,
            policy: &balance.policy,
            action: &balance.action,
            workflow: "",
            provider: &balance.provider,
            model: &balance.model,
            ..Attributes::default()
        };
        let used = Amounts {
            input: balance.input,
            output: balance.output,
            cost: balance.cost_nusd,
            credits: balance.credits,
        };
        let mut charges = Vec::new();
        policy.matching(&request, &mut self.limits);
        let demand = Demand { expected: used, bound: used };
        plan::charges(policy, &self.process.key, &request, &demand, &self.limits, &mut charges);
        for charge in &mut charges {
            if policy.limit(charge.limit).is_some_and(|limit| !limit.meter.reads_body()) {
                charge.amount = balance.requests;
            }
        }
        for group in charges.chunk_by(|a, b| a.account == b.account) {
            self.change(policy, store, now, group, |context, cells, group| {
                context.restore(cells, group, window_start_s);
                Some(None)
            })?;
        }
        Ok(())
    }

    /// Changes one account by compare-and-swap. The step returns None to leave it as it is, else the account's new
    /// fullness if it knows.
    fn change<T: OfAccount>(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        group: &[T],
        mut step: impl FnMut(&Context<'_>, &mut Vec<Cell>, &[T]) -> Option<Option<Fullness>>,
    ) -> Result<Written, Undecided> {
        let mut written = Written { retries: 0, evicted: Evicted::default() };
        let Some(account) = group.first().map(OfAccount::account) else {
            return Ok(written);
        };
        let slot = slot_of(policy, account);
        for attempt in 1..=ATTEMPTS_MAX {
            let expected = store.load(slot, &mut self.old)?;
            let before = read_account(&self.old, account, &mut self.cells);
            self.meet_owners(store)?;
            let context = Context { policy, now, owner: self.owner, owners: &self.owners };
            let Some(fullness) = step(&context, &mut self.cells, group) else {
                return Ok(written);
            };
            let at = (now.mono_ns, now.wall_s());
            written.evicted =
                write_account(&self.old, account, &self.cells, fullness.unwrap_or(before), at, &mut self.new);
            if store.swap(slot, &self.new, expected)? == Swap::Done {
                return Ok(written);
            }
            written.retries += 1;
            store.lost(attempt);
        }
        Err(Undecided::Contention)
    }

    /// Reads the register again when a hold's owner is not in the copy at hand: it may have joined since.
    fn meet_owners(&mut self, store: &impl SharedStore) -> Result<(), Undecided> {
        let stranger = |owner: Owner| owner != self.owner && !self.owners.knows(owner);
        if self.cells.iter().flat_map(Cell::owners).any(stranger) {
            store.load(Slot::Owners, &mut self.new)?;
            self.owners = Owners::decode(&self.new);
        }
        Ok(())
    }
}

/// Appends; the first list of all is taken over as it is.
fn append<T>(all: &mut Vec<T>, more: Vec<T>) {
    if all.is_empty() {
        *all = more;
    } else {
        all.extend(more);
    }
}

trait OfAccount {
    fn account(&self) -> u64;
}

impl OfAccount for Charge {
    fn account(&self) -> u64 {
        self.account
    }
}

impl OfAccount for Held {
    fn account(&self) -> u64 {
        self.account
    }
}

fn slot_of(policy: &Policy, account: u64) -> Slot {
    Slot::Accounts(account as u32 & (policy.slots - 1))
}

/// Checks the limits that have no balance.
fn too_large(
    policy: &Policy,
    limits: &[LimitId],
    demand: &Demand,
    admission: &mut Admission,
) -> Result<(), Refusal> {
    for id in limits {
        let Some(limit) = policy.limit(*id) else { continue };
        let Kind::PerRequest(most) = limit.kind else { continue };
        let requested = demand.bound.of(limit.meter);
        if requested <= most {
            continue;
        }
        match limit.violation {
            Violation::Warn => admission.exceeded.push(*id),
            Violation::Shadow => admission.shadowed.push(*id),
            Violation::Reject | Violation::Throttle | Violation::Queue => {
                return Err(Refusal {
                    limit: *id,
                    why: Why::TooLarge,
                    wait_ns: None,
                    requested,
                    most,
                    remaining: most,
                    reset_ns: 0,
                    queueable: false,
                });
            }
        }
    }
    Ok(())
}

/// The process's identity: the first worker's random bytes, for all.
fn process(store: &impl SharedStore, random: [u8; 24]) -> Result<Process, Undecided> {
    let mut bytes = Vec::new();
    for attempt in 1..=ATTEMPTS_MAX {
        let expected = store.load(Slot::Process, &mut bytes)?;
        if let Ok(known) = <[u8; 24]>::try_from(bytes.as_slice()) {
            return Ok(identity(known));
        }
        if store.swap(Slot::Process, &random, expected)? == Swap::Done {
            return Ok(identity(random));
        }
        store.lost(attempt);
    }
    Err(Undecided::Contention)
}

fn identity(bytes: [u8; 24]) -> Process {
    let mut key = [0u8; 16];
    let mut id = [0u8; 8];
    let (head, tail) = bytes.split_at(16);
    key.copy_from_slice(head);
    id.copy_from_slice(tail);
    Process { id: u64::from_le_bytes(id), key: HashKey::new(key) }
}
