//! One simulated Envoy: leases, requests that wait, and its own idea of the time.

use std::collections::BTreeMap;

use tollgate_core::lease::{Admit, Ask, Grant, Hold, Holder, Terms};
use tollgate_core::limit::Owner;

use crate::books::Account;

const WORKER: Owner = Owner(1);

/// A next window's lease is asked for this long before it begins.
const AHEAD_MS: u64 = 5_000;

/// One lease in a message.
#[derive(Clone, Copy)]
pub struct Line {
    pub account: Account,
    pub life: u64,
    pub ask: Ask,
}

pub struct Envoy {
    /// Counts its processes: what was sent to one before is not for this one.
    pub process: u64,
    pub alive: bool,
    pub cut_off: bool,
    pub bursting: bool,
    /// How far its wall clock is ahead, plus [`MAX_SKEW_MS`].
    pub skew_ms: u64,
    /// Requests a millisecond when it does not burst.
    pub rate: f64,
    pub holders: BTreeMap<Account, Holder>,
    /// Requests that wait, oldest first.
    pub waiting: Vec<usize>,
    next_life: u64,
}

/// Wall clocks are ahead of the simulation's by this and less or more: none is negative.
pub const MAX_SKEW_MS: u64 = 10_000;

/// Why a request does not pass, and because of which quota.
pub enum No {
    Wait,
    Denied(usize),
    Unreachable,
}

impl Envoy {
    pub fn new(number: usize, rate: f64, skew_ms: u64) -> Self {
        Self {
            process: 0,
            alive: true,
            cut_off: false,
            bursting: false,
            skew_ms,
            rate,
            holders: BTreeMap::new(),
            waiting: Vec::new(),
            next_life: (number as u64) << 32,
        }
    }

    /// Its wall clock. Windows begin at multiples of their length.
    pub fn wall_ms(&self, now_ms: u64) -> u64 {
        (now_ms + self.skew_ms).saturating_sub(MAX_SKEW_MS)
    }

    fn life(&mut self) -> u64 {
        self.next_life += 1;
        self.next_life
    }

    /// Takes `amount` of every quota, or of none. Every quota that is short is remembered, so that one message asks for
    /// all; where one says no, none is.
    pub fn admit(
        &mut self,
        now_ms: u64,
        accounts: &[Account],
        amount: u64,
        terms: &Terms,
    ) -> Result<Vec<Hold>, No> {
        let mut looked: Vec<Holder> = Vec::new();
        let mut holds = Vec::new();
        for account in accounts {
            let life = self.life();
            let mut holder = self.holders.get(account).cloned().unwrap_or_else(|| Holder::new(life));
            match holder.admit(now_ms, WORKER, amount, terms) {
                Admit::Taken(hold) => holds.push(hold),
                Admit::Denied => return Err(No::Denied(account.0)),
                Admit::Unreachable => {
                    // It remembers that the ledger is to be asked.
                    self.holders.insert(*account, holder);
                    return Err(No::Unreachable);
                }
                Admit::Wait => {}
                Admit::Crowded => unreachable!("there is one worker"),
            }
            looked.push(holder);
        }
        let all = holds.len() == accounts.len();
        for (account, mut holder) in accounts.iter().zip(looked) {
            if !all && let Some(hold) = holds.iter().find(|hold| hold.life == holder.life()) {
                holder.undo(WORKER, hold);
            }
            self.holders.insert(*account, holder);
        }
        if all { Ok(holds) } else { Err(No::Wait) }
    }

    /// True when it is the ledger's silence that one of these waits for.
    pub fn away(&self, now_ms: u64, accounts: &[Account], terms: &Terms) -> bool {
        accounts
            .iter()
            .any(|account| self.holders.get(account).is_some_and(|holder| holder.is_away(now_ms, terms)))
    }

    pub fn complete(&mut self, account: Account, hold: &Hold, used: u64) {
        if let Some(holder) = self.holders.get_mut(&account) {
            holder.complete(WORKER, hold, used);
        }
    }

    /// What is done a few times a second: leases of ended windows are closed, those of the next prepared, those that
    /// have nothing more to say forgotten.
    pub fn tick(&mut self, now_ms: u64, window_ms: u64) {
        let wall_ms = self.wall_ms(now_ms);
        let window = wall_ms / window_ms;
        for (_, holder) in self.holders.iter_mut().filter(|((_, of), _)| *of < window) {
            holder.close();
        }
        self.holders.retain(|_, holder| !holder.at_rest(now_ms));
        let next = (wall_ms + AHEAD_MS - self.skew_ms % 2_000) / window_ms;
        if next > window {
            let ending: Vec<Account> = self.holders.keys().copied().filter(|(_, of)| *of == window).collect();
            for (quota, window) in ending {
                if !self.holders.contains_key(&(quota, window + 1)) {
                    let life = self.life();
                    let holder = self.holders[&(quota, window)].successor(life);
                    self.holders.insert((quota, window + 1), holder);
                }
            }
        }
    }

    /// The leases that are due.
    pub fn asks(&mut self, now_ms: u64, terms: &Terms) -> Vec<Line> {
        let due = self.holders.iter_mut().filter(|(_, holder)| holder.is_due(now_ms, terms));
        due.map(|(account, holder)| Line {
            account: *account,
            life: holder.life(),
            ask: holder.ask(now_ms, terms),
        })
        .collect()
    }

    pub fn answered(&mut self, now_ms: u64, sent_ms: u64, line: &Line, grant: &Grant, terms: &Terms) {
        if let Some(holder) = self.holders.get_mut(&line.account).filter(|holder| holder.life() == line.life)
        {
            holder.answered(now_ms, sent_ms, &line.ask, grant, terms);
        }
    }

    pub fn failed(&mut self, now_ms: u64, line: &Line, terms: &Terms) {
        if let Some(holder) = self.holders.get_mut(&line.account).filter(|holder| holder.life() == line.life)
        {
            holder.failed(now_ms, terms);
        }
    }
}
