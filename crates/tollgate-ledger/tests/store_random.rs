//! Random histories: the books of SQLite and of PostgreSQL always equal the model's, whatever is resent, reordered or sent at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::sync::Arc;

use proptest::prelude::*;
use support::postgres::{Schema, server};
use support::*;
use tollgate_ledger::calendar::{DAY_MS, Month};
use tollgate_ledger::store::{
    Batch, Ingested, MemoryStore, OpeningQuery, SqliteOptions, SqliteStore, Store, StoreError,
};
use tollgate_wire::WindowRange;

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Ingest(Batch),
    Retain { now_ms: u64, keep: u32 },
}

/// Few workers, few numbers and few GUIDs, so that histories repeat themselves.
fn batches() -> impl Strategy<Value = Batch> {
    let tallies = prop::collection::vec(0u64..48, 0..12);
    (0usize..4, 1u64..6, tallies).prop_map(|(worker, seq, numbers)| {
        let process = ["p1", "p1", "p2", "p3"][worker];
        let node = ["edge-1", "edge-1", "edge-2", ""][worker];
        let tallies = numbers.into_iter().map(varied_tally).collect();
        batch_of(process, &format!("w{worker}"), node, seq, tallies)
    })
}

fn histories() -> impl Strategy<Value = Vec<Step>> {
    let retain =
        (0u64..120, 0u32..3).prop_map(|(days, keep)| Step::Retain { now_ms: NOON_MS + days * DAY_MS, keep });
    prop::collection::vec(prop_oneof![12 => batches().prop_map(Step::Ingest), 1 => retain], 1..40)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// The engines, each with empty books.
struct Engines {
    stores: Vec<(&'static str, Arc<dyn Store>)>,
    _folder: tempfile::TempDir,
    _schema: Schema,
}

async fn engines() -> Engines {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(folder.path().join("ledger.db"));
    let schema = Schema::new().await;
    let stores: Vec<(&str, Arc<dyn Store>)> =
        vec![("SQLite", Arc::new(SqliteStore::open(&options).unwrap())), ("PostgreSQL", schema.open().await)];
    Engines { stores, _folder: folder, _schema: schema }
}

fn opening() -> OpeningQuery {
    let december = Month::of(NOON_MS).next().start_ms();
    let windows = vec![
        WindowRange { start_ms: 0, end_ms: december },
        WindowRange { start_ms: december - DAY_MS, end_ms: december + 5 * DAY_MS },
    ];
    OpeningQuery {
        node: "edge-1".into(),
        process: "p2".into(),
        windows,
        after: None,
        limit: 10_000,
        entries: 10_000,
    }
}

/// What a step answered, as far as both must answer the same.
async fn take(store: &dyn Store, step: Step) -> Result<Option<Ingested>, String> {
    match step {
        Step::Ingest(batch) => match store.ingest(batch).await {
            Ok(outcome) => Ok(Some(outcome)),
            Err(StoreError::Retired { .. }) => Err("retired".into()),
            Err(other) => Err(other.to_string()),
        },
        Step::Retain { now_ms, keep } => {
            store.retain(now_ms, Month::of(now_ms).back(keep)).await.map_err(|why| why.to_string())?;
            Ok(None)
        }
    }
}

fn cases() -> ProptestConfig {
    ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn a_history_ends_in_the_models_books() {
    // Held over all cases: the server is started once.
    let _server = run(server());
    proptest!(cases(), |(history in histories())| run(async {
        let (model, engines) = (MemoryStore::new(), engines().await);
        for step in history {
            let expected = take(&model, step.clone()).await;
            for (name, store) in &engines.stores {
                assert_eq!(take(&**store, step.clone()).await, expected, "{name}");
            }
        }
        for (name, store) in &engines.stores {
            assert_eq!(everything(&**store).await, everything(&model).await, "{name}");
            let paged = OpeningQuery { entries: 7, ..opening() };
            let (found, expected) = (opened(&**store, paged).await.0, opened(&model, opening()).await.0);
            assert_eq!(found, expected, "{name}");
            assert_eq!(store.audit().await.unwrap().differences, [], "{name}");
        }
    }));
}

/// Each worker sends its batches in order, several times each, all workers at once: the books are what each batch once
/// makes of them.
#[test]
fn batches_sent_at_once_and_again_count_once() {
    let _server = run(server());
    let batches = prop::collection::vec(prop::collection::vec(0u64..400, 0..30), 1..24);
    proptest!(cases(), |(batches in batches, repeats in 1usize..4)| run(async {
        let (model, engines) = (MemoryStore::new(), engines().await);
        let mut tasks = tokio::task::JoinSet::new();
        for (number, numbers) in batches.into_iter().enumerate() {
            let tallies = numbers.into_iter().map(varied_tally).collect();
            let batch = batch_of("p1", &format!("w{}", number % 3), "edge-1", 1 + number as u64 / 3, tallies);
            model.ingest(batch.clone()).await.unwrap();
            for (_, store) in &engines.stores {
                for _ in 0..repeats {
                    let (store, batch) = (store.clone(), batch.clone());
                    tasks.spawn(async move { store.ingest(batch).await.unwrap() });
                }
            }
        }
        tasks.join_all().await;
        for (name, store) in &engines.stores {
            // Which batch brought an entry depends on who came first; what was used does not.
            let (days, months, entries) = everything(&**store).await;
            let (model_days, model_months, model_entries) = everything(&model).await;
            assert_eq!((days, months), (model_days, model_months), "{name}");
            let tallies = |entries: Vec<tollgate_ledger::store::Entry>| -> Vec<_> {
                entries.into_iter().map(|entry| entry.tally).collect()
            };
            assert_eq!(tallies(entries), tallies(model_entries), "{name}");
            assert_eq!(store.audit().await.unwrap().differences, [], "{name}");
        }
    }));
}
