//! A request is decided, once what its limits look at is known.

use std::rc::Rc;

use log::warn;
use proxy_wasm::types::Action;
use tollgate_core::answer::{self, Answer, Asker, Rejection, Shape};
use tollgate_core::limiter::{Admission, Decision, Demand, Refusal, Undecided};
use tollgate_core::policy::Standing;
use tollgate_core::policy::config::{Contention, Enforcement};
use tollgate_core::room::POLL_NS;
use tollgate_core::time::Now;
use tollgate_core::traffic::Dialect;

use super::{Phase, Spot, Stream, count};
use crate::host;
use crate::sync::Link;
use crate::worker::State;

impl Stream {
    /// Turns away who may not come in at all, before the body is awaited. None: the request goes on.
    pub(super) fn enter(&mut self, identified: bool) -> Option<Action> {
        self.decided = host::now();
        let worker = Rc::clone(&self.worker);
        let state = &mut *worker.state.borrow_mut();
        self.enforcement = worker.policy.enforcement(&state.overrides);
        if self.enforcement == Enforcement::Off {
            return None;
        }
        if !identified {
            return self.reject(state, Rejection::Unidentified);
        }
        if let Some(tier) = worker.policy.tier_given(&self.caller, &state.overrides) {
            tier.clone_into(&mut self.caller.tier);
        }
        self.resets = state.overrides.resets_of(&self.caller.consumer);
        self.overrides = state.overrides.limits.get(&self.caller.consumer).cloned();
        match worker.policy.status_of(&self.caller, &state.overrides).clone() {
            Standing::Normal => None,
            Standing::Grace => {
                self.enforcement = Enforcement::Shadow;
                None
            }
            Standing::Suspended(reason) => self.reject(state, Rejection::Suspended(&reason)),
            Standing::Exempt => {
                self.exempt = true;
                None
            }
        }
    }

    /// Decides the request, with all that is known of it now.
    pub(super) fn decide(&mut self) -> Action {
        let worker = Rc::clone(&self.worker);
        let state = &mut *worker.state.borrow_mut();
        state.metrics.count("tollgate_checks", 1);
        let demand = self.job().demand(&state.predictor, &state.calibration);
        if demand.is_err() && self.enforcement != Enforcement::Off {
            let model = self.model().to_owned();
            if let Some(answered) = self.reject(state, Rejection::UnknownModel(&model)) {
                return answered;
            }
        }
        let demand = demand.unwrap_or_default();
        if self.exempt || self.enforcement == Enforcement::Off {
            return self.pass(state, Admission::default(), demand);
        }
        let of_model = self.facts.is_some() && self.dialect().is_some_and(Dialect::uses_model);
        let lacking = worker.policy.entitled(&self.attributes(), of_model).err();
        if let Some((what, name)) = lacking.map(|lacking| (lacking.what(), lacking.name().to_owned()))
            && let Some(answered) = self.reject(state, Rejection::NotEntitled { what, name: &name })
        {
            return answered;
        }
        if let Some(answered) = self.turn_away(state, demand) {
            return answered;
        }
        match self.admit(state, self.decided, &demand) {
            Ok(Decision::Admit(admission)) => self.pass_in_turn(state, admission, demand),
            Ok(Decision::Refuse(refusal)) => self.over(state, &refusal, demand),
            Err(undecided) => self.undecided(state, &undecided, demand),
        }
    }

    /// Asks the limits.
    pub(super) fn admit(&self, state: &mut State, now: Now, demand: &Demand) -> Result<Decision, Undecided> {
        let worker = &self.worker;
        let decision = state.limiter.admit(&worker.policy, &worker.store, now, &self.attributes(), demand);
        if worker.policy.leases {
            Link::gather(worker, state, now);
        }
        decision
    }

    /// Asks the limits once more, after all the waiting there may be.
    pub(super) fn admit_last(
        &self,
        state: &mut State,
        now: Now,
        demand: &Demand,
    ) -> Result<Decision, Undecided> {
        let worker = &self.worker;
        state.limiter.admit_last(&worker.policy, &worker.store, now, &self.attributes(), demand)
    }

    /// Lets an admitted request go on, unless somebody waits before it.
    fn pass_in_turn(&mut self, state: &mut State, admission: Admission, demand: Demand) -> Action {
        if self.enforcement == Enforcement::On
            && let Some(account) = self.overtakes(state, &admission)
            && let Some(waits) =
                self.queue(state, Spot::at(&self.worker.policy, account, POLL_NS), Some(&admission), demand)
        {
            return waits;
        }
        self.pass_or_hold(state, admission, demand)
    }

    /// Lets an admitted request go on when it may.
    pub(super) fn pass_or_hold(&mut self, state: &mut State, admission: Admission, demand: Demand) -> Action {
        if admission.delay_ns > 0 && self.enforcement == Enforcement::On {
            return self.hold(state, admission, demand);
        }
        self.pass(state, admission, demand)
    }

    /// A limit has no room for the request: it waits where it can, and is refused else.
    fn over(&mut self, state: &mut State, refusal: &Refusal, demand: Demand) -> Action {
        let unleased = refusal.why.lacks_lease();
        if unleased && self.enforcement != Enforcement::On {
            // Nobody knows whether it would have been refused.
            return self.pass(state, Admission::default(), demand);
        }
        if refusal.queueable && self.enforcement == Enforcement::On {
            let spot = Spot::of(&self.worker.policy, refusal);
            if let Some(waits) = self.queue(state, spot, None, demand) {
                if !unleased {
                    count::violation(&self.worker, state, refusal.limit);
                }
                return waits;
            }
        }
        match self.reject(state, Rejection::Limit(refusal)) {
            Some(answered) => answered,
            None => self.pass(state, Admission::default(), demand),
        }
    }

    pub(super) fn pass(&mut self, state: &mut State, admission: Admission, demand: Demand) -> Action {
        state.load.began();
        count::admission(&self.worker, state, &self.caller.tier, &admission);
        self.phase = Phase::Admitted(admission, demand);
        Action::Continue
    }

    /// Refuses, unless everything is in shadow: then it is counted, and None says that the request goes on.
    pub(super) fn reject(&mut self, state: &mut State, rejection: Rejection<'_>) -> Option<Action> {
        if self.enforcement == Enforcement::On {
            return Some(self.refuse(state, rejection));
        }
        count::rejection(&self.worker, state, &self.caller.tier, rejection, "shadowed");
        None
    }

    fn undecided(&mut self, state: &mut State, undecided: &Undecided, demand: Demand) -> Action {
        warn!("undecided: {undecided}");
        state.metrics.count("tollgate_undecided", 1);
        let answered = match self.worker.policy.contention {
            Contention::Refuse => self.reject(state, Rejection::Undecided),
            Contention::Admit => None,
        };
        answered.unwrap_or_else(|| self.pass(state, Admission::default(), demand))
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
        count::rejection(&worker, state, &self.caller.tier, rejection, "rejected");
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
