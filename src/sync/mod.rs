//! The way to the ledger: batches up, acknowledgements and restored balances down. Nothing here is on a request's path.

mod leases;

use core::time::Duration;

use log::{error, info, warn};
use serde_json::value::RawValue;
use tollgate_core::decided::CONSUMERS_MAX;
use tollgate_core::limiter::Limiter;
use tollgate_core::outbox::Batch;
use tollgate_core::policy::Policy;
use tollgate_core::store::{Expected, SharedStore, Slot, Swap};
use tollgate_core::time::Now;
use tollgate_wire::{
    Decisions, OpeningPage, OpeningRequest, PROTOCOL_VERSION, SyncRequest, SyncResponse, WindowRange,
};

use crate::host::{self, Buffer, Map};
use crate::worker::{State, Worker};
use leases::Leasing;

/// Longest time the ledger may take. The batch is sent again after that, with the same number.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Between two questions to the ledger what operators decided. Together with the ledger's answer it is well within the
/// five seconds in which a suspension takes effect, also when one answer is lost.
const DECISIONS_EVERY_NS: u64 = 1_500_000_000;

/// Who asks for the balances of earlier processes, and how far it is.
enum Opening {
    /// Nobody was asked yet.
    Wanted { after: Option<String> },
    /// Another worker does it, or it is done, or there is no node name to ask by.
    Settled,
}

/// This worker's side of the conversation.
pub struct Link {
    process: String,
    worker: String,
    token: Option<String>,
    opening: Opening,
    windows: Vec<WindowRange>,
    /// The call under way and the batch it carries, if it carries one.
    under_way: Option<(u32, Option<u64>)>,
    /// What is being said of leases.
    leasing: Leasing,
    not_before_ns: u64,
    /// When to ask what was decided, if nothing else is sent before.
    ask_at_ns: u64,
}

impl Link {
    /// A link of this worker.
    pub fn new(process: u64, worker: u64, policy: &Policy, now: Now) -> Self {
        let ledger = policy.ledger.as_ref();
        let variable = ledger.and_then(|ledger| ledger.token_env.as_ref());
        let token = variable.and_then(|name| std::env::var(name).ok());
        if let (Some(name), None) = (variable, &token) {
            warn!("environment variable {name} is not set: list it in the VM's host_env_keys");
        }
        let windows = policy.open_windows(now.wall_s()).into_iter();
        let milliseconds = |seconds: u32| u64::from(seconds) * 1000;
        let windows: Vec<_> = windows
            .map(|window| WindowRange {
                start_ms: milliseconds(window.start_s),
                end_ms: milliseconds(window.end_s),
            })
            .collect();
        let nothing_to_ask = windows.is_empty() || ledger.is_none_or(|ledger| ledger.node.is_empty());
        let opening = if nothing_to_ask { Opening::Settled } else { Opening::Wanted { after: None } };
        Self {
            process: format!("{process:016x}"),
            worker: format!("{worker:016x}"),
            token,
            opening,
            windows,
            under_way: None,
            leasing: Leasing::default(),
            not_before_ns: 0,
            ask_at_ns: 0,
        }
    }

    /// Sends what is due.
    pub fn tick(worker: &Worker, state: &mut State, now: Now) {
        let (Some(link), Some(ledger)) = (&mut state.link, &worker.policy.ledger) else {
            return;
        };
        if link.under_way.is_some() || now.mono_ns < link.not_before_ns {
            return;
        }
        link.claim_opening(worker);
        let batch = state.outbox.next(now.mono_ns, ledger.flush_interval_ms * 1_000_000);
        let opening = match &link.opening {
            Opening::Wanted { after } => {
                Some(OpeningRequest { windows: link.windows.clone(), after: after.clone() })
            }
            Opening::Settled => None,
        };
        if batch.is_none() && opening.is_none() && now.mono_ns < link.ask_at_ns {
            return;
        }
        let seq = batch.as_ref().map(|batch| batch.seq);
        let request = link.request(&ledger.node, batch, opening, Some(state.decided.known()));
        match link.send(&ledger.cluster, &request, TIMEOUT) {
            Some(token) => link.under_way = Some((token, seq)),
            None => {
                link.not_before_ns = now.mono_ns + 1_000_000_000;
                if seq.is_some() {
                    state.outbox.failed(now.mono_ns);
                }
                state.metrics.count("tollgate_syncs.outcome=unsent", 1);
            }
        }
    }

    /// One worker of a process restores; which one is decided by who first marks the place.
    fn claim_opening(&mut self, worker: &Worker) {
        let Opening::Wanted { after: None } = self.opening else { return };
        let mut mark = Vec::new();
        let mine = self.worker.as_bytes();
        match worker.store.load(Slot::Opening, &mut mark) {
            Ok(Expected::Absent) => {
                if worker.store.swap(Slot::Opening, mine, Expected::Absent) != Ok(Swap::Done) {
                    self.opening = Opening::Settled;
                }
            }
            Ok(Expected::Version(_)) if mark == mine => {}
            _ => self.opening = Opening::Settled,
        }
    }

    /// What this worker says.
    fn request(
        &self,
        node: &str,
        batch: Option<Batch>,
        opening: Option<OpeningRequest>,
        known_revision: Option<u64>,
    ) -> SyncRequest<Box<RawValue>> {
        let (seq, tallies) = batch.map_or((0, Vec::new()), |batch| (batch.seq, batch.tallies));
        SyncRequest {
            version: PROTOCOL_VERSION,
            process: self.process.clone(),
            worker: self.worker.clone(),
            node: node.into(),
            seq,
            tallies: tallies.into_iter().filter_map(|json| RawValue::from_string(json).ok()).collect(),
            opening,
            leases: Vec::new(),
            shares: Vec::new(),
            known_revision,
        }
    }

    /// Says it; the call's number, if it could be sent.
    fn send(&self, cluster: &str, request: &SyncRequest<Box<RawValue>>, timeout: Duration) -> Option<u32> {
        let body = serde_json::to_vec(request).ok()?;
        let authorization = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let headers = [
            (":method", "POST"),
            (":path", "/v1/sync"),
            (":authority", cluster),
            ("content-type", "application/json"),
        ];
        let authorization = authorization.as_deref().map(|value| ("authorization", value));
        host::call(cluster, headers.into_iter().chain(authorization).collect(), &body, timeout).ok()
    }

    /// Takes the answer to a call.
    pub fn answered(worker: &Worker, token: u32, body_size: usize) {
        if Self::leased(worker, token, body_size) {
            return;
        }
        let state = &mut *worker.state.borrow_mut();
        let now = host::now();
        let Some(link) = &mut state.link else { return };
        let Some((_, seq)) = link.under_way.take_if(|(under_way, _)| *under_way == token) else {
            return;
        };
        let (answer, status, body) = read_answer(body_size);
        let Some(answer) = answer else {
            link.not_before_ns = now.mono_ns + 1_000_000_000;
            refused(state, seq, &status, &body, now);
            return;
        };
        if seq.is_some() {
            state.outbox.acknowledged(answer.acked_seq);
        }
        state.metrics.count("tollgate_syncs.outcome=ok", 1);
        let more = answer.decisions.as_ref().is_some_and(|decisions| decisions.more);
        link.ask_at_ns = now.mono_ns + if more { 0 } else { DECISIONS_EVERY_NS };
        if let Some(decisions) = answer.decisions {
            learn(worker, state, decisions, now);
        }
        if let Some(page) = answer.opening {
            restore(worker, state, page, now);
        }
    }
}

/// What the ledger said, if it is what was asked for; the status and what it said in any case.
fn read_answer(body_size: usize) -> (Option<SyncResponse>, Vec<u8>, Vec<u8>) {
    let status = host::header(Map::CallAnswer, ":status").unwrap_or_default();
    let body = host::buffer(Buffer::CallAnswer, body_size).unwrap_or_default();
    let answer = (status == b"200").then(|| serde_json::from_slice::<SyncResponse>(&body).ok()).flatten();
    (answer, status, body)
}

/// A batch the ledger calls wrong would be wrong for ever; anything else is tried again.
fn refused(state: &mut State, seq: Option<u64>, status: &[u8], body: &[u8], now: Now) {
    let wrong = matches!(status, b"400" | b"409" | b"413" | b"422");
    let (status, body) =
        (String::from_utf8_lossy(status), String::from_utf8_lossy(body.get(..300).unwrap_or(body)));
    match (seq, wrong) {
        (Some(seq), true) => {
            error!("the ledger refuses batch {seq} with {status}, it stays in the journal only: {body}");
            state.outbox.rejected();
            state.metrics.count("tollgate_syncs.outcome=rejected", 1);
        }
        (seq, _) => {
            warn!("the ledger answered {status}: {body}");
            if seq.is_some() {
                state.outbox.failed(now.mono_ns);
            }
            state.metrics.count("tollgate_syncs.outcome=failed", 1);
        }
    }
}

fn learn(worker: &Worker, state: &mut State, decisions: Decisions, now: Now) {
    let models: Vec<String> = decisions.memory.iter().map(|told| told.model.clone()).collect();
    let learned = state.decided.learn(decisions, &mut state.overrides, now.wall_ms());
    state.metrics.count("tollgate_decisions", learned.consumers);
    worker.memory_told(state, now, &models);
    if learned.left_out > 0 {
        error!(
            "{} consumers are decided about beyond the {CONSUMERS_MAX} there is room for",
            learned.left_out
        );
        state.metrics.count("tollgate_decisions_left_out", learned.left_out);
    }
}

fn restore(worker: &Worker, state: &mut State, page: OpeningPage, now: Now) {
    let State { limiter, link: Some(link), .. } = state else { return };
    let count = page.balances.len();
    for balance in &page.balances {
        let Some(window) = link.windows.get(balance.window) else { continue };
        restore_one(worker, limiter, balance, window, now);
    }
    link.opening = match page.next {
        Some(after) => Opening::Wanted { after: Some(after) },
        None => Opening::Settled,
    };
    info!("{count} balances restored from the ledger");
}

fn restore_one(
    worker: &Worker,
    limiter: &mut Limiter,
    balance: &tollgate_wire::Balance,
    window: &WindowRange,
    now: Now,
) {
    let start_s = u32::try_from(window.start_ms / 1000).unwrap_or(u32::MAX);
    if let Err(error) = limiter.restore(&worker.policy, &worker.store, now, balance, start_s) {
        error!("the balance of one consumer was not restored: {error}");
    }
}
