//! A configuration of any bytes is a policy or an error with a path, as Envoy hands it over: protobuf or JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_core::policy::Policy;

fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = Policy::from_bytes(bytes) {
        assert!(!error.path.is_empty() && !error.problem.is_empty());
    }
});
