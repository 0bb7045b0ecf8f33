//! A configuration that changes under load: balances stay, and so does the use of a limit that changed.

use super::*;

fn with(amount: u64) -> Vec<(&'static str, Policy)> {
    let kinds = [
        ("rate", json!({"meter": "requests", "rate": {"amount": 10, "per": "hour", "burst": amount}})),
        ("window", json!({"meter": "requests", "window": {"amount": amount, "per": "hour"}})),
        ("quota", json!({"meter": "requests", "quota": {"amount": amount, "per": "day"}})),
        ("concurrency", json!({"concurrency": amount})),
        ("model", json!({"meter": "requests", "key": ["model"], "quota": {"amount": amount, "per": "week"}})),
    ];
    let compile = |(name, mut limit): (&'static str, serde_json::Value)| {
        limit["name"] = "l".into();
        (
            name,
            policy(
                json!([{"name": "before", "concurrency": 99}, limit, {"name": "after", "concurrency": 99}]),
            ),
        )
    };
    kinds.into_iter().map(compile).collect()
}

#[test]
fn a_limit_that_is_raised_or_lowered_keeps_its_use() {
    for ((name, five), ((_, seven), (_, two))) in with(5).into_iter().zip(with(7).into_iter().zip(with(2))) {
        let store = Store::default();
        let mut worker = worker(&five, &store, 1, at(0));
        let mut held = Vec::new();
        for _ in 0..5 {
            held.push(admitted(worker.admit(&five, &store, at(1), &alice(), &tokens(1, 1))));
        }
        let _ = refused(worker.admit(&five, &store, at(1), &alice(), &tokens(1, 1)));
        let _ = refused(worker.admit(&two, &store, at(1), &alice(), &tokens(1, 1)));
        for _ in 0..2 {
            held.push(admitted(worker.admit(&seven, &store, at(1), &alice(), &tokens(1, 1))));
        }
        let _ = refused(worker.admit(&seven, &store, at(1), &alice(), &tokens(1, 1)));
        assert_eq!(held.len(), 7, "{name}");
    }
}

#[test]
fn limits_that_are_added_removed_or_reordered_do_not_disturb_the_others() {
    let limit = |name: &str| json!({"name": name, "meter": "requests", "quota": {"amount": 3, "per": "day"}});
    let (ab, ba, b) = (
        policy(json!([limit("a"), limit("b")])),
        policy(json!([limit("c"), limit("b"), limit("a")])),
        policy(json!([limit("b")])),
    );
    let store = Store::default();
    let mut worker = worker(&ab, &store, 1, at(0));
    let _ = admitted(worker.admit(&ab, &store, at(1), &alice(), &tokens(1, 1)));
    let _ = admitted(worker.admit(&b, &store, at(1), &alice(), &tokens(1, 1)));
    let admission = admitted(worker.admit(&ba, &store, at(1), &alice(), &tokens(1, 1)));
    let left: Vec<u64> = admission.statuses.iter().map(|status| status.remaining).collect();
    assert_eq!(left, [2, 0, 1]);
}

#[test]
fn a_window_of_another_period_keeps_what_was_used_in_what_they_share() {
    let per =
        |per: &str| policy(json!([{"name": "l", "meter": "requests", "quota": {"amount": 3, "per": per}}]));
    let store = Store::default();
    let mut worker = worker(&per("day"), &store, 1, at(0));
    for _ in 0..3 {
        let _ = admitted(worker.admit(&per("day"), &store, at(1), &alice(), &tokens(1, 1)));
    }
    let _ = refused(worker.admit(&per("month"), &store, at(1), &alice(), &tokens(1, 1)));
}

#[test]
fn another_number_of_expected_keys_leaves_balances_where_they_are() {
    let with = |keys: u32| {
        Policy::from_json(json!({"state": {"expected_keys": keys}, "limits": [
            {"name": "l", "meter": "requests", "quota": {"amount": 1, "per": "day"}}]}))
        .unwrap()
    };
    let (few, many) = (with(100), with(100_000));
    let store = Store::default();
    let mut old = worker(&few, &store, 1, at(0));
    let consumers: Vec<String> = (0..50).map(|n| format!("consumer-{n}")).collect();
    let request = |consumer| Attributes { consumer, ..Attributes::default() };
    for consumer in &consumers {
        let _ = admitted(old.admit(&few, &store, at(1), &request(consumer), &tokens(1, 1)));
    }
    let mut new = worker(&many, &store, 2, at(2));
    assert_eq!(new.process().slots, few.slots);
    for consumer in &consumers {
        let _ = refused(new.admit(&many, &store, at(2), &request(consumer), &tokens(1, 1)));
    }
}
