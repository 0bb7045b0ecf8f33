//! What is said to the ledger of leases, and what it answers. Collected here, and sent by whoever holds the [`Limiter`].

use tollgate_wire::{Grant, LeaseAsk, Share, ShareAsk};

use crate::limit::{Cell, State};
use crate::policy::{Attributes, Kind, Policy};
use crate::store::SharedStore;
use crate::time::Now;

use super::change::{Changed, OfAccount};
use super::context::Context;
use super::lease::line;
use super::plan::Charge;
use super::{Limiter, Undecided};

/// Accounts whose leases are looked after at a time: some microseconds each.
const LOOKS_MAX: usize = 256;

/// Between two looks at the leases of an account.
const LOOK_AFTER_MS: u64 = 1_000;

/// Slots that are searched at a time for leases nobody looks after, of a worker that ended.
const SEARCHED: u32 = 4;

/// What is said to the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    /// Of the lease of a quota.
    Lease(LeaseAsk),
    /// Of the share of a rate.
    Share(ShareAsk),
}

/// What the ledger answered.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// To what was said of a lease.
    Lease(&'a Grant),
    /// To what was said of a share.
    Share(&'a Share),
    /// Nothing, or not in time.
    None,
}

/// What a worker says to the ledger of one lease or share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub(super) account: u64,
    pub(super) cell: u32,
    pub(super) life: u64,
    pub(super) sent_ms: u64,
    /// For the ledger.
    pub say: Say,
}

impl Asked {
    /// True when requests wait for the answer.
    pub const fn is_waited_for(&self) -> bool {
        match &self.say {
            Say::Lease(ask) => ask.ask.need > 0,
            Say::Share(ask) => ask.claim.short,
        }
    }

    /// Where requests wait for the answer.
    pub fn line(&self) -> u64 {
        line(self.account, self.cell)
    }
}

impl Context<'_> {
    /// Enters an answer. None when what it is about is gone.
    fn answered(&self, cell: &mut Cell, asked: &Asked, answer: Answer<'_>) -> Option<Changed> {
        let now_ms = self.now.mono_ms();
        match (&mut cell.state, &asked.say) {
            (State::Leased(leased), Say::Lease(ask)) => {
                let terms = self.policy.limit_of(leased.limit)?.global?;
                let holder = &mut leased.of_life(asked.life)?.holder;
                match answer {
                    Answer::Lease(grant) => holder.answered(now_ms, asked.sent_ms, &ask.ask, grant, &terms),
                    _ => holder.failed(now_ms, &terms),
                }
            }
            (State::Shared(shared), Say::Share(ask)) if shared.holder.life() == asked.life => {
                let limit = self.policy.limit_of(shared.limit)?;
                let (Kind::Rate(rate), seq) = (&limit.kind, ask.claim.seq) else { return None };
                match answer {
                    Answer::Share(share) => {
                        let rate = self.rate(limit, rate);
                        shared.holder.answered(self.now, rate, (seq, asked.sent_ms), share);
                    }
                    _ => shared.holder.failed(now_ms, seq),
                }
            }
            _ => return None,
        }
        Some(Changed::Cells)
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
        answer: Answer<'_>,
    ) -> Result<(), Undecided> {
        self.change(policy, store, now, core::slice::from_ref(asked), |context, cells, _| {
            let cell = cells.iter_mut().find(|cell| cell.id == asked.cell);
            cell.and_then(|cell| context.answered(cell, asked, answer)).unwrap_or(Changed::Nothing)
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
