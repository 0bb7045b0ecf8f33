//! How the filter runs: its state in Envoy and its way to the ledger.

use serde::Deserialize;

config! {
    /// The state in Envoy's shared data.
    pub struct StateConfig {
        /// Consumers active at once that balances are kept for without evicting any.
        #[serde(default = "default_keys")]
        pub expected_keys: u32,
        /// What becomes of a request that lost too many races for its balance.
        #[serde(default)]
        pub contention: Contention,
    }
}

fn default_keys() -> u32 {
    32_768
}

impl Default for StateConfig {
    fn default() -> Self {
        Self { expected_keys: default_keys(), contention: Contention::Refuse }
    }
}

config! {
    /// What becomes of a request that could not be decided.
    #[derive(Copy, Default, PartialEq, Eq)]
    pub enum Contention {
        /// 503: nobody gets more than its limit.
        #[default]
        Refuse,
        /// It passes uncounted.
        Admit,
    }
}

config! {
    /// Where tallies go.
    pub struct Ledger {
        /// Envoy's cluster of ledger nodes.
        pub cluster: String,
        /// This Envoy's name over restarts: balances are restored by it. Without one they are not.
        #[serde(default)]
        pub node: String,
        /// Environment variable with the bearer token; list it in the VM's `host_env_keys`.
        #[serde(default)]
        pub token_env: Option<String>,
        /// Longest time a tally waits for others, in milliseconds.
        #[serde(default = "default_flush")]
        pub flush_interval_ms: u64,
    }
}

fn default_flush() -> u64 {
    1000
}
