//! The models' load: what they report of it, and whom it turns away.

use log::warn;
use tollgate_core::answer::Rejection;
use tollgate_core::limiter::Memory;
use tollgate_core::load;
use tollgate_core::time::NANOS_PER_SECOND;

use super::Stream;
use crate::host::{self, Map};
use crate::worker::State;

/// Asks a model server for a report with its answer.
const FORMAT: &str = "endpoint-load-metrics-format";
const REPORT: &str = "endpoint-load-metrics";
const BINARY_REPORT: &str = "endpoint-load-metrics-bin";

/// When somebody who was turned away is to come again.
const COME_AGAIN_NS: u64 = NANOS_PER_SECOND;

impl Stream {
    /// Asks the model server to report its load, where somebody wants to know.
    pub(super) fn ask_for_load(&self) {
        let policy = &self.worker.policy;
        if policy.load.as_ref().is_some_and(load::Policy::reads_reports) {
            let _ = host::set_header(Map::Request, FORMAT, "JSON");
        }
    }

    /// Whom the load turns away.
    pub(super) fn shed(&self, state: &mut State) -> Option<Rejection<'static>> {
        let policy = self.worker.policy.load.as_ref()?;
        let priority = self.worker.policy.tier(&self.caller.tier).map_or(0, |tier| tier.priority);
        let load = state.load.total(policy, &state.others, self.decided.mono_ns);
        (load >= policy.threshold(priority, &self.route.workflow)).then_some(Rejection::Shed(COME_AGAIN_NS))
    }

    /// Reads what a model server reports; it is not the client's to know.
    pub(super) fn read_load(&self) {
        let worker = &self.worker;
        let Some(policy) = worker.policy.load.as_ref().filter(|policy| policy.reads_reports()) else {
            return;
        };
        let text = |name| host::header(Map::Response, name).and_then(|value| String::from_utf8(value).ok());
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
        if let Some(report) = text(REPORT) {
            load::read(&report, &mut take);
            let _ = host::remove_header(Map::Response, REPORT);
        } else if let Some(report) = text(BINARY_REPORT) {
            load::read_binary(&report, &mut take);
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
