//! From a configuration as written to a policy that can't be wrong.

mod access;
mod condition;
mod credits;
mod defaults;
mod global;
mod identity;
mod kinds;
mod limits;
mod load;
mod money;
mod running;
mod telling;
mod traffic;
mod waiting;

use hashbrown::HashMap;

use super::config::{Config, ConfigError, Dimension, LoadAction, MidStream, Violation};
use super::limit::Limit;
use super::pricing::Pricing;
use super::{Policy, Reads, Tier};
use limits::{Limits, Scope};

type Outcome<T> = Result<T, ConfigError>;

fn refuse<T>(path: impl Into<String>, problem: impl Into<String>) -> Outcome<T> {
    Err(ConfigError::new(path, problem))
}

pub(super) fn policy(config: Config) -> Outcome<Policy> {
    name("name", &config.name)?;
    let load = load::load(&config)?;
    let tight = config.load.as_ref().and_then(|load| load.tighten).map(|tighten| tighten.limits);
    let mut limits = Limits::new(tight, config.reservation.mid_stream, config.ledger.is_some());
    let mut tiers = HashMap::new();
    for (tier, raw) in &config.tiers {
        name(&format!("tiers.{tier}"), tier)?;
        let limits = limits.add_all(&raw.limits, &format!("tiers.{tier}.limits"), &Scope::Tier)?;
        let (priority, upgrade_hint) = (raw.priority, raw.upgrade_hint.clone());
        let entitlements = access::entitlements(raw, &format!("tiers.{tier}"))?;
        let queues_on_load = raw.load_action.map(|action| action == LoadAction::Queue);
        let name = tier.clone();
        let all = Tier { name, priority, upgrade_hint, queues_on_load, limits, entitlements };
        tiers.insert(tier.clone(), all);
    }
    let defaults = if config.model_defaults { defaults::model_defaults()? } else { Vec::new() };
    let mut everybody = config.limits.clone();
    everybody.extend(defaults);
    let common = limits.add_all(&everybody, "limits", &Scope::Everybody)?;
    let mut routes = HashMap::new();
    for (route, raw) in &config.policies {
        name(&format!("policies.{route}"), route)?;
        let all = limits.add_all(&raw.limits, &format!("policies.{route}.limits"), &Scope::Route(route))?;
        routes.insert(route.clone(), all);
    }
    let default_policy = config.default_policy.clone().unwrap_or_default();
    if config.default_policy.is_some() && !routes.contains_key(&default_policy) {
        return refuse("default_policy", format!("there is no policy `{default_policy}`"));
    }
    let actions = credits::actions(&config)?;
    let workflows = credits::workflows(&config)?;
    let pricing = money::pricing(&config.prices, &limits.all)?;
    let counted = actions.values().chain(workflows.values().flat_map(HashMap::values));
    let counts_body = counted.into_iter().any(|price| price.unit.reads_body());
    let reads = reads(&config, &limits.all, &pricing, counts_body);
    let (limits, calendars) = limits.finish();
    Ok(Policy {
        identity: identity::identity(&config, looks_at(&limits, &pricing, Dimension::Address))?,
        access: access::access(&config)?,
        enforcement: config.enforcement,
        prices: money::prices(&config.prices)?,
        unknown_model: config.prices.unknown,
        traffic: traffic::traffic(config.traffic)?,
        pricing,
        credit_value: credits::value(&config.credits)?,
        charging: config.charging,
        thresholds: telling::thresholds(&config.warnings)?,
        leases: limits.iter().any(|limit| limit.global.is_some()),
        queues: limits.iter().any(|limit| limit.violation == Violation::Queue)
            || load.as_ref().is_some_and(|load| load.has_line),
        load,
        room: waiting::bounds(&config.queue)?,
        slots: running::slots(&config.state)?,
        contention: config.state.contention,
        ledger: config.ledger.map(running::ledger).transpose()?,
        reservation: money::reservation(config.reservation)?,
        name: config.name,
        headers: config.headers,
        messages: telling::messages(config.messages)?,
        self_path: telling::self_path(config.self_path)?,
        limits,
        common,
        tiers,
        routes,
        default_policy,
        actions,
        workflows,
        calendars,
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

fn looks_at(limits: &[Limit], pricing: &Pricing, dimension: Dimension) -> bool {
    let at = |limit: &Limit| limit.when.iter().any(|condition| condition.dimension == dimension);
    limits.iter().any(|limit| limit.key.contains(&dimension) || at(limit))
        || pricing.dimensions().any(|at| at == dimension)
}

fn reads(config: &Config, limits: &[Limit], pricing: &Pricing, counts_body: bool) -> Reads {
    let looks_at = |dimension: Dimension| looks_at(limits, pricing, dimension);
    let entitlements = config.tiers.values().any(|tier| tier.models.is_some() || tier.tools.is_some());
    let critical = config.load.as_ref().is_some_and(|load| !load.critical_workflows.is_empty());
    let metadata = [Dimension::Policy, Dimension::Action, Dimension::Workflow];
    Reads {
        body: config.ledger.is_some()
            || entitlements
            || counts_body
            || limits.iter().any(|limit| limit.meter.reads_body())
            || looks_at(Dimension::Model)
            || looks_at(Dimension::Tool),
        route: looks_at(Dimension::Route),
        route_metadata: config.ledger.is_some()
            || critical
            || !config.policies.is_empty()
            || !config.actions.is_empty()
            || !config.workflows.is_empty()
            || metadata.into_iter().any(looks_at),
        growth: limits.iter().any(|limit| limit.mid_stream != MidStream::Off),
    }
}
