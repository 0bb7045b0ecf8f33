//! Who is asking: consumer, team, project, tier, region, interface and roles, each from the first source that yields
//! a value.

use hashbrown::HashMap;
use sha2::{Digest, Sha256};

use super::config::{ApiKeySource, Certificate, Source, UnknownKey};
use super::{address, claim};

/// Longest name of a consumer, team, project, region, interface or role in bytes; a longer one is nobody's.
pub const NAME_BYTES_MAX: usize = 256;

/// Most roles of one caller; more are not looked at.
pub const ROLES_MAX: usize = 64;

const API_KEY_HEADERS: [&str; 3] = ["authorization", "x-api-key", "api-key"];

/// Where a request's values are looked up.
pub trait Lookup {
    /// A request header, by its lower-case name.
    fn header(&self, name: &str) -> Option<&str>;

    /// A claim of a JWT that Envoy verified, as Envoy encodes it.
    fn claim(&self, payload: &str, claim: &str) -> Option<Vec<u8>>;

    /// A field of the client's certificate.
    fn certificate(&self, field: Certificate) -> Option<String>;

    /// Address and port of whoever connected.
    fn peer(&self) -> Option<String>;
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
    /// The region; empty when unknown.
    pub region: String,
    /// The interface; empty when unknown.
    pub interface: String,
    /// The client's address; empty where nothing looks at it.
    pub address: String,
    /// Roles, at most [`ROLES_MAX`].
    pub roles: Vec<String>,
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
    pub(super) region: Vec<Source>,
    pub(super) interface: Vec<Source>,
    pub(super) roles: Vec<Source>,
    /// A limit looks at the address.
    pub(super) address: bool,
    pub(super) trusted_hops: u8,
    pub(super) strip_headers: Vec<String>,
    pub(super) keys: ApiKeys,
    /// Tiers there are.
    pub(super) tiers: Vec<String>,
    pub(super) default_tier: String,
    pub(super) anonymous: Option<Caller>,
}

impl Identity {
    /// Headers to be removed before the upstream sees the request, besides `x-tollgate-*`; in lower case.
    pub fn strip_headers(&self) -> &[String] {
        &self.strip_headers
    }

    /// Finds out who is asking.
    ///
    /// # Errors
    /// [`Unidentified`] when no source yields a consumer and none is configured for such requests.
    pub fn resolve(&self, request: &impl Lookup) -> Result<Caller, Unidentified> {
        let mut known = None;
        let consumer =
            self.consumer.iter().find_map(|source| self.consumer_from(source, request, &mut known));
        let attribute = |sources: &[Source], of_key: fn(&KnownKey) -> Option<&String>| {
            let read = sources.iter().find_map(|source| self.read(source, request, usable));
            read.or_else(|| known.and_then(of_key).cloned()).unwrap_or_default()
        };
        let mut caller = match consumer {
            Some(consumer) => Caller {
                consumer,
                team: attribute(&self.team, |key| key.team.as_ref()),
                project: attribute(&self.project, |key| key.project.as_ref()),
                tier: self.tier_from(request, known),
                ..Caller::default()
            },
            None => self.anonymous.clone().ok_or(Unidentified)?,
        };
        caller.region = attribute(&self.region, |_| None);
        caller.interface = attribute(&self.interface, |_| None);
        if self.address {
            caller.address = self.address_of(request).unwrap_or_default();
        }
        let mut roles = self.roles.iter().map(|source| self.roles_from(source, request));
        caller.roles = roles.find(|roles| !roles.is_empty()).unwrap_or_default();
        Ok(caller)
    }

    fn consumer_from<'a>(
        &'a self,
        source: &Source,
        request: &impl Lookup,
        known: &mut Option<&'a KnownKey>,
    ) -> Option<String> {
        let Source::ApiKey(api_key) = source else {
            return self.read(source, request, usable);
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

    /// The first tier that is configured, of the first source that yields anything; else the key's, else the default.
    fn tier_from(&self, request: &impl Lookup, known: Option<&KnownKey>) -> String {
        let exists = |tier: &str| self.tiers.iter().any(|known| known == tier);
        for source in &self.tier {
            let mut said = false;
            let tier = self.read(source, request, |value| {
                said |= usable(value);
                exists(value)
            });
            if said {
                return tier.unwrap_or_else(|| self.default_tier.clone());
            }
        }
        let of_key = known.and_then(|key| key.tier.clone());
        of_key.filter(|tier| exists(tier)).unwrap_or_else(|| self.default_tier.clone())
    }

    /// The source's first value that is wanted.
    fn read(
        &self,
        source: &Source,
        request: &impl Lookup,
        mut wanted: impl FnMut(&str) -> bool,
    ) -> Option<String> {
        match source {
            Source::Header(name) => {
                request.header(name).map(str::trim).filter(|value| wanted(value)).map(String::from)
            }
            Source::Jwt(jwt) => {
                let values = claim::values(&request.claim(&jwt.payload, &jwt.claim)?);
                values.into_iter().find(|value| wanted(value))
            }
            Source::Certificate(field) => request.certificate(*field).filter(|value| wanted(value)),
            Source::Address(_) => self.address_of(request).filter(|value| wanted(value)),
            Source::ApiKey(_) => None,
        }
    }

    fn roles_from(&self, source: &Source, request: &impl Lookup) -> Vec<String> {
        let mut roles = match source {
            Source::Header(name) => {
                let all = request.header(name).unwrap_or_default();
                all.split(',').map(|role| role.trim().to_owned()).take(ROLES_MAX).collect()
            }
            Source::Jwt(jwt) => claim::values(&request.claim(&jwt.payload, &jwt.claim).unwrap_or_default()),
            other => Vec::from_iter(self.read(other, request, usable)),
        };
        roles.retain(|role| usable(role));
        roles.truncate(ROLES_MAX);
        roles
    }

    fn address_of(&self, request: &impl Lookup) -> Option<String> {
        address::client(&request.peer()?, request.header("x-forwarded-for"), self.trusted_hops)
    }
}

fn usable(value: &str) -> bool {
    !value.is_empty() && value.len() <= NAME_BYTES_MAX
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
mod tests;
