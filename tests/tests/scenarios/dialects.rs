//! Every API that clients speak: what they get is what the provider sent, and the tally is what the provider bills.

use serde_json::{Value, json};
use tollgate_e2e::http_client::{Answer, Call};
use tollgate_e2e::model_server::{ModelUsage, Served, prompt_of};
use tollgate_e2e::scene::{CLAUDE_MODEL, OPENAI_MODEL, Scene, bucket, chat_from, generous, policy};
use tollgate_e2e::wait;
use tollgate_wire::{Outcome, Tally};

const WORDS: usize = 7;
const GEMINI: &str = "gemini-2.5-flash";
const NOVA: &str = "amazon.nova-pro-v1:0";

fn usage_of(tally: &Tally) -> ModelUsage {
    ModelUsage {
        input: tally.input.0,
        cache_read: tally.cache_read.0,
        cache_write: tally.cache_write.0,
        output: tally.output.0,
        reasoning: tally.reasoning.0,
    }
}

/// A request in each API: its name, itself, who is called, the model, and whether caches are part of the usage.
fn calls() -> Vec<(&'static str, Call, &'static str, &'static str, bool)> {
    let text = prompt_of(WORDS);
    let message = json!([{"role": "user", "content": text}]);
    let blocks = json!([{"role": "user", "content": [{"text": text}]}]);
    let parts = json!({"contents": [{"role": "user", "parts": [{"text": text}]}]});
    let claude = json!({"anthropic_version": "v", "max_tokens": 1000, "messages": message});
    let converse = json!({"messages": blocks, "inferenceConfig": {"maxTokens": 1000}});
    let vertex = "/v1/projects/p/locations/l/publishers";
    let post = |path: &str, body: &Value| Call::post(path, body);
    let nova = format!("/model/{}", NOVA.replace(':', "%3A"));
    let completion = json!({"model": OPENAI_MODEL, "prompt": text});
    let responses = json!({"model": OPENAI_MODEL, "input": text});
    let cohere = json!({"model": "command-a-03-2025", "messages": message});
    let mistral = json!({"model": "mistral-large-latest", "messages": message});
    let ollama = json!({"model": "llama3.1:8b", "messages": message});
    let tgi = json!({"inputs": text, "parameters": {"details": true}});
    let streamed = |body: &Value, stream: bool| {
        let mut body = body.clone();
        body["stream"] = stream.into();
        body
    };
    vec![
        (
            "azure",
            post(
                "/openai/deployments/our-gpt/chat/completions?api-version=2026-10-01",
                &json!({"model": "x", "messages": message}),
            ),
            "azure",
            "our-gpt",
            true,
        ),
        ("completions", post("/v1/completions", &completion), "openai", OPENAI_MODEL, true),
        ("responses", post("/v1/responses", &responses), "openai", OPENAI_MODEL, true),
        (
            "responses-stream",
            post("/v1/responses", &streamed(&responses, true)),
            "openai",
            OPENAI_MODEL,
            true,
        ),
        ("embeddings", post("/v1/embeddings", &responses), "openai", OPENAI_MODEL, false),
        (
            "vertex-claude",
            post(&format!("{vertex}/anthropic/models/{CLAUDE_MODEL}:rawPredict"), &claude),
            "vertex",
            CLAUDE_MODEL,
            true,
        ),
        (
            "vertex-claude-stream",
            post(&format!("{vertex}/anthropic/models/{CLAUDE_MODEL}:streamRawPredict"), &claude),
            "vertex",
            CLAUDE_MODEL,
            true,
        ),
        (
            "gemini",
            post(&format!("/v1beta/models/{GEMINI}:generateContent"), &parts),
            "google",
            GEMINI,
            false,
        ),
        (
            "gemini-events",
            post(&format!("/v1beta/models/{GEMINI}:streamGenerateContent?alt=sse"), &parts),
            "google",
            GEMINI,
            false,
        ),
        (
            "gemini-array",
            post(&format!("/v1beta/models/{GEMINI}:streamGenerateContent"), &parts),
            "google",
            GEMINI,
            false,
        ),
        ("converse", post(&format!("{nova}/converse"), &converse), "bedrock", NOVA, true),
        ("converse-stream", post(&format!("{nova}/converse-stream"), &converse), "bedrock", NOVA, true),
        ("invoke", post(&format!("{nova}/invoke"), &claude), "bedrock", NOVA, true),
        (
            "invoke-stream",
            post(&format!("{nova}/invoke-with-response-stream"), &claude),
            "bedrock",
            NOVA,
            true,
        ),
        ("cohere", post("/v2/chat", &cohere), "cohere", "command-a-03-2025", false),
        ("cohere-stream", post("/v2/chat", &streamed(&cohere, true)), "cohere", "command-a-03-2025", false),
        (
            "mistral-stream",
            post(
                "/v1/fim/completions",
                &json!({"model": "codestral-latest", "prompt": text, "stream": true}),
            ),
            "mistral",
            "codestral-latest",
            false,
        ),
        ("mistral-chat", post("/v1/chat/completions", &mistral), "openai", "mistral-large-latest", false),
        (
            "mistral-chat-stream",
            post("/v1/chat/completions", &streamed(&mistral, true)),
            "openai",
            "mistral-large-latest",
            false,
        ),
        ("tool", post("/mcp", &tool_call(1, "search_docs")), "", "", false),
        ("ollama", post("/api/chat", &streamed(&ollama, false)), "ollama", "llama3.1:8b", false),
        ("ollama-stream", post("/api/chat", &ollama), "ollama", "llama3.1:8b", false),
        ("tgi", post("/generate", &tgi), "tgi", "", false),
        ("tgi-stream", post("/generate_stream", &tgi), "tgi", "", false),
        ("llama-cpp", post("/completion", &json!({"prompt": text})), "llama_cpp", "", false),
        (
            "llama-cpp-stream",
            post("/completion", &json!({"prompt": text, "stream": true})),
            "llama_cpp",
            "",
            false,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_api_is_counted_right_and_passes_untouched() {
    let scene = Scene::standalone(policy(generous()), 2).await;
    for (name, call, provider, model, caches) in calls() {
        let call = call.header("x-mock-id", "the-same").header("x-mock-output-tokens", 21);
        let call = if caches {
            call.header("x-mock-cache-read", 1024).header("x-mock-cache-write", 88)
        } else {
            call
        };
        let direct = call.send(scene.models.address()).await.unwrap();
        assert_eq!(direct.status, 200, "{name}: {}", direct.text());
        for split in [0, 1, 7, 100] {
            let consumer = format!("{name}-{split}");
            scene.models.reset();
            let call = call.clone().header("x-consumer", &consumer).header("x-mock-split", split);
            let through = scene.envoy.send(&call).await;
            assert_eq!(through.body, direct.body, "{consumer}: what the client gets");
            let served = scene.models.served().remove(0);
            assert_eq!(served.body.as_bytes(), call.body().as_ref(), "{consumer}: what the model gets");
            let tally = scene.envoy.wait_for_journal_of(&consumer, 1).await.remove(0);
            assert_eq!(usage_of(&tally), served.usage, "{consumer}: {tally:?}");
            assert_eq!(tally.outcome, Outcome::Ok, "{consumer}: {tally:?}");
            assert_eq!((tally.provider.as_str(), tally.model.as_str()), (provider, model), "{consumer}");
        }
    }
    scene.envoy.assert_no_trap();
}

/// Streams of OpenAI's that say nothing about their usage unless they are asked.
fn unasked() -> [Call; 2] {
    let text = prompt_of(WORDS);
    let chat =
        json!({"model": OPENAI_MODEL, "stream": true, "messages": [{"role": "user", "content": text}]});
    let completion = json!({"model": OPENAI_MODEL, "stream": true, "prompt": text});
    [Call::post("/v1/chat/completions", &chat), Call::post("/v1/completions", &completion)]
        .map(|call| call.header("x-mock-id", "the-same").header("x-mock-output-tokens", 33))
}

/// The request that the model got, which must have the length that it says.
#[track_caller]
fn only(mut served: Vec<Served>) -> Served {
    assert_eq!(served.len(), 1, "one request became another number");
    let served = served.remove(0);
    match served.header("content-length") {
        Some(length) => assert_eq!(length, served.body_bytes.to_string()),
        None => assert_eq!(served.header("transfer-encoding"), Some("chunked")),
    }
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_asked_for_on_the_clients_behalf_and_the_client_does_not_see_it() {
    let scene = Scene::standalone(policy(generous()), 2).await;
    for (kind, call) in unasked().into_iter().enumerate() {
        let direct = call.send(scene.models.address()).await.unwrap();
        assert!(!direct.text().contains("\"usage\":null"), "the model was not asked");
        for (split, chunk) in [(0, None), (1, None), (7, Some(10)), (300, Some(1000)), (100_000, None)] {
            let consumer = format!("unasked-{kind}-{split}");
            scene.models.reset();
            let mut call = call.clone().header("x-consumer", &consumer).header("x-mock-split", split);
            if let Some(bytes) = chunk {
                call = call.chunked(bytes);
            }
            let through = scene.envoy.send(&call).await;
            assert_eq!(through.text(), direct.text(), "{consumer}: what the client gets");
            let served = only(scene.models.served());
            let body: Value = serde_json::from_str(&served.body).unwrap();
            assert_eq!(body["stream_options"], json!({"include_usage": true}), "{consumer}");
            let tally = scene.envoy.wait_for_journal_of(&consumer, 1).await.remove(0);
            assert_eq!((usage_of(&tally), tally.outcome), (served.usage, Outcome::Ok), "{consumer}");
        }
    }
    // The next request on the connection to the model is a request of its own.
    assert_eq!(scene.envoy.send(&chat_from("after")).await.status, 200);
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_of_who_would_refuse_it() {
    let scene = Scene::start(1, |config| {
        config.set_policy(policy(generous()));
        config.push_route(json!({
            "match": {"prefix": "/mistral/"},
            "route": {"cluster": "models"},
            "metadata": {"filter_metadata": {"tollgate": {"dialect": "mistral"}}},
        }));
    })
    .await;
    let [chat, _] = unasked();
    let signed = "AWS4-HMAC-SHA256 Credential=x/20261122/us-east-1/bedrock/aws4_request, Signature=y";
    let old = "/openai/deployments/d/chat/completions?api-version=2024-02-01";
    for (name, call) in [
        ("signed", chat.clone().header("authorization", signed)),
        ("route", chat.clone().path("/mistral/v1/chat/completions")),
        ("model", chat.clone().edit(|body| body["model"] = "mistral-large-latest".into())),
        ("old", chat.clone().path(old)),
        ("whole", chat.clone().edit(|body| body["stream"] = false.into())),
        ("asked", chat.clone().edit(|body| body["stream_options"] = json!({"include_usage": true}))),
    ] {
        scene.models.reset();
        let answer = scene.envoy.send(&call.clone().header("x-consumer", name)).await;
        assert_eq!(answer.status, 200, "{name}");
        assert_eq!(only(scene.models.served()).body.as_bytes(), call.body().as_ref(), "{name}");
        let tally = scene.envoy.wait_for_journal_of(name, 1).await.remove(0);
        // Mistral tells it unasked.
        let told = matches!(name, "whole" | "asked" | "route" | "model");
        let expected = if told { Outcome::Ok } else { Outcome::Estimated };
        assert_eq!(tally.outcome, expected, "{name}: {tally:?}");
        assert!(tally.output.0 >= 16, "{name}: {tally:?}");
        let shown = answer.text().contains("\"usage\":{");
        assert_eq!(shown, told, "{name}: {}", answer.text());
    }
    let mut never = policy(generous());
    never["traffic"] = json!({"ask_usage": false});
    let scene = Scene::standalone(never, 1).await;
    scene.envoy.send(&chat.clone().header("x-consumer", "never")).await;
    assert_eq!(only(scene.models.served()).body.as_bytes(), chat.body().as_ref());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_stops_is_seen_as_far_as_it_came() {
    let scene = Scene::standalone(policy(generous()), 1).await;
    let [chat, _] = unasked();
    let call = chat.header("x-consumer", "alice").header("x-mock-hang-after", 5);
    let mut answering = call.start(scene.envoy.address()).await.unwrap();
    // Four words have been said, and nothing of them is held back.
    let so_far = answering.read_until("\"content\":\" opens\"").await.unwrap();
    assert!(!so_far.contains("usage"), "{so_far}");
    assert!(so_far.ends_with("\n\n"), "an event is there to its end: {so_far}");
    drop(answering);
    let tally = scene.envoy.wait_for_journal_of("alice", 1).await.remove(0);
    assert_eq!(tally.outcome, Outcome::Aborted, "{tally:?}");
    scene.wait_until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_come_compressed_all_the_same_are_counted() {
    let scene = Scene::standalone(policy(generous()), 1).await;
    for (kind, call) in
        [Call::openai(OPENAI_MODEL, WORDS).streamed(), Call::anthropic(CLAUDE_MODEL, WORDS, 1000)]
            .into_iter()
            .enumerate()
    {
        for (encoding, outcome) in [
            ("gzip", Outcome::Ok),
            ("deflate", Outcome::Ok),
            ("br", Outcome::Estimated),
            ("zstd", Outcome::Estimated),
        ] {
            let consumer = format!("{encoding}-{kind}");
            scene.models.reset();
            let call = call
                .clone()
                .header("accept-encoding", "gzip, deflate, br, zstd")
                .header("x-mock-encoding", encoding)
                .header("x-mock-id", "the-same")
                .header("x-mock-output-tokens", 300);
            let direct = call.send(scene.models.address()).await.unwrap();
            scene.models.reset();
            let through = scene.envoy.send(&call.header("x-consumer", &consumer)).await;
            assert_eq!(through.body, direct.body, "{consumer}");
            assert_eq!(through.header("content-encoding").as_deref(), Some(encoding));
            let served = only(scene.models.served());
            assert_eq!(served.header("accept-encoding"), Some("identity"), "it was asked not to");
            let tally = scene.envoy.wait_for_journal_of(&consumer, 1).await.remove(0);
            assert_eq!(tally.outcome, outcome, "{consumer}: {tally:?}");
            match outcome {
                Outcome::Ok => assert_eq!(usage_of(&tally), served.usage, "{consumer}"),
                _ => assert!(tally.output.0 >= through.body.len() as u64 / 2, "{consumer}: {tally:?}"),
            }
        }
    }
    wait::until(
        "four answers to be counted as unread",
        || scene.envoy.logs(),
        async || {
            let unread = scene.envoy.prometheus().await.sum("tollgate_unread_encoding", &[]);
            (unread == Some(4.0)).then_some(())
        },
    )
    .await;
    scene.envoy.assert_no_trap();
}

/// A policy that reads bodies of 2 KiB.
fn small(larger: &str) -> Value {
    let mut small = policy(generous());
    small["traffic"] = json!({"body_bytes_max": 2048, "larger_bodies": larger});
    small
}

/// A chat whose body has exactly so many bytes.
fn chat_of(bytes: usize) -> Call {
    let empty = chat_from("alice");
    let text = "x".repeat(bytes - empty.body().len());
    let call = empty.edit(|body| {
        let content = body["messages"][0]["content"].as_str().unwrap_or_default().to_owned();
        body["messages"][0]["content"] = (content + &text).into();
    });
    assert_eq!(call.body().len(), bytes);
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_too_large_to_be_read_is_refused_in_the_clients_own_words() {
    let scene = Scene::standalone(small("refuse"), 1).await;
    for call in [chat_of(2048), chat_of(2048).chunked(500)] {
        assert_eq!(scene.envoy.send(&call).await.status, 200);
    }
    for call in [chat_of(2049), chat_of(2049).chunked(500), chat_of(100_000), chat_of(100_000).chunked(5000)]
    {
        scene.models.reset();
        let answer = scene.envoy.send(&call).await;
        assert_eq!(answer.status, 413, "{}", answer.text());
        assert!(answer.json()["error"]["message"].is_string(), "{}", answer.text());
        assert!(scene.models.served().is_empty(), "it was let through uncounted");
    }
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_too_large_to_be_read_passes_and_counts_by_its_size() {
    let scene = Scene::standalone(small("estimate"), 1).await;
    for (name, call) in [("length", chat_of(100_000)), ("chunks", chat_of(100_000).chunked(5000))] {
        scene.models.reset();
        let call = call.header("x-mock-omit-usage", 1).edit(|_| ());
        let call = Call::post_bytes("/v1/chat/completions", call.body().clone())
            .header("x-consumer", name)
            .header("x-mock-omit-usage", 1);
        let call = if name == "chunks" { call.chunked(5000) } else { call };
        let answer = scene.envoy.send(&call).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(only(scene.models.served()).body.as_bytes(), call.body().as_ref());
        let tally = scene.envoy.wait_for_journal_of(name, 1).await.remove(0);
        assert_eq!((tally.outcome, tally.input.0), (Outcome::Estimated, 25_000), "{tally:?}");
        assert!(tally.cost_nusd.0 > 0, "{tally:?}");
    }
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_taken_for_what_the_configuration_says() {
    let mut policy = policy(generous());
    policy["traffic"] = json!({"media_tokens": 5_000});
    let scene = Scene::standalone(policy, 1).await;
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,".to_owned() + &"iVBO".repeat(9_000)}});
    for count in [1, 3] {
        let consumer = format!("{count}-images");
        let messages = json!([{"role": "user", "content": vec![image.clone(); count]}]);
        let call = Call::post("/v1/chat/completions", &json!({"model": OPENAI_MODEL, "messages": messages}))
            .header("x-consumer", &consumer)
            .header("x-mock-omit-usage", 1);
        assert_eq!(scene.envoy.send(&call).await.status, 200);
        let tally = scene.envoy.wait_for_journal_of(&consumer, 1).await.remove(0);
        let images = 5_000 * count as u64;
        assert!((images..images + 10).contains(&tally.input.0), "{tally:?}");
    }
}

fn tool_call(id: u64, name: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": name, "arguments": {}}})
}

fn mcp(body: &Value) -> Call {
    Call::post("/mcp", body)
        .header("x-consumer", "alice")
        .header("accept", "application/json, text/event-stream")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_has_limits_of_its_own() {
    let mut search = bucket("searches", "requests", 2);
    search["key"] = json!(["consumer", "tool"]);
    search["when"] = json!({"tool": ["search", "several"]});
    let mut limits = generous();
    limits.as_array_mut().unwrap().push(search);
    let scene = Scene::standalone(policy(limits), 1).await;
    let send = async |body: Value| -> Answer { scene.envoy.send(&mcp(&body)).await };
    assert_eq!(send(tool_call(1, "search")).await.status, 200);
    assert_eq!(send(json!([tool_call(2, "search"), tool_call(3, "search")])).await.status, 200);
    let refused = send(tool_call(4, "search")).await;
    assert_eq!((refused.status, refused.limit().as_deref()), (429, Some("searches")));
    assert_eq!((&refused.json()["jsonrpc"], &refused.json()["id"]), (&json!("2.0"), &json!(4)));
    assert_eq!(send(tool_call(5, "weather")).await.status, 200, "another tool has none");
    // A header may say what it likes, and a batch of several tools is none of them.
    let lying = mcp(&tool_call(6, "search"))
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "weather");
    assert_eq!(scene.envoy.send(&lying).await.status, 429);
    let mixed = json!([tool_call(7, "weather"), tool_call(8, "search")]);
    assert_eq!(send(mixed.clone()).await.status, 200);
    assert_eq!(send(mixed.clone()).await.status, 200);
    assert_eq!(send(mixed).await.status, 429);
    let tallies = scene.envoy.wait_for_journal_of("alice", 5).await;
    assert!(
        tallies.iter().all(|tally| tally.cost_nusd.0 == 0 && tally.input.0 + tally.output.0 == 0),
        "{tallies:?}"
    );
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_server_checks_them_the_headers_tell_the_tool() {
    let mut search = bucket("searches", "requests", 1);
    search["when"] = json!({"tool": ["search"]});
    let mut trusting = policy(json!([search]));
    trusting["traffic"] = json!({"trust_mcp_headers": true});
    let scene = Scene::standalone(trusting, 1).await;
    let call = |name: &str| {
        mcp(&tool_call(1, name))
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", name)
    };
    assert_eq!(scene.envoy.send(&call("search")).await.status, 200);
    assert_eq!(scene.envoy.send(&call("search")).await.status, 429);
    assert_eq!(scene.envoy.send(&call("weather")).await.status, 200);
    assert_eq!(
        scene.envoy.send(&mcp(&tool_call(2, "search"))).await.status,
        429,
        "an older client's body is read"
    );
    scene.envoy.assert_no_trap();
}
