//! What is compared.

use std::net::SocketAddr;

use anyhow::bail;
use serde_json::{Value, json};

use super::upstream::Upstream;
use crate::envoy::{Envoy, EnvoyConfig};
use crate::ledger::Ledger;
use crate::paths;

/// Far more than any turn uses: what is measured is deciding, not refusing.
const PLENTY: u64 = 1_000_000_000;

/// More requests in flight than there are connections.
const CONCURRENCY: u64 = 1000;

/// One Envoy to be measured, with what it needs.
pub struct Variant {
    /// Its name in the report.
    pub name: &'static str,
    /// The Envoy, with one worker.
    pub envoy: Envoy,
    _ledger: Option<Ledger>,
}

impl Variant {
    /// All variants, in the order of the report.
    pub const NAMES: [&str; 8] = [
        "plain",
        "empty_wasm",
        "local_ratelimit",
        "tollgate_headers",
        "tollgate_full",
        "tollgate_leased",
        "tollgate_settled",
        "tollgate_example",
    ];

    /// Starts one in front of the fastest model.
    pub async fn start(name: &str, upstream: &Upstream) -> anyhow::Result<Self> {
        Self::start_at(name, upstream.address()).await
    }

    /// Starts one in front of this model.
    pub async fn start_at(name: &str, models: SocketAddr) -> anyhow::Result<Self> {
        let Some(name) = Self::NAMES.into_iter().find(|known| *known == name) else {
            bail!("there is no variant {name}; there are {}", Self::NAMES.join(", "));
        };
        let mut ledger = None;
        let config = match name {
            "plain" => EnvoyConfig::plain(models)?,
            "empty_wasm" => {
                let mut config = EnvoyConfig::plain(models)?;
                config.push_module("empty", &paths::empty_filter()?);
                config
            }
            "local_ratelimit" => {
                let mut config = EnvoyConfig::plain(models)?;
                config.push_filter_front(local_ratelimit());
                config
            }
            "tollgate_headers" => {
                let mut config = EnvoyConfig::standalone(models)?;
                config.set_policy(headers_only());
                config.connection_manager().remove("access_log");
                config
            }
            // The last leaves answers alone until they have ended.
            "tollgate_full" | "tollgate_leased" | "tollgate_settled" => {
                let ledger = ledger.insert(Ledger::start(None).await?);
                let mut config = EnvoyConfig::example(models, ledger.address())?;
                config.policy(|policy| {
                    let ledger = policy.remove("ledger");
                    *policy = full(name == "tollgate_leased").as_object().cloned().unwrap_or_default();
                    if name == "tollgate_settled" {
                        policy.insert("reservation".into(), json!({"mid_stream": "off"}));
                    }
                    policy.extend(ledger.map(|ledger| ("ledger".into(), ledger)));
                });
                config.connection_manager().remove("access_log");
                config
            }
            // All of the example, and its journal.
            _ => {
                let ledger = ledger.insert(Ledger::start(None).await?);
                let mut config = EnvoyConfig::example(models, ledger.address())?;
                config.policy(|policy| {
                    policy["identity"] = identity();
                    // Its roles come from claims that these consumers have not got.
                    policy.remove("access");
                    policy["tiers"] = json!({"bench": {"limits": policy["tiers"]["enterprise"]["limits"]}});
                    raise_limits(&mut policy["tiers"]);
                });
                config
            }
        };
        let envoy = Envoy::start(&config, 1).await?;
        Ok(Self { name, envoy, _ledger: ledger })
    }
}

fn identity() -> Value {
    json!({"consumer": [{"header": "x-consumer"}], "default_tier": "bench"})
}

/// Limits that the request's headers decide.
fn headers_only() -> Value {
    json!({
        "name": "bench",
        "identity": identity(),
        "tiers": {"bench": {"limits": [
            {"name": "requests-per-minute", "meter": "requests", "rate": {"amount": PLENTY, "per": "minute"}},
            {"name": "requests-per-day", "meter": "requests", "quota": {"amount": PLENTY, "per": "day"}},
            {"name": "concurrent-requests", "concurrency": CONCURRENCY},
        ]}},
    })
}

/// Five limits on requests, tokens and cost, which take the body, a price and the answer's usage. Tallies go to the ledger.
/// The quotas are each Envoy's own, or spent from leases.
fn full(leased: bool) -> Value {
    let quota = |name: &str, meter: &str, per: &str| {
        let mut quota = json!({"name": name, "meter": meter, "quota": {"amount": PLENTY, "per": per}});
        if leased {
            quota["global"] = json!({});
        }
        quota
    };
    json!({
        "name": "bench",
        "identity": identity(),
        "tiers": {"bench": {"limits": [
            {"name": "requests-per-minute", "meter": "requests", "rate": {"amount": PLENTY, "per": "minute"}},
            {"name": "tokens-per-minute", "meter": "tokens", "rate": {"amount": PLENTY, "per": "minute"}},
            quota("requests-per-day", "requests", "day"),
            quota("cost-per-month", "cost", "month"),
            {"name": "concurrent-requests", "concurrency": CONCURRENCY},
        ]}},
    })
}

/// Sets every amount to plenty, wherever it stands.
fn raise_limits(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match key.as_str() {
                    "amount" => *value = PLENTY.into(),
                    "concurrency" => *value = CONCURRENCY.into(),
                    _ => raise_limits(value),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(raise_limits),
        _ => {}
    }
}

/// Envoy's own rate limit: one bucket for all.
fn local_ratelimit() -> Value {
    let always = json!({"default_value": {"numerator": 100, "denominator": "HUNDRED"}});
    json!({
        "name": "envoy.filters.http.local_ratelimit",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
            "stat_prefix": "bench",
            "token_bucket": {"max_tokens": PLENTY, "tokens_per_fill": PLENTY, "fill_interval": "1s"},
            "filter_enabled": always,
            "filter_enforced": always,
        },
    })
}
