//! What becomes of requests when the models are loaded: the unimportant are turned away or wait, and limits tighten.

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tollgate_e2e::http_client::{Answer, Call, count};
use tollgate_e2e::scene::{Scene, bucket, chat_from};
use tollgate_e2e::wait;

/// Workers of these scenes: what a model reports to one of them, all must know.
const WORKERS: usize = 4;

const BUSY: &str = "TEXT named_metrics.kv_cache_usage_perc=0.97";
const IDLE: &str = "JSON {\"named_metrics\": {\"kv_cache_usage_perc\": 0.0}}";

/// Two tiers, named by a header, and what the load does to them. Routes under `/billing` are of a critical workflow.
fn two_tiers(load: Value) -> Value {
    json!({
        "name": "test",
        "identity": {
            "consumer": [{"header": "x-consumer"}],
            "tier": [{"header": "x-tier"}],
            "default_tier": "low",
        },
        "tiers": {"low": {"priority": 1}, "high": {"priority": 9}},
        "load": load,
    })
}

async fn scene(policy: Value, workers: usize) -> Scene {
    Scene::start(workers, |config| {
        config.set_policy(policy);
        config.push_route(json!({
            "match": {"prefix": "/billing/"},
            "route": {"cluster": "models", "prefix_rewrite": "/", "timeout": "0s"},
            "metadata": {"filter_metadata": {"tollgate": {"workflow": "billing"}}},
        }));
    })
    .await
}

fn of_tier(tier: &str) -> Call {
    chat_from(tier).header("x-tier", tier)
}

async fn count_of(scene: &Scene, name: &str) -> u64 {
    scene.envoy.stats().await.stat(&format!("wasmcustom.{name}"))
}

async fn until_queued(scene: &Scene, requests: u64) {
    wait::until(
        &format!("{requests} requests in line"),
        || scene.envoy.logs(),
        async || (count_of(scene, "tollgate_waited.kind=queued").await >= requests).then_some(()),
    )
    .await;
}

fn start(scene: &Scene, call: &Call) -> JoinHandle<anyhow::Result<Answer>> {
    let (to, call) = (scene.envoy.address(), call.clone());
    tokio::spawn(async move { call.send(to).await })
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_wait_for_a_loaded_model_and_the_important_go_first() {
    let load = json!({"capacity": 2, "action": "queue", "critical_workflows": ["billing"]});
    for http2 in [false, true] {
        let scene = scene(two_tiers(load.clone()), 1).await;
        let holder = of_tier("high").header("x-mock-delay-ms", 600_000);
        let holders = [start(&scene, &holder), start(&scene, &holder)];
        wait::until_true("the model to have both", || scene.models.in_flight().current == 2).await;
        let critical = of_tier("low").path("/billing/v1/chat/completions");
        let mut waiting = Vec::new();
        let order = [("1", of_tier("low")), ("2", of_tier("high")), ("3", critical), ("4", of_tier("low"))];
        for (at, (number, call)) in order.into_iter().enumerate() {
            let call = call.header("x-number", number);
            waiting.push(start(&scene, &if http2 { call.http2() } else { call }));
            until_queued(&scene, at as u64 + 1).await;
        }
        assert_eq!(scene.models.in_flight().current, 2, "all others wait");
        holders[0].abort();
        for answer in waiting {
            let answer = answer.await.unwrap().unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(answer.header("x-tollgate-waited-ms").is_some());
        }
        let served = scene.models.served();
        let order: Vec<_> = served.iter().filter_map(|served| served.header("x-number")).collect();
        assert_eq!(order, ["3", "2", "1", "4"], "http2: {http2}");
        holders[1].abort();
        scene.envoy.assert_no_trap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reported_load_keeps_one_tier_waiting_and_turns_the_other_away_until_it_falls() {
    let utilization = json!(["named_metrics.kv_cache_usage_perc"]);
    let mut policy = two_tiers(json!({"utilization": utilization, "action": "queue"}));
    policy["tiers"]["none"] = json!({"priority": 1, "load_action": "reject"});
    policy["tiers"]["operator"] = json!({"priority": 200});
    policy["load"]["critical_workflows"] = json!(["billing"]);
    let scene = scene(policy, WORKERS).await;
    let report = |load| of_tier("operator").path("/billing/v1/chat/completions").header("x-mock-load", load);
    wait::until(
        "all workers to know",
        || scene.envoy.logs(),
        async || {
            scene.envoy.send(&report(BUSY)).await;
            let answers = scene.envoy.send_all(vec![of_tier("none"); 16]).await;
            (count(&answers, 503) == 16).then_some(())
        },
    )
    .await;
    let waiting: Vec<_> =
        (0..40).map(|_| start(&scene, &of_tier("low").header("x-mock-load", IDLE))).collect();
    let reporting = {
        let (to, call) = (scene.envoy.address(), report(BUSY));
        tokio::spawn(async move {
            loop {
                let _ = call.send(to).await;
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        })
    };
    until_queued(&scene, 40).await;
    reporting.abort();
    wait::until(
        "those who wait to go on",
        || scene.envoy.logs(),
        async || {
            scene.envoy.send(&report(IDLE)).await;
            waiting.iter().all(JoinHandle::is_finished).then_some(())
        },
    )
    .await;
    for answer in waiting {
        assert_eq!(answer.await.unwrap().unwrap().status, 200);
    }
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_while_the_model_is_loaded_leaves_no_trace_and_waits_no_longer_than_allowed() {
    let mut policy = two_tiers(json!({"capacity": 1, "action": "queue"}));
    policy["queue"] = json!({"max_wait_ms": 3000});
    let scene = scene(policy, 1).await;
    let holding = start(&scene, &of_tier("high").header("x-mock-delay-ms", 600_000));
    wait::until_true("the model to have it", || scene.models.in_flight().current == 1).await;
    let late = start(&scene, &chat_from("late"));
    until_queued(&scene, 1).await;
    for (left, call) in [(1, chat_from("gone")), (2, chat_from("gone").http2())] {
        let gone = start(&scene, &call);
        until_queued(&scene, left + 1).await;
        gone.abort();
        wait::until(
            "the request to be forgotten",
            || scene.envoy.logs(),
            async || (count_of(&scene, "tollgate_left_while_waiting").await == left).then_some(()),
        )
        .await;
    }
    assert_eq!(late.await.unwrap().unwrap().status, 503, "it has waited as long as it may");
    holding.abort();
    scene.wait_until_idle().await;
    assert_eq!(scene.envoy.send(&chat_from("next")).await.status, 200);
    let served = scene.models.served();
    let consumers: Vec<_> = served.iter().filter_map(|served| served.header("x-consumer")).collect();
    assert_eq!(consumers, ["high", "next"]);
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_tighten_when_models_report_strain_and_are_whole_again_afterwards() {
    let mut policy = two_tiers(json!({
        "utilization": ["named_metrics.kv_cache_usage_perc"],
        "shed_above": 100,
        "tighten": {"above": 90, "below": 50, "relax_after_ms": 400, "limits": 50},
    }));
    policy["tiers"]["low"]["limits"] = json!([bucket("rate", "requests", 10)]);
    let scene = scene(policy, WORKERS).await;
    let mut fresh = 0..;
    // Sixteen at once from somebody new: as many pass as the bucket holds.
    let mut passed_of_sixteen = async |load: &str| {
        let call =
            chat_from(&format!("user-{}", fresh.next().unwrap_or_default())).header("x-mock-load", load);
        let answers = scene.envoy.send_all(vec![call; 16]).await;
        assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 429)));
        count(&answers, 200)
    };
    assert_eq!(passed_of_sixteen(IDLE).await, 10);
    for (load, passes) in [(BUSY, 5), (IDLE, 10)] {
        wait::until(
            &format!("{passes} to pass"),
            || scene.envoy.logs(),
            async || {
                let passed = passed_of_sixteen(load).await;
                assert!((5..=10).contains(&passed), "{passed} passed");
                (passed == passes).then_some(())
            },
        )
        .await;
    }
    for to in ["tight", "relaxed"] {
        wait::until(
            "the changes to be counted",
            || scene.envoy.logs(),
            async || {
                let changes = count_of(&scene, &format!("tollgate_limits_changed.kind={to}")).await;
                (changes >= 1).then_some(())
            },
        )
        .await;
    }
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn when_models_report_load_the_unimportant_are_turned_away_first() {
    let policy = two_tiers(json!({"utilization": ["named_metrics.kv_cache_usage_perc"], "shed_above": 80}));
    let scene = Scene::standalone(policy, WORKERS).await;
    let low = chat_from("low").header("x-tier", "low");
    let high = chat_from("high").header("x-tier", "high");
    // The least important are turned away from 80 % on, the next from 90 % on.
    let report = "TEXT named_metrics.kv_cache_usage_perc=0.85";
    let answer = scene.envoy.send(&high.clone().header("x-mock-load", report)).await;
    assert_eq!(
        (answer.status, answer.header("endpoint-load-metrics")),
        (200, None),
        "not the client's to know"
    );
    assert_eq!(scene.models.served().remove(0).header("endpoint-load-metrics-format"), Some("JSON"));
    wait::until(
        "all workers to know",
        || scene.envoy.logs(),
        async || {
            scene.envoy.send(&high.clone().header("x-mock-load", report)).await;
            let answers = scene.envoy.send_all(vec![low.clone(); 16]).await;
            (count(&answers, 503) == 16).then_some(())
        },
    )
    .await;
    assert_eq!(scene.envoy.send(&high.header("x-mock-load", report)).await.status, 200);
    let shed = scene.envoy.send(&low).await;
    assert_eq!(shed.status, 503);
    assert!(shed.header("retry-after").is_some());
    let idle = "JSON {\"named_metrics\": {\"kv_cache_usage_perc\": 0.0}}";
    wait::until(
        "the load to be forgotten",
        || scene.envoy.logs(),
        async || {
            scene.envoy.send(&chat_from("high").header("x-tier", "high").header("x-mock-load", idle)).await;
            (scene.envoy.send(&low).await.status == 200).then_some(())
        },
    )
    .await;
    scene.envoy.assert_no_trap();
}
