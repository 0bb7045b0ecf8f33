//! Limits: names that don't collide, keys, conditions, and what a violation does.

use crate::hash::fixed32;
use crate::limit::Calendar;

use super::super::LimitId;
use super::super::config::{self, Dimension, MidStream, Violation};
use super::super::index::Index;
use super::super::limit::{Kind, Limit, Meter};
use super::condition::conditions;
use super::kinds::{self, Calendars};
use super::{Outcome, global, name, refuse};

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
    /// What becomes of streams where a limit says nothing of it.
    mid_stream: MidStream,
    /// There is a ledger to lease from.
    has_ledger: bool,
    calendars: Calendars,
    /// Names taken, by what makes two balances of one name collide.
    common: Vec<String>,
    tier: Vec<String>,
}

impl Limits {
    /// No limits yet; those that come are tightened to so many percent while the models are strained, and treat streams
    /// like this where they say nothing of it. Only with a ledger can there be global ones.
    pub fn new(tight: Option<u32>, mid_stream: MidStream, has_ledger: bool) -> Self {
        Self { tight: tight.filter(|percent| *percent < 100), mid_stream, has_ledger, ..Self::default() }
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
            global: global::terms(raw, (&kind, meter), self.has_ledger, path)?,
            policy: scope.to_owned(),
            max_wait_ns,
            grace_s: raw.grace_s,
            mid_stream: mid_stream(raw, (&kind, meter), self.mid_stream, path)?,
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

/// What becomes of a stream that outgrows the limit: nothing where none does, and none is ended that is only warned.
fn mid_stream(
    raw: &config::Limit,
    (kind, meter): (&Kind, Meter),
    otherwise: MidStream,
    path: &str,
) -> Outcome<MidStream> {
    let grows = meter.grows() && matches!(kind, Kind::Rate(_) | Kind::Window(_) | Kind::Quota { .. });
    let lenient = matches!(raw.action, Violation::Warn | Violation::Shadow);
    match raw.mid_stream {
        Some(_) if !grows => refuse(format!("{path}.mid_stream"), "no stream outgrows this limit"),
        Some(MidStream::End) if lenient => {
            refuse(format!("{path}.mid_stream"), "a limit that refuses nothing ends nothing")
        }
        _ if !grows => Ok(MidStream::Off),
        None if otherwise == MidStream::End && lenient => Ok(MidStream::Finish),
        chosen => Ok(chosen.unwrap_or(otherwise)),
    }
}
