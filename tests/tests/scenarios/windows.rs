//! Limits over time beyond buckets and days: sliding windows, other calendars, burst allowances, grace and shadow.
//! Each admits what it says: one less, exactly as much, one more.

use serde_json::{Value, json};
use tollgate_e2e::scene::{Scene, chat_from, policy};

/// So many pass, one after the other on two workers, the next is refused, and another consumer is not disturbed.
async fn assert_admits(limit: Value, most: usize) {
    let name = limit["name"].as_str().unwrap_or_default().to_owned();
    let scene = Scene::standalone(policy(json!([limit])), 2).await;
    for at in 1..=most {
        let answer = scene.envoy.send(&chat_from("alice")).await;
        assert_eq!(answer.status, 200, "request {at} of {most}: {}", answer.text());
    }
    let refused = scene.envoy.send(&chat_from("alice")).await;
    assert_eq!((refused.status, refused.limit()), (429, Some(name)), "{}", refused.text());
    assert_eq!(scene.models.served().len(), most, "a refused request reached the model");
    assert_eq!(scene.envoy.send(&chat_from("bob")).await.status, 200);
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sliding_window_of_requests_is_exact() {
    let window = json!({"amount": 4, "per": "hour"});
    assert_admits(json!({"name": "sliding", "meter": "requests", "window": window}), 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sliding_window_of_output_tokens_holds_the_bound() {
    let window = json!({"amount": 300, "per": "day"});
    let limit = json!({"name": "sliding", "meter": "output_tokens", "window": window});
    let scene = Scene::standalone(policy(json!([limit])), 2).await;
    let chat = |consumer: &str, cap: u64| {
        chat_from(consumer).header("x-mock-output-tokens", cap).edit(|body| {
            body["max_completion_tokens"] = cap.into();
        })
    };
    for (consumer, cap, status) in
        [("less", 299, 200), ("just", 300, 200), ("more", 301, 429), ("just", 1, 429)]
    {
        let answer = scene.envoy.send(&chat(consumer, cap)).await;
        assert_eq!(answer.status, status, "{consumer} {cap}: {}", answer.text());
    }
    scene.envoy.assert_no_trap();
}

/// A reset of an hour half an hour away, so that none ends while a scenario runs.
fn far_minute() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("00:{:02}", (now.as_secs() / 60 + 30) % 60)
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_of_an_hour_a_week_and_so_many_days_are_exact() {
    let day = tollgate_e2e::scene::far_reset();
    for (per, reset_at) in [
        (json!("hour"), far_minute()),
        (json!("week"), day.clone()),
        (json!({"every": {"days": 30, "from": "2026-01-01"}}), day.clone()),
    ] {
        let quota = json!({"amount": 3, "per": per, "reset_at": reset_at, "zone": "UTC"});
        assert_admits(json!({"name": "quota", "meter": "requests", "quota": quota}), 3).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_allowance_comes_on_top_of_the_rate() {
    let rate = json!({"amount": 2, "per": "hour", "allowance": {"amount": 3}});
    assert_admits(json!({"name": "burst", "meter": "requests", "rate": rate}), 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grace_lets_requests_pass_and_says_so() {
    let limit =
        json!({"name": "graced", "meter": "requests", "grace_s": 3600, "rate": {"amount": 2, "per": "hour"}});
    let scene = Scene::standalone(policy(json!([limit])), 2).await;
    for at in 1..=6 {
        let answer = scene.envoy.send(&chat_from("alice")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let warned =
            answer.header("x-tollgate-warning").is_some_and(|text| text.starts_with("graced;exceeded"));
        assert_eq!(warned, at > 2, "request {at}");
    }
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_in_shadow_refuses_nobody_and_a_condition_can_exclude() {
    let limits = json!([
        {"name": "shadow", "meter": "requests", "action": "shadow", "quota": {"amount": 1, "per": "month"}},
        {"name": "others", "concurrency": 1, "when": {"model": ["!gpt-*"]}},
        {"name": "real", "meter": "requests", "when": {"model": ["gpt-*"]}, "window": {"amount": 3, "per": "day"}},
    ]);
    let scene = Scene::standalone(policy(limits), 2).await;
    for _ in 0..3 {
        assert_eq!(scene.envoy.send(&chat_from("alice")).await.status, 200);
    }
    let refused = scene.envoy.send(&chat_from("alice")).await;
    assert_eq!((refused.status, refused.limit().as_deref()), (429, Some("real")), "{}", refused.text());
    scene.envoy.assert_no_trap();
}
