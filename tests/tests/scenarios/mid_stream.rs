//! Streams that outgrow what was reserved for them: they take more as they go, and where a limit that ends streams has no
//! more, the client's own library raises the error, the model is stopped, and the bill is for what was received.

use serde_json::{Value, json};
use tollgate_e2e::clients::{self, Api, Chat, Order};
use tollgate_e2e::http_client::{Answering, Call};
use tollgate_e2e::model_server::prompt_of;
use tollgate_e2e::scene::{CLAUDE_MODEL, OPENAI_MODEL, Scene, bucket, chat_from, policy, quota};
use tollgate_e2e::wait;
use tollgate_wire::{Outcome, Tally};

/// Output tokens that a consumer has.
const LIMIT: u64 = 300;
/// A stream is topped up so much ahead, and ends by so much too early at most.
const AHEAD: u64 = 16;
/// What the longest of the model server's words is estimated at, at most: an event is not cut.
const LONGEST_WORD: u64 = 48;
/// Words that the model would say.
const WORDS: u64 = 2_000;

fn tokens() -> Value {
    bucket("output-per-hour", "output_tokens", LIMIT)
}

fn with(limits: Value, mid_stream: &str) -> Value {
    let mut policy = policy(limits);
    policy["reservation"] = json!({
        "expected_output_tokens": 40, "uncapped_output_tokens": 80, "mid_stream": mid_stream,
    });
    policy
}

fn order(scene: &Scene, api: Api, consumer: &str) -> Order {
    let model = if api == Api::OpenAi { OPENAI_MODEL } else { CLAUDE_MODEL };
    Order::new(api, scene.envoy.address(), "unused", model, "Tell me everything.")
        .streamed()
        .max_tokens(WORDS)
        .header("x-consumer", consumer)
        .header("x-mock-output-tokens", WORDS)
}

async fn tally_of(scene: &Scene, consumer: &str) -> Tally {
    scene.envoy.wait_for_journal_of(consumer, 1).await.remove(0)
}

/// Waits until so many streams are counted that outgrew the limit.
async fn wait_for_outgrown(scene: &Scene, outcome: &str, count: f64) {
    let counted = [("limit", "output-per-hour"), ("outcome", outcome)];
    wait::until(
        "the metrics",
        || scene.envoy.logs(),
        async || {
            (scene.envoy.prometheus().await.sum("tollgate_outgrown", &counted) == Some(count)).then_some(())
        },
    )
    .await;
}

#[track_caller]
fn assert_ended(tally: &Tally, limit: &str) {
    assert_eq!((tally.outcome, tally.refused_by.as_str()), (Outcome::Ended, limit), "{tally:?}");
    let output = tally.output.0;
    assert!(output + AHEAD + LONGEST_WORD > LIMIT && output <= LIMIT + LONGEST_WORD, "{tally:?}");
}

#[track_caller]
fn assert_says_why(chat: &Chat, limit: &str) {
    let message = chat.message.as_deref().unwrap_or_default();
    assert!(message.contains("The answer was ended") && message.contains(limit), "{chat:?}");
    let words = chat.text.as_deref().unwrap_or_default().split_whitespace().count() as u64;
    assert!(words > 20 && words < WORDS, "{words} words: {chat:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_clients_raise_their_own_error_and_the_model_is_stopped() {
    for limits in [json!([tokens()]), json!([quota("output-per-hour", "output_tokens", LIMIT, "day")])] {
        let is_quota = limits[0].get("quota").is_some();
        let scene = Scene::standalone(with(limits, "end"), 1).await;
        for (api, exception) in [(Api::OpenAi, "APIError"), (Api::Anthropic, "APIStatusError")] {
            scene.models.reset();
            let consumer = format!("{api:?}");
            let mut order = order(&scene, api, &consumer).header("x-mock-chunk-delay-ms", 1);
            if is_quota {
                // A cap that the model does not keep to.
                order = order.max_tokens(80).header("x-mock-ignore-cap", 1);
            }
            let chat = clients::chat(order).await.unwrap();
            assert_eq!(chat.exception.as_deref(), Some(exception), "{chat:?}");
            assert_says_why(&chat, "output-per-hour");
            let tally = tally_of(&scene, &consumer).await;
            assert_ended(&tally, "output-per-hour");
            assert!(tally.cost_nusd.0 > 0, "{tally:?}");
            scene.wait_until_idle().await;
            let served = scene.models.served().remove(0);
            assert!(
                served.client_gone && served.usage.output < WORDS,
                "the model went on: {:?}",
                served.usage
            );
        }
        wait_for_outgrown(&scene, "ended", 2.0).await;
        scene.envoy.assert_no_trap();
    }
}

/// A streamed request in each form of streams there is.
fn forms() -> Vec<(&'static str, Call)> {
    let text = prompt_of(3);
    let message = json!([{"role": "user", "content": text}]);
    let parts = json!({"contents": [{"role": "user", "parts": [{"text": text}]}]});
    let converse = json!({"messages": [{"role": "user", "content": [{"text": text}]}]});
    let unasked = json!({"model": OPENAI_MODEL, "stream": true, "messages": message});
    vec![
        ("chat", Call::openai(OPENAI_MODEL, 3).streamed()),
        ("chat-unasked", Call::post("/v1/chat/completions", &unasked)),
        (
            "responses",
            Call::post("/v1/responses", &json!({"model": OPENAI_MODEL, "input": text, "stream": true})),
        ),
        ("messages", Call::anthropic(CLAUDE_MODEL, 3, WORDS).streamed()),
        (
            "gemini-events",
            Call::post("/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", &parts),
        ),
        ("gemini-array", Call::post("/v1beta/models/gemini-2.5-flash:streamGenerateContent", &parts)),
        ("converse", Call::post("/model/amazon.nova-pro-v1%3A0/converse-stream", &converse)),
        ("cohere", Call::post("/v2/chat", &json!({"model": "c", "messages": message, "stream": true}))),
        ("ollama", Call::post("/api/chat", &json!({"model": "llama3.1:8b", "messages": message}))),
        ("tgi", Call::post("/generate_stream", &json!({"inputs": text}))),
    ]
    .into_iter()
    .map(|(name, call)| (name, call.header("x-mock-id", "the-same").header("x-mock-output-tokens", WORDS)))
    .collect()
}

/// All that comes of an answer, also of one that is cut off.
async fn all_of(mut answering: Answering) -> Vec<u8> {
    let mut all = Vec::new();
    while let Ok(Some(piece)) = answering.piece().await {
        all.extend_from_slice(&piece);
    }
    all
}

/// The bytes both begin with.
fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bill_is_that_of_a_reader_who_went_away_where_the_stream_was_ended() {
    let ending = Scene::standalone(with(json!([tokens()]), "end"), 1).await;
    let open = Scene::standalone(with(json!([bucket("plenty", "output_tokens", 1_000_000)]), "end"), 1).await;
    for (name, call) in forms() {
        let whole = call.clone().header("x-consumer", format!("{name}-whole"));
        let whole = all_of(whole.start(open.envoy.address()).await.unwrap()).await;
        assert_eq!(tally_of(&open, &format!("{name}-whole")).await.outcome, Outcome::Ok, "{name}");
        for split in [0, 7, 5_000] {
            let consumer = format!("{name}-{split}");
            let cut = call.clone().header("x-consumer", &consumer).header("x-mock-split", split);
            let cut = all_of(cut.start(ending.envoy.address()).await.unwrap()).await;
            let tally = tally_of(&ending, &consumer).await;
            assert_ended(&tally, "output-per-hour");
            let (same, text) = (common(&whole, &cut), String::from_utf8_lossy(&cut));
            assert!(text.contains("The answer was ended before it was complete."), "{consumer}: {text}");
            assert!(same > 0 && same < whole.len(), "{consumer}: {same}");
            let last = String::from_utf8_lossy(&cut[same..]).len();
            assert!(last < 1_000, "{consumer}: one event follows, not {last} bytes");

            // The same model, read as far as that and no further.
            let hangs =
                hangs_behind(&whole[..same], &call).header("x-consumer", format!("{consumer}-reader"));
            let mut reading = hangs.start(open.envoy.address()).await.unwrap();
            let mut read = 0;
            while read < same - FORM_BYTES {
                read += reading.piece().await.unwrap().unwrap().len();
            }
            drop(reading);
            let reader = tally_of(&open, &format!("{consumer}-reader")).await;
            assert_eq!((reader.outcome, reader.output), (Outcome::Aborted, tally.output), "{consumer}");
            assert_eq!((reader.input, reader.cost_nusd), (tally.input, tally.cost_nusd), "{consumer}");
        }
    }
    ending.envoy.assert_no_trap();
    open.envoy.assert_no_trap();
}

/// Bytes that events have in common with the error that ends a stream: `data: {"`, or the comma of an array.
const FORM_BYTES: usize = 64;

/// The call, to a model that hangs behind the events that these bytes are.
fn hangs_behind(bytes: &[u8], call: &Call) -> Call {
    let mut events = 0;
    if bytes.first() == Some(&0) {
        let mut rest = bytes;
        while let Some((length, _)) = rest.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            if length < 16 || length > rest.len() {
                break;
            }
            rest = &rest[length..];
            events += 1;
        }
    } else {
        let text = String::from_utf8_lossy(bytes);
        events = match text.as_bytes()[0] {
            b'{' => text.matches('\n').count(),
            b'[' => text.matches("\"candidates\"").count(),
            _ => text.replace("\r\n", "\n").matches("\n\n").count(),
        };
    }
    call.clone().header("x-mock-hang-after", events)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_finishes_is_charged_in_full_and_the_next_request_pays_for_it() {
    let scene = Scene::standalone(with(json!([tokens()]), "finish"), 1).await;
    for api in [Api::OpenAi, Api::Anthropic] {
        let consumer = format!("{api:?}");
        let chat = clients::chat(order(&scene, api, &consumer)).await.unwrap();
        assert_eq!(chat.exception, None, "{chat:?}");
        let words = chat.text.as_deref().unwrap_or_default().split_whitespace().count() as u64;
        assert_eq!(words, WORDS);
        let tally = tally_of(&scene, &consumer).await;
        assert_eq!((tally.outcome, tally.output.0), (Outcome::Ok, WORDS), "{tally:?}");
        let next = scene.envoy.send(&chat_from(&consumer)).await;
        assert_eq!((next.status, next.limit().as_deref()), (429, Some("output-per-hour")));
    }
    wait_for_outgrown(&scene, "finished", 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn others_see_what_a_stream_holds_while_it_grows() {
    let mut shared = quota("output-of-all", "output_tokens", 10_000, "day");
    shared["key"] = json!([]);
    for mid_stream in ["finish", "end"] {
        let scene = Scene::standalone(with(json!([shared.clone()]), mid_stream), 2).await;
        let left = async |consumer: &str| -> u64 {
            let answer = scene.envoy.send(&chat_from(consumer)).await;
            assert_eq!(answer.status, 200);
            let told = answer.header("ratelimit").unwrap();
            let remaining = told.split(';').find_map(|part| part.trim().strip_prefix("r=")).unwrap();
            remaining.split(',').next().unwrap().parse().unwrap()
        };
        let before = left("bob").await;
        let growing = Call::openai(OPENAI_MODEL, 3)
            .streamed()
            .header("x-consumer", "alice")
            .header("x-mock-output-tokens", WORDS)
            .header("x-mock-hang-after", 1_000);
        let mut growing = growing.start(scene.envoy.address()).await.unwrap();
        let mut text = String::new();
        while text.matches("\n\n").count() < 1_000 {
            text.push_str(&String::from_utf8_lossy(&growing.piece().await.unwrap().unwrap()));
        }
        let during = left("bob").await;
        assert!(before - during >= 1_000, "{before} before, {during} while it grows");
        drop(growing);
        let tally = tally_of(&scene, "alice").await;
        assert_eq!(tally.outcome, Outcome::Aborted);
        let after = left("bob").await;
        assert!(after > during && before - after >= tally.output.0, "{before}, {during}, {after}: {tally:?}");
        scene.envoy.assert_no_trap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_stream_or_not_enforced_is_never_ended() {
    let scene = Scene::standalone(with(json!([tokens()]), "end"), 1).await;
    let chat = Call::openai(OPENAI_MODEL, 3).header("x-mock-output-tokens", WORDS);
    let answer = scene.envoy.send(&chat.clone().header("x-consumer", "json")).await;
    assert_eq!(answer.json()["usage"]["completion_tokens"], WORDS);
    assert_eq!(tally_of(&scene, "json").await.outcome, Outcome::Ok);
    let gzip = chat.streamed().header("x-consumer", "gzip").header("x-mock-encoding", "gzip");
    assert_eq!(scene.envoy.send(&gzip).await.status, 200);
    assert_eq!(tally_of(&scene, "gzip").await.outcome, Outcome::Ok);

    let mut shadow = with(json!([tokens()]), "end");
    shadow["enforcement"] = "shadow".into();
    let mut warns = tokens();
    warns["action"] = "warn".into();
    for (name, policy) in [("shadow", shadow), ("warns", with(json!([warns]), "end"))] {
        let scene = Scene::standalone(policy, 1).await;
        let call = Call::openai(OPENAI_MODEL, 3)
            .streamed()
            .header("x-consumer", name)
            .header("x-mock-output-tokens", WORDS);
        assert!(scene.envoy.send(&call).await.text().ends_with("data: [DONE]\n\n"), "{name}");
        let tally = tally_of(&scene, name).await;
        assert_eq!((tally.outcome, tally.output.0), (Outcome::Ok, WORDS), "{name}: {tally:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_may_be_ended_pass_byte_for_byte_while_there_is_room() {
    let scene =
        Scene::standalone(with(json!([bucket("plenty", "output_tokens", 1_000_000)]), "end"), 2).await;
    for (name, call) in forms().into_iter().filter(|(name, _)| *name != "chat-unasked") {
        let call = call.header("x-mock-output-tokens", 300);
        let direct = call.send(scene.models.address()).await.unwrap();
        for split in [0, 1, 7, 1_000] {
            let consumer = format!("{name}-{split}");
            let through = call.clone().header("x-consumer", &consumer).header("x-mock-split", split);
            assert_eq!(scene.envoy.send(&through).await.body, direct.body, "{consumer}");
            assert_eq!(tally_of(&scene, &consumer).await.outcome, Outcome::Ok, "{consumer}");
        }
    }
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_ended_all_at_once_and_left_at_any_moment_harm_nobody() {
    let mut all = tokens();
    all["key"] = json!([]);
    all["rate"]["amount"] = 6_000.into();
    let scene = Scene::standalone(with(json!([all]), "end"), 2).await;
    let mut readers = tokio::task::JoinSet::new();
    for number in 0..120_usize {
        let call = Call::openai(OPENAI_MODEL, 3)
            .streamed()
            .header("x-consumer", "crowd")
            .header("x-mock-output-tokens", WORDS)
            .header("x-mock-split", if number % 3 == 0 { 5_000 } else { 0 })
            .header("x-mock-chunk-delay-ms", number % 4);
        let call = if number % 2 == 0 { call.http2() } else { call };
        let to = scene.envoy.address();
        readers.spawn(async move {
            let Ok(mut answering) = call.start(to).await else { return };
            // Every fifth goes away in the middle, the others stay for as long as there is something to read.
            let most = if number % 5 == 0 { 1 + number } else { usize::MAX };
            let mut read = 0;
            while read < most
                && let Ok(Some(_)) = answering.piece().await
            {
                read += 1;
            }
        });
    }
    readers.join_all().await;
    scene.wait_until_idle().await;
    let tallies = scene.envoy.wait_for_journal_of("crowd", 120).await;
    let ended = tallies.iter().filter(|tally| tally.outcome == Outcome::Ended).count();
    assert!(ended > 10, "{ended} were ended");
    let used: u64 = tallies.iter().map(|tally| tally.output.0).sum();
    assert!(used <= 6_000 + tallies.len() as u64 * LONGEST_WORD, "{used} tokens");
    scene.envoy.assert_no_trap();
}
