//! Quotas and rates of all Envoys: how one of them uses its part.

use crate::lease::{Terms, Unreachable};

use super::super::config;
use super::super::limit::{Kind, Meter};
use super::kinds::units;
use super::{Outcome, refuse};

/// Clients wait behind it.
const WAIT_MS_MAX: u32 = 10_000;

/// The terms of a global limit; None of any other.
pub(super) fn terms(
    raw_limit: &config::Limit,
    (kind, meter): (&Kind, Meter),
    has_ledger: bool,
    path: &str,
) -> Outcome<Option<Terms>> {
    let Some(raw) = &raw_limit.global else { return Ok(None) };
    let path = format!("{path}.global");
    let is_rate = matches!(kind, Kind::Rate(_));
    if !is_rate && !matches!(kind, Kind::Quota { .. }) {
        return refuse(path, "only a `quota` or a `rate` can be global");
    }
    if is_rate && raw_limit.rate.as_ref().is_some_and(|rate| rate.allowance.is_some()) {
        return refuse(path, "a global rate can't have an `allowance`, which each Envoy counts by itself");
    }
    if is_rate && raw.funded {
        return refuse(format!("{path}.funded"), "nothing of a rate can be set aside");
    }
    if !has_ledger {
        return refuse(path, "a global limit is divided by a ledger: there is no `ledger` section");
    }
    if !(1..=WAIT_MS_MAX).contains(&raw.wait_ms) {
        return refuse(format!("{path}.wait_ms"), format!("not from 1 to {WAIT_MS_MAX}"));
    }
    let unreachable = match raw.allowance {
        Some(amount) => {
            let units = units(amount, meter, &format!("{path}.allowance"))?;
            Unreachable::Allow { units, funded: raw.funded }
        }
        None if raw.funded => return refuse(format!("{path}.funded"), "there is no `allowance` to fund"),
        None => Unreachable::Closed,
    };
    Ok(Some(Terms { wait_ms: raw.wait_ms, unreachable }))
}
