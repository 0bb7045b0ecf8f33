//! Requests that wait: paced by a throttle, or in line for what others hold.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tollgate_e2e::http_client::{Answer, Call, count};
use tollgate_e2e::scene::{OPENAI_MODEL, Scene, chat_from, policy, quota};
use tollgate_e2e::wait;
use tollgate_wire::Outcome;

/// Workers of these scenes: more than one, or nobody has to be woken across them.
const WORKERS: usize = 4;

/// A policy with two tiers, named by a header, that share these limits.
fn two_tiers(limits: Value, queue: Value) -> Value {
    let tier = |priority: u8| json!({"priority": priority, "limits": []});
    json!({
        "name": "test",
        "identity": {
            "consumer": [{"header": "x-consumer"}],
            "tier": [{"header": "x-tier"}],
            "default_tier": "low",
        },
        "tiers": {"low": tier(1), "high": tier(9)},
        "limits": limits,
        "queue": queue,
    })
}

/// One place in flight for everybody together, with a queue.
fn one_at_a_time() -> Value {
    json!([{"name": "one", "concurrency": 1, "key": [], "action": "queue"}])
}

/// Waits until so many requests have had to wait since the start.
async fn until_waiting(scene: &Scene, kind: &str, count: u64) {
    let name = format!("wasmcustom.tollgate_waited.kind={kind}");
    wait::until(
        &format!("{count} requests to be {kind}"),
        || scene.envoy.logs(),
        async || (scene.envoy.stats().await.stat(&name) >= count).then_some(()),
    )
    .await;
}

/// Starts a request, and returns once Envoy has it and makes it wait as the `count`-th.
async fn start_waiting(
    scene: &Scene,
    call: Call,
    kind: &str,
    count: u64,
) -> tokio::task::JoinHandle<anyhow::Result<Answer>> {
    let to = scene.envoy.address();
    let waiting = tokio::spawn(async move { call.send(to).await });
    until_waiting(scene, kind, count).await;
    waiting
}

/// Takes the only place and keeps it until the returned task is aborted.
async fn hold_the_place(scene: &Scene) -> tokio::task::JoinHandle<anyhow::Result<Answer>> {
    let call = chat_from("holder").header("x-mock-delay-ms", 600_000);
    let to = scene.envoy.address();
    let holding = tokio::spawn(async move { call.send(to).await });
    wait::until_true("the model to have it", || scene.models.in_flight().current == 1).await;
    holding
}

/// The values of a header at the model server, in the order it was asked.
fn served_order(scene: &Scene, header: &str) -> Vec<String> {
    let served = scene.models.served();
    served.iter().filter_map(|served| served.header(header).map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttle_lets_requests_pass_at_its_rate_and_refuses_none() {
    let rate = json!({"amount": 20, "per": "second", "burst": 1});
    let limit = json!({"name": "rps", "meter": "requests", "rate": rate, "action": "throttle", "max_wait_ms": 60_000});
    let scene = Scene::standalone(policy(json!([limit])), WORKERS).await;
    for http2 in [false, true] {
        let call = if http2 { chat_from("alice").http2() } else { chat_from("alice") };
        let start = Instant::now();
        let answers = scene.envoy.send_all(vec![call; 30]).await;
        assert_eq!(count(&answers, 200), 30);
        // Only the lower bound is the filter's: a slow machine takes longer.
        let least = Duration::from_millis(29 * 50);
        assert!(start.elapsed() >= least, "30 at 20 a second took {:?}", start.elapsed());
        let waited = answers.iter().filter(|answer| answer.header("x-tollgate-waited-ms").is_some());
        assert!(waited.count() >= 28, "they are told that they waited");
    }
    let peak = scene.models.in_flight().peak;
    assert!(peak <= 3, "{peak} at once: they were not spread");
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn throttled_requests_pass_in_the_order_they_came() {
    let rate = json!({"amount": 30, "per": "minute", "burst": 1});
    let limit = json!({"name": "rpm", "meter": "requests", "rate": rate, "action": "throttle", "max_wait_ms": 60_000});
    let scene = Scene::standalone(policy(json!([limit])), WORKERS).await;
    assert_eq!(scene.envoy.send(&chat_from("alice").header("x-number", 0)).await.status, 200);
    let mut waiting = Vec::new();
    for number in 1..4 {
        let call = chat_from("alice").header("x-number", number);
        waiting.push(start_waiting(&scene, call, "throttled", number).await);
    }
    for answer in waiting {
        assert_eq!(answer.await.unwrap().unwrap().status, 200);
    }
    assert_eq!(served_order(&scene, "x-number"), ["0", "1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_beyond_the_longest_is_refused_with_the_time_to_come_again() {
    let rate = json!({"amount": 1, "per": "hour"});
    let limit =
        json!({"name": "rph", "meter": "requests", "rate": rate, "action": "throttle", "max_wait_ms": 1000});
    let scene = Scene::standalone(policy(json!([limit])), 1).await;
    assert_eq!(scene.envoy.send(&chat_from("alice")).await.status, 200);
    let refused = scene.envoy.send(&chat_from("alice")).await;
    assert_eq!((refused.status, refused.limit().as_deref()), (429, Some("rph")));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_away_while_paced_leaves_no_trace() {
    let rate = json!({"amount": 30, "per": "minute", "burst": 1});
    let limits = json!([
        {"name": "rpm", "meter": "requests", "rate": rate, "action": "throttle", "max_wait_ms": 600_000},
        quota("day", "requests", 3, "day"),
    ]);
    let scene = Scene::standalone(policy(limits), WORKERS).await;
    assert_eq!(scene.envoy.send(&chat_from("alice")).await.status, 200);
    for (number, http2) in [(1, false), (2, true), (3, false)] {
        let call = if http2 { chat_from("alice").http2() } else { chat_from("alice") };
        start_waiting(&scene, call, "throttled", number).await.abort();
        wait::until(
            "the request to be forgotten",
            || scene.envoy.logs(),
            async || {
                let left = scene.envoy.stats().await.stat("wasmcustom.tollgate_left_while_waiting");
                (left == number).then_some(())
            },
        )
        .await;
    }
    let statuses = [
        scene.envoy.send(&chat_from("alice")).await.status,
        scene.envoy.send(&chat_from("alice")).await.status,
        scene.envoy.send(&chat_from("alice")).await.status,
    ];
    assert_eq!(statuses, [200, 200, 429], "three a day, and the three that left were none of them");
    assert_eq!(scene.models.served().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_serves_the_important_first_and_loses_nobody() {
    for http2 in [false, true] {
        let scene = Scene::standalone(two_tiers(one_at_a_time(), json!({})), WORKERS).await;
        let holding = hold_the_place(&scene).await;
        let mut waiting = Vec::new();
        for number in 0..24 {
            let tier = if number % 3 == 2 { "high" } else { "low" };
            let consumer = format!("{tier}-{}", number % 4);
            let call = chat_from(&consumer).header("x-tier", tier);
            let call = if http2 { call.http2() } else { call };
            let to = scene.envoy.address();
            waiting.push(tokio::spawn(async move { call.send(to).await }));
        }
        until_waiting(&scene, "queued", 24).await;
        assert_eq!(scene.models.in_flight().current, 1, "one at a time");
        holding.abort();
        for answer in waiting {
            let answer = answer.await.unwrap().unwrap();
            assert_eq!(answer.status, 200);
            assert!(answer.header("x-tollgate-waited-ms").is_some());
        }
        let order = served_order(&scene, "x-tier");
        let expected: Vec<&str> = [["high"; 8].as_slice(), ["low"; 16].as_slice()].concat();
        assert_eq!(order, expected, "http2: {http2}");
        scene.envoy.assert_no_trap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn within_a_tier_consumers_take_turns() {
    let scene = Scene::standalone(two_tiers(one_at_a_time(), json!({})), 1).await;
    let holding = hold_the_place(&scene).await;
    let mut waiting = Vec::new();
    for (number, consumer) in ["ann", "ann", "ann", "ben", "ben", "cy"].into_iter().enumerate() {
        waiting.push(start_waiting(&scene, chat_from(consumer), "queued", number as u64 + 1).await);
    }
    holding.abort();
    for answer in waiting {
        assert_eq!(answer.await.unwrap().unwrap().status, 200);
    }
    let order = served_order(&scene, "x-consumer");
    assert_eq!(order, ["holder", "ann", "ben", "cy", "ann", "ben", "ann"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_waited_long_enough_goes_before_the_important() {
    let scene = Scene::standalone(two_tiers(one_at_a_time(), json!({"promote_after_ms": 1})), WORKERS).await;
    let holding = hold_the_place(&scene).await;
    let mut waiting = Vec::new();
    for (number, tier) in ["low", "high", "low", "high"].into_iter().enumerate() {
        let call = chat_from(tier).header("x-tier", tier);
        waiting.push(start_waiting(&scene, call, "queued", number as u64 + 1).await);
    }
    holding.abort();
    for answer in waiting {
        assert_eq!(answer.await.unwrap().unwrap().status, 200);
    }
    assert_eq!(served_order(&scene, "x-tier"), ["low", "high", "low", "high"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_the_line_or_waits_too_long_takes_nothing() {
    let queue = json!({"max_wait_ms": 4000});
    let scene = Scene::standalone(two_tiers(one_at_a_time(), queue), WORKERS).await;
    let holding = hold_the_place(&scene).await;
    let late = start_waiting(&scene, chat_from("late"), "queued", 1).await;
    start_waiting(&scene, chat_from("gone"), "queued", 2).await.abort();
    let late = late.await.unwrap().unwrap();
    assert_eq!((late.status, late.limit().as_deref()), (429, Some("one")));
    holding.abort();
    // The place is free when the client is gone, which the model hears of a moment later.
    scene.wait_until_idle().await;
    wait::until(
        "the place",
        || scene.envoy.logs(),
        async || {
            let answers = scene.envoy.send_all(vec![chat_from("next"); 8]).await;
            (count(&answers, 200) == 8).then_some(())
        },
    )
    .await;
    assert_eq!(scene.models.in_flight().peak, 1);
    let order = served_order(&scene, "x-consumer");
    assert!(!order.contains(&"gone".to_owned()) && !order.contains(&"late".to_owned()));
    let tallies = scene.envoy.wait_for_journal_of("late", 1).await;
    assert_eq!(tallies[0].outcome, Outcome::Refused);
    assert!(scene.envoy.journal().iter().all(|tally| tally.consumer != "gone"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_room_refuses() {
    let queue = json!({"length": 3, "per_consumer": 2});
    let scene = Scene::standalone(two_tiers(one_at_a_time(), queue), 1).await;
    let holding = hold_the_place(&scene).await;
    let mut waiting = Vec::new();
    for (number, consumer) in ["ann", "ann", "ben"].into_iter().enumerate() {
        waiting.push(start_waiting(&scene, chat_from(consumer), "queued", number as u64 + 1).await);
        if number == 1 {
            assert_eq!(scene.envoy.send(&chat_from("ann")).await.status, 429, "a third of one consumer");
        }
    }
    assert_eq!(scene.envoy.send(&chat_from("cy")).await.status, 429, "a fourth of all");
    holding.abort();
    for answer in waiting {
        assert_eq!(answer.await.unwrap().unwrap().status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_workers_and_many_consumers_share_a_few_places_without_loss() {
    let limits = json!([{"name": "few", "concurrency": 4, "key": [], "action": "queue"}]);
    let scene = Scene::standalone(two_tiers(limits, json!({})), WORKERS).await;
    let calls: Vec<Call> = (0..300)
        .map(|at| {
            let call = Call::openai(OPENAI_MODEL, 3).header("x-consumer", format!("user-{}", at % 30));
            let call = call.header("x-tier", if at % 5 == 0 { "high" } else { "low" });
            call.header("x-mock-delay-ms", at % 7)
        })
        .collect();
    for _ in 0..2 {
        let answers = scene.envoy.send_all(calls.clone()).await;
        assert_eq!(count(&answers, 200), 300);
    }
    assert!(scene.models.in_flight().peak <= 4, "{} at once", scene.models.in_flight().peak);
    scene.envoy.assert_no_trap();
}

/// Prints what waiting costs: not a check, because a figure depends on the machine. Run it by name with
/// `--ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures and checks nothing that depends on them"]
async fn figures_of_pacing_and_waking() {
    const PACED: u32 = 200;
    const QUEUED: u32 = 400;
    let rate = json!({"amount": 100, "per": "second", "burst": 1});
    let limit = json!({"name": "rps", "meter": "requests", "rate": rate, "action": "throttle", "max_wait_ms": 60_000});
    let scene = Scene::standalone(policy(json!([limit])), WORKERS).await;
    let to = scene.envoy.address();
    let start = Instant::now();
    let calls = (0..PACED).map(|_| {
        tokio::spawn(async move {
            chat_from("alice").send(to).await.map(|answer| (answer.status, start.elapsed()))
        })
    });
    let mut ends = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        let (status, end) = call.await.unwrap().unwrap();
        assert_eq!(status, 200);
        ends.push(end);
    }
    ends.sort();
    // The schedule is that of the most punctual: the first of all also pays for 200 connections at once.
    let off = |end: &Duration, at: u32| {
        end.as_micros() as i128 - (Duration::from_millis(10) * at).as_micros() as i128
    };
    let first = ends.iter().zip(0u32..).map(|(end, at)| off(end, at)).min().unwrap_or_default();
    let mut late: Vec<i128> = ends.iter().zip(0u32..).map(|(end, at)| off(end, at) - first).collect();
    late.sort_unstable();
    let at = |percent: usize| late[(late.len() - 1) * percent / 100];
    println!("pacing, 100 a second: off the ideal by {} us (p50), {} us (p99)", at(50), at(99));

    let scene = Scene::standalone(two_tiers(one_at_a_time(), json!({"per_consumer": 1000})), WORKERS).await;
    let start = Instant::now();
    for _ in 0..QUEUED {
        assert_eq!(scene.envoy.send(&chat_from("alice")).await.status, 200);
    }
    let alone = start.elapsed() / QUEUED;
    let start = Instant::now();
    let answers = scene.envoy.send_all(vec![chat_from("alice"); QUEUED as usize]).await;
    assert_eq!(count(&answers, 200), QUEUED as usize);
    let queued = start.elapsed() / QUEUED;
    println!(
        "one place, a request after another: {alone:?} each; {QUEUED} in line over {WORKERS} workers: {queued:?} each"
    );
}
