//! What only a real engine has: failures inside a group, files that outlive a process, an audit that must find what
//! was broken on purpose.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::sync::Arc;

use rusqlite::Connection;
use support::*;
use tollgate_ledger::calendar::Month;
use tollgate_ledger::store::{Ingested, SqliteOptions, SqliteStore, Store, StoreError};
use tollgate_wire::{NanoUsd, Tally};

fn open() -> (tempfile::TempDir, SqliteOptions, Arc<SqliteStore>) {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(folder.path().join("ledger.db"));
    let store = Arc::new(SqliteStore::open(&options).unwrap());
    (folder, options, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_cannot_be_entered_does_not_harm_its_group() {
    let (_folder, options, store) = open();
    // Validation keeps such amounts out; here they make the engine refuse, by a type or by a sum out of range.
    let too_large = Tally { cost_nusd: NanoUsd(u64::MAX), ..tally(1000) };
    let half = |number| Tally { cost_nusd: NanoUsd(4_000_000_000_000_000_000), ..tally(number) };
    let bad = [vec![tally(1003), too_large], vec![tally(1004), half(1001), half(1002)]];
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..200u64 {
        let tallies =
            if number % 20 == 7 { bad[(number / 20 % 2) as usize].clone() } else { vec![tally(number)] };
        let store = store.clone();
        tasks.spawn(async move { (number, store.ingest(batch(1 + number, tallies)).await) });
    }
    for (number, outcome) in tasks.join_all().await {
        if number % 20 == 7 {
            assert!(matches!(outcome, Err(StoreError::Engine { .. })), "{number}: {outcome:?}");
        } else {
            assert_eq!(outcome.unwrap(), applied(1, 0, number));
        }
    }
    let good: Vec<u64> = (0..200).filter(|number| number % 20 != 7).collect();
    let totals = totals(&*store).await;
    assert_eq!((totals.requests, totals.cost_nusd.0), (good.len() as u64, good.iter().sum()));
    assert_eq!(SqliteStore::audit_file(&options.path).unwrap().differences, []);
    // A refused number is free: nothing of its batch was applied.
    assert_eq!(store.ingest(batch(8, vec![tally(7)])).await.unwrap(), applied(1, 0, 7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_made_in_a_group_that_failed_is_made_again() {
    let (_folder, _options, store) = open();
    let january = Month::of(NOON_MS).next().next().start_ms();
    let at = |number, cost| Tally { at_ms: january, cost_nusd: NanoUsd(cost), ..tally(number) };
    assert!(store.ingest(batch(1, vec![at(1, 1), at(2, u64::MAX)])).await.is_err());
    assert_eq!(store.ingest(batch(1, vec![at(1, 1)])).await.unwrap(), applied(1, 0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_wait_together_are_committed_together() {
    let (_folder, _options, store) = open();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 1..=200u64 {
        let store = store.clone();
        tasks.spawn(async move { store.ingest(batch(number, vec![tally(number)])).await.unwrap() });
    }
    tasks.join_all().await;
    let (commits, batches) = store.commits();
    assert_eq!(batches, 200);
    assert!(commits < 200, "{commits} commits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_after_opening_again() {
    let (_folder, options, store) = open();
    store.ingest(batch(1, vec![tally(1), tally(2)])).await.unwrap();
    store.close().await;
    drop(store);
    let store = SqliteStore::open(&options).unwrap();
    assert_eq!(store.ingest(batch(1, vec![tally(1), tally(2)])).await.unwrap(), Ingested::Repeated);
    assert_eq!(store.ingest(batch(2, vec![tally(2), tally(3)])).await.unwrap(), applied(1, 1, 3));
    assert_eq!(totals(&store).await.cost_nusd, NanoUsd(6));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_does_not_take_its_batch_along() {
    let (_folder, _options, store) = open();
    let first = batch(1, vec![tally(1)]);
    let mut call = Box::pin(store.ingest(first.clone()));
    // Polled once, the batch is queued; then the caller is gone.
    assert!(
        std::future::poll_fn(|context| std::task::Poll::Ready(call.as_mut().poll(context).is_pending()))
            .await
    );
    drop(call);
    assert_eq!(store.ingest(first).await.unwrap(), Ingested::Repeated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_finds_what_was_changed_behind_the_ledgers_back() {
    let table = format!("entries_{}", Month::of(NOON_MS).yyyymm());
    let sabotage = [
        (format!("UPDATE {table} SET cost_nusd = cost_nusd + 1 WHERE consumer = 'bob'"), "usage of day", 2),
        (format!("DELETE FROM {table} WHERE consumer = 'bob'"), "usage of day", 3),
        (
            "UPDATE usage_windows SET output = 0 WHERE window_kind = 'month' AND consumer = 'bob'".into(),
            "usage of month",
            1,
        ),
        (
            "DELETE FROM usage_windows WHERE consumer = 'bob' AND window_kind = 'day'".into(),
            "usage of day",
            1,
        ),
        ("UPDATE usage_windows SET consumer = 'eve' WHERE consumer = 'bob'".into(), "usage of", 4),
        ("UPDATE usage_windows SET window_start_ms = 0 WHERE window_kind = 'month'".into(), "usage of", 3),
        (format!("DROP TABLE {table}; DELETE FROM months"), "without a month", 2),
    ];
    for (statement, expected, count) in sabotage {
        let (_folder, options, store) = open();
        store.ingest(batch(1, vec![tally(1), tally_of("bob", 2)])).await.unwrap();
        store.close().await;
        assert_eq!(SqliteStore::audit_file(&options.path).unwrap().differences, []);
        Connection::open(&options.path).unwrap().execute_batch(&statement).unwrap();
        let found = SqliteStore::audit_file(&options.path).unwrap().differences;
        assert!(found.iter().any(|difference| difference.what.contains(expected)), "{statement}: {found:#?}");
        assert!(found.len() >= count, "{statement}: {found:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_finds_an_entry_that_is_in_two_months() {
    let (_folder, options, store) = open();
    let december = Month::of(NOON_MS).next().start_ms();
    let twice = Tally { at_ms: december, ..tally(1) };
    store.ingest(batch(1, vec![tally(1), twice])).await.unwrap();
    let found = SqliteStore::audit_file(&options.path).unwrap().differences;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].what, format!("entry {} is there twice", guid(1)));
}

/// What a database of an earlier version lacks is added, to the months that are there as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_of_an_earlier_version_are_brought_up_to_date() {
    for (version, text) in [(3, earlier::version_3()), (4, earlier::version_4())] {
        let (_folder, options, store) = open();
        earlier::fill(&*store).await;
        store.close().await;
        Connection::open(&options.path).unwrap().execute_batch(&text).unwrap();
        let audit = SqliteStore::audit_file(&options.path);
        assert!(matches!(audit, Err(StoreError::TooOld { found, .. }) if found == version), "{audit:?}");
        let store = SqliteStore::open(&options).unwrap();
        earlier::assert_up_to_date(&store).await;
        assert_eq!(SqliteStore::audit_file(&options.path).unwrap().differences, []);
    }
}

/// A roll-up that was wrong is no more right afterwards than it was before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bringing_books_up_to_date_hides_no_difference() {
    let (_folder, options, store) = open();
    earlier::fill(&*store).await;
    store.close().await;
    let connection = Connection::open(&options.path).unwrap();
    connection.execute_batch(&earlier::version_4()).unwrap();
    connection
        .execute_batch("UPDATE usage_windows SET output = output + 3 WHERE window_kind = 'day'")
        .unwrap();
    SqliteStore::open(&options).unwrap().close().await;
    let found = SqliteStore::audit_file(&options.path).unwrap().differences;
    assert!(!found.is_empty() && found.iter().all(|one| one.what.starts_with("usage of day")), "{found:#?}");
}
