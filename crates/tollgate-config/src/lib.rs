//! The configuration as it is written: plain data, unknown fields refused. `tollgate_core::policy::Policy` is what becomes
//! of it.
//!
//! A crate of its own because reading it happens once: in the filter's module it is built for size, the rest for speed.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

use std::collections::BTreeMap;

use serde::Deserialize;

macro_rules! config {
    ($item:item) => {
        #[derive(Clone, Debug, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "snake_case")]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        $item
    };
}

mod access;
mod amount;
mod charging;
mod credits;
mod identity;
mod limits;
mod load;
mod messages;
mod money;
pub mod protobuf;
mod reading;
mod running;
mod telling;
mod traffic;
mod tree;
mod waiting;
mod wire_struct;

pub use access::{Access, Enforcement, Exempt};
pub use amount::Amount;
pub use charging::{Charging, Unreported, UpstreamError};
pub use credits::{Action, CreditsConfig, Workflow};
pub use identity::{
    Address, Anonymous, ApiKeySource, Certificate, Identity, JwtSource, Key, Source, Unidentified, UnknownKey,
};
pub use limits::{
    AllowanceConfig, Dimension, EveryConfig, GlobalConfig, Limit, Meter, QuotaConfig, QuotaPeriod,
    RateConfig, RatePeriod, RoutePolicy, Tier, Violation, WindowConfig, WindowPeriod,
};
pub use load::{Load, LoadAction, Tighten};
pub use messages::Messages;
pub use money::{
    LongContextConfig, MidStream, PriceConfig, PriceRuleConfig, Prices, Reservation, UnknownModel,
    VolumeConfig,
};
pub use reading::{ConfigError, limits, read};
pub use running::{Contention, Ledger, StateConfig};
pub use telling::{Headers, Warnings};
pub use traffic::{LargerBodies, Traffic};
pub use waiting::Queue;
pub use wire_struct::read_configuration;

config! {
    /// The whole configuration.
    pub struct Config {
        /// Name of the policy. Filters with the same name in one Envoy share their balances.
        #[serde(default = "default_name")]
        pub name: String,
        /// Who is asking.
        #[serde(default)]
        pub identity: Identity,
        /// Whether anything is enforced.
        #[serde(default)]
        pub enforcement: Enforcement,
        /// Consumers and roles that are treated apart.
        #[serde(default)]
        pub access: Access,
        /// Named sets of limits, one of which applies to each consumer.
        #[serde(default)]
        pub tiers: BTreeMap<String, Tier>,
        /// Limits that apply whatever the tier.
        #[serde(default)]
        pub limits: Vec<Limit>,
        /// Also limit each model: 100 requests and 1,000 tokens a second (bursts of 200 and 10,000), 10,000 requests and
        /// 1,000,000 tokens an hour, 100,000 and 10,000,000 a day, 2,048 MB RAM, 16,384 MB SSD. Its rates throttle; all
        /// of them give 60 s of grace.
        #[serde(default)]
        pub model_defaults: bool,
        /// Limits of routes whose Envoy metadata names the policy: `filter_metadata: {tollgate: {policy: NAME}}`.
        #[serde(default)]
        pub policies: BTreeMap<String, RoutePolicy>,
        /// The policy of routes that name none, or one there is not.
        #[serde(default)]
        pub default_policy: Option<String>,
        /// When to turn requests away because the models are loaded.
        #[serde(default)]
        pub load: Option<Load>,
        /// The waiting room.
        #[serde(default)]
        pub queue: Queue,
        /// What actions cost in credits. A route names its action in the same metadata.
        #[serde(default)]
        pub actions: BTreeMap<String, Action>,
        /// What the steps of workflows cost in credits. A route names its workflow in the same metadata.
        #[serde(default)]
        pub workflows: BTreeMap<String, Workflow>,
        /// What a credit is worth.
        #[serde(default)]
        pub credits: CreditsConfig,
        /// What tokens cost.
        #[serde(default)]
        pub prices: Prices,
        /// What is charged where the provider's report is missing.
        #[serde(default)]
        pub charging: Charging,
        /// What is reserved before the answer is known.
        #[serde(default)]
        pub reservation: Reservation,
        /// How requests and answers are read.
        #[serde(default)]
        pub traffic: Traffic,
        /// When to warn.
        #[serde(default)]
        pub warnings: Warnings,
        /// Which headers clients get.
        #[serde(default)]
        pub headers: Headers,
        /// What clients read.
        #[serde(default)]
        pub messages: Messages,
        /// Path at which the filter itself tells callers how they stand, as `/tollgate/self`: a GET is answered with the
        /// caller's tier and limits, and what is left of them. Limits that only apply to some models are not among them.
        /// Without it no path is.
        #[serde(default)]
        pub self_path: Option<String>,
        /// The state in Envoy's shared data.
        #[serde(default)]
        pub state: StateConfig,
        /// Where tallies go. Without it the filter stands alone: limits work, per Envoy.
        #[serde(default)]
        pub ledger: Option<Ledger>,
    }
}

/// The JSON Schema (draft 2020-12) of a configuration, from these types.
#[cfg(feature = "schema")]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Config).to_value()
}

fn default_name() -> String {
    "default".into()
}
