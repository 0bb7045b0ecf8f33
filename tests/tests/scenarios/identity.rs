//! Who is asking: headers, API keys, JWT claims; and nobody who only says so.

use serde_json::json;
use tollgate_e2e::envoy::JwtIssuer;
use tollgate_e2e::http_client::Call;
use tollgate_e2e::scene::{CLAUDE_MODEL, FREE_KEY, OPENAI_MODEL, PRO_KEY, Scene, chat_from, policy, quota};

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_is_found_wherever_clients_put_it() {
    let scene = Scene::example(2, |_| {}).await;
    let chat = Call::openai(OPENAI_MODEL, 1);
    let calls = [
        chat.clone().key(PRO_KEY),
        chat.clone().header("authorization", format!("bearer {PRO_KEY}")),
        chat.clone().header("x-api-key", PRO_KEY),
        chat.clone().header("api-key", PRO_KEY),
        Call::anthropic(CLAUDE_MODEL, 1, 10).header("x-api-key", PRO_KEY),
    ];
    for call in &calls {
        let answer = scene.envoy.send(call).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let tallies = scene.envoy.wait_for_journal(calls.len()).await;
    for tally in tallies {
        assert_eq!(
            (tally.consumer.as_str(), tally.tier.as_str(), tally.team.as_str()),
            ("paula", "pro", "search")
        );
    }
    assert!(!scene.envoy.output().contains(PRO_KEY), "a key is in the log");
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cannot_be_identified_is_refused_in_their_apis_shape() {
    let scene = Scene::example(2, |_| {}).await;
    for call in [Call::openai(OPENAI_MODEL, 1), Call::openai(OPENAI_MODEL, 1).key("invented")] {
        let openai = scene.envoy.send(&call).await;
        assert_eq!(openai.status, 401);
        assert!(openai.json()["error"]["message"].is_string(), "{}", openai.text());
        assert_eq!(openai.limit(), None);
    }
    let anthropic = scene.envoy.send(&Call::anthropic(CLAUDE_MODEL, 1, 10)).await;
    assert_eq!(anthropic.status, 401);
    assert_eq!(anthropic.json()["type"], "error", "{}", anthropic.text());
    assert_eq!(anthropic.json()["error"]["type"], "authentication_error");
    assert!(scene.models.served().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn unidentified_requests_can_count_as_somebody() {
    let scene = Scene::example(2, |policy| {
        policy["identity"]["unidentified"] = json!({"consumer": "anonymous", "tier": "pro"});
    })
    .await;
    assert_eq!(scene.envoy.send(&Call::openai(OPENAI_MODEL, 1)).await.status, 200);
    let tally = scene.envoy.wait_for_journal(1).await.remove(0);
    assert_eq!((tally.consumer.as_str(), tally.tier.as_str()), ("anonymous", "pro"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verified_jwt_says_who_which_team_and_which_tier() {
    let issuer = JwtIssuer::default();
    let scene = Scene::start(2, |config| {
        config.require_jwt(JwtIssuer::NAME, &issuer.jwks());
    })
    .await;
    let chat = Call::openai(OPENAI_MODEL, 1);
    let claims = json!({"sub": "alice", "team": "maps", "tier": "enterprise"});
    let token = issuer.token(&claims).unwrap();
    assert_eq!(scene.envoy.send(&chat.clone().key(&token)).await.status, 200);
    let tally = scene.envoy.wait_for_journal(1).await.remove(0);
    assert_eq!((&*tally.consumer, &*tally.team, &*tally.tier), ("alice", "maps", "enterprise"));

    let no_tier = issuer.token(&json!({"sub": "bob"})).unwrap();
    assert_eq!(scene.envoy.send(&chat.clone().key(&no_tier)).await.status, 200);
    let tally = scene.envoy.wait_for_journal(2).await.remove(1);
    assert_eq!((&*tally.consumer, &*tally.tier), ("bob", "free"));

    assert_eq!(scene.envoy.send(&chat.clone().key(FREE_KEY)).await.status, 401, "Envoy takes it for a JWT");
    assert_eq!(scene.envoy.send(&chat.clone().header("x-api-key", FREE_KEY)).await.status, 200);
    let tally = scene.envoy.wait_for_journal_of("frida", 1).await.remove(0);
    assert_eq!(tally.tier, "free");

    let forged = format!("{}x", issuer.token(&claims).unwrap());
    assert_eq!(scene.envoy.send(&chat.key(&forged)).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_only_tollgate_may_send_are_removed() {
    let scene = Scene::standalone(policy(json!([quota("requests", "requests", 10, "day")])), 1).await;
    let call = chat_from("alice")
        .header("x-tollgate-consumer", "mallory")
        .header("X-Tollgate-Tier", "enterprise")
        .header("x-tollgate-limit", "none")
        .header("x-tollgate-anything", "1")
        .header("x-other", "kept");
    assert_eq!(scene.envoy.send(&call).await.status, 200);
    let served = scene.models.served().remove(0);
    let forged: Vec<_> = served
        .headers
        .iter()
        .filter(|(name, value)| name.starts_with("x-tollgate") && value != "alice")
        .collect();
    assert!(forged.is_empty(), "{forged:?}");
    assert_eq!(served.header("x-other"), Some("kept"));
    let tally = scene.envoy.wait_for_journal(1).await.remove(0);
    assert_eq!(tally.consumer, "alice");
}
