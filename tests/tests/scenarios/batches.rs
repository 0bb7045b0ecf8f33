//! Batches: requests whose answers nobody waits for. They are paid for when they are handed in, because what is fetched
//! later passes as a file, and stopping one costs nothing.

use serde_json::{Value, json};
use tollgate_e2e::http_client::Call;
use tollgate_e2e::model_server::{ModelUsage, prompt_of};
use tollgate_e2e::prices::Prices;
use tollgate_e2e::scene::{CLAUDE_MODEL, Scene, generous, policy, quota};
use tollgate_wire::Outcome;

const CAP: u64 = 200;
const REQUESTS: u64 = 3;

/// A batch of requests for these models.
fn batch(models: &[&str], words: usize) -> Call {
    let request = |(at, model): (usize, &&str)| {
        json!({"custom_id": at.to_string(), "params": {
            "model": model, "max_tokens": CAP, "messages": [{"role": "user", "content": prompt_of(words)}],
        }})
    };
    let requests: Vec<Value> = models.iter().enumerate().map(request).collect();
    Call::post("/v1/messages/batches", &json!({"requests": requests}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_charged_for_all_its_requests_when_it_is_handed_in() {
    let scene = Scene::standalone(policy(generous()), 1).await;
    let prices = Prices::read().unwrap();
    // The model will say as much as it may in each.
    let call = batch(&[CLAUDE_MODEL; REQUESTS as usize], 100).header("x-mock-output-tokens", CAP + 1);
    let answer = scene.envoy.send(&call.clone().header("x-consumer", "alice")).await;
    assert_eq!((answer.status, &answer.json()["processing_status"]), (200, &json!("in_progress")));
    let served = scene.models.served().remove(0);
    assert_eq!(served.body.as_bytes(), call.body().as_ref());
    assert_eq!((served.usage.input, served.usage.output), (REQUESTS * 100, REQUESTS * CAP));
    let tally = scene.envoy.wait_for_journal_of("alice", 1).await.remove(0);
    assert_eq!((tally.outcome, tally.model.as_str()), (Outcome::Estimated, CLAUDE_MODEL), "{tally:?}");
    assert_eq!(tally.output.0, served.usage.output, "every answer is paid for: {tally:?}");
    // The model server counts words, Tollgate estimates tokens.
    assert!(tally.input.0.abs_diff(served.usage.input) * 5 <= served.usage.input, "{tally:?}");
    let estimated = ModelUsage { input: tally.input.0, ..served.usage };
    assert_eq!(tally.cost_nusd, prices.cost(CLAUDE_MODEL, estimated).unwrap(), "{tally:?}");

    // A cheap model does not stand for a dear one.
    let mixed = batch(&[CLAUDE_MODEL, "claude-opus-4-5"], 10).header("x-consumer", "bob");
    assert_eq!(scene.envoy.send(&mixed).await.status, 200);
    let tally = scene.envoy.wait_for_journal_of("bob", 1).await.remove(0);
    assert_eq!((tally.model.as_str(), tally.output.0), ("several", 2 * CAP), "{tally:?}");
    let usage = ModelUsage { output: 2 * CAP, ..ModelUsage::default() };
    let cheap = prices.cost(CLAUDE_MODEL, usage).unwrap();
    assert!(tally.unknown_price && tally.cost_nusd > cheap, "{tally:?}");
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_more_than_there_is_left_is_refused() {
    let limits = json!([quota("output-per-day", "output_tokens", REQUESTS * CAP, "day")]);
    let scene = Scene::standalone(policy(limits), 1).await;
    let send = async |requests: usize| {
        scene.envoy.send(&batch(&vec![CLAUDE_MODEL; requests], 1).header("x-consumer", "alice")).await
    };
    let refused = send(REQUESTS as usize + 1).await;
    assert_eq!((refused.status, refused.limit().as_deref()), (429, Some("output-per-day")));
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
    assert_eq!(send(REQUESTS as usize).await.status, 200);
    assert_eq!(send(1).await.status, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_a_batch_costs_nothing() {
    let mut limits = generous();
    limits.as_array_mut().unwrap().push(quota("requests-per-day", "requests", 2, "day"));
    let scene = Scene::standalone(policy(limits), 1).await;
    for (path, consumer) in
        [("/v1/messages/batches/msgbatch_1/cancel", "anthropic"), ("/v1/batches/batch_1/cancel", "openai")]
    {
        let stop = Call::post_bytes(path, bytes::Bytes::new()).header("x-consumer", consumer);
        for _ in 0..2 {
            let answer = scene.envoy.send(&stop).await;
            assert_eq!(answer.status, 200, "{consumer}: {}", answer.text());
        }
        for tally in scene.envoy.wait_for_journal_of(consumer, 2).await {
            assert_eq!((tally.input.0, tally.output.0, tally.cost_nusd.0), (0, 0, 0), "{tally:?}");
            assert!(!tally.unknown_price, "{tally:?}");
        }
        assert_eq!(scene.envoy.send(&stop).await.status, 429, "it is a request all the same");
    }
    scene.envoy.assert_no_trap();
}
