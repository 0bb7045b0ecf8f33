//! Corrections that wait for the next change of their account.

use super::*;

/// Limits of which the requests below are a small part.
fn large() -> Policy {
    policy(json!([
        {"name": "rate", "meter": "tokens", "rate": {"amount": 100_000, "per": "hour"}},
        {"name": "day", "meter": "output_tokens", "quota": {"amount": 100_000, "per": "day"}},
        {"name": "requests", "meter": "requests", "quota": {"amount": 10, "per": "day"}},
        {"name": "slots", "concurrency": 1000},
    ]))
}

fn remaining(admission: &Admission) -> Vec<u64> {
    admission.statuses.iter().map(|status| status.remaining).collect()
}

fn later(worker: &mut Limiter, policy: &Policy, store: &Store, of: Admission, used: u64) {
    let (reservation, statuses) = (of.reservation, of.statuses);
    worker.settle_later(policy, store, at(1), reservation, &statuses, &tokens(0, used).bound).unwrap();
}

#[test]
fn a_small_correction_far_from_limits_costs_no_swap_and_is_made_by_the_next_request() {
    let (policy, store) = (large(), Store::default());
    let (mut worker, mut other) = (worker(&policy, &store, 1, at(0)), worker(&policy, &store, 2, at(0)));
    let first = admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(100, 300)));
    let swaps = store.swaps.get();
    later(&mut worker, &policy, &store, first, 50);
    assert_eq!(store.swaps.get(), swaps);
    // Another worker sees all that was held, and what it holds itself; this one what was used.
    let seen = admitted(other.admit(&policy, &store, at(1), &alice(), &tokens(0, 0)));
    assert_eq!(remaining(&seen), [99_900, 99_700, 8, 998]);
    let second = admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(0, 0)));
    assert_eq!(remaining(&second), [99_950, 99_950, 7, 998]);
    assert_eq!(store.swaps.get(), swaps + 2);
    let seen = admitted(other.admit(&policy, &store, at(1), &alice(), &tokens(0, 0)));
    assert_eq!(remaining(&seen), [99_950, 99_950, 6, 997]);
}

#[test]
fn a_flush_makes_every_correction_once() {
    let (policy, store) = (large(), Store::default());
    store.lose_every.set(2);
    let mut worker = worker(&policy, &store, 1, at(0));
    for consumer in ["a", "b"] {
        let request = Attributes { consumer, ..Attributes::default() };
        let admission = admitted(worker.admit(&policy, &store, at(1), &request, &tokens(100, 300)));
        later(&mut worker, &policy, &store, admission, 50);
    }
    worker.flush(&policy, &store, at(1)).unwrap();
    worker.flush(&policy, &store, at(1)).unwrap();
    for consumer in ["a", "b"] {
        let request = Attributes { consumer, ..Attributes::default() };
        let seen = admitted(worker.admit(&policy, &store, at(1), &request, &tokens(0, 0)));
        assert_eq!(remaining(&seen), [99_950, 99_950, 8, 999]);
    }
}

#[test]
fn a_correction_that_somebody_could_miss_is_made_at_once() {
    let settles_at_once = |demand: Demand, used: u64, limits: serde_json::Value| {
        let (policy, store) = (policy(limits), Store::default());
        let mut worker = worker(&policy, &store, 1, at(0));
        let admission = admitted(worker.admit(&policy, &store, at(1), &alice(), &demand));
        let swaps = store.swaps.get();
        later(&mut worker, &policy, &store, admission, used);
        store.swaps.get() > swaps
    };
    let rate = |amount| json!([{"name": "l", "meter": "tokens", "rate": {"amount": amount, "per": "hour"}}]);
    assert!(!settles_at_once(tokens(100, 100), 50, rate(12_800)));
    let quota = json!([{"name": "l", "meter": "tokens", "quota": {"amount": 12_800, "per": "day"}}]);
    assert!(
        !settles_at_once(tokens(50, 50), 100, rate(12_800))
            && !settles_at_once(tokens(50, 50), 50, quota.clone())
    );
    // A quota was exceeded; it is a large part of the limit, as held or as used; half of the limit is gone; few may be in
    // flight.
    assert!(settles_at_once(tokens(50, 50), 51, quota));
    assert!(settles_at_once(tokens(100, 100), 101, rate(12_800)));
    assert!(settles_at_once(tokens(101, 101), 50, rate(12_800)));
    assert!(settles_at_once(tokens(100, 100), 50, rate(100)));
    assert!(settles_at_once(tokens(0, 0), 0, json!([{"name": "l", "concurrency": 127}])));
    let queue = json!([{"name": "l", "concurrency": 1000, "action": "queue"}]);
    assert!(settles_at_once(tokens(0, 0), 0, queue));
}

#[test]
fn no_more_than_a_few_corrections_wait_at_one_account() {
    let (policy, store) = (large(), Store::default());
    let mut worker = worker(&policy, &store, 1, at(0));
    let flights: Vec<Admission> =
        (0..6).map(|_| admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(100, 300)))).collect();
    let swaps = store.swaps.get();
    let made: Vec<u32> = flights
        .into_iter()
        .map(|flight| {
            later(&mut worker, &policy, &store, flight, 50);
            store.swaps.get() - swaps
        })
        .collect();
    // The fifth is made at once, and the four before it with it.
    assert_eq!(made, [0, 0, 0, 0, 1, 1]);
}

#[test]
fn corrections_wait_on_when_a_request_is_refused() {
    let (policy, store) = (large(), Store::default());
    let mut worker = worker(&policy, &store, 1, at(0));
    let first = admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(100, 300)));
    later(&mut worker, &policy, &store, first, 50);
    let refusal = refused(worker.admit(&policy, &store, at(1), &alice(), &tokens(99_960, 99_960)));
    assert_eq!(refusal.remaining, 99_950);
    let seen = admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(99_940, 99_940)));
    assert_eq!(remaining(&seen), [10, 10, 8, 999]);
}
