//! When to turn requests away: shares in thousandths, priorities in order.

use super::super::config::{Config, Tighten};
use super::{Outcome, refuse};
use crate::load::Policy;

/// Most values looked for in a report: it is read with every response.
const UTILISATIONS_MAX: usize = 16;

pub(super) fn load(config: &Config) -> Outcome<Option<Policy>> {
    let Some(raw) = &config.load else { return Ok(None) };
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
    let tighten = raw.tighten.unwrap_or(Tighten { above: u32::MAX / 10, below: 0, factor: 100 });
    if raw.tighten.is_some() && raw.utilization.is_empty() {
        return refuse("load.tighten", "`utilization` is missing: it would never apply");
    }
    if tighten.below > tighten.above {
        return refuse("load.tighten.below", "more than `above`");
    }
    if !(1..=100).contains(&tighten.factor) {
        return refuse("load.tighten.factor", "not from 1 to 100");
    }
    let capacity = raw.capacity.unwrap_or(0);
    let tight = u64::from(capacity) * u64::from(tighten.factor) / 100;
    let mut priorities: Vec<u8> = config.tiers.values().map(|tier| tier.priority).collect();
    priorities.sort_unstable();
    priorities.dedup();
    Ok(Some(Policy {
        capacity,
        utilisations: raw.utilization.clone(),
        ram: raw.ram.clone(),
        ssd: raw.ssd.clone(),
        shed_above: raw.shed_above * 10,
        tight_capacity: u32::try_from(tight).unwrap_or(u32::MAX).max(u32::from(capacity > 0)),
        tighten_above: tighten.above.saturating_mul(10),
        relax_below: tighten.below.saturating_mul(10),
        critical_workflows: raw.critical_workflows.clone(),
        priorities,
    }))
}
