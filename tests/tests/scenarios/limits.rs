//! Every kind of limit admits what it says, to the unit: one less, exactly as much, one more.

use serde_json::{Value, json};
use tollgate_e2e::http_client::{Answer, Call, count};
use tollgate_e2e::scene::{OPENAI_MODEL, Scene, bucket, chat_from, policy, quota};

/// A chat that may cost `cap` output tokens and does.
fn chat_of(consumer: &str, cap: u64) -> Call {
    chat_using(consumer, cap, cap)
}

/// A chat that may cost `cap` output tokens and costs `used`.
fn chat_using(consumer: &str, cap: u64, used: u64) -> Call {
    chat_from(consumer).header("x-mock-output-tokens", used).edit(|body| {
        body["max_completion_tokens"] = cap.into();
    })
}

#[track_caller]
fn assert_refused(answer: &Answer, limit: &str) {
    assert_eq!((answer.status, answer.limit().as_deref()), (429, Some(limit)), "{}", answer.text());
}

/// `limit` counts requests and allows `most`: so many pass, one after the other, and no more.
async fn assert_counts_requests(limit: Value, most: usize) {
    let name = limit["name"].as_str().unwrap_or_default().to_owned();
    let scene = Scene::standalone(policy(json!([limit])), 2).await;
    for at in 1..=most {
        let answer = scene.envoy.send(&chat_from("alice")).await;
        assert_eq!(answer.status, 200, "request {at} of {most}: {}", answer.text());
    }
    assert_refused(&scene.envoy.send(&chat_from("alice")).await, &name);
    assert_eq!(scene.models.served().len(), most, "a refused request reached the model");
    let other = scene.envoy.send(&chat_from("bob")).await;
    assert_eq!(other.status, 200, "another consumer has a balance of its own: {}", other.text());
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_requests_is_exact() {
    assert_counts_requests(bucket("requests-per-hour", "requests", 5), 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_days_quota_of_requests_is_exact() {
    assert_counts_requests(quota("requests-per-day", "requests", 5, "day"), 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_months_quota_of_requests_is_exact() {
    assert_counts_requests(quota("requests-per-month", "requests", 5, "month"), 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_burst_of_a_bucket_is_exact() {
    let limit = json!({"name": "b", "meter": "requests", "rate": {"amount": 20, "per": "hour", "burst": 3}});
    assert_counts_requests(limit, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credits_of_an_action_are_exact() {
    let scene = Scene::start(2, |config| {
        let mut policy = policy(json!([quota("credits", "credits", 10, "day")]));
        policy["actions"] = json!({"summarize": {"credits": 5, "per": "request"}});
        config.set_policy(policy);
        config.push_route(json!({
            "match": {"prefix": "/summarize/"},
            "route": {"cluster": "models", "prefix_rewrite": "/"},
            "metadata": {"filter_metadata": {"tollgate": {"action": "summarize"}}},
        }));
    })
    .await;
    let call = chat_from("alice").path("/summarize/v1/chat/completions");
    assert_eq!(scene.envoy.send(&call).await.status, 200);
    assert_eq!(scene.envoy.send(&call).await.status, 200);
    assert_refused(&scene.envoy.send(&call).await, "credits");
    assert_eq!(scene.envoy.send(&chat_from("alice")).await.status, 200, "another route costs no credits");
}

/// A budget holds a request's bound: with `limit` units left, a cap of `limit` passes and one more does not; after a
/// settled use, the same of what is left.
async fn assert_bounds_output(scene: &Scene, name: &str, limit: u64) {
    for (consumer, cap) in [("one-less", limit - 1), ("just", limit)] {
        let answer = scene.envoy.send(&chat_of(consumer, cap)).await;
        assert_eq!(answer.status, 200, "{cap} of {limit}: {}", answer.text());
    }
    assert_refused(&scene.envoy.send(&chat_of("one-more", limit + 1)).await, name);
    assert_refused(&scene.envoy.send(&chat_of("just", 1)).await, name);

    let used = limit / 3;
    let left = limit - used;
    for (consumer, cap, status) in [("a", left - 1, 200), ("b", left, 200), ("c", left + 1, 429)] {
        // What was held beyond the actual use comes back when the answer ends.
        assert_eq!(scene.envoy.send(&chat_using(consumer, limit, used)).await.status, 200);
        scene.envoy.wait_for_journal_of(consumer, 1).await;
        let answer = scene.envoy.send(&chat_of(consumer, cap)).await;
        assert_eq!(answer.status, status, "{cap} of {left} left: {}", answer.text());
    }
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_output_tokens_is_exact() {
    let scene = Scene::standalone(policy(json!([quota("output", "output_tokens", 300, "day")])), 2).await;
    assert_bounds_output(&scene, "output", 300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_cost_is_exact() {
    // Free input and output at $1 a million: a nano-dollar less than 300 tokens' worth would show.
    let mut policy = policy(json!([quota("cost", "cost", "0.0003", "month")]));
    policy["prices"] = json!({"overrides": {OPENAI_MODEL: {"input": 0, "output": 1}}});
    let scene = Scene::standalone(policy, 2).await;
    assert_bounds_output(&scene, "cost", 300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_tokens_is_exact_once_the_input_is_known() {
    let most = 400;
    let scene = Scene::standalone(policy(json!([quota("tokens", "tokens", most, "day")])), 2).await;
    // The input's estimate is Tollgate's own business: it is whatever the largest cap that passes leaves.
    let mut estimate = None;
    for guess in 1..most / 2 {
        let answer = scene.envoy.send(&chat_of(&format!("probe-{guess}"), most - guess)).await;
        if answer.status == 200 {
            estimate = Some(guess);
            break;
        }
        assert_refused(&answer, "tokens");
    }
    let estimate = estimate.expect("no cap passes at all");
    // The model server counts one word of input.
    let used = 1 + 100;
    let left = most - used;
    for (consumer, cap, status) in [("a", left - estimate, 200), ("b", left - estimate + 1, 429)] {
        assert_eq!(scene.envoy.send(&chat_of(consumer, 100)).await.status, 200);
        scene.envoy.wait_for_journal_of(consumer, 1).await;
        let answer = scene.envoy.send(&chat_of(consumer, cap)).await;
        assert_eq!(answer.status, status, "{cap} of {left} left: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_output_tokens_reserves_what_is_expected_and_charges_what_came() {
    let mut policy = policy(json!([bucket("output-rate", "output_tokens", 300)]));
    policy["reservation"] = json!({"expected_output_tokens": 100});
    let scene = Scene::standalone(policy, 2).await;
    for at in 1..=3_usize {
        assert_eq!(scene.envoy.send(&chat_of("exact", 100)).await.status, 200, "request {at}");
        scene.envoy.wait_for_journal_of("exact", at).await;
    }
    assert_refused(&scene.envoy.send(&chat_of("exact", 100)).await, "output-rate");
    // One that is shorter gives the rest back.
    for at in 1..=4_usize {
        let short = chat_from("short").header("x-mock-output-tokens", 50);
        assert_eq!(scene.envoy.send(&short).await.status, 200, "request {at}");
        scene.envoy.wait_for_journal_of("short", at).await;
    }
    // An answer that is longer than expected leaves a debt. It comes last: whoever saw only it expects the next as long.
    let long = chat_from("long").header("x-mock-output-tokens", 301);
    assert_eq!(scene.envoy.send(&long).await.status, 200);
    scene.envoy.wait_for_journal_of("long", 1).await;
    assert_refused(&scene.envoy.send(&chat_of("long", 1)).await, "output-rate");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_may_ask_for_so_much() {
    let limits = json!([
        {"name": "longest-answer", "meter": "output_tokens", "per_request": 200},
        {"name": "largest-input", "meter": "input_tokens", "per_request": 500},
    ]);
    let scene = Scene::standalone(policy(limits), 2).await;
    for (cap, status) in [(199, 200), (200, 200), (201, 429)] {
        let answer = scene.envoy.send(&chat_of("alice", cap)).await;
        assert_eq!(answer.status, status, "{cap}: {}", answer.text());
    }
    let prompt = |words| {
        let call = Call::openai(OPENAI_MODEL, words).header("x-consumer", "alice");
        call.edit(|body| body["max_completion_tokens"] = 10.into())
    };
    assert_eq!(scene.envoy.send(&prompt(100)).await.status, 200);
    let refused = scene.envoy.send(&prompt(5000)).await;
    assert_refused(&refused, "largest-input");
    assert_eq!(refused.header("x-should-retry").as_deref(), Some("false"), "the same request never fits");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_one_limit_refuses_consumes_nothing_of_the_others() {
    let limits = json!([
        quota("requests-per-day", "requests", 5, "day"),
        bucket("requests-per-hour", "requests", 5),
        {"name": "longest-answer", "meter": "output_tokens", "per_request": 10},
        {"name": "concurrent", "concurrency": 1},
    ]);
    let scene = Scene::standalone(policy(limits), 2).await;
    for _ in 0..20 {
        assert_refused(&scene.envoy.send(&chat_of("alice", 11)).await, "longest-answer");
    }
    for _ in 0..5 {
        assert_eq!(scene.envoy.send(&chat_of("alice", 10)).await.status, 200);
    }
    let refused = scene.envoy.send(&chat_of("alice", 10)).await;
    assert_eq!(refused.status, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_warns_lets_everything_pass_and_says_so() {
    let mut limit = quota("soft", "requests", 2, "day");
    limit["action"] = "warn".into();
    let scene = Scene::standalone(policy(json!([limit])), 2).await;
    let calls = vec![chat_from("alice"); 5];
    let mut answers = Vec::new();
    for call in &calls {
        answers.push(scene.envoy.send(call).await);
    }
    assert_eq!(count(&answers, 200), 5);
    assert!(answers[4].header("x-tollgate-warning").is_some_and(|warning| warning.contains("soft")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_routes_own_policy_limits_that_route_only() {
    let scene = Scene::example(2, |_| {}).await;
    let expensive = Call::openai(OPENAI_MODEL, 1)
        .key(tollgate_e2e::scene::ENTERPRISE_KEY)
        .path("/expensive/v1/chat/completions");
    let answers = scene.envoy.send_all(vec![expensive; 6]).await;
    assert_eq!(count(&answers, 200), 2, "the burst of the expensive route");
    assert!(
        answers
            .iter()
            .filter(|answer| answer.status != 200)
            .all(|answer| { answer.limit().as_deref() == Some("expensive-requests") })
    );
    let plain = Call::openai(OPENAI_MODEL, 1).key(tollgate_e2e::scene::ENTERPRISE_KEY);
    assert_eq!(scene.envoy.send(&plain).await.status, 200);
}
