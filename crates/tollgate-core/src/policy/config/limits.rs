//! Limits: what they count, for whom, and what a violation does.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::amount::Amount;

config! {
    /// A named set of limits.
    pub struct Tier {
        /// Larger is more important.
        #[serde(default)]
        pub priority: u8,
        /// Told to a consumer of this tier who is refused.
        #[serde(default)]
        pub upgrade_hint: Option<String>,
        /// The models it may use; `gpt-*` is a prefix. All if absent.
        #[serde(default)]
        pub models: Option<Vec<String>>,
        /// The tools it may use. All if absent.
        #[serde(default)]
        pub tools: Option<Vec<String>>,
        /// Its limits. None: unlimited.
        #[serde(default)]
        pub limits: Vec<Limit>,
    }
}

config! {
    /// Limits of the routes that name the policy.
    pub struct RoutePolicy {
        /// Its limits.
        #[serde(default)]
        pub limits: Vec<Limit>,
    }
}

config! {
    /// One limit: exactly one of `rate`, `quota`, `concurrency` and `per_request`.
    pub struct Limit {
        /// Its name, in answers, metrics and the audit trail. Limits of one name share their balance over tiers.
        pub name: String,
        /// What is counted. Not for `concurrency`.
        #[serde(default)]
        pub meter: Option<Meter>,
        /// A token bucket.
        #[serde(default)]
        pub rate: Option<RateConfig>,
        /// A budget per calendar window.
        #[serde(default)]
        pub quota: Option<QuotaConfig>,
        /// Most requests in flight.
        #[serde(default)]
        pub concurrency: Option<u64>,
        /// Most that one request may ask for.
        #[serde(default)]
        pub per_request: Option<Amount>,
        /// What shares one balance: each combination of these has its own. Default: each consumer. `[]`: everybody.
        #[serde(default)]
        pub key: Option<Vec<Dimension>>,
        /// Applies only where each of these has one of the values; `gpt-*` is a prefix.
        #[serde(default)]
        pub when: BTreeMap<Dimension, Vec<String>>,
        /// What a violation does.
        #[serde(default)]
        pub action: Violation,
        /// Longest wait that `throttle` imposes, in milliseconds, 1 to 600,000; 10,000 if absent.
        #[serde(default)]
        pub max_wait_ms: Option<u64>,
        /// Seconds from a first violation in which requests that would be refused pass, and are counted. There is a
        /// next first violation in the next window, or once a bucket has been full again.
        #[serde(default)]
        pub grace_s: u32,
    }
}

config! {
    /// What a limit counts.
    #[derive(Copy, PartialEq, Eq, Hash)]
    pub enum Meter {
        /// Requests.
        Requests,
        /// Input and output tokens together.
        Tokens,
        /// Input tokens, cached ones included.
        InputTokens,
        /// Output tokens, reasoning included.
        OutputTokens,
        /// US dollars.
        Cost,
        /// Credits.
        Credits,
    }
}

config! {
    /// A token bucket.
    pub struct RateConfig {
        /// Units per period; dollars for `cost`.
        pub amount: Amount,
        /// The period.
        pub per: RatePeriod,
        /// Most units at once; as much as `amount` by default.
        #[serde(default)]
        pub burst: Option<Amount>,
    }
}

config! {
    /// The period of a rate.
    #[derive(Copy, PartialEq, Eq)]
    pub enum RatePeriod {
        /// 1 s.
        Second,
        /// 60 s.
        Minute,
        /// 3,600 s.
        Hour,
    }
}

config! {
    /// A budget per calendar window.
    pub struct QuotaConfig {
        /// Units per window; dollars for `cost`.
        pub amount: Amount,
        /// The window.
        pub per: QuotaPeriod,
        /// Time zone by its IANA name.
        #[serde(default = "default_zone")]
        pub zone: String,
        /// Local time at which a window begins, `HH:MM`.
        #[serde(default = "default_reset")]
        pub reset_at: String,
    }
}

fn default_zone() -> String {
    "UTC".into()
}

fn default_reset() -> String {
    "00:00".into()
}

config! {
    /// The window of a quota.
    #[derive(Copy, PartialEq, Eq)]
    pub enum QuotaPeriod {
        /// A calendar day.
        Day,
        /// A calendar month.
        Month,
    }
}

config! {
    /// What a request is, for keys and conditions.
    #[derive(Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Dimension {
        /// Who pays.
        Consumer,
        /// The consumer's team.
        Team,
        /// The consumer's project.
        Project,
        /// The consumer's tier.
        Tier,
        /// Envoy's route name.
        Route,
        /// The route's policy.
        Policy,
        /// The route's action.
        Action,
        /// The route's workflow.
        Workflow,
        /// `openai`, `anthropic`.
        Provider,
        /// The model the client asks for.
        Model,
        /// The tool the request calls.
        Tool,
        /// What the client speaks through: `web`, `api`, `telegram`.
        Interface,
        /// Where the client is.
        Region,
        /// The client's address.
        Address,
    }
}

impl Dimension {
    /// The name in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Team => "team",
            Self::Project => "project",
            Self::Tier => "tier",
            Self::Route => "route",
            Self::Policy => "policy",
            Self::Action => "action",
            Self::Workflow => "workflow",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Tool => "tool",
            Self::Interface => "interface",
            Self::Region => "region",
            Self::Address => "address",
        }
    }
}

config! {
    /// What a violation does.
    #[derive(Copy, Default, PartialEq, Eq)]
    pub enum Violation {
        /// The request is refused with 429.
        #[default]
        Reject,
        /// The request waits until it fits, up to `max_wait_ms`; beyond that it is refused. For rates.
        Throttle,
        /// The request waits in the waiting room; where there is none, or no room, it is refused.
        Queue,
        /// The request passes, is counted, and is told so.
        Warn,
        /// Nothing: what would have been refused is counted as such, and nobody is told.
        Shadow,
    }
}
