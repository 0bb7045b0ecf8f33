//! One request's way: identified, admitted, followed, settled.
//!
//! Here are Envoy's callbacks and what a stream knows; what happens at each stage is a file of its own.

mod announce;
mod body;
mod close;
mod count;
mod decide;
mod load;
mod midway;
mod own;
mod route;
mod shared;
mod unread;
mod wait;

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use tollgate_core::billing::{Ending, Job};
use tollgate_core::limiter::{Admission, Demand};
use tollgate_core::policy::config::Enforcement;
use tollgate_core::policy::{Attributes, Caller, LimitOverride, Resets};
use tollgate_core::time::Now;
use tollgate_core::traffic::{Dialect, Endpoint, RequestFacts};

use crate::headers::Headers;
use crate::host::{self, Map};
use crate::worker::Worker;
use midway::Midway;
use route::Route;

pub use shared::Shared;
pub use wait::{Spot, Tried};

/// How far the request is.
enum Phase {
    /// Its body is awaited.
    Waiting,
    /// It was admitted, with what it holds, and waits until it may go on.
    Held(Admission, Demand),
    /// It waits in line until there is room for it.
    Queued(Demand),
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
    /// Envoy's number for it.
    id: u32,
    me: Weak<RefCell<Self>>,
    phase: Phase,
    caller: Caller,
    /// Whether anything is enforced; asked once, so that one request is treated one way.
    enforcement: Enforcement,
    /// No limit applies to the caller.
    exempt: bool,
    /// How often the caller's balances were made fresh; asked once, so that a request is settled where it was admitted.
    resets: Resets,
    /// The caller's own limits that are others for now; asked once, for the same reason.
    overrides: Option<Rc<[LimitOverride]>>,
    route: Route,
    /// Where it goes; None for what no model answers.
    endpoint: Option<Endpoint>,
    /// What the body asks for; None where nobody reads it.
    facts: Option<RequestFacts>,
    /// The usage of a stream may be asked for.
    may_ask: bool,
    /// It was, and not by the client.
    asked: bool,
    /// Bytes of the request's body that have passed unread.
    unread_bytes: u64,
    answer: Option<body::Answer>,
    /// The time of the callback in which it is decided, or was.
    decided: Now,
    waited_ns: u64,
    ending: Ending,
    /// The limit that ended its answer, if one did.
    ended_by: String,
}

impl Stream {
    /// A stream nothing is known of yet.
    fn new(worker: Rc<Worker>, id: u32, me: Weak<RefCell<Self>>) -> Self {
        Self {
            worker,
            id,
            me,
            phase: Phase::Waiting,
            caller: Caller::default(),
            enforcement: Enforcement::On,
            exempt: false,
            resets: Resets::default(),
            overrides: None,
            route: Route::default(),
            endpoint: None,
            facts: None,
            may_ask: false,
            asked: false,
            unread_bytes: 0,
            answer: None,
            decided: Now::default(),
            waited_ns: 0,
            ending: Ending::default(),
            ended_by: String::new(),
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
            provider: self.endpoint.as_ref().map_or("", |endpoint| endpoint.provider),
            model: self.model(),
            tool: self.facts.as_ref().and_then(|facts| facts.tool.as_deref()).unwrap_or_default(),
            interface: &self.caller.interface,
            region: &self.caller.region,
            address: &self.caller.address,
            resets: self.resets,
            overrides: self.overrides.as_deref().unwrap_or_default(),
        }
    }

    fn model(&self) -> &str {
        self.facts.as_ref().and_then(|facts| facts.model.as_deref()).unwrap_or_default()
    }

    fn dialect(&self) -> Option<Dialect> {
        self.endpoint.as_ref().map(|endpoint| endpoint.dialect)
    }

    /// The request as the bill sees it.
    fn job(&self) -> Job<'_> {
        Job {
            policy: &self.worker.policy,
            request: self.attributes(),
            facts: self.facts.as_ref(),
            uses_model: self.dialect().is_some_and(Dialect::uses_model),
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
        self.route = Route::read(&self.worker.policy);
        self.endpoint = Endpoint::detect(
            headers.get(":method").unwrap_or_default(),
            headers.get(":path").unwrap_or_default(),
            self.route.dialect,
        );
        let identity = &self.worker.policy.identity;
        let caller = identity.resolve(&headers);
        for name in identity.strip_headers().iter().filter(|name| headers.get_bytes(name).is_some()) {
            let _ = host::remove_header(Map::Request, name);
        }
        let identified = caller.is_ok();
        self.caller = caller.unwrap_or_default();
        if let Some(answered) = self.enter(identified).or_else(|| self.tell_own(&headers)) {
            return answered;
        }
        self.ask_for_load();
        let nothing_to_read = self.endpoint.as_ref().is_none_or(|endpoint| endpoint.free);
        if nothing_to_read || !self.worker.policy.reads().body {
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
        self.plan(&headers)
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        match self.phase {
            Phase::Waiting if self.is_too_large(size as u64) => {
                self.decided = host::now();
                self.unread_bytes = size as u64;
                self.larger(size as u64)
            }
            Phase::Waiting if end_of_stream => {
                self.decided = host::now();
                self.inspect(size);
                self.decide()
            }
            Phase::Held(..) | Phase::Queued(_) => {
                // All of it so far: Envoy hands it over in one piece once the request goes on.
                self.unread_bytes = self.unread_bytes.max(size as u64);
                Action::Pause
            }
            Phase::Waiting | Phase::Refused(_) => Action::Pause,
            Phase::Admitted(..) | Phase::Done => {
                self.passes_unread(size);
                Action::Continue
            }
        }
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        match self.phase {
            Phase::Waiting => {
                self.decided = host::now();
                // The body has been handed over already.
                self.may_ask = false;
                self.inspect(usize::MAX);
                self.decide()
            }
            Phase::Held(..) | Phase::Queued(_) | Phase::Refused(_) => Action::Pause,
            Phase::Admitted(..) | Phase::Done => Action::Continue,
        }
    }

    fn on_http_response_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        let Phase::Admitted(admission, demand) = &self.phase else {
            return Action::Continue;
        };
        let headers = Headers::new(host::header_pairs(Map::Response).unwrap_or_default());
        let status = headers.get(":status").and_then(|status| status.parse().ok());
        self.announce(admission, &headers);
        self.read_load(&headers);
        self.ending = Ending { status: status.unwrap_or(0), complete: end_of_stream, cut: false };
        if let Some(dialect) = self.dialect().filter(|_| self.facts.is_some() && self.ending.status < 400) {
            let worker = Rc::clone(&self.worker);
            let ends = self.enforcement == Enforcement::On;
            let midway = Midway::of(&worker.policy, admission, demand, dialect, ends);
            let state = &mut *worker.state.borrow_mut();
            let answer = body::Answer::new(state, dialect, self.asked, &headers, midway);
            self.answer = Some(answer);
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.passes(size, end_of_stream);
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
