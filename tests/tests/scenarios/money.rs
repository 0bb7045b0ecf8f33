//! What it costs, to the nano-dollar.

use serde_json::{Value, json};
use tollgate_e2e::http_client::Call;
use tollgate_e2e::model_server::ModelUsage;
use tollgate_e2e::prices::Prices;
use tollgate_e2e::scene::{CLAUDE_MODEL, OPENAI_MODEL, Scene, generous, policy};
use tollgate_e2e::wait;
use tollgate_wire::{Outcome, Tally};

#[tokio::test(flavor = "multi_thread")]
async fn every_class_of_tokens_is_charged_at_its_own_price() {
    let scene = Scene::standalone(policy(generous()), 2).await;
    let prices = Prices::read().unwrap();
    let calls = [
        (OPENAI_MODEL, Call::openai(OPENAI_MODEL, 1234)),
        (CLAUDE_MODEL, Call::anthropic(CLAUDE_MODEL, 77, 5000)),
    ];
    for (model, call) in calls {
        for streamed in [false, true] {
            let consumer = format!("{model}-{streamed}");
            let call = if streamed { call.clone().streamed() } else { call.clone() };
            let call = call
                .header("x-consumer", &consumer)
                .header("x-mock-output-tokens", 321)
                .header("x-mock-cache-read", 4096)
                .header("x-mock-cache-write", 1001)
                .header("x-mock-reasoning", 99);
            scene.models.reset();
            assert_eq!(scene.envoy.send(&call).await.status, 200);
            let billed = scene.models.served().remove(0).usage;
            let tally = scene.envoy.wait_for_journal_of(&consumer, 1).await.remove(0);
            assert_eq!(tally.cost_nusd, prices.cost(model, billed).unwrap(), "{tally:?}");
            assert_eq!(tally.model, model, "the model that was asked for");
            assert!(tally.price_version > 0 && !tally.unknown_price);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cache_keeps_for_an_hour_is_charged_as_that_streamed_or_not() {
    const WRITTEN: u64 = 3001;
    let scene = Scene::standalone(policy(generous()), 1).await;
    let prices = Prices::read().unwrap();
    for long in [0, 1234, WRITTEN] {
        for streamed in [false, true] {
            let consumer = format!("{long}-{streamed}");
            let call = Call::anthropic(CLAUDE_MODEL, 20, 500);
            let call = if streamed { call.streamed() } else { call };
            let call = call
                .header("x-consumer", &consumer)
                .header("x-mock-cache-write", WRITTEN)
                .header("x-mock-cache-write-1h", long);
            scene.models.reset();
            assert_eq!(scene.envoy.send(&call).await.status, 200);
            let billed = scene.models.served().remove(0).usage;
            assert_eq!(billed.cache_write, WRITTEN);
            let tally = scene.envoy.wait_for_journal_of(&consumer, 1).await.remove(0);
            assert_eq!(tally.cache_write.0, WRITTEN, "{tally:?}");
            assert_eq!(tally.cost_nusd, prices.cost_kept(CLAUDE_MODEL, billed, long).unwrap(), "{tally:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fraction_of_a_nano_dollar_is_rounded_up_once() {
    let mut policy = policy(generous());
    // 0.25 nano-dollars for a token of input, 0.5 for one of output.
    let price = json!({"input": "0.00025", "output": "0.0005"});
    policy["prices"] = json!({"overrides": {"tiny": price}});
    let scene = Scene::standalone(policy, 1).await;
    let call = Call::openai("tiny", 3).header("x-consumer", "alice").header("x-mock-output-tokens", 3);
    assert_eq!(scene.envoy.send(&call).await.status, 200);
    // 0.75 + 1.5 = 2.25
    assert_eq!(scene.envoy.wait_for_journal(1).await[0].cost_nusd.0, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_without_a_price_is_never_silently_free() {
    let call = |consumer: &str| {
        Call::openai("nobody-knows-this-model", 100)
            .header("x-consumer", consumer)
            .header("x-mock-output-tokens", 100)
    };
    let prices = Prices::read().unwrap();
    let usage = ModelUsage { input: 100, output: 100, ..ModelUsage::default() };
    let cheap = prices.cost(OPENAI_MODEL, usage).unwrap();
    for (unknown, status) in [("ceiling", 200), ("refuse", 400), ("allow", 200)] {
        let mut policy = policy(generous());
        policy["prices"] = json!({"unknown": unknown});
        let scene = Scene::standalone(policy, 1).await;
        let answer = scene.envoy.send(&call(unknown)).await;
        if status == 200 {
            assert_eq!(answer.status, 200, "{unknown}: {}", answer.text());
        } else {
            assert!((400..500).contains(&answer.status), "{unknown}: {}", answer.text());
            assert!(scene.models.served().is_empty());
        }
        let tally = scene.envoy.wait_for_journal(1).await.remove(0);
        match unknown {
            "ceiling" => assert!(tally.unknown_price && tally.cost_nusd > cheap, "{tally:?}"),
            _ => assert_eq!(tally.cost_nusd.0, 0, "{tally:?}"),
        }
    }
}

const CAP: u64 = 700;
const SAID: u64 = 30;

/// One request for each cause of a charge, in a scene of its own; gives their tallies by cause, and that each was counted.
async fn one_of_each_cause(charging: Value) -> Vec<(&'static str, Tally)> {
    let mut policy = policy(generous());
    policy["charging"] = charging;
    let scene = Scene::standalone(policy, 1).await;
    let call = || Call::anthropic(CLAUDE_MODEL, 50, CAP).header("x-mock-output-tokens", SAID);
    for (cause, call) in [
        ("reported", call()),
        ("no_usage", call().header("x-mock-omit-usage", 1)),
        ("upstream_error", call().header("x-mock-status", 500)),
        ("error_in_answer", call().streamed().header("x-mock-error-after", 12)),
    ] {
        scene.envoy.send(&call.header("x-consumer", cause)).await;
    }
    let cut = call().streamed().header("x-mock-hang-after", 12).header("x-consumer", "aborted");
    let mut reading = cut.start(scene.envoy.address()).await.unwrap();
    reading.read_until("the").await.unwrap();
    drop(reading);
    let mut tallies = Vec::new();
    for cause in ["reported", "no_usage", "upstream_error", "error_in_answer", "aborted"] {
        let tally = scene.envoy.wait_for_journal_of(cause, 1).await.remove(0);
        tallies.push((cause, tally));
        let name = "tollgate_charges";
        let counted = async || scene.envoy.prometheus().await.sum(name, &[("cause", cause)]) == Some(1.0);
        wait::until(cause, || scene.envoy.logs(), async || counted().await.then_some(())).await;
    }
    scene.envoy.assert_no_trap();
    tallies
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cause_of_a_charge_is_estimated_unless_the_policy_says_otherwise() {
    for (cause, tally) in one_of_each_cause(json!({})).await {
        let (input, output) = (tally.input.0, tally.output.0);
        match cause {
            "reported" => assert_eq!((tally.outcome, output), (Outcome::Ok, SAID), "{tally:?}"),
            "upstream_error" => {
                assert_eq!(
                    (tally.outcome, input, output, tally.cost_nusd.0),
                    (Outcome::Error, 0, 0, 0),
                    "{tally:?}"
                );
            }
            _ => {
                assert!(
                    input > 0 && output > 0 && output < CAP && tally.cost_nusd.0 > 0,
                    "{cause}: {tally:?}"
                );
                let estimated = matches!(tally.outcome, Outcome::Estimated | Outcome::Aborted);
                assert!(estimated, "{cause}: {tally:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cause_of_a_charge_has_its_own_rule() {
    let strict = json!({"on_upstream_error": "input", "on_abort": "reserved", "on_error_in_answer": "reserved",
        "without_usage": "reserved"});
    for (cause, tally) in one_of_each_cause(strict).await {
        let (input, output) = (tally.input.0, tally.output.0);
        match cause {
            "reported" => assert_eq!(output, SAID, "what is known needs no rule: {tally:?}"),
            "upstream_error" => {
                assert!(input > 0 && output == 0 && tally.cost_nusd.0 > 0, "{tally:?}");
                assert_eq!(tally.outcome, Outcome::Error);
            }
            _ => assert!(input > 0 && output == CAP, "{cause}: all that was held: {tally:?}"),
        }
    }
}
