//! Leases: what they have to say goes to the ledger at once, beside the batches, because requests wait for the answer.

use core::time::Duration;

use log::warn;
use tollgate_core::limiter::Asked;
use tollgate_core::policy::LedgerLink;
use tollgate_wire::{LEASES_MAX, LeaseGrant};

use super::{Link, read_answer};
use crate::host;
use crate::worker::{State, Worker};

/// Longest time the ledger may take. The holders ask again by themselves.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Most calls at a time, of one worker.
const CALLS_MAX: usize = 16;

/// The calls under way, and what each is about.
pub(super) type Leasing = Vec<(u32, Vec<Asked>)>;

impl Link {
    /// Says what leases have to say, if anything. `stream` is whose calls follow, if not the root's.
    pub fn ask(worker: &Worker, state: &mut State, stream: Option<u32>) {
        let mut asks = state.limiter.asks();
        if asks.is_empty() {
            return;
        }
        // An answer comes to who asked, and a stream may end before.
        if stream.is_some() {
            worker.speak_of_root();
        }
        while !asks.is_empty() {
            let rest = asks.split_off(asks.len().min(LEASES_MAX));
            let sent = match (&mut state.link, &worker.policy.ledger) {
                (Some(link), Some(ledger)) => link.say(ledger, asks),
                _ => Err(asks),
            };
            if let Err(unsent) = sent {
                state.metrics.count("tollgate_lease_calls.outcome=unsent", 1);
                enter(worker, state, &unsent, &[]);
            }
            asks = rest;
        }
        if let Some(stream) = stream
            && host::speak_of(stream).is_err()
        {
            warn!("a stream went while it was decided");
        }
    }

    /// Takes the answer to a call about leases. False: the call was about something else.
    pub(super) fn leased(worker: &Worker, token: u32, body_size: usize) -> bool {
        let mut state = worker.state.borrow_mut();
        let Some(link) = &mut state.link else { return false };
        let Some(at) = link.leasing.iter().position(|(under_way, _)| *under_way == token) else {
            return false;
        };
        let (_, asked) = link.leasing.swap_remove(at);
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
        true
    }

    /// Sends one message; what could not be sent comes back.
    fn say(&mut self, ledger: &LedgerLink, asks: Vec<Asked>) -> Result<(), Vec<Asked>> {
        if self.leasing.len() >= CALLS_MAX {
            return Err(asks);
        }
        let leases = asks.iter().map(|asked| asked.ask.clone()).collect();
        let request = self.request(&ledger.node, None, None, None, leases);
        match self.send(&ledger.cluster, &request, TIMEOUT) {
            Some(token) => self.leasing.push((token, asks)),
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
