//! Clients are told how their limits stand.

use tollgate_core::answer::{self, Shape};
use tollgate_core::limiter::Admission;

use super::Stream;
use crate::headers::Headers;
use crate::host::{self, Map};

impl Stream {
    /// Tells the client how its limits stand. `headers` are those that the upstream sent: its own of the same names go.
    pub(super) fn announce(&self, admission: &Admission, headers: &Headers) {
        let shape = Shape::of(self.dialect());
        for (name, value) in answer::announce(&self.worker.policy, shape, admission, self.decided) {
            let told = headers.get_bytes(name).is_some();
            let tell = if told { host::set_header } else { host::add_header };
            if tell(Map::Response, name, &value).is_err() {
                break;
            }
        }
        if self.waited_ns > 0 {
            let waited_ms = self.waited_ns.div_ceil(1_000_000).to_string();
            let _ = host::set_header(Map::Response, "x-tollgate-waited-ms", &waited_ms);
        }
    }
}
