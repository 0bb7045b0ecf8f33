//! Leases and shares: what they have to say goes to the ledger beside the batches. At once where requests wait for the answer, and
//! together with others where none does.

use core::time::Duration;

use log::warn;
use tollgate_core::limiter::{Answer, Asked, Say};
use tollgate_core::policy::LedgerLink;
use tollgate_core::time::Now;
use tollgate_wire::{LEASES_MAX, LeaseAsk, SHARES_MAX, ShareAsk, SyncRequest, SyncResponse};

use super::{Link, read_answer};
use crate::host;
use crate::worker::{State, Worker};

/// Longest time the ledger may take. The holders ask again by themselves.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Most leases and shares in a call: each may be all of either.
const SAID_MAX: usize = if LEASES_MAX < SHARES_MAX { LEASES_MAX } else { SHARES_MAX };

/// Most calls at a time, of one worker: what comes meanwhile goes together with the next.
const CALLS_MAX: usize = 4;

/// What nobody waits for waits for others as long as this, or until there are so many.
const GATHER_NS: u64 = 50_000_000;
const GATHERED: usize = 50;

/// What is to be said, and what is being said.
#[derive(Default)]
pub(super) struct Leasing {
    pending: Vec<Asked>,
    /// Since when, in nanoseconds.
    pending_ns: u64,
    urgent: bool,
    /// The root has been told to say it.
    rung: bool,
    /// The calls under way, and what each is about.
    calls: Vec<(u32, Vec<Asked>)>,
}

impl Leasing {
    fn gather(&mut self, asks: Vec<Asked>, now: Now) {
        if self.pending.is_empty() {
            self.pending_ns = now.mono_ns;
        }
        self.urgent |= asks.iter().any(Asked::is_waited_for);
        self.pending.extend(asks);
    }

    fn is_due(&self, now: Now) -> bool {
        let waited_ns = now.mono_ns.saturating_sub(self.pending_ns);
        let due = self.urgent || waited_ns >= GATHER_NS || self.pending.len() >= GATHERED;
        due && !self.pending.is_empty() && self.calls.len() < CALLS_MAX
    }

    /// What is to be said now, if anything.
    fn next(&mut self, now: Now) -> Option<Vec<Asked>> {
        if !self.is_due(now) {
            return None;
        }
        let rest = self.pending.split_off(self.pending.len().min(SAID_MAX));
        self.urgent = rest.iter().any(Asked::is_waited_for);
        Some(core::mem::replace(&mut self.pending, rest))
    }
}

impl Link {
    /// Takes what leases have to say from a stream's callback, and has the root say it when it is time: the answer to a call
    /// that a stream makes comes to that stream, and to nobody once it has ended.
    pub fn gather(worker: &Worker, state: &mut State, now: Now) {
        let asks = state.limiter.asks();
        let Some(link) = &mut state.link else { return };
        if asks.is_empty() {
            return;
        }
        link.leasing.gather(asks, now);
        if link.leasing.is_due(now) && !link.leasing.rung {
            link.leasing.rung = true;
            worker.ring_root(state);
        }
    }

    /// Says what leases have to say, if it is time. From the root's callbacks only.
    pub fn ask(worker: &Worker, state: &mut State, now: Now) {
        let asks = state.limiter.asks();
        let (Some(link), Some(ledger)) = (&mut state.link, &worker.policy.ledger) else { return };
        link.leasing.rung = false;
        if !asks.is_empty() {
            link.leasing.gather(asks, now);
        }
        while let Some(asks) = link.leasing.next(now) {
            if let Err(unsent) = link.say(ledger, asks) {
                state.metrics.count("tollgate_lease_calls.outcome=unsent", 1);
                enter(worker, state, &unsent, &SyncResponse::default());
                break;
            }
        }
    }

    /// Takes the answer to a call about leases. False: the call was about something else.
    pub(super) fn leased(worker: &Worker, token: u32, body_size: usize) -> bool {
        let mut state = worker.state.borrow_mut();
        let Some(link) = &mut state.link else { return false };
        let Some(at) = link.leasing.calls.iter().position(|(under_way, _)| *under_way == token) else {
            return false;
        };
        let (_, asked) = link.leasing.calls.swap_remove(at);
        let (answer, status, body) = read_answer(body_size);
        if answer.is_none() {
            let body = String::from_utf8_lossy(body.get(..300).unwrap_or(&body));
            warn!("the ledger answered {} about leases: {body}", String::from_utf8_lossy(&status));
            state.metrics.count("tollgate_lease_calls.outcome=failed", 1);
        } else {
            state.metrics.count("tollgate_lease_calls.outcome=ok", 1);
        }
        enter(worker, &mut state, &asked, &answer.unwrap_or_default());
        drop(state);
        asked.iter().for_each(|asked| worker.lease_came(asked.line()));
        Self::ask(worker, &mut worker.state.borrow_mut(), host::now());
        true
    }

    /// Sends one message; what could not be sent comes back.
    fn say(&mut self, ledger: &LedgerLink, asks: Vec<Asked>) -> Result<(), Vec<Asked>> {
        let (mut leases, mut shares) = (Vec::<LeaseAsk>::new(), Vec::<ShareAsk>::new());
        for asked in &asks {
            match &asked.say {
                Say::Lease(ask) => leases.push(ask.clone()),
                Say::Share(ask) => shares.push(ask.clone()),
            }
        }
        let request = self.request(&ledger.node, None, None, None);
        let request = SyncRequest { leases, shares, ..request };
        match self.send(&ledger.cluster, &request, TIMEOUT) {
            Some(token) => self.leasing.calls.push((token, asks)),
            None => return Err(asks),
        }
        Ok(())
    }
}

/// Enters what the ledger granted, and where it granted nothing, that it did not answer.
fn enter(worker: &Worker, state: &mut State, asked: &[Asked], answer: &SyncResponse) {
    let now = host::now();
    for asked in asked {
        let answer = answer_to(asked, answer);
        if let Err(error) = state.limiter.leased(&worker.policy, &worker.store, now, asked, answer) {
            warn!("what the ledger granted was not entered, and will be asked for again: {error}");
        }
    }
}

fn answer_to<'a>(asked: &Asked, answer: &'a SyncResponse) -> Answer<'a> {
    let found = match &asked.say {
        Say::Lease(ask) => {
            let found = answer.leases.iter().find(|granted| granted.lease == ask.lease);
            found.map(|granted| Answer::Lease(&granted.grant))
        }
        Say::Share(ask) => {
            let is_mine = |holder: &str, seq| holder == ask.holder && seq == ask.claim.seq;
            let found = answer.shares.iter().find(|granted| is_mine(&granted.holder, granted.seq));
            found.map(|granted| Answer::Share(&granted.share))
        }
    };
    found.unwrap_or(Answer::None)
}
