//! Limits while the models are strained: a part of what they are, and whole again afterwards.

use super::*;

fn policy_with(limit: serde_json::Value, left: u32) -> Policy {
    let tighten = json!({"above": 90, "below": 60, "limits": left});
    Policy::from_json(json!({"limits": [limit], "load": {"capacity": 1, "tighten": tighten}})).unwrap()
}

/// How many requests pass at this second.
fn pass(worker: &mut Limiter, policy: &Policy, store: &Store, second: u64) -> usize {
    let admit = |_: &usize| {
        let decision = worker.admit(policy, store, at(second), &alice(), &tokens(1, 1)).unwrap();
        matches!(decision, Decision::Admit(_))
    };
    (0..100).take_while(admit).count()
}

#[test]
fn a_rate_has_a_part_of_its_burst_and_of_its_speed_and_is_whole_again_afterwards() {
    let policy = policy_with(
        json!({"name": "l", "meter": "requests", "rate": {"amount": 60, "per": "minute", "burst": 20}}),
        25,
    );
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    worker.tighten(true);
    assert_eq!(pass(&mut worker, &policy, &store, 0), 5);
    let refusal = refused(worker.admit(&policy, &store, at(0), &alice(), &tokens(1, 1)));
    assert_eq!((refusal.wait_ns, refusal.remaining), (Some(4_000_000_000), 0));
    assert_eq!(pass(&mut worker, &policy, &store, 8), 2);
    worker.tighten(false);
    assert_eq!(pass(&mut worker, &policy, &store, 8), 0, "an empty bucket stays empty");
    assert_eq!(pass(&mut worker, &policy, &store, 11), 3);
    assert_eq!(pass(&mut worker, &policy, &store, 100), 20);
    worker.tighten(true);
    assert_eq!(pass(&mut worker, &policy, &store, 100), 0);
}

#[test]
fn what_only_the_whole_bucket_could_hold_passes_a_full_one_and_leaves_it_in_debt() {
    let policy =
        policy_with(json!({"name": "l", "meter": "tokens", "rate": {"amount": 60, "per": "minute"}}), 50);
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    worker.tighten(true);
    let _ = admitted(worker.admit(&policy, &store, at(0), &alice(), &tokens(40, 40)));
    // 40 of a bucket of 30, at one every two seconds: whole again after 80.
    let refusal = refused(worker.admit(&policy, &store, at(79), &alice(), &tokens(40, 40)));
    assert_eq!((refusal.why, refusal.wait_ns), (Why::Exhausted, Some(1_000_000_000)));
    let _ = admitted(worker.admit(&policy, &store, at(80), &alice(), &tokens(40, 40)));
    let refusal = refused(worker.admit(&policy, &store, at(1000), &alice(), &tokens(61, 61)));
    assert_eq!(refusal.why, Why::TooLarge, "the whole one could not hold it either");
}

#[test]
fn what_was_taken_of_a_tightened_bucket_comes_back_as_it_was_taken() {
    let policy =
        policy_with(json!({"name": "l", "meter": "tokens", "rate": {"amount": 60, "per": "minute"}}), 10);
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    for (tight_at_first, tight_at_last) in [(true, false), (false, true)] {
        worker.tighten(tight_at_first);
        let admission = admitted(worker.admit(&policy, &store, at(0), &alice(), &tokens(6, 6)));
        worker.tighten(tight_at_last);
        worker.settle(&policy, &store, at(0), admission.reservation, &Amounts::default()).unwrap();
        worker.tighten(false);
        let admission = admitted(worker.admit(&policy, &store, at(0), &alice(), &tokens(60, 60)));
        assert_eq!(admission.statuses[0].remaining, 0);
        worker.withdraw(&policy, &store, at(0), &admission.reservation).unwrap();
    }
}

#[test]
fn quotas_and_requests_in_flight_are_never_tightened() {
    for kind in
        [json!({"meter": "requests", "quota": {"amount": 9, "per": "day"}}), json!({"concurrency": 9})]
    {
        let mut limit = json!({"name": "l"});
        limit.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
        let policy = policy_with(limit, 10);
        let store = Store::default();
        let mut worker = worker(&policy, &store, 1, at(0));
        worker.tighten(true);
        assert_eq!(pass(&mut worker, &policy, &store, 1), 9);
    }
}

#[test]
fn a_window_has_a_part_of_its_units_and_is_whole_again_afterwards() {
    let policy =
        policy_with(json!({"name": "l", "meter": "requests", "window": {"amount": 20, "per": "minute"}}), 25);
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    worker.tighten(true);
    assert_eq!(pass(&mut worker, &policy, &store, 0), 5);
    let refusal = refused(worker.admit(&policy, &store, at(1), &alice(), &tokens(1, 1)));
    assert_eq!((refusal.why, refusal.remaining), (Why::Exhausted, 0));
    worker.tighten(false);
    assert_eq!(pass(&mut worker, &policy, &store, 1), 15);
    worker.tighten(true);
    assert_eq!(pass(&mut worker, &policy, &store, 59), 0);
    assert_eq!(pass(&mut worker, &policy, &store, 200), 5);
}

#[test]
fn what_only_the_whole_window_could_hold_passes_an_empty_one() {
    let policy =
        policy_with(json!({"name": "l", "meter": "tokens", "window": {"amount": 60, "per": "minute"}}), 50);
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    worker.tighten(true);
    let _ = admitted(worker.admit(&policy, &store, at(0), &alice(), &tokens(40, 40)));
    let _ = refused(worker.admit(&policy, &store, at(30), &alice(), &tokens(1, 1)));
    let _ = admitted(worker.admit(&policy, &store, at(200), &alice(), &tokens(20, 55)));
    let _ = refused(worker.admit(&policy, &store, at(200), &alice(), &tokens(1, 1)));
    let refusal = refused(worker.admit(&policy, &store, at(1000), &alice(), &tokens(61, 61)));
    assert_eq!(refusal.why, Why::TooLarge, "the whole one could not hold it either");
}

#[test]
fn one_unit_stays_one_unit() {
    let policy = policy_with(
        json!({"name": "l", "meter": "requests", "rate": {"amount": 7, "per": "minute", "burst": 1}}),
        1,
    );
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    worker.tighten(true);
    assert_eq!(pass(&mut worker, &policy, &store, 0), 1);
}
