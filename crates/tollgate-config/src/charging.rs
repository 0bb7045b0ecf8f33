//! What is charged where the provider's report is missing.

use serde::Deserialize;

config! {
    /// What is charged where the provider's report is missing. Requests are counted in any case.
    #[derive(Copy, Default, PartialEq, Eq)]
    #[serde(default)]
    pub struct Charging {
        /// The upstream answered with an error.
        pub on_upstream_error: UpstreamError,
        /// The answer was cut off, by the client or on the way.
        pub on_abort: Unreported,
        /// An error came inside an answer that had begun well.
        pub on_error_in_answer: Unreported,
        /// The answer was whole, and said nothing of its usage.
        pub without_usage: Unreported,
    }
}

config! {
    /// What an error of the upstream's costs.
    #[derive(Copy, Default, PartialEq, Eq)]
    pub enum UpstreamError {
        /// Nothing: tokens, cost and credits are given back.
        #[default]
        Refund,
        /// The input, for providers that bill it.
        Input,
    }
}

config! {
    /// What an answer costs that nobody reported on.
    #[derive(Copy, Default, PartialEq, Eq)]
    pub enum Unreported {
        /// The input, and the output by the text that passed.
        #[default]
        Estimate,
        /// The input, and all the output that quotas held for it.
        Reserved,
    }
}
