//! What things cost, and what is reserved before the cost is known.

use hashbrown::HashMap;
use tollgate_wire::NanoUsd;

use crate::price::{Price, PriceTable};

use super::super::ActionPrice;
use super::super::amount::Amount;
use super::super::config::{self, Config};
use super::{Outcome, name, refuse};

pub(super) fn actions(config: &Config) -> Outcome<HashMap<String, ActionPrice>> {
    let mut actions = HashMap::new();
    for (action, raw) in &config.actions {
        name(&format!("actions.{action}"), action)?;
        let Some(credits_millionths) = raw.credits.scaled(6) else {
            return refuse(format!("actions.{action}.credits"), "more than 6 decimals");
        };
        let (per, unit) = match raw.per.split_once(' ') {
            Some((count, unit)) => (count.parse().unwrap_or(0), unit),
            None => (1, raw.per.as_str()),
        };
        let tokens = match unit {
            "token" | "tokens" => true,
            "request" | "requests" => false,
            _ => return refuse(format!("actions.{action}.per"), "not `request`, `token` or `N tokens`"),
        };
        if per == 0 {
            return refuse(format!("actions.{action}.per"), "not `request`, `token` or `N tokens`");
        }
        actions.insert(action.clone(), ActionPrice { credits_millionths, per, tokens });
    }
    Ok(actions)
}

pub(super) fn prices(raw: &config::Prices) -> Outcome<PriceTable> {
    let mut table = PriceTable::builtin();
    for (model, price) in &raw.overrides {
        // Dollars per million tokens in billionths are nano-dollars per million tokens.
        let read = |amount: Amount| NanoUsd(amount.scaled(9).unwrap_or_default());
        if model.is_empty() {
            return refuse("prices.overrides", "a model without a name");
        }
        table.insert(
            model,
            Price {
                input: read(price.input),
                output: read(price.output),
                cached_input: price.cached_input.map(read),
                cache_write: price.cache_write.map(read),
                long_context: None,
                max_output_tokens: price.max_output_tokens,
            },
        );
    }
    Ok(table)
}

pub(super) fn reservation(raw: config::Reservation) -> Outcome<config::Reservation> {
    const MOST: u64 = 100_000_000;
    for (field, value) in [
        ("expected_output_tokens", raw.expected_output_tokens),
        ("uncapped_output_tokens", raw.uncapped_output_tokens),
    ] {
        if value == 0 || value > MOST {
            return refuse(format!("reservation.{field}"), format!("not from 1 to {MOST}"));
        }
    }
    Ok(raw)
}
