//! What clients are told: warnings, headers and words.

use serde::Deserialize;

config! {
    /// When to warn.
    pub struct Warnings {
        /// Percent of a quota's settled use, each told once per window. At most 8.
        #[serde(default = "default_thresholds")]
        pub thresholds: Vec<u8>,
    }
}

fn default_thresholds() -> Vec<u8> {
    vec![80, 90, 95]
}

impl Default for Warnings {
    fn default() -> Self {
        Self { thresholds: default_thresholds() }
    }
}

config! {
    /// Which headers clients get.
    pub struct Headers {
        /// `RateLimit` and `RateLimit-Policy` (IETF draft 10).
        #[serde(default = "yes")]
        pub ratelimit: bool,
        /// `x-ratelimit-*` for OpenAI's API, `anthropic-ratelimit-*` for Anthropic's.
        #[serde(default = "yes")]
        pub dialect: bool,
    }
}

fn yes() -> bool {
    true
}

impl Default for Headers {
    fn default() -> Self {
        Self { ratelimit: true, dialect: true }
    }
}
