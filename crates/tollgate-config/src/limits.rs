//! Limits: what they count, for whom, and what a violation does.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::amount::Amount;
use crate::load::LoadAction;
use crate::money::MidStream;

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
        /// What becomes of its requests when the models are loaded, if not what `load.action` says.
        #[serde(default)]
        pub load_action: Option<LoadAction>,
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
    /// One limit: exactly one of `rate`, `window`, `quota`, `concurrency`, `per_request` and `memory_mb`.
    pub struct Limit {
        /// Its name, in answers, metrics and the audit trail. Limits of one name share their balance over tiers.
        pub name: String,
        /// What is counted. Not for `concurrency`.
        #[serde(default)]
        pub meter: Option<Meter>,
        /// A token bucket.
        #[serde(default)]
        pub rate: Option<RateConfig>,
        /// A sliding window: at most so many units in any second, minute, hour or day, wherever it begins.
        #[serde(default)]
        pub window: Option<WindowConfig>,
        /// A budget per calendar window.
        #[serde(default)]
        pub quota: Option<QuotaConfig>,
        /// Most requests in flight.
        #[serde(default)]
        pub concurrency: Option<u64>,
        /// Most that one request may ask for.
        #[serde(default)]
        pub per_request: Option<Amount>,
        /// Most megabytes of the meter, `ram` or `ssd`, that a model server may report before its requests violate the
        /// limit.
        #[serde(default)]
        pub memory_mb: Option<u64>,
        /// What shares one balance: each combination of these has its own. Default: each consumer, of memory each
        /// model. `[]`: everybody.
        #[serde(default)]
        pub key: Option<Vec<Dimension>>,
        /// Applies only where each of these has one of the values: `gpt-*` is a prefix, `*` is any, `!gpt-4` and
        /// `!gpt-*` are all but those.
        #[serde(default)]
        pub when: BTreeMap<Dimension, Vec<String>>,
        /// What a violation does.
        #[serde(default)]
        pub action: Violation,
        /// Longest wait that `throttle` imposes, in milliseconds, 1 to 600,000; 10,000 if absent.
        #[serde(default)]
        pub max_wait_ms: Option<u64>,
        /// One balance for all Envoys of a ledger: each spends from slices of a `quota`, or has a share of a `rate`, that the
        /// ledger grants it. Needs a `ledger`.
        #[serde(default)]
        pub global: Option<GlobalConfig>,
        /// Seconds from a first violation in which requests that would be refused pass, and are counted. There is a
        /// next first violation in the next window, or once a bucket has been full again.
        #[serde(default)]
        pub grace_s: u32,
        /// What becomes of a stream that outgrows what the limit has reserved for it; as `reservation.mid_stream` says if
        /// absent. For limits on output, tokens, cost and credits.
        #[serde(default)]
        pub mid_stream: Option<MidStream>,
    }
}

config! {
    /// How a quota or a rate of all Envoys is used by one of them.
    pub struct GlobalConfig {
        /// Longest time a request waits for a slice or a share, in milliseconds, 1 to 10,000; 300 if absent. After so long without an
        /// answer the ledger is away.
        #[serde(default = "default_wait_ms")]
        pub wait_ms: u32,
        /// Units that pass while the ledger is away and the slice is spent, per Envoy and window, or the share has run out, per
        /// Envoy and the rate's period; dollars for `cost`. None if absent: such requests are refused.
        #[serde(default)]
        pub allowance: Option<Amount>,
        /// Of a quota: the allowance is set aside from it while the ledger is there, so that nothing is overspent. Otherwise it
        /// comes on top: all Envoys together may overspend by as many allowances, which the ledger books.
        #[serde(default)]
        pub funded: bool,
    }
}

const fn default_wait_ms() -> u32 {
    300
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
        /// A model server's memory. For `memory_mb`.
        Ram,
        /// A model server's disk. For `memory_mb`.
        Ssd,
    }
}

impl Meter {
    /// The meter's unit in answers.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::InputTokens => "input-tokens",
            Self::OutputTokens => "output-tokens",
            Self::Cost => "nano-usd",
            Self::Credits => "micro-credits",
            Self::Ram => "megabytes-ram",
            Self::Ssd => "megabytes-ssd",
        }
    }

    /// True when the meter needs the request's body and the response's usage.
    pub const fn reads_body(self) -> bool {
        !matches!(self, Self::Requests | Self::Ram | Self::Ssd)
    }

    /// True when an answer uses more of it the longer it is.
    pub const fn grows(self) -> bool {
        matches!(self, Self::Tokens | Self::OutputTokens | Self::Cost | Self::Credits)
    }

    /// Decimals of the unit behind the one people write: dollars are counted in billionths.
    pub const fn decimals(self) -> u32 {
        match self {
            Self::Cost => 9,
            Self::Credits => 6,
            _ => 0,
        }
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
        /// Units beyond the rate, once.
        #[serde(default)]
        pub allowance: Option<AllowanceConfig>,
    }
}

config! {
    /// A burst allowance: units that may be used where the rate has none left, once, until an operator resets it.
    pub struct AllowanceConfig {
        /// Units; dollars for `cost`.
        pub amount: Amount,
        /// Another number than before makes every allowance whole again.
        #[serde(default)]
        pub generation: u32,
    }
}

config! {
    /// A sliding window.
    pub struct WindowConfig {
        /// Units in any window; dollars for `cost`.
        pub amount: Amount,
        /// Its length.
        pub per: WindowPeriod,
    }
}

config! {
    /// The length of a sliding window.
    #[derive(Copy, PartialEq, Eq)]
    pub enum WindowPeriod {
        /// 1 s.
        Second,
        /// 60 s.
        Minute,
        /// 3,600 s.
        Hour,
        /// 86,400 s.
        Day,
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
    pub enum QuotaPeriod {
        /// An hour, from the minute of `reset_at`.
        Hour,
        /// A calendar day.
        Day,
        /// A week from Monday.
        Week,
        /// A calendar month.
        Month,
        /// So many days, counted from a date.
        Every(EveryConfig),
    }
}

config! {
    /// A window of so many days.
    pub struct EveryConfig {
        /// How many, 1 to 3,660.
        pub days: u16,
        /// The first day of one of the windows, `YYYY-MM-DD`.
        pub from: String,
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
