//! The administration's API, as operators and consumers meet it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::sync::atomic::Ordering;

use axum::http::{Method, StatusCode, header};
use serde_json::{Value, json};
use support::http::*;
use support::*;
use tollgate_ledger::admin::Role;
use tollgate_ledger::calendar::{DAY_MS, Month};
use tollgate_ledger::store::{AdminStore, Store, TrailQuery, prove_chain};
use tollgate_wire::{ConsumerStatus, Outcome, SyncRequest, SyncResponse, Tally};

async fn decide(ledger: &Ledger, id: &str, decision: Value) -> Answer {
    let path = format!("/v1/consumers/{id}/decisions");
    ledger.send(&ledger.admin, Method::POST, &path, &decision).await
}

async fn changes(ledger: &Ledger) -> usize {
    ledger.store.trail(TrailQuery { limit: 1000, ..TrailQuery::default() }).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_may_do_what_it_may_and_nothing_more() {
    let ledger = Ledger::new().await;
    let routes = [
        (Method::POST, "/v1/sync", ["filter"].as_slice()),
        (Method::GET, "/v1/self", &["self"]),
        (Method::GET, "/v1/usage", &["viewer", "operator", "admin"]),
        (Method::GET, "/v1/entries", &["viewer", "operator", "admin"]),
        (Method::GET, "/v1/consumers", &["viewer", "operator", "admin"]),
        (Method::GET, "/v1/quotas", &["viewer", "operator", "admin"]),
        (Method::GET, "/v1/leases", &["viewer", "operator", "admin"]),
        (Method::POST, "/v1/leases/x/y/write-off", &["operator", "admin"]),
        (Method::POST, "/v1/check", &["viewer", "operator", "admin"]),
        (Method::GET, "/v1/audit", &["viewer", "operator", "admin"]),
        (Method::GET, "/v1/leases", &["viewer", "operator", "admin"]),
        (Method::GET, "/v1/tiers", &["viewer", "operator", "admin"]),
        (Method::GET, "/v1/statistics", &["viewer", "operator", "admin"]),
        (Method::PUT, "/v1/consumers/x", &["operator", "admin"]),
        (Method::POST, "/v1/consumers/x/decisions", &["operator", "admin"]),
        (Method::PUT, "/v1/quotas", &["operator", "admin"]),
        (Method::POST, "/v1/quotas/x/balance", &["operator", "admin"]),
        (Method::DELETE, "/v1/quotas/x", &["operator", "admin"]),
        (Method::PUT, "/v1/switches", &["operator", "admin"]),
        (Method::POST, "/v1/bursts/reset", &["operator", "admin"]),
        (Method::PUT, "/v1/memory/x", &["operator", "admin"]),
        (Method::GET, "/v1/tokens", &["admin"]),
        (Method::POST, "/v1/tokens", &["admin"]),
        (Method::DELETE, "/v1/tokens/x", &["admin"]),
    ];
    for role in [Role::Admin, Role::Operator, Role::Viewer, Role::Own, Role::Filter] {
        let token = issue_token(&*ledger.store, role, (role == Role::Own).then_some("alice")).await;
        for (method, path, may) in &routes {
            let answer = ledger.send(&token, method.clone(), path, &Value::Null).await;
            let allowed = !matches!(answer.status, StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED);
            assert_eq!(
                allowed,
                may.contains(&role.as_str()),
                "{} {method} {path}: {}",
                role.as_str(),
                answer.status
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_over_or_was_ended_is_none() {
    let ledger = Ledger::new().await;
    let wanted = json!({"role": "viewer", "name": "for a day", "expires_ms": NOON_MS + DAY_MS});
    let made = ledger.send(&ledger.admin, Method::POST, "/v1/tokens", &wanted).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let (id, token) = (made.json()["id"].clone(), made.json()["token"].as_str().unwrap().to_owned());
    let ask = async |token: &str| ledger.send(token, Method::GET, "/v1/usage", &Value::Null).await.status;
    assert_eq!(ask(&token).await, StatusCode::OK);
    ledger.clock.store(NOON_MS + DAY_MS, Ordering::Relaxed);
    assert_eq!(ask(&token).await, StatusCode::UNAUTHORIZED);
    ledger.clock.store(NOON_MS, Ordering::Relaxed);
    let path = format!("/v1/tokens/{}", id.as_str().unwrap());
    assert_eq!(
        ledger.send(&ledger.admin, Method::DELETE, &path, &Value::Null).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(ask(&token).await, StatusCode::UNAUTHORIZED);
    // Of nothing that is told, listed or written down, a secret can be made.
    let told = [ledger.get("/v1/tokens").await.body, ledger.get("/v1/audit").await.body].concat();
    assert!(!told.contains(token.rsplit('_').next().unwrap()) && !told.contains("sha256"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_is_not_made() {
    let ledger = Ledger::new().await;
    let before = changes(&ledger).await;
    let wrong = [
        (json!({"role": "self"}), "consumer"),
        (json!({"role": "viewer", "consumer": "alice"}), "consumer"),
        (json!({"role": "viewer", "expires_ms": NOON_MS}), "expires_ms"),
        (json!({"role": "viewer", "name": "x".repeat(257)}), "name"),
    ];
    for (wanted, field) in wrong {
        let answer = ledger.send(&ledger.admin, Method::POST, "/v1/tokens", &wanted).await;
        let problem = answer.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "refused");
        assert_eq!(problem["field"], field);
    }
    for wanted in [json!({"role": "owner"}), json!({"role": "viewer", "colour": 1}), json!({})] {
        let answer = ledger.send(&ledger.admin, Method::POST, "/v1/tokens", &wanted).await;
        answer.expect_problem(StatusCode::BAD_REQUEST, "bad-request");
    }
    assert_eq!(changes(&ledger).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_is_in_the_record_and_in_the_trail() {
    let ledger = Ledger::new().await;
    let profile = json!({"tier": "pro", "team": "search", "roles": ["dev"]});
    let defined = ledger.send(&ledger.admin, Method::PUT, "/v1/consumers/alice", &profile).await;
    assert_eq!((defined.status, defined.header(header::ETAG)), (StatusCode::OK, "\"1\""), "{}", defined.body);
    let until_ms = NOON_MS + DAY_MS;
    let suspend = json!({"action": "suspend", "reason": "unpaid", "until_ms": until_ms});
    let suspended = decide(&ledger, "alice", suspend).await.json();
    assert_eq!((&suspended["status_now"], &suspended["tier_now"]), (&json!("suspended"), &json!("pro")));
    assert_eq!((&suspended["reason"], &suspended["version"]), (&json!("unpaid"), &json!(2)));
    ledger.clock.store(until_ms, Ordering::Relaxed);
    let over = ledger.get("/v1/consumers/alice").await.json();
    assert_eq!((&over["status_now"], &over["status"]), (&json!("active"), &json!("suspended")));
    let trail = ledger.get("/v1/audit?kind=consumer&id=alice&action=suspend").await.json();
    let [change] = trail["changes"].as_array().unwrap().as_slice() else { panic!("{trail}") };
    assert_eq!(
        (&change["before"]["status"], &change["after"]["status"]),
        (&json!("active"), &json!("suspended"))
    );
    assert_eq!(change["reason"], "unpaid");
    assert!(change["actor"].as_str().unwrap().starts_with("token/"), "{change}");
    assert_eq!(prove_chain(&*ledger.store).await.unwrap().broken, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_decision_changes_nothing() {
    let ledger = Ledger::new().await;
    let before = changes(&ledger).await;
    let long = "x".repeat(513);
    let wrong = [
        (json!({"action": "grace", "until_ms": NOON_MS}), "until_ms"),
        (json!({"action": "tier", "tier": ""}), "tier"),
        (json!({"action": "suspend", "reason": long}), "reason"),
    ];
    for (decision, field) in wrong {
        let problem = decide(&ledger, "alice", decision).await;
        let problem = problem.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "refused");
        assert_eq!(problem["field"], field);
    }
    for decision in
        [json!({"action": "promote"}), json!({"action": "suspend", "colour": 1}), json!([]), json!("x")]
    {
        decide(&ledger, "alice", decision).await.expect_problem(StatusCode::BAD_REQUEST, "bad-request");
    }
    let name = "x".repeat(257);
    decide(&ledger, &name, json!({"action": "reset"}))
        .await
        .expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "refused");
    let huge = json!({"action": "suspend", "reason": "x".repeat(64 * 1024)});
    decide(&ledger, "alice", huge).await.expect_problem(StatusCode::PAYLOAD_TOO_LARGE, "too-large");
    ledger.get("/v1/consumers/alice").await.expect_problem(StatusCode::NOT_FOUND, "not-found");
    assert_eq!(changes(&ledger).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_upon_another_version_or_under_a_used_key_is_not_made() {
    let ledger = Ledger::new().await;
    let path = "/v1/consumers/alice/decisions";
    let send = async |decision: Value, headers: &[(&str, &str)]| {
        ledger.send_with(&ledger.admin, Method::POST, path, &decision, headers).await
    };
    let reset = || json!({"action": "reset"});
    assert_eq!(send(reset(), &[("if-match", "\"0\""), ("idempotency-key", "k")]).await.json()["version"], 1);
    send(reset(), &[("if-match", "\"0\"")]).await.expect_problem(StatusCode::PRECONDITION_FAILED, "stale");
    let again = send(reset(), &[("if-match", "\"0\""), ("idempotency-key", "k")]).await;
    assert_eq!((again.status, &again.json()["resets"]), (StatusCode::OK, &json!(1)));
    let other = json!({"action": "reset-bursts"});
    send(other, &[("idempotency-key", "k")]).await.expect_problem(StatusCode::CONFLICT, "key-reused");
    send(reset(), &[("if-match", "x")]).await.expect_problem(StatusCode::BAD_REQUEST, "bad-request");
    let long = "k".repeat(129);
    send(reset(), &[("idempotency-key", &long)]).await.expect_problem(StatusCode::BAD_REQUEST, "bad-request");
    assert_eq!(send(reset(), &[("idempotency-key", &long[1..])]).await.json()["resets"], 2);
}

async fn ask(ledger: &Ledger, known_revision: Option<u64>) -> SyncResponse {
    let answer = ledger.sync(&SyncRequest { known_revision, ..request(0, vec![]) }).await;
    serde_json::from_str(&answer.body).unwrap_or_else(|why| panic!("{why}: {}", answer.body))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_is_told_what_it_does_not_know_yet() {
    let ledger = Ledger::new().await;
    assert_eq!(ask(&ledger, None).await.decisions, None);
    assert_eq!(ask(&ledger, Some(0)).await.decisions, None);
    decide(&ledger, "alice", json!({"action": "suspend", "reason": "unpaid"})).await;
    decide(&ledger, "bob", json!({"action": "tier", "tier": "pro"})).await;
    let switch = json!({"enforcement": "shadow"});
    ledger.send(&ledger.admin, Method::PUT, "/v1/switches", &switch).await;
    ledger.send(&ledger.admin, Method::PUT, "/v1/memory/llama", &json!({"ram_mb": 7})).await;
    let told = ask(&ledger, Some(0)).await.decisions.unwrap();
    let names: Vec<&str> = told.consumers.iter().map(|consumer| consumer.id.as_str()).collect();
    assert_eq!(
        (names, told.consumers[0].status, told.more),
        (vec!["alice", "bob"], ConsumerStatus::Suspended, false)
    );
    assert!(told.switches.unwrap().enforcement.is_some());
    assert_eq!(told.memory[0].ram_mb, 7);
    assert_eq!(ask(&ledger, Some(told.revision)).await.decisions, None);
    decide(&ledger, "alice", json!({"action": "unsuspend"})).await;
    let later = ask(&ledger, Some(told.revision)).await.decisions.unwrap();
    assert_eq!((later.consumers.len(), later.consumers[0].status), (1, ConsumerStatus::Active));
    // One that knows of more than there is has seen another database.
    let lost = ask(&ledger, Some(later.revision + 1)).await.decisions.unwrap();
    assert_eq!((lost.revision, lost.more, lost.consumers.len()), (0, true, 0));
    // And whoever only asked is no source of tallies.
    assert_eq!(ledger.get("/metrics").await.body.matches("result=\"opening\"} 1").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_is_told_many_decisions_page_by_page() {
    let ledger = Ledger::new().await;
    for number in 0..tollgate_wire::DECISIONS_MAX + 1 {
        decide(&ledger, &format!("c{number}"), json!({"action": "reset"})).await;
    }
    let first = ask(&ledger, Some(0)).await.decisions.unwrap();
    assert_eq!((first.consumers.len(), first.more), (tollgate_wire::DECISIONS_MAX, true));
    let rest = ask(&ledger, Some(first.revision)).await.decisions.unwrap();
    assert_eq!((rest.consumers.len(), rest.more), (1, false));
}

async fn set_quota(ledger: &Ledger, terms: &Value) -> Value {
    let answer = ledger.send(&ledger.admin, Method::PUT, "/v1/quotas", terms).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.json()
}

async fn use_units(ledger: &Ledger, number: u64, tally: Tally) {
    let tally = Tally { id: guid(number), ..tally };
    ledger.store.ingest(batch(number, vec![tally])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_stands_as_its_plan_its_top_ups_and_its_use_say() {
    let ledger = Ledger::new().await;
    let terms = json!({
        "limit": "cost-per-day", "key": {"team": "search"}, "meter": "nano-usd", "per": "day", "amount": 100,
        "carry_over_max": 30,
    });
    let quota = set_quota(&ledger, &terms).await;
    assert_eq!(quota["id"], "cost-per-day/team=search");
    let path = "/v1/quotas/cost-per-day%2Fteam=search";
    let top_up = json!({"action": "top-up", "units": 50, "reason": "invoice 7"});
    let send = async || {
        let key = [("idempotency-key", "invoice-7")];
        ledger.send_with(&ledger.admin, Method::POST, &format!("{path}/balance"), &top_up, &key).await
    };
    for _ in 0..3 {
        assert_eq!(send().await.json()["standing"]["limit"], 150, "bought once, however often it is sent");
    }
    let of_team = |cost| Tally { team: "search".into(), at_ms: NOON_MS, ..tally(cost) };
    use_units(&ledger, 90, of_team(90)).await;
    let refused = Tally { outcome: Outcome::Refused, ..of_team(0) };
    use_units(&ledger, 91, refused).await;
    let standing = ledger.get(path).await.json()["standing"].clone();
    assert_eq!((&standing["used"], &standing["left"]), (&json!(90), &json!(60)));
    ledger.clock.store(NOON_MS + DAY_MS, Ordering::Relaxed);
    let standing = ledger.get(path).await.json()["standing"].clone();
    let expected = json!({
        "start_ms": NOON_MS + DAY_MS / 2, "end_ms": NOON_MS + DAY_MS * 3 / 2, "plan": 100, "carried": 10, "bought": 50,
        "limit": 160, "used": 0, "left": 160,
    });
    assert_eq!(standing, expected);
    // Another amount leaves the balance; none leaves nothing.
    let halved = set_quota(&ledger, &json!({
        "limit": "cost-per-day", "key": {"team": "search"}, "meter": "nano-usd", "per": "day", "amount": 50,
    })).await;
    assert_eq!(halved["standing"]["limit"], 110);
    let removed = ledger.send(&ledger.admin, Method::DELETE, path, &Value::Null).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    ledger.get(path).await.expect_problem(StatusCode::NOT_FOUND, "not-found");
    let again = ledger.send(&ledger.admin, Method::DELETE, path, &Value::Null).await;
    again.expect_problem(StatusCode::NOT_FOUND, "not-found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_quota_is_refused_whole() {
    let ledger = Ledger::new().await;
    let good = json!({"limit": "l", "meter": "tokens", "per": "day", "amount": 1});
    let wrong =
        [("limit", json!("")), ("key", json!({"colour": "red"})), ("amount", json!(10_u64.pow(15) + 1))];
    for (field, value) in wrong {
        let mut terms = good.clone();
        terms[field] = value;
        let answer = ledger.send(&ledger.admin, Method::PUT, "/v1/quotas", &terms).await;
        assert_eq!(answer.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "refused")["field"], field);
    }
    for (field, value) in [("meter", json!("litres")), ("per", json!("fortnight")), ("surprise", json!(1))] {
        let mut terms = good.clone();
        terms[field] = value;
        let answer = ledger.send(&ledger.admin, Method::PUT, "/v1/quotas", &terms).await;
        answer.expect_problem(StatusCode::BAD_REQUEST, "bad-request");
    }
    assert_eq!(ledger.get("/v1/quotas").await.json(), json!({"quotas": []}));
    let top_up = json!({"action": "top-up", "units": 1});
    let answer = ledger.send(&ledger.admin, Method::POST, "/v1/quotas/l/balance", &top_up).await;
    answer.expect_problem(StatusCode::NOT_FOUND, "not-found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_draw_from_a_pool_and_each_has_a_cap() {
    let ledger = Ledger::new().await;
    let terms = |limit: &str, key: Value, amount: u64| json!({"limit": limit, "key": key, "meter": "tokens", "per": "month", "amount": amount});
    set_quota(&ledger, &terms("pool", json!({"team": "search"}), 100)).await;
    set_quota(&ledger, &terms("cap", json!({"team": "search", "consumer": "alice"}), 60)).await;
    set_quota(&ledger, &terms("pool", json!({"team": "other"}), 1)).await;
    ledger.send(&ledger.admin, Method::PUT, "/v1/consumers/alice", &json!({"team": "search"})).await;
    let check = async |consumer: &str, input: u64| {
        let wanted = json!({"consumer": consumer, "team": "search", "input": input});
        ledger.send(&ledger.admin, Method::POST, "/v1/check", &wanted).await.json()
    };
    let by = |answer: &Value| {
        let refusals = answer["refusals"].as_array().unwrap().iter();
        refusals
            .map(|refusal| refusal["quota"].as_str().unwrap_or("suspended").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(by(&check("alice", 60).await), [] as [&str; 0]);
    assert_eq!(by(&check("alice", 61).await), ["cap/consumer=alice/team=search"]);
    assert_eq!(by(&check("bob", 100).await), [] as [&str; 0]);
    assert_eq!(by(&check("bob", 101).await), ["pool/team=search"]);
    // 22 tokens of bob's leave 78 to everybody.
    use_units(&ledger, 1, Tally { team: "search".into(), ..tally_of("bob", 1) }).await;
    assert_eq!(by(&check("bob", 79).await), ["pool/team=search"]);
    assert_eq!(check("bob", 78).await["passes"], true);
    let own = issue_token(&*ledger.store, Role::Own, Some("alice")).await;
    let own = ledger.send(&own, Method::GET, "/v1/self", &Value::Null).await.json();
    let ids: Vec<&str> =
        own["quotas"].as_array().unwrap().iter().map(|quota| quota["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["cap/consumer=alice/team=search", "pool/team=search"]);
    assert_eq!(own["quotas"][1]["standing"]["left"], 78);
}

/// A lease of the team's pool in the month of the tests, from an Envoy whose configuration gives it 1000 units.
fn lease(meter: &str, target: u64) -> Value {
    let month = Month::of(NOON_MS);
    json!({
        "quota": {
            "limit": "pool", "meter": meter, "key": {"team": "search"},
            "start_ms": month.start_ms(), "end_ms": month.next().start_ms(),
        },
        "lease": "0123456789abcdef", "limit": 1000,
        "ask": {"granted": 0, "spent": 0, "target": target, "need": target, "head": target, "rate": 1},
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledgers_record_of_a_quota_wins_over_what_an_envoy_is_configured_with() {
    let ledger = Ledger::new().await;
    let limit = async |meter: &str| {
        let leases = vec![serde_json::from_value(lease(meter, 10)).unwrap()];
        let answer = ledger.sync(&SyncRequest { leases, ..request(0, vec![]) }).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.json()["leases"][0]["grant"]["limit"].clone()
    };
    assert_eq!(limit("tokens").await, 1000);
    let terms =
        json!({"limit": "pool", "key": {"team": "search"}, "meter": "tokens", "per": "month", "amount": 40});
    set_quota(&ledger, &terms).await;
    let top_up = json!({"action": "top-up", "units": 5});
    let path = "/v1/quotas/pool%2Fteam=search/balance";
    assert_eq!(ledger.send(&ledger.admin, Method::POST, path, &top_up).await.status, StatusCode::OK);
    assert_eq!(limit("tokens").await, 45);
    assert_eq!(limit("requests").await, 1000, "of another meter the record says nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_follows_what_was_decided() {
    let ledger = Ledger::new().await;
    set_quota(&ledger, &json!({"limit": "l", "meter": "requests", "per": "day", "amount": 0})).await;
    let check = async || {
        let answer =
            ledger.send(&ledger.admin, Method::POST, "/v1/check", &json!({"consumer": "alice"})).await.json();
        (answer["passes"].as_bool().unwrap(), answer["because"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(check().await, (false, String::new()));
    decide(&ledger, "alice", json!({"action": "bypass"})).await;
    assert_eq!(check().await, (true, "bypass".into()));
    decide(&ledger, "alice", json!({"action": "suspend"})).await;
    assert_eq!(check().await, (false, String::new()), "a suspension wins");
    decide(&ledger, "alice", json!({"action": "end-bypass"})).await;
    decide(&ledger, "alice", json!({"action": "grace", "until_ms": NOON_MS + 1})).await;
    assert_eq!(check().await, (true, "grace".into()));
    ledger.clock.store(NOON_MS + 1, Ordering::Relaxed);
    assert_eq!(check().await, (false, String::new()));
    for (way, passes) in [("shadow", true), ("off", true), ("on", false)] {
        ledger.send(&ledger.admin, Method::PUT, "/v1/switches", &json!({"enforcement": way})).await;
        assert_eq!(check().await.0, passes, "{way}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_sees_itself_and_nobody_else() {
    let ledger = Ledger::new().await;
    use_units(&ledger, 1, Tally { at_ms: NOON_MS, ..tally_of("alice", 5) }).await;
    use_units(&ledger, 2, Tally { at_ms: NOON_MS - DAY_MS, ..tally_of("alice", 6) }).await;
    use_units(&ledger, 3, Tally { at_ms: NOON_MS, ..tally_of("bob", 7) }).await;
    decide(&ledger, "alice", json!({"action": "suspend", "reason": "unpaid"})).await;
    let own = issue_token(&*ledger.store, Role::Own, Some("alice")).await;
    let view = ledger.send(&own, Method::GET, "/v1/self", &Value::Null).await.json();
    assert_eq!(
        (&view["consumer"], &view["status"], &view["reason"]),
        (&json!("alice"), &json!("suspended"), &json!("unpaid"))
    );
    assert_eq!((&view["today"]["cost_nusd"], &view["this_month"]["cost_nusd"]), (&json!(5), &json!(11)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statistics_count_consumers_and_name_the_dearest() {
    let ledger = Ledger::new().await;
    for (id, tier) in [("a", "pro"), ("b", "pro"), ("c", "free")] {
        ledger.send(&ledger.admin, Method::PUT, &format!("/v1/consumers/{id}"), &json!({"tier": tier})).await;
    }
    for (number, consumer) in [(3, "a"), (9, "b"), (5, "c")] {
        use_units(&ledger, number, tally_of(consumer, number)).await;
    }
    let statistics = ledger.get("/v1/statistics?top=2").await.json();
    let expected = json!([
        {"tier": "free", "status": "active", "consumers": 1}, {"tier": "pro", "status": "active", "consumers": 2},
    ]);
    assert_eq!(statistics["consumers"], expected);
    let top: Vec<&str> =
        statistics["top"].as_array().unwrap().iter().map(|row| row["consumer"].as_str().unwrap()).collect();
    assert_eq!(top, ["b", "c"]);
    assert_eq!(statistics["this_month"]["cost_nusd"], 17);
    ledger.get("/v1/statistics?top=0").await.expect_problem(StatusCode::BAD_REQUEST, "bad-request");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_are_listed_page_by_page_and_by_what_they_are() {
    let ledger = Ledger::new().await;
    for number in 0..5 {
        let profile = json!({"tier": if number % 2 == 0 { "pro" } else { "free" }, "team": "search"});
        ledger.send(&ledger.admin, Method::PUT, &format!("/v1/consumers/c{number}"), &profile).await;
    }
    decide(&ledger, "c0", json!({"action": "suspend"})).await;
    let ids = async |query: &str| {
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = ledger.get(&format!("/v1/consumers?limit=2{query}{cursor}")).await.json();
            ids.extend(
                page["consumers"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|view| view["id"].as_str().unwrap().to_owned()),
            );
            let Some(next) = page["next"].as_str() else { return ids };
            cursor = format!("&cursor={next}");
        }
    };
    assert_eq!(ids("").await, ["c0", "c1", "c2", "c3", "c4"]);
    assert_eq!(ids("&tier=pro").await, ["c0", "c2", "c4"]);
    assert_eq!(ids("&status=suspended").await, ["c0"]);
    assert_eq!(ids("&team=search&tier=free").await, ["c1", "c3"]);
    for wrong in ["?limit=0", "?limit=1001", "?cursor=x", "?colour=red"] {
        let answer = ledger.get(&format!("/v1/consumers{wrong}")).await;
        answer.expect_problem(StatusCode::BAD_REQUEST, "bad-request");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trail_is_exported_in_three_forms() {
    let ledger = Ledger::new().await;
    decide(&ledger, "alice", json!({"action": "suspend", "reason": "=1+1"})).await;
    decide(&ledger, "alice", json!({"action": "unsuspend"})).await;
    let page = ledger.get("/v1/audit?limit=2").await.json();
    assert_eq!(page["changes"].as_array().unwrap().len(), 2);
    let rest = format!("/v1/audit?limit=2&cursor={}", page["next"].as_str().unwrap());
    assert_eq!(ledger.get(&rest).await.json()["changes"][0]["action"], "unsuspend");
    let lines = ledger.get("/v1/audit?format=jsonl&limit=2").await;
    assert_eq!((lines.body.lines().count(), lines.header("x-next-cursor").is_empty()), (2, false));
    let entry: Value = serde_json::from_str(lines.body.lines().nth(1).unwrap()).unwrap();
    assert_eq!(entry, page["changes"][1]);
    let csv = ledger.get("/v1/audit?format=csv&kind=consumer").await;
    let mut reader = csv::Reader::from_reader(csv.body.as_bytes());
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!((records.len(), &records[0][9]), (2, "'=1+1"), "a spreadsheet has nothing to run");
    for wrong in ["?format=xml", "?kind=colour", "?from=yesterday", "?limit=10001"] {
        ledger.get(&format!("/v1/audit{wrong}")).await.expect_problem(StatusCode::BAD_REQUEST, "bad-request");
    }
}
