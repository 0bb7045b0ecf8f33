//! Rates of all Envoys: a request takes from the share its balance has. Nothing here waits, or talks to the ledger: what is
//! to be said goes to what [`super::lease_talk`] collects.

use tollgate_wire::{RateName, ShareAsk};

use crate::limit::Rate;
use crate::policy::{Attributes, Kind, Limit};
use crate::share::{Holder, Lack, Shared};
use crate::time::NANOS_PER_SECOND;

use super::Why;
use super::context::Context;
use super::decision::Held;
use super::lease::{LOOK_NS, key_of, named};
use super::lease_talk::{Asked, Say};
use super::plan::{Charge, resets};
use super::take::{Fit, Over};

impl Context<'_> {
    /// Takes from the share, begun where there is none.
    pub(super) fn try_share(
        &self,
        shared: &mut Shared,
        rate: &Rate,
        (charge, limit): (&Charge, &Limit),
        request: &Attributes<'_>,
    ) -> Result<Fit, Over> {
        let Some(terms) = &limit.global else { return Ok(Fit::NOW) };
        if shared.limit != limit.id() {
            let key = key_of(limit, request);
            let holder = Holder::new(self.life(charge.cell, 0));
            *shared = Shared { limit: limit.id(), key, resets: resets(limit, request), holder };
        }
        let wanted = (charge.amount, limit.max_wait_ns);
        match shared.holder.book(self.now, self.rate(limit, rate), wanted, terms, self.last_try) {
            Ok(wait_ns) => Ok(Fit::In(wait_ns)),
            Err(Lack::Wait) => Err((Why::Unleased, Some(LOOK_NS))),
            Err(Lack::Used(wait_ns)) => Err((Why::Exhausted, Some(wait_ns))),
            Err(Lack::Unreachable) => Err((Why::Unreachable, Some(NANOS_PER_SECOND))),
            // What a tightened rate can't let through at once and the whole one can, it lets through later.
            Err(Lack::Never) if charge.amount <= rate.burst() => {
                Err((Why::Exhausted, Some(NANOS_PER_SECOND)))
            }
            Err(Lack::Never) => Err((Why::TooLarge, None)),
        }
    }

    /// Speaks of the share to the ledger, if it is time. True when it is.
    pub(super) fn claim(
        &self,
        shared: &mut Shared,
        (account, cell): (u64, u32),
        limit: &Limit,
        asks: &mut Vec<Asked>,
    ) -> bool {
        let Kind::Rate(rate) = &limit.kind else { return false };
        let sent_ms = self.now.mono_ms();
        if !shared.holder.is_due(sent_ms) {
            return false;
        }
        let rate = self.rate(limit, rate);
        let claim = shared.holder.claim(self.now, rate);
        let name = RateName {
            limit: limit.name.clone(),
            policy: limit.policy.clone(),
            meter: limit.meter.unit().into(),
            key: named(limit, &shared.key),
            resets: shared.resets,
        };
        let life = shared.holder.life();
        let fill_ms = (rate.fill_ns() / 1_000_000).max(1);
        let ask = ShareAsk { rate: name, holder: format!("{life:016x}"), fill_ms, claim };
        asks.push(Asked { account, cell, life, sent_ms, say: Say::Share(ask) });
        true
    }

    /// Settles what was taken at what was used.
    pub(super) fn settle_share(&self, shared: &mut Shared, rate: &Rate, taken: u64, used: u64) {
        if used > taken {
            shared.holder.charge(self.now, rate, used - taken);
        } else {
            shared.holder.refund(self.now, rate, taken - used);
        }
    }

    /// More of the share; what it does not have is not waited for.
    pub(super) fn top_up_share(
        &self,
        shared: &mut Shared,
        rate: &Rate,
        limit: &Limit,
        held: &Held,
        units: u64,
    ) -> Result<Held, u64> {
        let Some(terms) = &limit.global else { return Ok(*held) };
        match shared.holder.book(self.now, rate, (units, 0), terms, false) {
            Ok(_) => Ok(Held { amount: units, ..*held }),
            Err(Lack::Used(wait_ns)) => Err(wait_ns),
            Err(_) => Err(NANOS_PER_SECOND),
        }
    }
}
