//! Leases as operators meet them: who holds what, and what is given back of those that are gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::sync::atomic::Ordering;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use support::http::*;
use support::leases::*;
use tollgate_ledger::store::{AdminStore, Store, TrailQuery, quota_id};

async fn lent(ledger: &Ledger, query: &str) -> Value {
    let path = format!("/v1/leases{query}");
    let answer = ledger.send(&ledger.admin, Method::GET, &path, &Value::Null).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quotas_are_told_with_who_holds_what() {
    let ledger = Ledger::new().await;
    let (first, second) = (team("a"), team("b"));
    let asks =
        vec![wants(&first, "a1", 100, 0, 30), wants(&first, "a2", 100, 0, 10), wants(&second, "b1", 9, 0, 5)];
    ask(&*ledger.store, asks).await;
    let all = lent(&ledger, "").await["quotas"].clone();
    let of =
        |name: &str| all.as_array().unwrap().iter().find(|quota| quota["limit"] == name).unwrap().clone();
    assert_eq!(all.as_array().unwrap().len(), 2);
    assert_eq!(
        (&of("a")["units"], &of("a")["held"], &of("a")["left"]),
        (&json!(100), &json!(40), &json!(60))
    );
    assert_eq!(of("a")["key"], json!({"team": "search"}));
    let leases = of("a")["leases"].clone();
    let granted: u64 =
        leases.as_array().unwrap().iter().map(|lease| lease["granted"].as_u64().unwrap()).sum();
    assert_eq!((leases.as_array().unwrap().len(), granted), (2, 40));
    let page = lent(&ledger, "?limit=1").await;
    let rest = lent(&ledger, &format!("?limit=1&cursor={}", page["next"].as_str().unwrap())).await;
    assert_ne!(page["quotas"][0]["id"], rest["quotas"][0]["id"]);
    assert!(rest["next"].is_null());
    assert!(lent(&ledger, "?consumer=alice").await["quotas"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_lease_is_written_off_once_and_a_living_one_is_not() {
    let ledger = Ledger::new().await;
    let quota = team("a");
    let id = quota_id(&quota);
    ask(&*ledger.store, vec![wants(&quota, "a1", 100, 0, 30)]).await;
    let write_off = async |lease: &str| {
        let path = format!("/v1/leases/{id}/{lease}/write-off");
        ledger.send(&ledger.admin, Method::POST, &path, &json!({"reason": "its node burnt"})).await
    };
    write_off("a1").await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "refused");
    write_off("none").await.expect_problem(StatusCode::NOT_FOUND, "not-found");
    ledger.clock.fetch_add(60_001, Ordering::SeqCst);
    assert_eq!(lent(&ledger, "").await["quotas"][0]["leases"][0]["expired"], true);
    let done = write_off("a1").await;
    assert_eq!((done.status, done.json()), (StatusCode::OK, json!({"units": 30})));
    let quota = lent(&ledger, "").await["quotas"][0].clone();
    assert_eq!((&quota["held"], &quota["left"]), (&json!(0), &json!(100)));
    assert_eq!(write_off("a1").await.json(), json!({"units": 0}), "there is nothing left to give back");
    let trail = ledger.store.trail(TrailQuery { limit: 10, ..TrailQuery::default() }).await.unwrap();
    let offs: Vec<_> = trail.iter().filter(|entry| entry.action == "write-off").collect();
    assert_eq!((offs.len(), offs[0].reason.as_str()), (2, "its node burnt"));
    assert!(ledger.store.audit().await.unwrap().differences.is_empty());
}
