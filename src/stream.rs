//! One request's way: identified, admitted, followed, settled.

use std::rc::Rc;

use log::warn;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use tollgate_core::answer::{self, Answer, Rejection};
use tollgate_core::billing::{self, Charged, Ending};
use tollgate_core::limiter::{Admission, Decision, Demand, Refusal, Undecided};
use tollgate_core::policy::config::Contention;
use tollgate_core::policy::{Attributes, Caller};
use tollgate_core::record::{self, Facts};
use tollgate_core::time::Now;
use tollgate_core::traffic::{Dialect, RequestFacts, ResponseParser, inspect_request};
use tollgate_wire::Outcome;

use crate::headers::Headers;
use crate::host::{self, Buffer, Map};
use crate::worker::{State, Worker};

/// What of the routes is known; empty where the policy does not read it.
#[derive(Default)]
struct Route {
    name: String,
    policy: String,
    action: String,
    workflow: String,
}

/// How far the request is.
enum Phase {
    /// Its body is awaited.
    Waiting,
    /// It was let through, with what it holds.
    Admitted(Admission, Demand),
    /// It was answered by Tollgate: by which limit, if by one.
    Refused(String),
    /// Nothing of it is counted any more.
    Done,
}

/// One stream's context.
pub struct Stream {
    worker: Rc<Worker>,
    phase: Phase,
    caller: Caller,
    route: Route,
    dialect: Option<Dialect>,
    /// What the body asks for; None where nobody reads it.
    facts: Option<RequestFacts>,
    parser: Option<ResponseParser>,
    decided: Now,
    ending: Ending,
}

impl Stream {
    /// A stream nothing is known of yet.
    pub fn new(worker: Rc<Worker>) -> Self {
        Self {
            worker,
            phase: Phase::Waiting,
            caller: Caller::default(),
            route: Route::default(),
            dialect: None,
            facts: None,
            parser: None,
            decided: Now::default(),
            ending: Ending::default(),
        }
    }

    fn attributes(&self) -> Attributes<'_> {
        Attributes {
            consumer: &self.caller.consumer,
            team: &self.caller.team,
            project: &self.caller.project,
            tier: &self.caller.tier,
            route: &self.route.name,
            policy: &self.route.policy,
            action: &self.route.action,
            workflow: &self.route.workflow,
            provider: self.dialect.map_or("", Dialect::provider),
            model: self.model(),
        }
    }

    fn model(&self) -> &str {
        self.facts.as_ref().and_then(|facts| facts.model.as_deref()).unwrap_or_default()
    }

    fn read_route(&mut self) {
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
    }

    fn inspect(&mut self, size: usize) {
        if let Some(dialect) = self.dialect {
            let body = if size == 0 { None } else { host::buffer(Buffer::Request, size) };
            self.facts = Some(inspect_request(dialect, &body.unwrap_or_default()));
        }
    }

    /// Decides the request, with all that is known of it now.
    fn decide(&mut self) -> Action {
        self.decided = host::now();
        let worker = Rc::clone(&self.worker);
        let state = &mut *worker.state.borrow_mut();
        state.metrics.count("tollgate_checks", 1);
        let mut demand = Demand::default();
        if let Some(facts) = &self.facts {
            let Ok(rate) = billing::rate(&worker.policy, self.model()) else {
                let model = self.model().to_owned();
                return self.refuse(state, Rejection::UnknownModel(&model));
            };
            demand = billing::demand(&worker.policy, rate, &self.route.action, facts, &state.predictor);
        }
        let decision =
            state.limiter.admit(&worker.policy, &worker.store, self.decided, &self.attributes(), &demand);
        match decision {
            Ok(Decision::Admit(admission)) => {
                count_admission(&worker, state, &self.caller.tier, &admission);
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

    fn refuse(&mut self, state: &mut State, rejection: Rejection<'_>) -> Action {
        let worker = Rc::clone(&self.worker);
        let jitter = state.jitter();
        let Answer { status, headers, body } =
            answer::refuse(&worker.policy, self.dialect, &self.attributes(), rejection, self.decided, jitter);
        count_refusal(&worker, state, &self.caller.tier, rejection);
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

    /// Tells the client how its limits stand.
    fn announce(&self, admission: &Admission) {
        let policy = &self.worker.policy;
        let mut headers = Vec::with_capacity(9);
        answer::standing(policy, self.dialect, &admission.statuses, self.decided, &mut headers);
        for (limit, percent) in &admission.warnings {
            let name = policy.limit(*limit).map_or("", |limit| limit.name.as_str());
            headers.push((
                "x-tollgate-warning",
                format!("{name};used={percent}; {}", policy.messages.approaching),
            ));
        }
        for limit in &admission.exceeded {
            let name = policy.limit(*limit).map_or("", |limit| limit.name.as_str());
            headers
                .push(("x-tollgate-warning", format!("{name};exceeded; {}", policy.messages.quota_exceeded)));
        }
        for (name, value) in headers {
            if host::set_header(Map::Response, name, &value).is_err() {
                break;
            }
        }
    }

    /// Settles what was let through, and enters every request that somebody can be charged for.
    fn close(&mut self) {
        let worker = Rc::clone(&self.worker);
        let state = &mut *worker.state.borrow_mut();
        let (charged, admission, refused_by) = match core::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Admitted(admission, demand) => {
                (self.charge(state, &demand), Some(admission), String::new())
            }
            Phase::Refused(limit) => {
                (Charged { outcome: Outcome::Refused, ..Charged::default() }, None, limit)
            }
            // The client left before its body was here, or Envoy refused it: nothing was decided.
            Phase::Waiting | Phase::Done => return,
        };
        if let Some(admission) = &admission {
            worker.settle(state, admission.reservation.clone(), &charged.amounts);
        }
        if self.caller.consumer.is_empty() {
            return;
        }
        let unknown_price = self.facts.is_some()
            && billing::rate(&worker.policy, self.model()).is_ok_and(|rate| rate.unknown);
        let facts = Facts { status: self.ending.status, refused_by: &refused_by, unknown_price };
        let id = state.guids.next(self.decided);
        let tally = record::tally(
            &worker.policy,
            id,
            self.decided,
            &self.attributes(),
            &charged,
            admission.as_ref(),
            facts,
        );
        count_tally(state, &tally);
        worker.enter(state, tally);
    }

    fn charge(&self, state: &mut State, demand: &Demand) -> Charged {
        let policy = &self.worker.policy;
        let (Some(facts), Ok(rate)) = (&self.facts, billing::rate(policy, self.model())) else {
            return Charged { outcome: self.outcome_unread(), ..Charged::default() };
        };
        let seen = self.parser.as_ref().map(ResponseParser::observed).unwrap_or_default();
        let charged =
            billing::charge(policy, rate, &self.route.action, facts, &demand.expected, &seen, self.ending);
        if charged.outcome == Outcome::Ok {
            state.predictor.learn(self.model(), charged.tokens.output / facts.choices.max(1));
        }
        charged
    }

    /// How a request ended whose answer nobody parses.
    const fn outcome_unread(&self) -> Outcome {
        match self.ending {
            Ending { status: 400.., .. } => Outcome::Error,
            Ending { complete: true, .. } => Outcome::Ok,
            Ending { .. } => Outcome::Aborted,
        }
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        let headers = Headers::new(host::header_pairs(Map::Request).unwrap_or_default());
        // Only Tollgate and what the configuration names may speak in these names.
        for name in headers.names_with("x-tollgate-") {
            let _ = host::remove_header(Map::Request, name);
        }
        self.dialect = Dialect::detect(
            headers.get(":method").unwrap_or_default(),
            headers.get(":path").unwrap_or_default(),
        );
        self.read_route();
        match self.worker.policy.identity.resolve(&headers) {
            Ok(caller) => self.caller = caller,
            Err(_) => {
                self.decided = host::now();
                let worker = Rc::clone(&self.worker);
                return self.refuse(&mut worker.state.borrow_mut(), Rejection::Unidentified);
            }
        }
        if self.dialect.is_none() || !self.worker.policy.reads().body {
            return self.decide();
        }
        // What is compressed can't be counted.
        if headers.get("accept-encoding").is_some() {
            let _ = host::set_header(Map::Request, "accept-encoding", "identity");
        }
        if end_of_stream {
            self.inspect(0);
            return self.decide();
        }
        Action::Pause
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        match self.phase {
            Phase::Waiting if end_of_stream => {
                self.inspect(size);
                self.decide()
            }
            Phase::Waiting | Phase::Refused(_) => Action::Pause,
            Phase::Admitted(..) | Phase::Done => Action::Continue,
        }
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        match self.phase {
            Phase::Waiting => {
                self.inspect(usize::MAX);
                self.decide()
            }
            Phase::Refused(_) => Action::Pause,
            Phase::Admitted(..) | Phase::Done => Action::Continue,
        }
    }

    fn on_http_response_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        let Phase::Admitted(admission, _) = &self.phase else {
            return Action::Continue;
        };
        let status = host::header(Map::Response, ":status");
        let status = status.and_then(|bytes| core::str::from_utf8(&bytes).ok()?.parse().ok());
        self.announce(admission);
        self.ending = Ending { status: status.unwrap_or(0), complete: end_of_stream };
        if let Some(dialect) = self.dialect.filter(|_| self.facts.is_some() && self.ending.status < 400) {
            self.parser = Some(ResponseParser::new(dialect));
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if let (Some(parser), true) = (&mut self.parser, size > 0)
            && let Some(chunk) = host::buffer(Buffer::Response, size)
        {
            parser.feed(&chunk);
        }
        self.ending.complete |= end_of_stream;
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _count: usize) -> Action {
        self.ending.complete = true;
        Action::Continue
    }

    fn on_log(&mut self) {
        self.close();
    }
}

fn count_admission(worker: &Worker, state: &mut State, tier: &str, admission: &Admission) {
    state.metrics.count(&labelled("tollgate_requests", &[("tier", tier), ("outcome", "admitted")]), 1);
    state.metrics.count("tollgate_swap_retries", u64::from(admission.retries));
    state
        .metrics
        .count("tollgate_evictions", u64::from(admission.evicted.accounts + admission.evicted.cells));
    let told = admission.warnings.iter().map(|(limit, _)| *limit).chain(admission.exceeded.iter().copied());
    for limit in told {
        let name = worker.policy.limit(limit).map_or("", |limit| limit.name.as_str());
        state.metrics.count(&labelled("tollgate_warned", &[("limit", name)]), 1);
    }
}

fn count_refusal(worker: &Worker, state: &mut State, tier: &str, rejection: Rejection<'_>) {
    state.metrics.count(&labelled("tollgate_requests", &[("tier", tier), ("outcome", "rejected")]), 1);
    match rejection {
        Rejection::Limit(refusal) => {
            if let Some(limit) = worker.policy.limit(refusal.limit) {
                let labels = [("kind", limit.kind.label()), ("limit", limit.name.as_str())];
                state.metrics.count(&labelled("tollgate_violations", &labels), 1);
            }
        }
        Rejection::Unidentified => state.metrics.count("tollgate_unidentified", 1),
        Rejection::UnknownModel(_) => state.metrics.count("tollgate_unknown_model", 1),
        Rejection::Undecided => {}
    }
}

fn count_tally(state: &mut State, tally: &tollgate_wire::Tally) {
    if tally.outcome == Outcome::Refused {
        return;
    }
    state.metrics.count(&labelled("tollgate_answers", &[("outcome", tally.outcome.as_str())]), 1);
    let tier = tally.tier.as_str();
    let input = tally.input.0 + tally.cache_read.0 + tally.cache_write.0;
    state.metrics.count(&labelled("tollgate_tokens", &[("tier", tier), ("kind", "input")]), input);
    state.metrics.count(&labelled("tollgate_tokens", &[("tier", tier), ("kind", "output")]), tally.output.0);
    state.metrics.count(&labelled("tollgate_cost_nano_usd", &[("tier", tier)]), tally.cost_nusd.0);
    if tally.unknown_price {
        state.metrics.count("tollgate_unknown_price", 1);
    }
}

/// A name with its labels, as the example configuration's `stats_tags` take them apart.
fn labelled(name: &str, labels: &[(&str, &str)]) -> String {
    labels.iter().fold(String::from(name), |mut all, (key, value)| {
        for part in [".", key, "=", if value.is_empty() { "none" } else { value }] {
            all.push_str(part);
        }
        all
    })
}
