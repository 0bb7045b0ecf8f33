//! From a configuration as written to a policy that can't be wrong.

use hashbrown::HashMap;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use tollgate_wire::NanoUsd;

use crate::hash::fixed32;
use crate::limit::{Calendar, Period, Rate};
use crate::price::{Price, PriceTable};

use super::amount::Amount;
use super::config::{
    self, Config, Dimension, QuotaConfig, QuotaPeriod, RateConfig, RatePeriod, Source, Unidentified,
};
use super::identity::{ApiKeys, Caller, Identity, KnownKey};
use super::limit::{Kind, Limit, Meter};
use super::{ActionPrice, ConfigError, LedgerLink, LimitId, Pattern, Policy, Reads, Tier};

/// Most limits of one policy: an index fits 16 bits with room to spare, and a request looks at all for everybody.
const LIMITS_MAX: usize = 4096;

/// Bytes a slot is meant to hold, and bytes a consumer takes: see [`crate::limit::SLOT_BYTES_MAX`].
const SLOT_BYTES_MEANT: u32 = 1024;
const CONSUMER_BYTES: u32 = 128;

/// 2^20 slots hold eight million consumers; their keys alone take 200 MB of Envoy's memory.
const SLOTS_MAX: u32 = 1 << 20;
const SLOTS_MIN: u32 = 16;

type Outcome<T> = Result<T, ConfigError>;

fn refuse<T>(path: impl Into<String>, problem: impl Into<String>) -> Outcome<T> {
    Err(ConfigError::new(path, problem))
}

pub(super) fn policy(config: Config) -> Outcome<Policy> {
    name("name", &config.name)?;
    let mut limits = Limits::default();
    let mut tiers = HashMap::new();
    for (tier, raw) in &config.tiers {
        name(&format!("tiers.{tier}"), tier)?;
        let limits = limits.add_all(&raw.limits, &format!("tiers.{tier}.limits"), Scope::Tier)?;
        let (priority, upgrade_hint) = (raw.priority, raw.upgrade_hint.clone());
        tiers.insert(tier.clone(), Tier { name: tier.clone(), priority, upgrade_hint, limits });
    }
    let common = limits.add_all(&config.limits, "limits", Scope::Everybody)?;
    let mut routes = HashMap::new();
    for (route, raw) in &config.policies {
        name(&format!("policies.{route}"), route)?;
        let all = limits.add_all(&raw.limits, &format!("policies.{route}.limits"), Scope::Route(route))?;
        routes.insert(route.clone(), all);
    }
    let actions = actions(&config)?;
    let reads = reads(&config, &limits.all);
    Ok(Policy {
        identity: identity(&config)?,
        prices: prices(&config.prices)?,
        unknown_model: config.prices.unknown,
        thresholds: thresholds(&config.warnings)?,
        slots: slots(&config.state)?,
        contention: config.state.contention,
        ledger: config.ledger.map(ledger).transpose()?,
        reservation: reservation(config.reservation)?,
        name: config.name,
        headers: config.headers,
        messages: config.messages,
        limits: limits.all,
        common,
        tiers,
        routes,
        actions,
        calendars: limits.calendars,
        reads,
    })
}

fn name(path: &str, value: &str) -> Outcome<()> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if value.is_empty() || value.len() > 64 || !value.bytes().all(fine) {
        return refuse(path, format!("`{value}` is not a name: 1 to 64 of a-z, A-Z, 0-9, - and _"));
    }
    Ok(())
}

/// Where a limit stands: names are unique within a scope, and a route's limits have balances of their own.
enum Scope<'a> {
    Tier,
    Everybody,
    Route(&'a str),
}

#[derive(Default)]
struct Limits {
    all: Vec<Limit>,
    calendars: Vec<Calendar>,
    known_calendars: Vec<(QuotaPeriod, String, Time)>,
    /// Names taken, by what makes two balances of one name collide.
    common: Vec<String>,
    tier: Vec<String>,
}

impl Limits {
    fn add_all(&mut self, raw: &[config::Limit], path: &str, scope: Scope<'_>) -> Outcome<Vec<LimitId>> {
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
        Ok(Limit { name: raw.name.clone(), meter, kind, violation: raw.action, key, when, id })
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
    match Rate::new(amount, seconds * crate::time::NANOS_PER_SECOND, burst) {
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

fn identity(config: &Config) -> Outcome<Identity> {
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

fn actions(config: &Config) -> Outcome<HashMap<String, ActionPrice>> {
    let mut actions = HashMap::new();
    for (action, raw) in &config.actions {
        name(&format!("actions.{action}"), action)?;
        let Some(credits_millionths) = raw.credits.scaled(6) else {
            return refuse(format!("actions.{action}.credits"), "more than 6 decimals");
        };
        let (per, unit) = match raw.per.split_once(' ') {
            Some((count, unit)) => (count.parse().unwrap_or(0), unit),
            None => (1, raw.per.as_str()),
        };
        let tokens = match unit {
            "token" | "tokens" => true,
            "request" | "requests" => false,
            _ => return refuse(format!("actions.{action}.per"), "not `request`, `token` or `N tokens`"),
        };
        if per == 0 {
            return refuse(format!("actions.{action}.per"), "not `request`, `token` or `N tokens`");
        }
        actions.insert(action.clone(), ActionPrice { credits_millionths, per, tokens });
    }
    Ok(actions)
}

fn prices(raw: &config::Prices) -> Outcome<PriceTable> {
    let mut table = PriceTable::builtin();
    for (model, price) in &raw.overrides {
        // Dollars per million tokens in billionths are nano-dollars per million tokens.
        let read = |amount: Amount| NanoUsd(amount.scaled(9).unwrap_or_default());
        if model.is_empty() {
            return refuse("prices.overrides", "a model without a name");
        }
        table.insert(
            model,
            Price {
                input: read(price.input),
                output: read(price.output),
                cached_input: price.cached_input.map(read),
                cache_write: price.cache_write.map(read),
                long_context: None,
                max_output_tokens: price.max_output_tokens,
            },
        );
    }
    Ok(table)
}

fn thresholds(raw: &config::Warnings) -> Outcome<Vec<u8>> {
    let mut all = raw.thresholds.clone();
    if all.len() > 8 {
        return refuse("warnings.thresholds", "more than 8");
    }
    if let Some(index) = all.iter().position(|percent| !(1..=100).contains(percent)) {
        return refuse(format!("warnings.thresholds[{index}]"), "not from 1 to 100");
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

fn reservation(raw: config::Reservation) -> Outcome<config::Reservation> {
    const MOST: u64 = 100_000_000;
    for (field, value) in [
        ("expected_output_tokens", raw.expected_output_tokens),
        ("uncapped_output_tokens", raw.uncapped_output_tokens),
    ] {
        if value == 0 || value > MOST {
            return refuse(format!("reservation.{field}"), format!("not from 1 to {MOST}"));
        }
    }
    Ok(raw)
}

fn slots(raw: &config::StateConfig) -> Outcome<u32> {
    let wanted = raw.expected_keys.div_ceil(SLOT_BYTES_MEANT / CONSUMER_BYTES).checked_next_power_of_two();
    match wanted {
        Some(slots) if slots <= SLOTS_MAX => Ok(slots.max(SLOTS_MIN)),
        _ => refuse(
            "state.expected_keys",
            format!("more than {}", SLOTS_MAX * (SLOT_BYTES_MEANT / CONSUMER_BYTES)),
        ),
    }
}

fn ledger(raw: config::Ledger) -> Outcome<LedgerLink> {
    if raw.cluster.is_empty() {
        return refuse("ledger.cluster", "empty");
    }
    if !(10..=60_000).contains(&raw.flush_interval_ms) {
        return refuse("ledger.flush_interval_ms", "not from 10 to 60000");
    }
    Ok(LedgerLink {
        cluster: raw.cluster,
        node: raw.node,
        token_env: raw.token_env,
        flush_interval_ms: raw.flush_interval_ms,
    })
}

fn reads(config: &Config, limits: &[Limit]) -> Reads {
    let looks_at = |dimension: Dimension| {
        limits
            .iter()
            .any(|limit| limit.key.contains(&dimension) || limit.when.iter().any(|(at, _)| *at == dimension))
    };
    let metadata = [Dimension::Policy, Dimension::Action, Dimension::Workflow];
    Reads {
        body: config.ledger.is_some()
            || limits.iter().any(|limit| limit.meter.reads_body())
            || looks_at(Dimension::Model),
        route: looks_at(Dimension::Route),
        route_metadata: !config.policies.is_empty()
            || !config.actions.is_empty()
            || metadata.into_iter().any(looks_at),
    }
}
