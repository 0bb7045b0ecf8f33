//! The API through its router, as clients meet it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};
use support::http::*;
use support::*;
use tollgate_ledger::calendar::{DAY_MS, Month};
use tollgate_ledger::service::CSV_COLUMNS;
use tollgate_ledger::store::Store;
use tollgate_wire::{OpeningRequest, SYNC_BODY_BYTES_MAX, SyncRequest, SyncResponse, Tally, WindowRange};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_is_acknowledged_as_often_as_it_comes_and_entered_once() {
    let ledger = Ledger::new().await;
    let request = request(7, vec![tally(1), tally(2)]);
    for _ in 0..3 {
        let answer = ledger.sync(&request).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({"version": 1, "acked_seq": 7})));
    }
    assert_eq!(totals(&*ledger.store).await.requests, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_body_under_a_used_number_is_a_conflict() {
    let ledger = Ledger::new().await;
    ledger.sync(&request(1, vec![tally(1)])).await;
    let answer = ledger.sync(&request(1, vec![tally(2)])).await;
    answer.expect_problem(StatusCode::CONFLICT, "conflict");
    assert_eq!(all_entries(&*ledger.store).await.len(), 1);
    assert!(ledger.get("/metrics").await.body.contains("syncs_total{result=\"conflict\"} 1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_in_another_order_are_the_same_body() {
    let ledger = Ledger::new().await;
    let text = serde_json::to_string(&request(1, vec![tally(1)])).unwrap();
    assert_eq!(ledger.post(text.clone()).await.status, StatusCode::OK);
    // Through a map the fields are in the order of their names.
    let reordered = serde_json::from_str::<Value>(&text).unwrap().to_string();
    assert_ne!(reordered, text);
    assert_eq!(ledger.post(reordered).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_of_its_own_the_ledger_is_closed() {
    let ledger = Ledger::with_token(None);
    for path in ["/v1/usage", "/v1/entries"] {
        let problem = ledger.get(path).await.expect_problem(StatusCode::FORBIDDEN, "closed");
        assert!(problem["detail"].as_str().unwrap().contains("tollgate token create"), "{problem}");
    }
    let answer = ledger.sync(&request(1, vec![tally(1)])).await;
    answer.expect_problem(StatusCode::FORBIDDEN, "closed");
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(ledger.get(path).await.status, StatusCode::OK, "{path}");
    }
    ledger.expect_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_not_the_token_is_asked_for_it() {
    let ledger = Ledger::new().await;
    let wrong =
        ["", "Bearer", "Bearer ", "Bearer wrong", "Basic a-token-of-the-tests", "a-token-of-the-tests"];
    for authorization in wrong {
        for (method, path) in
            [(Method::POST, "/v1/sync"), (Method::GET, "/v1/usage"), (Method::GET, "/v1/entries")]
        {
            let body = serde_json::to_string(&request(1, vec![tally(1)])).unwrap();
            let mut asked = Request::builder().method(method).uri(path);
            if !authorization.is_empty() {
                asked = asked.header(header::AUTHORIZATION, authorization);
            }
            let answer = ledger.call(asked.body(body.into()).unwrap()).await;
            answer.expect_problem(StatusCode::UNAUTHORIZED, "unauthorized");
            assert!(answer.header(header::WWW_AUTHENTICATE).starts_with("Bearer"));
        }
    }
    ledger.expect_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_the_largest_size_passes_and_one_byte_more_does_not() {
    let ledger = Ledger::new().await;
    let mut body = serde_json::to_string(&request(1, vec![tally(1)])).unwrap();
    body.push_str(&" ".repeat(SYNC_BODY_BYTES_MAX + 1 - body.len()));
    let answer = ledger.post(body.clone()).await;
    answer.expect_problem(StatusCode::PAYLOAD_TOO_LARGE, "too-large");
    ledger.expect_empty().await;
    body.pop();
    assert_eq!(ledger.post(body).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_is_told_both_versions() {
    let ledger = Ledger::new().await;
    let later = json!({"version": 2, "process": "p1", "worker": "w1", "seq": 1, "batches": [], "codec": 3});
    let known = json!({"version": 9, "process": "p1", "worker": "w1", "seq": 1, "tallies": []});
    for (body, version) in [(later, "version 2"), (known, "version 9")] {
        let problem = ledger.post(body.to_string()).await.expect_problem(StatusCode::BAD_REQUEST, "version");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(version) && detail.contains("version 1"), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_a_sync_is_refused() {
    let ledger = Ledger::new().await;
    let tally = r#"{"id":"01900000-0000-7000-8000-000000000001","at_ms":1795435200000"#;
    let start = r#"{"version":1,"process":"p","worker":"w","seq":1,"tallies":["#;
    let bodies = [
        String::new(),
        "{".into(),
        "[]".into(),
        r#"{"version":1}"#.into(),
        format!("{start}{tally},\"surprise\":1}}]}}"),
        format!("{start}{tally},\"input\":-1}}]}}"),
        format!("{start}{tally},\"input\":1.5}}]}}"),
        format!("{start}{tally},\"outcome\":\"lost\"}}]}}"),
        format!("{start}{tally}}}],\"loans\":[]}}"),
    ];
    for body in bodies {
        ledger.post(body).await.expect_problem(StatusCode::BAD_REQUEST, "bad-request");
    }
    ledger.expect_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_tally_refuses_its_batch_and_is_named() {
    let ledger = Ledger::new().await;
    let bad = [
        (Tally { id: "x".into(), ..tally(2) }, "id"),
        (Tally { at_ms: NOON_MS + DAY_MS + 1, ..tally(2) }, "at_ms"),
        (Tally { at_ms: 0, ..tally(2) }, "at_ms"),
        (Tally { model: "m".repeat(513), ..tally(2) }, "model"),
        (Tally { requests: 0, ..tally(2) }, "requests"),
        (Tally { cost_nusd: tollgate_wire::NanoUsd(u64::MAX), ..tally(2) }, "cost_nusd"),
    ];
    for (bad, field) in bad {
        let answer = ledger.sync(&request(1, vec![tally(1), tally(3), bad])).await;
        let problem = answer.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid-tally");
        assert_eq!((&problem["index"], &problem["field"]), (&json!(2), &json!(field)));
    }
    ledger.expect_empty().await;
    // The number was not used up.
    assert_eq!(ledger.sync(&request(1, vec![tally(1)])).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_that_was_dropped_in_between_is_refused_as_well() {
    let ledger = Ledger::new().await;
    let old = Tally { at_ms: Month::of(NOON_MS).back(13).start_ms(), ..tally(1) };
    ledger.store.retain(NOON_MS, Month::of(NOON_MS).back(12)).await.unwrap();
    let answer = ledger.sync(&request(1, vec![old])).await;
    answer.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid-tally");
    ledger.expect_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_store_is_unavailable_and_says_when_to_come_back() {
    let ledger = Ledger::new().await;
    ledger.store.close().await;
    let answer = ledger.sync(&request(1, vec![tally(1)])).await;
    answer.expect_problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
    assert_eq!(answer.header(header::RETRY_AFTER), "1");
    ledger.get("/readyz").await.expect_problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
    assert_eq!(ledger.get("/healthz").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_node_gets_all_its_balances_page_by_page() {
    let ledger = Ledger::new().await;
    for seq in 0..3u64 {
        let number = |at| seq * 400 + at;
        let tallies = (0..400).map(|at| tally_of(&format!("consumer-{:04}", number(at)), number(at)));
        assert_eq!(ledger.sync(&request(1 + seq, tallies.collect())).await.status, StatusCode::OK);
    }
    let window = WindowRange { start_ms: NOON_MS - DAY_MS, end_ms: NOON_MS + DAY_MS };
    let mut balances = Vec::new();
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let restarted = SyncRequest {
            process: "p2".into(),
            worker: "w2".into(),
            opening: Some(OpeningRequest { windows: vec![window], after }),
            ..request(0, vec![])
        };
        let answer = ledger.sync(&restarted).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let response: SyncResponse = serde_json::from_str(&answer.body).unwrap();
        let page = response.opening.unwrap();
        assert_eq!(response.acked_seq, 0);
        pages.push(page.balances.len());
        balances.extend(page.balances);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages, [500, 500, 200]);
    assert_eq!(balances.iter().map(|balance| balance.requests).sum::<u64>(), 1200);
    assert!(balances.is_sorted_by(|one, other| one.consumer < other.consumer));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_may_come_with_tallies_and_without_a_node() {
    let ledger = Ledger::new().await;
    let window = WindowRange { start_ms: 0, end_ms: NOON_MS };
    let opening = Some(OpeningRequest { windows: vec![window], after: None });
    let answer =
        ledger.sync(&SyncRequest { opening, node: String::new(), ..request(1, vec![tally(1)]) }).await;
    assert_eq!(answer.json(), json!({"version": 1, "acked_seq": 1, "opening": {"balances": []}}));
    let forged = OpeningRequest { windows: vec![window], after: Some("not-a-cursor".into()) };
    let answer = ledger.sync(&SyncRequest { opening: Some(forged), ..request(2, vec![tally(2)]) }).await;
    answer.expect_problem(StatusCode::BAD_REQUEST, "bad-request");
    assert_eq!(totals(&*ledger.store).await.requests, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_pages_add_up_to_the_totals() {
    let ledger = Ledger::new().await;
    ledger.store.ingest(batch(1, (1..=60).map(varied_tally).collect())).await.unwrap();
    let whole = ledger.get("/v1/usage?group_by=consumer,model,window&window=day").await.json();
    let rows = whole["rows"].as_array().unwrap();
    assert!(whole["next"].is_null());
    let sum: u64 = rows.iter().map(|row| row["cost_nusd"].as_u64().unwrap()).sum();
    assert_eq!(whole["totals"]["cost_nusd"], sum);
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/usage?group_by=consumer,model,window&window=day&limit=7{cursor}");
        let page = ledger.get(&path).await.json();
        assert_eq!(page["totals"], whole["totals"]);
        paged.extend(page["rows"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(&paged, rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_is_chosen_by_day_and_by_name() {
    let ledger = Ledger::new().await;
    let tomorrow = Tally { at_ms: NOON_MS + DAY_MS, ..tally_of("bob", 2) };
    ledger.store.ingest(batch(1, vec![tally(1), tomorrow])).await.unwrap();
    let cost = async |query: &str| {
        let answer = ledger.get(&format!("/v1/usage?{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.json()["totals"]["cost_nusd"].as_u64().unwrap()
    };
    assert_eq!(cost("").await, 3);
    assert_eq!(cost("window=day&from=2026-11-23&to=2026-11-23").await, 1);
    assert_eq!(cost("window=day&from=2026-11-24").await, 2);
    // A month counts from any of its days on.
    assert_eq!(cost("window=month&from=2026-11-23").await, 3);
    assert_eq!(cost("window=month&to=2026-10-31").await, 0);
    assert_eq!(cost("consumer=bob").await, 2);
    assert_eq!(cost("model=gpt-5.4-mini&tier=free&provider=openai").await, 3);
    assert_eq!(cost("team=nobody").await, 0);
    let called = Tally { tool: "search".into(), interface: "web".into(), region: "eu".into(), ..tally(4) };
    ledger.store.ingest(batch(2, vec![Tally { workflow: "support".into(), ..called }])).await.unwrap();
    assert_eq!(cost("tool=search").await, 4);
    assert_eq!(cost("interface=web&workflow=support").await, 4);
    assert_eq!(cost("tool=&workflow=").await, 3);
    let rows = ledger.get("/v1/usage?group_by=tool,interface,workflow").await.json()["rows"].clone();
    assert_eq!(
        (&rows[1]["tool"], &rows[1]["interface"], &rows[1]["workflow"]),
        (&json!("search"), &json!("web"), &json!("support"))
    );
    for (query, count) in
        [("tool=search&region=eu", 1), ("region=us", 0), ("interface=&model=gpt-5.4-mini", 2)]
    {
        let entries = ledger.get(&format!("/v1/entries?{query}")).await.json()["entries"].clone();
        assert_eq!(entries.as_array().unwrap().len(), count, "{query}");
    }
    let rows = ledger.get("/v1/usage?window=day&group_by=window,consumer").await.json()["rows"].clone();
    assert_eq!((&rows[0]["window"], &rows[0]["consumer"]), (&json!("2026-11-23"), &json!("alice")));
    assert!(rows[0]["model"].is_null());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_parameter_is_named() {
    let ledger = Ledger::new().await;
    let cursor = ledger.store.ingest(batch(1, vec![tally(1), tally_of("bob", 2)])).await;
    assert!(cursor.is_ok());
    let next = ledger.get("/v1/usage?limit=1").await.json()["next"].as_str().unwrap().to_owned();
    let wrong = [
        "/v1/usage?window=week".to_owned(),
        "/v1/usage?group_by=colour".into(),
        "/v1/usage?from=yesterday".into(),
        "/v1/usage?to=2026-02-30".into(),
        "/v1/usage?limit=0".into(),
        "/v1/usage?limit=10001".into(),
        "/v1/usage?limit=many".into(),
        "/v1/usage?consumers=bob".into(),
        "/v1/usage?cursor=%21".into(),
        format!("/v1/usage?group_by=window,model&cursor={next}"),
        format!("/v1/entries?cursor={next}"),
        "/v1/entries?format=xml".into(),
        "/v1/entries?limit=10001".into(),
        "/v1/entries?from=2026-11-23T12:00".into(),
    ];
    for path in wrong {
        ledger.get(&path).await.expect_problem(StatusCode::BAD_REQUEST, "bad-request");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_are_exported_as_json_and_csv() {
    let ledger = Ledger::new().await;
    let quoted = Tally { model: "a,\"b\"\nc".into(), ..tally(2) };
    ledger.store.ingest(batch(1, vec![tally(1), quoted.clone(), tally(3)])).await.unwrap();
    let page = ledger.get("/v1/entries?limit=2").await.json();
    assert_eq!(page["entries"][1]["model"], quoted.model);
    assert_eq!(page["entries"][1]["worker"], "w1");
    let rest = format!("/v1/entries?limit=2&cursor={}", page["next"].as_str().unwrap());
    let rest = ledger.get(&rest).await.json();
    assert_eq!((rest["entries"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));

    let first = ledger.get("/v1/entries?limit=2&format=csv").await;
    assert!(first.header(header::CONTENT_TYPE).starts_with("text/csv"));
    let mut reader = csv::Reader::from_reader(first.body.as_bytes());
    assert_eq!(reader.headers().unwrap().iter().collect::<Vec<_>>(), CSV_COLUMNS);
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!((records.len(), &records[1][11]), (2, quoted.model.as_str()));
    let rest = format!("/v1/entries?limit=2&format=csv&cursor={}", first.header("x-next-cursor"));
    let rest = ledger.get(&rest).await;
    assert_eq!((rest.body.lines().count(), rest.header("x-next-cursor")), (2, ""));
    let moments = ledger.get("/v1/entries?from=2026-11-23T12:00:00.002Z&to=2026-11-23T12:00:00.003Z").await;
    assert_eq!(moments.json()["entries"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_months_that_are_kept_follow_the_clock() {
    let ledger = Ledger::new().await;
    let old = Tally { at_ms: Month::of(NOON_MS).back(13).start_ms(), ..tally(1) };
    assert_eq!(ledger.sync(&request(1, vec![old.clone()])).await.status, StatusCode::OK);
    ledger.clock.store(Month::of(NOON_MS).next().start_ms(), Ordering::Relaxed);
    let late = Tally { id: guid(2), ..old };
    let problem = ledger.sync(&request(2, vec![late])).await;
    let problem = problem.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid-tally");
    assert_eq!(problem["field"], "at_ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_what_happened() {
    let ledger = Ledger::new().await;
    let warned = Tally { unknown_price: true, ..tally(3) };
    ledger.sync(&request(1, vec![tally(1), tally(2)])).await;
    ledger.sync(&request(1, vec![tally(1), tally(2)])).await;
    ledger.sync(&request(2, vec![tally(2), warned])).await;
    ledger.post("{").await;
    ledger.get("/v1/nowhere").await;
    let text = ledger.get("/metrics").await.body;
    let expected = [
        "tollgate_ledger_syncs_total{result=\"applied\"} 2",
        "tollgate_ledger_syncs_total{result=\"repeated\"} 1",
        "tollgate_ledger_syncs_total{result=\"rejected\"} 1",
        "tollgate_ledger_entries_total{result=\"inserted\"} 3",
        "tollgate_ledger_entries_total{result=\"duplicate\"} 1",
        "tollgate_ledger_alerts_total{kind=\"unknown_price\"} 1",
        "tollgate_ledger_cost_nanodollars_total 6",
        "tollgate_ledger_batch_tallies_count 2",
        "tollgate_ledger_commit_seconds_count 2",
        "tollgate_ledger_requests_total{route=\"/v1/sync\",status=\"200\"} 3",
        "tollgate_ledger_requests_total{route=\"/v1/sync\",status=\"400\"} 1",
        "tollgate_ledger_requests_total{route=\"other\",status=\"404\"} 1",
    ];
    for line in expected {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_is_in_the_document_and_nothing_else() {
    let ledger = Ledger::new().await;
    let document = ledger.get("/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap();
    let documented: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
    // The list is written out so that a route that loses its documentation is missed.
    let routes = [
        "/v1/sync",
        "/v1/usage",
        "/v1/entries",
        "/v1/tokens",
        "/v1/tokens/{id}",
        "/v1/consumers",
        "/v1/consumers/{id}",
        "/v1/consumers/{id}/decisions",
        "/v1/quotas",
        "/v1/quotas/{id}",
        "/v1/quotas/{id}/balance",
        "/v1/leases",
        "/v1/leases/{quota}/{lease}/write-off",
        "/v1/check",
        "/v1/self",
        "/v1/switches",
        "/v1/bursts/reset",
        "/v1/memory",
        "/v1/memory/{model}",
        "/v1/statistics",
        "/v1/tiers",
        "/v1/audit",
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
    ];
    assert_eq!(documented, BTreeSet::from(routes));
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let answer = ledger
                .call(ledger.authorized(
                    method.clone(),
                    &path.replace("{id}", "x").replace("{model}", "x"),
                    Body::empty(),
                ))
                .await;
            let status = answer.status.as_u16().to_string();
            assert!(operation["responses"].get(&status).is_some(), "{method} {path}: {status}");
            assert_eq!(operation.get("security").is_some(), path.starts_with("/v1/"), "{path}");
        }
    }
    assert!(document["components"]["schemas"]["Tally"]["properties"]["cost_nusd"].is_object());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_and_what_is_not_taken_are_problems_too() {
    let ledger = Ledger::new().await;
    ledger.get("/v2/usage").await.expect_problem(StatusCode::NOT_FOUND, "not-found");
    let answer = ledger.call(ledger.authorized(Method::DELETE, "/v1/usage", Body::empty())).await;
    answer.expect_problem(StatusCode::METHOD_NOT_ALLOWED, "method");
}
