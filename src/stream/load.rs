//! The models' load: what they report of it, and whom it keeps waiting or turns away.

use log::warn;
use proxy_wasm::types::Action;
use tollgate_core::answer::Rejection;
use tollgate_core::limiter::{Demand, Memory};
use tollgate_core::load;
use tollgate_core::policy::config::Enforcement;
use tollgate_core::room::{PROMOTED, Rank};
use tollgate_core::time::{NANOS_PER_SECOND, Now};

use super::{Spot, Stream};
use crate::headers::Headers;
use crate::host::{self, Map};
use crate::worker::State;

/// Asks a model server for a report with its answer.
const FORMAT: &str = "endpoint-load-metrics-format";
const REPORT: &str = "endpoint-load-metrics";
const BINARY_REPORT: &str = "endpoint-load-metrics-bin";

/// Whom the load turns away may come again in a second.
pub(super) const OVERLOADED: Rejection<'static> = Rejection::Shed(NANOS_PER_SECOND);

impl Stream {
    /// Asks the model server to report its load, where somebody wants to know.
    pub(super) fn ask_for_load(&self) {
        let policy = &self.worker.policy;
        if policy.load.as_ref().is_some_and(load::Policy::reads_reports) {
            let _ = host::set_header(Map::Request, FORMAT, "JSON");
        }
    }

    /// Keeps waiting, or turns away, whom the load leaves no room for. None: the request goes on.
    pub(super) fn turn_away(&mut self, state: &mut State, demand: Demand) -> Option<Action> {
        if !self.is_too_loaded(state, self.decided, false) {
            return None;
        }
        if self.waits_for_load()
            && self.enforcement == Enforcement::On
            && let Some(account) = self.load_account(state)
            && let Some(waits) =
                self.queue(state, Spot::at(&self.worker.policy, account, load::LOOK_NS), None, demand)
        {
            return Some(waits);
        }
        self.reject(state, OVERLOADED)
    }

    /// True when the load leaves no room for the request. Whoever has waited long enough is as important as the critical.
    pub(super) fn is_too_loaded(&self, state: &State, now: Now, promoted: bool) -> bool {
        let Some(policy) = &self.worker.policy.load else { return false };
        let threshold =
            if promoted { load::FULL } else { policy.threshold(self.priority(), &self.route.workflow) };
        state.load.total(policy, &state.others, now.mono_ns) >= threshold
    }

    /// Where a request in line, which ranks so, has to wait for the load to fall: in the load's own line its turn counts,
    /// too.
    pub(super) fn loaded_at(&self, state: &State, at: u64, now: Now, rank: Option<Rank>) -> Option<u64> {
        let policy = self.worker.policy.load.as_ref()?;
        let account = self.load_account(state).filter(|_| self.waits_for_load())?;
        let promoted = rank.is_some_and(|rank| rank.level == PROMOTED);
        let its_turn = at != account || state.load.may_go(policy);
        (!its_turn || self.is_too_loaded(state, now, promoted)).then_some(account)
    }

    /// The account at which requests wait for the load to fall, where any do.
    pub(super) fn load_account(&self, state: &State) -> Option<u64> {
        self.worker.load_account(state)
    }

    /// Requests of its tier wait for the load to fall.
    pub(super) fn waits_for_load(&self) -> bool {
        let policy = &self.worker.policy;
        let of_tier = policy.tier(&self.caller.tier).and_then(|tier| tier.queues_on_load);
        of_tier.unwrap_or_else(|| policy.load.as_ref().is_some_and(|load| load.queues))
    }

    /// The priority of its tier.
    fn priority(&self) -> u8 {
        self.worker.policy.tier(&self.caller.tier).map_or(0, |tier| tier.priority)
    }

    /// Its priority among those who wait: critical workflows go first.
    pub(super) fn priority_in_line(&self) -> u8 {
        let policy = self.worker.policy.load.as_ref();
        let critical = policy.is_some_and(|policy| policy.is_critical(&self.route.workflow));
        if critical { u8::MAX } else { self.priority() }
    }

    /// Reads what a model server reports; it is not the client's to know.
    pub(super) fn read_load(&self, headers: &Headers) {
        let worker = &self.worker;
        let Some(policy) = worker.policy.load.as_ref().filter(|policy| policy.reads_reports()) else {
            return;
        };
        let (mut utilisation, mut memory) = (None, Memory::default());
        let is = |wanted: &Option<String>, name: &str| wanted.as_deref() == Some(name);
        let mut take = |name: &str, value: f64| {
            if policy.utilisations.iter().any(|wanted| wanted == name) {
                utilisation = Some(utilisation.map_or(value, |most: f64| most.max(value)));
            } else if is(&policy.ram, name) {
                memory.ram = Some(value as u64);
            } else if is(&policy.ssd, name) {
                memory.ssd = Some(value as u64);
            }
        };
        if let Some(report) = headers.get(REPORT) {
            load::read(report, &mut take);
            let _ = host::remove_header(Map::Response, REPORT);
        } else if let Some(report) = headers.get(BINARY_REPORT) {
            load::read_binary(report, &mut take);
            let _ = host::remove_header(Map::Response, BINARY_REPORT);
        }
        let state = &mut *worker.state.borrow_mut();
        let now = host::now();
        if let Some(utilisation) = utilisation {
            state.load.reported(utilisation, now.mono_ns);
        }
        if memory != Memory::default()
            && let Err(undecided) =
                state.limiter.report_memory(&worker.policy, &worker.store, now, &self.attributes(), memory)
        {
            warn!("a model's memory was not entered: {undecided}");
        }
    }
}
