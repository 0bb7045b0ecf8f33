//! A configuration is understood in full or refused, by Envoy and by `tollgate check` in the same words.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use tollgate_e2e::envoy::{Envoy, EnvoyConfig};
use tollgate_e2e::http_client::{Call, count};
use tollgate_e2e::model_server::ModelServer;
use tollgate_e2e::scene::{FREE_KEY, OPENAI_MODEL, Scene, bucket, chat_from, policy, quota};
use tollgate_e2e::{ledger, paths, wait};
use tollgate_wire::Outcome;

/// What `tollgate check` says to this Envoy configuration.
fn check(config: &EnvoyConfig) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("envoy.yaml");
    config.save(&file).unwrap();
    ledger::check(&file).unwrap()
}

async fn config() -> (ModelServer, EnvoyConfig) {
    let models = ModelServer::start().await.unwrap();
    let config = EnvoyConfig::standalone(models.address()).unwrap();
    (models, config)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_are_valid_for_both() {
    let (_models, config) = config().await;
    Envoy::validate(&config).await.unwrap();
    check(&config).unwrap();
    for file in ["config/tollgate.yaml", "envoy/envoy.yaml"] {
        ledger::check(&paths::root().join(file)).unwrap().unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_refused_by_both_with_the_fields_path() {
    type Edit = fn(&mut Map<String, Value>);
    let mistakes: [(&str, Edit); 9] = [
        ("surprise", |policy| policy["tiers"]["free"]["surprise"] = 1.into()),
        ("tiers.free.limits[0]", |policy| policy["tiers"]["free"]["limits"][0]["surprise"] = 1.into()),
        ("tiers.free.limits[0]", |policy| {
            policy["tiers"]["free"]["limits"][0]["rate"]["per"] = "fortnight".into()
        }),
        ("tiers.free.limits[2]", |policy| {
            policy["tiers"]["free"]["limits"][2]["quota"]["amount"] = (-1).into()
        }),
        ("tiers.free.limits[3]", |policy| {
            policy["tiers"]["free"]["limits"][3]["quota"]["zone"] = "Mars/Olympus".into()
        }),
        ("tiers.free.limits[6]", |policy| {
            policy["tiers"]["free"]["limits"][6]["concurrency"] = "many".into()
        }),
        ("identity.default_tier", |policy| policy["identity"]["default_tier"] = "gold".into()),
        ("identity.keys[0].sha256", |policy| policy["identity"]["keys"][0]["sha256"] = "abc".into()),
        ("prices.unknown", |policy| policy["prices"]["unknown"] = "guess".into()),
    ];
    let (_models, config) = config().await;
    for (path, edit) in mistakes {
        let mut wrong = config.clone();
        wrong.policy(edit);
        let by_check = check(&wrong).expect_err(path);
        let by_envoy = Envoy::validate(&wrong).await.expect_err(path);
        assert!(by_envoy.contains(path), "Envoy does not name {path}:\n{by_envoy}");
        // The sentence begins with the field's path and goes to the end of its line.
        let sentence = by_envoy
            .lines()
            .find_map(|line| line.find(path).map(|at| line[at..].trim().to_owned()))
            .unwrap_or_default();
        assert!(by_check.contains(&sentence), "Envoy: {sentence}\ntollgate check: {by_check}");
        let mut as_string = wrong;
        as_string.policy_as_string();
        let by_envoy = Envoy::validate(&as_string).await.expect_err(path);
        assert!(by_envoy.contains(path), "as a string, Envoy does not name {path}:\n{by_envoy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_json_string_is_as_good_as_yaml() {
    let scene = Scene::start(2, |config| {
        config.policy_as_string();
    })
    .await;
    let calls = vec![Call::openai(OPENAI_MODEL, 1).key(FREE_KEY); 2];
    for call in &calls {
        assert_eq!(scene.envoy.send(call).await.status, 200);
    }
    assert_eq!(scene.envoy.wait_for_journal(2).await[0].consumer, "frida");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_while_envoy_runs_keeps_the_balances() {
    let models = ModelServer::start().await.unwrap();
    let mut config = EnvoyConfig::standalone(models.address()).unwrap();
    config.with_listener_from_file();
    config.set_policy(policy(json!([quota("requests", "requests", 5, "day")])));
    let envoy = Envoy::start(&config, 2).await.unwrap();
    for _ in 0..3 {
        assert_eq!(envoy.send(&chat_from("alice")).await.status, 200);
    }

    let mut refused = config.clone();
    refused.policy(|policy| policy["tiers"]["test"]["limits"][0]["surprise"] = 1.into());
    let reason = envoy.update_listener(&refused).await.unwrap_err();
    assert!(reason.contains("tiers.test.limits[0]"), "{reason}");
    assert_eq!(envoy.send(&chat_from("alice")).await.status, 200, "the old policy goes on: 4 of 5");

    let mut raised = config.clone();
    let limits = json!([quota("requests", "requests", 7, "day"), quota("marker", "requests", 100, "month")]);
    raised.set_policy(policy(limits));
    envoy.update_listener(&raised).await.unwrap();
    // Requests of somebody else tell when the new policy is in force on the worker that takes them.
    wait::until(
        "the new policy",
        || envoy.logs(),
        async || {
            let answers = envoy.send_all(vec![chat_from("bystander"); 4]).await;
            answers
                .iter()
                .all(|answer| {
                    answer.header("ratelimit-policy").is_some_and(|policy| policy.contains("marker"))
                })
                .then_some(())
        },
    )
    .await;
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(envoy.send(&chat_from("alice")).await);
    }
    assert_eq!(count(&answers, 200), 3, "4 of 7 were used");
    envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_switch_for_all_is_thrown_while_envoy_runs_and_usage_is_charged_all_the_while() {
    let models = ModelServer::start().await.unwrap();
    let mut config = EnvoyConfig::standalone(models.address()).unwrap();
    config.with_listener_from_file();
    let with = |enforcement: &str| {
        let mut policy =
            policy(json!([quota("requests", "requests", 1, "day"), quota("cost", "cost", 9, "day")]));
        policy["enforcement"] = enforcement.into();
        policy
    };
    let envoy = Envoy::start(config.set_policy(with("on")), 1).await.unwrap();
    assert_eq!(envoy.send(&chat_from("alice")).await.status, 200);
    assert_eq!(envoy.send(&chat_from("alice")).await.status, 429);
    let nobody = Call::openai(OPENAI_MODEL, 1);
    assert_eq!(envoy.send(&nobody).await.status, 401);
    for enforcement in ["off", "shadow"] {
        envoy.update_listener(config.set_policy(with(enforcement))).await.unwrap();
        wait::until(
            "the new policy",
            || envoy.logs(),
            async || (envoy.send(&nobody).await.status == 200).then_some(()),
        )
        .await;
        assert_eq!(envoy.send(&chat_from("alice")).await.status, 200, "{enforcement}");
    }
    envoy.update_listener(config.set_policy(with("on"))).await.unwrap();
    wait::until(
        "the new policy",
        || envoy.logs(),
        async || (envoy.send(&chat_from("alice")).await.status == 429).then_some(()),
    )
    .await;
    let mut tallies = envoy.wait_for_journal_of("alice", 5).await;
    tallies.retain(|tally| tally.outcome != Outcome::Refused);
    assert_eq!(tallies.len(), 3);
    assert!(tallies.iter().all(|tally| tally.cost_nusd.0 > 0));
    envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_under_load_refuse_and_lose_nothing() {
    const MOST: usize = 1000;
    let models = ModelServer::start().await.unwrap();
    let mut config = EnvoyConfig::standalone(models.address()).unwrap();
    config.with_listener_from_file();
    let with = |change: usize| {
        let marker = format!("change-{change}");
        policy(json!([
            quota("requests", "requests", MOST, "month"),
            {"name": "few", "concurrency": 100},
            bucket(&marker, "requests", 1_000_000 + change),
        ]))
    };
    let envoy = Envoy::start(config.set_policy(with(0)), 4).await.unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for client in 0..6 {
        let (to, sent, done) = (envoy.address(), Arc::clone(&sent), Arc::clone(&done));
        let call = chat_from("alice").header("x-mock-delay-ms", client * 20);
        let call = if client % 2 == 0 { call } else { call.http2() };
        clients.spawn(async move {
            while !done.load(Ordering::Relaxed) && sent.fetch_add(1, Ordering::Relaxed) < MOST - 50 {
                let answer = call.send(to).await;
                let answer = answer.unwrap_or_else(|error| panic!("client {client}: {error:#}"));
                assert_eq!(answer.status, 200, "client {client}: {}", answer.text());
            }
        });
    }
    for change in 1..=5 {
        let before = sent.load(Ordering::Relaxed);
        envoy.update_listener(config.set_policy(with(change))).await.unwrap();
        // The change is in force where a client is told of it, and some traffic goes by before the next.
        let marker = format!("change-{change}");
        wait::until(
            "the new policy",
            || envoy.logs(),
            async || {
                let told = envoy.send(&chat_from("bystander")).await.header("ratelimit-policy");
                let new = told.is_some_and(|told| told.contains(&marker));
                (new && sent.load(Ordering::Relaxed) >= before + 20).then_some(())
            },
        )
        .await;
    }
    done.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    let served = models.served().iter().filter(|one| one.header("x-consumer") == Some("alice")).count();
    // Whatever policy it was decided by, every request is in the journal once, and counts once.
    let tallies = envoy.wait_for_journal_of("alice", served).await;
    assert_eq!(tallies.len(), served);
    let mut left = MOST - served;
    while left > 0 {
        let batch = left.min(60);
        let answers = envoy.send_all(vec![chat_from("alice"); batch]).await;
        assert_eq!(count(&answers, 200), batch, "{left} of {MOST} are left");
        left -= batch;
    }
    let over = envoy.send(&chat_from("alice")).await;
    assert_eq!((over.status, over.limit().as_deref()), (429, Some("requests")));
    envoy.assert_no_trap();
}
