//! What it costs, to the nano-dollar.

use serde_json::json;
use tollgate_e2e::http_client::Call;
use tollgate_e2e::model_server::ModelUsage;
use tollgate_e2e::prices::Prices;
use tollgate_e2e::scene::{CLAUDE_MODEL, OPENAI_MODEL, Scene, generous, policy};

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
