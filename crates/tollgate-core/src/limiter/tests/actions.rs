//! What a violation does: refuse, pace, queue, warn, nothing, and not yet.

use super::*;

const SECOND: u64 = 1_000_000_000;

fn paced(amount: u64, max_wait_ms: u64) -> serde_json::Value {
    json!({"name": "l", "meter": "requests", "rate": {"amount": amount, "per": "minute", "burst": 1},
           "action": "throttle", "max_wait_ms": max_wait_ms})
}

#[test]
fn a_throttled_request_waits_exactly_as_long_as_it_needs_and_no_longer_than_allowed() {
    let policy = policy(json!([paced(60, 2000)]));
    let store = Store::default();
    let mut workers = [worker(&policy, &store, 1, at(0)), worker(&policy, &store, 2, at(0))];
    let mut delay =
        |n: usize| admitted(workers[n % 2].admit(&policy, &store, at(1), &alice(), &tokens(1, 1))).delay_ns;
    assert_eq!([delay(0), delay(1), delay(2)], [0, SECOND, 2 * SECOND]);
    let refusal = refused(workers[0].admit(&policy, &store, at(1), &alice(), &tokens(1, 1)));
    assert_eq!((refusal.why, refusal.wait_ns, refusal.queueable), (Why::Exhausted, Some(3 * SECOND), false));
    let next = admitted(workers[1].admit(&policy, &store, at(2), &alice(), &tokens(1, 1)));
    assert_eq!(next.delay_ns, 2 * SECOND);
}

#[test]
fn of_several_limits_that_throttle_the_slowest_sets_the_pace() {
    let mut slow = paced(30, 5000);
    slow["name"] = "slow".into();
    slow["key"] = json!([]);
    let policy = policy(json!([paced(60, 5000), slow]));
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    let mut delay = || admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(1, 1))).delay_ns;
    assert_eq!([delay(), delay(), delay()], [0, 2 * SECOND, 4 * SECOND]);
}

#[test]
fn a_request_that_left_while_it_waited_has_taken_nothing() {
    let policy = policy(json!([
        paced(60, 2000),
        {"name": "day", "meter": "requests", "quota": {"amount": 2, "per": "day"}},
        {"name": "slots", "concurrency": 2},
        {"name": "all", "meter": "tokens", "quota": {"amount": 10, "per": "day"}, "key": []},
    ]));
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    let _first = admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(1, 5)));
    for _ in 0..5 {
        let waiting = admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(1, 5)));
        assert_eq!(waiting.delay_ns, SECOND);
        worker.withdraw(&policy, &store, at(1), &waiting.reservation).unwrap();
    }
}

#[test]
fn a_request_can_queue_only_where_every_limit_that_refuses_it_is_one_to_queue_at() {
    let limit = |name: &str, action: &str| json!({"name": name, "concurrency": 1, "action": action});
    let cases = [(["queue", "queue"], true), (["queue", "reject"], false), (["reject", "queue"], false)];
    for (actions, expected) in cases {
        let policy = policy(json!([limit("a", actions[0]), limit("b", actions[1])]));
        let store = Store::default();
        let mut worker = worker(&policy, &store, 1, at(0));
        let _held = admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(1, 1)));
        let refusal = refused(worker.admit(&policy, &store, at(1), &alice(), &tokens(1, 1)));
        assert_eq!(refusal.queueable, expected, "{actions:?}");
    }
}

#[test]
fn what_can_never_fit_does_not_queue() {
    let policy = policy(
        json!([{"name": "l", "meter": "tokens", "quota": {"amount": 5, "per": "day"}, "action": "queue"}]),
    );
    let store = Store::default();
    let refusal =
        refused(worker(&policy, &store, 1, at(0)).admit(&policy, &store, at(1), &alice(), &tokens(6, 6)));
    assert_eq!((refusal.why, refusal.queueable), (Why::TooLarge, false));
}

#[test]
fn a_limit_in_shadow_counts_whom_it_would_have_refused_and_takes_nothing_of_them() {
    let kinds = [
        json!({"meter": "requests", "rate": {"amount": 2, "per": "hour"}}),
        json!({"meter": "tokens", "quota": {"amount": 2, "per": "day"}}),
        json!({"concurrency": 2}),
        json!({"meter": "tokens", "per_request": 1}),
    ];
    for mut limit in kinds {
        let stateless = limit.get("per_request").is_some();
        limit["name"] = "l".into();
        limit["action"] = "shadow".into();
        let policy = policy(json!([limit]));
        let store = Store::default();
        let mut worker = worker(&policy, &store, 1, at(0));
        let bound = if stateless { 2 } else { 1 };
        let mut held = Vec::new();
        for n in 1..=5 {
            let admission = admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(1, bound)));
            let over = stateless || n > 2;
            assert_eq!(
                (admission.shadowed.len(), admission.exceeded.len()),
                (usize::from(over), 0),
                "{limit}"
            );
            held.push(admission.reservation);
        }
        for reservation in held {
            worker.settle(&policy, &store, at(1), reservation, &tokens(0, 0).bound).unwrap();
        }
        let again = admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(1, bound)));
        let freed = !stateless && limit["meter"] != "requests";
        assert_eq!(again.shadowed.is_empty(), freed, "{limit}");
    }
}

#[test]
fn a_first_violation_begins_a_grace_in_which_requests_pass_and_are_counted() {
    let policy = policy(json!([
        {"name": "l", "meter": "requests", "quota": {"amount": 2, "per": "day"}, "grace_s": 60},
    ]));
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    let mut admit = |seconds| worker.admit(&policy, &store, at(seconds), &alice(), &tokens(1, 1));
    for seconds in [0, 30] {
        assert!(admitted(admit(seconds)).exceeded.is_empty());
    }
    for seconds in [100, 159] {
        assert_eq!(admitted(admit(seconds)).exceeded, [LimitId(0)]);
    }
    let _ = refused(admit(160));
    // The next window has a violation of its own.
    let tomorrow = 86_400;
    for seconds in [0, 1] {
        assert!(admitted(admit(tomorrow + seconds)).exceeded.is_empty());
    }
    assert_eq!(admitted(admit(tomorrow + 2)).exceeded, [LimitId(0)]);
    let _ = refused(admit(tomorrow + 62));
}

#[test]
fn a_rate_has_a_next_grace_once_its_bucket_has_been_full_again() {
    let policy = policy(json!([
        {"name": "l", "meter": "requests", "rate": {"amount": 60, "per": "minute", "burst": 1}, "grace_s": 2},
    ]));
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    let mut admit = |seconds| worker.admit(&policy, &store, at(seconds), &alice(), &tokens(1, 1));
    let _ = admitted(admit(0));
    for seconds in [0, 1] {
        assert_eq!(admitted(admit(seconds)).exceeded, [LimitId(0)]);
    }
    let _ = refused(admit(2));
    let _ = admitted(admit(3));
    assert_eq!(admitted(admit(3)).exceeded, [LimitId(0)]);
}

#[test]
fn whoever_a_grace_lets_through_does_not_overtake_those_that_wait() {
    let mut limit = paced(60, 2000);
    limit["grace_s"] = 10.into();
    let policy = policy(json!([limit]));
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    let mut delay = || admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(1, 1))).delay_ns;
    assert_eq!([delay(), delay(), delay(), delay()], [0, SECOND, 2 * SECOND, 2 * SECOND]);
}
