//! Rates of all Envoys: each has a share of them, together they let no more through than the rate.

use std::time::Instant;

use serde_json::{Value, json};
use tollgate_e2e::http_client::{Answer, Call, count};
use tollgate_e2e::scene::{OPENAI_MODEL, chat_from};
use tollgate_e2e::wait;

use super::fleet::{Fleet, global};

/// `amount` a minute over all Envoys.
fn rate(name: &str, amount: u64, terms: Value) -> Value {
    let rate = json!({"amount": amount, "per": "minute"});
    global(json!({"name": name, "meter": "requests", "key": ["consumer"], "rate": rate}), terms)
}

#[tokio::test(flavor = "multi_thread")]
async fn three_envoys_together_let_no_more_through_than_the_rate() {
    let fleet = Fleet::start(3, json!([rate("shared", 60, json!({"wait_ms": 2000}))])).await;
    let (start, mut passed, mut refused) = (Instant::now(), [0; 3], 0);
    while refused < 60 {
        let answers = fleet.send(&vec![chat_from("alice"); 4]).await;
        for (passed, answers) in passed.iter_mut().zip(&answers) {
            *passed += count(answers, 200);
            refused += count(answers, 429);
            assert_eq!(count(answers, 200) + count(answers, 429), 4, "{}", answers[0].text());
        }
    }
    let (all, seconds) = (passed.iter().sum::<usize>() as u64, start.elapsed().as_secs());
    assert!(all <= 60 + seconds + 1, "{passed:?} in {seconds} s");
    // Nine tenths of the burst found their way to where they were wanted.
    assert!(all >= 54 && passed.iter().all(|passed| *passed > 0), "{passed:?} in {seconds} s");
    let answer = fleet.envoys[0].send(&chat_from("alice")).await;
    assert_eq!((answer.status, answer.limit().as_deref()), (429, Some("shared")));
    assert!(answer.header("retry-after").is_some());
    fleet.assert_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_most_of_the_burst_passes_beside_another_envoy() {
    let tokens = json!({"amount": 6_000_000, "per": "minute", "burst": 100_000});
    let limit = json!({"name": "tokens", "meter": "output_tokens", "key": ["consumer"], "rate": tokens});
    let fleet = Fleet::start(2, json!([global(limit, json!({"wait_ms": 5000}))])).await;
    let of_tokens = |tokens: u64| {
        let call = Call::openai(OPENAI_MODEL, 1).header("x-consumer", "alice");
        let call = call.header("x-mock-output-tokens", 10);
        call.edit(move |body| body["max_completion_tokens"] = tokens.into())
    };
    fleet.send(&[of_tokens(100)]).await;
    let logs = || fleet.envoys[0].logs();
    wait::until("most of the burst to be in one place", logs, async || {
        let answer = fleet.envoys[0].send(&of_tokens(80_000)).await;
        (answer.status == 200).then_some(())
    })
    .await;
    fleet.assert_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_ledger_the_limit_decides() {
    let closed = json!({"wait_ms": 300});
    let open = json!({"wait_ms": 300, "allowance": 3});
    let mut limits = [rate("closed", 60, closed), rate("open", 60, open)];
    for (limit, consumer) in limits.iter_mut().zip(["alice", "bob"]) {
        limit["when"] = json!({"consumer": [consumer]});
    }
    let fleet = Fleet::start(1, json!(limits)).await;
    fleet.ledger.pause().unwrap();
    let refused = fleet.envoys[0].send(&chat_from("alice")).await;
    assert_eq!((refused.status, refused.limit().as_deref()), (503, Some("closed")), "{}", refused.text());
    let answers: Vec<Answer> = fleet.envoys[0].send_all(vec![chat_from("bob"); 8]).await;
    assert_eq!((count(&answers, 200), count(&answers, 429)), (3, 5));
    fleet.ledger.resume().unwrap();
    let logs = || fleet.envoys[0].logs();
    wait::until("the ledger to be found again", logs, async || {
        (fleet.envoys[0].send(&chat_from("alice")).await.status == 200).then_some(())
    })
    .await;
    fleet.assert_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_envoy_had_goes_to_the_others_in_time() {
    let limits = json!([rate("shared", 600, json!({"wait_ms": 2000}))]);
    let mut fleet = Fleet::start(2, limits).await;
    for _ in 0..3 {
        fleet.send(&vec![chat_from("alice"); 4]).await;
    }
    fleet.envoys[0].kill9();
    fleet.envoys.remove(0);
    // More than the dead one left it, at once: what is lost is the share, for its time, and what was in its bucket.
    let logs = || format!("{}\n{}", fleet.envoys[0].logs(), fleet.ledger.logs());
    wait::until("the other to have the whole burst", logs, async || {
        let answers = fleet.envoys[0].send_all(vec![chat_from("alice"); 100]).await;
        (count(&answers, 200) > 0).then_some(())
    })
    .await;
    fleet.assert_sound();
}
