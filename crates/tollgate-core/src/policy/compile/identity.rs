//! Who is asking: sources in Envoy's spelling, keys by their digest, tiers that exist.

use super::super::config::{Config, Source, Unidentified};
use super::super::identity::{ApiKeys, Caller, Identity, KnownKey};
use super::{Outcome, refuse};

/// `address` says that a limit looks at the client's address.
pub(super) fn identity(config: &Config, address: bool) -> Outcome<Identity> {
    let raw = &config.identity;
    let tier_exists = |path: String, tier: &str| match config.tiers.contains_key(tier) {
        true => Ok(()),
        false => refuse(path, format!("there is no tier `{tier}`")),
    };
    match &raw.default_tier {
        Some(tier) => tier_exists("identity.default_tier".into(), tier)?,
        None if config.tiers.is_empty() => {}
        None => return refuse("identity.default_tier", "missing: it is the tier of a consumer without one"),
    }
    let attributes = [
        ("team", &raw.team),
        ("project", &raw.project),
        ("tier", &raw.tier),
        ("region", &raw.region),
        ("interface", &raw.interface),
        ("roles", &raw.roles),
    ];
    for (what, sources) in attributes {
        if let Some(index) = sources.iter().position(|source| matches!(source, Source::ApiKey(_))) {
            return refuse(
                format!("identity.{what}[{index}]"),
                "an api_key is a consumer: `keys` gives it a tier and team",
            );
        }
    }
    let default_tier = raw.default_tier.clone().unwrap_or_default();
    let anonymous = match &raw.unidentified {
        Unidentified::Refuse => None,
        Unidentified::As(anonymous) => {
            let tier = anonymous.tier.clone().unwrap_or_else(|| default_tier.clone());
            if anonymous.tier.is_some() {
                tier_exists("identity.unidentified.tier".into(), &tier)?;
            }
            if anonymous.consumer.is_empty() {
                return refuse("identity.unidentified.consumer", "empty");
            }
            Some(Caller { consumer: anonymous.consumer.clone(), tier, ..Caller::default() })
        }
    };
    let mut keys = ApiKeys::new();
    for (index, key) in raw.keys.iter().enumerate() {
        let path = |field: &str| format!("identity.keys[{index}].{field}");
        let Some(digest) = digest(&key.sha256) else {
            return refuse(path("sha256"), "not 64 hexadecimal digits");
        };
        if let Some(tier) = &key.tier {
            tier_exists(path("tier"), tier)?;
        }
        if key.consumer.is_empty() {
            return refuse(path("consumer"), "empty");
        }
        let known = KnownKey {
            consumer: key.consumer.clone(),
            tier: key.tier.clone(),
            team: key.team.clone(),
            project: key.project.clone(),
        };
        if keys.insert(digest, known).is_some() {
            return refuse(path("sha256"), "this key is listed twice");
        }
    }
    Ok(Identity {
        consumer: lower(&raw.consumer),
        team: lower(&raw.team),
        project: lower(&raw.project),
        tier: lower(&raw.tier),
        region: lower(&raw.region),
        interface: lower(&raw.interface),
        roles: lower(&raw.roles),
        address,
        trusted_hops: raw.trusted_hops,
        strip_headers: headers(&raw.strip_headers)?,
        keys,
        tiers: config.tiers.keys().cloned().collect(),
        default_tier,
        anonymous,
    })
}

/// Headers to be removed. Without a pseudo-header, `host` or a length no request would arrive.
fn headers(raw: &[String]) -> Outcome<Vec<String>> {
    let mut names = Vec::with_capacity(raw.len());
    for (index, name) in raw.iter().enumerate() {
        let name = name.to_ascii_lowercase();
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let needed = ["host", "content-length", "transfer-encoding"];
        if name.is_empty() || !name.bytes().all(token) || needed.contains(&name.as_str()) {
            return refuse(
                format!("identity.strip_headers[{index}]"),
                format!("`{name}` is not a header that can be removed"),
            );
        }
        names.push(name);
    }
    Ok(names)
}

/// Envoy's header names are lower case.
fn lower(sources: &[Source]) -> Vec<Source> {
    let mut sources = sources.to_vec();
    for source in &mut sources {
        match source {
            Source::Header(name) => name.make_ascii_lowercase(),
            Source::ApiKey(key) => key.headers.iter_mut().for_each(|name| name.make_ascii_lowercase()),
            Source::Jwt(_) | Source::Certificate(_) | Source::Address(_) => {}
        }
    }
    sources
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0u8; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(digest)
}
