//! Who is asking: headers, API keys, JWT claims, client certificates; and nobody who only says so.

use serde_json::json;
use tollgate_e2e::envoy::JwtIssuer;
use tollgate_e2e::http_client::Call;
use tollgate_e2e::scene::{CLAUDE_MODEL, FREE_KEY, OPENAI_MODEL, PRO_KEY, Scene, chat_from, policy, quota};
use tollgate_e2e::tls::{Authority, Signed};

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

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_are_numbers_and_lists_are_read() {
    let issuer = JwtIssuer::default();
    let scene = Scene::start(2, |config| {
        config.require_jwt(JwtIssuer::NAME, &issuer.jwks());
        config.policy(|policy| {
            let claim = |name: &str| json!([{"jwt": {"payload": "jwt_payload", "claim": name}}]);
            policy["identity"]["consumer"] = claim("uid");
            policy["identity"]["tier"] = claim("groups");
            policy["identity"]["roles"] = claim("groups");
            policy["identity"]["project"] = claim("beta");
            policy.insert("access".into(), json!({"exempt": {"roles": ["admin"]}}));
        });
    })
    .await;
    let chat = Call::openai(OPENAI_MODEL, 1);
    let claims = json!({"uid": 1_795_305_600_123u64, "groups": ["staff", "pro"], "beta": true});
    let call = chat.clone().key(&issuer.token(&claims).unwrap());
    assert_eq!(scene.envoy.send(&call).await.status, 200);
    let tally = scene.envoy.wait_for_journal(1).await.remove(0);
    assert_eq!((&*tally.consumer, &*tally.tier, &*tally.project), ("1795305600123", "pro", "true"));
    assert!(!tally.exempt);

    let admin = chat.key(&issuer.token(&json!({"uid": "root", "groups": ["staff", "admin"]})).unwrap());
    for _ in 0..5 {
        assert_eq!(scene.envoy.send(&admin).await.status, 200, "3 requests a minute are not for admins");
    }
    let tallies = scene.envoy.wait_for_journal_of("root", 5).await;
    assert!(tallies.iter().all(|tally| tally.exempt && tally.tier == "free"));
    assert!(tallies.iter().all(|tally| tally.cost_nusd.0 > 0), "exempt is not free");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_suspended_is_told_why_and_nothing_is_served() {
    let scene = Scene::example(2, |policy| {
        policy.insert("access".into(), json!({"suspended": {"frida": "The invoice of May is unpaid."}}));
    })
    .await;
    let call = Call::openai(OPENAI_MODEL, 1).key(FREE_KEY);
    let answer = scene.envoy.send(&call).await;
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("The invoice of May is unpaid."), "{}", answer.text());
    assert_eq!(answer.header("retry-after"), None, "waiting won't help");
    assert_eq!(scene.envoy.send(&Call::openai(OPENAI_MODEL, 1).key(PRO_KEY)).await.status, 200);
    assert_eq!(scene.models.served().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tier_gets_the_models_it_lists() {
    let scene = Scene::example(2, |policy| {
        policy["tiers"]["free"]["models"] = json!(["gpt-5.4-*"]);
    })
    .await;
    let free = |call: Call| call.header("x-api-key", FREE_KEY);
    assert_eq!(scene.envoy.send(&free(Call::openai(OPENAI_MODEL, 1))).await.status, 200);
    let refused = scene.envoy.send(&free(Call::anthropic(CLAUDE_MODEL, 1, 10))).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains(CLAUDE_MODEL), "{}", refused.text());
    let unnamed = Call::openai(OPENAI_MODEL, 1).edit(|body| {
        body.as_object_mut().unwrap().remove("model");
    });
    assert_eq!(scene.envoy.send(&free(unnamed)).await.status, 403, "the server would choose");
    let pro = Call::anthropic(CLAUDE_MODEL, 1, 10).header("x-api-key", PRO_KEY);
    assert_eq!(scene.envoy.send(&pro).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_says_who_is_asking_and_another_authoritys_does_not() {
    let (ours, theirs) = (Authority::new().unwrap(), Authority::new().unwrap());
    let server = ours.server().unwrap();
    for (field, consumer) in
        [("uri_san", "spiffe://acme/team-a"), ("dns_san", "agent.acme.example"), ("subject", "CN=agent")]
    {
        let scene = Scene::start(4, |config| {
            let mut policy = policy(json!([quota("requests", "requests", 2, "day")]));
            policy["identity"]["consumer"] = json!([{"certificate": field}]);
            config.set_policy(policy);
            config.with_tls(&ours.pem(), &server);
        })
        .await;
        let to = scene.envoy.address();
        let signed = |authority: &Authority| {
            let client = authority.client(&["spiffe://acme/team-a"], &["agent.acme.example"], "agent");
            client.unwrap()
        };
        for (http2, statuses) in [(false, [200, 200, 429]), (true, [429, 429, 429])] {
            let chat = Call::openai(OPENAI_MODEL, 1).header("x-consumer", "mallory");
            let chat = if http2 { chat.http2() } else { chat };
            let with = |client: Option<&Signed>| ours.connector(client, http2).unwrap();
            let call = chat.clone().tls(with(Some(&signed(&ours))));
            let mut told = Vec::new();
            for _ in 0..3 {
                told.push(scene.envoy.send(&call).await.status);
            }
            assert_eq!(told, statuses, "{field}, http2: {http2}");
            let nobody = scene.envoy.send(&chat.clone().tls(with(None))).await;
            assert_eq!(nobody.status, 401, "{field}: without a certificate");
            let forged = chat.clone().tls(with(Some(&signed(&theirs)))).send(to).await;
            assert!(forged.is_err(), "{field}: a certificate of another authority came in");
        }
        let tally = scene.envoy.wait_for_journal_of(consumer, 2).await.remove(0);
        assert_eq!(tally.consumer, consumer);
        scene.envoy.assert_no_trap();
    }
}

/// A policy that limits addresses to two requests a day.
fn by_address(hops: u8) -> serde_json::Value {
    json!({
        "identity": {"consumer": [{"address": {}}], "trusted_hops": hops},
        "limits": [quota("per-address", "requests", 2, "day")],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_a_header_counts_only_behind_trusted_proxies() {
    for (hops, forwarded, consumer) in [
        (0, "6.6.6.6", "127.0.0.1"),
        (1, "6.6.6.6, 192.0.2.7", "192.0.2.7"),
        (1, "unknown", "127.0.0.1"),
        (2, "6.6.6.6, 192.0.2.7, 10.0.0.1", "192.0.2.7"),
    ] {
        let scene = Scene::start(1, |config| {
            config.connection_manager().insert("use_remote_address".into(), true.into());
            config.set_policy(by_address(hops));
        })
        .await;
        let call = Call::openai(OPENAI_MODEL, 1).header("x-forwarded-for", forwarded);
        let statuses = [
            scene.envoy.send(&call).await.status,
            scene.envoy.send(&call).await.status,
            scene.envoy.send(&call).await.status,
        ];
        assert_eq!(statuses, [200, 200, 429]);
        let tally = scene.envoy.wait_for_journal(1).await.remove(0);
        assert_eq!(tally.consumer, consumer, "{hops} hops, {forwarded}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listed_headers_are_read_and_then_removed() {
    let mut policy = policy(json!([quota("requests", "requests", 10, "day")]));
    policy["identity"]["strip_headers"] = json!(["X-Consumer", "x-internal-role"]);
    let scene = Scene::standalone(policy, 1).await;
    let call = chat_from("alice").header("x-internal-role", "admin").header("x-other", "kept");
    assert_eq!(scene.envoy.send(&call).await.status, 200);
    let served = scene.models.served().remove(0);
    assert_eq!((served.header("x-consumer"), served.header("x-internal-role")), (None, None));
    assert_eq!(served.header("x-other"), Some("kept"));
    assert_eq!(scene.envoy.wait_for_journal(1).await.remove(0).consumer, "alice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_names_no_policy_has_the_default_one() {
    let scene = Scene::example(1, |policy| {
        policy["policies"]["house"] = json!({"limits": [quota("house", "requests", 1, "day")]});
        policy.insert("default_policy".into(), "house".into());
    })
    .await;
    let call = Call::openai(OPENAI_MODEL, 1).key(PRO_KEY);
    assert_eq!(scene.envoy.send(&call).await.status, 200);
    let refused = scene.envoy.send(&call).await;
    assert_eq!((refused.status, refused.limit().as_deref()), (429, Some("house")));
    let elsewhere = call.path("/expensive/v1/chat/completions");
    assert_eq!(scene.envoy.send(&elsewhere).await.status, 200, "that route has a policy of its own");
}
