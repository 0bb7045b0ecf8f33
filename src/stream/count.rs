//! What requests add to the statistics. Labels come from the configuration, never from a client.

use tollgate_core::answer::Rejection;
use tollgate_core::billing::Charged;
use tollgate_core::limiter::Admission;
use tollgate_core::policy::LimitId;
use tollgate_wire::{Outcome, TallyOf};

use crate::worker::{State, Worker};

/// Counts a request that was let through.
pub(super) fn admission(worker: &Worker, state: &mut State, tier: &str, admission: &Admission) {
    state.metrics.count_labelled("tollgate_requests", &[("tier", tier), ("outcome", "admitted")], 1);
    state.metrics.count("tollgate_swap_retries", u64::from(admission.retries));
    state
        .metrics
        .count("tollgate_evictions", u64::from(admission.evicted.accounts + admission.evicted.cells));
    let told = admission.warnings.iter().map(|(limit, _)| *limit).chain(admission.exceeded.iter().copied());
    for limit in told {
        let name = worker.policy.limit(limit).map_or("", |limit| limit.name.as_str());
        state.metrics.count_labelled("tollgate_warned", &[("limit", name)], 1);
    }
    for limit in &admission.shadowed {
        let name = worker.policy.limit(*limit).map_or("", |limit| limit.name.as_str());
        state.metrics.count_labelled("tollgate_shadowed", &[("limit", name)], 1);
    }
}

/// Counts that a limit had no room for a request: it was refused, or waits in line.
pub(super) fn violation(worker: &Worker, state: &mut State, limit: LimitId) {
    if let Some(limit) = worker.policy.limit(limit) {
        let labels = [("kind", limit.label()), ("limit", limit.name.as_str())];
        state.metrics.count_labelled("tollgate_violations", &labels, 1);
    }
}

/// Counts a request that waits: `throttled` or `queued`.
pub(super) fn waits(state: &mut State, how: &str) {
    state.metrics.count_labelled("tollgate_waited", &[("kind", how)], 1);
}

/// Counts a request that Tollgate answered (`rejected`), or would have (`shadowed`).
pub(super) fn rejection(
    worker: &Worker,
    state: &mut State,
    tier: &str,
    rejection: Rejection<'_>,
    outcome: &str,
) {
    state.metrics.count_labelled("tollgate_requests", &[("tier", tier), ("outcome", outcome)], 1);
    match rejection {
        Rejection::Limit(refusal) if refusal.why.lacks_lease() => {
            state.metrics.count("tollgate_unleased", 1);
        }
        Rejection::Limit(refusal) => violation(worker, state, refusal.limit),
        Rejection::Unidentified => state.metrics.count("tollgate_unidentified", 1),
        Rejection::UnknownModel(_) => state.metrics.count("tollgate_unknown_model", 1),
        Rejection::Suspended(_) => state.metrics.count("tollgate_suspended", 1),
        Rejection::NotEntitled { .. } => state.metrics.count("tollgate_not_entitled", 1),
        Rejection::BodyTooLarge(_) => state.metrics.count("tollgate_body_too_large", 1),
        Rejection::Shed(_) => state.metrics.count("tollgate_shed", 1),
        Rejection::Undecided => {}
    }
}

/// Counts a stream that outgrew limits: `finished` all the same, or `ended`.
pub(super) fn outgrown(worker: &Worker, state: &mut State, limits: &[LimitId], outcome: &str) {
    for limit in limits {
        let name = worker.policy.limit(*limit).map_or("", |limit| limit.name.as_str());
        state.metrics.count_labelled("tollgate_outgrown", &[("limit", name), ("outcome", outcome)], 1);
    }
}

/// Counts what charges rest on.
pub(super) fn charge(state: &mut State, charged: &Charged) {
    state.metrics.count_labelled("tollgate_charges", &[("cause", charged.cause.label())], 1);
}

/// Counts what a request used.
pub(super) fn tally(state: &mut State, tally: &TallyOf<&str>) {
    if tally.outcome == Outcome::Refused {
        return;
    }
    state.metrics.count_labelled("tollgate_answers", &[("outcome", tally.outcome.as_str())], 1);
    let tier = tally.tier;
    let input = tally.input.0 + tally.cache_read.0 + tally.cache_write.0;
    state.metrics.count_labelled("tollgate_tokens", &[("tier", tier), ("kind", "input")], input);
    state.metrics.count_labelled("tollgate_tokens", &[("tier", tier), ("kind", "output")], tally.output.0);
    state.metrics.count_labelled("tollgate_cost_nano_usd", &[("tier", tier)], tally.cost_nusd.0);
    if tally.unknown_price {
        state.metrics.count("tollgate_unknown_price", 1);
    }
}
