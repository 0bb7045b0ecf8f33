//! A request is decided, once what its limits look at is known.

use std::rc::Rc;

use log::warn;
use proxy_wasm::types::Action;
use tollgate_core::answer::{self, Answer, Asker, Rejection, Shape};
use tollgate_core::billing;
use tollgate_core::limiter::{Admission, Decision, Demand, Refusal, Undecided};
use tollgate_core::policy::config::Contention;
use tollgate_core::traffic::Dialect;

use super::{Phase, Stream, count};
use crate::host::{self, Buffer};
use crate::worker::State;

impl Stream {
    pub(super) fn read_route(&mut self) {
        let reads = self.worker.policy.reads();
        let text = |path: &str| {
            host::property(path).and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
        };
        if reads.route {
            self.route.name = text("xds\0route_name");
        }
        if reads.route_metadata {
            let leaf = |key: &str| text(&format!("xds\0route_metadata\0filter_metadata\0tollgate\0{key}"));
            (self.route.policy, self.route.action, self.route.workflow) =
                (leaf("policy"), leaf("action"), leaf("workflow"));
        }
        if reads.body {
            let named = text("xds\0route_metadata\0filter_metadata\0tollgate\0dialect");
            self.route.dialect = Dialect::named(&named);
            if self.route.dialect.is_none() && !named.is_empty() {
                warn!("a route's metadata names no dialect: {named}");
            }
        }
    }

    pub(super) fn inspect(&mut self, size: usize) {
        if let Some(endpoint) = &self.endpoint {
            let body = if size == 0 { None } else { host::buffer(Buffer::Request, size) };
            self.facts = Some(endpoint.inspect(&body.unwrap_or_default()));
        }
    }

    /// Decides the request, with all that is known of it now.
    pub(super) fn decide(&mut self) -> Action {
        self.decided = host::now();
        let worker = Rc::clone(&self.worker);
        let state = &mut *worker.state.borrow_mut();
        state.metrics.count("tollgate_checks", 1);
        let mut demand = Demand::default();
        if let Some(facts) = &self.facts {
            let Ok(rate) = self.rate() else {
                let model = self.model().to_owned();
                return self.refuse(state, Rejection::UnknownModel(&model));
            };
            demand = billing::demand(&worker.policy, rate, &self.route.action, facts, &state.predictor);
        }
        let decision =
            state.limiter.admit(&worker.policy, &worker.store, self.decided, &self.attributes(), &demand);
        match decision {
            Ok(Decision::Admit(admission)) => {
                count::admission(&worker, state, &self.caller.tier, &admission);
                self.phase = Phase::Admitted(admission, demand);
                Action::Continue
            }
            Ok(Decision::Refuse(refusal)) => self.refuse(state, Rejection::Limit(&refusal)),
            Err(undecided) => self.undecided(state, &undecided),
        }
    }

    fn undecided(&mut self, state: &mut State, undecided: &Undecided) -> Action {
        warn!("undecided: {undecided}");
        state.metrics.count("tollgate_undecided", 1);
        match self.worker.policy.contention {
            Contention::Refuse => self.refuse(state, Rejection::Undecided),
            Contention::Admit => {
                self.phase = Phase::Admitted(Admission::default(), Demand::default());
                Action::Continue
            }
        }
    }

    pub(super) fn refuse(&mut self, state: &mut State, rejection: Rejection<'_>) -> Action {
        let worker = Rc::clone(&self.worker);
        let jitter = state.jitter();
        let asker = Asker {
            shape: Shape::of(self.dialect()),
            rpc_id: self.facts.as_ref().and_then(|facts| facts.call_id.as_deref()),
        };
        let Answer { status, headers, body } =
            answer::refuse(&worker.policy, asker, &self.attributes(), rejection, self.decided, jitter);
        count::refusal(&worker, state, &self.caller.tier, rejection);
        self.phase = Phase::Refused(match rejection {
            Rejection::Limit(Refusal { limit, .. }) => {
                worker.policy.limit(*limit).map(|limit| limit.name.clone()).unwrap_or_default()
            }
            _ => String::new(),
        });
        self.ending.status = status;
        if let Err(failed) =
            host::respond(status, headers.iter().map(|(name, value)| (*name, value.as_str())), &body)
        {
            warn!("a refusal could not be sent: status {}", failed.0);
        }
        Action::Pause
    }
}
