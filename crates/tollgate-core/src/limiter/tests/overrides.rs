//! One consumer's limits that are others for now: so many percent of each kind, for it alone, and as configured afterwards.

use super::*;
use crate::policy::LimitOverride;

fn override_of(limit: &str, percent: u32) -> [LimitOverride; 1] {
    [LimitOverride { limit: limit.into(), percent }]
}

fn with(overrides: &[LimitOverride]) -> Attributes<'_> {
    Attributes { overrides, ..alice() }
}

/// How many requests pass at this second, of ten tokens each.
fn pass(
    worker: &mut Limiter,
    policy: &Policy,
    store: &Store,
    second: u64,
    request: &Attributes<'_>,
) -> usize {
    let admit = |_: &usize| {
        let decision = worker.admit(policy, store, at(second), request, &tokens(10, 10)).unwrap();
        matches!(decision, Decision::Admit(_))
    };
    (0..100).take_while(admit).count()
}

#[test]
fn each_kind_of_limit_is_so_many_percent_of_itself_for_one_consumer_alone() {
    for kind in [
        json!({"meter": "requests", "rate": {"amount": 4, "per": "hour"}}),
        json!({"meter": "tokens", "rate": {"amount": 40, "per": "hour"}}),
        json!({"meter": "requests", "rate": {"amount": 60, "per": "hour", "burst": 1, "allowance": {"amount": 3}}}),
        json!({"meter": "requests", "window": {"amount": 4, "per": "minute"}}),
        json!({"meter": "requests", "quota": {"amount": 4, "per": "day"}}),
        json!({"meter": "output_tokens", "quota": {"amount": 40, "per": "month"}}),
        json!({"meter": "cost", "quota": {"amount": "0.0000004", "per": "day"}}),
        json!({"concurrency": 4}),
    ] {
        let mut limit = json!({"name": "l"});
        limit.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
        let (policy, store) = (policy(json!([limit])), Store::default());
        let mut worker = worker(&policy, &store, 1, at(0));
        let (twice, half) = (override_of("l", 200), override_of("l", 50));
        let others = override_of("another", 200);
        let bob = Attributes { consumer: "bob", overrides: &half, ..alice() };
        let carol = Attributes { consumer: "carol", overrides: &others, ..alice() };
        let mut passed = |request| pass(&mut worker, &policy, &store, 1, &request);
        assert_eq!((passed(with(&twice)), passed(bob), passed(carol)), (8, 2, 4), "{kind}");
        assert_eq!(passed(alice()), 0, "what is used stays used: {kind}");
    }
}

#[test]
fn what_one_request_may_ask_for_can_be_raised_as_well() {
    let limits = json!([{"name": "l", "meter": "output_tokens", "per_request": 5}]);
    let (policy, store) = (policy(limits), Store::default());
    let mut worker = worker(&policy, &store, 1, at(0));
    let refusal =
        refused(worker.admit(&policy, &store, at(1), &with(&override_of("l", 180)), &tokens(10, 10)));
    assert_eq!((refusal.why, refusal.most), (Why::TooLarge, 9));
    assert_eq!(pass(&mut worker, &policy, &store, 1, &with(&override_of("l", 200))), 100);
}

#[test]
fn what_a_consumer_shares_is_not_its_own_to_override() {
    let limits = json!([
        {"name": "all", "meter": "requests", "rate": {"amount": 4, "per": "hour"}, "key": []},
        {"name": "model", "meter": "requests", "quota": {"amount": 5, "per": "day"}, "key": ["model"]},
    ]);
    let (policy, store) = (policy(limits), Store::default());
    let mut worker = worker(&policy, &store, 1, at(0));
    let both = [override_of("all", 1000), override_of("model", 1000)].concat();
    assert_eq!(pass(&mut worker, &policy, &store, 1, &with(&both)), 4);
}

#[test]
fn clients_read_how_much_of_the_limit_there_is_for_them() {
    let limits = json!([{"name": "l", "meter": "requests", "quota": {"amount": 4, "per": "day"}}]);
    let (policy, store) = (policy(limits), Store::default());
    let mut worker = worker(&policy, &store, 1, at(0));
    let twice = override_of("l", 200);
    let admission = admitted(worker.admit(&policy, &store, at(1), &with(&twice), &tokens(1, 1)));
    assert_eq!((admission.statuses[0].most, admission.statuses[0].remaining), (8, 7));
    assert_eq!(pass(&mut worker, &policy, &store, 1, &with(&twice)), 7);
    let refusal = refused(worker.admit(&policy, &store, at(1), &with(&twice), &tokens(1, 1)));
    assert_eq!((refusal.most, refusal.remaining), (8, 0));
}

#[test]
fn a_bucket_stays_as_full_as_it_is_when_an_override_begins_or_ends() {
    let limits =
        json!([{"name": "l", "meter": "tokens", "rate": {"amount": 600, "per": "minute", "burst": 100}}]);
    let (policy, store) = (policy(limits), Store::default());
    let mut worker = worker(&policy, &store, 1, at(0));
    let tenfold = override_of("l", 1000);
    assert_eq!(pass(&mut worker, &policy, &store, 0, &alice()), 10);
    assert_eq!(pass(&mut worker, &policy, &store, 0, &with(&tenfold)), 0, "an empty one stays empty");
    assert_eq!(pass(&mut worker, &policy, &store, 5, &with(&tenfold)), 50, "and fills ten times as fast");
    assert_eq!(pass(&mut worker, &policy, &store, 10, &alice()), 5);
}

#[test]
fn what_was_taken_under_an_override_comes_back_as_it_was_taken() {
    let kinds = [
        json!({"name": "l", "meter": "tokens", "rate": {"amount": 60, "per": "minute"}}),
        json!({"name": "l", "meter": "tokens", "window": {"amount": 60, "per": "minute"}}),
        json!({"name": "l", "meter": "tokens", "quota": {"amount": 60, "per": "day"}}),
        json!({"name": "l", "concurrency": 1}),
    ];
    for kind in kinds {
        let (policy, store) = (policy(json!([kind])), Store::default());
        let mut worker = worker(&policy, &store, 1, at(0));
        for percent in [10, 300] {
            let overrides = override_of("l", percent);
            let admission = admitted(worker.admit(&policy, &store, at(0), &with(&overrides), &tokens(6, 6)));
            worker.settle(&policy, &store, at(0), admission.reservation, &Amounts::default()).unwrap();
            let admission = admitted(worker.admit(&policy, &store, at(0), &alice(), &tokens(60, 60)));
            assert_eq!(admission.statuses[0].remaining, 0, "{kind}");
            worker.withdraw(&policy, &store, at(0), &admission.reservation).unwrap();
        }
    }
}

#[test]
fn a_stream_outgrows_an_overridden_limit_where_that_ends() {
    let limits = json!([{"name": "l", "meter": "tokens", "quota": {"amount": 100, "per": "day"}, "mid_stream": "end"}]);
    let (policy, store) = (policy(limits), Store::default());
    let mut worker = worker(&policy, &store, 1, at(0));
    let twice = override_of("l", 200);
    let mut reservation =
        admitted(worker.admit(&policy, &store, at(0), &with(&twice), &tokens(50, 50))).reservation;
    let mut needs = |output| {
        let needs = Amounts { output: TokenCount(output), ..Amounts::default() };
        worker.top_up(&policy, &store, at(1), &mut reservation, &needs, true).unwrap()
    };
    assert_eq!(needs(200), TopUp::Taken(vec![]));
    assert!(matches!(needs(201), TopUp::Exhausted(Refusal { most: 200, .. })));
}

#[test]
fn no_percentage_leaves_less_than_one_unit() {
    for kind in [
        json!({"name": "l", "meter": "requests", "rate": {"amount": 3, "per": "hour"}}),
        json!({"name": "l", "meter": "requests", "window": {"amount": 3, "per": "minute"}}),
        json!({"name": "l", "meter": "requests", "quota": {"amount": 3, "per": "day"}}),
    ] {
        let (policy, store) = (policy(json!([kind])), Store::default());
        let mut worker = worker(&policy, &store, 1, at(0));
        assert_eq!(pass(&mut worker, &policy, &store, 1, &with(&override_of("l", 1))), 1, "{kind}");
    }
}
