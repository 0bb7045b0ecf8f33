//! Settling: what was held becomes what was used, or is taken back. Pure, like taking.

use crate::limit::{Cell, State};
use crate::policy::{Kind, Meter};

use super::Held;
use super::amounts::Amounts;
use super::context::{Context, remove, roll};
use super::plan::Charge;

impl Context<'_> {
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
