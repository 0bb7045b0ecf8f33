//! What a step on one account knows and needs: the policy, the moment, who is alive, and cells in their right shape.

use crate::limit::{Bucket, Cell, Holds, Owner, Owners, State, Usage, Window};
use crate::policy::{Kind, Limit, LimitId, Policy};
use crate::time::{NANOS_PER_SECOND, Now};

use super::Status;

/// What a step needs to know besides the account.
pub(super) struct Context<'a> {
    pub policy: &'a Policy,
    pub now: Now,
    pub owner: Owner,
    pub owners: &'a Owners,
}

impl Context<'_> {
    pub fn alive(&self, owner: Owner) -> bool {
        owner == self.owner || self.owners.is_alive(owner, self.now.mono_s())
    }

    /// Nanoseconds until this second.
    pub fn until(&self, wall_s: u32) -> u64 {
        u64::from(wall_s).saturating_mul(NANOS_PER_SECOND).saturating_sub(self.now.wall.0)
    }

    pub fn status(&self, limit: &Limit, id: LimitId, cell: &Cell) -> Status {
        let (remaining, reset_ns) = match (&cell.state, &limit.kind) {
            (State::Bucket(bucket), Kind::Rate(rate)) => {
                (bucket.remaining(rate, self.now.mono_ns), bucket.full_in_ns(rate, self.now.mono_ns))
            }
            (State::Quota(usage), Kind::Quota { limit: most, .. }) => (
                most.saturating_sub(usage.used.saturating_add(usage.holds.total())),
                self.until(usage.window.end_s),
            ),
            (State::InFlight(holds), Kind::Concurrency(most)) => (most.saturating_sub(holds.total()), 0),
            _ => (limit.most(), 0),
        };
        Status { limit: id, remaining, reset_ns }
    }
}

/// Takes the cell out of the account, or a new one. A cell of another kind is of a limit that was changed.
pub(super) fn remove(cells: &mut Vec<Cell>, id: u32, limit: &Limit) -> Cell {
    let fits = |state: &State| {
        matches!(
            (state, &limit.kind),
            (State::Bucket(_), Kind::Rate(_))
                | (State::Quota(_), Kind::Quota { .. })
                | (State::InFlight(_), Kind::Concurrency(_))
        )
    };
    match cells.iter().position(|cell| cell.id == id) {
        Some(index) => {
            let cell = cells.remove(index);
            if fits(&cell.state) { cell } else { fresh(id, limit) }
        }
        None => fresh(id, limit),
    }
}

fn fresh(id: u32, limit: &Limit) -> Cell {
    let state = match limit.kind {
        Kind::Rate(_) => State::Bucket(Bucket::default()),
        Kind::Quota { .. } => State::Quota(Usage::default()),
        Kind::Concurrency(_) | Kind::PerRequest(_) => State::InFlight(Holds::default()),
    };
    Cell { id, grace_until_s: 0, state }
}

/// Brings the usage to the current window. True when that begins afresh.
///
/// A clock that stepped back does not open the window before again: what was counted in the next one stays there.
/// Windows that overlap are those of a changed configuration: what was used stays used.
pub(super) fn roll(usage: &mut Usage, window: Window) -> bool {
    let old = usage.window;
    let stepped_back = old.start_s > window.start_s && old.start_s <= window.end_s;
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
