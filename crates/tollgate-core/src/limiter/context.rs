//! What a step on one account knows and needs: the policy, the moment, who is alive, and cells in their right shape.

use crate::lease::Leased;
use crate::limit::{
    Bucket, CLOCK_STEP_S_MAX, Cell, Gauge, Holds, Owner, Owners, Rate, Share, Sliding, Span, Spare, State,
    Usage, Window,
};
use crate::policy::{Kind, Limit, LimitId, Policy};
use crate::time::{NANOS_PER_SECOND, Now};

use super::Status;

/// What a step needs to know besides the account.
pub(super) struct Context<'a> {
    pub policy: &'a Policy,
    pub now: Now,
    pub owner: Owner,
    pub owners: &'a Owners,
    /// The models are strained: rates are tightened.
    pub tight: bool,
    /// The request has waited for a lease as long as it may.
    pub last_try: bool,
}

impl Context<'_> {
    pub fn alive(&self, owner: Owner) -> bool {
        owner == self.owner || self.owners.is_alive(owner, self.now.mono_s())
    }

    /// The rate that holds now.
    pub const fn rate<'l>(&self, limit: &'l Limit, rate: &'l Rate) -> &'l Rate {
        limit.rate_when(self.tight, rate)
    }

    /// The window that holds now.
    pub const fn span<'l>(&self, limit: &'l Limit, span: &'l Span) -> &'l Span {
        limit.window_when(self.tight, span)
    }

    /// Nanoseconds until this second.
    pub fn until(&self, wall_s: u32) -> u64 {
        u64::from(wall_s).saturating_mul(NANOS_PER_SECOND).saturating_sub(self.now.wall.0)
    }

    /// Takes the cell out of the account, or a new one, and brings it to the present: the current window, without the
    /// holds of the dead, and without a grace that belongs to an earlier violation.
    pub fn remove(&self, cells: &mut Vec<Cell>, id: u32, limit: &Limit) -> Cell {
        let mut cell = remove_known(cells, id, limit).unwrap_or_else(|| fresh(id, limit));
        let afresh = match (&mut cell.state, &limit.kind) {
            (State::Bucket(bucket, spare), _) => {
                match &limit.allowance {
                    Some(allowance) => spare.renew(allowance),
                    None => *spare = Spare::default(),
                }
                bucket.at_rest(self.now.mono_ns)
            }
            (State::Shared(shared), Kind::Rate(rate)) => {
                shared.holder.standing(self.now, self.rate(limit, rate)).1 == 0
            }
            (State::Sliding(sliding, holds), Kind::Window(span)) => {
                let span = self.span(limit, span);
                let offset_ns = sliding.advance(span, self.now.mono_ns);
                // As of a quota: what the dead held counts as used, from now on.
                let lost = holds.expire(|owner| self.alive(owner));
                sliding.charge(span, offset_ns, lost);
                sliding.at_rest(self.now.mono_ns)
            }
            (State::Quota(usage), Kind::Quota { calendar, .. }) => {
                let afresh = roll(usage, self.policy.window(*calendar, self.now.wall_s()));
                // Whoever died in the middle of a request had it served: what it held counts as used.
                let lost = usage.holds.expire(|owner| self.alive(owner));
                usage.used = usage.used.saturating_add(lost);
                afresh
            }
            (State::Leased(leased), Kind::Quota { calendar, .. }) => {
                let wall_s = self.now.wall_s();
                let window = self.policy.window(*calendar, wall_s);
                leased.renew(window, wall_s, |owner| self.alive(owner));
                leased.of_window(window).is_none()
            }
            (State::InFlight(holds), _) => {
                holds.expire(|owner| self.alive(owner));
                holds.is_empty()
            }
            (State::Gauge(gauge), Kind::Memory(most)) => gauge.reading(self.now.mono_s()) <= *most,
            _ => false,
        };
        if afresh {
            cell.grace_until_s = 0;
        }
        cell
    }

    /// How the limit stands; enters its share in the cell.
    pub fn status(&self, limit: &Limit, id: LimitId, cell: &mut Cell) -> Status {
        let most = limit.most();
        let (remaining, reset_ns) = match (&mut cell.state, &limit.kind) {
            (State::Bucket(bucket, _), Kind::Rate(rate)) => {
                let rate = self.rate(limit, rate);
                (bucket.remaining(rate, self.now.mono_ns), bucket.full_in_ns(rate, self.now.mono_ns))
            }
            (State::Shared(shared), Kind::Rate(rate)) => {
                shared.holder.standing(self.now, self.rate(limit, rate))
            }
            (State::Sliding(sliding, holds), Kind::Window(span)) => {
                let span = self.span(limit, span);
                let offset_ns = sliding.advance(span, self.now.mono_ns);
                let remaining = sliding.remaining(span, offset_ns).saturating_sub(holds.total());
                (remaining, sliding.empty_in_ns(span, offset_ns))
            }
            (State::Quota(usage), _) => (
                most.saturating_sub(usage.used.saturating_add(usage.holds.total())),
                self.until(usage.window.end_s),
            ),
            (State::Leased(leased), _) => self.lease_now(leased, limit).map_or((most, 0), |lease| {
                let left = lease.holder.standing().map_or(most, |(_, left)| left);
                (left, self.until(lease.window.end_s))
            }),
            (State::InFlight(holds), _) => (most.saturating_sub(holds.total()), 0),
            (State::Gauge(gauge), _) => (most.saturating_sub(gauge.reading(self.now.mono_s())), 0),
            _ => (most, 0),
        };
        let used = match (&cell.state, &limit.allowance) {
            // An allowance comes after the rate and never comes back by itself: it is what there is to lose.
            (State::Bucket(_, spare), Some(allowance)) if spare.used > 0 => {
                Share::of(spare.used, allowance.amount)
            }
            _ => Share::of(most.saturating_sub(remaining), most),
        };
        cell.share = used;
        Status { limit: id, most, remaining, reset_ns }
    }
}

/// Takes the cell out of the account as it is. One of another kind is of a limit that was changed, and goes.
pub(super) fn remove_known(cells: &mut Vec<Cell>, id: u32, limit: &Limit) -> Option<Cell> {
    let index = cells.iter().position(|cell| cell.id == id)?;
    Some(cells.remove(index)).filter(|cell| fits(&cell.state, limit))
}

fn fits(state: &State, limit: &Limit) -> bool {
    matches!(
        (state, &limit.kind, limit.global),
        (State::Quota(_), Kind::Quota { .. }, None)
            | (State::Leased(_), Kind::Quota { .. }, Some(_))
            | (State::Bucket(..), Kind::Rate(_), None)
            | (State::Shared(_), Kind::Rate(_), Some(_))
            | (State::Sliding(..), Kind::Window(_), _)
            | (State::InFlight(_), Kind::Concurrency(_), _)
            | (State::Gauge(_), Kind::Memory(_), _)
    )
}

fn fresh(id: u32, limit: &Limit) -> Cell {
    let state = match limit.kind {
        Kind::Rate(_) if limit.global.is_some() => State::Shared(Box::default()),
        Kind::Rate(_) => State::Bucket(Bucket::default(), Spare::default()),
        Kind::Window(_) => State::Sliding(Sliding::default(), Holds::default()),
        Kind::Quota { .. } if limit.global.is_some() => State::Leased(Leased::default()),
        Kind::Quota { .. } => State::Quota(Usage::default()),
        Kind::Memory(_) => State::Gauge(Gauge::default()),
        Kind::Concurrency(_) | Kind::PerRequest(_) => State::InFlight(Holds::default()),
    };
    Cell { id, share: Share::default(), grace_until_s: 0, state }
}

/// Brings the usage to the current window. True when that begins afresh.
///
/// A clock that stepped back does not open the window before again: what was counted in the next one stays there.
/// Windows that overlap are those of a changed configuration: what was used stays used.
fn roll(usage: &mut Usage, window: Window) -> bool {
    let old = usage.window;
    let ahead_s_max = window.end_s.saturating_sub(window.start_s).max(CLOCK_STEP_S_MAX);
    let stepped_back = old.start_s > window.start_s && old.start_s - window.start_s <= ahead_s_max;
    if old == window || stepped_back {
        return false;
    }
    if old.start_s >= window.start_s || old.end_s <= window.start_s {
        *usage = Usage { window, ..Usage::default() };
        return true;
    }
    usage.window = window;
    false
}
