//! A caller asks how it stands: the filter answers by itself. No model is asked, and no limit is touched.

use std::rc::Rc;

use log::warn;
use proxy_wasm::types::Action;
use tollgate_core::answer;

use super::{Phase, Stream};
use crate::headers::Headers;
use crate::host;

impl Stream {
    /// Answers a GET of the policy's own path. None: the request is another one.
    pub(super) fn tell_own(&mut self, headers: &Headers) -> Option<Action> {
        let worker = Rc::clone(&self.worker);
        let own = worker.policy.self_path.as_deref()?;
        let path = headers.get(":path").and_then(|path| path.split('?').next());
        if path != Some(own) || headers.get(":method") != Some("GET") {
            return None;
        }
        let state = &mut *worker.state.borrow_mut();
        let found = state.limiter.standing(&worker.policy, &worker.store, self.decided, &self.attributes());
        let (status, body) = match found {
            Ok(statuses) => (200, answer::own(&worker.policy, &self.attributes(), &statuses)),
            Err(undecided) => {
                warn!("how a caller stands could not be told: {undecided}");
                (503, String::new())
            }
        };
        let about = [("content-type", "application/json"), ("cache-control", "no-store")];
        if let Err(failed) = host::respond(status, about.into_iter(), &body) {
            warn!("how a caller stands could not be sent: status {}", failed.0);
        }
        self.phase = Phase::Done;
        Some(Action::Pause)
    }
}
