//! Limits: names that don't collide, keys, conditions, and what a violation does.

use crate::hash::fixed32;
use crate::limit::Calendar;

use super::super::LimitId;
use super::super::config::{self, Dimension, Violation};
use super::super::index::Index;
use super::super::limit::{Kind, Limit};
use super::condition::conditions;
use super::kinds::{self, Calendars};
use super::{Outcome, name, refuse};

/// Most limits of one policy: an index fits 16 bits with room to spare.
const LIMITS_MAX: usize = 4096;

/// A request that waits holds its connection and its body in Envoy's memory; clients give up after ten minutes.
const THROTTLE_MS_MAX: u64 = 600_000;

/// Below the shortest time-out of the official clients.
const THROTTLE_MS_DEFAULT: u64 = 10_000;

/// A longer grace is a larger limit.
const GRACE_S_MAX: u32 = 86_400;

/// Where a limit stands: names are unique within a scope, and a route's limits have balances of their own.
pub(super) enum Scope<'a> {
    Tier,
    Everybody,
    Route(&'a str),
}

#[derive(Default)]
pub(super) struct Limits {
    pub all: Vec<Limit>,
    /// Percent of a rate that is left while the models are strained.
    tight: Option<u32>,
    calendars: Calendars,
    /// Names taken, by what makes two balances of one name collide.
    common: Vec<String>,
    tier: Vec<String>,
}

impl Limits {
    /// No limits yet; those that come are tightened to so many percent while the models are strained.
    pub fn tightened_to(percent: Option<u32>) -> Self {
        Self { tight: percent.filter(|percent| *percent < 100), ..Self::default() }
    }

    /// All limits and the calendars of those that have one.
    pub fn finish(self) -> (Vec<Limit>, Vec<Calendar>) {
        (self.all, self.calendars.all)
    }

    pub fn add_all(&mut self, raw: &[config::Limit], path: &str, scope: &Scope<'_>) -> Outcome<Index> {
        let first = self.all.len();
        let mut names: Vec<&str> = Vec::new();
        for (index, raw) in raw.iter().enumerate() {
            let path = format!("{path}[{index}]");
            name(&format!("{path}.name"), &raw.name)?;
            let taken = match scope {
                Scope::Tier => &self.common,
                Scope::Everybody => &self.tier,
                Scope::Route(_) => &Vec::new(),
            };
            if names.contains(&raw.name.as_str()) || taken.contains(&raw.name) {
                return refuse(format!("{path}.name"), format!("another limit is called `{}`", raw.name));
            }
            names.push(&raw.name);
            let limit = self.compile(raw, &path, scope)?;
            if self.all.len() >= LIMITS_MAX {
                return refuse(path, format!("more than {LIMITS_MAX} limits"));
            }
            self.all.push(limit);
        }
        match scope {
            Scope::Tier => self.tier.extend(names.into_iter().map(String::from)),
            Scope::Everybody => self.common.extend(names.into_iter().map(String::from)),
            Scope::Route(_) => {}
        }
        let added = self.all.iter().enumerate().skip(first);
        Ok(Index::new(added.map(|(id, limit)| (LimitId(id as u16), limit))))
    }

    fn compile(&mut self, raw: &config::Limit, path: &str, scope: &Scope<'_>) -> Outcome<Limit> {
        let (kind, meter) = kinds::kind(raw, path, &mut self.calendars)?;
        let max_wait_ns = waits(raw, &kind, path)?;
        let scope = if let Scope::Route(route) = scope { route } else { "" };
        let id = fixed32(&[scope, raw.name.as_str(), kind.label(), meter.unit()]);
        Ok(Limit {
            name: raw.name.clone(),
            meter,
            violation: raw.action,
            allowance: kinds::allowance(raw, meter, path)?,
            max_wait_ns,
            grace_s: raw.grace_s,
            key: key(raw, &kind, path)?,
            when: conditions(&raw.when, path)?,
            id,
            tight: self.tight.map_or(Ok(None), |percent| kinds::tight(&kind, percent, path))?,
            kind,
        })
    }
}

fn key(raw: &config::Limit, kind: &Kind, path: &str) -> Outcome<Vec<Dimension>> {
    let memory = matches!(kind, Kind::Memory(_));
    let default = if memory { Dimension::Model } else { Dimension::Consumer };
    let mut key = raw.key.clone().unwrap_or_else(|| vec![default]);
    key.sort_unstable();
    if key.windows(2).any(|pair| pair.first() == pair.last()) {
        return refuse(format!("{path}.key"), "an attribute is named twice");
    }
    if memory && key.contains(&Dimension::Consumer) {
        return refuse(format!("{path}.key"), "a server's memory is nobody's own");
    }
    Ok(key)
}

/// How long a violation may make a request wait, in nanoseconds.
fn waits(raw: &config::Limit, kind: &Kind, path: &str) -> Outcome<u64> {
    let stateless = matches!(kind, Kind::PerRequest(_));
    if raw.grace_s > GRACE_S_MAX {
        return refuse(format!("{path}.grace_s"), format!("more than {GRACE_S_MAX}"));
    }
    if stateless && raw.grace_s > 0 {
        return refuse(format!("{path}.grace_s"), "one request is too large at any time");
    }
    match raw.action {
        Violation::Throttle if !matches!(kind, Kind::Rate(_)) => {
            return refuse(format!("{path}.action"), "only a `rate` can be throttled");
        }
        Violation::Queue if stateless => {
            return refuse(format!("{path}.action"), "a request that is too large waits in vain");
        }
        Violation::Throttle => {}
        _ if raw.max_wait_ms.is_some() => {
            return refuse(format!("{path}.max_wait_ms"), "only for `action: throttle`");
        }
        _ => return Ok(0),
    }
    match raw.max_wait_ms.unwrap_or(THROTTLE_MS_DEFAULT) {
        wait_ms @ 1..=THROTTLE_MS_MAX => Ok(wait_ms * 1_000_000),
        _ => refuse(format!("{path}.max_wait_ms"), format!("not from 1 to {THROTTLE_MS_MAX}")),
    }
}
