//! Streams pass as they come, and the tally is right however they are cut, and however they end.

use tollgate_e2e::clients::{self, Api, Order};
use tollgate_e2e::http_client::Call;
use tollgate_e2e::model_server::ModelUsage;
use tollgate_e2e::scene::{CLAUDE_MODEL, ENTERPRISE_KEY, OPENAI_MODEL, Scene, chat_from, generous, policy};
use tollgate_e2e::wait;
use tollgate_wire::{Outcome, Tally};

fn usage_of(tally: &Tally) -> ModelUsage {
    ModelUsage {
        input: tally.input.0,
        cache_read: tally.cache_read.0,
        cache_write: tally.cache_write.0,
        output: tally.output.0,
        reasoning: tally.reasoning.0,
    }
}

fn open_policy() -> serde_json::Value {
    policy(generous())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_cut_anywhere_has_the_right_tally() {
    let scene = Scene::standalone(open_policy(), 2).await;
    let answers = [
        Call::openai(OPENAI_MODEL, 3).streamed(),
        Call::openai(OPENAI_MODEL, 3),
        Call::anthropic(CLAUDE_MODEL, 3, 1000).streamed(),
        Call::anthropic(CLAUDE_MODEL, 3, 1000),
    ];
    for (kind, call) in answers.iter().enumerate() {
        for split in [1, 2, 3, 7, 61, 1000] {
            let consumer = format!("split-{kind}-{split}");
            let call = call
                .clone()
                .header("x-consumer", &consumer)
                .header("x-mock-split", split)
                .header("x-mock-output-tokens", 21)
                .header("x-mock-cache-read", 1024)
                .header("x-mock-cache-write", 88)
                .header("x-mock-reasoning", 4);
            scene.models.reset();
            let answer = scene.envoy.send(&call).await;
            assert_eq!(answer.status, 200);
            let tally = scene.envoy.wait_for_journal_of(&consumer, 1).await.remove(0);
            let billed = scene.models.served().remove(0).usage;
            assert_eq!(usage_of(&tally), billed, "{consumer}: {tally:?}");
            assert_eq!(tally.outcome, Outcome::Ok, "{consumer}");
        }
    }
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_passes_untouched_and_as_it_comes() {
    let scene = Scene::standalone(open_policy(), 1).await;
    for call in [Call::openai(OPENAI_MODEL, 3), Call::anthropic(CLAUDE_MODEL, 3, 1000)] {
        let call = call.streamed().header("x-consumer", "alice");
        let direct = call.send(scene.models.address()).await.unwrap();
        let through = scene.envoy.send(&call).await;
        // The provider's id counts up from answer to answer.
        let without_id = |text: String| text.replace(|character: char| character.is_ascii_digit(), "");
        assert_eq!(without_id(through.text()), without_id(direct.text()));
        // The model has gone silent in mid-stream: what it said is there all the same.
        let hanging = call.header("x-mock-hang-after", 5);
        let mut answering = hanging.start(scene.envoy.address()).await.unwrap();
        answering.read_until("the").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_pays_for_what_was_said() {
    let scene = Scene::example(2, |_| {}).await;
    for (api, model) in [(Api::OpenAi, OPENAI_MODEL), (Api::Anthropic, CLAUDE_MODEL)] {
        let before = scene.envoy.journal().len();
        let order = Order::new(api, scene.envoy.address(), ENTERPRISE_KEY, model, "Tell me everything.")
            .header("x-mock-output-tokens", 400)
            .header("x-mock-hang-after", 60);
        let read = clients::abort(&order, 40).await.unwrap();
        assert!(read.aborted);
        let tally = scene.envoy.wait_for_journal(before + 1).await.remove(before);
        assert_eq!(tally.outcome, Outcome::Aborted, "{tally:?}");
        assert!(tally.output.0 >= 20, "at least what was read is charged, roughly: {tally:?}");
        assert!(tally.input.0 >= 1 && tally.cost_nusd.0 > 0, "{tally:?}");
        wait::until_true("the model to know", || scene.models.in_flight().current == 0).await;
    }
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_given_up_before_the_answer_is_charged_for_its_input() {
    let scene = Scene::standalone(open_policy(), 2).await;
    let call =
        Call::openai(OPENAI_MODEL, 500).header("x-consumer", "alice").header("x-mock-delay-ms", 600_000);
    let to = scene.envoy.address();
    let waiting = tokio::spawn(async move { call.send(to).await.map(|answer| answer.status) });
    wait::until_true("the model to have it", || scene.models.in_flight().current == 1).await;
    waiting.abort();
    let tally = scene.envoy.wait_for_journal_of("alice", 1).await.remove(0);
    assert_eq!((tally.outcome, tally.status), (Outcome::Aborted, 0), "{tally:?}");
    assert!(tally.input.0 >= 250, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_usage_is_charged_by_an_estimate() {
    let scene = Scene::standalone(open_policy(), 2).await;
    let answers = [
        ("json", Call::openai(OPENAI_MODEL, 200).header("x-mock-omit-usage", 1)),
        ("sse", Call::openai(OPENAI_MODEL, 200).streamed().header("x-mock-omit-usage", 1)),
        ("claude", Call::anthropic(CLAUDE_MODEL, 200, 500).streamed().header("x-mock-omit-usage", 1)),
    ];
    for (name, call) in answers {
        let call = call.header("x-consumer", name).header("x-mock-output-tokens", 160);
        assert_eq!(scene.envoy.send(&call).await.status, 200);
        let tally = scene.envoy.wait_for_journal_of(name, 1).await.remove(0);
        assert_eq!(tally.outcome, Outcome::Estimated, "{name}: {tally:?}");
        assert!(tally.input.0 >= 100 && tally.output.0 >= 80, "{name}: {tally:?}");
        assert!(tally.cost_nusd.0 > 0, "{name}: {tally:?}");
    }
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_error_costs_nothing() {
    let scene = Scene::standalone(open_policy(), 2).await;
    for (name, status) in [("gone", 500), ("busy", 529), ("limited", 429)] {
        let call = chat_from(name).header("x-mock-status", status);
        let answer = scene.envoy.send(&call).await;
        assert_eq!(answer.status, status, "the provider's answer passes: {}", answer.text());
        assert_eq!(answer.limit(), None, "no limit of Tollgate's did that");
        let tally = scene.envoy.wait_for_journal_of(name, 1).await.remove(0);
        assert_eq!((tally.outcome, tally.cost_nusd.0), (Outcome::Error, 0), "{tally:?}");
    }
}
