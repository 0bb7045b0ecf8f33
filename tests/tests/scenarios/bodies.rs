//! What a client sends is what the model gets, byte for byte, and nothing that a body holds confuses Envoy or Tollgate.

use bytes::Bytes;
use serde_json::json;
use tollgate_e2e::http_client::{Call, count};
use tollgate_e2e::model_server::Served;
use tollgate_e2e::scene::{CLAUDE_MODEL, OPENAI_MODEL, Scene, chat_from, policy, quota};

/// Limits that need the body.
async fn scene() -> Scene {
    let limits = json!([
        quota("tokens", "tokens", 10_000_000, "day"),
        quota("cost", "cost", 1000, "day"),
        {"name": "largest-input", "meter": "input_tokens", "per_request": 5_000_000},
        {"name": "concurrent", "concurrency": 2},
    ]);
    Scene::standalone(policy(limits), 2).await
}

fn raw(body: impl Into<Bytes>) -> Call {
    Call::post_bytes("/v1/chat/completions", body.into()).header("x-consumer", "alice")
}

#[track_caller]
fn assert_arrived(served: &Served, call: &Call) {
    assert_eq!(served.body.as_bytes(), call.body().as_ref());
    if let Some(length) = served.header("content-length") {
        assert_eq!(length, call.body().len().to_string());
    } else {
        assert_eq!(served.header("transfer-encoding"), Some("chunked"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_arrive_byte_for_byte() {
    let scene = scene().await;
    let odd = "{ \"messages\" :[{\"role\":\"user\", \"content\": \"\\u4f60\\ud83d\\ude00 na\\u00efve \\\"max_tokens\\\":9 é你好🚦\"}],\n\n\t\"model\":\"gpt-5.4-mini\" , \"stream\":false, \"unknown\": [1e400, {\"model\": \"decoy\", \"max_tokens\": 1}] }  \n";
    let plain =
        format!("{{\"model\":\"{OPENAI_MODEL}\",\"messages\":[{{\"role\":\"user\",\"content\":\"x\"}}]}}");
    let calls = [
        raw(plain.clone()),
        raw(plain.clone()).chunked(1),
        raw(plain).chunked(1000),
        raw(odd),
        raw(odd).chunked(7),
        chat_from("alice").streamed(),
        Call::openai(OPENAI_MODEL, 50_000).header("x-consumer", "alice"),
        Call::openai(OPENAI_MODEL, 50_000).header("x-consumer", "alice").chunked(4096),
        Call::anthropic(CLAUDE_MODEL, 10, 100).header("x-consumer", "alice"),
    ];
    for call in &calls {
        scene.models.reset();
        let answer = scene.envoy.send(call).await;
        let served = scene.models.served();
        assert_eq!(served.len(), 1, "one request became another number: {}", answer.text());
        assert_arrived(&served[0], call);
    }
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_larger_than_the_buffer_is_refused_and_leaves_nothing_behind() {
    let scene = scene().await;
    let huge = Call::openai(OPENAI_MODEL, 2 << 20).header("x-consumer", "alice");
    assert!(huge.body().len() > 8 << 20);
    for _ in 0..3 {
        assert_eq!(scene.envoy.send(&huge).await.status, 413);
    }
    assert!(scene.models.served().is_empty(), "it was let through uncounted");
    let answers = scene.envoy.send_all(vec![chat_from("alice"); 2]).await;
    assert_eq!(count(&answers, 200), 2, "the slots are free");
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_chats_do_no_harm() {
    let scene = scene().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies: Vec<Bytes> = vec![
        Bytes::new(),
        Bytes::from_static(b"{"),
        Bytes::from_static(b"null"),
        Bytes::from_static(b"[]"),
        Bytes::from_static(b"\xff\xfe\x00not text"),
        Bytes::from_static(b"{\"model\":5,\"messages\":\"none\",\"max_tokens\":-1}"),
        Bytes::from_static(b"{\"model\":\"\",\"messages\":[]}"),
        Bytes::from_static(b"{\"model\":\"m\",\"max_tokens\":99999999999999999999999999}"),
        Bytes::from(deep),
    ];
    for body in bodies {
        let answer = scene.envoy.send(&raw(body.clone())).await;
        assert!(answer.status < 500, "{}: {body:.80?}", answer.status);
    }
    for call in [Call::get("/v1/models"), Call::get("/"), Call::post("/elsewhere", &json!({}))] {
        let answer = scene.envoy.send(&call.header("x-consumer", "alice")).await;
        assert!(answer.status < 500, "{}", answer.status);
    }
    let answers = scene.envoy.send_all(vec![chat_from("alice"); 2]).await;
    assert_eq!(count(&answers, 200), 2, "the slots are free");
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_repeated_key_the_last_counts_as_it_does_for_servers() {
    let mut policy = policy(json!([{"name": "longest", "meter": "output_tokens", "per_request": 100}]));
    policy["prices"] = json!({"unknown": "refuse"});
    let scene = Scene::standalone(policy, 1).await;
    let messages = r#""messages":[{"role":"user","content":"x"}]"#;
    let body = |caps: &str| format!(r#"{{"model":"{OPENAI_MODEL}",{messages},{caps}}}"#);
    assert_eq!(scene.envoy.send(&raw(body(r#""max_tokens":5,"max_tokens":500"#))).await.status, 429);
    assert_eq!(scene.envoy.send(&raw(body(r#""max_tokens":500,"max_tokens":5"#))).await.status, 200);
}
