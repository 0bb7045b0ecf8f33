//! Each kind of limit at its bound, and what an operator can do about it.

use super::*;

fn one(kind: serde_json::Value) -> Policy {
    let mut limit = json!({"name": "l"});
    limit.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
    policy(json!([limit]))
}

#[test]
fn every_calendar_window_ends_with_its_calendar() {
    // START is 2026-11-22T00:00:00Z, a Sunday.
    let cases = [
        (json!("hour"), 3600),
        (json!("day"), 86_400),
        (json!("week"), 86_400),
        (json!("month"), 9 * 86_400),
        (json!({"every": {"days": 10, "from": "2026-11-15"}}), 3 * 86_400),
    ];
    for (per, ends) in cases {
        let policy = one(json!({"meter": "requests", "quota": {"amount": 1, "per": per}}));
        let store = Store::default();
        let mut worker = worker(&policy, &store, 1, at(0));
        let mut admit = |seconds| worker.admit(&policy, &store, at(seconds), &alice(), &tokens(1, 1));
        let _ = admitted(admit(10));
        let refusal = refused(admit(ends - 1));
        assert_eq!(refusal.wait_ns, Some(1_000_000_000), "{per}");
        let _ = admitted(admit(ends));
        let _ = refused(admit(ends));
    }
}

#[test]
fn a_sliding_window_holds_the_bound_and_gives_back_what_was_not_used() {
    let policy = one(json!({"meter": "output_tokens", "window": {"amount": 100, "per": "minute"}}));
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    let admission = admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(10, 60)));
    assert_eq!(admission.statuses[0].remaining, 40);
    let refusal = refused(worker.admit(&policy, &store, at(1), &alice(), &tokens(10, 41)));
    assert_eq!((refusal.why, refusal.remaining, refusal.most), (Why::Exhausted, 40, 100));
    worker.settle(&policy, &store, at(2), admission.reservation, &tokens(0, 20).bound).unwrap();
    let full = admitted(worker.admit(&policy, &store, at(2), &alice(), &tokens(10, 80)));
    assert_eq!(full.statuses[0].remaining, 0);
    worker.settle(&policy, &store, at(2), full.reservation, &tokens(0, 90).bound).unwrap();
    let refusal = refused(worker.admit(&policy, &store, at(3), &alice(), &tokens(1, 101)));
    assert_eq!((refusal.why, refusal.wait_ns), (Why::TooLarge, None));
    let _ = refused(worker.admit(&policy, &store, at(60), &alice(), &tokens(1, 100)));
    let _ = admitted(worker.admit(&policy, &store, at(63), &alice(), &tokens(1, 100)));
}

#[test]
fn how_every_limit_stands_is_told_and_nothing_is_taken() {
    let policy = policy(json!([
        {"name": "rate", "meter": "requests", "rate": {"amount": 10, "per": "minute"}},
        {"name": "all", "meter": "tokens", "quota": {"amount": 100, "per": "day"}, "key": []},
        {"name": "window", "meter": "requests", "window": {"amount": 5, "per": "minute"}},
        {"name": "flight", "concurrency": 3},
        {"name": "single", "meter": "tokens", "per_request": 50},
    ]));
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    let standing = |worker: &mut Limiter| {
        let mut all: Vec<_> = worker
            .standing(&policy, &store, at(0), &alice())
            .unwrap()
            .into_iter()
            .map(|status| (policy.limit(status.limit).unwrap().name.clone(), status.most, status.remaining))
            .collect();
        all.sort();
        all
    };
    let of = |all: u64, flight: u64, rate: u64, single: u64, window: u64| {
        let told = |name: &str, most, remaining| (name.to_owned(), most, remaining);
        vec![
            told("all", 100, all),
            told("flight", 3, flight),
            told("rate", 10, rate),
            told("single", 50, single),
            told("window", 5, window),
        ]
    };
    assert_eq!(standing(&mut worker), of(100, 3, 10, 50, 5));
    let admission = admitted(worker.admit(&policy, &store, at(0), &alice(), &tokens(20, 20)));
    let swaps = store.swaps.get();
    assert_eq!(standing(&mut worker), of(80, 2, 9, 50, 4));
    assert_eq!(standing(&mut worker), of(80, 2, 9, 50, 4));
    assert_eq!(store.swaps.get(), swaps, "nothing is written");
    worker.settle(&policy, &store, at(0), admission.reservation, &tokens(5, 5).bound).unwrap();
    assert_eq!(standing(&mut worker), of(95, 3, 9, 50, 4));
}

#[test]
fn a_burst_allowance_is_used_beyond_the_rate_and_only_an_operator_makes_it_whole() {
    let with = |generation: u32| {
        one(json!({"meter": "requests", "rate": {
            "amount": 2, "per": "minute", "allowance": {"amount": 3, "generation": generation}}}))
    };
    let (first, second) = (with(0), with(1));
    let store = Store::default();
    let mut worker = worker(&first, &store, 1, at(0));
    for n in 0..5 {
        let admission = admitted(worker.admit(&first, &store, at(1), &alice(), &tokens(1, 1)));
        assert_eq!(admission.bursts.is_empty(), n < 2);
    }
    let _ = refused(worker.admit(&first, &store, at(1), &alice(), &tokens(1, 1)));
    // The rate comes back by itself, the allowance does not, however long it rests.
    for _ in 0..2 {
        let _ = admitted(worker.admit(&first, &store, at(4000), &alice(), &tokens(1, 1)));
    }
    let _ = refused(worker.admit(&first, &store, at(4000), &alice(), &tokens(1, 1)));
    for _ in 0..3 {
        let _ = admitted(worker.admit(&second, &store, at(4000), &alice(), &tokens(1, 1)));
    }
    let _ = refused(worker.admit(&second, &store, at(4000), &alice(), &tokens(1, 1)));
    worker.reset_bursts(&second, &store, at(4001), &alice()).unwrap();
    for _ in 0..3 {
        let _ = admitted(worker.admit(&second, &store, at(4001), &alice(), &tokens(1, 1)));
    }
    let _ = refused(worker.admit(&second, &store, at(4001), &alice(), &tokens(1, 1)));
}

#[test]
fn what_was_taken_of_an_allowance_is_settled_there() {
    let policy = one(json!({"meter": "output_tokens", "rate": {
        "amount": 10, "per": "hour", "allowance": {"amount": 100}}}));
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    let _rate = admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(10, 10)));
    let burst = admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(80, 80)));
    worker.settle(&policy, &store, at(1), burst.reservation, &tokens(0, 30).bound).unwrap();
    let burst = admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(70, 70)));
    let _ = refused(worker.admit(&policy, &store, at(1), &alice(), &tokens(1, 1)));
    worker.withdraw(&policy, &store, at(1), &burst.reservation).unwrap();
    let _ = admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(70, 70)));
}

#[test]
fn a_models_memory_refuses_above_its_limit_until_it_is_reported_lower_or_not_at_all() {
    let policy = policy(json!([
        {"name": "ram", "meter": "ram", "memory_mb": 2048},
        {"name": "ssd", "meter": "ssd", "memory_mb": 16_384, "action": "warn"},
    ]));
    let store = Store::default();
    let mut workers = [worker(&policy, &store, 1, at(0)), worker(&policy, &store, 2, at(0))];
    let report = |worker: &mut Limiter, seconds, ram, ssd| {
        worker.report_memory(&policy, &store, at(seconds), &alice(), Memory { ram, ssd }).unwrap()
    };
    for (ram, fits) in [(2047, true), (2048, true), (2049, false)] {
        assert_eq!(report(&mut workers[0], 1, Some(ram), None), Memory { ram: Some(ram), ssd: None });
        let decision = workers[1].admit(&policy, &store, at(1), &alice(), &tokens(1, 1)).unwrap();
        assert_eq!(matches!(decision, Decision::Admit(_)), fits, "{ram}");
    }
    let refusal = refused(workers[1].admit(&policy, &store, at(2), &alice(), &tokens(1, 1)));
    assert_eq!((policy.limit(refusal.limit).unwrap().label(), refusal.remaining), ("ram", 0));
    let other = Attributes { model: "other", ..alice() };
    let _ = admitted(workers[1].admit(&policy, &store, at(2), &other, &tokens(1, 1)));
    // Its peak is told with every report.
    assert_eq!(
        report(&mut workers[1], 3, Some(100), Some(20_000)),
        Memory { ram: Some(2049), ssd: Some(20_000) }
    );
    let admission = admitted(workers[0].admit(&policy, &store, at(3), &alice(), &tokens(1, 1)));
    assert_eq!(admission.exceeded, [LimitId(1)]);
    // A server that was refused every request reports nothing: it gets another.
    report(&mut workers[0], 10, Some(4000), None);
    let _ = refused(workers[0].admit(&policy, &store, at(40), &alice(), &tokens(1, 1)));
    let _ = admitted(workers[0].admit(&policy, &store, at(41), &alice(), &tokens(1, 1)));
}

#[test]
fn what_an_operator_told_of_a_models_memory_holds_until_the_model_reports_by_itself() {
    let policy = policy(json!([{"name": "ram", "meter": "ram", "memory_mb": 2048}]));
    let store = Store::default();
    let mut workers = [worker(&policy, &store, 1, at(0)), worker(&policy, &store, 2, at(0))];
    let told = Memory { ram: Some(4000), ssd: Some(1) };
    let model = Attributes { model: "m", ..Attributes::default() };
    workers[0].report_memory(&policy, &store, at(1), &model, told).unwrap();
    for second in (5..300).step_by(10) {
        workers.iter_mut().for_each(|worker| {
            worker.hold_memory(&policy, &store, at(second), &model, told).unwrap();
        });
        for later in [0, 9] {
            let _ = refused(workers[1].admit(&policy, &store, at(second + later), &alice(), &tokens(1, 1)));
        }
    }
    let swaps = store.swaps.get();
    workers[0].hold_memory(&policy, &store, at(296), &model, told).unwrap();
    assert_eq!(store.swaps.get(), swaps, "the reading is fresh");
    for second in (300..330).step_by(10) {
        let free = Memory { ram: Some(1), ssd: None };
        workers[0].report_memory(&policy, &store, at(second), &alice(), free).unwrap();
        workers[1].hold_memory(&policy, &store, at(second + 9), &model, told).unwrap();
        let _ = admitted(workers[1].admit(&policy, &store, at(second + 9), &alice(), &tokens(1, 1)));
    }
    workers[1].hold_memory(&policy, &store, at(335), &model, told).unwrap();
    let _ = refused(workers[1].admit(&policy, &store, at(335), &alice(), &tokens(1, 1)));
}

#[test]
fn looking_at_a_models_memory_writes_nothing() {
    let policy = policy(json!([{"name": "ram", "meter": "ram", "memory_mb": 2048}]));
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    worker.report_memory(&policy, &store, at(0), &alice(), Memory { ram: Some(1), ssd: None }).unwrap();
    let swaps = store.swaps.get();
    let admission = admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(1, 1)));
    worker.settle(&policy, &store, at(1), admission.reservation, &Amounts::default()).unwrap();
    assert_eq!(store.swaps.get(), swaps);
}

#[test]
fn a_model_without_limits_of_its_own_gets_the_defaults() {
    let policy = Policy::from_json(json!({"model_defaults": true})).unwrap();
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    let mut delays = Vec::new();
    for _ in 0..203 {
        let admission = admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(1, 1)));
        delays.push(admission.delay_ns / 1_000_000);
    }
    assert_eq!(delays[199..], [0, 10, 20, 30], "200 at once, then one every 10 ms");
    let names: Vec<&str> = policy.limits().iter().map(|limit| limit.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "model-default-requests",
            "model-default-tokens",
            "model-default-requests-per-hour",
            "model-default-tokens-per-hour",
            "model-default-requests-per-day",
            "model-default-tokens-per-day",
            "model-default-ram",
            "model-default-ssd"
        ]
    );
    let amounts: Vec<u64> = policy.limits().iter().map(crate::policy::Limit::most).collect();
    assert_eq!(amounts, [200, 10_000, 10_000, 1_000_000, 100_000, 10_000_000, 2_048, 16_384]);
}
