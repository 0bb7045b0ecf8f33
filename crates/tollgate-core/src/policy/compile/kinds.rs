//! What kind of limit is meant, in whole units.

use jiff::civil::{Date, Time};

use crate::limit::{Allowance, Calendar, Period, Rate, Span};
use crate::time::NANOS_PER_SECOND;

use super::super::config::Amount;
use super::super::config::{self, Meter, QuotaConfig, QuotaPeriod, RateConfig, RatePeriod, WindowPeriod};
use super::super::limit::{Kind, Tight};
use super::{Outcome, refuse};

/// Most days of an every-N-days window: ten years.
const DAYS_MAX: u16 = 3660;

/// The calendars of a policy's quotas, each once.
#[derive(Default)]
pub(super) struct Calendars {
    pub all: Vec<Calendar>,
    known: Vec<(Period, String, Time)>,
}

/// The kind of a limit and what it counts.
pub(super) fn kind(raw: &config::Limit, path: &str, calendars: &mut Calendars) -> Outcome<(Kind, Meter)> {
    let forms = [
        raw.rate.is_some(),
        raw.window.is_some(),
        raw.quota.is_some(),
        raw.concurrency.is_some(),
        raw.per_request.is_some(),
        raw.memory_mb.is_some(),
    ];
    if forms.iter().filter(|present| **present).count() != 1 {
        return refuse(
            path,
            "exactly one of `rate`, `window`, `quota`, `concurrency`, `per_request` and `memory_mb` is needed",
        );
    }
    if let Some(most) = raw.concurrency {
        return Ok((concurrency(raw, most, path)?, Meter::Requests));
    }
    let Some(meter) = raw.meter else {
        return refuse(format!("{path}.meter"), "what the limit counts is missing");
    };
    let memory = matches!(meter, Meter::Ram | Meter::Ssd);
    let kind = match (raw.memory_mb, memory) {
        (Some(0), _) => return refuse(format!("{path}.memory_mb"), "0 would refuse everything"),
        (Some(most), true) => Kind::Memory(most),
        (Some(_), false) => return refuse(format!("{path}.meter"), "`memory_mb` is of `ram` or `ssd`"),
        (None, true) => return refuse(format!("{path}.meter"), "`ram` and `ssd` are for `memory_mb`"),
        (None, false) => counted(raw, meter, path, calendars)?,
    };
    Ok((kind, meter))
}

fn concurrency(raw: &config::Limit, most: u64, path: &str) -> Outcome<Kind> {
    if raw.meter.is_some() {
        return refuse(
            format!("{path}.meter"),
            "a concurrency limit counts requests in flight and has no meter",
        );
    }
    if most == 0 {
        return refuse(format!("{path}.concurrency"), "0 would refuse everything");
    }
    Ok(Kind::Concurrency(most))
}

fn counted(raw: &config::Limit, meter: Meter, path: &str, calendars: &mut Calendars) -> Outcome<Kind> {
    if let Some(rate) = &raw.rate {
        return Ok(Kind::Rate(bucket(rate, meter, &format!("{path}.rate"))?));
    }
    if let Some(window) = &raw.window {
        let path = format!("{path}.window.amount");
        let seconds = match window.per {
            WindowPeriod::Second => 1,
            WindowPeriod::Minute => 60,
            WindowPeriod::Hour => 3600,
            WindowPeriod::Day => 86_400,
        };
        return match Span::new(units(window.amount, meter, &path)?, seconds) {
            Some(span) => Ok(Kind::Window(span)),
            None => refuse(path, "0 would refuse everything"),
        };
    }
    if let Some(quota) = &raw.quota {
        let limit = units(quota.amount, meter, &format!("{path}.quota.amount"))?;
        return Ok(Kind::Quota { limit, calendar: calendars.of(quota, &format!("{path}.quota"))? });
    }
    let path = format!("{path}.per_request");
    if meter == Meter::Requests {
        return refuse(path, "one request is always one request");
    }
    Ok(Kind::PerRequest(units(raw.per_request.unwrap_or_default(), meter, &path)?))
}

/// A rate's burst allowance.
pub(super) fn allowance(raw: &config::Limit, meter: Meter, path: &str) -> Outcome<Option<Allowance>> {
    let Some(raw) = raw.rate.as_ref().and_then(|rate| rate.allowance.as_ref()) else { return Ok(None) };
    let amount = units(raw.amount, meter, &format!("{path}.rate.allowance.amount"))?;
    Ok(Some(Allowance { amount, generation: raw.generation }))
}

pub(super) fn units(amount: Amount, meter: Meter, path: &str) -> Outcome<u64> {
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

/// So many percent of a rate or a window; None of what is neither. What can be divided no finer stays one unit.
pub(super) fn tight(kind: &Kind, percent: u32, path: &str) -> Outcome<Option<Tight>> {
    let rate = match kind {
        Kind::Rate(rate) => rate,
        Kind::Window(span) => return Ok(Some(Tight::Window(span.scaled(percent)))),
        _ => return Ok(None),
    };
    match rate.scaled(percent) {
        None => refuse(format!("{path}.rate.amount"), "too fine a rate to tighten: use fewer digits"),
        tight => Ok(tight.map(Tight::Rate)),
    }
}

impl Calendars {
    /// The index of a quota's calendar.
    fn of(&mut self, quota: &QuotaConfig, path: &str) -> Outcome<usize> {
        let Some(reset_at) = time(&quota.reset_at) else {
            return refuse(format!("{path}.reset_at"), format!("`{}` is not a time HH:MM", quota.reset_at));
        };
        let period = period(&quota.per, path)?;
        if period == Period::Hour && reset_at.hour() != 0 {
            return refuse(format!("{path}.reset_at"), "an hour begins at a minute: use `00:MM`");
        }
        let this = (period, quota.zone.clone(), reset_at);
        if let Some(index) = self.known.iter().position(|known| *known == this) {
            return Ok(index);
        }
        let Some(zone) = crate::zones::zone(&quota.zone) else {
            return refuse(format!("{path}.zone"), format!("`{}` is not a time zone", quota.zone));
        };
        self.known.push(this);
        self.all.push(Calendar::new(period, zone, reset_at));
        Ok(self.all.len() - 1)
    }
}

fn period(raw: &QuotaPeriod, path: &str) -> Outcome<Period> {
    Ok(match raw {
        QuotaPeriod::Hour => Period::Hour,
        QuotaPeriod::Day => Period::Day,
        QuotaPeriod::Week => Period::Week,
        QuotaPeriod::Month => Period::Month,
        QuotaPeriod::Every(every) => {
            if !(1..=DAYS_MAX).contains(&every.days) {
                return refuse(format!("{path}.per.every.days"), format!("not from 1 to {DAYS_MAX}"));
            }
            let Ok(from) = every.from.parse::<Date>() else {
                return refuse(
                    format!("{path}.per.every.from"),
                    format!("`{}` is not a date YYYY-MM-DD", every.from),
                );
            };
            Period::Days { count: every.days, from }
        }
    })
}

fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    if hour.len() != 2 || minute.len() != 2 {
        return None;
    }
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}
