//! What is fuzzed: each takes any bytes, and panics where something does not hold. The core's tests run them as well, on
//! what fuzzing kept (`tests/fuzz_corpora.rs`).

pub mod ask;
pub mod configuration;
pub mod estimate;
pub mod events;
pub mod frames;
pub mod identity;
pub mod lines;
pub mod orca;
pub mod request;
pub mod response;
pub mod slots;
pub mod strip;
pub mod sync;

/// A target.
pub type Check = fn(&[u8]);

/// All of them, by name.
pub const ALL: [(&str, Check); 13] = [
    ("ask", ask::check),
    ("configuration", configuration::check),
    ("estimate", estimate::check),
    ("events", events::check),
    ("frames", frames::check),
    ("identity", identity::check),
    ("lines", lines::check),
    ("orca", orca::check),
    ("request", request::check),
    ("response", response::check),
    ("slots", slots::check),
    ("strip", strip::check),
    ("sync", sync::check),
];
