//! The configuration as it is written: plain data, unknown fields refused. [`super::Policy`] is what becomes of it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::amount::Amount;

macro_rules! config {
    ($item:item) => {
        #[derive(Clone, Debug, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "snake_case")]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        $item
    };
}

config! {
    /// The whole configuration.
    pub struct Config {
        /// Name of the policy. Filters with the same name in one Envoy share their balances.
        #[serde(default = "default_name")]
        pub name: String,
        /// Who is asking.
        #[serde(default)]
        pub identity: Identity,
        /// Named sets of limits, one of which applies to each consumer.
        #[serde(default)]
        pub tiers: BTreeMap<String, Tier>,
        /// Limits that apply whatever the tier.
        #[serde(default)]
        pub limits: Vec<Limit>,
        /// Limits of routes whose Envoy metadata names the policy: `filter_metadata: {tollgate: {policy: NAME}}`.
        #[serde(default)]
        pub policies: BTreeMap<String, RoutePolicy>,
        /// What actions cost in credits. A route names its action in the same metadata.
        #[serde(default)]
        pub actions: BTreeMap<String, Action>,
        /// What tokens cost.
        #[serde(default)]
        pub prices: Prices,
        /// What is reserved before the answer is known.
        #[serde(default)]
        pub reservation: Reservation,
        /// When to warn.
        #[serde(default)]
        pub warnings: Warnings,
        /// Which headers clients get.
        #[serde(default)]
        pub headers: Headers,
        /// What clients read.
        #[serde(default)]
        pub messages: Messages,
        /// The state in Envoy's shared data.
        #[serde(default)]
        pub state: StateConfig,
        /// Where tallies go. Without it the filter stands alone: limits work, per Envoy.
        #[serde(default)]
        pub ledger: Option<Ledger>,
    }
}

fn default_name() -> String {
    "default".into()
}

config! {
    /// Who is asking, and where that is read.
    pub struct Identity {
        /// Where the consumer is read; the first source that yields a value wins.
        #[serde(default)]
        pub consumer: Vec<Source>,
        /// Where the team is read.
        #[serde(default)]
        pub team: Vec<Source>,
        /// Where the project is read.
        #[serde(default)]
        pub project: Vec<Source>,
        /// Where the tier is read. A tier that is not configured counts as `default_tier`.
        #[serde(default)]
        pub tier: Vec<Source>,
        /// The tier of a consumer without one. Required when there are tiers.
        #[serde(default)]
        pub default_tier: Option<String>,
        /// What becomes of a request nobody can be charged for.
        #[serde(default)]
        pub unidentified: Unidentified,
        /// API keys, as their SHA-256.
        #[serde(default)]
        pub keys: Vec<Key>,
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            consumer: Vec::new(),
            team: Vec::new(),
            project: Vec::new(),
            tier: Vec::new(),
            default_tier: None,
            unidentified: Unidentified::Refuse,
            keys: Vec::new(),
        }
    }
}

config! {
    /// Where an attribute is read.
    pub enum Source {
        /// A request header. Trust it only where something in front of Tollgate sets it.
        Header(String),
        /// An API key in a header, looked up by its SHA-256 in `identity.keys`.
        ApiKey(ApiKeySource),
        /// A claim that Envoy's `jwt_authn` filter has verified.
        Jwt(JwtSource),
    }
}

config! {
    /// An API key in a header.
    #[derive(Default)]
    pub struct ApiKeySource {
        /// Headers to look in; `authorization` (with or without `Bearer`), `x-api-key` and `api-key` by default.
        #[serde(default)]
        pub headers: Vec<String>,
        /// What becomes of a key that `identity.keys` does not list.
        #[serde(default)]
        pub unknown: UnknownKey,
    }
}

config! {
    /// What becomes of an API key nobody listed.
    #[derive(Copy, Default, PartialEq, Eq)]
    pub enum UnknownKey {
        /// It identifies nobody.
        #[default]
        Ignore,
        /// Its holder is a consumer of its own, named by a part of the key's SHA-256. For endpoints that check keys
        /// themselves: else anybody gets fresh limits with every invented key.
        Accept,
    }
}

config! {
    /// A claim of a verified JWT.
    pub struct JwtSource {
        /// `payload_in_metadata` of the provider in Envoy's `jwt_authn` filter.
        pub payload: String,
        /// The claim's name.
        pub claim: String,
    }
}

config! {
    /// What becomes of a request that no source identifies.
    #[derive(Default, PartialEq, Eq)]
    pub enum Unidentified {
        /// 401.
        #[default]
        Refuse,
        /// It counts as this consumer.
        #[serde(untagged)]
        As(Anonymous),
    }
}

config! {
    /// Whom unidentified requests count as, all together.
    #[derive(PartialEq, Eq)]
    pub struct Anonymous {
        /// The consumer.
        pub consumer: String,
        /// Its tier; `default_tier` if absent.
        #[serde(default)]
        pub tier: Option<String>,
    }
}

config! {
    /// An API key and whose it is.
    pub struct Key {
        /// SHA-256 of the key, 64 hexadecimal digits.
        pub sha256: String,
        /// Its consumer.
        pub consumer: String,
        /// The consumer's tier, unless a source of `identity.tier` says otherwise.
        #[serde(default)]
        pub tier: Option<String>,
        /// The consumer's team, unless a source says otherwise.
        #[serde(default)]
        pub team: Option<String>,
        /// The consumer's project, unless a source says otherwise.
        #[serde(default)]
        pub project: Option<String>,
    }
}

config! {
    /// A named set of limits.
    pub struct Tier {
        /// Larger is more important.
        #[serde(default)]
        pub priority: u8,
        /// Told to a consumer of this tier who is refused.
        #[serde(default)]
        pub upgrade_hint: Option<String>,
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
        /// The request passes, is counted, and is told so.
        Warn,
    }
}

config! {
    /// What an action costs.
    pub struct Action {
        /// Credits per unit.
        pub credits: Amount,
        /// The unit: `request`, `token`, `1000 tokens`.
        pub per: String,
    }
}

config! {
    /// What tokens cost. The built-in table has more than 100 models.
    #[derive(Default)]
    pub struct Prices {
        /// What a model without a price costs.
        #[serde(default)]
        pub unknown: UnknownModel,
        /// Prices of your own, before the built-in ones.
        #[serde(default)]
        pub overrides: BTreeMap<String, PriceConfig>,
    }
}

config! {
    /// What becomes of a model without a price.
    #[derive(Copy, Default, PartialEq, Eq)]
    pub enum UnknownModel {
        /// The dearest price of the table is charged, and the tally says so.
        #[default]
        Ceiling,
        /// The request is refused.
        Refuse,
        /// It is free.
        Allow,
    }
}

config! {
    /// Prices in US dollars per million tokens.
    pub struct PriceConfig {
        /// Input that no cache is involved in.
        pub input: Amount,
        /// Output, reasoning included.
        pub output: Amount,
        /// Input read from a cache; the price of input if absent.
        #[serde(default)]
        pub cached_input: Option<Amount>,
        /// Input written to a cache; the price of input if absent.
        #[serde(default)]
        pub cache_write: Option<Amount>,
        /// The longest answer the model gives, in tokens.
        #[serde(default)]
        pub max_output_tokens: Option<u64>,
    }
}

config! {
    /// What is reserved before the answer is known.
    pub struct Reservation {
        /// First guess of an answer's length in tokens; learned per model afterwards. Rates reserve it.
        #[serde(default = "default_expected")]
        pub expected_output_tokens: u64,
        /// Output tokens held against quotas when the client sends no output cap.
        #[serde(default = "default_uncapped")]
        pub uncapped_output_tokens: u64,
    }
}

fn default_expected() -> u64 {
    256
}

fn default_uncapped() -> u64 {
    4096
}

impl Default for Reservation {
    fn default() -> Self {
        Self { expected_output_tokens: default_expected(), uncapped_output_tokens: default_uncapped() }
    }
}

config! {
    /// When to warn.
    pub struct Warnings {
        /// Percent of a quota's settled use, each told once per window. At most 8.
        #[serde(default = "default_thresholds")]
        pub thresholds: Vec<u8>,
    }
}

fn default_thresholds() -> Vec<u8> {
    vec![80, 90, 95]
}

impl Default for Warnings {
    fn default() -> Self {
        Self { thresholds: default_thresholds() }
    }
}

config! {
    /// Which headers clients get.
    pub struct Headers {
        /// `RateLimit` and `RateLimit-Policy` (IETF draft 10).
        #[serde(default = "yes")]
        pub ratelimit: bool,
        /// `x-ratelimit-*` for OpenAI's API, `anthropic-ratelimit-*` for Anthropic's.
        #[serde(default = "yes")]
        pub dialect: bool,
    }
}

fn yes() -> bool {
    true
}

impl Default for Headers {
    fn default() -> Self {
        Self { ratelimit: true, dialect: true }
    }
}

config! {
    /// What clients read.
    pub struct Messages {
        /// A quota is used up.
        #[serde(default = "default_quota_exceeded")]
        pub quota_exceeded: String,
        /// A warning threshold was passed.
        #[serde(default = "default_approaching")]
        pub approaching: String,
    }
}

fn default_quota_exceeded() -> String {
    "Quota exceeded. Upgrade your plan or wait for the reset.".into()
}

fn default_approaching() -> String {
    "Approaching the limit.".into()
}

impl Default for Messages {
    fn default() -> Self {
        Self { quota_exceeded: default_quota_exceeded(), approaching: default_approaching() }
    }
}

config! {
    /// The state in Envoy's shared data.
    pub struct StateConfig {
        /// Consumers active at once that balances are kept for without evicting any.
        #[serde(default = "default_keys")]
        pub expected_keys: u32,
        /// What becomes of a request that lost too many races for its balance.
        #[serde(default)]
        pub contention: Contention,
    }
}

fn default_keys() -> u32 {
    32_768
}

impl Default for StateConfig {
    fn default() -> Self {
        Self { expected_keys: default_keys(), contention: Contention::Refuse }
    }
}

config! {
    /// What becomes of a request that could not be decided.
    #[derive(Copy, Default, PartialEq, Eq)]
    pub enum Contention {
        /// 503: nobody gets more than its limit.
        #[default]
        Refuse,
        /// It passes uncounted.
        Admit,
    }
}

config! {
    /// Where tallies go.
    pub struct Ledger {
        /// Envoy's cluster of ledger nodes.
        pub cluster: String,
        /// This Envoy's name over restarts: balances are restored by it. Without one they are not.
        #[serde(default)]
        pub node: String,
        /// Environment variable with the bearer token; list it in the VM's `host_env_keys`.
        #[serde(default)]
        pub token_env: Option<String>,
        /// Longest time a tally waits for others, in milliseconds.
        #[serde(default = "default_flush")]
        pub flush_interval_ms: u64,
    }
}

fn default_flush() -> u64 {
    1000
}
