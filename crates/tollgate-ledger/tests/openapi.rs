//! The OpenAPI document and what the handlers really answer: every answer is valid by its schema, and has no field that the
//! schema does not name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use support::http::*;
use support::leases::{ask_at, team, wants};
use support::*;
use tollgate_ledger::admin::Role;
use tollgate_ledger::calendar::DAY_MS;
use tollgate_ledger::service::Tiers;
use tollgate_ledger::store::quota_id;
use tollgate_wire::{OpeningRequest, QuotaName, SyncRequest, Tally, WindowRange};

/// A policy as filters have it.
fn tiers() -> Tiers {
    let limit =
        json!({"name": "rpm", "meter": "requests", "rate": {"amount": 3, "per": "minute", "burst": 5}});
    Tiers::of(&[json!({"identity": {"default_tier": "free"}, "tiers": {"free": {"limits": [limit]}}})])
}

/// A tally that can be entered now.
fn various(number: u64) -> Tally {
    let tally = varied_tally(number);
    let consumer = if tally.consumer.is_empty() { "carol".into() } else { tally.consumer };
    Tally { at_ms: NOON_MS - number, consumer, ..tally }
}

/// A ledger with something of everything in it.
async fn full() -> Ledger {
    let ledger = Ledger::knowing(tiers()).await;
    let mine =
        QuotaName { key: [("consumer".to_owned(), "alice".to_owned())].into(), ..team("tokens-per-day") };
    let request = SyncRequest {
        leases: vec![wants(&mine, "00000000000000aa", 100, 0, 60)],
        ..request(1, (1..40).map(various).chain([tally_of("alice", 77)]).collect())
    };
    let answer = ledger.sync(&request).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    for (method, path, body) in [
        (Method::PUT, "/v1/consumers/alice", json!({"tier": "free", "roles": ["dev"], "team": "search"})),
        (Method::POST, "/v1/consumers/alice/decisions", json!({"action": "bypass", "until_ms": NOON_MS + 9})),
        (
            Method::POST,
            "/v1/consumers/alice/decisions",
            json!({"action": "override", "tier": "pro", "until_ms": NOON_MS + 9}),
        ),
        (
            Method::POST,
            "/v1/consumers/alice/decisions",
            json!({"action": "override-limit", "limit": "rpm", "percent": 200, "until_ms": NOON_MS + 9}),
        ),
        (
            Method::PUT,
            "/v1/quotas",
            json!({"limit": "cost", "key": {"consumer": "alice"}, "meter": "nano-usd", "amount": 90, "per": "month"}),
        ),
        (Method::PUT, "/v1/memory/llama", json!({"ram_mb": 5, "ssd_mb": 6})),
        (Method::PUT, "/v1/switches", json!({"enforcement": "shadow"})),
    ] {
        let answer = ledger.send(&ledger.admin, method, path, &body).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.body);
    }
    ledger
}

/// The schema that a reference leads to.
fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(to) => resolve(document, document.pointer(to.trim_start_matches('#')).unwrap()),
        None => schema,
    }
}

/// A schema that any document fits.
fn is_free(part: &Value) -> bool {
    let kind = &part["type"];
    let is_object = kind == "object" || kind.as_array().is_some_and(|all| all.contains(&json!("object")));
    let made_of = ["properties", "allOf", "oneOf", "anyOf"];
    (is_object || kind.is_null()) && made_of.iter().all(|key| part.get(key).is_none())
}

/// Parts of a value that its schema does not name.
fn unnamed(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let parts = parts(document, schema);
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                let at = format!("{at}.{name}");
                let any = parts.iter().any(|part| is_free(part));
                let named = parts.iter().find_map(|part| part["properties"].get(name));
                let kept = parts.iter().find_map(|part| part.get("additionalProperties"));
                match named.or(kept) {
                    Some(schema) => unnamed(document, schema, inner, &at, found),
                    None if any => {}
                    None => found.push(at),
                }
            }
        }
        Value::Array(list) => {
            let items = parts.iter().find_map(|part| part.get("items"));
            let Some(items) = items else { return found.push(format!("{at}[]")) };
            list.iter().for_each(|inner| unnamed(document, items, inner, &format!("{at}[]"), found));
        }
        _ => {}
    }
}

/// A schema and all that it is made of.
fn parts<'a>(document: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let schema = resolve(document, schema);
    let of = |key: &str| schema[key].as_array().into_iter().flatten();
    let inner = of("allOf").chain(of("oneOf")).chain(of("anyOf"));
    std::iter::once(schema).chain(inner.flat_map(|part| parts(document, part))).collect()
}

/// What of an answer is not as its schema says.
fn faults(document: &Value, path: &str, method: &Method, answer: &Answer) -> Vec<String> {
    let name = method.as_str().to_lowercase();
    let response = &document["paths"][path][&name]["responses"][answer.status.as_str()];
    let response = resolve(document, response);
    let schema = &response["content"]["application/json"]["schema"];
    assert!(schema.is_object(), "{method} {path} {}: no schema, but {}", answer.status, answer.body);
    let value = answer.json();
    let whole = json!({"components": document["components"], "allOf": [schema]});
    let validator = jsonschema::validator_for(&whole).unwrap();
    let wrong = validator.iter_errors(&value);
    let wrong = wrong.map(|fault| format!("{method} {path}: {} {fault}", fault.instance_path()));
    let mut found = Vec::new();
    unnamed(document, schema, &value, "", &mut found);
    wrong.chain(found.iter().map(|name| format!("{method} {path}: {name} is not in the document"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_handlers_answer_is_what_the_document_says() {
    let ledger = full().await;
    let document = ledger.get("/openapi.json").await.json();
    let own = issue_token(&*ledger.store, Role::Own, Some("alice")).await;
    let windows = vec![WindowRange { start_ms: NOON_MS - DAY_MS, end_ms: NOON_MS + DAY_MS }];
    let sync = SyncRequest {
        process: "p2".into(),
        worker: "w2".into(),
        leases: vec![wants(&team("other"), "00000000000000bb", 10, 0, 5)],
        opening: Some(OpeningRequest { windows, after: None }),
        known_revision: Some(0),
        ..request(1, vec![various(500)])
    };
    let quotas = ledger.get("/v1/quotas").await.json();
    let quota = quotas["quotas"][0]["id"].as_str().unwrap().replace('=', "%3D").replace('/', "%2F");
    let gone = team("gone");
    ask_at(&*ledger.store, NOON_MS - 61_000, vec![wants(&gone, "00000000000000cc", 10, 0, 5)]).await;
    let gone = format!("{}/00000000000000cc", quota_id(&gone));
    let (admin, none) = (ledger.admin.clone(), Value::Null);
    let calls = [
        (&*admin, Method::GET, "/v1/usage", "?group_by=consumer,model,window&limit=2", none.clone()),
        (&*admin, Method::GET, "/v1/entries", "?limit=5", none.clone()),
        (&*admin, Method::GET, "/v1/consumers", "", none.clone()),
        (&*admin, Method::GET, "/v1/consumers/{id}", "alice", none.clone()),
        (&*admin, Method::PUT, "/v1/consumers/{id}", "bob", json!({"tier": "pro"})),
        (&*admin, Method::POST, "/v1/consumers/{id}/decisions", "bob", json!({"action": "reset"})),
        (&*admin, Method::GET, "/v1/quotas", "", none.clone()),
        (&*admin, Method::GET, "/v1/quotas/{id}", &quota, none.clone()),
        (
            &*admin,
            Method::PUT,
            "/v1/quotas",
            "",
            json!({"limit": "t", "key": {}, "meter": "tokens", "amount": 9, "per": "day"}),
        ),
        (&*admin, Method::POST, "/v1/quotas/{id}/balance", &quota, json!({"action": "top-up", "units": 5})),
        (&*admin, Method::GET, "/v1/leases", "?limit=1", none.clone()),
        (&*admin, Method::POST, "/v1/leases/{quota}/{lease}/write-off", &gone, json!({"reason": "burnt"})),
        (&*admin, Method::POST, "/v1/check", "", json!({"consumer": "alice", "cost_nusd": 1000})),
        (&*own, Method::GET, "/v1/self", "", none.clone()),
        (&*admin, Method::GET, "/v1/switches", "", none.clone()),
        (&*admin, Method::PUT, "/v1/switches", "", json!({"enforcement": "on"})),
        (&*admin, Method::POST, "/v1/bursts/reset", "", json!({})),
        (&*admin, Method::GET, "/v1/memory", "", none.clone()),
        (&*admin, Method::PUT, "/v1/memory/{model}", "llama", json!({"ram_mb": 1, "ssd_mb": 2})),
        (&*admin, Method::GET, "/v1/statistics", "", none.clone()),
        (&*admin, Method::GET, "/v1/tiers", "", none.clone()),
        (&*admin, Method::GET, "/v1/audit", "?limit=2", none.clone()),
        (&*admin, Method::GET, "/v1/tokens", "", none.clone()),
        (&*admin, Method::POST, "/v1/tokens", "", json!({"role": "viewer", "name": "x"})),
        (TOKEN, Method::POST, "/v1/sync", "", serde_json::to_value(&sync).unwrap()),
    ];
    let (mut seen, mut wrong) = (BTreeSet::new(), Vec::new());
    for (token, method, path, what, body) in calls {
        let address = match path.split_once('{') {
            Some((before, after)) => format!("{before}{what}{}", after.rsplit_once('}').unwrap().1),
            None => format!("{path}{what}"),
        };
        let answer = ledger.send(token, method.clone(), &address, &body).await;
        assert!(answer.status.is_success(), "{method} {address}: {} {}", answer.status, answer.body);
        wrong.extend(faults(&document, path, &method, &answer));
        seen.insert((path.to_owned(), method.as_str().to_lowercase()));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Nothing that answers with a document is left out.
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let answers = operation["responses"].as_object().unwrap().iter();
            let with_schema = answers.filter(|(status, response)| {
                status.starts_with('2')
                    && resolve(&document, response)["content"]["application/json"].is_object()
            });
            let known = seen.contains(&(path.clone(), method.clone())) || !path.starts_with("/v1/");
            assert!(with_schema.count() == 0 || known, "{method} {path} is not tried");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_sees_its_tiers_limits_and_what_is_leased_of_its_quotas() {
    let ledger = full().await;
    let own = issue_token(&*ledger.store, Role::Own, Some("alice")).await;
    let view = ledger.send(&own, Method::GET, "/v1/self", &Value::Null).await.json();
    assert_eq!(view["tier"], "pro", "an override, of which nothing is configured");
    assert_eq!(view["limits"], json!([]));
    assert_eq!(view["limits_now"], json!([{"limit": "rpm", "percent": 200, "until_ms": NOON_MS + 9}]));
    let leased = &view["leased"][0];
    assert_eq!(
        (&leased["limit"], &leased["units"], &leased["held"], &leased["left"], &leased["leases"]),
        (&json!("tokens-per-day"), &json!(100), &json!(60), &json!(40), &json!([]))
    );
    let other = issue_token(&*ledger.store, Role::Own, Some("bob")).await;
    let view = ledger.send(&other, Method::GET, "/v1/self", &Value::Null).await.json();
    assert_eq!((&view["leased"], &view["limits"][0]["rate"]["burst"]), (&json!([]), &json!(5)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leased_quotas_are_listed_page_by_page_and_by_consumer() {
    let ledger = full().await;
    let ended = QuotaName { start_ms: 0, end_ms: NOON_MS - 10_000, ..team("over") };
    let asks =
        vec![wants(&team("a"), "00000000000000bb", 10, 0, 5), wants(&ended, "00000000000000cc", 10, 0, 5)];
    ask_at(&*ledger.store, NOON_MS - 20_000, asks).await;
    let names = async |query: &str| {
        let (mut names, mut cursor) = (BTreeSet::new(), String::new());
        loop {
            let page = ledger.get(&format!("/v1/leases?limit=1{query}{cursor}")).await.json();
            let page_names = page["quotas"].as_array().unwrap().iter();
            names.extend(page_names.map(|quota| quota["limit"].as_str().unwrap().to_owned()));
            let Some(next) = page["next"].as_str() else { return names };
            cursor = format!("&cursor={next}");
        }
    };
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(names("").await, set(&["a", "tokens-per-day"]));
    assert_eq!(names("&ended=true").await, set(&["a", "over", "tokens-per-day"]));
    assert_eq!(names("&consumer=alice").await, set(&["tokens-per-day"]));
    for wrong in ["limit=0", "cursor=x", "colour=red"] {
        let answer =
            ledger.call(ledger.authorized(Method::GET, &format!("/v1/leases?{wrong}"), Body::empty())).await;
        answer.expect_problem(StatusCode::BAD_REQUEST, "bad-request");
    }
}
