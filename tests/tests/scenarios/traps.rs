//! A worker whose VM traps: what it held is given up by itself, to the unit.

use serde_json::json;
use tollgate_e2e::http_client::{Call, count};
use tollgate_e2e::scene::{Scene, chat_from, policy, quota};
use tollgate_e2e::{paths, wait};

const WORKERS: usize = 4;

/// A chat that may cost 100 output tokens and does.
fn chat(consumer: &str) -> Call {
    let call = chat_from(consumer).header("x-mock-output-tokens", 100);
    call.edit(|body| body["max_completion_tokens"] = 100.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_that_traps_leaks_no_place_and_no_hold_beyond_its_owners_end() {
    let limits =
        json!([{"name": "concurrent", "concurrency": 2}, quota("output", "output_tokens", 1000, "month")]);
    for http2 in [false, true] {
        let scene = Scene::start(WORKERS, |config| {
            config.set_policy(policy(limits.clone()));
            config.set_module(&paths::trap_filter().expect("the filter that traps"));
        })
        .await;
        let version = |call: Call| if http2 { call.http2() } else { call };
        // Both places are taken, and 200 tokens held, when every worker's VM traps.
        let to = scene.envoy.address();
        let slow = version(chat("alice").header("x-mock-delay-ms", 5000));
        let slow = tokio::spawn(async move { Call::send_all(vec![slow; 2], to).await });
        wait::until_true("the model to have both", || scene.models.in_flight().current == 2).await;
        assert_eq!(scene.envoy.send(&version(chat("alice"))).await.limit().as_deref(), Some("concurrent"));
        wait::until(
            "every worker to have trapped",
            || scene.envoy.logs(),
            async || {
                scene.envoy.send_all(vec![version(chat("mallory").header("x-test-trap", 1)); 16]).await;
                let output = scene.envoy.output();
                (output.matches("a request has asked for a trap").count() >= WORKERS).then_some(())
            },
        )
        .await;
        let answers = slow.await.unwrap().unwrap();
        assert_eq!(count(&answers, 503), 2, "both were lost with their VMs");
        // Once their owners are taken for dead both places are free, and what was held counts as used.
        let slow = version(chat("alice").header("x-mock-delay-ms", 1000));
        let mut passed = 0;
        wait::until(
            "both places",
            || scene.envoy.logs(),
            async || {
                let now = count(&scene.envoy.send_all(vec![slow.clone(); 3]).await, 200);
                passed += now;
                assert!(now <= 2, "{now} at once");
                (now == 2).then_some(())
            },
        )
        .await;
        loop {
            let answer = scene.envoy.send(&version(chat("alice"))).await;
            match answer.limit().as_deref() {
                None if answer.status == 200 => passed += 1,
                Some("output") => break,
                other => panic!("{}: {other:?}: {}", answer.status, answer.text()),
            }
        }
        assert_eq!(passed, 8, "of the 1000 tokens 200 were lost with the VMs");
    }
}
