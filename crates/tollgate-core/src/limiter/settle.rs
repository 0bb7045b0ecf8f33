//! Settling: what was held becomes what was used, or is taken back. Pure, like taking.

use crate::limit::{Cell, State};
use crate::policy::{Kind, Limit, Meter};

use super::adjust::Memory;
use super::amounts::Amounts;
use super::change::Changed;
use super::context::{Context, remove_known};
use super::decision::Held;
use super::plan::Charge;

impl Context<'_> {
    /// Settles what was held at what was used.
    pub fn settle(&self, cells: &mut Vec<Cell>, all: &[Held], actual: &Amounts) -> Changed {
        let mut changed = false;
        for held in all {
            let Some(limit) = self.policy.limit_at(held.limit, held.percent) else { continue };
            let limit = &*limit;
            if limit.is_counted_at_once() {
                continue;
            }
            // A known cell stays in its window: settling is no reason to begin the next.
            let known = remove_known(cells, held.cell, limit);
            let is_known = known.is_some();
            let mut cell = known.unwrap_or_else(|| self.remove(cells, held.cell, limit));
            changed |= self.settle_one(&mut cell, is_known, limit, held, actual.of(limit.meter));
            self.status(limit, held.limit, &mut cell);
            cells.push(cell);
        }
        if changed { Changed::Cells } else { Changed::Nothing }
    }

    fn settle_one(&self, cell: &mut Cell, known: bool, limit: &Limit, held: &Held, used: u64) -> bool {
        match (&mut cell.state, &limit.kind) {
            (State::Bucket(_, spare), Kind::Rate(_)) if held.spare => {
                spare.settle(held.window, held.amount, used);
            }
            (State::Bucket(bucket, spare), Kind::Rate(rate)) if held.spared > 0 => {
                let beyond = used.saturating_sub(held.amount);
                let from_spare = beyond.min(held.spared);
                spare.settle(held.window, held.spared, from_spare);
                let rate = held.rate(limit, rate);
                bucket.charge(rate, self.now.mono_ns, beyond - from_spare);
                bucket.refund(rate, held.amount.saturating_sub(used));
            }
            (State::Bucket(bucket, _), Kind::Rate(rate)) if used > held.amount => {
                bucket.charge(held.rate(limit, rate), self.now.mono_ns, used - held.amount);
            }
            (State::Bucket(bucket, _), Kind::Rate(rate)) if used < held.amount => {
                bucket.refund(held.rate(limit, rate), held.amount - used);
            }
            (State::Shared(shared), Kind::Rate(rate)) => {
                self.settle_share(shared, held.rate(limit, rate), held.amount, used);
            }
            (State::Sliding(sliding, holds), Kind::Window(span)) => {
                // What is missing of the hold has expired, and was charged then.
                let expired = held.excess - holds.release(self.owner, held.excess);
                let counted = held.amount - held.excess + if known { expired } else { 0 };
                if used > counted {
                    let span = self.span(limit, span);
                    let offset_ns = sliding.advance(span, self.now.mono_ns);
                    sliding.charge(span, offset_ns, used - counted);
                } else {
                    sliding.refund(held.window, counted - used);
                }
            }
            (State::Quota(usage), Kind::Quota { .. }) if usage.window.start_s == held.window => {
                // What is missing of the hold has expired, and was counted as used then.
                let released = usage.holds.release(self.owner, held.amount);
                let expired = if known { held.amount - released } else { 0 };
                usage.used = usage.used.saturating_sub(expired).saturating_add(used);
            }
            (State::Leased(leased), _) => return self.settle_lease(leased, held, used),
            (State::InFlight(holds), Kind::Concurrency(_)) => return holds.release(self.owner, 1) > 0,
            _ => return false,
        }
        true
    }

    /// Takes back what [`Context::take`] took, as if it had never been.
    pub fn undo(&self, cells: &mut Vec<Cell>, all: &[Held]) -> Changed {
        for held in all {
            let Some(limit) = self.policy.limit_at(held.limit, held.percent) else { continue };
            let limit = &*limit;
            let Some(mut cell) = remove_known(cells, held.cell, limit) else { continue };
            match (&mut cell.state, &limit.kind) {
                (State::Bucket(_, spare), Kind::Rate(_)) if held.spare => {
                    spare.settle(held.window, held.amount, 0);
                }
                (State::Bucket(bucket, spare), Kind::Rate(rate)) => {
                    bucket.refund(held.rate(limit, rate), held.amount);
                    spare.settle(held.window, held.spared, 0);
                }
                (State::Shared(shared), Kind::Rate(rate)) => {
                    self.settle_share(shared, held.rate(limit, rate), held.amount, 0);
                }
                (State::Sliding(sliding, holds), Kind::Window(_)) => {
                    holds.release(self.owner, held.excess);
                    sliding.refund(held.window, held.amount - held.excess);
                }
                (State::Quota(usage), Kind::Quota { .. }) if usage.window.start_s == held.window => {
                    if limit.meter == Meter::Requests {
                        usage.used = usage.used.saturating_sub(held.amount);
                    } else {
                        usage.holds.release(self.owner, held.amount);
                    }
                }
                (State::Leased(leased), _) => self.undo_lease(leased, held),
                (State::InFlight(holds), Kind::Concurrency(_)) => {
                    holds.release(self.owner, 1);
                }
                _ => {}
            }
            self.status(limit, held.limit, &mut cell);
            cells.push(cell);
        }
        Changed::Cells
    }

    /// Adds what earlier processes used in the window `start_s` begins; a quota in another window is left alone.
    pub fn restore(&self, cells: &mut Vec<Cell>, charges: &[Charge], start_s: u32) -> Changed {
        let mut changed = Changed::Nothing;
        for charge in charges {
            let Some(limit) = self.policy.limit_at(charge.limit, charge.percent) else { continue };
            let limit = &*limit;
            let Kind::Quota { calendar, .. } = limit.kind else { continue };
            if self.policy.window(calendar, self.now.wall_s()).start_s != start_s {
                continue;
            }
            let mut cell = self.remove(cells, charge.cell, limit);
            if let State::Quota(usage) = &mut cell.state {
                usage.used = usage.used.saturating_add(charge.amount);
            }
            self.status(limit, charge.limit, &mut cell);
            cells.push(cell);
            changed = Changed::Cells;
        }
        changed
    }

    /// Enters what a model server reports where the last reading is so many seconds old, and raises `peak` to the highest
    /// reading there was.
    pub fn report(
        &self,
        cells: &mut Vec<Cell>,
        charges: &[Charge],
        (memory, age_s): (Memory, u32),
        peak: &mut Memory,
    ) -> Changed {
        let mut changed = Changed::Nothing;
        for charge in charges {
            let Some(limit) = self.policy.limit_at(charge.limit, charge.percent) else { continue };
            let limit = &*limit;
            let Some(reading) = memory.of(limit.meter) else { continue };
            let mut cell = self.remove(cells, charge.cell, limit);
            if let State::Gauge(gauge) = &mut cell.state
                && gauge.is_older(self.now.mono_s(), age_s)
            {
                gauge.report(reading, self.now.mono_s());
                peak.raise(limit.meter, gauge.peak);
                changed = Changed::Cells;
            }
            self.status(limit, charge.limit, &mut cell);
            cells.push(cell);
        }
        changed
    }

    /// Makes burst allowances whole again.
    pub fn reset_bursts(&self, cells: &mut Vec<Cell>, charges: &[Charge]) -> Changed {
        for charge in charges {
            let Some(limit) = self.policy.limit_at(charge.limit, charge.percent) else { continue };
            let limit = &*limit;
            let mut cell = self.remove(cells, charge.cell, limit);
            if let State::Bucket(_, spare) = &mut cell.state {
                spare.used = 0;
            }
            self.status(limit, charge.limit, &mut cell);
            cells.push(cell);
        }
        Changed::Cells
    }
}
