//! Prices by model name, and what to charge for names that are not in the table.

use hashbrown::HashMap;
use serde::Deserialize;
use tollgate_wire::NanoUsd;

use super::{LongContext, Price, Rates, names};

const BUILTIN: &str = include_str!("../../../../config/prices.json");

/// Why a price table was refused.
#[derive(Debug, thiserror::Error)]
pub enum PriceError {
    /// The text is not a price table.
    #[error("reading a price table")]
    Read(#[source] serde_json::Error),
    /// One model has two prices.
    #[error("two prices for the model {0}")]
    Repeated(String),
}

/// Prices by model. An unknown model is unknown, not free: what to do then is policy, with [`PriceTable::ceiling`] as
/// the safe choice.
#[derive(Clone, Debug, Default)]
pub struct PriceTable {
    version: u32,
    prices: HashMap<Box<str>, Price>,
    /// Other names, and the names they stand for in `prices`.
    aliases: HashMap<Box<str>, Box<str>>,
    ceiling: Price,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTable {
    version: u32,
    /// Where the prices come from, for people.
    #[serde(rename = "_meta")]
    _meta: Option<serde::de::IgnoredAny>,
    models: Vec<RawPrice>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrice {
    /// For people; a model's name says which price it has.
    #[serde(rename = "provider")]
    _provider: Option<serde::de::IgnoredAny>,
    model: String,
    input: NanoUsd,
    output: NanoUsd,
    cached_input: Option<NanoUsd>,
    cache_write: Option<NanoUsd>,
    cache_write_1h: Option<NanoUsd>,
    long_context: Option<RawLongContext>,
    max_output_tokens: Option<u64>,
    /// Other names of the model.
    #[serde(default)]
    aliases: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLongContext {
    above_input_tokens: u64,
    input: NanoUsd,
    output: NanoUsd,
    cached_input: Option<NanoUsd>,
}

impl PriceTable {
    /// The table that comes with this version of Tollgate: `config/prices.json`.
    pub fn builtin() -> Self {
        // The text is part of the program, and a test reads it: it can't fail here.
        Self::from_json(BUILTIN).unwrap_or_default()
    }

    /// Reads a table: `{"version": N, "models": [{"model": ..., "input": ..., "output": ...}]}` with amounts in nano
    /// dollars per million tokens.
    pub fn from_json(text: &str) -> Result<Self, PriceError> {
        let raw: RawTable = serde_json::from_str(text).map_err(PriceError::Read)?;
        let mut table = Self { version: raw.version, ..Self::default() };
        for row in raw.models {
            let price = Price {
                input: row.input,
                output: row.output,
                cached_input: row.cached_input,
                cache_write: row.cache_write,
                cache_write_1h: row.cache_write_1h,
                long_context: row.long_context.map(|long| LongContext {
                    above_input_tokens: long.above_input_tokens,
                    input: long.input,
                    output: long.output,
                    cached_input: long.cached_input,
                }),
                max_output_tokens: row.max_output_tokens,
            };
            for name in row.aliases.into_iter().chain([row.model]) {
                if table.prices.insert(name.clone().into(), price.clone()).is_some() {
                    return Err(PriceError::Repeated(name));
                }
            }
        }
        table.ceiling = ceiling(table.prices.values());
        Ok(table)
    }

    /// The table's version: the day its prices were read, as `20261122`.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Sets a model's price, in place of one it has.
    pub fn insert(&mut self, model: &str, price: Price) {
        self.prices.insert(model.into(), price);
        self.ceiling = ceiling(self.prices.values());
    }

    /// Sets the version.
    pub fn set_version(&mut self, version: u32) {
        self.version = version;
    }

    /// Gives a model another name. False when the model has no price.
    pub fn alias(&mut self, alias: &str, model: &str) -> bool {
        let listed = self.find(model).map(|(name, _)| Box::from(name));
        listed.is_some_and(|name| {
            self.aliases.insert(alias.into(), name);
            true
        })
    }

    /// A model's price: see [`PriceTable::find`].
    pub fn lookup(&self, model: &str) -> Option<&Price> {
        self.find(model).map(|(_, price)| price)
    }

    /// A model's price by its exact name or an alias, else by what is left of the name step by step: without a provider
    /// (`openai/gpt-5`, `us.` of Bedrock's profiles), without a revision (`-v1:0`), without a version (`-2026-03-17`,
    /// `-20251001`, `@20251001`, `-2506`, `-001`, `-latest`), without a vendor (`anthropic.`). Returns the name it is listed
    /// under as well. A name that had to be shortened never finds a free model: a guess may not make a request cost
    /// nothing.
    pub fn find(&self, model: &str) -> Option<(&str, &Price)> {
        let alias = self.aliases.get(model).map(|name| &**name);
        let listed = |name: &str| self.prices.get_key_value(name).map(|(name, price)| (&**name, price));
        listed(alias.unwrap_or(model)).or_else(|| {
            names::shortened(model).into_iter().filter_map(listed).find(|(_, price)| !price.is_free())
        })
    }

    /// A price at least as high as every price in the table, for any request: the dearest of each class. It knows no
    /// longest answer.
    pub const fn ceiling(&self) -> &Price {
        &self.ceiling
    }

    /// How many names have a price.
    pub fn len(&self) -> usize {
        self.prices.len()
    }

    /// True when no model has a price.
    pub fn is_empty(&self) -> bool {
        self.prices.is_empty()
    }
}

/// The dearest of each class, so that no request costs more by any price of the table.
fn ceiling<'a>(prices: impl Iterator<Item = &'a Price>) -> Price {
    let (mut short, mut long) = (Rates::default(), Rates::default());
    let mut threshold: Option<u64> = None;
    for price in prices {
        short = short.max(price.short_rates());
        if let Some(own) = &price.long_context {
            long = long.max(price.long_rates(own));
            threshold = Some(threshold.unwrap_or(u64::MAX).min(own.above_input_tokens));
        }
    }
    // A long request may also be one for a model without long rates.
    long = long.max(short);
    Price {
        input: short.input,
        output: short.output,
        cached_input: Some(short.cache_read),
        cache_write: Some(short.cache_write),
        cache_write_1h: Some(short.cache_write_1h),
        long_context: threshold.map(|above_input_tokens| LongContext {
            above_input_tokens,
            input: long.input,
            output: long.output,
            cached_input: Some(long.cache_read),
        }),
        max_output_tokens: None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::TokenClasses;
    use super::*;

    #[test]
    fn the_builtin_table_is_read_in_full() {
        let table = PriceTable::from_json(BUILTIN).unwrap();
        assert_eq!((table.version(), table.len()), (20_261_122, 117));
        let haiku = table.lookup("claude-haiku-4-5").unwrap();
        assert_eq!(haiku.input, NanoUsd::DOLLAR);
        assert_eq!(haiku.cache_write, Some(NanoUsd(1_250_000_000)));
        assert_eq!(haiku.max_output_tokens, Some(64_000));
        let mini = table.lookup("gpt-5.4-mini").unwrap();
        assert_eq!((mini.cached_input, mini.cache_write), (Some(NanoUsd(75_000_000)), None));
        assert_eq!(PriceTable::builtin().len(), table.len());
    }

    #[test]
    fn a_name_is_found_without_provider_and_version() {
        let table = PriceTable::builtin();
        for (asked, listed) in [
            ("openai/gpt-5", "gpt-5"),
            ("openrouter/openai/gpt-5", "gpt-5"),
            ("gpt-5.4-mini-2026-03-17", "gpt-5.4-mini"),
            ("openai/gpt-5.4-mini-2026-03-17", "gpt-5.4-mini"),
            ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
            ("claude-haiku-4-5@20251001", "claude-haiku-4-5"),
            ("claude-haiku-4-5-latest", "claude-haiku-4-5"),
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
            (
                "arn:aws:bedrock:us-east-1:123456789012:inference-profile/eu.anthropic.claude-haiku-4-5-20251001-v1:0",
                "anthropic.claude-haiku-4-5-20251001-v1:0",
            ),
            ("anthropic.claude-opus-4-8-v1:0", "claude-opus-4-8"),
            ("models/gemini-3.8-flash", "gemini-3.8-flash"),
            ("gemini-3.8-flash-001", "gemini-3.8-flash"),
            ("publishers/google/models/gemini-2.5-pro", "gemini-2.5-pro"),
            // Listed under this very name, which is not that of another model.
            ("mistral-large-latest", "mistral-large-latest"),
        ] {
            assert_eq!(table.lookup(asked), table.lookup(listed), "{asked}");
            assert!(table.lookup(asked).is_some(), "{asked}");
        }
    }

    #[test]
    fn what_is_not_listed_is_unknown() {
        let table = PriceTable::builtin();
        for asked in
            ["", "/", "gpt-5-", "gpt-5-2026", "gpt-5-2026-3-17", "gpt-5x", "-latest", "gpt-5/", "GPT-5"]
        {
            assert_eq!(table.lookup(asked), None, "{asked}");
        }
    }

    #[test]
    fn an_alias_stands_for_a_listed_model() {
        let mut table = PriceTable::builtin();
        assert!(table.alias("prod-chat", "gpt-5-2026-01-01") && !table.alias("other", "nobody-knows-it"));
        assert_eq!(table.find("prod-chat").map(|(name, _)| name), Some("gpt-5"));
        // What the table says of the model later holds for its other names too.
        table.insert("gpt-5", Price { input: NanoUsd(7), ..Price::default() });
        assert_eq!(table.lookup("prod-chat").map(|price| price.input), Some(NanoUsd(7)));
    }

    #[test]
    fn a_shortened_name_finds_no_free_model() {
        let table = PriceTable::builtin();
        assert!(table.lookup("mistral").is_some_and(Price::is_free));
        assert_eq!(table.lookup("mistral-latest"), None);
        assert_eq!(table.lookup("somewhere/mistral"), None);
    }

    #[test]
    fn an_inserted_price_replaces_and_moves_the_ceiling() {
        let mut table = PriceTable::builtin();
        let dear = NanoUsd(1_000 * NanoUsd::DOLLAR.0);
        table.insert("gpt-5", Price { input: dear, ..Price::default() });
        assert_eq!(table.lookup("gpt-5").map(|price| price.input), Some(dear));
        assert_eq!(table.ceiling().input, dear);
        table.insert("gpt-5", Price::default());
        assert_eq!(table.ceiling(), PriceTable::builtin().ceiling());
    }

    #[test]
    fn a_table_with_a_fault_is_refused() {
        let row = r#"{"model": "a", "input": 1, "output": 2}"#;
        let table = |rows: &str| PriceTable::from_json(&format!(r#"{{"version": 1, "models": [{rows}]}}"#));
        assert_eq!(table(row).unwrap().len(), 1);
        assert!(matches!(table(&format!("{row},{row}")), Err(PriceError::Repeated(name)) if name == "a"));
        for wrong in [
            r#"{"model": "a", "input": 1.5, "output": 2}"#,
            r#"{"model": "a", "input": -1, "output": 2}"#,
            r#"{"model": "a", "input": 1}"#,
            r#"{"model": "a", "input": 1, "output": 2, "inptu": 3}"#,
        ] {
            assert!(matches!(table(wrong), Err(PriceError::Read(_))), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_price_of_the_table_exceeds_the_ceiling(
            input in 0u64..400_000, cache_read in 0u64..400_000, cache_write in 0u64..400_000, output in 0u64..400_000,
        ) {
            let table = PriceTable::builtin();
            let usage = TokenClasses { input, cache_read, cache_write, cache_write_1h: cache_write / 2, output };
            let ceiling = table.ceiling().cost(&usage);
            for (model, price) in &table.prices {
                prop_assert!(price.cost(&usage) <= ceiling, "{}", model);
            }
        }
    }
}
