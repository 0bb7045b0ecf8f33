//! A lease's side of the conversation with the ledger: when to ask, for how much, and what an answer changes.

use tollgate_wire::{Ask, Grant, LeaseStatus};

use super::holder::Holder;
use super::pace::mul_div;
use super::terms::Terms;

/// An ask without an answer is repeated after this long, by any worker.
pub const RETRY_MS: u64 = 1_000;

/// And after this long while requests still wait for it: another node of the ledger may answer.
const RETRY_WAITING_MS: u64 = 100;

/// After the ledger said no, requests as large are refused without asking for this long.
pub const DENIED_MS: u64 = 1_000;

/// Spending is told this often at least. Nothing depends on it but the ledger's figures.
pub const REPORT_MS: u64 = 5_000;

/// What is given back is told sooner: others wait for it.
const RETURN_MS: u64 = 1_000;

/// A lease with more than what is spent in this time is idle, and gives the rest back.
const IDLE_MS: u64 = 30_000;

/// Where requests had to wait, the same again and more is likely wanted: a burst has begun.
const NEED_TIMES: u64 = 2;

/// Below this share of the horizon, in percent, more is asked for.
const LOW_WATER_PERCENT: u64 = 30;

impl Holder {
    /// True when the ledger should be asked now. Whoever does calls [`Holder::ask`] in the same swap, so that the other
    /// workers do not.
    pub fn is_due(&self, now_ms: u64, terms: &Terms) -> bool {
        let since = now_ms.saturating_sub(self.asked_ms);
        let impatient = self.need > 0 && since >= RETRY_WAITING_MS && !self.is_away(now_ms, terms);
        if now_ms < self.retry_ms && !impatient {
            return false;
        }
        self.need > 0
            || self.unanswered_ms > 0
            || (now_ms >= self.backoff_ms && self.is_low(now_ms, terms))
            || (now_ms >= self.renew_ms && self.available() > 0)
            || (self.told_returned != self.returned && since >= RETURN_MS)
            || (self.has_news() && since >= REPORT_MS)
    }

    fn is_low(&self, now_ms: u64, terms: &Terms) -> bool {
        let ahead = self.pace.ahead(now_ms, self.horizon());
        let low = mul_div(ahead, LOW_WATER_PERCENT, 100).saturating_add(terms.reserve());
        ahead > 0 && self.available() < low
    }

    const fn has_news(&self) -> bool {
        self.told_spent != self.spent || self.told_overrun != self.overrun
    }

    fn horizon(&self) -> u64 {
        let (least, most) = super::ledger::HORIZON_MS;
        u64::from(self.horizon_ms).clamp(least, most)
    }

    /// What to say to the ledger now.
    pub fn ask(&mut self, now_ms: u64, terms: &Terms) -> Ask {
        self.give_back_idle(now_ms, terms);
        self.asked_ms = now_ms;
        self.retry_ms = now_ms.saturating_add(RETRY_MS);
        if self.unanswered_ms == 0 {
            self.unanswered_ms = now_ms.max(1);
        }
        let reserve = terms.reserve();
        let wanted = self
            .pace
            .ahead(now_ms, self.horizon())
            .max(self.need.saturating_mul(NEED_TIMES))
            .saturating_add(reserve);
        let available = self.available();
        let short = |amount: u64| match amount {
            0 => 0,
            _ => amount.saturating_add(reserve).saturating_sub(available),
        };
        Ask {
            granted: self.granted,
            spent: self.spent,
            returned: self.returned,
            overrun: self.overrun,
            target: (self.granted - available.min(self.granted)).saturating_add(wanted),
            need: short(self.need),
            head: short(self.head),
            rate: self.pace.per_second(now_ms),
        }
    }

    /// Takes the answer to `ask`, which was sent at `sent_ms`. Answers may come late, twice or in another order.
    pub fn answered(&mut self, now_ms: u64, sent_ms: u64, ask: &Ask, grant: &Grant, terms: &Terms) {
        let more = grant.granted > self.granted;
        self.granted = self.granted.max(grant.granted);
        self.told_spent = self.told_spent.max(ask.spent);
        self.told_returned = self.told_returned.max(ask.returned);
        self.told_overrun = self.told_overrun.max(ask.overrun);
        // What requests wait for is not given back under their hands.
        let keep = grant.keep.max(self.need.saturating_mul(NEED_TIMES));
        // Waiting requests look again, and say again what they want.
        (self.unanswered_ms, self.need, self.head, self.retry_ms) = (0, 0, 0, now_ms);
        (self.limit, self.left, self.horizon_ms) = (grant.limit, grant.left, grant.horizon_ms);
        self.allowed = if terms.reserve() > 0 { 0 } else { self.overrun.saturating_add(self.beyond.total()) };
        self.backoff_ms = if more { now_ms } else { now_ms.saturating_add(DENIED_MS) };
        self.renew_ms = sent_ms.saturating_add(u64::from(grant.ttl_ms / 2)).max(1);
        // Whoever is short of more than is left anywhere need not ask, for a while.
        self.denied_from = grant.left.saturating_add(1);
        self.denied_until_ms = now_ms.saturating_add(DENIED_MS);
        let keep = match grant.status {
            LeaseStatus::Open => keep.saturating_add(terms.reserve()),
            LeaseStatus::Exceeded => 0,
            LeaseStatus::Ended => return self.close(),
        };
        self.deadline_ms = self.deadline_ms.max(sent_ms.saturating_add(u64::from(grant.ttl_ms)));
        self.give_back(self.available().saturating_sub(keep));
    }

    /// The call failed, or nobody knows: it is repeated soon while requests may still wait for it.
    pub fn failed(&mut self, now_ms: u64, terms: &Terms) {
        let pause = if self.is_away(now_ms, terms) { RETRY_MS } else { RETRY_WAITING_MS };
        self.retry_ms = now_ms.saturating_add(pause);
    }

    /// Gives back what is not in flight: the window is over, or this Envoy drains.
    pub fn close(&mut self) {
        (self.need, self.head, self.pace) = (0, 0, Default::default());
        self.give_back(self.available());
    }

    fn give_back_idle(&mut self, now_ms: u64, terms: &Terms) {
        let keep = self.pace.ahead(now_ms, IDLE_MS).max(self.need).saturating_add(terms.reserve());
        self.give_back(self.available().saturating_sub(keep));
    }

    const fn give_back(&mut self, units: u64) {
        self.returned = self.returned.saturating_add(units);
    }
}
