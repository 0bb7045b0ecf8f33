//! Clients are told how their limits stand.

use tollgate_core::answer::{self, Shape};
use tollgate_core::limiter::Admission;

use super::Stream;
use crate::host::{self, Map};

impl Stream {
    /// Tells the client how its limits stand.
    pub(super) fn announce(&self, admission: &Admission) {
        let shape = Shape::of(self.dialect());
        for (name, value) in answer::announce(&self.worker.policy, shape, admission, self.decided) {
            if host::set_header(Map::Response, name, &value).is_err() {
                break;
            }
        }
        if self.waited_ns > 0 {
            let waited_ms = self.waited_ns.div_ceil(1_000_000).to_string();
            let _ = host::set_header(Map::Response, "x-tollgate-waited-ms", &waited_ms);
        }
    }
}
