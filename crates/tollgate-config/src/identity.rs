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
        /// Where the region is read.
        #[serde(default)]
        pub region: Vec<Source>,
        /// Where the interface is read: `web`, `api`, `telegram`.
        #[serde(default)]
        pub interface: Vec<Source>,
        /// Where roles are read. The first source that yields any wins; a header may name several, with commas.
        #[serde(default)]
        pub roles: Vec<Source>,
        /// The tier of a consumer without one. Required when there are tiers.
        #[serde(default)]
        pub default_tier: Option<String>,
        /// What becomes of a request nobody can be charged for.
        #[serde(default)]
        pub unidentified: Unidentified,
        /// API keys, as their SHA-256.
        #[serde(default)]
        pub keys: Vec<Key>,
        /// Proxies in front of this Envoy that append to `x-forwarded-for` and can be trusted to. The client's address
        /// is that many entries before Envoy's own; with 0 it is whoever connected. Envoy must append the address it
        /// sees itself: `use_remote_address: true`.
        #[serde(default)]
        pub trusted_hops: u8,
        /// Headers that are removed once they have been read, so that the upstream never sees a client's own.
        /// `x-tollgate-*` always are.
        #[serde(default)]
        pub strip_headers: Vec<String>,
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            consumer: Vec::new(),
            team: Vec::new(),
            project: Vec::new(),
            tier: Vec::new(),
            region: Vec::new(),
            interface: Vec::new(),
            roles: Vec::new(),
            default_tier: None,
            unidentified: Unidentified::Refuse,
            keys: Vec::new(),
            trusted_hops: 0,
            strip_headers: Vec::new(),
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
        /// A claim that Envoy's `jwt_authn` filter has verified. Numbers and booleans are read as their text, of a list
        /// the first element that fits.
        Jwt(JwtSource),
        /// A field of the client's certificate. The listener must require and verify it: see `validation_context`.
        Certificate(Certificate),
        /// The client's address; of IPv6 its /64. See `trusted_hops`.
        Address(Address),
    }
}

config! {
    /// A field of the client's certificate.
    #[derive(Copy, PartialEq, Eq)]
    pub enum Certificate {
        /// The first URI of the subject's alternative names, as a SPIFFE id.
        UriSan,
        /// The first DNS name of the subject's alternative names.
        DnsSan,
        /// The subject.
        Subject,
    }
}

config! {
    /// The client's address.
    pub struct Address {}
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
