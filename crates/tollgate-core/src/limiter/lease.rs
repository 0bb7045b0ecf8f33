//! Quotas of all Envoys: a request spends from the lease its balance has. Nothing here waits, or talks to the ledger: that a
//! lease runs low is said in what [`super::lease_talk`] collects.

use std::collections::BTreeMap;

use tollgate_wire::{LeaseAsk, QuotaName};

use crate::hash::HashKey;
use crate::lease::{Admit, Hold, Holder, Lease, Leased};
use crate::limit::{Cell, State};
use crate::policy::{Attributes, Kind, Limit};
use crate::time::NANOS_PER_SECOND;

use super::Why;
use super::change::Changed;
use super::context::Context;
use super::decision::Held;
use super::lease_talk::{Asked, Say};
use super::plan::Charge;
use super::take::{Fit, Over};

/// Whoever waits for a lease looks again after this time, even if no answer came: the question may be lost.
pub(super) const LOOK_NS: u64 = 100_000_000;

/// Most bytes of a key's value that the ledger is told; of a longer one it is told the beginning and a hash.
const VALUE_BYTES_MAX: usize = 200;

/// Where requests wait for a lease of a balance: in no account's own line, because what they wait for is said elsewhere.
pub(super) const fn line(account: u64, cell: u32) -> u64 {
    account.rotate_left(32) ^ cell as u64
}

impl Context<'_> {
    /// A lease's identity: never the same twice, because its owner is random and its clock goes on.
    pub(super) fn life(&self, cell: u32, start_s: u32) -> u64 {
        let own = HashKey::new(u128::from(self.now.mono_ns).to_le_bytes());
        own.hash64(u64::from(self.owner.0) << 32 | u64::from(cell), []).wrapping_add(start_s.into())
    }

    /// The lease of the present window, begun where there is none.
    fn current<'l>(
        &self,
        leased: &'l mut Leased,
        cell: u32,
        limit: &Limit,
        request: &Attributes<'_>,
    ) -> Option<&'l mut Lease> {
        let Kind::Quota { calendar, .. } = limit.kind else { return None };
        let window = self.policy.window(calendar, self.now.wall_s());
        if leased.of_window(window).is_none() {
            if leased.all.is_empty() {
                leased.limit = limit.id();
                leased.key = key_of(limit, request);
            }
            leased.begin(window, Holder::new(self.life(cell, window.start_s)));
        }
        leased.of_window(window)
    }

    /// Takes from the lease of the present window.
    pub(super) fn try_lease(
        &self,
        leased: &mut Leased,
        (charge, limit): (&Charge, &Limit),
        request: &Attributes<'_>,
    ) -> Result<Fit, Over> {
        let Some(terms) = &limit.global else { return Ok(Fit::NOW) };
        let Some(lease) = self.current(leased, charge.cell, limit, request) else { return Ok(Fit::NOW) };
        let most = lease.holder.standing().map_or_else(|| limit.most(), |(most, _)| most);
        if charge.amount > most {
            return Err((Why::TooLarge, None));
        }
        let (now_ms, holder) = (self.now.mono_ms(), &mut lease.holder);
        let admit = if self.last_try {
            holder.admit_last(now_ms, self.owner, charge.amount, terms)
        } else {
            holder.admit(now_ms, self.owner, charge.amount, terms)
        };
        match admit {
            Admit::Taken(hold) if hold.beyond => Ok(Fit::Beyond),
            Admit::Taken(_) => Ok(Fit::NOW),
            Admit::Wait => Err((Why::Unleased, Some(LOOK_NS))),
            Admit::Denied => Err((Why::Exhausted, Some(self.until(lease.window.end_s)))),
            Admit::Unreachable => Err((Why::Unreachable, Some(NANOS_PER_SECOND))),
            Admit::Crowded => Err((Why::Busy, Some(NANOS_PER_SECOND))),
        }
    }

    /// Lets a request pass that only is to be counted.
    pub(super) fn pass_lease(&self, leased: &mut Leased, limit: &Limit, amount: u64) {
        if let Some(lease) = self.lease_now(leased, limit) {
            // With too many owners there is nothing to count it by; it passes all the same.
            let _ = lease.holder.pass(self.now.mono_ms(), self.owner, amount);
        }
    }

    /// The lease of the present window, if it has begun.
    pub(super) fn lease_now<'l>(&self, leased: &'l mut Leased, limit: &Limit) -> Option<&'l mut Lease> {
        let Kind::Quota { calendar, .. } = limit.kind else { return None };
        leased.of_window(self.policy.window(calendar, self.now.wall_s()))
    }

    /// Says in each lease what the request lacks of it, and asks for it where nobody has.
    pub(super) fn want(
        &self,
        cells: &mut Vec<Cell>,
        charges: &[Charge],
        request: &Attributes<'_>,
        asks: &mut Vec<Asked>,
    ) -> Changed {
        let mut changed = Changed::Nothing;
        for charge in charges {
            let Some(limit) = self.policy.limit(charge.limit) else { continue };
            let Some(terms) = &limit.global else { continue };
            let mut cell = self.remove(cells, charge.cell, limit);
            if let (State::Shared(shared), Kind::Rate(rate)) = (&mut cell.state, &limit.kind) {
                let wanted = self.try_share(shared, rate, (charge, limit), request);
                if let Ok(Fit::In(_)) = wanted {
                    self.settle_share(shared, self.rate(limit, rate), charge.amount, 0);
                } else {
                    changed = Changed::Cells;
                }
                if self.claim(shared, (charge.account, charge.cell), limit, asks) {
                    changed = Changed::Cells;
                }
            }
            if let State::Leased(leased) = &mut cell.state
                && let Some(lease) = self.current(leased, charge.cell, limit, request)
            {
                match lease.holder.admit(self.now.mono_ms(), self.owner, charge.amount, terms) {
                    Admit::Taken(hold) => lease.holder.undo(self.owner, &hold),
                    Admit::Wait | Admit::Unreachable => changed = Changed::Cells,
                    Admit::Denied | Admit::Crowded => {}
                }
                if self.ask(leased, (charge.account, charge.cell), limit, asks) {
                    changed = Changed::Cells;
                }
            }
            cells.push(cell);
        }
        changed
    }

    /// Asks for each lease that is to be spoken of. True when one is.
    pub(super) fn ask(
        &self,
        leased: &mut Leased,
        (account, cell): (u64, u32),
        limit: &Limit,
        asks: &mut Vec<Asked>,
    ) -> bool {
        let (Some(terms), now_ms) = (&limit.global, self.now.mono_ms()) else { return false };
        let before = asks.len();
        let Leased { key, all, .. } = leased;
        for lease in all.iter_mut().filter(|lease| lease.holder.is_due(now_ms, terms)) {
            let ask = lease.holder.ask(now_ms, terms);
            let quota = QuotaName {
                limit: limit.name.clone(),
                policy: limit.policy.clone(),
                meter: limit.meter.unit().into(),
                key: named(limit, key),
                start_ms: u64::from(lease.window.start_s) * 1000,
                end_ms: u64::from(lease.window.end_s) * 1000,
            };
            let life = lease.holder.life();
            let ask = LeaseAsk { quota, lease: format!("{life:016x}"), limit: limit.most(), ask };
            asks.push(Asked { account, cell, life, sent_ms: now_ms, say: Say::Lease(ask) });
        }
        asks.len() > before
    }

    /// Looks after the leases of one account; `some` tells whether it has any.
    pub(super) fn look_after(
        &self,
        account: u64,
        cells: &mut [Cell],
        asks: &mut Vec<Asked>,
        some: &mut bool,
    ) -> Changed {
        let mut changed = Changed::Nothing;
        for cell in cells {
            if let State::Shared(shared) = &mut cell.state {
                *some |= !shared.holder.at_rest(self.now.mono_ns);
                let Some(limit) = self.policy.limit_of(shared.limit) else { continue };
                if self.claim(shared, (account, cell.id), limit, asks) {
                    changed = Changed::Cells;
                }
            }
            let State::Leased(leased) = &mut cell.state else { continue };
            *some = true;
            let Some(limit) = self.policy.limit_of(leased.limit) else { continue };
            let Kind::Quota { calendar, .. } = limit.kind else { continue };
            let before = leased.clone();
            let wall_s = self.now.wall_s();
            let window = self.policy.window(calendar, wall_s);
            leased.renew(window, wall_s, |owner| self.alive(owner));
            if Leased::is_near_end(window, wall_s) {
                let next = self.policy.window(calendar, window.end_s);
                let life = self.life(cell.id, next.start_s);
                leased.look_ahead((window, next), wall_s, self.now.mono_ms(), life);
            }
            self.ask(leased, (account, cell.id), limit, asks);
            if *leased != before {
                changed = Changed::Cells;
            }
        }
        changed
    }

    /// More of the lease that a request spends from; what it does not have is not waited for.
    pub(super) fn top_up_lease(
        &self,
        leased: &mut Leased,
        limit: &Limit,
        held: &Held,
        units: u64,
    ) -> Result<Held, u64> {
        let (Some(terms), Some(lease)) = (&limit.global, leased.of_life(held.life)) else { return Ok(*held) };
        match lease.holder.admit(self.now.mono_ms(), self.owner, units, terms) {
            Admit::Taken(hold) if hold.beyond == held.spare => Ok(Held { amount: units, ..*held }),
            Admit::Taken(hold) => {
                // What it was given first is settled otherwise.
                lease.holder.undo(self.owner, &hold);
                Err(NANOS_PER_SECOND)
            }
            _ => Err(NANOS_PER_SECOND),
        }
    }

    /// Settles what was held of a lease at what was used. False when the lease is gone.
    pub(super) fn settle_lease(&self, leased: &mut Leased, held: &Held, used: u64) -> bool {
        let Some(lease) = leased.of_life(held.life) else { return false };
        lease.holder.complete(self.owner, &hold(held), used);
        true
    }

    /// Takes back what was held of a lease.
    pub(super) fn undo_lease(&self, leased: &mut Leased, held: &Held) {
        if let Some(lease) = leased.of_life(held.life) {
            lease.holder.undo(self.owner, &hold(held));
        }
    }
}

const fn hold(held: &Held) -> Hold {
    Hold { life: held.life, amount: held.amount, beyond: held.spare }
}

/// Whose balance a request draws from: the values of the limit's key, in its order, as the ledger is told them.
pub(super) fn key_of(limit: &Limit, request: &Attributes<'_>) -> Vec<String> {
    limit.key().iter().map(|dimension| told(request.get(*dimension))).collect()
}

/// The values of a limit's key by the names of its dimensions.
pub(super) fn named(limit: &Limit, values: &[String]) -> BTreeMap<String, String> {
    let key = limit.key().iter().zip(values);
    key.map(|(dimension, value)| (dimension.name().to_owned(), value.clone())).collect()
}

/// A key's value as the ledger is told it.
fn told(value: &str) -> String {
    if value.len() <= VALUE_BYTES_MAX {
        return value.into();
    }
    let begins = value.floor_char_boundary(VALUE_BYTES_MAX - 16);
    let hash = HashKey::new([0; 16]).hash64(0, [value]);
    format!("{}{hash:016x}", value.get(..begins).unwrap_or_default())
}
