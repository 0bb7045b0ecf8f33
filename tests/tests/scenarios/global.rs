//! Quotas of all Envoys: exact over several of them, without a hop once a lease is held, and as configured when the ledger
//! is away.

use serde_json::{Value, json};
use tollgate_e2e::envoy::{Envoy, EnvoyConfig};
use tollgate_e2e::http_client::{Answer, Call, count};
use tollgate_e2e::ledger::Ledger;
use tollgate_e2e::model_server::ModelServer;
use tollgate_e2e::scene::{OPENAI_MODEL, chat_from, policy, quota};
use tollgate_e2e::wait;

use super::fleet::{Fleet, global};

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_three_envoys_is_used_to_the_last_request_and_not_beyond() {
    let mut limit = global(quota("team", "requests", 200, "day"), json!({"wait_ms": 2000}));
    limit["key"] = json!([]);
    let fleet = Fleet::start(3, json!([limit])).await;
    let mut admitted = 0;
    for round in 0..12 {
        let answers = fleet.send(&vec![chat_from("alice"); 10]).await;
        let answers: Vec<Answer> = answers.into_iter().flatten().collect();
        let passed = count(&answers, 200);
        assert_eq!(
            passed + count(&answers, 429),
            30,
            "{:?}",
            answers.iter().map(|a| a.status).collect::<Vec<_>>()
        );
        admitted += passed;
        assert!(admitted <= 200, "{admitted} after round {round}");
    }
    assert_eq!(admitted, 200);
    let refused = fleet.envoys[0].send(&chat_from("alice")).await;
    assert_eq!(refused.limit().as_deref(), Some("team"));
    fleet.wait_until_settled(200).await;
    fleet.assert_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn money_is_settled_at_what_it_cost_and_never_more_than_there_was() {
    let mut limit = global(quota("budget", "cost", "0.02", "month"), json!({"wait_ms": 2000}));
    limit["key"] = json!(["tier"]);
    let fleet = Fleet::start(2, json!([limit])).await;
    let call = |consumer: &str| {
        let call = Call::openai(OPENAI_MODEL, 1).header("x-consumer", consumer);
        call.header("x-mock-output-tokens", 60).edit(|body| body["max_completion_tokens"] = 200.into())
    };
    let mut refused = 0;
    for _ in 0..20 {
        let answers = fleet.send(&[call("alice"), call("bob"), call("carol"), call("dora")]).await;
        let answers: Vec<Answer> = answers.into_iter().flatten().collect();
        refused += count(&answers, 429);
        assert_eq!(count(&answers, 200) + count(&answers, 429), 8);
    }
    assert!(refused > 0, "the budget is not used up");
    let totals = fleet.ledger.wait_for_requests(160).await;
    assert!(totals.cost_nusd <= 20_000_000, "{totals:?}");
    // What one more request might cost, 900,000, is all that is left at either.
    assert!(totals.cost_nusd > 20_000_000 - 2 * 900_000, "{totals:?}");
    fleet.wait_until_settled(totals.cost_nusd).await;
    fleet.assert_sound();
}

/// A quota of one consumer, over all Envoys.
fn own(name: &str, consumer: &str, terms: Value) -> Value {
    let mut limit = global(quota(name, "requests", 1000, "day"), terms);
    limit["when"] = json!({"consumer": [consumer]});
    limit
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_away_is_not_needed_while_the_lease_lasts_and_then_the_limit_decides() {
    let limits = json!([
        own("closed", "alice", json!({"wait_ms": 2000})),
        own("open", "bob", json!({"wait_ms": 2000, "allowance": 7})),
        own("funded", "carol", json!({"wait_ms": 2000, "allowance": 7, "funded": true})),
    ]);
    let fleet = Fleet::start(1, limits).await;
    let envoy = &fleet.envoys[0];
    for consumer in ["alice", "bob", "carol"] {
        assert_eq!(count(&envoy.send_all(vec![chat_from(consumer); 20]).await, 200), 20);
    }
    fleet.ledger.pause().unwrap();
    let mut passed = Vec::new();
    for (consumer, limit) in [("alice", "closed"), ("bob", "open"), ("carol", "funded")] {
        let mut admitted = 0;
        let last = loop {
            let answer = envoy.send(&chat_from(consumer)).await;
            if answer.status != 200 {
                break answer;
            }
            admitted += 1;
        };
        assert_eq!((last.status, last.limit().as_deref()), (503, Some(limit)), "{}", last.text());
        assert!(last.header("retry-after").is_some());
        passed.push(admitted);
    }
    assert!(passed[0] > 0 && passed[1] >= 7 && passed[2] >= 7, "{passed:?} passed without the ledger");
    fleet.ledger.resume().unwrap();
    wait::until(
        "the ledger to be found again",
        || envoy.logs(),
        async || (envoy.send(&chat_from("alice")).await.status == 200).then_some(()),
    )
    .await;
    let overrun = async || {
        let quotas = fleet.ledger.get("/v1/leases").await["quotas"].clone();
        let quotas = quotas.as_array().cloned().unwrap_or_default().into_iter();
        let overrun = quotas.map(|quota| (quota["limit"].clone(), quota["overrun"].as_u64().unwrap_or(0)));
        let overrun: Vec<(Value, u64)> = overrun.filter(|(_, overrun)| *overrun > 0).collect();
        (!overrun.is_empty()).then_some(overrun)
    };
    let overrun = wait::until("the overrun to be told", || fleet.ledger.logs(), overrun).await;
    assert_eq!(overrun, [(json!("open"), 7)], "only what is not funded is overrun");
    fleet.assert_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_envoy_had_leased_is_nobody_elses() {
    let mut limit = global(quota("team", "requests", 300, "day"), json!({"wait_ms": 2000}));
    limit["key"] = json!([]);
    let mut fleet = Fleet::start(2, json!([limit])).await;
    let served =
        |answers: &[Vec<Answer>], status| answers.iter().map(|all| count(all, status)).sum::<usize>();
    let mut admitted = 0;
    for _ in 0..5 {
        admitted += served(&fleet.send(&vec![chat_from("alice"); 10]).await, 200);
    }
    fleet.envoys[0].kill9();
    fleet.envoys.remove(0);
    let fresh = fleet.envoy(json!([limit])).await;
    fleet.envoys.push(fresh);
    let mut refused = 0;
    while refused < 20 {
        let answers = fleet.send(&vec![chat_from("alice"); 10]).await;
        admitted += served(&answers, 200);
        refused += served(&answers, 429);
        assert!(admitted <= 300, "{admitted}");
    }
    let quota = fleet.quota().await;
    let held = quota["held"].as_u64().unwrap();
    // Nothing else is missing than what is held, of which the dead one spent a part.
    assert!(admitted as u64 + held >= 300, "{admitted} served, {held} held: {quota}");
    fleet.assert_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_survive_a_new_configuration() {
    let mut limit = global(quota("team", "requests", 1000, "day"), json!({"wait_ms": 2000}));
    limit["key"] = json!([]);
    let models = ModelServer::start().await.unwrap();
    let ledger = Ledger::start(None).await.unwrap();
    let config = |extra: &str| {
        let mut config = EnvoyConfig::example(models.address(), ledger.address()).unwrap();
        config.with_listener_from_file();
        config.policy(|example| {
            let ledger = example["ledger"].clone();
            let mut policy = policy(json!([limit, quota(extra, "requests", 5000, "day")]));
            policy["ledger"] = ledger;
            *example = policy.as_object().unwrap().clone();
        });
        config
    };
    let envoy = Envoy::start(&config("other"), 2).await.unwrap();
    assert_eq!(count(&envoy.send_all(vec![chat_from("alice"); 30]).await, 200), 30);
    envoy.update_listener(&config("another")).await.unwrap();
    assert_eq!(count(&envoy.send_all(vec![chat_from("alice"); 30]).await, 200), 30);
    let reported = async || {
        let quota = ledger.get("/v1/leases").await["quotas"][0].clone();
        (quota["settled"] == 60).then_some(quota)
    };
    let quota = wait::until("all to be reported", || ledger.logs(), reported).await;
    assert_eq!(quota["leases"].as_array().unwrap().len(), 1, "one Envoy, one lease: {quota}");
    envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_new_consumers_at_once_all_get_their_lease() {
    let limits = json!([
        global(quota("day", "requests", 1000, "day"), json!({"wait_ms": 5000})),
        global(quota("month", "cost", 1000, "month"), json!({"wait_ms": 5000})),
    ]);
    let fleet = Fleet::start(1, limits).await;
    for batch in 0..10 {
        let calls = (0..50).map(|at| chat_from(&format!("user-{batch}-{at}"))).collect();
        let answers = fleet.envoys[0].send_all(calls).await;
        assert_eq!(count(&answers, 200), 50, "{}", fleet.envoys[0].logs());
    }
    fleet.assert_sound();
}
