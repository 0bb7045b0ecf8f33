//! What is said to the ledger of leases, and what it answers. Collected here, and sent by whoever holds the [`Limiter`].

use tollgate_wire::{Grant, LeaseAsk};

use crate::limit::{Cell, State};
use crate::policy::{Attributes, Policy};
use crate::store::SharedStore;
use crate::time::Now;

use super::change::{Changed, OfAccount};
use super::lease::line;
use super::plan::Charge;
use super::{Limiter, Undecided};

/// Accounts whose leases are looked after at a time: some microseconds each.
const LOOKS_MAX: usize = 256;

/// Between two looks at the leases of an account.
const LOOK_AFTER_MS: u64 = 1_000;

/// Slots that are searched at a time for leases nobody looks after, of a worker that ended.
const SEARCHED: u32 = 4;

/// What a worker says to the ledger of one lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub(super) account: u64,
    pub(super) cell: u32,
    pub(super) life: u64,
    pub(super) sent_ms: u64,
    /// For the ledger.
    pub ask: LeaseAsk,
}

impl Asked {
    /// True when requests wait for the answer.
    pub const fn is_waited_for(&self) -> bool {
        self.ask.ask.need > 0
    }

    /// Where requests wait for the answer.
    pub fn line(&self) -> u64 {
        line(self.account, self.cell)
    }
}

impl OfAccount for Asked {
    fn account(&self) -> u64 {
        self.account
    }
}

/// One account whose leases are looked after.
struct Looked(u64);

impl OfAccount for Looked {
    fn account(&self) -> u64 {
        self.0
    }
}

impl Limiter {
    /// What is to be said to the ledger, each once.
    pub fn asks(&mut self) -> Vec<Asked> {
        core::mem::take(&mut self.asks)
    }

    /// Says what a request lacks, in every lease that is short.
    pub(super) fn want(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        charges: &[Charge],
        request: &Attributes<'_>,
    ) -> Result<(), Undecided> {
        for group in charges.chunk_by(|a, b| a.account == b.account) {
            let mut asks = Vec::new();
            self.change(policy, store, now, group, |context, cells, group| {
                asks.clear();
                context.want(cells, group, request, &mut asks)
            })?;
            self.asks.append(&mut asks);
        }
        Ok(())
    }

    /// Takes the ledger's answer, or that there was none.
    ///
    /// # Errors
    /// [`Undecided`]: the answer is lost, and will be asked for again.
    pub fn leased(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
        asked: &Asked,
        grant: Option<&Grant>,
    ) -> Result<(), Undecided> {
        self.change(policy, store, now, core::slice::from_ref(asked), |context, cells, _| {
            let cell = cells.iter_mut().find(|cell| cell.id == asked.cell);
            let Some(Cell { state: State::Leased(leased), .. }) = cell else { return Changed::Nothing };
            let terms = policy.limit_of(leased.limit).and_then(|limit| limit.global);
            let (Some(terms), Some(lease)) = (terms, leased.of_life(asked.life)) else {
                return Changed::Nothing;
            };
            match grant {
                Some(grant) => {
                    let now_ms = context.now.mono_ms();
                    lease.holder.answered(now_ms, asked.sent_ms, &asked.ask.ask, grant, &terms);
                }
                None => lease.holder.failed(context.now.mono_ms(), &terms),
            }
            Changed::Cells
        })?;
        Ok(())
    }

    /// Looks after the leases this worker knows of: reports what was spent, asks for more, gives back what is idle or over,
    /// and begins the next window's. Call it several times a second.
    ///
    /// # Errors
    /// [`Undecided`]: the rest is looked after the next time.
    pub fn look_after_leases(
        &mut self,
        policy: &Policy,
        store: &impl SharedStore,
        now: Now,
    ) -> Result<(), Undecided> {
        if !policy.leases {
            return Ok(());
        }
        self.search(store)?;
        let now_ms = now.mono_ms();
        let due = self.leases.iter().filter(|(_, look_ms)| **look_ms <= now_ms);
        let due: Vec<u64> = due.map(|(account, _)| *account).take(LOOKS_MAX).collect();
        for account in due {
            let (mut asks, mut some) = (Vec::new(), false);
            self.change(policy, store, now, &[Looked(account)], |context, cells, _| {
                (asks, some) = (Vec::new(), false);
                context.look_after(account, cells, &mut asks, &mut some)
            })?;
            self.asks.append(&mut asks);
            if some {
                self.leases.insert(account, now_ms + LOOK_AFTER_MS);
            } else {
                self.leases.remove(&account);
            }
        }
        Ok(())
    }

    /// Looks for leases in a few slots, all of them in turn.
    fn search(&mut self, store: &impl SharedStore) -> Result<(), Undecided> {
        for _ in 0..SEARCHED {
            self.searched = (self.searched + 1) & (self.process.slots - 1);
            store.load(self.slot_of(self.searched.into()), &mut self.old)?;
            for account in crate::limit::accounts_with_leases(&self.old) {
                self.leases.entry(account).or_insert(0);
            }
        }
        Ok(())
    }

    /// This worker spends from leases of these accounts.
    pub(super) fn know_leases(&mut self, policy: &Policy, charges: &[Charge]) {
        let leased =
            |charge: &&Charge| policy.limit(charge.limit).is_some_and(|limit| limit.global.is_some());
        for charge in charges.iter().filter(leased) {
            self.leases.entry(charge.account).or_insert(0);
        }
    }
}
