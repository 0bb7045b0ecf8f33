//! More for a request that is under way: a stream that outgrows its reservation tops it up as it goes.
//!
//! The limits that end streams give all that is asked for, or no limit gives anything. Those that let streams finish give
//! it in any case, as settlement would: what is used shows while it is being used.

use crate::limit::{Cell, Holds, Sliding, Span, State, Usage};
use crate::policy::config::MidStream;
use crate::policy::{Kind, Limit, LimitId, Policy};
use crate::store::SharedStore;
use crate::time::{NANOS_PER_SECOND, Now};

use super::change::{Changed, OfAccount};
use super::context::Context;
use super::decision::Held;
use super::plan::Charge;
use super::refusal::{binding, refusal};
use super::{Amounts, Limiter, Refusal, Reservation, Undecided, Why};

/// What came of asking for more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopUp {
    /// It is reserved. These limits had no room for it, and let the stream finish.
    Taken(Vec<LimitId>),
    /// A limit that ends streams has no room for it; nothing was taken anywhere.
    Exhausted(Refusal),
}

/// More of one limit.
#[derive(Clone, Copy)]
struct More {
    held: Held,
    units: u64,
}

impl OfAccount for More {
    fn account(&self) -> u64 {
        self.held.account
    }
}

/// What was given.
#[derive(Default)]
struct Given {
    /// Only what came on top.
    held: Vec<Held>,
    beyond: Vec<LimitId>,
    refusal: Option<Refusal>,
}

impl Limiter {
    /// Reserves so much more that all of `needs` is reserved, where the limits look at streams before their end. Without
    /// `ends` no limit ends any.
    ///
    /// # Errors
    /// [`Undecided`]: nothing was taken, and what it needs may be asked for again.
    pub fn top_up(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        reservation: &mut Reservation,
        needs: &Amounts,
        ends: bool,
    ) -> Result<TopUp, Undecided> {
        let wanted: Vec<More> =
            reservation.held.iter().filter_map(|held| more(policy, *held, needs)).collect();
        let same = |a: &More, b: &More| a.held.account == b.held.account;
        if ends && wanted.chunk_by(same).nth(1).is_some() {
            for group in wanted.chunk_by(same) {
                if let Some(refusal) = self.lacks(policy, store, now, group)? {
                    return Ok(TopUp::Exhausted(refusal));
                }
            }
        }
        let mut all = Given::default();
        for group in wanted.chunk_by(same) {
            let mut given = Given::default();
            let changed = self.change(policy, store, now, group, |context, cells, group| {
                given = context.give(cells, group, ends);
                let nothing = given.refusal.is_some() || given.held.is_empty();
                if nothing { Changed::Nothing } else { Changed::Cells }
            });
            if changed.is_err() || given.refusal.is_some() {
                self.withdraw(policy, store, now, &Reservation { held: core::mem::take(&mut all.held) })?;
            }
            changed?;
            if let Some(refusal) = given.refusal {
                return Ok(TopUp::Exhausted(refusal));
            }
            all.held.append(&mut given.held);
            all.beyond.append(&mut given.beyond);
        }
        for given in all.held {
            if let Some(held) = reservation.held.iter_mut().find(|held| held.limit == given.limit) {
                held.amount += given.amount;
                held.excess += given.excess;
                held.spared += given.spared;
                held.window = given.window;
            }
        }
        Ok(TopUp::Taken(all.beyond))
    }

    /// The limit of one account that has no room, if one has none.
    fn lacks(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        group: &[More],
    ) -> Result<Option<Refusal>, Undecided> {
        let Some(account) = group.first().map(OfAccount::account) else { return Ok(None) };
        let given =
            self.peek(policy, store, now, account, |context, cells| context.give(cells, group, true))?;
        Ok(given.refusal)
    }
}

/// What a limit lacks of what is needed.
fn more(policy: &Policy, held: Held, needs: &Amounts) -> Option<More> {
    let limit = policy.limit(held.limit)?;
    let units = needs.of(limit.meter).saturating_sub(held.total());
    (limit.mid_stream != MidStream::Off && units > 0).then_some(More { held, units })
}

impl Context<'_> {
    /// Takes more from the account's cells. With a refusal the cells must not be written.
    fn give(&self, cells: &mut Vec<Cell>, wanted: &[More], ends: bool) -> Given {
        let mut given = Given::default();
        for more in wanted {
            let Some(limit) = self.policy.limit_at(more.held.limit, more.held.percent) else { continue };
            let limit = &*limit;
            if self.is_over(limit, &more.held) {
                continue;
            }
            let known = cells.iter().any(|cell| cell.id == more.held.cell);
            let mut cell = self.remove(cells, more.held.cell, limit);
            // A hold that a full slot forgot is made again, or settling would take it from somebody else's.
            let again = if known { 0 } else { more.held.amount };
            match self.give_one(&mut cell, limit, more, again) {
                Ok(held) => given.held.push(held),
                Err(wait_ns) if ends && limit.mid_stream == MidStream::End => {
                    if self.grace(&mut cell, limit, Why::Exhausted) {
                        given.held.extend(self.give_anyway(&mut cell, limit, more, again));
                    } else {
                        let status = self.status(limit, more.held.limit, &mut cell);
                        let over = (Why::Exhausted, Some(wait_ns));
                        let refusal = refusal(limit, &charge(more), over, &status);
                        given.refusal = Some(binding(given.refusal.take(), refusal));
                    }
                }
                Err(_) => {
                    given.held.extend(self.give_anyway(&mut cell, limit, more, again));
                    given.beyond.push(more.held.limit);
                }
            }
            self.status(limit, more.held.limit, &mut cell);
            cells.push(cell);
        }
        given
    }

    /// Nothing that is used from now on counts where the request was counted.
    fn is_over(&self, limit: &Limit, held: &Held) -> bool {
        match &limit.kind {
            Kind::Quota { calendar, .. } => {
                self.policy.window(*calendar, self.now.wall_s()).start_s != held.window
            }
            Kind::Rate(_) => {
                held.spare && limit.allowance.is_none_or(|allowance| allowance.generation != held.window)
            }
            _ => false,
        }
    }

    /// Takes what fits, or nothing: then it fits, if nobody else comes, in so many nanoseconds.
    fn give_one(&self, cell: &mut Cell, limit: &Limit, more: &More, again: u64) -> Result<Held, u64> {
        let (held, units) = (more.on_top(), more.units);
        match (&mut cell.state, &limit.kind) {
            (State::Bucket(bucket, spare), Kind::Rate(rate)) => {
                // At the rate the stream began with: what comes back comes back at one rate.
                let rate = held.rate(limit, rate);
                if !held.spare && bucket.take(rate, self.now.mono_ns, units).is_ok() {
                    return Ok(Held { amount: units, ..held });
                }
                let same = more.held.spared == 0 || more.held.window == spare.generation;
                if same && limit.allowance.is_some_and(|allowance| spare.take(&allowance, units)) {
                    let held = Held { window: spare.generation, ..held };
                    return Ok(if held.spare {
                        Held { amount: units, ..held }
                    } else {
                        Held { spared: units, ..held }
                    });
                }
                Err(bucket.ready_in_ns(rate, self.now.mono_ns, units))
            }
            (State::Shared(shared), Kind::Rate(rate)) => {
                self.top_up_share(shared, held.rate(limit, rate), limit, &held, units)
            }
            (State::Sliding(sliding, holds), Kind::Window(span)) => {
                self.hold_beside(sliding, holds, self.span(limit, span), units)?;
                Ok(Held { amount: units, excess: units, ..held })
            }
            (State::Leased(leased), _) => self.top_up_lease(leased, limit, &held, units),
            (State::Quota(usage), Kind::Quota { limit: most, .. }) => {
                let needed = usage.used.saturating_add(usage.holds.total()).saturating_add(again);
                if needed.saturating_add(units) <= *most && self.hold(usage, again.saturating_add(units)) {
                    Ok(Held { amount: units, ..held })
                } else {
                    Err(self.until(usage.window.end_s))
                }
            }
            _ => Ok(held),
        }
    }

    /// Holds more beside what a sliding window has counted.
    fn hold_beside(
        &self,
        sliding: &mut Sliding,
        holds: &mut Holds,
        span: &Span,
        units: u64,
    ) -> Result<(), u64> {
        let offset_ns = sliding.advance(span, self.now.mono_ns);
        let beside = holds.total().saturating_add(units);
        match sliding.take(span, offset_ns, 0, beside) {
            Ok(()) if holds.add(self.owner, units) => Ok(()),
            Ok(()) => Err(NANOS_PER_SECOND),
            Err(wait_ns) => Err(wait_ns.unwrap_or(NANOS_PER_SECOND)),
        }
    }

    fn hold(&self, usage: &mut Usage, units: u64) -> bool {
        usage.holds.add(self.owner, units)
    }

    /// Takes what does not fit. None where there is nothing to take it by: it is charged when it is settled.
    fn give_anyway(&self, cell: &mut Cell, limit: &Limit, more: &More, again: u64) -> Option<Held> {
        let (held, units) = (more.on_top(), more.units);
        match (&mut cell.state, &limit.kind) {
            (State::Bucket(_, spare), Kind::Rate(_)) if held.spare => {
                spare.settle(held.window, 0, units);
                Some(Held { amount: units, ..held })
            }
            (State::Bucket(bucket, _), Kind::Rate(rate)) => {
                bucket.charge(held.rate(limit, rate), self.now.mono_ns, units);
                Some(Held { amount: units, ..held })
            }
            (State::Shared(shared), Kind::Rate(rate)) => {
                shared.holder.charge(self.now, held.rate(limit, rate), units);
                Some(Held { amount: units, ..held })
            }
            (State::Sliding(_, holds), Kind::Window(_)) => {
                holds.add(self.owner, units).then_some(Held { amount: units, excess: units, ..held })
            }
            (State::Quota(usage), Kind::Quota { .. }) => {
                self.hold(usage, again.saturating_add(units)).then_some(Held { amount: units, ..held })
            }
            _ => None,
        }
    }
}

impl More {
    /// What it is taken from, with nothing taken yet.
    const fn on_top(&self) -> Held {
        Held { amount: 0, excess: 0, spared: 0, ..self.held }
    }
}

const fn charge(more: &More) -> Charge {
    let Held { account, cell, limit, percent, .. } = more.held;
    Charge { account, cell, limit, amount: more.units, excess: 0, percent }
}
