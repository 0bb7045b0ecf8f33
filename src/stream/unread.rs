//! Requests that are decided without their body: too large to be read, or told by headers.

use std::rc::Rc;

use proxy_wasm::types::Action;
use tollgate_core::answer::Rejection;
use tollgate_core::policy::config::{Enforcement, LargerBodies};

use super::{Phase, Stream};
use crate::headers::Headers;

impl Stream {
    /// What is done with a request whose body is still to come.
    pub(super) fn plan(&mut self, headers: &Headers) -> Action {
        let policy = &self.worker.policy;
        if let Some(endpoint) = &self.endpoint {
            let value = |name| headers.get(name).unwrap_or_default();
            let enforced = self.enforcement != Enforcement::Off;
            self.may_ask =
                enforced && policy.traffic.ask_usage && endpoint.may_ask_usage(value("authorization"));
            if policy.traffic.trust_mcp_headers {
                self.facts = endpoint.call_in_headers(
                    value("mcp-protocol-version"),
                    value("mcp-method"),
                    value("mcp-name"),
                );
            }
        }
        if self.facts.is_some() {
            return self.decide();
        }
        match headers.get("content-length").and_then(|bytes| bytes.parse().ok()) {
            Some(bytes) if self.is_too_large(bytes) => self.larger(bytes),
            _ => Action::Pause,
        }
    }

    /// More than is read.
    pub(super) fn is_too_large(&self, bytes: u64) -> bool {
        bytes > self.worker.policy.traffic.body_bytes_max
    }

    /// A body that is too large, so many bytes of which are known of.
    pub(super) fn larger(&mut self, bytes: u64) -> Action {
        let worker = Rc::clone(&self.worker);
        let traffic = &worker.policy.traffic;
        if traffic.larger_bodies == LargerBodies::Refuse {
            let rejection = Rejection::BodyTooLarge(traffic.body_bytes_max);
            let answered = self.reject(&mut worker.state.borrow_mut(), rejection);
            if let Some(answered) = answered {
                return answered;
            }
        }
        self.facts = self.endpoint.as_ref().map(|endpoint| endpoint.estimate(bytes));
        worker.state.borrow_mut().metrics.count("tollgate_unread_requests", 1);
        self.decide()
    }

    /// A part of a body passes after the request was decided: what is not read counts by its size.
    pub(super) fn passes_unread(&mut self, bytes: usize) {
        self.unread_bytes = self.unread_bytes.saturating_add(bytes as u64);
        if let (Phase::Admitted(..), Some(facts)) = (&self.phase, &mut self.facts) {
            facts.is_at_least(self.unread_bytes);
        }
    }
}
