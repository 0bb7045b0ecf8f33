//! Settling later: a small correction waits for the next change of its account, which writes it as well. A request on a
//! busy account then costs one swap instead of two.
//!
//! Until then the account holds no less than was used (a rate: than was expected): nobody gets in who would not have. So it is done only
//! where that refuses nobody either: far from every limit, for a small part of it, a few times at once. A worker that
//! dies leaves holds, which count as used like those of any request it had in flight.

use hashbrown::HashMap;

use crate::limit::Cell;
use crate::policy::{Kind, Policy};
use crate::store::SharedStore;
use crate::time::Now;

use super::change::{Changed, OfAccount};
use super::context::Context;
use super::decision::Held;
use super::{Amounts, Limiter, Reservation, Status, Undecided};

/// Corrections that wait at one account, in one worker.
const PER_ACCOUNT_MAX: usize = 4;

/// A hold may stay when it is no more than this part of its limit. Sixteen workers with four of them each keep half of
/// a limit at most, and the other half was free when they were admitted.
const PART_OF_LIMIT: u64 = 128;

/// Accounts with a correction that waits.
const ACCOUNTS_MAX: usize = 4096;

/// What one request held of one account, and what it used.
#[derive(Debug)]
struct Correction {
    held: Vec<Held>,
    actual: Amounts,
}

/// All corrections that wait in this worker.
#[derive(Debug, Default)]
pub(super) struct Later(HashMap<u64, Vec<Correction>>);

impl Later {
    /// Makes the corrections of an account, in a copy of its cells.
    pub fn correct(&self, account: u64, context: &Context<'_>, cells: &mut Vec<Cell>) {
        for correction in self.0.get(&account).into_iter().flatten() {
            context.settle(cells, &correction.held, &correction.actual);
        }
    }

    /// Forgets the corrections of an account: they are written.
    pub fn written(&mut self, account: u64) {
        self.0.remove(&account);
    }

    fn has_room(&self, account: u64) -> bool {
        match self.0.get(&account) {
            Some(all) => all.len() < PER_ACCOUNT_MAX,
            None => self.0.len() < ACCOUNTS_MAX,
        }
    }
}

/// An account that is written for its corrections alone.
struct Corrected(u64);

impl OfAccount for Corrected {
    fn account(&self) -> u64 {
        self.0
    }
}

impl Limiter {
    /// Settles like [`Limiter::settle`], at once or with the next change of the account: [`Limiter::flush`] at the
    /// latest. `statuses` is how the limits stood when the request was admitted.
    ///
    /// # Errors
    /// As of [`Limiter::settle`].
    pub fn settle_later(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        reservation: Reservation,
        statuses: &[Status],
        actual: &Amounts,
    ) -> Result<(), (Reservation, Undecided)> {
        let may_wait = |held: &Held| {
            let status = statuses.iter().find(|status| status.limit == held.limit);
            can_wait(policy, held, status.map_or(0, |status| status.remaining), actual)
        };
        let fits = !policy.queues
            && reservation.held.iter().all(may_wait)
            && reservation.accounts().all(|account| self.later.has_room(account));
        if !fits {
            return self.settle(policy, store, now, reservation, actual);
        }
        for group in reservation.held.chunk_by(|a, b| a.account == b.account) {
            let Some(first) = group.first() else { continue };
            let corrections = self.later.0.entry(first.account).or_default();
            corrections.push(Correction { held: group.to_vec(), actual: *actual });
        }
        Ok(())
    }

    /// Writes all corrections that wait. Call it several times a second, and before this worker ends.
    ///
    /// # Errors
    /// [`Undecided`]: those not written yet wait on.
    pub fn flush(&mut self, policy: &Policy, store: &impl SharedStore, now: Now) -> Result<(), Undecided> {
        let accounts: Vec<u64> = self.later.0.keys().copied().collect();
        for account in accounts {
            self.change(policy, store, now, &[Corrected(account)], |_, _, _| Changed::Cells)?;
        }
        Ok(())
    }
}

/// True when nobody can tell whether the hold is settled now or a moment later.
fn can_wait(policy: &Policy, held: &Held, remaining: u64, actual: &Amounts) -> bool {
    let Some(limit) = policy.limit_at(held.limit, held.percent) else { return false };
    if limit.is_counted_at_once() {
        // Counted when it was admitted: there is nothing to correct.
        return true;
    }
    let used = if matches!(limit.kind, Kind::Concurrency(_)) { 1 } else { actual.of(limit.meter) };
    // A rate reserves what is expected, and pays a longer answer off afterwards in any case.
    let gives_back = used <= held.amount || matches!(limit.kind, Kind::Rate(_));
    let most = limit.most();
    gives_back && !held.spare && held.amount.max(used) <= most / PART_OF_LIMIT && remaining >= most / 2
}
