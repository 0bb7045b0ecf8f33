//! One pure step on one account: take, settle or take back. It may run twice, because a swap may be lost.

use crate::limit::{Bucket, Cell, Fullness, Owner, Owners, Short, State, Usage, Window};
use crate::policy::config::Violation;
use crate::policy::{Kind, Limit, LimitId, Meter, Policy};
use crate::time::{NANOS_PER_SECOND, Now};

use super::Held;
use super::amounts::Amounts;
use super::plan::Charge;
use super::{Refusal, Status, Why};

/// What a step needs to know besides the account.
pub(super) struct Context<'a> {
    pub policy: &'a Policy,
    pub now: Now,
    pub owner: Owner,
    pub owners: &'a Owners,
}

/// What taking did, account by account.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub held: Vec<Held>,
    pub statuses: Vec<Status>,
    pub warnings: Vec<(LimitId, u8)>,
    pub exceeded: Vec<LimitId>,
    pub refusal: Option<Refusal>,
}

impl Taken {
    /// Room for so many charges.
    pub fn of(charges: usize) -> Self {
        Self { held: Vec::with_capacity(charges), statuses: Vec::with_capacity(charges), ..Self::default() }
    }

    /// Back to nothing taken, for another attempt.
    pub fn clear(&mut self) {
        self.held.clear();
        self.statuses.clear();
        self.warnings.clear();
        self.exceeded.clear();
        self.refusal = None;
    }
}

impl Context<'_> {
    fn alive(&self, owner: Owner) -> bool {
        owner == self.owner || self.owners.is_alive(owner, self.now.mono_s())
    }

    /// Takes every charge from the account's cells. With a refusal in `taken` the cells must not be written.
    pub fn take(&self, cells: &mut Vec<Cell>, charges: &[Charge], taken: &mut Taken) -> Fullness {
        let mut fullness = Fullness::default();
        for charge in charges {
            let Some(limit) = self.policy.limit(charge.limit) else { continue };
            let mut cell = remove(cells, charge.cell, limit);
            let outcome = match (&mut cell.state, &limit.kind) {
                (State::Bucket(bucket), Kind::Rate(rate)) => {
                    let outcome =
                        bucket.take(rate, self.now.mono_ns, charge.amount).map_err(|short| match short {
                            Short::Wait(ns) => (Why::Exhausted, Some(ns)),
                            Short::Never => (Why::TooLarge, None),
                        });
                    if outcome.is_err() && limit.violation == Violation::Warn {
                        bucket.charge(rate, self.now.mono_ns, charge.amount);
                    }
                    taken.held.push(held(charge, 0));
                    outcome
                }
                (State::Quota(usage), Kind::Quota { limit: most, calendar }) => {
                    let window = self.policy.window(*calendar, self.now.wall_s());
                    self.take_quota(usage, window, *most, charge, limit, taken)
                }
                (State::InFlight(holds), Kind::Concurrency(most)) => {
                    holds.expire(|owner| self.alive(owner));
                    let fits = holds.total() < *most;
                    let held_it = (fits || limit.violation == Violation::Warn) && holds.add(self.owner, 1);
                    taken.held.push(held(charge, 0));
                    if fits && held_it { Ok(()) } else { Err((Why::Busy, Some(NANOS_PER_SECOND))) }
                }
                _ => Ok(()),
            };
            let status = self.status(limit, charge.limit, &cell);
            fullness =
                fullness.max(Fullness::of(limit.most().saturating_sub(status.remaining), limit.most()));
            if let Err((why, wait_ns)) = outcome {
                if limit.violation == Violation::Warn {
                    taken.exceeded.push(charge.limit);
                } else {
                    let refusal = Refusal {
                        limit: charge.limit,
                        why,
                        wait_ns,
                        requested: charge.amount,
                        most: limit.most(),
                        remaining: status.remaining,
                        reset_ns: status.reset_ns,
                    };
                    taken.refusal = Some(binding(taken.refusal.take(), refusal));
                }
            }
            taken.statuses.push(status);
            cells.push(cell);
        }
        fullness
    }

    fn take_quota(
        &self,
        usage: &mut Usage,
        window: Window,
        most: u64,
        charge: &Charge,
        limit: &Limit,
        taken: &mut Taken,
    ) -> Result<(), (Why, Option<u64>)> {
        roll(usage, window);
        // Whoever died in the middle of a request had it served: what it held counts as used.
        let lost = usage.holds.expire(|owner| self.alive(owner));
        usage.used = usage.used.saturating_add(lost);
        let fits = usage.used.saturating_add(usage.holds.total()).saturating_add(charge.amount) <= most;
        let mut counted = true;
        if fits || limit.violation == Violation::Warn {
            if limit.meter == Meter::Requests {
                usage.used = usage.used.saturating_add(charge.amount);
            } else {
                counted = usage.holds.add(self.owner, charge.amount);
            }
            if let Some(percent) = self.threshold(usage, most) {
                taken.warnings.push((charge.limit, percent));
            }
        }
        taken.held.push(held(charge, usage.window.start_s));
        match (fits && counted, charge.amount > most) {
            (true, _) => Ok(()),
            (false, true) => Err((Why::TooLarge, None)),
            (false, false) => Err((Why::Exhausted, Some(self.until(usage.window.end_s)))),
        }
    }

    /// The highest threshold the settled use has newly passed; marks it and those below.
    fn threshold(&self, usage: &mut Usage, most: u64) -> Option<u8> {
        let mut passed = None;
        for (bit, percent) in self.policy.thresholds.iter().enumerate() {
            let reached = u128::from(usage.used) * 100 >= u128::from(most) * u128::from(*percent);
            if reached && usage.warned & (1 << bit) == 0 {
                usage.warned |= 1 << bit;
                passed = Some(*percent);
            }
        }
        passed
    }

    fn until(&self, wall_s: u32) -> u64 {
        u64::from(wall_s).saturating_mul(NANOS_PER_SECOND).saturating_sub(self.now.wall.0)
    }

    fn status(&self, limit: &Limit, id: LimitId, cell: &Cell) -> Status {
        let (remaining, reset_ns) = match (&cell.state, &limit.kind) {
            (State::Bucket(bucket), Kind::Rate(rate)) => {
                (bucket.remaining(rate, self.now.mono_ns), bucket.full_in_ns(rate, self.now.mono_ns))
            }
            (State::Quota(usage), Kind::Quota { limit: most, .. }) => (
                most.saturating_sub(usage.used.saturating_add(usage.holds.total())),
                self.until(usage.window.end_s),
            ),
            (State::InFlight(holds), Kind::Concurrency(most)) => (most.saturating_sub(holds.total()), 0),
            _ => (limit.most(), 0),
        };
        Status { limit: id, remaining, reset_ns }
    }

    /// Settles what was held at what was used. True when a cell changed.
    pub fn settle(&self, cells: &mut Vec<Cell>, all: &[Held], actual: &Amounts) -> bool {
        let mut changed = false;
        for held in all {
            let Some(limit) = self.policy.limit(held.limit) else { continue };
            if limit.meter == Meter::Requests && !matches!(limit.kind, Kind::Concurrency(_)) {
                continue;
            }
            let known = cells.iter().any(|cell| cell.id == held.cell);
            let mut cell = remove(cells, held.cell, limit);
            let used = actual.of(limit.meter);
            match (&mut cell.state, &limit.kind) {
                (State::Bucket(bucket), Kind::Rate(rate)) if used > held.amount => {
                    bucket.charge(rate, self.now.mono_ns, used - held.amount);
                    changed = true;
                }
                (State::Bucket(bucket), Kind::Rate(rate)) if used < held.amount => {
                    bucket.refund(rate, held.amount - used);
                    changed = true;
                }
                (State::Quota(usage), Kind::Quota { calendar, .. }) => {
                    if !known {
                        usage.window = self.policy.window(*calendar, self.now.wall_s());
                    }
                    if usage.window.start_s == held.window_start_s {
                        // What is missing of the hold has expired, and was counted as used then.
                        let released = usage.holds.release(self.owner, held.amount);
                        let expired = if known { held.amount - released } else { 0 };
                        usage.used = usage.used.saturating_sub(expired).saturating_add(used);
                        changed = true;
                    }
                }
                (State::InFlight(holds), Kind::Concurrency(_)) => changed |= holds.release(self.owner, 1) > 0,
                _ => {}
            }
            cells.push(cell);
        }
        changed
    }

    /// Takes back what [`Context::take`] took, as if it had never been.
    pub fn undo(&self, cells: &mut Vec<Cell>, all: &[Held]) {
        for held in all {
            let Some(limit) = self.policy.limit(held.limit) else { continue };
            let mut cell = remove(cells, held.cell, limit);
            match (&mut cell.state, &limit.kind) {
                (State::Bucket(bucket), Kind::Rate(rate)) => bucket.refund(rate, held.amount),
                (State::Quota(usage), Kind::Quota { .. }) if usage.window.start_s == held.window_start_s => {
                    if limit.meter == Meter::Requests {
                        usage.used = usage.used.saturating_sub(held.amount);
                    } else {
                        usage.holds.release(self.owner, held.amount);
                    }
                }
                (State::InFlight(holds), Kind::Concurrency(_)) => {
                    holds.release(self.owner, 1);
                }
                _ => {}
            }
            cells.push(cell);
        }
    }

    /// Adds what earlier processes used in the window `start_s` begins; a quota in another window is left alone.
    pub fn restore(&self, cells: &mut Vec<Cell>, charges: &[Charge], start_s: u32) {
        for charge in charges {
            let Some(limit) = self.policy.limit(charge.limit) else { continue };
            let Kind::Quota { calendar, .. } = limit.kind else { continue };
            let window = self.policy.window(calendar, self.now.wall_s());
            if window.start_s != start_s {
                continue;
            }
            let mut cell = remove(cells, charge.cell, limit);
            if let State::Quota(usage) = &mut cell.state {
                roll(usage, window);
                usage.used = usage.used.saturating_add(charge.amount);
            }
            cells.push(cell);
        }
    }
}

fn held(charge: &Charge, window_start_s: u32) -> Held {
    Held {
        account: charge.account,
        cell: charge.cell,
        limit: charge.limit,
        amount: charge.amount,
        window_start_s,
    }
}

/// The refusal that is told: the one that lasts longest.
fn binding(first: Option<Refusal>, second: Refusal) -> Refusal {
    match first {
        Some(first) if first.wait_ns.is_none() => first,
        Some(first) if second.wait_ns.is_some() && first.wait_ns >= second.wait_ns => first,
        _ => second,
    }
}

/// Takes the cell out of the account, or a new one. A cell of another kind is of a limit that was changed.
fn remove(cells: &mut Vec<Cell>, id: u32, limit: &Limit) -> Cell {
    let fits = |state: &State| {
        matches!(
            (state, &limit.kind),
            (State::Bucket(_), Kind::Rate(_))
                | (State::Quota(_), Kind::Quota { .. })
                | (State::InFlight(_), Kind::Concurrency(_))
        )
    };
    match cells.iter().position(|cell| cell.id == id) {
        Some(index) => {
            let cell = cells.remove(index);
            if fits(&cell.state) { cell } else { fresh(id, limit) }
        }
        None => fresh(id, limit),
    }
}

fn fresh(id: u32, limit: &Limit) -> Cell {
    let state = match limit.kind {
        Kind::Rate(_) => State::Bucket(Bucket::default()),
        Kind::Quota { .. } => State::Quota(Usage::default()),
        Kind::Concurrency(_) | Kind::PerRequest(_) => State::InFlight(crate::limit::Holds::default()),
    };
    Cell { id, state }
}

/// Brings the usage to the current window.
///
/// A clock that stepped back does not open the window before again: what was counted in the next one stays there.
/// Windows that overlap are those of a changed configuration: what was used stays used.
fn roll(usage: &mut Usage, window: Window) {
    let old = usage.window;
    let stepped_back = old.start_s > window.start_s && old.start_s <= window.end_s;
    if old == window || stepped_back {
        return;
    }
    if old.start_s >= window.start_s || old.end_s <= window.start_s {
        *usage = Usage { window, ..Usage::default() };
    } else {
        usage.window = window;
    }
}
