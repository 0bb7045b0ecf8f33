//! The usual arrangement: a model server, Envoy with Tollgate in front of it, and a ledger where one is wanted.

use serde_json::{Map, Value, json};

use crate::envoy::{Envoy, EnvoyConfig};
use crate::http_client::Call;
use crate::ledger::Ledger;
use crate::model_server::ModelServer;
use crate::wait;

/// Models that the price table knows, for scenarios that don't care which.
pub const OPENAI_MODEL: &str = "gpt-5.4-mini";
/// See [`OPENAI_MODEL`].
pub const CLAUDE_MODEL: &str = "claude-haiku-4-5";

/// API keys of the example policy.
pub const FREE_KEY: &str = "demo-free-key";
/// See [`FREE_KEY`].
pub const PRO_KEY: &str = "demo-pro-key";
/// See [`FREE_KEY`].
pub const ENTERPRISE_KEY: &str = "demo-enterprise-key";

/// Everything a scenario needs, stopped when dropped.
pub struct Scene {
    /// The model server.
    pub models: ModelServer,
    /// The Envoy under test.
    pub envoy: Envoy,
}

impl Scene {
    /// Tollgate without a ledger, with the policy given, on so many workers.
    pub async fn standalone(policy: Value, workers: usize) -> Self {
        Self::start(workers, |config| {
            config.set_policy(policy);
        })
        .await
    }

    /// Tollgate without a ledger, with the example's policy edited.
    pub async fn example(workers: usize, edit: impl FnOnce(&mut Map<String, Value>)) -> Self {
        Self::start(workers, |config| {
            config.policy(edit);
        })
        .await
    }

    /// Tollgate without a ledger, with the configuration edited.
    pub async fn start(workers: usize, edit: impl FnOnce(&mut EnvoyConfig)) -> Self {
        let models = start_models().await;
        let mut config = must(EnvoyConfig::standalone(models.address()));
        edit(&mut config);
        let envoy = must(Envoy::start(&config, workers).await);
        Self { models, envoy }
    }

    /// Waits until the model server has no request under way.
    pub async fn wait_until_idle(&self) {
        wait::until(
            "the model server to be idle",
            || self.envoy.logs(),
            async || (self.models.in_flight().current == 0).then_some(()),
        )
        .await;
    }
}

/// A scene with a ledger.
pub struct LedgerScene {
    /// The model server.
    pub models: ModelServer,
    /// The ledger.
    pub ledger: Ledger,
    /// The configuration Envoy runs with.
    pub config: EnvoyConfig,
    /// The Envoy under test.
    pub envoy: Envoy,
}

impl LedgerScene {
    /// The example's policy, edited, on so many workers. Tallies are sent every 100 ms.
    pub async fn example(workers: usize, edit: impl FnOnce(&mut Map<String, Value>)) -> Self {
        let models = start_models().await;
        let ledger = must(Ledger::start(None).await);
        let mut config = must(EnvoyConfig::example(models.address(), ledger.address()));
        config.policy(|policy| {
            policy["ledger"]["flush_interval_ms"] = 100.into();
            edit(policy);
        });
        let envoy = must(Envoy::start(&config, workers).await);
        Self { models, ledger, config, envoy }
    }
}

/// A policy for one kind of consumer, named by the header `x-consumer`, with these limits.
pub fn policy(limits: Value) -> Value {
    json!({
        "name": "test",
        "identity": {"consumer": [{"header": "x-consumer"}], "default_tier": "test"},
        "tiers": {"test": {"limits": limits}},
    })
}

/// Limits that need to know everything about a request and never refuse one.
pub fn generous() -> Value {
    json!([quota("tokens", "tokens", 1_000_000_000, "day"), quota("cost", "cost", 1_000_000, "day")])
}

/// A reset time of quotas, as `HH:MM` in UTC, that is half a day away: no window ends while a scenario runs.
pub fn far_reset() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{:02}:00", (now.as_secs() / 3600 + 12) % 24)
}

/// A quota of `amount` of the meter that does not reset while a scenario runs.
pub fn quota(name: &str, meter: &str, amount: impl Into<Value>, per: &str) -> Value {
    let quota = json!({"amount": amount.into(), "per": per, "reset_at": far_reset()});
    json!({"name": name, "meter": meter, "quota": quota})
}

/// A bucket of `amount` of the meter that hardly refills while a scenario runs.
pub fn bucket(name: &str, meter: &str, amount: impl Into<Value>) -> Value {
    json!({"name": name, "meter": meter, "rate": {"amount": amount.into(), "per": "hour"}})
}

/// A chat of one word from this consumer of [`policy`].
pub fn chat_from(consumer: &str) -> Call {
    Call::openai(OPENAI_MODEL, 1).header("x-consumer", consumer)
}

async fn start_models() -> ModelServer {
    must(ModelServer::start().await)
}

/// Scenarios have no use for an error: the reason goes to whoever reads the test's output.
fn must<T>(result: anyhow::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{error:#}"))
}
