//! Leases: what they have to say goes to the ledger beside the batches. At once where requests wait for the answer, and
//! together with others where none does.

use core::time::Duration;

use log::warn;
use tollgate_core::limiter::Asked;
use tollgate_core::policy::LedgerLink;
use tollgate_core::time::Now;
use tollgate_wire::{LEASES_MAX, LeaseGrant};

use super::{Link, read_answer};
use crate::host;
use crate::worker::{State, Worker};

/// Longest time the ledger may take. The holders ask again by themselves.
const TIMEOUT: Duration = Duration::from_secs(2);

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
        let rest = self.pending.split_off(self.pending.len().min(LEASES_MAX));
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
                enter(worker, state, &unsent, &[]);
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
        let grants = answer.map(|answer| answer.leases).unwrap_or_default();
        if grants.is_empty() {
            let body = String::from_utf8_lossy(body.get(..300).unwrap_or(&body));
            warn!("the ledger answered {} about leases: {body}", String::from_utf8_lossy(&status));
            state.metrics.count("tollgate_lease_calls.outcome=failed", 1);
        } else {
            state.metrics.count("tollgate_lease_calls.outcome=ok", 1);
        }
        enter(worker, &mut state, &asked, &grants);
        drop(state);
        asked.iter().for_each(|asked| worker.lease_came(asked.line()));
        Self::ask(worker, &mut worker.state.borrow_mut(), host::now());
        true
    }

    /// Sends one message; what could not be sent comes back.
    fn say(&mut self, ledger: &LedgerLink, asks: Vec<Asked>) -> Result<(), Vec<Asked>> {
        let leases = asks.iter().map(|asked| asked.ask.clone()).collect();
        let request = self.request(&ledger.node, None, None, None, leases);
        match self.send(&ledger.cluster, &request, TIMEOUT) {
            Some(token) => self.leasing.calls.push((token, asks)),
            None => return Err(asks),
        }
        Ok(())
    }
}

/// Enters what the ledger granted, and where it granted nothing, that it did not answer.
fn enter(worker: &Worker, state: &mut State, asked: &[Asked], grants: &[LeaseGrant]) {
    let now = host::now();
    for asked in asked {
        let granted = grants.iter().find(|granted| granted.lease == asked.ask.lease);
        let grant = granted.map(|granted| &granted.grant);
        if let Err(error) = state.limiter.leased(&worker.policy, &worker.store, now, asked, grant) {
            warn!("a lease was not entered, and will be asked for again: {error}");
        }
    }
}
