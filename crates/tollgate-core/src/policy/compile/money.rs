//! What things cost, and what is reserved before the cost is known.

use std::collections::BTreeMap;

use tollgate_wire::NanoUsd;

use crate::price::{LongContext, Percent, Price, PriceTable};

use super::super::config::Amount;
use super::super::config::{self, PriceConfig};
use super::super::limit::{Kind, Limit};
use super::super::pricing::{PriceRule, Pricing, VolumePrice};
use super::condition::conditions;
use super::{Outcome, refuse};

pub(super) fn prices(raw: &config::Prices) -> Outcome<PriceTable> {
    let mut table = PriceTable::builtin();
    for (model, own) in &raw.overrides {
        if model.is_empty() {
            return refuse("prices.overrides", "a model without a name");
        }
        table.insert(model, price(own));
    }
    aliases(&raw.aliases, &mut table)?;
    if let Some(version) = raw.version {
        if version == 0 {
            return refuse("prices.version", "0 means that nothing was charged");
        }
        table.set_version(version);
    }
    Ok(table)
}

fn aliases(raw: &BTreeMap<String, String>, table: &mut PriceTable) -> Outcome<()> {
    for (alias, model) in raw {
        if alias.is_empty() || raw.contains_key(model) || !table.alias(alias, model) {
            return refuse(format!("prices.aliases.{alias}"), format!("`{model}` has no price"));
        }
    }
    Ok(())
}

/// Dollars per million tokens in billionths are nano-dollars per million tokens.
fn read(amount: Amount) -> NanoUsd {
    NanoUsd(amount.scaled(9).unwrap_or_default())
}

fn price(raw: &PriceConfig) -> Price {
    Price {
        input: read(raw.input),
        output: read(raw.output),
        cached_input: raw.cached_input.map(read),
        cache_write: raw.cache_write.map(read),
        cache_write_1h: raw.cache_write_1h.map(read),
        long_context: raw.long_context.as_ref().map(|long| LongContext {
            above_input_tokens: long.above_input_tokens,
            input: read(long.input),
            output: read(long.output),
            cached_input: long.cached_input.map(read),
        }),
        max_output_tokens: raw.max_output_tokens,
    }
}

pub(super) fn pricing(raw: &config::Prices, limits: &[Limit]) -> Outcome<Pricing> {
    let mut pricing = Pricing::default();
    for (index, raw) in raw.rules.iter().enumerate() {
        let path = format!("prices.rules[{index}]");
        let percent = match (raw.percent, &raw.price) {
            (Some(percent), None) => percent_of(percent, &path)?,
            (None, Some(_)) => Percent::ALL,
            _ => return refuse(path, "exactly one of `percent` and `price` is needed"),
        };
        let when = conditions(&raw.when, &path)?;
        pricing.rules.push(PriceRule { when, price: raw.price.as_ref().map(price), percent });
    }
    for (index, raw) in raw.volume.iter().enumerate() {
        let path = format!("prices.volume[{index}]");
        pricing.volume.push(VolumePrice {
            when: conditions(&raw.when, &path)?,
            quota: raw.quota.clone(),
            above: volume(raw, limits, &path)?,
            percent: percent_of(raw.percent, &path)?,
        });
    }
    Ok(pricing)
}

fn percent_of(percent: u32, path: &str) -> Outcome<Percent> {
    match Percent::new(percent) {
        Some(percent) => Ok(percent),
        None => refuse(format!("{path}.percent"), "not from 0 to 10000"),
    }
}

/// The amount in the quota's unit. Quotas of one name may differ between tiers, but not in what they count.
fn volume(raw: &config::VolumeConfig, limits: &[Limit], path: &str) -> Outcome<u64> {
    let quotas =
        || limits.iter().filter(|limit| limit.name == raw.quota && matches!(limit.kind, Kind::Quota { .. }));
    let Some(meter) = quotas().map(|limit| limit.meter).next() else {
        return refuse(format!("{path}.quota"), format!("there is no quota `{}`", raw.quota));
    };
    if quotas().any(|limit| limit.meter != meter) {
        return refuse(format!("{path}.quota"), format!("the quotas `{}` count different things", raw.quota));
    }
    let Some(above) = raw.above.scaled(meter.decimals()) else {
        return refuse(format!("{path}.above"), format!("more than {} decimals", meter.decimals()));
    };
    if quotas().all(|limit| above >= limit.most()) {
        return refuse(format!("{path}.above"), "the quota ends before it");
    }
    Ok(above)
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
