//! Global quotas in the books: scenarios stamped for every engine, and random conversations that must end in the model's
//! books.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::sync::Arc;

use proptest::prelude::*;
use support::leases::*;
use support::postgres::{Schema, server};
use support::*;
use tollgate_ledger::calendar::{DAY_MS, Month};
use tollgate_ledger::store::{
    Books, Ingested, LATE_SETTLEMENT_MS, LeaseStore, MemoryStore, QUOTA_MEMORY_MS, QuotasQuery,
    SqliteOptions, SqliteStore, Store, quota_id,
};
use tollgate_wire::{Ask, LeaseAsk, LeaseStatus, QuotaName};

macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                let store = super::Arc::new(super::MemoryStore::new());
                super::$name(store.clone()).await;
                super::assert_clean(&*store).await;
            })*
        }

        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let folder = tempfile::tempdir().unwrap();
                let options = super::SqliteOptions::new(folder.path().join("ledger.db"));
                let store = super::Arc::new(super::SqliteStore::open(&options).unwrap());
                super::$name(store.clone()).await;
                super::assert_clean(&*store).await;
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let schema = super::Schema::new().await;
                let store = schema.open().await;
                super::$name(store.clone()).await;
                super::assert_clean(&*store).await;
            })*
        }
    };
}

scenarios! {
    a_quota_is_lent_up_to_its_limit_and_no_further,
    a_repeated_ask_is_answered_alike,
    what_is_spent_and_given_back_is_in_the_books,
    answers_come_in_the_order_of_the_asks,
    a_repeated_batch_still_has_its_leases_answered,
    a_conflict_grants_nothing,
    a_lowered_limit_recalls,
    a_lease_that_was_written_off_is_free_again,
    a_window_long_over_has_spent_what_it_lent,
    quotas_are_found_by_consumer_and_paged,
    holders_at_once_never_get_more_than_there_is,
}

type Engine = Arc<dyn Books>;

async fn assert_clean(store: &dyn Store) {
    assert_eq!(store.audit().await.unwrap().differences, []);
}

async fn a_quota_is_lent_up_to_its_limit_and_no_further(store: Engine) {
    let day = team("daily");
    assert_eq!(ask(&*store, vec![wants(&day, "a", 100, 0, 60)]).await, [(60, false)]);
    assert_eq!(ask(&*store, vec![wants(&day, "b", 100, 0, 60)]).await, [(0, true)]);
    assert_eq!(ask(&*store, vec![wants(&day, "b", 100, 0, 40)]).await, [(40, false)]);
    let quota = &quotas(&*store).await[0];
    assert_eq!((quota.row.held, quota.row.settled, quota.holders), (100, 0, 2));
    assert_eq!(quota.name, day);
    // Another window is another quota.
    let tomorrow = QuotaName { start_ms: day.end_ms, end_ms: day.end_ms + DAY_MS, ..day };
    assert_eq!(ask(&*store, vec![wants(&tomorrow, "c", 100, 0, 90)]).await, [(90, false)]);
}

async fn a_repeated_ask_is_answered_alike(store: Engine) {
    let day = team("daily");
    let first = wants(&day, "a", 100, 0, 60);
    for _ in 0..3 {
        assert_eq!(ask(&*store, vec![first.clone()]).await, [(60, false)]);
    }
    assert_eq!(quotas(&*store).await[0].row.held, 60);
}

async fn what_is_spent_and_given_back_is_in_the_books(store: Engine) {
    let day = team("daily");
    ask(&*store, vec![wants(&day, "a", 100, 0, 60)]).await;
    let told =
        Ask { granted: 60, spent: 25, returned: 30, overrun: 2, target: 60, rate: 7, ..Ask::default() };
    let told = LeaseAsk { quota: day.clone(), lease: "a".into(), limit: 100, ask: told };
    let synced = ask_at(&*store, NOON_MS + 5, vec![told.clone(), told]).await;
    assert_eq!(synced.grants[0].grant.left, 100 - 25 - 5 - 2);
    let quota = &quotas(&*store).await[0];
    assert_eq!((quota.row.settled, quota.row.held, quota.row.overrun), (25, 5, 2));
    let leases = store.leases(&quota.id).await.unwrap();
    assert_eq!((leases.len(), leases[0].process.as_str(), leases[0].node.as_str()), (1, "p1", "edge-1"));
    assert_eq!((leases[0].row.rate, leases[0].row.seen_ms), (7, NOON_MS + 5));
}

async fn answers_come_in_the_order_of_the_asks(store: Engine) {
    let limits = ["z", "a", "m", "b"];
    let asks =
        limits.iter().zip(1..).map(|(name, units)| wants(&team(name), &format!("l{units}"), 100, 0, units));
    let synced = ask_at(&*store, NOON_MS, asks.collect()).await;
    let answers: Vec<_> =
        synced.grants.iter().map(|grant| (grant.lease.as_str(), grant.grant.granted)).collect();
    assert_eq!(answers, [("l1", 1), ("l2", 2), ("l3", 3), ("l4", 4)]);
}

async fn a_repeated_batch_still_has_its_leases_answered(store: Engine) {
    let day = team("daily");
    let (first, asks) = (batch(1, vec![tally(1)]), vec![wants(&day, "a", 100, 0, 60)]);
    let synced = store.sync(first.clone(), asks.clone()).await.unwrap();
    assert_eq!(synced.outcome, applied(1, 0, 1));
    let again = store.sync(first, asks).await.unwrap();
    assert_eq!((again.outcome, again.grants), (Ingested::Repeated, synced.grants));
    assert_eq!(totals(&*store).await.requests, 1);
}

async fn a_conflict_grants_nothing(store: Engine) {
    store.ingest(batch(1, vec![tally(1)])).await.unwrap();
    let synced =
        store.sync(batch(1, vec![tally(2)]), vec![wants(&team("daily"), "a", 100, 0, 60)]).await.unwrap();
    assert_eq!((synced.outcome, synced.grants), (Ingested::Conflict, vec![]));
    assert_eq!(quotas(&*store).await, []);
}

async fn a_lowered_limit_recalls(store: Engine) {
    let day = team("daily");
    ask(&*store, vec![wants(&day, "a", 100, 0, 60)]).await;
    let synced = ask_at(&*store, NOON_MS, vec![wants(&day, "a", 50, 60, 61)]).await;
    let grant = synced.grants[0].grant;
    assert_eq!(
        (grant.granted, grant.denied, grant.status, grant.limit),
        (60, true, LeaseStatus::Exceeded, 50)
    );
    let quota = &quotas(&*store).await[0];
    assert_eq!((quota.row.limit, quota.limit_most), (50, 100));
}

async fn a_lease_that_was_written_off_is_free_again(store: Engine) {
    let day = team("daily");
    ask(&*store, vec![wants(&day, "a", 100, 0, 100)]).await;
    let id = quota_id(&day);
    assert_eq!(store.write_off(&id, "nobody").await.unwrap(), None);
    assert_eq!(store.write_off("nothing", "a").await.unwrap(), None);
    assert_eq!(store.write_off(&id, "a").await.unwrap(), Some(100));
    assert_eq!(store.write_off(&id, "a").await.unwrap(), Some(0));
    assert_eq!(ask(&*store, vec![wants(&day, "b", 100, 0, 100)]).await, [(100, false)]);
}

async fn a_window_long_over_has_spent_what_it_lent(store: Engine) {
    let day = team("daily");
    ask(&*store, vec![wants(&day, "a", 100, 0, 60)]).await;
    let keep = Month::of(NOON_MS).back(13);
    store.retain(day.end_ms + LATE_SETTLEMENT_MS, keep).await.unwrap();
    assert_eq!(quotas(&*store).await[0].row.held, 60);
    store.retain(day.end_ms + LATE_SETTLEMENT_MS + 1, keep).await.unwrap();
    let quota = &quotas(&*store).await[0];
    assert_eq!((quota.row.held, quota.row.settled), (0, 60));
    assert_clean(&*store).await;
    store.retain(day.end_ms + QUOTA_MEMORY_MS + 1, keep).await.unwrap();
    assert_eq!(quotas(&*store).await, []);
}

async fn quotas_are_found_by_consumer_and_paged(store: Engine) {
    let of = |consumer: &str, limit: &str| QuotaName {
        key: [("consumer".to_owned(), consumer.to_owned())].into(),
        ..team(limit)
    };
    for (consumer, limit) in [("alice", "x"), ("alice", "y"), ("bob", "x"), ("alice", "z")] {
        ask(&*store, vec![wants(&of(consumer, limit), consumer, 9, 0, 1)]).await;
    }
    let alices = QuotasQuery { consumer: Some("alice".into()), limit: 2, ..QuotasQuery::default() };
    let first = store.quotas(alices.clone()).await.unwrap();
    assert_eq!(first.len(), 2);
    let rest =
        store.quotas(QuotasQuery { after: Some(first[1].id.clone()), ..alices.clone() }).await.unwrap();
    assert_eq!(rest.len(), 1);
    assert!(first.iter().chain(&rest).all(|quota| quota.name.key["consumer"] == "alice"));
    let later = QuotasQuery { open_at_ms: Some(NOON_MS + DAY_MS), ..alices };
    assert_eq!(store.quotas(later).await.unwrap(), []);
}

/// Many holders of the same quotas, each with all of them, in different orders, at once.
async fn holders_at_once_never_get_more_than_there_is(store: Engine) {
    let names: Vec<QuotaName> = ["a", "b", "c", "d"].iter().map(|name| team(name)).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for holder in 0..12u64 {
        let (store, mut names) = (store.clone(), names.clone());
        names.rotate_left((holder % 4) as usize);
        tasks.spawn(async move {
            let lease = format!("l{holder}");
            let mut granted = [0; 4];
            for round in 1..=8 {
                let asks: Vec<LeaseAsk> = names
                    .iter()
                    .zip(granted)
                    .map(|(name, granted)| wants(name, &lease, 500, granted, granted + 10 + holder))
                    .collect();
                let mine =
                    batch_of("p1", &format!("w{holder}"), "e", round, vec![tally(holder * 100 + round)]);
                let synced = store.sync(mine, asks).await.unwrap();
                granted = std::array::from_fn(|at| synced.grants[at].grant.granted);
            }
            granted.iter().sum::<u64>()
        });
    }
    let granted: u64 = tasks.join_all().await.into_iter().sum();
    let all = quotas(&*store).await;
    assert_eq!(all.iter().map(|quota| quota.row.held).sum::<u64>(), granted);
    assert!(all.iter().all(|quota| (480..=500).contains(&quota.row.held)), "{all:#?}");
}

/// One message of a conversation: any counters, in any order, also ones that can't be.
fn asks() -> impl Strategy<Value = Vec<LeaseAsk>> {
    let amounts = (0u64..40, 0u64..40, 0u64..40, 0u64..5, 0u64..80, 0u64..20, 0u64..100);
    let one = (0usize..3, 0usize..4, 20u64..120, amounts).prop_map(|(quota, lease, limit, amounts)| {
        let (granted, spent, returned, overrun, target, need, rate) = amounts;
        let ask = Ask { granted, spent, returned, overrun, target, need, head: need / 2, rate };
        LeaseAsk { quota: team(["x", "y", "z"][quota]), lease: format!("l{lease}"), limit, ask }
    });
    prop::collection::vec(one, 1..6)
}

#[derive(Clone, Debug)]
enum Step {
    Sync { after_s: u64, asks: Vec<LeaseAsk> },
    WriteOff { quota: usize, lease: usize },
    Retain { days: u64 },
}

fn histories() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0u64..30, asks()).prop_map(|(after_s, asks)| Step::Sync { after_s, asks }),
        1 => (0usize..3, 0usize..4).prop_map(|(quota, lease)| Step::WriteOff { quota, lease }),
        1 => (0u64..40).prop_map(|days| Step::Retain { days }),
    ];
    prop::collection::vec(step, 1..30)
}

async fn take(store: &dyn Books, now_ms: &mut u64, step: Step) -> String {
    match step {
        Step::Sync { after_s, asks } => {
            *now_ms += after_s * 1000;
            format!("{:?}", ask_at(store, *now_ms, asks).await)
        }
        Step::WriteOff { quota, lease } => {
            let id = quota_id(&team(["x", "y", "z"][quota]));
            format!("{:?}", store.write_off(&id, &format!("l{lease}")).await.unwrap())
        }
        Step::Retain { days } => {
            store.retain(*now_ms + days * DAY_MS, Month::of(NOON_MS).back(13)).await.unwrap();
            String::new()
        }
    }
}

#[test]
fn conversations_end_in_the_models_books() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // Held over all cases: the server is started once.
    let _server = runtime.block_on(server());
    let cases = ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(cases, |(history in histories())| runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteOptions::new(folder.path().join("ledger.db"));
        let schema = Schema::new().await;
        let engines: [(&str, Engine); 2] = [
            ("SQLite", Arc::new(SqliteStore::open(&options).unwrap())),
            ("PostgreSQL", schema.open().await),
        ];
        let model = MemoryStore::new();
        let mut now_ms = NOON_MS;
        for step in history {
            let mut after_ms = now_ms;
            let expected = take(&model, &mut after_ms, step.clone()).await;
            for (name, store) in &engines {
                assert_eq!(take(&**store, &mut now_ms.clone(), step.clone()).await, expected, "{name}");
            }
            now_ms = after_ms;
        }
        let expected = quotas(&model).await;
        for (name, store) in &engines {
            assert_eq!(quotas(&**store).await, expected, "{name}");
            for quota in &expected {
                let leases = (store.leases(&quota.id).await.unwrap(), model.leases(&quota.id).await.unwrap());
                assert_eq!(leases.0, leases.1, "{name}");
            }
            // Counters that can't be were told too, so only the sums are proven.
            let found = store.audit().await.unwrap().differences;
            let expected = model.audit().await.unwrap().differences;
            assert_eq!(found.len(), expected.len(), "{name}: {found:#?}");
        }
    }));
}
