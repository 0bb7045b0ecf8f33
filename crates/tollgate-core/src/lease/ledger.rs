//! The ledger's side: one step per message, inside the transaction that has the quota's row.

use tollgate_wire::{Ask, Grant, LeaseStatus};

use super::pace::mul_div;

/// How long a lease may be spent after it was asked for: also how long it takes at most until a lowered limit is
/// felt by an Envoy that is cut off.
pub const TTL_MS: u32 = 60_000;

/// A holder heard of within this time takes part in sharing. Three times the pause between two quiet reports.
pub const ACTIVE_MS: u64 = 15_000;

/// Shortest and longest time to ask ahead for, in milliseconds of reserving. Simulated: two seconds as the shortest
/// strand twice as much of a quota of six minutes for a tenth fewer messages.
pub const HORIZON_MS: (u64, u64) = (700, 3_500);

/// Grants are made this long after a window's end by the ledger's clock, in milliseconds: an Envoy whose clock is
/// behind is still in it.
pub const LATE_GRANT_MS: u64 = 5_000;

/// A quota in one of its windows, as the books have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct QuotaRow {
    /// Units it has.
    pub limit: u64,
    /// Units spent, as far as holders told: the sum of [`LeaseRow::spent`].
    pub settled: u64,
    /// Units granted and neither spent nor given back: the sum of [`LeaseRow::held`].
    pub held: u64,
    /// Units spent without a lease: the sum of [`LeaseRow::overrun`].
    pub overrun: u64,
    /// First millisecond behind the window.
    pub end_ms: u64,
}

impl QuotaRow {
    /// Units that can still be granted. What was spent without a lease is made good by granting less.
    pub const fn left(&self) -> u64 {
        self.limit.saturating_sub(self.settled).saturating_sub(self.held).saturating_sub(self.overrun)
    }

    /// True when more is spent and held than the limit allows: it was lowered, or overrun.
    const fn is_exceeded(&self) -> bool {
        self.settled.saturating_add(self.held).saturating_add(self.overrun) > self.limit
    }
}

/// One holder's lease of a quota, as the books have it. Counters only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LeaseRow {
    /// Units granted.
    pub granted: u64,
    /// Units spent.
    pub spent: u64,
    /// Units given back.
    pub returned: u64,
    /// Units spent that no lease covered.
    pub overrun: u64,
    /// Units reserved a second, as the holder last said.
    pub rate: u64,
    /// When the holder last spoke, by the ledger's clock.
    pub seen_ms: u64,
    /// Until when it may spend. A lease past this is shown to operators; nothing is refunded because of it.
    pub expires_ms: u64,
}

impl LeaseRow {
    /// Units held: granted and neither spent nor given back.
    pub const fn held(&self) -> u64 {
        self.granted.saturating_sub(self.spent).saturating_sub(self.returned)
    }
}

/// The other holders of the quota that were heard of within [`ACTIVE_MS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Peers {
    /// How many.
    pub active: u32,
    /// The sum of their rates.
    pub rate: u64,
}

/// Takes what a holder says into the books and grants what can be granted.
///
/// `peers` are the others, without this lease. Call it in the transaction that has `quota`'s row locked, and write both
/// rows back in it. It may be called twice with the same message, and with messages in any order.
pub fn step(quota: &mut QuotaRow, lease: &mut LeaseRow, ask: &Ask, peers: &Peers, now_ms: u64) -> Grant {
    merge(quota, lease, ask);
    let ended = now_ms >= quota.end_ms.saturating_add(LATE_GRANT_MS);
    let rates = peers.rate.saturating_add(ask.rate);
    let granted = if ended { 0 } else { share(quota, lease, ask, peers, rates) };
    lease.granted = lease.granted.saturating_add(granted);
    quota.held = quota.held.saturating_add(granted);
    (lease.rate, lease.seen_ms) = (ask.rate, now_ms.max(lease.seen_ms));
    lease.expires_ms = lease.expires_ms.max(now_ms.saturating_add(u64::from(TTL_MS)));
    // Compared with what the holder has, not with what this step gave: after a lost reply this step gives nothing.
    let denied = ask.head > 0 && lease.granted.saturating_sub(ask.granted) < ask.head;
    let left = quota.left();
    let horizon_ms = horizon(left, rates);
    Grant {
        granted: lease.granted,
        denied,
        keep: mul_div(ask.rate, 2 * horizon_ms, 1000),
        ttl_ms: TTL_MS,
        horizon_ms: horizon_ms as u32,
        status: match (ended, quota.is_exceeded()) {
            (true, _) => LeaseStatus::Ended,
            (false, true) => LeaseStatus::Exceeded,
            (false, false) => LeaseStatus::Open,
        },
        limit: quota.limit,
        left,
    }
}

/// Takes the larger of each counter. Counters that can't be are cut to what can, and never lost: spend beyond the
/// lease, which only a written-off lease or a damaged holder tells of, is overrun.
fn merge(quota: &mut QuotaRow, lease: &mut LeaseRow, ask: &Ask) {
    // Granted by a commit that the books no longer have: a database that came back older than what it acknowledged.
    let forgotten = ask.granted.saturating_sub(lease.granted);
    lease.granted = lease.granted.saturating_add(forgotten);
    quota.held = quota.held.saturating_add(forgotten);

    let most_spent = lease.granted.saturating_sub(lease.returned);
    let spent = ask.spent.max(lease.spent).min(most_spent.max(lease.spent));
    let uncovered = ask.spent.saturating_sub(spent);
    let newly_spent = spent - lease.spent;
    lease.spent = spent;
    quota.settled = quota.settled.saturating_add(newly_spent);
    quota.held = quota.held.saturating_sub(newly_spent);

    let most_returned = lease.granted.saturating_sub(lease.spent);
    let returned = ask.returned.max(lease.returned).min(most_returned.max(lease.returned));
    let newly_returned = returned - lease.returned;
    lease.returned = returned;
    quota.held = quota.held.saturating_sub(newly_returned);

    let overrun = ask.overrun.saturating_add(uncovered).max(lease.overrun);
    quota.overrun = quota.overrun.saturating_add(overrun - lease.overrun);
    lease.overrun = overrun;
}

/// Guided self-scheduling: half of what is left, shared by rate and at least by head, so that grants shrink as the
/// end comes near; a single waiting request is served in full while there is enough for it.
fn share(quota: &QuotaRow, lease: &LeaseRow, ask: &Ask, peers: &Peers, rates: u64) -> u64 {
    let left = quota.left();
    let want = ask.target.saturating_sub(lease.granted);
    let holders = u64::from(peers.active).saturating_add(1);
    let by_rate = if rates == 0 { 0 } else { mul_div(left / 2, ask.rate, rates) };
    // What is too little for the smallest request that waits is of use to others.
    let waiting =
        if ask.head > left { 0 } else { ask.need.min(left / 2).max(ask.head).max(left / (4 * holders)) };
    want.min(by_rate.max(waiting)).min(left)
}

/// A tenth of the time that what is left lasts.
fn horizon(left: u64, rates: u64) -> u64 {
    if rates == 0 {
        return HORIZON_MS.1;
    }
    mul_div(left, 100, rates).clamp(HORIZON_MS.0, HORIZON_MS.1)
}

/// Books what a lease still holds as spent: its window is long over and nobody settles it any more. Returns how much.
pub fn settle_rest(quota: &mut QuotaRow, lease: &mut LeaseRow) -> u64 {
    let rest = lease.held();
    lease.spent = lease.spent.saturating_add(rest);
    quota.settled = quota.settled.saturating_add(rest);
    quota.held = quota.held.saturating_sub(rest);
    rest
}

/// Gives back what a lease still holds: an operator knows that its holder is gone and spent none of it. If the holder
/// speaks after all, what it spent is overrun. Returns how much.
pub fn write_off(quota: &mut QuotaRow, lease: &mut LeaseRow) -> u64 {
    let rest = lease.held();
    lease.returned = lease.returned.saturating_add(rest);
    quota.held = quota.held.saturating_sub(rest);
    rest
}

/// Invariants 1 and 4 over all leases of a quota, the dead ones included: true when the books agree with themselves and
/// nothing was granted above the limit. A limit that was lowered may be exceeded until its leases are spent.
pub fn books_agree<'a>(quota: &QuotaRow, leases: impl IntoIterator<Item = &'a LeaseRow>) -> bool {
    let (mut settled, mut held, mut overrun, mut sound) = (0u64, 0u64, 0u64, true);
    for lease in leases {
        sound &= lease.spent.saturating_add(lease.returned) <= lease.granted;
        settled = settled.saturating_add(lease.spent);
        held = held.saturating_add(lease.held());
        overrun = overrun.saturating_add(lease.overrun);
    }
    sound
        && (settled, held, overrun) == (quota.settled, quota.held, quota.overrun)
        && settled.saturating_add(held) <= quota.limit
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
