//! When to turn requests away: shares in thousandths, priorities in order.

use super::super::config::{Config, Load, LoadAction};
use super::{Outcome, refuse};
use crate::load::{Policy, Tighten};

/// Most values looked for in a report: it is read with every response.
const UTILISATIONS_MAX: usize = 16;

/// An hour of calm before limits are relaxed is a limit changed for good.
const RELAX_MS_MAX: u64 = 3_600_000;

pub(super) fn load(config: &Config) -> Outcome<Option<Policy>> {
    let Some(raw) = &config.load else { return without_load(config) };
    let reads = !raw.utilization.is_empty() || raw.ram.is_some() || raw.ssd.is_some();
    if raw.capacity.is_none() && !reads {
        return refuse("load", "neither `capacity` nor `utilization`: nothing would ever be load");
    }
    if raw.capacity == Some(0) {
        return refuse("load.capacity", "0 would refuse everything");
    }
    if raw.utilization.len() > UTILISATIONS_MAX {
        return refuse("load.utilization", format!("more than {UTILISATIONS_MAX}"));
    }
    if !(1..=100).contains(&raw.shed_above) {
        return refuse("load.shed_above", "not from 1 to 100");
    }
    let mut priorities: Vec<u8> = config.tiers.values().map(|tier| tier.priority).collect();
    priorities.sort_unstable();
    priorities.dedup();
    let queues = raw.action == LoadAction::Queue;
    Ok(Some(Policy {
        capacity: raw.capacity.unwrap_or(0),
        utilisations: raw.utilization.clone(),
        ram: raw.ram.clone(),
        ssd: raw.ssd.clone(),
        shed_above: raw.shed_above * 10,
        tighten: tighten(raw)?,
        queues,
        has_line: queues || config.tiers.values().any(|tier| tier.load_action == Some(LoadAction::Queue)),
        critical_workflows: raw.critical_workflows.clone(),
        priorities,
    }))
}

/// A tier can't say what happens under load where there is none.
fn without_load(config: &Config) -> Outcome<Option<Policy>> {
    match config.tiers.iter().find(|(_, tier)| tier.load_action.is_some()) {
        Some((name, _)) => refuse(format!("tiers.{name}.load_action"), "there is no `load`"),
        None => Ok(None),
    }
}

fn tighten(load: &Load) -> Outcome<Option<Tighten>> {
    let Some(raw) = load.tighten else { return Ok(None) };
    let capacity = load.capacity.unwrap_or(0);
    if load.utilization.is_empty() && (capacity == 0 || raw.factor != 100) {
        // A capacity that shrinks by what it lets through would go up and down for ever.
        return refuse("load.tighten", "`utilization` is missing: it would never apply");
    }
    if raw.below > raw.above {
        return refuse("load.tighten.below", "more than `above`");
    }
    for (field, percent) in [("factor", raw.factor), ("limits", raw.limits)] {
        if !(1..=100).contains(&percent) {
            return refuse(format!("load.tighten.{field}"), "not from 1 to 100");
        }
    }
    if raw.relax_after_ms > RELAX_MS_MAX {
        return refuse("load.tighten.relax_after_ms", format!("more than {RELAX_MS_MAX}"));
    }
    let left = u64::from(capacity) * u64::from(raw.factor) / 100;
    Ok(Some(Tighten {
        above: raw.above.saturating_mul(10),
        below: raw.below.saturating_mul(10),
        relax_after_ns: raw.relax_after_ms * 1_000_000,
        capacity: u32::try_from(left).unwrap_or(u32::MAX).max(u32::from(capacity > 0)),
    }))
}
