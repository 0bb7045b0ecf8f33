//! The official clients understand what Tollgate tells them: they wait as told, or give up at once.

use serde_json::{Value, json};
use tollgate_e2e::clients::{self, Api, Chat, Order};
use tollgate_e2e::scene::{CLAUDE_MODEL, OPENAI_MODEL, Scene, policy, quota};

const APIS: [(Api, &str); 2] = [(Api::OpenAi, OPENAI_MODEL), (Api::Anthropic, CLAUDE_MODEL)];

async fn scene(limit: Value) -> Scene {
    Scene::standalone(policy(json!([limit])), 2).await
}

fn order(scene: &Scene, api: Api, model: &str) -> Order {
    Order::new(api, scene.envoy.address(), "unused", model, "Hello?")
        .header("x-consumer", format!("{api:?}"))
        .with_default_retries()
}

/// Seconds that an attempt was told to wait.
fn told_s(chat: &Chat, attempt: usize) -> f64 {
    let headers = &chat.attempts[attempt].headers;
    headers["retry-after-ms"].parse::<f64>().unwrap() / 1000.0
}

/// One request at a time, another every three seconds.
fn slow_rate() -> Value {
    json!({"name": "rate", "meter": "requests", "rate": {"amount": 20, "per": "minute", "burst": 1}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_waits_exactly_as_long_as_told_and_gets_through() {
    let scene = scene(slow_rate()).await;
    for (api, model) in APIS {
        let chats = clients::chats(&[order(&scene, api, model), order(&scene, api, model)]).await.unwrap();
        let second = &chats[1];
        assert_eq!(second.status, Some(200), "{api:?}: {second:?}");
        assert_eq!(second.attempts[0].status, Some(429), "{api:?}: {second:?}");
        assert_eq!(second.waits_s.len() + 1, second.attempts.len());
        for (at, waited) in second.waits_s.iter().enumerate() {
            let told = told_s(second, at);
            assert!((waited - told).abs() < 0.001, "{api:?}: told {told} s, waits {waited} s");
            let seconds: f64 = second.attempts[at].headers["retry-after"].parse().unwrap();
            assert!(seconds >= told, "{api:?}: the coarse hint is before the fine one");
        }
    }
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_at_once_all_get_through_in_the_end() {
    let limit =
        json!({"name": "rate", "meter": "requests", "rate": {"amount": 60, "per": "minute", "burst": 1}});
    let scene = scene(limit).await;
    for (api, model) in APIS {
        let two = vec![order(&scene, api, model), order(&scene, api, model)];
        let chats = clients::burst(&two).await.unwrap();
        assert!(chats.iter().all(|chat| chat.status == Some(200)), "{api:?}: {chats:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_waiting_does_not_help_a_client_gives_up_at_once() {
    let scene = scene(quota("requests-per-month", "requests", 1, "month")).await;
    for (api, model) in APIS {
        let chats = clients::chats(&[order(&scene, api, model), order(&scene, api, model)]).await.unwrap();
        assert_eq!(chats[0].status, Some(200), "{:?}", chats[0]);
        let refused = &chats[1];
        assert_eq!(refused.exception.as_deref(), Some("RateLimitError"), "{refused:?}");
        assert_eq!(refused.attempts.len(), 1, "{api:?} tried again: {refused:?}");
        assert!(refused.waits_s.is_empty());
        assert_eq!(refused.header("x-should-retry"), Some("false"));
        assert_eq!(refused.limit(), Some("requests-per-month"));
        assert_error_is_the_providers_own(api, refused);
    }
}

fn assert_error_is_the_providers_own(api: Api, refused: &Chat) {
    let body = refused.body.clone().unwrap_or_default();
    match api {
        // The library hands out what is inside `error`.
        Api::OpenAi => {
            assert!(body["message"].is_string() && body["type"].is_string(), "{body}");
            assert!(body.as_object().is_some_and(|body| body.contains_key("param")), "{body}");
            assert!(refused.code.is_some(), "{refused:?}");
        }
        Api::Anthropic => {
            assert_eq!(body["type"], "error", "{body}");
            assert_eq!(body["error"]["type"], "rate_limit_error", "{body}");
            assert!(body["error"]["message"].is_string(), "{body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_stream_is_refused_like_any_other() {
    let scene = scene(quota("requests", "requests", 1, "day")).await;
    for (api, model) in APIS {
        let stream = order(&scene, api, model).streamed();
        let chats = clients::chats(&[stream.clone(), stream]).await.unwrap();
        assert_eq!(chats[0].status, Some(200), "{:?}", chats[0]);
        assert_eq!(chats[1].exception.as_deref(), Some("RateLimitError"), "{:?}", chats[1]);
    }
}
