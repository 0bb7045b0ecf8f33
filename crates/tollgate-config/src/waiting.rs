//! The waiting room.

use serde::Deserialize;

config! {
    /// The waiting room of each worker, for limits that `throttle` or `queue`. Envoy's `stream_idle_timeout` ends a
    /// request that waits longer than it.
    pub struct Queue {
        /// Most requests in it.
        #[serde(default = "default_length")]
        pub length: u32,
        /// Most requests of one consumer in it.
        #[serde(default = "default_per_consumer")]
        pub per_consumer: u32,
        /// Most bytes of request bodies in it.
        #[serde(default = "default_body_bytes")]
        pub body_bytes: u64,
        /// Longest wait in line, in milliseconds. A `throttle` has its own.
        #[serde(default = "default_wait")]
        pub max_wait_ms: u64,
        /// Whoever has waited so long goes before every priority, in milliseconds.
        #[serde(default = "default_promote")]
        pub promote_after_ms: u64,
    }
}

fn default_length() -> u32 {
    1000
}

fn default_per_consumer() -> u32 {
    100
}

fn default_body_bytes() -> u64 {
    256 << 20
}

/// As long as the official clients wait for an answer.
fn default_wait() -> u64 {
    600_000
}

fn default_promote() -> u64 {
    300_000
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            length: default_length(),
            per_consumer: default_per_consumer(),
            body_bytes: default_body_bytes(),
            max_wait_ms: default_wait(),
            promote_after_ms: default_promote(),
        }
    }
}
