//! What things cost, and what is reserved before the cost is known.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::amount::Amount;

config! {
    /// What an action costs.
    pub struct Action {
        /// Credits per unit.
        pub credits: Amount,
        /// The unit: `request`, `token`, `1000 tokens`.
        pub per: String,
    }
}

config! {
    /// What tokens cost. The built-in table has more than 100 models.
    #[derive(Default)]
    pub struct Prices {
        /// What a model without a price costs.
        #[serde(default)]
        pub unknown: UnknownModel,
        /// Prices of your own, before the built-in ones.
        #[serde(default)]
        pub overrides: BTreeMap<String, PriceConfig>,
    }
}

config! {
    /// What becomes of a model without a price.
    #[derive(Copy, Default, PartialEq, Eq)]
    pub enum UnknownModel {
        /// The dearest price of the table is charged, and the tally says so.
        #[default]
        Ceiling,
        /// The request is refused.
        Refuse,
        /// It is free.
        Allow,
    }
}

config! {
    /// Prices in US dollars per million tokens.
    pub struct PriceConfig {
        /// Input that no cache is involved in.
        pub input: Amount,
        /// Output, reasoning included.
        pub output: Amount,
        /// Input read from a cache; the price of input if absent.
        #[serde(default)]
        pub cached_input: Option<Amount>,
        /// Input written to a cache; the price of input if absent.
        #[serde(default)]
        pub cache_write: Option<Amount>,
        /// The longest answer the model gives, in tokens.
        #[serde(default)]
        pub max_output_tokens: Option<u64>,
    }
}

config! {
    /// What is reserved before the answer is known.
    pub struct Reservation {
        /// First guess of an answer's length in tokens; learned per model afterwards. Rates reserve it.
        #[serde(default = "default_expected")]
        pub expected_output_tokens: u64,
        /// Output tokens held against quotas when the client sends no output cap.
        #[serde(default = "default_uncapped")]
        pub uncapped_output_tokens: u64,
    }
}

fn default_expected() -> u64 {
    256
}

fn default_uncapped() -> u64 {
    4096
}

impl Default for Reservation {
    fn default() -> Self {
        Self { expected_output_tokens: default_expected(), uncapped_output_tokens: default_uncapped() }
    }
}
