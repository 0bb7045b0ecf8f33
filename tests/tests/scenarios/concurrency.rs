//! Many at once, on several workers: nobody gets more than there is, and nothing leaks.

use serde_json::json;
use tollgate_e2e::http_client::{Call, count};
use tollgate_e2e::scene::{Scene, bucket, chat_from, policy, quota};
use tollgate_e2e::wait;

/// Workers of these scenes: more than one, or there is nothing to race.
const WORKERS: usize = 4;

fn slow(consumer: &str) -> Call {
    chat_from(consumer).header("x-mock-delay-ms", 500)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_at_once_get_exactly_what_a_quota_has() {
    let limits = json!([
        quota("output", "output_tokens", 5000, "day"),
        quota("requests", "requests", 150, "day"),
        {"name": "concurrent", "concurrency": 1000},
    ]);
    let scene = Scene::standalone(policy(limits), WORKERS).await;
    let call = slow("alice")
        .header("x-mock-output-tokens", 100)
        .edit(|body| body["max_completion_tokens"] = 100.into());
    let answers = scene.envoy.send_all(vec![call; 200]).await;
    let billed: u64 = scene.models.served().iter().map(|served| served.usage.output).sum();
    assert_eq!(count(&answers, 200), 50);
    assert_eq!(count(&answers, 429), 150);
    assert_eq!(billed, 5000);
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_at_once_never_overdraw_whatever_they_send() {
    let scene = Scene::standalone(policy(json!([quota("tokens", "tokens", 20_000, "day")])), WORKERS).await;
    let calls = (0..200)
        .map(|at: u64| {
            let call = Call::openai("gpt-5.4-mini", 20).header("x-consumer", "alice");
            let call = call.header("x-mock-delay-ms", 500).header("x-mock-output-tokens", 50 + at);
            call.edit(|body| body["max_completion_tokens"] = (100 + at).into())
        })
        .collect();
    let answers = scene.envoy.send_all(calls).await;
    let billed: u64 =
        scene.models.served().iter().map(|served| served.usage.input + served.usage.output).sum();
    assert!(billed <= 20_000, "{billed} tokens were billed of 20,000");
    assert!(count(&answers, 200) >= 50, "only {} passed: much too cautious", count(&answers, 200));
    assert_eq!(count(&answers, 200) + count(&answers, 429), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_requests_of_a_consumer_lose_no_race() {
    let limits = json!([bucket("rate", "requests", 3), quota("quota", "requests", 3, "month")]);
    let scene = Scene::standalone(policy(limits), WORKERS).await;
    for round in 0..10 {
        let consumers: Vec<String> = (0..8).map(|at| format!("new-{round}-{at}")).collect();
        let calls: Vec<Call> = consumers.iter().flat_map(|consumer| vec![chat_from(consumer); 6]).collect();
        let answers = scene.envoy.send_all(calls).await;
        for (at, consumer) in consumers.iter().enumerate() {
            let own = &answers[at * 6..(at + 1) * 6];
            assert_eq!(count(own, 200), 3, "{consumer}");
        }
    }
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_run_at_once_and_no_more() {
    let limits = json!([{"name": "concurrent", "concurrency": 3}]);
    let scene = Scene::standalone(policy(limits), WORKERS).await;
    for round in 0..3 {
        let answers = scene.envoy.send_all(vec![slow("alice"); 20]).await;
        assert_eq!(count(&answers, 200), 3, "round {round}");
        assert!(
            answers
                .iter()
                .all(|answer| answer.status == 200 || answer.limit().as_deref() == Some("concurrent"))
        );
        scene.wait_until_idle().await;
        scene.envoy.wait_for_journal_of("alice", 20 * (round + 1)).await;
    }
    assert_eq!(scene.models.in_flight().peak, 3);
    let two = scene.envoy.send_all(vec![slow("bob"); 2]).await;
    let three = scene.envoy.send_all(vec![slow("carol"); 3]).await;
    assert_eq!((count(&two, 200), count(&three, 200)), (2, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_all_together_is_exact_over_workers() {
    let mut limit = quota("everybody", "requests", 40, "day");
    limit["key"] = json!([]);
    let scene = Scene::standalone(policy(json!([limit])), WORKERS).await;
    let calls = (0..100).map(|at| chat_from(&format!("user-{at}"))).collect();
    let answers = scene.envoy.send_all(calls).await;
    assert_eq!((count(&answers, 200), count(&answers, 429)), (40, 60));
}

/// Starts `call`, goes away as `leave` says, and expects the consumer's only slot to be free again.
async fn assert_slot_returns(scene: &Scene, consumer: &str) {
    wait::until(
        &format!("the slot of {consumer}"),
        || scene.envoy.logs(),
        async || (scene.envoy.send(&chat_from(consumer)).await.status == 200).then_some(()),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_comes_back_however_the_request_ends() {
    let limits = json!([{"name": "concurrent", "concurrency": 1}]);
    let scene = Scene::standalone(policy(limits), 2).await;
    let to = scene.envoy.address();

    let failing = chat_from("failed").header("x-mock-status", 500);
    assert_eq!(scene.envoy.send(&failing).await.status, 500);
    assert_slot_returns(&scene, "failed").await;

    let hanging = chat_from("mid-stream").streamed().header("x-mock-hang-after", 4);
    let mut answering = hanging.start(to).await.unwrap();
    answering.read_until("toll").await.unwrap();
    assert_eq!(scene.envoy.send(&chat_from("mid-stream")).await.status, 429, "the slot is taken");
    drop(answering);
    assert_slot_returns(&scene, "mid-stream").await;

    let silent = chat_from("before-headers").header("x-mock-delay-ms", 600_000);
    let waiting = tokio::spawn(async move { silent.send(to).await.map(|answer| answer.status) });
    wait::until_true("the model to have it", || scene.models.in_flight().current == 1).await;
    assert_eq!(scene.envoy.send(&chat_from("before-headers")).await.status, 429, "the slot is taken");
    waiting.abort();
    assert_slot_returns(&scene, "before-headers").await;
    scene.envoy.assert_no_trap();
}
