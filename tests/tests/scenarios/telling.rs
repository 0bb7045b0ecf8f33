//! What Tollgate tells: headers, refusals in each API's shape, warnings, and Envoy's metrics.

use serde_json::json;
use tollgate_e2e::http_client::Call;
use tollgate_e2e::scene::{CLAUDE_MODEL, FREE_KEY, OPENAI_MODEL, Scene, bucket, chat_from, policy, quota};
use tollgate_e2e::{paths, wait};

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_tells_what_is_left() {
    let limits = json!([bucket("rate", "requests", 10), quota("daily", "requests", 50, "day")]);
    let scene = Scene::standalone(policy(limits), 1).await;
    let answer = scene.envoy.send(&chat_from("alice")).await;
    let policies = answer.header("ratelimit-policy").unwrap();
    assert!(policies.contains(r#""rate";q=10"#) && policies.contains(r#""daily";q=50"#), "{policies}");
    let left = answer.header("ratelimit").unwrap();
    assert!(left.contains(r#";r="#), "{left}");
    // The provider's own limits are of the key that all users share: they are Tollgate's business, not a user's.
    assert_eq!(answer.header("x-ratelimit-limit-requests").as_deref(), Some("10"));
    assert_eq!(answer.header("x-ratelimit-remaining-requests").as_deref(), Some("9"));
    let claude = Call::anthropic(CLAUDE_MODEL, 1, 10).header("x-consumer", "bob");
    let answer = scene.envoy.send(&claude).await;
    assert_eq!(answer.header("anthropic-ratelimit-requests-limit").as_deref(), Some("10"));
    assert_eq!(answer.header("anthropic-ratelimit-requests-remaining").as_deref(), Some("9"));
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_can_be_turned_off() {
    let mut policy = policy(json!([bucket("rate", "requests", 10)]));
    policy["headers"] = json!({"ratelimit": false, "dialect": false});
    let scene = Scene::standalone(policy, 1).await;
    let answer = scene.envoy.send(&chat_from("alice")).await;
    assert_eq!(
        (answer.status, answer.header("ratelimit"), answer.header("ratelimit-policy")),
        (200, None, None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_asks_how_it_stands_and_nothing_is_counted() {
    let mut policy = policy(json!([bucket("rate", "requests", 10), quota("daily", "requests", 50, "day")]));
    policy["self_path"] = json!("/tollgate/self");
    let scene = Scene::standalone(policy, 2).await;
    let own = |consumer| Call::get("/tollgate/self?lang=en").header("x-consumer", consumer);
    assert_eq!(scene.envoy.send(&chat_from("alice")).await.status, 200);
    for _ in 0..20 {
        let told = scene.envoy.send(&own("alice")).await;
        assert_eq!((told.status, told.header("cache-control").as_deref()), (200, Some("no-store")));
        let told = told.json();
        assert_eq!(told["consumer"], "alice");
        let limits = ["rate", "daily"].map(|name| {
            let limits = told["limits"].as_array().unwrap();
            limits.iter().find(|limit| limit["limit"] == name).unwrap().clone()
        });
        assert_eq!((&limits[0]["most"], &limits[0]["unit"]), (&json!(10), &json!("requests")));
        assert!(limits[0]["remaining"].as_u64().unwrap() >= 9, "{told}");
        assert_eq!((&limits[1]["remaining"], &limits[1]["kind"]), (&json!(49), &json!("quota")));
    }
    let bob = scene.envoy.send(&own("bob")).await.json();
    assert!(
        bob["limits"].as_array().unwrap().iter().all(|limit| limit["remaining"] == limit["most"]),
        "{bob}"
    );
    // Nobody is told nothing, and only that very path is answered here.
    assert_eq!(scene.envoy.send(&Call::get("/tollgate/self")).await.status, 401);
    let further = scene.envoy.send(&Call::get("/tollgate/self/x").header("x-consumer", "alice")).await;
    assert!(!further.text().contains("limits"), "{}", further.text());
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_has_the_shape_of_the_callers_api() {
    let scene = Scene::standalone(policy(json!([quota("daily", "requests", 1, "day")])), 1).await;
    let claude = Call::anthropic(CLAUDE_MODEL, 1, 10).header("x-consumer", "alice");
    assert_eq!(scene.envoy.send(&chat_from("alice")).await.status, 200);
    let openai = scene.envoy.send(&chat_from("alice")).await;
    assert_eq!((openai.status, openai.limit().as_deref()), (429, Some("daily")));
    let error = openai.json()["error"].clone();
    assert!(error["message"].as_str().is_some_and(|message| message.contains("Quota exceeded")), "{error}");
    assert!(error["type"].is_string() && error["code"].is_string(), "{error}");
    assert!(error.as_object().is_some_and(|error| error.contains_key("param")), "{error}");
    let anthropic = scene.envoy.send(&claude).await;
    assert_eq!((anthropic.status, anthropic.limit().as_deref()), (429, Some("daily")));
    let body = anthropic.json();
    assert_eq!(
        (&body["type"], &body["error"]["type"]),
        (&json!("error"), &json!("rate_limit_error")),
        "{body}"
    );
    assert!(body["error"]["message"].is_string(), "{body}");
    for answer in [&openai, &anthropic] {
        assert_eq!(answer.header("content-type").as_deref(), Some("application/json"));
        assert_eq!(answer.header("x-should-retry").as_deref(), Some("false"));
        assert!(answer.header("ratelimit").is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_free_user_is_told_of_the_next_tier_in_the_configured_words() {
    let scene = Scene::example(1, |policy| {
        policy["messages"]["quota_exceeded"] = "Genug für heute.".into();
        policy["tiers"]["free"]["limits"] = json!([quota("daily", "requests", 1, "day")]);
    })
    .await;
    let call = Call::openai(OPENAI_MODEL, 1).key(FREE_KEY);
    assert_eq!(scene.envoy.send(&call).await.status, 200);
    let message = scene.envoy.send(&call).await.json()["error"]["message"].to_string();
    assert!(message.contains("Genug für heute."), "{message}");
    assert!(message.contains("The pro tier has 20 requests a minute and $5 a day."), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_threshold_is_warned_of_once() {
    let scene = Scene::standalone(policy(json!([quota("daily", "requests", 10, "day")])), 2).await;
    let mut warned = Vec::new();
    for at in 1..=10_usize {
        let answer = scene.envoy.send(&chat_from("alice")).await;
        assert_eq!(answer.status, 200);
        if let Some(warning) = answer.header("x-tollgate-warning") {
            assert!(warning.contains("daily"), "{warning}");
            warned.push(at);
        }
        scene.envoy.wait_for_journal_of("alice", at).await;
    }
    assert!(!warned.is_empty() && warned.iter().all(|at| *at >= 8), "warned at {warned:?} of 10");
    let tallies = scene.envoy.wait_for_journal_of("alice", 10).await;
    let mut told: Vec<u8> =
        tallies.iter().flat_map(|tally| &tally.warnings).map(|warning| warning.percent).collect();
    told.sort_unstable();
    assert_eq!(told, [80, 90, 95]);
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_counts_with_labels() {
    let scene = Scene::example(2, |policy| {
        policy["tiers"]["free"]["limits"] =
            json!([bucket("rate", "requests", 3), quota("cost", "cost", 9, "day")]);
    })
    .await;
    let call = Call::openai(OPENAI_MODEL, 5).key(FREE_KEY).header("x-mock-output-tokens", 7);
    for _ in 0..5 {
        scene.envoy.send(&call).await;
    }
    let cost: u64 = scene.envoy.wait_for_journal(5).await.iter().map(|tally| tally.cost_nusd.0).sum();
    let free = ("tier", "free");
    let expected = [
        ("tollgate_requests", vec![free, ("outcome", "admitted")], 3.0),
        ("tollgate_requests", vec![free, ("outcome", "rejected")], 2.0),
        ("tollgate_violations", vec![("limit", "rate"), ("kind", "rate")], 2.0),
        ("tollgate_tokens", vec![free, ("kind", "input")], 15.0),
        ("tollgate_tokens", vec![free, ("kind", "output")], 21.0),
        ("tollgate_cost_nano_usd", vec![free], cost as f64),
    ];
    for (name, labels, value) in expected {
        // Metrics are handed to Envoy on a tick.
        let what = format!("{name}{labels:?} to be {value}");
        wait::until(
            &what,
            || scene.envoy.logs(),
            async || (scene.envoy.prometheus().await.sum(name, &labels) == Some(value)).then_some(()),
        )
        .await;
    }
    let names = scene.envoy.prometheus().await.names("tollgate_");
    assert!(names.iter().all(|name| !name.contains('=')), "a label is left in a name: {names:?}");
}

/// Waits until a metric that Prometheus reads has this value.
async fn until_counted(scene: &Scene, name: &str, labels: &[(&str, &str)], value: f64) {
    wait::until(
        &format!("{name}{labels:?} to be {value}"),
        || scene.envoy.logs(),
        async || (scene.envoy.prometheus().await.sum(name, labels) == Some(value)).then_some(()),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_violation_and_every_answer_to_one_is_counted() {
    let when = |consumer: &str| json!({"consumer": [consumer]});
    let mut rate = bucket("rate", "requests", 1);
    let mut day = quota("day", "requests", 1, "day");
    let mut warns = quota("warns", "requests", 1, "day");
    let paced = json!({"amount": 10, "per": "second", "burst": 1});
    (rate["when"], day["when"], warns["when"]) = (when("rated"), when("daily"), when("warned"));
    warns["action"] = "warn".into();
    let limits = json!([
        rate, day, warns,
        {"name": "window", "meter": "requests", "window": {"amount": 1, "per": "day"}, "when": when("windowed")},
        {"name": "places", "concurrency": 1, "when": when("placed")},
        {"name": "line", "concurrency": 1, "action": "queue", "when": when("queued")},
        {"name": "pace", "meter": "requests", "rate": paced, "action": "throttle", "when": when("paced")},
    ]);
    let mut policy = policy(limits);
    policy["limits"] = json!([
        {"name": "ram", "meter": "ram", "memory_mb": 9},
        {"name": "ssd", "meter": "ssd", "memory_mb": 9},
    ]);
    policy["load"] = json!({"ram": "rps", "ssd": "eps"});
    policy["access"] = json!({"exempt": {"consumers": ["operator"]}});
    let scene = Scene::start(4, |config| {
        config.set_policy(policy);
    })
    .await;
    for consumer in ["rated", "daily", "windowed", "warned"] {
        for _ in 0..2 {
            scene.envoy.send(&chat_from(consumer)).await;
        }
    }
    for consumer in ["placed", "queued"] {
        scene.envoy.send_all(vec![chat_from(consumer).header("x-mock-delay-ms", 500); 2]).await;
    }
    scene.envoy.send_all(vec![chat_from("paced"); 3]).await;
    for (kind, report) in [("ram", "rps=10,eps=0"), ("ssd", "rps=0,eps=10")] {
        let report = chat_from("operator").header("x-mock-load", format!("TEXT {report}"));
        assert_eq!(scene.envoy.send(&report).await.status, 200);
        assert_eq!(scene.envoy.send(&chat_from("refused")).await.limit().as_deref(), Some(kind));
    }
    for (kind, limit) in [
        ("rate", "rate"),
        ("quota", "day"),
        ("window", "window"),
        ("concurrency", "places"),
        ("concurrency", "line"),
        ("ram", "ram"),
        ("ssd", "ssd"),
    ] {
        until_counted(&scene, "tollgate_violations", &[("kind", kind), ("limit", limit)], 1.0).await;
    }
    until_counted(&scene, "tollgate_violations", &[("kind", "rate"), ("limit", "pace")], 2.0).await;
    until_counted(&scene, "tollgate_checks", &[], 19.0).await;
    // Once for the thresholds it passed, once for what was beyond it.
    until_counted(&scene, "tollgate_warned", &[("limit", "warns")], 2.0).await;
    until_counted(&scene, "tollgate_waited", &[("kind", "throttled")], 2.0).await;
    until_counted(&scene, "tollgate_waited", &[("kind", "queued")], 1.0).await;
    until_counted(&scene, "tollgate_wait_ms_count", &[], 3.0).await;
}

/// All names that begin with `tollgate_` in a text.
fn metric_names(text: &str) -> std::collections::BTreeSet<&str> {
    let is_name = |character: char| character.is_ascii_lowercase() || character == '_';
    text.match_indices("tollgate_")
        .map(|(at, _)| text[at..].split(|c| !is_name(c)).next().unwrap_or_default())
        .map(|name| name.strip_suffix("_bucket").unwrap_or(name))
        .collect()
}

#[test]
fn the_dashboard_and_the_alert_rules_speak_of_metrics_that_exist() {
    let read = |file: &str| std::fs::read_to_string(paths::root().join(file)).unwrap();
    let sources = ["src/worker.rs", "src/sync", "src/stream"].map(|place| {
        let path = paths::root().join(place);
        let files: Vec<_> = match path.is_dir() {
            true => std::fs::read_dir(path).unwrap().map(|file| file.unwrap().path()).collect(),
            false => vec![path],
        };
        files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect::<String>()
    });
    let sources = sources.concat();
    for file in ["envoy/grafana.json", "envoy/prometheus-rules.yaml"] {
        let text = read(file);
        let names = metric_names(&text);
        assert!(names.len() > 5, "{names:?}");
        for name in names {
            let counted = sources.contains(&format!("\"{name}\"")) || sources.contains(&format!("\"{name}."));
            assert!(counted, "{file} has {name}, which nobody counts");
        }
    }
    serde_json::from_str::<serde_json::Value>(&read("envoy/grafana.json")).unwrap();
    serde_saphyr::from_str::<serde_json::Value>(&read("envoy/prometheus-rules.yaml")).unwrap();
}
