//! Who is asking: sources in Envoy's spelling, keys by their digest, tiers that exist.

use super::super::config::{Config, Source, Unidentified};
use super::super::identity::{ApiKeys, Caller, Identity, KnownKey};
use super::{Outcome, refuse};

pub(super) fn identity(config: &Config) -> Outcome<Identity> {
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
    for (what, sources) in [("team", &raw.team), ("project", &raw.project), ("tier", &raw.tier)] {
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
        keys,
        tiers: config.tiers.keys().cloned().collect(),
        default_tier,
        anonymous,
    })
}

/// Envoy's header names are lower case.
fn lower(sources: &[Source]) -> Vec<Source> {
    let mut sources = sources.to_vec();
    for source in &mut sources {
        match source {
            Source::Header(name) => name.make_ascii_lowercase(),
            Source::ApiKey(key) => key.headers.iter_mut().for_each(|name| name.make_ascii_lowercase()),
            Source::Jwt(_) => {}
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
