//! A lease at its holder: what one Envoy process may spend of one quota in one window.

use crate::limit::{Holds, Owner};

use super::pace::Pace;
use super::terms::{Terms, Unreachable};

/// A lease that nobody has used or asked for this long, and that holds nothing, may be forgotten.
pub(super) const REST_MS: u64 = 60_000;

/// A lease. All workers of an Envoy process share it. Milliseconds are monotonic, of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Holder {
    /// The lease's identity. Random; a holder that lost its state begins with another.
    pub(super) life: u64,
    /// Units granted; as the next four, cumulative.
    pub(super) granted: u64,
    /// Units spent under the lease.
    pub(super) spent: u64,
    /// Units given back.
    pub(super) returned: u64,
    /// Units spent that the lease did not cover.
    pub(super) overrun: u64,
    /// Units of the lease in flight.
    pub(super) held: Holds,
    /// Units in flight that the lease does not cover.
    pub(super) beyond: Holds,
    /// The lease may be spent before this.
    pub(super) deadline_ms: u64,
    /// Units let through since the ledger is away.
    pub(super) allowed: u64,
    /// Units all waiting requests want, and the smallest of them; 0 when none waits.
    pub(super) need: u64,
    pub(super) head: u64,
    /// Requests short of this much or more are refused until then: the ledger has just said no.
    pub(super) denied_from: u64,
    pub(super) denied_until_ms: u64,
    /// When the ledger was last asked, and when first without an answer since; 0: there is nothing unanswered.
    pub(super) asked_ms: u64,
    pub(super) unanswered_ms: u64,
    /// No ask before this; none to stay ahead before that; and one to keep the lease alive from then.
    pub(super) retry_ms: u64,
    pub(super) backoff_ms: u64,
    pub(super) renew_ms: u64,
    /// What the ledger has acknowledged.
    pub(super) told_spent: u64,
    pub(super) told_returned: u64,
    pub(super) told_overrun: u64,
    /// What the ledger last said of the quota.
    pub(super) limit: u64,
    pub(super) left: u64,
    pub(super) horizon_ms: u32,
    /// How fast it is reserved here.
    pub(super) pace: Pace,
}

/// What a request holds of a lease.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The lease.
    pub life: u64,
    /// Units.
    pub amount: u64,
    /// True when no lease covers them.
    pub beyond: bool,
}

/// What a lease answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// It may pass.
    Taken(Hold),
    /// The lease is short: the ledger has to be asked.
    Wait,
    /// The quota is used up: the ledger has just said so.
    Denied,
    /// The ledger is away, and the terms allow no more.
    Unreachable,
    /// Too many workers hold something: see [`crate::limit::OWNERS_MAX`].
    Crowded,
}

impl Holder {
    /// A lease of nothing.
    pub fn new(life: u64) -> Self {
        Self { life, ..Self::default() }
    }

    /// The lease of the window after, before that window begins: it asks for as much as this one spends.
    pub fn successor(&self, life: u64) -> Self {
        Self { life, pace: self.pace, horizon_ms: self.horizon_ms, ..Self::default() }
    }

    /// Its identity.
    pub const fn life(&self) -> u64 {
        self.life
    }

    /// Units that are granted and neither spent, in flight nor returned.
    pub fn available(&self) -> u64 {
        self.granted
            .saturating_sub(self.spent)
            .saturating_sub(self.returned)
            .saturating_sub(self.held.total())
    }

    /// Units in flight, and those of them that no lease covers.
    pub fn in_flight(&self) -> (u64, u64) {
        let beyond = self.beyond.total();
        (self.held.total().saturating_add(beyond), beyond)
    }

    /// Units spent here, and those of them that no lease covered.
    pub const fn spent(&self) -> (u64, u64) {
        (self.spent.saturating_add(self.overrun), self.overrun)
    }

    /// Units of the whole quota, and how many are left as far as is known here. None before the ledger's first word.
    pub fn standing(&self) -> Option<(u64, u64)> {
        let coming = self.returned.saturating_sub(self.told_returned);
        let here = self.available().saturating_add(coming);
        (self.renew_ms > 0).then(|| (self.limit, self.left.saturating_add(here)))
    }

    /// Invariant 3: nothing is spent twice.
    pub fn is_sound(&self) -> bool {
        let taken = self.spent.checked_add(self.returned).and_then(|sum| sum.checked_add(self.held.total()));
        taken.is_some_and(|taken| taken <= self.granted)
    }

    /// Invariant 2: the books lag behind the holder's spending, and the holder behind the books' grants.
    pub const fn agrees_with(&self, row: &super::ledger::LeaseRow) -> bool {
        row.spent <= self.spent && row.returned <= self.returned && self.granted <= row.granted
    }

    /// True when the ledger has not answered for as long as a request may wait.
    pub const fn is_away(&self, now_ms: u64, terms: &Terms) -> bool {
        terms.is_away(self.unanswered_ms, now_ms)
    }

    /// Takes `amount`, the most the request can use. A request that is told to wait is asked for with the next message
    /// and comes again when that is answered.
    pub fn admit(&mut self, now_ms: u64, owner: Owner, amount: u64, terms: &Terms) -> Admit {
        let available = self.available();
        if now_ms < self.deadline_ms && available.saturating_sub(terms.reserve()) >= amount {
            return self.take(now_ms, owner, amount, false);
        }
        if self.is_away(now_ms, terms) {
            // Nobody waits, but the ledger is asked until it answers.
            self.need = self.need.max(amount);
            return self.admit_away(now_ms, owner, amount, terms);
        }
        let short = amount.saturating_add(terms.reserve()).saturating_sub(available);
        if now_ms < self.denied_until_ms && short >= self.denied_from {
            return Admit::Denied;
        }
        self.wait_for(amount);
        Admit::Wait
    }

    /// The same for a request that has waited as long as it may: nothing has come, whenever the ledger was asked.
    pub fn admit_last(&mut self, now_ms: u64, owner: Owner, amount: u64, terms: &Terms) -> Admit {
        match self.admit(now_ms, owner, amount, terms) {
            Admit::Wait => self.admit_away(now_ms, owner, amount, terms),
            other => other,
        }
    }

    fn admit_away(&mut self, now_ms: u64, owner: Owner, amount: u64, terms: &Terms) -> Admit {
        let allowed = self.allowed.saturating_add(amount);
        let covered = self.available() >= amount;
        let funded = !matches!(terms.unreachable, Unreachable::Allow { funded: false, .. });
        if allowed > terms.allowance() || (funded && !covered) {
            return Admit::Unreachable;
        }
        let taken = self.take(now_ms, owner, amount, !covered);
        if matches!(taken, Admit::Taken(_)) {
            self.allowed = allowed;
        }
        taken
    }

    fn take(&mut self, now_ms: u64, owner: Owner, amount: u64, beyond: bool) -> Admit {
        let holds = if beyond { &mut self.beyond } else { &mut self.held };
        if !holds.add(owner, amount) {
            return Admit::Crowded;
        }
        self.pace.take(now_ms, amount);
        Admit::Taken(Hold { life: self.life, amount, beyond })
    }

    const fn wait_for(&mut self, amount: u64) {
        self.need = self.need.saturating_add(amount);
        self.head = if self.head == 0 || amount < self.head { amount } else { self.head };
    }

    /// Lets a request pass that no lease covers, because its limit refuses nobody. None: too many workers hold something.
    pub fn pass(&mut self, now_ms: u64, owner: Owner, amount: u64) -> Option<Hold> {
        match self.take(now_ms, owner, amount, true) {
            Admit::Taken(hold) => Some(hold),
            _ => None,
        }
    }

    /// Takes back what [`Holder::admit`] took, as if it had never been.
    pub fn undo(&mut self, owner: Owner, hold: &Hold) {
        if hold.life != self.life {
            return;
        }
        let holds = if hold.beyond { &mut self.beyond } else { &mut self.held };
        let released = holds.release(owner, hold.amount);
        self.pace.take_back(hold.amount);
        if hold.beyond {
            self.allowed = self.allowed.saturating_sub(released);
        }
    }

    /// Settles what was held at what was used. What the hold does not cover comes from the rest of the lease, and what
    /// that does not cover is overrun. What a lost lease held is spent in the books already.
    pub fn complete(&mut self, owner: Owner, hold: &Hold, used: u64) {
        if hold.life != self.life {
            return;
        }
        let holds = if hold.beyond { &mut self.beyond } else { &mut self.held };
        // What is missing of the hold has expired, and was counted as spent then.
        let expired = hold.amount - holds.release(owner, hold.amount).min(hold.amount);
        let covered = used.min(hold.amount).saturating_sub(expired);
        let more = used.saturating_sub(hold.amount);
        if hold.beyond {
            self.overrun = self.overrun.saturating_add(covered).saturating_add(more);
            self.allowed = self.allowed.saturating_sub(hold.amount).saturating_add(used);
            return;
        }
        self.spent = self.spent.saturating_add(covered);
        let from_lease = more.min(self.available());
        self.spent = self.spent.saturating_add(from_lease);
        self.overrun = self.overrun.saturating_add(more - from_lease);
    }

    /// Counts what dead owners held as spent: whoever died in the middle of a request had it served.
    pub fn expire(&mut self, mut alive: impl FnMut(Owner) -> bool) {
        self.spent = self.spent.saturating_add(self.held.expire(&mut alive));
        self.overrun = self.overrun.saturating_add(self.beyond.expire(&mut alive));
    }

    /// True when it is in use, or was lately.
    pub fn is_used(&self, now_ms: u64) -> bool {
        self.pace.per_second(now_ms) > 0 || self.need > 0 || self.in_flight().0 > 0
    }

    /// True when the lease of a window that is over has nothing more to say: the ledger knows all there was.
    pub fn is_done(&self) -> bool {
        self.in_flight().0 == 0
            && self.available() == 0
            && self.told_spent == self.spent
            && self.told_returned == self.returned
            && self.told_overrun == self.overrun
    }

    /// True when forgetting the lease changes nothing: it has nothing left, the ledger knows all, and nobody asks.
    pub fn at_rest(&self, now_ms: u64) -> bool {
        let idle = self.held.is_empty() && self.beyond.is_empty() && self.need == 0;
        let told = self.told_spent == self.spent && self.told_returned == self.returned;
        // What was let through without a lease is remembered: it bounds what may still be.
        idle && told
            && self.overrun == 0
            && self.available() == 0
            && self.pace.per_second(now_ms) == 0
            && now_ms.saturating_sub(self.asked_ms) >= REST_MS
    }

    /// Who holds something.
    pub fn owners(&self) -> impl Iterator<Item = Owner> {
        self.held.owners().chain(self.beyond.owners())
    }
}

#[cfg(test)]
#[path = "holder_tests.rs"]
mod tests;
