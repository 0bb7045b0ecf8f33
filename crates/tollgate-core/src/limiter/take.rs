//! Taking: every charge from one account's cells, or a refusal. Pure; it may run twice, because a swap may be lost.

use crate::limit::{Bucket, Cell, Holds, Rate, Short, Sliding, Span, Spare, State, Usage};
use crate::policy::config::Violation;
use crate::policy::{Attributes, Kind, Limit, LimitId, Meter};
use crate::time::NANOS_PER_SECOND;

use super::change::Changed;
use super::context::Context;
use super::decision::Held;
use super::lease_talk::Asked;
use super::plan::Charge;
use super::refusal::{binding, refusal};
use super::{Refusal, Status, Why};

/// What taking did, account by account.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub held: Vec<Held>,
    pub statuses: Vec<Status>,
    pub warnings: Vec<(LimitId, u8)>,
    pub exceeded: Vec<LimitId>,
    pub shadowed: Vec<LimitId>,
    pub bursts: Vec<LimitId>,
    pub asks: Vec<Asked>,
    pub delay_ns: u64,
    pub throttled: Option<LimitId>,
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
        self.bursts.clear();
        self.asks.clear();
        (self.delay_ns, self.throttled) = (0, None);
        self.refusal = None;
    }
}

/// Why a charge did not fit, and when it will.
pub(super) type Over = (Why, Option<u64>);

/// How a charge fitted.
pub(super) enum Fit {
    /// After so many nanoseconds; what it needs is taken.
    In(u64),
    /// Beyond the rate, from the burst allowance.
    Spare,
    /// Beyond what is leased, because the ledger is away and the limit allows it.
    Beyond,
}

impl Fit {
    pub const NOW: Self = Self::In(0);
}

impl Context<'_> {
    /// Takes every charge from the account's cells. With a refusal in `taken` the cells must not be written.
    pub fn take(
        &self,
        cells: &mut Vec<Cell>,
        charges: &[Charge],
        request: &Attributes<'_>,
        taken: &mut Taken,
    ) -> Changed {
        let mut changed = Changed::Nothing;
        for charge in charges {
            let Some(limit) = self.policy.limit_at(charge.limit, charge.percent) else { continue };
            let limit = &*limit;
            let mut cell = self.remove(cells, charge.cell, limit);
            let over = self.take_one(&mut cell, (limit, charge), request, taken);
            let status = self.status(limit, charge.limit, &mut cell);
            if let Some(over) = over {
                let refusal = refusal(limit, charge, over, &status);
                taken.refusal = Some(binding(taken.refusal.take(), refusal));
            }
            taken.statuses.push(status);
            if !matches!(cell.state, State::Gauge(_)) || cell.grace_until_s != 0 {
                changed = Changed::Cells;
            }
            cells.push(cell);
        }
        if taken.refusal.is_some() { Changed::Nothing } else { changed }
    }

    /// Takes one charge; returns why not if the request is to be refused for it.
    fn take_one(
        &self,
        cell: &mut Cell,
        (limit, charge): (&Limit, &Charge),
        request: &Attributes<'_>,
        taken: &mut Taken,
    ) -> Option<Over> {
        let tried = self.try_charge(cell, (limit, charge), request);
        match &mut cell.state {
            State::Leased(leased) => {
                self.ask(leased, (charge.account, charge.cell), limit, &mut taken.asks);
            }
            State::Shared(shared) => {
                self.claim(shared, (charge.account, charge.cell), limit, &mut taken.asks);
            }
            _ => {}
        }
        let spare = match tried {
            Ok(Fit::In(delay_ns)) => {
                if delay_ns > taken.delay_ns {
                    (taken.delay_ns, taken.throttled) = (delay_ns, Some(charge.limit));
                }
                false
            }
            Ok(Fit::Spare) => {
                taken.bursts.push(charge.limit);
                true
            }
            Ok(Fit::Beyond) => true,
            // Whom a limit would not stop does not wait for its lease either.
            Err((why, _)) if why.lacks_lease() && limit.violation == Violation::Shadow => {
                return None;
            }
            Err((why, _)) if why.lacks_lease() && limit.violation == Violation::Warn => {
                self.charge_anyway(cell, limit, charge);
                true
            }
            Err((why, _)) if limit.violation == Violation::Warn || self.grace(cell, limit, why) => {
                self.charge_anyway(cell, limit, charge);
                taken.exceeded.push(charge.limit);
                // Whoever a grace lets through waits as long as those before it may have to.
                taken.delay_ns = taken.delay_ns.max(limit.max_wait_ns);
                false
            }
            Err(_) if limit.violation == Violation::Shadow => {
                taken.shadowed.push(charge.limit);
                return None;
            }
            Err(over) => return Some(over),
        };
        taken.held.push(Held { tight: self.tight, ..self.held((charge, limit), cell, spare) });
        self.warn(cell, charge, limit, taken);
        None
    }

    /// Charges what fits, and tells how long to wait before it may be used; leaves the cell as it is otherwise.
    fn try_charge(
        &self,
        cell: &mut Cell,
        (limit, charge): (&Limit, &Charge),
        request: &Attributes<'_>,
    ) -> Result<Fit, Over> {
        let amount = charge.amount;
        match (&mut cell.state, &limit.kind) {
            (State::Bucket(bucket, spare), Kind::Rate(rate)) => {
                self.try_rate(bucket, spare, rate, limit, amount)
            }
            (State::Shared(shared), Kind::Rate(rate)) => {
                self.try_share(shared, rate, (charge, limit), request)
            }
            (State::Sliding(sliding, holds), Kind::Window(span)) => {
                self.try_window((sliding, holds), span, limit, charge)
            }
            (State::Gauge(gauge), Kind::Memory(most)) => {
                if gauge.reading(self.now.mono_s()) <= *most {
                    Ok(Fit::NOW)
                } else {
                    Err((Why::Exhausted, Some(NANOS_PER_SECOND)))
                }
            }
            (State::Quota(usage), Kind::Quota { limit: most, .. }) => {
                let fits = usage.used.saturating_add(usage.holds.total()).saturating_add(amount) <= *most;
                match (fits && self.count(usage, limit, amount), amount > *most) {
                    (true, _) => Ok(Fit::NOW),
                    (false, true) => Err((Why::TooLarge, None)),
                    (false, false) => Err((Why::Exhausted, Some(self.until(usage.window.end_s)))),
                }
            }
            (State::Leased(leased), _) => self.try_lease(leased, (charge, limit), request),
            (State::InFlight(holds), Kind::Concurrency(most)) => {
                if holds.total() < *most && holds.add(self.owner, 1) {
                    Ok(Fit::NOW)
                } else {
                    Err((Why::Busy, Some(NANOS_PER_SECOND)))
                }
            }
            _ => Ok(Fit::NOW),
        }
    }

    /// What the bucket has, else what the allowance has, else what the bucket will have soon enough.
    fn try_rate(
        &self,
        bucket: &mut Bucket,
        spare: &mut Spare,
        rate: &Rate,
        limit: &Limit,
        amount: u64,
    ) -> Result<Fit, Over> {
        let most = rate.burst();
        let rate = self.rate(limit, rate);
        if let Some(allowance) = &limit.allowance {
            if bucket.take(rate, self.now.mono_ns, amount).is_ok() {
                return Ok(Fit::NOW);
            }
            if spare.take(allowance, amount) {
                return Ok(Fit::Spare);
            }
        }
        // What a tightened bucket can't hold and the whole one can needs a full one, and leaves it in debt.
        let debt = if amount <= most { amount.saturating_sub(rate.burst()) } else { 0 };
        match bucket.book(rate, self.now.mono_ns, amount - debt, limit.max_wait_ns) {
            Ok(wait_ns) => {
                if debt > 0 {
                    bucket.charge(rate, self.now.mono_ns, debt);
                }
                Ok(Fit::In(wait_ns))
            }
            Err(Short::Wait(wait_ns)) => Err((Why::Exhausted, Some(wait_ns))),
            Err(Short::Never) => Err((Why::TooLarge, None)),
        }
    }

    /// What the request is expected to use takes its place in time; what it may use beyond that is held beside it.
    fn try_window(
        &self,
        (sliding, holds): (&mut Sliding, &mut Holds),
        span: &Span,
        limit: &Limit,
        charge: &Charge,
    ) -> Result<Fit, Over> {
        if charge.amount > span.amount() {
            return Err((Why::TooLarge, None));
        }
        let span = self.span(limit, span);
        let offset_ns = sliding.advance(span, self.now.mono_ns);
        // What only the whole window can hold needs an empty tightened one.
        let needed = charge.expected().min(span.amount());
        let excess = charge.excess.min(span.amount() - needed);
        let (before, beside) = (*sliding, holds.total().saturating_add(excess));
        match sliding.take(span, offset_ns, needed, beside) {
            Ok(()) if holds.add(self.owner, charge.excess) => {
                sliding.charge(span, offset_ns, charge.expected() - needed);
                Ok(Fit::NOW)
            }
            Ok(()) => {
                *sliding = before;
                Err((Why::Busy, Some(NANOS_PER_SECOND)))
            }
            // What others hold comes free as their answers end, nobody knows when.
            Err(wait_ns) => Err((Why::Exhausted, Some(wait_ns.unwrap_or(NANOS_PER_SECOND)))),
        }
    }

    /// Charges what does not fit.
    fn charge_anyway(&self, cell: &mut Cell, limit: &Limit, charge: &Charge) {
        let amount = charge.amount;
        match (&mut cell.state, &limit.kind) {
            (State::Bucket(bucket, _), Kind::Rate(rate)) => {
                bucket.charge(self.rate(limit, rate), self.now.mono_ns, amount);
            }
            (State::Shared(shared), Kind::Rate(rate)) => {
                shared.holder.charge(self.now, self.rate(limit, rate), amount);
            }
            (State::Sliding(sliding, holds), Kind::Window(span)) => {
                let span = self.span(limit, span);
                let offset_ns = sliding.advance(span, self.now.mono_ns);
                sliding.charge(span, offset_ns, charge.expected());
                let _ = holds.add(self.owner, charge.excess);
            }
            (State::Quota(usage), _) => {
                self.count(usage, limit, amount);
            }
            (State::Leased(leased), _) => self.pass_lease(leased, limit, amount),
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
    pub fn grace(&self, cell: &mut Cell, limit: &Limit, why: Why) -> bool {
        let none = why == Why::TooLarge || why.lacks_lease();
        if limit.grace_s == 0 || limit.violation == Violation::Shadow || none {
            return false;
        }
        if cell.grace_until_s == 0 {
            cell.grace_until_s = self.now.mono_s().saturating_add(limit.grace_s);
        }
        self.now.mono_s() < cell.grace_until_s
    }

    /// Tells the highest threshold the settled use has newly passed; marks it and those below.
    fn warn(&self, cell: &mut Cell, charge: &Charge, limit: &Limit, taken: &mut Taken) {
        let (used, most, warned) = match &mut cell.state {
            State::Quota(usage) => (usage.used, limit.most(), &mut usage.warned),
            State::Leased(leased) => {
                let Some(lease) = self.lease_now(leased, limit) else { return };
                let Some((most, left)) = lease.holder.standing() else { return };
                (most.saturating_sub(left), most, &mut lease.warned)
            }
            _ => return,
        };
        let mut passed = None;
        for (bit, percent) in self.policy.thresholds.iter().enumerate() {
            let reached = u128::from(used) * 100 >= u128::from(most) * u128::from(*percent);
            if reached && *warned & (1 << bit) == 0 {
                *warned |= 1 << bit;
                passed = Some(*percent);
            }
        }
        taken.warnings.extend(passed.map(|percent| (charge.limit, percent)));
    }

    /// What is to be settled of a charge.
    fn held(&self, (charge, limit): (&Charge, &Limit), cell: &mut Cell, spare: bool) -> Held {
        let (window, life) = match &mut cell.state {
            State::Quota(usage) => (usage.window.start_s, 0),
            State::Sliding(sliding, _) => (sliding.index, 0),
            State::Bucket(_, used) => (used.generation, 0),
            State::Leased(leased) => self
                .lease_now(leased, limit)
                .map_or((0, 0), |lease| (lease.window.start_s, lease.holder.life())),
            State::Shared(_) | State::InFlight(_) | State::Gauge(_) => (0, 0),
        };
        Held {
            account: charge.account,
            cell: charge.cell,
            limit: charge.limit,
            amount: charge.amount,
            excess: charge.excess,
            window,
            spare,
            life,
            percent: charge.percent,
            tight: false,
            spared: 0,
        }
    }
}
