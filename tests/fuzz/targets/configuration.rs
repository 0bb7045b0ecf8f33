//! A configuration of any bytes is a policy or an error with a path, as Envoy hands it over: protobuf or JSON.

use tollgate_core::policy::Policy;

pub fn check(bytes: &[u8]) {
    if let Err(error) = Policy::from_bytes(bytes) {
        assert!(!error.path.is_empty() && !error.problem.is_empty());
    }
}
