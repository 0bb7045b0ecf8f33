//! The limits that `model_defaults: true` puts on each model.

use serde_json::{Value, json};

use super::super::config;
use super::Outcome;

/// Prefix of their names.
const PREFIX: &str = "model-default";

/// They are written as one would write them, and compiled like any other.
pub(super) fn model_defaults() -> Outcome<Vec<config::Limit>> {
    let rate = |name: &str, meter: &str, amount: u64, burst: u64| {
        json!({"name": format!("{PREFIX}-{name}"), "meter": meter, "key": ["model"], "grace_s": 60,
               "rate": {"amount": amount, "per": "second", "burst": burst}, "action": "throttle"})
    };
    let quota = |name: &str, meter: &str, amount: u64, per: &str| {
        json!({"name": format!("{PREFIX}-{name}"), "meter": meter, "key": ["model"], "grace_s": 60,
               "quota": {"amount": amount, "per": per}})
    };
    let memory = |meter: &str, most: u64| {
        json!({"name": format!("{PREFIX}-{meter}"), "meter": meter, "key": ["model"], "grace_s": 60,
               "memory_mb": most})
    };
    let all = Value::Array(vec![
        rate("requests", "requests", 100, 200),
        rate("tokens", "tokens", 1_000, 10_000),
        quota("requests-per-hour", "requests", 10_000, "hour"),
        quota("tokens-per-hour", "tokens", 1_000_000, "hour"),
        quota("requests-per-day", "requests", 100_000, "day"),
        quota("tokens-per-day", "tokens", 10_000_000, "day"),
        memory("ram", 2_048),
        memory("ssd", 16_384),
    ]);
    config::limits(all)
}
