//! Quotas of all Envoys: how one of them spends its slices.

use crate::lease::{Terms, Unreachable};

use super::super::config;
use super::super::limit::{Kind, Meter};
use super::kinds::units;
use super::{Outcome, refuse};

/// Clients wait behind it.
const WAIT_MS_MAX: u32 = 10_000;

/// The terms of a global quota; None of any other limit.
pub(super) fn terms(
    raw: &config::Limit,
    (kind, meter): (&Kind, Meter),
    has_ledger: bool,
    path: &str,
) -> Outcome<Option<Terms>> {
    let Some(raw) = &raw.global else { return Ok(None) };
    let path = format!("{path}.global");
    if !matches!(kind, Kind::Quota { .. }) {
        return refuse(path, "only a `quota` can be global");
    }
    if !has_ledger {
        return refuse(path, "a global quota is leased from a ledger: there is no `ledger` section");
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
