//! Every official library raises its own error when Tollgate refuses, and waits as told where it can be told.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tollgate_e2e::clients::{self, Api, Chat, Library, LibraryCall, Order};
use tollgate_e2e::model_server::ModelUsage;
use tollgate_e2e::scene::{CLAUDE_MODEL, OPENAI_MODEL, Scene, bucket, chat_from, generous, policy, quota};
use tollgate_wire::{Outcome, Tally};

const APIS: [(Api, &str); 2] = [(Api::OpenAi, OPENAI_MODEL), (Api::Anthropic, CLAUDE_MODEL)];

/// Each library with a model (a tool for MCP) and the exception it raises for a quota that is used up.
const LIBRARIES: [(Library, &str, &str); 6] = [
    (Library::Google, "gemini-3.8-flash", "ClientError"),
    (Library::Cohere, "command-a-03-2025", "TooManyRequestsError"),
    (Library::Mistral, "mistral-large-latest", "SDKError"),
    (Library::Ollama, "llama3.1", "ResponseError"),
    (Library::Bedrock, BEDROCK_MODEL, "ServiceQuotaExceededException"),
    (Library::Mcp, "search_docs", "MCPError"),
];

const BEDROCK_MODEL: &str = "anthropic.claude-haiku-4-5-20251001-v1:0";

async fn scene(limit: Value) -> Scene {
    Scene::standalone(policy(json!([limit])), 1).await
}

fn call(scene: &Scene, library: Library, model: &str, retries: bool) -> LibraryCall {
    LibraryCall {
        library,
        base_url: format!("http://{}", scene.envoy.address()),
        key: "unused".into(),
        model: model.into(),
        prompt: "Hello?".into(),
        retries,
        stream: false,
        headers: BTreeMap::from([("x-consumer".into(), format!("{library:?}"))]),
    }
}

/// Uses up what one request may.
async fn use_up(scene: &Scene, consumer: &str) {
    assert_eq!(scene.envoy.send(&chat_from(consumer)).await.status, 200);
}

fn statuses(chat: &Chat) -> Vec<Option<u16>> {
    chat.attempts.iter().map(|attempt| attempt.status).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_library_raises_its_own_error_and_none_is_put_to_sleep_for_a_day() {
    let scene = scene(quota("requests-per-day", "requests", 1, "day")).await;
    for (library, model, exception) in LIBRARIES {
        use_up(&scene, &format!("{library:?}")).await;
        let refused = clients::calls(&[call(&scene, library, model, false)]).await.unwrap().remove(0);
        assert_eq!(refused.exception.as_deref(), Some(exception), "{refused:?}");
        let message = refused.message.as_deref().unwrap_or_default();
        assert!(message.contains("Quota exceeded.") && message.contains("requests-per-day"), "{refused:?}");
        assert!(!refused.attempts.is_empty());
        for attempt in &refused.attempts {
            assert_eq!(attempt.status, Some(429), "{refused:?}");
            assert_eq!(attempt.headers["x-should-retry"], "false");
        }
        // Cohere's and AWS's try again twice whatever they are told, within a few seconds.
        assert!(refused.waits_s.iter().all(|wait| *wait < 5.0), "{refused:?}");
    }
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_library_gets_the_same_objects_with_and_without_tollgate() {
    let scene = Scene::standalone(policy(generous()), 2).await;
    for (library, model, _) in LIBRARIES {
        for stream in [false, true] {
            if stream && library == Library::Mcp {
                continue;
            }
            let consumer = format!("{library:?}-{stream}");
            let mut through = LibraryCall { stream, ..call(&scene, library, model, false) };
            through.headers = [
                ("x-consumer", consumer.as_str()),
                ("x-mock-id", "the-same"),
                ("x-mock-output-tokens", "21"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
            let direct =
                LibraryCall { base_url: format!("http://{}", scene.models.address()), ..through.clone() };
            scene.models.reset();
            let got = clients::calls(&[direct, through]).await.unwrap();
            assert_eq!(got[0].exception, None, "{consumer}: {:?}", got[0]);
            assert!(!got[0].objects.is_empty() && got[0].text.as_ref().is_some_and(|text| !text.is_empty()));
            assert_eq!((&got[1].text, &got[1].objects), (&got[0].text, &got[0].objects), "{consumer}");
            let served = scene.models.served();
            let (alone, behind) = served.split_at(served.len() / 2);
            // Having called a tool, MCP's library asks for the list of tools.
            assert_eq!(behind.len(), if library == Library::Mcp { 2 } else { 1 }, "{consumer}");
            let tallies = scene.envoy.wait_for_journal_of(&consumer, behind.len()).await;
            for ((alone, behind), tally) in alone.iter().zip(behind).zip(&tallies) {
                assert_eq!((&alone.body, alone.usage), (&behind.body, behind.usage), "{consumer}");
                assert_eq!(usage_of(tally), behind.usage, "{consumer}: {tally:?}");
                assert_eq!(tally.outcome, Outcome::Ok, "{consumer}: {tally:?}");
            }
        }
    }
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_of_tools_meets_the_limit_of_a_tool() {
    let mut searches = quota("searches-per-day", "requests", 1, "day");
    searches["when"] = json!({"tool": ["search_docs"]});
    let scene = scene(searches).await;
    let use_tool = |tool| call(&scene, Library::Mcp, tool, false);
    let calls = ["search_docs", "search_docs", "weather"].map(use_tool);
    let [first, second, other] = clients::calls(&calls).await.unwrap().try_into().unwrap();
    assert_eq!(first.text.as_deref(), Some("\"search_docs\" found \"Hello?\""), "{first:?}");
    assert_eq!(second.exception.as_deref(), Some("MCPError"), "{second:?}");
    assert!(second.message.as_deref().unwrap_or_default().contains("searches-per-day"), "{second:?}");
    assert_eq!(statuses(&second), [Some(429)], "{second:?}");
    assert_eq!(other.text.as_deref(), Some("\"weather\" found \"Hello?\""), "{other:?}");
    let tallies = scene.envoy.wait_for_journal_of("Mcp", 5).await;
    let refused = |tally: &&Tally| tally.outcome == Outcome::Refused;
    assert_eq!(tallies.iter().filter(refused).count(), 1, "lists of tools have no limit: {tallies:?}");
}

/// What each library raises where a stream is ended, and whether it says why: Cohere's and Mistral's know no error in a
/// stream, and raise that it broke.
const ENDED: [(Library, &str, &str, bool); 5] = [
    (Library::Google, "gemini-3.8-flash", "ClientError", true),
    (Library::Ollama, "llama3.1", "ResponseError", true),
    (Library::Bedrock, BEDROCK_MODEL, "EventStreamError", true),
    (Library::Cohere, "command-a-03-2025", "RemoteProtocolError", false),
    (Library::Mistral, "mistral-large-latest", "ResponseValidationError", false),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_library_raises_an_error_where_a_stream_is_ended_and_has_what_came_before() {
    const LIMIT: u64 = 300;
    const WORDS: u64 = 2_000;
    let mut policy = policy(json!([bucket("output-per-hour", "output_tokens", LIMIT)]));
    policy["reservation"] =
        json!({"expected_output_tokens": 40, "uncapped_output_tokens": 80, "mid_stream": "end"});
    let scene = Scene::standalone(policy, 1).await;
    for (library, model, exception, says_why) in ENDED {
        scene.models.reset();
        let mut streamed = LibraryCall { stream: true, ..call(&scene, library, model, false) };
        streamed.headers.insert("x-mock-output-tokens".into(), WORDS.to_string());
        streamed.headers.insert("x-mock-chunk-delay-ms".into(), "1".into());
        let chat = clients::calls(&[streamed]).await.unwrap().remove(0);
        assert_eq!(chat.exception.as_deref(), Some(exception), "{library:?}: {:?}", chat.message);
        let message = chat.message.as_deref().unwrap_or_default();
        let told = message.contains("The answer was ended") && message.contains("output-per-hour");
        assert_eq!(told, says_why, "{library:?}: {message}");
        let events = chat.objects.len() as u64;
        assert!(events > 20 && events < WORDS, "{library:?}: {events} events came before");
        let tally = scene.envoy.wait_for_journal_of(&format!("{library:?}"), 1).await.remove(0);
        assert_eq!((tally.outcome, tally.refused_by.as_str()), (Outcome::Ended, "output-per-hour"));
        assert!(tally.output.0 > events && tally.output.0 <= LIMIT, "{library:?}: {events}, {tally:?}");
        scene.wait_until_idle().await;
        let served = scene.models.served().remove(0);
        assert!(served.client_gone && served.usage.output < WORDS, "{library:?}: {:?}", served.usage);
    }
    scene.envoy.assert_no_trap();
}

fn usage_of(tally: &Tally) -> ModelUsage {
    ModelUsage {
        input: tally.input.0,
        cache_read: tally.cache_read.0,
        cache_write: tally.cache_write.0,
        output: tally.output.0,
        reasoning: tally.reasoning.0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn libraries_that_can_be_told_wait_exactly_as_long_as_told() {
    // One request at a time, another every four seconds: told a fifth more at most, and AWS's takes no hint beyond five.
    let rate =
        json!({"name": "rate", "meter": "requests", "rate": {"amount": 15, "per": "minute", "burst": 1}});
    let scene = scene(rate).await;
    for (library, model, hint) in [
        (Library::Cohere, "command-a-03-2025", "retry-after-ms"),
        (Library::Mistral, "mistral-large-latest", "retry-after-ms"),
        (Library::Bedrock, BEDROCK_MODEL, "x-amz-retry-after"),
    ] {
        let call = call(&scene, library, model, true);
        let outcomes = clients::calls(&[call.clone(), call]).await.unwrap();
        assert_eq!(statuses(&outcomes[0]), [Some(200)], "{:?}", outcomes[0]);
        assert!(outcomes[0].text.as_ref().is_some_and(|text| !text.is_empty()), "{:?}", outcomes[0]);
        let outcome = &outcomes[1];
        let told: f64 = outcome.attempts[0].headers[hint].parse().unwrap();
        assert_eq!(outcome.attempts[0].status, Some(429), "{outcome:?}");
        assert!((outcome.waits_s[0] - told / 1000.0).abs() < 0.001, "{library:?}: {outcome:?}");
        assert_eq!(statuses(outcome).last(), Some(&Some(200)), "{outcome:?}");
        assert_eq!(outcome.text, outcomes[0].text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_javascript_libraries_wait_as_told_and_get_through() {
    let rate =
        json!({"name": "rate", "meter": "requests", "rate": {"amount": 20, "per": "minute", "burst": 1}});
    let scene = scene(rate).await;
    for (api, model) in APIS {
        let order = Order::new(api, scene.envoy.address(), "unused", model, "Hello?")
            .header("x-consumer", format!("js-{api:?}"))
            .with_default_retries();
        let chats = clients::chats_in_javascript(&[order.clone(), order]).await.unwrap();
        assert_eq!(statuses(&chats[0]), [Some(200)], "{:?}", chats[0]);
        let second = &chats[1];
        assert_eq!(statuses(second).first(), Some(&Some(429)), "{second:?}");
        assert_eq!(statuses(second).last(), Some(&Some(200)), "{second:?}");
        assert!(second.text.as_ref().is_some_and(|text| !text.is_empty()));
        for attempt in second.attempts.iter().filter(|attempt| attempt.status == Some(429)) {
            let told: f64 = attempt.headers["retry-after-ms"].parse().unwrap();
            assert!(second.waits_s.contains(&(told / 1000.0)), "{api:?}: told {told} ms, {second:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_javascript_libraries_give_up_where_waiting_does_not_help() {
    let scene = scene(quota("requests-per-month", "requests", 1, "month")).await;
    for (api, model) in APIS {
        let order = Order::new(api, scene.envoy.address(), "unused", model, "Hello?")
            .header("x-consumer", format!("js-{api:?}"))
            .with_default_retries();
        let chats = clients::chats_in_javascript(&[order.clone(), order]).await.unwrap();
        let refused = &chats[1];
        assert_eq!(refused.exception.as_deref(), Some("RateLimitError"), "{refused:?}");
        assert_eq!(statuses(refused), [Some(429)], "{api:?} tried again: {refused:?}");
        assert_eq!(refused.limit(), Some("requests-per-month"));
        let message = refused.message.as_deref().unwrap_or_default();
        assert!(message.contains("Quota exceeded."), "{refused:?}");
    }
}

/// Each library for JavaScript as in [`LIBRARIES`], with the class it raises and whether it tries again by itself.
const IN_JAVASCRIPT: [(Library, &str, &str, bool); 6] = [
    (Library::Google, "gemini-3.8-flash", "ApiError", false),
    (Library::Cohere, "command-a-03-2025", "TooManyRequestsError", true),
    (Library::Mistral, "mistral-large-latest", "SDKError", true),
    (Library::Ollama, "llama3.1", "ResponseError", false),
    (Library::Bedrock, BEDROCK_MODEL, "ServiceQuotaExceededException", true),
    (Library::Mcp, "search_docs", "StreamableHTTPError", false),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_other_javascript_libraries_get_an_answer() {
    let scene = Scene::standalone(policy(generous()), 1).await;
    let calls = IN_JAVASCRIPT.map(|(library, model, ..)| call(&scene, library, model, false));
    for (answer, (library, ..)) in
        clients::calls_in_javascript(&calls).await.unwrap().iter().zip(IN_JAVASCRIPT)
    {
        assert_eq!(
            (answer.status, answer.exception.as_deref()),
            (Some(200), None),
            "{library:?}: {answer:?}"
        );
        assert!(answer.text.as_ref().is_some_and(|text| !text.is_empty()), "{library:?}: {answer:?}");
        let tally = scene.envoy.wait_for_journal_of(&format!("{library:?}"), 1).await.remove(0);
        assert_eq!(tally.outcome, Outcome::Ok, "{library:?}: {tally:?}");
    }
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_javascript_libraries_raise_their_own_errors() {
    let scene = scene(quota("requests-per-day", "requests", 1, "day")).await;
    for (library, model, exception, _) in IN_JAVASCRIPT {
        use_up(&scene, &format!("{library:?}")).await;
        let refused =
            clients::calls_in_javascript(&[call(&scene, library, model, false)]).await.unwrap().remove(0);
        assert_eq!(
            (refused.exception.as_deref(), refused.status),
            (Some(exception), Some(429)),
            "{refused:?}"
        );
        let message = refused.message.as_deref().unwrap_or_default();
        assert!(message.contains("Quota exceeded.") && message.contains("requests-per-day"), "{refused:?}");
        assert!(!refused.attempts.is_empty());
        assert!(statuses(&refused).iter().all(|status| *status == Some(429)), "{refused:?}");
    }
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_javascript_libraries_that_try_again_wait_as_told() {
    // Told three seconds at most: four are what Node keeps an idle connection for, by a timer that is noted as well.
    let rate =
        json!({"name": "rate", "meter": "requests", "rate": {"amount": 24, "per": "minute", "burst": 1}});
    let scene = scene(rate).await;
    for (library, model, ..) in IN_JAVASCRIPT.into_iter().filter(|(.., tries_again)| *tries_again) {
        let call = call(&scene, library, model, true);
        let outcomes = clients::calls_in_javascript(&[call.clone(), call]).await.unwrap();
        assert_eq!(statuses(&outcomes[0]), [Some(200)], "{:?}", outcomes[0]);
        let second = &outcomes[1];
        assert_eq!(statuses(second).first(), Some(&Some(429)), "{second:?}");
        assert_eq!(statuses(second).last(), Some(&Some(200)), "{second:?}");
        assert_eq!(second.text, outcomes[0].text);
        for attempt in second.attempts.iter().filter(|attempt| attempt.status == Some(429)) {
            let told = attempt.headers["retry-after"].parse::<f64>().unwrap();
            // AWS's makes a time of day of it, and waits for what is left until then.
            let as_told = |wait: &f64| *wait <= told && told - wait < 0.5;
            assert!(second.waits_s.iter().any(as_told), "{library:?}: told {told} s, {second:?}");
        }
    }
}
