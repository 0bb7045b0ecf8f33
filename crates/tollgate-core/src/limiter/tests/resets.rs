//! Fresh balances that an operator gave.

use super::*;
use crate::policy::Resets;

fn after(all: u32, bursts: u32, everybodys_bursts: u32) -> Attributes<'static> {
    Attributes { resets: Resets { all, bursts, everybodys_bursts }, ..alice() }
}

/// Which of the limits refuses, if one does.
fn refused_by(
    policy: &Policy,
    store: &Store,
    worker: &mut Limiter,
    request: &Attributes<'_>,
) -> Option<String> {
    match worker.admit(policy, store, at(1), request, &tokens(1, 1)).unwrap() {
        Decision::Admit(_) => None,
        Decision::Refuse(refusal) => Some(policy.limit(refusal.limit).unwrap().name.clone()),
    }
}

#[test]
fn a_reset_gives_fresh_balances_and_one_of_bursts_those_of_rates_only() {
    let limits = json!([
        {"name": "rate", "meter": "requests", "rate": {"amount": 1, "per": "hour"}},
        {"name": "day", "meter": "requests", "quota": {"amount": 2, "per": "day"}},
    ]);
    let (policy, store) = (policy(limits), Store::default());
    let mut worker = worker(&policy, &store, 1, at(0));
    let mut ask = |request| refused_by(&policy, &store, &mut worker, &request);
    assert_eq!(ask(after(0, 0, 0)), None);
    assert_eq!(ask(after(0, 0, 0)).as_deref(), Some("rate"));
    assert_eq!(ask(after(0, 1, 0)), None, "a burst of its own");
    assert_eq!(
        ask(after(0, 1, 0)).as_deref(),
        Some("day"),
        "which is used up like the rate, and lasts longer"
    );
    assert_eq!(ask(after(0, 1, 1)).as_deref(), Some("day"), "bursts are no quotas");
    assert_eq!(ask(after(1, 1, 0)), None);
    assert_eq!(ask(after(1, 1, 1)), None, "everybody's burst");
    assert_eq!(ask(after(1, 1, 1)).as_deref(), Some("day"));
}

#[test]
fn one_consumers_reset_leaves_alone_what_it_shares() {
    let limits =
        json!([{"name": "all", "meter": "requests", "quota": {"amount": 1, "per": "day"}, "key": []}]);
    let (policy, store) = (policy(limits), Store::default());
    let mut worker = worker(&policy, &store, 1, at(0));
    assert_eq!(refused_by(&policy, &store, &mut worker, &after(0, 0, 0)), None);
    assert_eq!(refused_by(&policy, &store, &mut worker, &after(1, 0, 0)).as_deref(), Some("all"));
}
