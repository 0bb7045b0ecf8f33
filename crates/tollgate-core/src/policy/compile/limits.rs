//! Limits: names that don't collide, units that are whole, calendars that are shared.

use jiff::civil::Time;
use jiff::tz::TimeZone;

use crate::hash::fixed32;
use crate::limit::{Calendar, Period, Rate};
use crate::time::NANOS_PER_SECOND;

use super::super::amount::Amount;
use super::super::config::{self, Dimension, QuotaConfig, QuotaPeriod, RateConfig, RatePeriod, Violation};
use super::super::limit::{Kind, Limit, Meter};
use super::super::{LimitId, Pattern};
use super::{Outcome, name, refuse};

/// Most limits of one policy: an index fits 16 bits with room to spare, and a request looks at all for everybody.
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
    pub calendars: Vec<Calendar>,
    known_calendars: Vec<(QuotaPeriod, String, Time)>,
    /// Names taken, by what makes two balances of one name collide.
    common: Vec<String>,
    tier: Vec<String>,
}

impl Limits {
    pub fn add_all(&mut self, raw: &[config::Limit], path: &str, scope: Scope<'_>) -> Outcome<Vec<LimitId>> {
        let mut ids = Vec::new();
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
            let limit = self.compile(raw, &path, &scope)?;
            if self.all.len() >= LIMITS_MAX {
                return refuse(path, format!("more than {LIMITS_MAX} limits"));
            }
            ids.push(LimitId(self.all.len() as u16));
            self.all.push(limit);
        }
        match scope {
            Scope::Tier => self.tier.extend(names.into_iter().map(String::from)),
            Scope::Everybody => self.common.extend(names.into_iter().map(String::from)),
            Scope::Route(_) => {}
        }
        Ok(ids)
    }

    fn compile(&mut self, raw: &config::Limit, path: &str, scope: &Scope<'_>) -> Outcome<Limit> {
        let (kind, meter) = self.kind(raw, path)?;
        let max_wait_ns = waits(raw, &kind, path)?;
        let mut key = raw.key.clone().unwrap_or_else(|| vec![Dimension::Consumer]);
        key.sort_unstable();
        if key.windows(2).any(|pair| pair.first() == pair.last()) {
            return refuse(format!("{path}.key"), "an attribute is named twice");
        }
        let mut when = Vec::new();
        for (dimension, values) in &raw.when {
            let path = format!("{path}.when.{}", dimension.name());
            let patterns: Option<Vec<Pattern>> = values.iter().map(|value| Pattern::parse(value)).collect();
            match patterns {
                Some(patterns) if !patterns.is_empty() => when.push((*dimension, patterns)),
                Some(_) => return refuse(path, "no value: the limit would never apply"),
                None => return refuse(path, "a star may only stand at the end"),
            }
        }
        let scope = if let Scope::Route(route) = scope { route } else { "" };
        let id = fixed32(&[scope, raw.name.as_str(), kind.label(), meter.unit()]);
        Ok(Limit {
            name: raw.name.clone(),
            meter,
            kind,
            violation: raw.action,
            max_wait_ns,
            grace_s: raw.grace_s,
            key,
            when,
            id,
        })
    }

    fn kind(&mut self, raw: &config::Limit, path: &str) -> Outcome<(Kind, Meter)> {
        let forms =
            [raw.rate.is_some(), raw.quota.is_some(), raw.concurrency.is_some(), raw.per_request.is_some()];
        if forms.iter().filter(|present| **present).count() != 1 {
            return refuse(path, "exactly one of `rate`, `quota`, `concurrency` and `per_request` is needed");
        }
        if let Some(most) = raw.concurrency {
            if raw.meter.is_some() {
                return refuse(
                    format!("{path}.meter"),
                    "a concurrency limit counts requests in flight and has no meter",
                );
            }
            if most == 0 {
                return refuse(format!("{path}.concurrency"), "0 would refuse everything");
            }
            return Ok((Kind::Concurrency(most), Meter::Requests));
        }
        let Some(meter) = raw.meter else {
            return refuse(format!("{path}.meter"), "what the limit counts is missing");
        };
        let kind = if let Some(rate) = &raw.rate {
            Kind::Rate(bucket(rate, meter, &format!("{path}.rate"))?)
        } else if let Some(quota) = &raw.quota {
            let limit = units(quota.amount, meter, &format!("{path}.quota.amount"))?;
            Kind::Quota { limit, calendar: self.calendar(quota, &format!("{path}.quota"))? }
        } else {
            if meter == Meter::Requests {
                return refuse(format!("{path}.per_request"), "one request is always one request");
            }
            Kind::PerRequest(units(
                raw.per_request.unwrap_or_default(),
                meter,
                &format!("{path}.per_request"),
            )?)
        };
        Ok((kind, meter))
    }

    fn calendar(&mut self, quota: &QuotaConfig, path: &str) -> Outcome<usize> {
        let Ok(zone) = TimeZone::get(&quota.zone) else {
            return refuse(format!("{path}.zone"), format!("`{}` is not a time zone", quota.zone));
        };
        let Some(reset_at) = time(&quota.reset_at) else {
            return refuse(format!("{path}.reset_at"), format!("`{}` is not a time HH:MM", quota.reset_at));
        };
        let this = (quota.per, quota.zone.clone(), reset_at);
        if let Some(index) = self.known_calendars.iter().position(|known| *known == this) {
            return Ok(index);
        }
        let period = match quota.per {
            QuotaPeriod::Day => Period::Day,
            QuotaPeriod::Month => Period::Month,
        };
        self.known_calendars.push(this);
        self.calendars.push(Calendar::new(period, zone, reset_at));
        Ok(self.calendars.len() - 1)
    }
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

fn units(amount: Amount, meter: Meter, path: &str) -> Outcome<u64> {
    match amount.scaled(meter.decimals()) {
        Some(0) => refuse(path, "0 would refuse everything"),
        Some(units) => Ok(units),
        None => refuse(path, format!("more than {} decimals", meter.decimals())),
    }
}

fn bucket(raw: &RateConfig, meter: Meter, path: &str) -> Outcome<Rate> {
    let amount = units(raw.amount, meter, &format!("{path}.amount"))?;
    let burst = match raw.burst {
        Some(burst) => units(burst, meter, &format!("{path}.burst"))?,
        None => amount,
    };
    let seconds: u64 = match raw.per {
        RatePeriod::Second => 1,
        RatePeriod::Minute => 60,
        RatePeriod::Hour => 3600,
    };
    match Rate::new(amount, seconds * NANOS_PER_SECOND, burst) {
        Some(rate) => Ok(rate),
        None => refuse(format!("{path}.amount"), "too fine a rate: use fewer digits"),
    }
}

fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    if hour.len() != 2 || minute.len() != 2 {
        return None;
    }
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}
