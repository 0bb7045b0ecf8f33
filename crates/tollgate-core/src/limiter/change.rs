//! One account, changed by compare-and-swap.

use crate::limit::{Cell, Evicted, Owner, Owners, read_account, write_account};
use crate::policy::Policy;
use crate::store::{SharedStore, Slot, Swap};
use crate::time::Now;

use super::context::Context;
use super::decision::Held;
use super::plan::Charge;
use super::{ATTEMPTS_MAX, Limiter, Undecided};

/// What it took to write an account.
pub(super) struct Written {
    /// Swaps lost on the way.
    pub retries: u32,
    /// What a full slot forgot.
    pub evicted: Evicted,
}

/// What a step did to an account's cells.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Changed {
    /// Nothing that need be written.
    Nothing,
    /// Something.
    Cells,
}

/// Something of one account.
pub(super) trait OfAccount {
    fn account(&self) -> u64;
}

impl OfAccount for Charge {
    fn account(&self) -> u64 {
        self.account
    }
}

impl OfAccount for Held {
    fn account(&self) -> u64 {
        self.account
    }
}

impl Limiter {
    pub(super) const fn slot_of(&self, account: u64) -> Slot {
        Slot::Accounts(account as u32 & (self.process.slots - 1))
    }

    /// Changes one account by compare-and-swap, and makes the corrections that wait there. The step says whether there is
    /// anything to write. What [`Limiter::looked`] holds of the slot, if anything, stands in for the first look at it.
    pub(super) fn change<T: OfAccount>(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        group: &[T],
        mut step: impl FnMut(&Context<'_>, &mut Vec<Cell>, &[T]) -> Changed,
    ) -> Result<Written, Undecided> {
        let mut written = Written { retries: 0, evicted: Evicted::default() };
        let Some(account) = group.first().map(OfAccount::account) else {
            return Ok(written);
        };
        let slot = self.slot_of(account);
        for attempt in 1..=ATTEMPTS_MAX {
            let expected = match self.looked.take() {
                Some(expected) => expected,
                None => store.load(slot, &mut self.old)?,
            };
            let old = core::mem::take(&mut self.old);
            let changed =
                self.look(policy, store, now, (account, &old), |context, cells| step(context, cells, group));
            self.old = old;
            if changed? == Changed::Nothing {
                return Ok(written);
            }
            let at = (now.mono_ns, now.wall_s());
            written.evicted = write_account(&self.old, account, &self.cells, at, &mut self.new);
            if store.swap(slot, &self.new, expected)? == Swap::Done {
                self.later.written(account);
                return Ok(written);
            }
            written.retries += 1;
            store.lost(attempt);
        }
        Err(Undecided::Contention)
    }

    /// Takes a step on the cells of one account as they are now. Nothing is written.
    pub(super) fn peek<T>(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        account: u64,
        step: impl FnOnce(&Context<'_>, &mut Vec<Cell>) -> T,
    ) -> Result<T, Undecided> {
        store.load(self.slot_of(account), &mut self.old)?;
        let old = core::mem::take(&mut self.old);
        let looked = self.look(policy, store, now, (account, &old), step);
        self.old = old;
        looked
    }

    /// Takes a step on the cells of one account as they stand in a slot's bytes, with the corrections that wait there. The
    /// cells stay in [`Limiter::cells`].
    pub(super) fn look<T>(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        (account, slot): (u64, &[u8]),
        step: impl FnOnce(&Context<'_>, &mut Vec<Cell>) -> T,
    ) -> Result<T, Undecided> {
        read_account(slot, account, &mut self.cells);
        self.meet_owners(store)?;
        let context = Context {
            policy,
            now,
            owner: self.owner,
            owners: &self.owners,
            tight: self.tight,
            last_try: self.last_try,
        };
        self.later.correct(account, &context, &mut self.cells);
        Ok(step(&context, &mut self.cells))
    }

    /// Reads the register again when a hold's owner is not in the copy at hand: it may have joined since.
    fn meet_owners(&mut self, store: &impl SharedStore) -> Result<(), Undecided> {
        let stranger = |owner: Owner| owner != self.owner && !self.owners.knows(owner);
        if self.cells.iter().flat_map(Cell::owners).any(stranger) {
            store.load(Slot::Owners, &mut self.new)?;
            self.owners = Owners::decode(&self.new);
        }
        Ok(())
    }
}
