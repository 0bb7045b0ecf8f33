//! Which balances a request touches, and by how much.

use crate::hash::HashKey;
use crate::policy::config::Dimension;
use crate::policy::{Attributes, Kind, Limit, LimitId, Policy, Resets, WHOLE_PERCENT};

use super::amounts::Demand;

/// One limit's share of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Charge {
    /// The account its balance is in.
    pub account: u64,
    /// The balance's name in the account.
    pub cell: u32,
    /// The limit.
    pub limit: LimitId,
    /// Units of the limit's meter.
    pub amount: u64,
    /// What of them is beyond the expected use, in a sliding window.
    pub excess: u64,
    /// How much of the limit there is for who asks, in percent.
    pub percent: u32,
}

impl Charge {
    /// What of the amount is expected to be used, in a sliding window.
    pub const fn expected(&self) -> u64 {
        self.amount - self.excess
    }
}

/// Distinguishes the accounts of consumers from those of other keys.
const CONSUMER_TAG: u64 = u64::MAX;

/// Collects a charge for each limit with a balance, those of one account side by side.
pub(super) fn charges(
    policy: &Policy,
    key: &HashKey,
    request: &Attributes<'_>,
    demand: &Demand,
    limits: &[LimitId],
    into: &mut Vec<Charge>,
) {
    into.clear();
    let consumer = key.hash64(CONSUMER_TAG, [request.consumer]);
    for id in limits {
        let Some(limit) = policy.limit(*id) else { continue };
        let amount = match limit.kind {
            Kind::PerRequest(_) => continue,
            Kind::Rate(_) => demand.expected.of(limit.meter),
            Kind::Quota { .. } | Kind::Window(_) => demand.bound.of(limit.meter),
            Kind::Concurrency(_) => 1,
            Kind::Memory(_) => 0,
        };
        let account = if limit.key().contains(&Dimension::Consumer) {
            consumer
        } else {
            key.hash64(dimensions(limit), limit.key().iter().map(|dimension| request.get(*dimension)))
        };
        let excess = match limit.kind {
            Kind::Window(_) => amount.saturating_sub(demand.expected.of(limit.meter)),
            _ => 0,
        };
        let cell = fresh(limit, request, cell(limit, key, request));
        let percent = percent(limit, request);
        into.push(Charge { account, cell, limit: *id, amount, excess, percent });
    }
    // Always in one order: two requests that touch the same accounts then meet at the same one first.
    if into.iter().any(|charge| charge.account != consumer) {
        into.sort_by_key(|charge| charge.account);
    }
}

/// How much of a limit there is for who asks, in percent. Only the consumer's own limits are others for it: not what it
/// shares, nor what all Envoys do.
pub(super) fn percent(limit: &Limit, request: &Attributes<'_>) -> u32 {
    let found = request.overrides.iter().find(|other| other.limit == limit.name);
    let keyed = limit.key().contains(&Dimension::Consumer) && limit.global.is_none();
    let own = keyed || matches!(limit.kind, Kind::PerRequest(_));
    found.filter(|_| own).map_or(WHOLE_PERCENT, |other| other.percent)
}

/// A tag for the set of dimensions a limit is keyed by.
fn dimensions(limit: &Limit) -> u64 {
    limit.key().iter().fold(0, |tag, dimension| tag | 1 << (*dimension as u64))
}

/// The balance's name: the limit's, and what else besides the consumer it is keyed by.
fn cell(limit: &Limit, key: &HashKey, request: &Attributes<'_>) -> u32 {
    if !limit.key().contains(&Dimension::Consumer) || limit.key().len() == 1 {
        return limit.id();
    }
    key.hash64(u64::from(limit.id()), limit.key().iter().map(|dimension| request.get(*dimension))) as u32
}

/// The balance's name after so many resets: another one, under which there is nothing yet. The old balance is not found
/// any more, and forgotten at rest. So a reset is nothing that has to happen once: whoever knows of it counts anew.
fn fresh(limit: &Limit, request: &Attributes<'_>, cell: u32) -> u32 {
    // The factor is odd: different counts make different names.
    cell.wrapping_add(resets(limit, request).wrapping_mul(0x9e37_79b9))
}

/// How often the balance was made whole.
pub(super) fn resets(limit: &Limit, request: &Attributes<'_>) -> u32 {
    let Resets { all, bursts, everybodys_bursts } = request.resets;
    let own = if limit.key().contains(&Dimension::Consumer) { (all, bursts) } else { (0, 0) };
    match limit.kind {
        Kind::Rate(_) => own.0.wrapping_add(own.1).wrapping_add(everybodys_bursts),
        // What all Envoys share is reset where it is kept.
        _ if limit.global.is_some() => 0,
        Kind::Quota { .. } | Kind::Window(_) => own.0,
        // What is in flight, or in use, is so whatever was decided.
        _ => 0,
    }
}
