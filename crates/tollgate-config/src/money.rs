//! What tokens cost, and what is reserved before the cost is known.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Dimension;
use crate::amount::Amount;

config! {
    /// What tokens cost. The built-in table has more than 100 models.
    #[derive(Default)]
    pub struct Prices {
        /// Recorded with every charge: the built-in table's date if absent. Raise it when you change a price.
        #[serde(default)]
        pub version: Option<u32>,
        /// What a model without a price costs.
        #[serde(default)]
        pub unknown: UnknownModel,
        /// Prices of your own, before the built-in ones.
        #[serde(default)]
        pub overrides: BTreeMap<String, PriceConfig>,
        /// Other names of models that have a price, such as those of Azure deployments.
        #[serde(default)]
        pub aliases: BTreeMap<String, String>,
        /// Prices for some requests only. The first rule that applies holds.
        #[serde(default)]
        pub rules: Vec<PriceRuleConfig>,
        /// Prices that change with the volume used. Of the entries whose amount was passed the largest holds.
        #[serde(default)]
        pub volume: Vec<VolumeConfig>,
    }
}

config! {
    /// A price for some requests: exactly one of `percent` and `price`.
    pub struct PriceRuleConfig {
        /// Applies only where each of these has one of the values; `gpt-*` is a prefix.
        #[serde(default)]
        pub when: BTreeMap<Dimension, Vec<String>>,
        /// So much of the model's price, 0 to 10,000.
        #[serde(default)]
        pub percent: Option<u32>,
        /// This instead of the model's price.
        #[serde(default)]
        pub price: Option<PriceConfig>,
    }
}

config! {
    /// A price from a volume on.
    pub struct VolumeConfig {
        /// The quota whose use, holds included, is the volume. One with `action: warn` counts without refusing.
        pub quota: String,
        /// More than so many units of the quota's meter.
        pub above: Amount,
        /// So much of the price, 0 to 10,000.
        pub percent: u32,
        /// Applies only where each of these has one of the values; `gpt-*` is a prefix.
        #[serde(default)]
        pub when: BTreeMap<Dimension, Vec<String>>,
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
        /// Input written to a cache for an hour, as Anthropic reports it; the price of other writes if absent.
        #[serde(default)]
        pub cache_write_1h: Option<Amount>,
        /// Dearer prices for requests with long input.
        #[serde(default)]
        pub long_context: Option<LongContextConfig>,
        /// The longest answer the model gives, in tokens.
        #[serde(default)]
        pub max_output_tokens: Option<u64>,
    }
}

config! {
    /// Prices for the whole of a request whose input is long, in US dollars per million tokens.
    pub struct LongContextConfig {
        /// They hold for more input tokens than this, cached ones included.
        pub above_input_tokens: u64,
        /// Input that no cache is involved in.
        pub input: Amount,
        /// Output, reasoning included.
        pub output: Amount,
        /// Input read from a cache; the price of long input if absent.
        #[serde(default)]
        pub cached_input: Option<Amount>,
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
        /// What becomes of a stream that outgrows what is reserved for it, while it passes.
        #[serde(default)]
        pub mid_stream: MidStream,
    }
}

config! {
    /// What becomes of a stream that outgrows what is reserved for it, while it passes.
    #[derive(Copy, Default, PartialEq, Eq)]
    pub enum MidStream {
        /// Nothing: it is charged at its end.
        Off,
        /// It takes more of its limits as it goes. Where one has no more, it finishes all the same, and the balance goes
        /// below zero.
        #[default]
        Finish,
        /// It takes more of its limits as it goes. Where one has no more, it ends there, with an error in the shape of
        /// its own API.
        End,
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
        Self {
            expected_output_tokens: default_expected(),
            uncapped_output_tokens: default_uncapped(),
            mid_stream: MidStream::default(),
        }
    }
}
