//! What an operator decides holds in every worker of a running Envoy, and in one that starts anew.

use serde_json::json;
use tollgate_e2e::envoy::Envoy;
use tollgate_e2e::http_client::{Answer, Call, count};
use tollgate_e2e::scene::{LedgerScene, bucket, chat_from, quota};
use tollgate_e2e::wait;

/// Requests that are sent at once, on connections of their own: every worker gets some.
const AT_ONCE: usize = 24;

/// A ledger scene of consumers named by a header, of tier `small` unless an operator says otherwise.
async fn scene() -> LedgerScene {
    LedgerScene::example(2, |policy| {
        policy["identity"] = json!({"consumer": [{"header": "x-consumer"}], "default_tier": "small"});
        policy["tiers"] = json!({
            "small": {"limits": [quota("daily", "requests", 2, "day")]},
            "large": {"limits": [quota("daily", "requests", 100_000, "day")]},
            "burst": {"limits": [bucket("hourly", "requests", 2)]},
        });
        policy.remove("access");
        policy["limits"] = json!([]);
        policy["policies"] = json!({});
        policy.remove("default_policy");
    })
    .await
}

/// Runs `tollgate` as the operator.
fn operator(scene: &LedgerScene, arguments: &[&str]) -> String {
    scene.ledger.command(arguments).unwrap_or_else(|error| panic!("{error:#}"))
}

fn crowd(consumer: &str) -> Vec<Call> {
    vec![chat_from(consumer); AT_ONCE]
}

/// Waits until everybody who asks at once gets this status, and returns their answers.
async fn until_all(scene: &LedgerScene, consumer: &str, status: u16) -> Vec<Answer> {
    let began = std::time::Instant::now();
    let what = format!("all of {consumer}'s requests to be answered with {status}");
    let answers = wait::until(
        &what,
        || scene.envoy.logs(),
        async || {
            let answers = scene.envoy.send_all(crowd(consumer)).await;
            (count(&answers, status) == AT_ONCE).then_some(answers)
        },
    )
    .await;
    eprintln!("{what}: {} ms after the decision", began.elapsed().as_millis());
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_consumer_is_refused_everywhere_until_it_is_let_in_again() {
    let mut scene = scene().await;
    operator(&scene, &["consumer", "tier", "mallory", "large"]);
    until_all(&scene, "mallory", 200).await;
    operator(&scene, &["consumer", "suspend", "mallory", "--reason", "The invoice of May is unpaid."]);
    let answers = until_all(&scene, "mallory", 403).await;
    assert!(answers.iter().all(|answer| answer.text().contains("invoice of May")), "{}", answers[0].text());
    assert_eq!(scene.envoy.send(&chat_from("alice")).await.status, 200, "nobody else is");
    // A new Envoy knows it from the ledger.
    scene.envoy.kill9();
    scene.envoy = Envoy::start(&scene.config, 2).await.unwrap();
    until_all(&scene, "mallory", 403).await;
    operator(&scene, &["consumer", "unsuspend", "mallory"]);
    until_all(&scene, "mallory", 200).await;
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tier_raises_the_limit_and_an_override_ends_by_itself() {
    let scene = scene().await;
    until_all(&scene, "alice", 429).await;
    operator(&scene, &["consumer", "override", "alice", "large", "--for", "12s"]);
    until_all(&scene, "alice", 200).await;
    until_all(&scene, "alice", 429).await;
    operator(&scene, &["consumer", "tier", "alice", "large"]);
    until_all(&scene, "alice", 200).await;
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_consumers_limit_is_raised_for_some_time_and_clients_read_it() {
    let scene = scene().await;
    until_all(&scene, "alice", 429).await;
    operator(&scene, &["consumer", "override-limit", "alice", "daily", "100000", "--for", "12s"]);
    for (status, policy) in [(200, r#""daily";q=2000"#), (429, r#""daily";q=2"#)] {
        wait::until(
            &format!("alice to be answered with {status} and {policy}"),
            || scene.envoy.logs(),
            async || {
                let answer = scene.envoy.send(&chat_from("alice")).await;
                (answer.status == status && answer.header("ratelimit-policy").as_deref() == Some(policy))
                    .then_some(())
            },
        )
        .await;
    }
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bypass_and_a_grace_let_pass_what_limits_would_refuse_and_it_is_entered() {
    let scene = scene().await;
    for (consumer, decision) in
        [("alice", ["bypass", "alice"].as_slice()), ("bob", &["grace", "bob", "--for", "1h"])]
    {
        until_all(&scene, consumer, 429).await;
        operator(&scene, &[&["consumer"], decision].concat());
        until_all(&scene, consumer, 200).await;
        // Two were within the limit.
        wait::until(
            "what passed to be entered",
            || scene.ledger.logs(),
            async || {
                let usage = scene.ledger.usage_of(consumer).await;
                (usage.requests - usage.refused >= 2 + AT_ONCE as u64).then_some(())
            },
        )
        .await;
    }
    operator(&scene, &["consumer", "end-bypass", "alice"]);
    until_all(&scene, "alice", 429).await;
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_gives_a_fresh_balance() {
    let scene = scene().await;
    until_all(&scene, "alice", 429).await;
    operator(&scene, &["consumer", "reset", "alice"]);
    wait::until(
        "a fresh balance",
        || scene.envoy.logs(),
        async || (scene.envoy.send(&chat_from("alice")).await.status == 200).then_some(()),
    )
    .await;
    until_all(&scene, "alice", 429).await;
    operator(&scene, &["consumer", "tier", "alice", "burst"]);
    until_all(&scene, "alice", 429).await;
    operator(&scene, &["switch", "reset-bursts"]);
    wait::until(
        "a fresh burst",
        || scene.envoy.logs(),
        async || (scene.envoy.send(&chat_from("alice")).await.status == 200).then_some(()),
    )
    .await;
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_switch_for_everybody_is_thrown_at_run_time() {
    let scene = scene().await;
    until_all(&scene, "alice", 429).await;
    for way in ["shadow", "off"] {
        operator(&scene, &["switch", "enforcement", way, "--reason", "incident 7"]);
        until_all(&scene, "alice", 200).await;
        operator(&scene, &["switch", "enforcement", "on"]);
        until_all(&scene, "alice", 429).await;
    }
    scene.envoy.assert_no_trap();
}
