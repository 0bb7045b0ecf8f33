//! Who is asking: consumer, team, project and tier, from the first source that yields a value.

use hashbrown::HashMap;
use sha2::{Digest, Sha256};

use super::config::{ApiKeySource, Source, UnknownKey};

/// Longest consumer, team or project name in bytes; a longer one identifies nobody.
pub const NAME_BYTES_MAX: usize = 256;

const API_KEY_HEADERS: [&str; 3] = ["authorization", "x-api-key", "api-key"];

/// Where a request's values are looked up.
pub trait Lookup {
    /// A request header, by its lower-case name.
    fn header(&self, name: &str) -> Option<&str>;

    /// A claim of a JWT that Envoy verified.
    fn claim(&self, payload: &str, claim: &str) -> Option<String>;
}

/// Whose an API key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// Its consumer.
    pub consumer: String,
    /// The consumer's tier.
    pub tier: Option<String>,
    /// The consumer's team.
    pub team: Option<String>,
    /// The consumer's project.
    pub project: Option<String>,
}

/// Known API keys by their SHA-256.
pub type ApiKeys = HashMap<[u8; 32], KnownKey>;

/// Who a request is charged to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Who pays. Never empty.
    pub consumer: String,
    /// The team; empty when unknown.
    pub team: String,
    /// The project; empty when unknown.
    pub project: String,
    /// The tier; one of the configured, or empty when there are none.
    pub tier: String,
}

/// No source yielded a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unidentified;

/// The configured sources.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    pub(super) consumer: Vec<Source>,
    pub(super) team: Vec<Source>,
    pub(super) project: Vec<Source>,
    pub(super) tier: Vec<Source>,
    pub(super) keys: ApiKeys,
    /// Tiers there are.
    pub(super) tiers: Vec<String>,
    pub(super) default_tier: String,
    pub(super) anonymous: Option<Caller>,
}

impl Identity {
    /// Finds out who is asking.
    ///
    /// # Errors
    /// [`Unidentified`] when no source yields a consumer and none is configured for such requests.
    pub fn resolve(&self, request: &impl Lookup) -> Result<Caller, Unidentified> {
        let mut known = None;
        let consumer =
            self.consumer.iter().find_map(|source| self.consumer_from(source, request, &mut known));
        let Some(consumer) = consumer else {
            return self.anonymous.clone().ok_or(Unidentified);
        };
        let attribute = |sources: &[Source], of_key: Option<&String>| {
            let read = sources.iter().find_map(|source| read(source, request)).filter(|value| usable(value));
            read.or_else(|| of_key.cloned()).unwrap_or_default()
        };
        let team = attribute(&self.team, known.and_then(|key: &KnownKey| key.team.as_ref()));
        let project = attribute(&self.project, known.and_then(|key: &KnownKey| key.project.as_ref()));
        let tier = attribute(&self.tier, known.and_then(|key: &KnownKey| key.tier.as_ref()));
        let tier = if self.tiers.contains(&tier) { tier } else { self.default_tier.clone() };
        Ok(Caller { consumer, team, project, tier })
    }

    fn consumer_from<'a>(
        &'a self,
        source: &Source,
        request: &impl Lookup,
        known: &mut Option<&'a KnownKey>,
    ) -> Option<String> {
        let Source::ApiKey(api_key) = source else {
            return read(source, request).filter(|value| usable(value));
        };
        let digest: [u8; 32] = Sha256::digest(presented(api_key, request)?.as_bytes()).into();
        match self.keys.get(&digest) {
            Some(key) => {
                *known = Some(key);
                Some(key.consumer.clone())
            }
            None if api_key.unknown == UnknownKey::Accept => Some(name_of(&digest)),
            None => None,
        }
    }
}

fn usable(value: &str) -> bool {
    !value.is_empty() && value.len() <= NAME_BYTES_MAX
}

fn read(source: &Source, request: &impl Lookup) -> Option<String> {
    match source {
        Source::Header(name) => request.header(name).map(str::trim).map(String::from),
        Source::Jwt(jwt) => request.claim(&jwt.payload, &jwt.claim),
        Source::ApiKey(_) => None,
    }
}

/// The key a request presents, without its scheme.
fn presented<'r>(source: &ApiKeySource, request: &'r impl Lookup) -> Option<&'r str> {
    let bare = |value: &'r str| {
        let value = value.trim();
        match value.split_once(' ') {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => key.trim(),
            _ => value,
        }
    };
    let key = if source.headers.is_empty() {
        API_KEY_HEADERS.iter().find_map(|name| request.header(name))
    } else {
        source.headers.iter().find_map(|name| request.header(name))
    };
    key.map(bare).filter(|key| !key.is_empty())
}

/// The consumer of a key nobody listed: 64 bits of its hash, which tell nothing of the key.
fn name_of(digest: &[u8; 32]) -> String {
    use core::fmt::Write as _;
    digest.iter().take(8).fold(String::from("key-"), |mut name, byte| {
        let _ = write!(name, "{byte:02x}");
        name
    })
}

#[cfg(test)]
mod tests {
    use super::super::config::JwtSource;
    use super::*;

    struct Request(Vec<(&'static str, &'static str)>, Option<&'static str>);

    impl Lookup for Request {
        fn header(&self, name: &str) -> Option<&str> {
            self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
        }

        fn claim(&self, payload: &str, claim: &str) -> Option<String> {
            (payload == "p" && claim == "sub").then(|| self.1.map(String::from)).flatten()
        }
    }

    fn identity(unknown: UnknownKey) -> Identity {
        let digest: [u8; 32] = Sha256::digest(b"secret").into();
        let key = KnownKey {
            consumer: "alice".into(),
            tier: Some("pro".into()),
            team: Some("search".into()),
            project: None,
        };
        Identity {
            consumer: vec![
                Source::Jwt(JwtSource { payload: "p".into(), claim: "sub".into() }),
                Source::ApiKey(ApiKeySource { headers: vec![], unknown }),
                Source::Header("x-user".into()),
            ],
            tier: vec![Source::Header("x-tier".into())],
            keys: [(digest, key)].into_iter().collect(),
            tiers: vec!["free".into(), "pro".into()],
            default_tier: "free".into(),
            ..Identity::default()
        }
    }

    #[test]
    fn the_first_source_that_yields_a_value_wins() {
        let all = Request(vec![("authorization", "Bearer secret"), ("x-user", "bob")], Some("jane"));
        assert_eq!(identity(UnknownKey::Ignore).resolve(&all).unwrap().consumer, "jane");
        let key = Request(vec![("authorization", "bearer secret"), ("x-user", "bob")], None);
        let caller = identity(UnknownKey::Ignore).resolve(&key).unwrap();
        assert_eq!(
            (caller.consumer.as_str(), caller.tier.as_str(), caller.team.as_str()),
            ("alice", "pro", "search")
        );
        let header = Request(vec![("x-user", " bob "), ("x-tier", "gold")], None);
        let caller = identity(UnknownKey::Ignore).resolve(&header).unwrap();
        assert_eq!(
            (caller.consumer.as_str(), caller.tier.as_str()),
            ("bob", "free"),
            "an unknown tier is the default"
        );
    }

    #[test]
    fn an_unknown_key_is_nobody_unless_the_endpoint_checks_keys_itself() {
        let request = Request(vec![("x-api-key", "invented")], None);
        assert_eq!(identity(UnknownKey::Ignore).resolve(&request), Err(Unidentified));
        let consumer = identity(UnknownKey::Accept).resolve(&request).unwrap().consumer;
        assert!(consumer.starts_with("key-") && consumer.len() == 20 && !consumer.contains("invented"));
    }

    #[test]
    fn an_empty_or_endless_name_is_nobody() {
        let endless: &'static str = Box::leak("x".repeat(NAME_BYTES_MAX + 1).into_boxed_str());
        for value in ["", " ", endless] {
            assert_eq!(
                identity(UnknownKey::Ignore).resolve(&Request(vec![("x-user", value)], None)),
                Err(Unidentified)
            );
        }
    }

    #[test]
    fn the_unidentified_get_the_configured_identity() {
        let anonymous = Caller { consumer: "anonymous".into(), tier: "free".into(), ..Caller::default() };
        let identity = Identity { anonymous: Some(anonymous.clone()), ..identity(UnknownKey::Ignore) };
        assert_eq!(identity.resolve(&Request(vec![], None)), Ok(anonymous));
    }
}
