//! Clients are told how their limits stand.

use tollgate_core::answer;
use tollgate_core::limiter::Admission;

use super::Stream;
use crate::host::{self, Map};

impl Stream {
    /// Tells the client how its limits stand.
    pub(super) fn announce(&self, admission: &Admission) {
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
}
