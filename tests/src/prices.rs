//! What chats must cost, computed from `config/prices.json` and nothing else of Tollgate's: an independent bill.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;
use tollgate_wire::NanoUsd;

use crate::model_server::ModelUsage;
use crate::paths;

/// Tokens that a price is for.
const TOKENS_PER_PRICE: u128 = 1_000_000;

/// The price table.
pub struct Prices(BTreeMap<String, Price>);

/// Prices of one model, in nano-dollars per million tokens.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Price {
    /// Input that no cache is involved in.
    pub input: u64,
    /// Output, reasoning included.
    pub output: u64,
    /// Input read from a cache; as input if absent.
    pub cached_input: Option<u64>,
    /// Input written to a cache; as input if absent.
    pub cache_write: Option<u64>,
    /// The same where it is kept for an hour.
    pub cache_write_1h: Option<u64>,
}

impl Prices {
    /// Reads the project's table.
    pub fn read() -> anyhow::Result<Self> {
        let path = paths::root().join("config/prices.json");
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let table: Value = serde_json::from_str(&text)?;
        let models = table["models"].as_array().context("the price table has no models")?;
        let named = models.iter().map(|entry| {
            let model = entry["model"].as_str().context("a price without a model")?;
            Ok((
                model.to_owned(),
                Price::deserialize(entry).with_context(|| format!("the price of {model}"))?,
            ))
        });
        Ok(Self(named.collect::<anyhow::Result<_>>()?))
    }

    /// The first of these models that the table knows.
    pub fn first_known<'a>(&self, models: &[&'a str]) -> anyhow::Result<&'a str> {
        let known = models.iter().copied().find(|model| self.0.contains_key(*model));
        known.with_context(|| format!("the price table has none of {}", models.join(", ")))
    }

    /// What this usage of the model costs: the classes added up, rounded up once.
    pub fn cost(&self, model: &str, usage: ModelUsage) -> anyhow::Result<NanoUsd> {
        self.cost_kept(model, usage, 0)
    }

    /// The same, where so many of the tokens written to a cache are kept for an hour.
    pub fn cost_kept(&self, model: &str, usage: ModelUsage, long: u64) -> anyhow::Result<NanoUsd> {
        let price = self.0.get(model).with_context(|| format!("the price table has no {model}"))?;
        let write = price.cache_write.unwrap_or(price.input);
        let parts = [
            (usage.input, price.input),
            (usage.cache_read, price.cached_input.unwrap_or(price.input)),
            (usage.cache_write.saturating_sub(long), write),
            (long, price.cache_write_1h.unwrap_or(write)),
            (usage.output, price.output),
        ];
        let sum: u128 = parts.iter().map(|(tokens, price)| u128::from(*tokens) * u128::from(*price)).sum();
        Ok(NanoUsd(u64::try_from(sum.div_ceil(TOKENS_PER_PRICE))?))
    }
}

/// The usage that an official library told its caller, in either API's terms.
pub fn usage_told(usage: &Value) -> ModelUsage {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    if usage.get("prompt_tokens").is_some() {
        let details = &usage["prompt_tokens_details"];
        let (read, write) = (number(&details["cached_tokens"]), number(&details["cache_write_tokens"]));
        ModelUsage {
            // OpenAI's prompt tokens include the cached ones.
            input: number(&usage["prompt_tokens"]).saturating_sub(read + write),
            cache_read: read,
            cache_write: write,
            output: number(&usage["completion_tokens"]),
            reasoning: number(&usage["completion_tokens_details"]["reasoning_tokens"]),
        }
    } else {
        ModelUsage {
            input: number(&usage["input_tokens"]),
            cache_read: number(&usage["cache_read_input_tokens"]),
            cache_write: number(&usage["cache_creation_input_tokens"]),
            output: number(&usage["output_tokens"]),
            reasoning: number(&usage["output_tokens_details"]["thinking_tokens"]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_rounded_up_once() {
        let cached_input = Some(25_000);
        let price = Price {
            input: 250_000,
            output: 1_250_000,
            cached_input,
            cache_write: None,
            cache_write_1h: None,
        };
        let prices = Prices([("m".to_owned(), price)].into());
        let usage = ModelUsage { input: 1, cache_read: 1, cache_write: 1, output: 1, reasoning: 0 };
        // 0.25 + 0.025 + 0.25 + 1.25 = 1.775
        assert_eq!(prices.cost("m", usage).unwrap(), NanoUsd(2));
        assert!(prices.cost("unknown", usage).is_err());
    }
}
