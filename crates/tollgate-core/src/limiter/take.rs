//! Taking: every charge from one account's cells, or a refusal. Pure; it may run twice, because a swap may be lost.

use crate::limit::{Cell, Fullness, Short, State, Usage, Window};
use crate::policy::config::Violation;
use crate::policy::{Kind, Limit, LimitId, Meter};
use crate::time::NANOS_PER_SECOND;

use super::context::{Context, remove, roll};
use super::plan::Charge;
use super::{Held, Refusal, Status, Why};

/// What taking did, account by account.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub held: Vec<Held>,
    pub statuses: Vec<Status>,
    pub warnings: Vec<(LimitId, u8)>,
    pub exceeded: Vec<LimitId>,
    pub shadowed: Vec<LimitId>,
    pub delay_ns: u64,
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
        self.shadowed.clear();
        self.delay_ns = 0;
        self.refusal = None;
    }
}

/// Why a charge did not fit, and when it will.
type Over = (Why, Option<u64>);

impl Context<'_> {
    /// Takes every charge from the account's cells. With a refusal in `taken` the cells must not be written.
    pub fn take(&self, cells: &mut Vec<Cell>, charges: &[Charge], taken: &mut Taken) -> Fullness {
        let mut fullness = Fullness::default();
        for charge in charges {
            let Some(limit) = self.policy.limit(charge.limit) else { continue };
            let mut cell = remove(cells, charge.cell, limit);
            self.renew(&mut cell, limit);
            let outcome = self.try_charge(&mut cell, limit, charge.amount);
            let over = match outcome {
                Ok(delay_ns) => {
                    taken.delay_ns = taken.delay_ns.max(delay_ns);
                    None
                }
                Err(over) => Some(over),
            };
            let graced = over.is_some_and(|(why, _)| self.grace(&mut cell, limit, why));
            let passes = graced || limit.violation == Violation::Warn;
            if over.is_some() && passes {
                self.charge_anyway(&mut cell, limit, charge.amount);
                taken.exceeded.push(charge.limit);
                // Whoever a grace lets through waits as long as those before it may have to.
                taken.delay_ns = taken.delay_ns.max(limit.max_wait_ns);
            }
            if over.is_none() || passes {
                taken.held.push(held(charge, &cell));
                self.warn(&mut cell, charge, limit, taken);
            }
            let status = self.status(limit, charge.limit, &cell);
            fullness =
                fullness.max(Fullness::of(limit.most().saturating_sub(status.remaining), limit.most()));
            match over {
                Some(_) if passes => {}
                Some(_) if limit.violation == Violation::Shadow => taken.shadowed.push(charge.limit),
                Some(over) => {
                    let refusal = refusal(limit, charge, over, &status);
                    taken.refusal = Some(binding(taken.refusal.take(), refusal));
                }
                None => {}
            }
            taken.statuses.push(status);
            cells.push(cell);
        }
        fullness
    }

    /// Brings a cell to the present: the current window, without the holds of the dead, and without a grace that
    /// belongs to an earlier violation.
    fn renew(&self, cell: &mut Cell, limit: &Limit) {
        let afresh = match (&mut cell.state, &limit.kind) {
            (State::Bucket(bucket), _) => bucket.at_rest(self.now.mono_ns),
            (State::Quota(usage), Kind::Quota { calendar, .. }) => {
                let afresh = roll(usage, self.policy.window(*calendar, self.now.wall_s()));
                // Whoever died in the middle of a request had it served: what it held counts as used.
                let lost = usage.holds.expire(|owner| self.alive(owner));
                usage.used = usage.used.saturating_add(lost);
                afresh
            }
            (State::InFlight(holds), _) => {
                holds.expire(|owner| self.alive(owner));
                holds.is_empty()
            }
            _ => false,
        };
        if afresh {
            cell.grace_until_s = 0;
        }
    }

    /// Charges what fits, and tells how long to wait before it may be used; leaves the cell as it is otherwise.
    fn try_charge(&self, cell: &mut Cell, limit: &Limit, amount: u64) -> Result<u64, Over> {
        match (&mut cell.state, &limit.kind) {
            (State::Bucket(bucket), Kind::Rate(rate)) => {
                bucket.book(rate, self.now.mono_ns, amount, limit.max_wait_ns).map_err(|short| match short {
                    Short::Wait(ns) => (Why::Exhausted, Some(ns)),
                    Short::Never => (Why::TooLarge, None),
                })
            }
            (State::Quota(usage), Kind::Quota { limit: most, .. }) => {
                let fits = usage.used.saturating_add(usage.holds.total()).saturating_add(amount) <= *most;
                match (fits && self.count(usage, limit, amount), amount > *most) {
                    (true, _) => Ok(0),
                    (false, true) => Err((Why::TooLarge, None)),
                    (false, false) => Err((Why::Exhausted, Some(self.until(usage.window.end_s)))),
                }
            }
            (State::InFlight(holds), Kind::Concurrency(most)) => {
                if holds.total() < *most && holds.add(self.owner, 1) {
                    Ok(0)
                } else {
                    Err((Why::Busy, Some(NANOS_PER_SECOND)))
                }
            }
            _ => Ok(0),
        }
    }

    /// Charges what does not fit.
    fn charge_anyway(&self, cell: &mut Cell, limit: &Limit, amount: u64) {
        match (&mut cell.state, &limit.kind) {
            (State::Bucket(bucket), Kind::Rate(rate)) => bucket.charge(rate, self.now.mono_ns, amount),
            (State::Quota(usage), _) => {
                self.count(usage, limit, amount);
            }
            (State::InFlight(holds), _) => {
                // With too many owners there is nothing to count it by; it passes all the same.
                let _ = holds.add(self.owner, 1);
            }
            _ => {}
        }
    }

    /// Requests are used at once, anything else is held. False when there are too many owners to hold by.
    fn count(&self, usage: &mut Usage, limit: &Limit, amount: u64) -> bool {
        if limit.meter == Meter::Requests {
            usage.used = usage.used.saturating_add(amount);
            return true;
        }
        usage.holds.add(self.owner, amount)
    }

    /// True while a first violation's grace lasts; begins it if this is the first. Only what would be refused is one.
    fn grace(&self, cell: &mut Cell, limit: &Limit, why: Why) -> bool {
        if limit.grace_s == 0 || limit.violation == Violation::Shadow || why == Why::TooLarge {
            return false;
        }
        if cell.grace_until_s == 0 {
            cell.grace_until_s = self.now.mono_s().saturating_add(limit.grace_s);
        }
        self.now.mono_s() < cell.grace_until_s
    }

    /// Tells the highest threshold the settled use has newly passed; marks it and those below.
    fn warn(&self, cell: &mut Cell, charge: &Charge, limit: &Limit, taken: &mut Taken) {
        let State::Quota(usage) = &mut cell.state else { return };
        let mut passed = None;
        for (bit, percent) in self.policy.thresholds.iter().enumerate() {
            let reached = u128::from(usage.used) * 100 >= u128::from(limit.most()) * u128::from(*percent);
            if reached && usage.warned & (1 << bit) == 0 {
                usage.warned |= 1 << bit;
                passed = Some(*percent);
            }
        }
        taken.warnings.extend(passed.map(|percent| (charge.limit, percent)));
    }
}

fn held(charge: &Charge, cell: &Cell) -> Held {
    let window = match &cell.state {
        State::Quota(usage) => usage.window,
        State::Bucket(_) | State::InFlight(_) => Window::default(),
    };
    Held {
        account: charge.account,
        cell: charge.cell,
        limit: charge.limit,
        amount: charge.amount,
        window_start_s: window.start_s,
    }
}

fn refusal(limit: &Limit, charge: &Charge, (why, wait_ns): Over, status: &Status) -> Refusal {
    Refusal {
        limit: charge.limit,
        why,
        wait_ns,
        requested: charge.amount,
        most: limit.most(),
        remaining: status.remaining,
        reset_ns: status.reset_ns,
        queueable: limit.violation == Violation::Queue && why != Why::TooLarge,
    }
}

/// The refusal that is told: the one that lasts longest. It can wait in a queue only if all of them can.
fn binding(first: Option<Refusal>, second: Refusal) -> Refusal {
    let Some(first) = first else { return second };
    let queueable = first.queueable && second.queueable;
    let told = match (first.wait_ns, second.wait_ns) {
        (None, _) => first,
        (Some(a), Some(b)) if a >= b => first,
        _ => second,
    };
    Refusal { queueable, ..told }
}
