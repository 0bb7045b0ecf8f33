//! Who may do what: consumers that are treated apart, and what tiers include.

use super::super::access::{Access, Entitlements, Standing};
use super::super::config;
use super::super::{Pattern, config::Config};
use super::{Outcome, refuse};

/// The longest reason of a suspension, in bytes: it is told with every refusal.
const REASON_BYTES_MAX: usize = 500;

pub(super) fn access(config: &Config) -> Outcome<Access> {
    let raw = &config.access;
    let mut access = Access { exempt_roles: raw.exempt.roles.clone(), ..Access::default() };
    if let Some(index) = raw.exempt.roles.iter().position(String::is_empty) {
        return refuse(format!("access.exempt.roles[{index}]"), "empty");
    }
    if !raw.exempt.roles.is_empty() && config.identity.roles.is_empty() {
        return refuse("access.exempt.roles", "no role would ever be known: `identity.roles` is missing");
    }
    for (consumer, reason) in &raw.suspended {
        if reason.len() > REASON_BYTES_MAX {
            return refuse(
                format!("access.suspended.{consumer}"),
                format!("more than {REASON_BYTES_MAX} bytes"),
            );
        }
        access.consumers.insert(consumer.clone(), Standing::Suspended(reason.clone()));
    }
    for (index, consumer) in raw.exempt.consumers.iter().enumerate() {
        if consumer.is_empty() {
            return refuse(format!("access.exempt.consumers[{index}]"), "empty");
        }
        if access.consumers.insert(consumer.clone(), Standing::Exempt).is_some() {
            return refuse(
                format!("access.exempt.consumers[{index}]"),
                format!("`{consumer}` is suspended or listed twice"),
            );
        }
    }
    Ok(access)
}

pub(super) fn entitlements(raw: &config::Tier, path: &str) -> Outcome<Entitlements> {
    Ok(Entitlements {
        models: patterns(raw.models.as_deref(), &format!("{path}.models"))?,
        tools: patterns(raw.tools.as_deref(), &format!("{path}.tools"))?,
    })
}

/// An absent list is everything; an empty one would be nothing at all, and is taken for a mistake.
fn patterns(raw: Option<&[String]>, path: &str) -> Outcome<Vec<Pattern>> {
    let Some(raw) = raw else { return Ok(Vec::new()) };
    if raw.is_empty() {
        return refuse(path, "an empty list would refuse everything: leave it out for everything");
    }
    let compile = |(index, text): (usize, &String)| match Pattern::parse(text) {
        Some(pattern) => Ok(pattern),
        None => refuse(format!("{path}[{index}]"), "a star may only stand at the end"),
    };
    raw.iter().enumerate().map(compile).collect()
}
