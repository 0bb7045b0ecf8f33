//! Who is asking, and where that is read.

use serde::Deserialize;

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
