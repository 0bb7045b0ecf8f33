//! What only a server has: several nodes over the same books, connections that break, a month that another node drops.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use support::postgres::Schema;
use support::*;
use tokio::task::JoinSet;
use tollgate_e2e::flaky_proxy::FlakyProxy;
use tollgate_e2e::postgres::Postgres;
use tollgate_ledger::calendar::Month;
use tollgate_ledger::store::{Ingested, PostgresOptions, PostgresStore, Store, StoreError, UsageQuery};
use tollgate_wire::{NanoUsd, Tally};

async fn assert_clean(store: &PostgresStore) {
    assert_eq!(store.audit().await.unwrap().differences, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_at_once_make_the_schema_once() {
    let schema = Schema::new().await;
    let mut tasks = JoinSet::new();
    for number in 0..6 {
        let options = schema.options.clone();
        tasks.spawn(async move {
            let store = PostgresStore::open(&options).await.unwrap();
            store.ingest(batch(1 + number, vec![tally(number)])).await.unwrap()
        });
    }
    for outcome in tasks.join_all().await {
        assert!(matches!(outcome, Ingested::Applied(_)), "{outcome:?}");
    }
    let store = schema.open().await;
    assert_eq!(totals(&*store).await.requests, 6);
    assert_clean(&store).await;
}

/// Longer than anybody waits for an answer: a reading of all books takes as long as there are books.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_of_large_books_comes_to_its_end() {
    let schema = Schema::new().await;
    let store = schema.open().await;
    store.ingest(batch(1, vec![tally(1)])).await.unwrap();
    let slow = "ALTER TABLE quotas RENAME TO few_quotas;
                CREATE VIEW quotas AS SELECT q.* FROM few_quotas AS q RIGHT JOIN pg_sleep(6) ON true WHERE quota_id > ''";
    schema.execute(slow).await;
    assert_clean(&store).await;
}

/// Another node is bringing the books up to date, and takes its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_waits_for_the_one_that_migrates() {
    let schema = Schema::new().await;
    schema.open().await;
    let held = "BEGIN; UPDATE schema_versions SET version = 0 WHERE version = 0; SELECT pg_sleep(10); COMMIT";
    let (busy, opened) = tokio::join!(schema.execute(held), async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        PostgresStore::open(&schema.options).await
    });
    let () = busy;
    opened.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_comes_to_two_nodes_at_once_is_entered_once() {
    let schema = Schema::new().await;
    let nodes = [schema.open().await, schema.open().await, schema.open().await];
    for seq in 1..=20 {
        let tallies: Vec<Tally> = (seq * 50..seq * 50 + 50).map(tally).collect();
        let mut tasks = JoinSet::new();
        for at in 0..6 {
            let (node, tallies) = (nodes[at % 3].clone(), tallies.clone());
            tasks.spawn(async move { node.ingest(batch(seq, tallies)).await.unwrap() });
        }
        let outcomes = tasks.join_all().await;
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Ingested::Repeated).count(), 5);
    }
    assert_eq!(totals(&*nodes[0]).await.requests, 1000);
    assert_clean(&nodes[0]).await;
}

/// The same entries and the same keys of usage, in every order, under many numbers: the worst case for locks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_tell_the_same_at_once_do_not_stop_each_other() {
    let schema = Schema::new().await;
    let nodes = [schema.open().await, schema.open().await];
    let mut tasks = JoinSet::new();
    for number in 0..48u64 {
        let node = nodes[(number % 2) as usize].clone();
        let tallies: Vec<Tally> = (0..40).map(|at| varied_tally((at * 7 + number * 11) % 120)).collect();
        let worker = format!("w{number}");
        tasks.spawn(async move { node.ingest(batch_of("p1", &worker, "edge-1", 1, tallies)).await.unwrap() });
    }
    let inserted: u64 = tasks
        .join_all()
        .await
        .into_iter()
        .map(|outcome| match outcome {
            Ingested::Applied(applied) => applied.inserted,
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(inserted, 120);
    assert_clean(&nodes[0]).await;
}

/// The commit happened, the answer did not come: the batch is run again and found entered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_commit_was_not_heard_of_is_entered_once() {
    let schema = Schema::new().await;
    let direct = schema.open().await;
    let proxy = FlakyProxy::start(schema.server.address()).await.unwrap();
    let url = schema.options.url.replace(&schema.server.address().to_string(), &proxy.address().to_string());
    let store = PostgresStore::open(&PostgresOptions::new(url)).await.unwrap();
    let mut repeated = 0;
    for seq in 1..=20 {
        // Cut at each of the answers that entering a batch waits for.
        proxy.lose_replies((seq % 3) as usize);
        match store.ingest(batch(seq, vec![tally(seq)])).await.unwrap() {
            Ingested::Repeated => repeated += 1,
            outcome => assert_eq!(outcome, applied(1, 0, seq)),
        }
        proxy.lose_replies(0);
    }
    assert!(proxy.lost() > 10, "{} answers were lost", proxy.lost());
    assert!(repeated > 0, "no commit was cut off from its answer");
    assert_eq!(totals(&*direct).await.requests, 20);
    assert_clean(&direct).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_does_not_take_its_batch_along() {
    let schema = Schema::new().await;
    let store = schema.open().await;
    let first = batch(1, vec![tally(1)]);
    let mut call = Box::pin(store.ingest(first.clone()));
    let pending =
        std::future::poll_fn(|context| std::task::Poll::Ready(call.as_mut().poll(context).is_pending()));
    assert!(pending.await);
    drop(call);
    tollgate_e2e::wait::until(
        "the batch",
        || "",
        async || (totals(&*store).await.requests == 1).then_some(()),
    )
    .await;
    assert_eq!(store.ingest(first).await.unwrap(), Ingested::Repeated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_learns_of_months_that_another_made_or_dropped() {
    let schema = Schema::new().await;
    let (one, other) = (schema.open().await, schema.open().await);
    let earlier = Month::of(NOON_MS).back(4);
    let old = |number| Tally { at_ms: earlier.start_ms(), ..tally(number) };
    one.ingest(batch(1, vec![old(1)])).await.unwrap();
    other.ingest(batch(2, vec![old(2)])).await.unwrap();
    assert_eq!(one.retain(NOON_MS, Month::of(NOON_MS).back(1)).await.unwrap(), [earlier]);
    let late = other.ingest(batch(3, vec![old(3), tally(4)])).await;
    assert!(matches!(late, Err(StoreError::Retired { .. })), "{late:?}");
    assert_eq!(other.ingest(batch(1, vec![old(1)])).await.unwrap(), Ingested::Repeated);
    assert_eq!(other.ingest(batch(3, vec![tally(4)])).await.unwrap(), applied(1, 0, 4));
    assert_clean(&other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_cannot_be_entered_is_refused_whole() {
    let schema = Schema::new().await;
    let store = schema.open().await;
    let too_large = Tally { cost_nusd: NanoUsd(u64::MAX), ..tally(2) };
    let half = |number| Tally { cost_nusd: NanoUsd(4_000_000_000_000_000_000), ..tally(number) };
    for bad in [vec![tally(1), too_large], vec![tally(1), half(2), half(3)]] {
        let outcome = store.ingest(batch(1, bad)).await;
        assert!(matches!(outcome, Err(StoreError::Engine { .. })), "{outcome:?}");
    }
    assert_eq!(store.ingest(batch(1, vec![tally(1)])).await.unwrap(), applied(1, 0, 1));
    assert_clean(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_finds_what_was_changed_behind_the_ledgers_back() {
    let table = format!("entries_{}", Month::of(NOON_MS).yyyymm());
    let sabotage = [
        (format!("UPDATE {table} SET cost_nusd = cost_nusd + 1 WHERE consumer = 'bob'"), "usage of day"),
        (format!("DELETE FROM {table} WHERE consumer = 'bob'"), "usage of day"),
        ("UPDATE usage_windows SET output = 0 WHERE window_kind = 'month'".into(), "usage of month"),
        ("DELETE FROM usage_windows WHERE consumer = 'bob'".into(), "usage of"),
        (format!("DROP TABLE {table}; DELETE FROM months"), "without a month"),
    ];
    for (statement, expected) in sabotage {
        let schema = Schema::new().await;
        let store = schema.open().await;
        store.ingest(batch(1, vec![tally(1), tally_of("bob", 2)])).await.unwrap();
        assert_clean(&store).await;
        schema.execute(&statement).await;
        let found = PostgresStore::audit_url(&schema.options).await.unwrap().differences;
        assert!(found.iter().any(|difference| difference.what.contains(expected)), "{statement}: {found:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hot_usage_is_spread_over_shards_and_read_as_one() {
    let schema = Schema::new().await;
    let store = schema.open().await;
    for number in 0..16u64 {
        store.ingest(batch_of("p1", &format!("w{number}"), "edge-1", 1, vec![tally(number)])).await.unwrap();
    }
    let report =
        store.usage(UsageQuery { ..by(&[tollgate_ledger::store::Dimension::Consumer]) }).await.unwrap();
    assert_eq!((report.rows.len(), report.rows[0].sums.requests), (1, 16));
    let rows = store.audit().await.unwrap().usage_rows;
    assert!((3..=16).contains(&rows), "{rows} rows of a day and a month");
}

/// Workers that enter batches of ten on and on, each batch until it is acknowledged, over several nodes.
struct Load {
    stop: tokio::sync::watch::Sender<bool>,
    acknowledged: Arc<AtomicU64>,
    workers: JoinSet<u64>,
}

impl Load {
    fn start(nodes: &[Arc<PostgresStore>]) -> Self {
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let acknowledged = Arc::<AtomicU64>::default();
        let mut workers = JoinSet::new();
        for worker in 0..4u64 {
            let (nodes, stopped, acknowledged) = (nodes.to_vec(), stopped.clone(), acknowledged.clone());
            workers.spawn(async move {
                let (mut seq, mut tries) = (1, worker as usize);
                while !*stopped.borrow() {
                    let tallies = (0..10).map(|at| tally((seq * 4 + worker) * 10 + at)).collect();
                    let batch = batch_of("p1", &format!("w{worker}"), "e", seq, tallies);
                    tries += 1;
                    if nodes[tries % nodes.len()].ingest(batch).await.is_ok() {
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                        seq += 1;
                    }
                }
                seq - 1
            });
        }
        Self { stop, acknowledged, workers }
    }

    /// Waits until this many more batches were acknowledged.
    async fn wait_for(&self, more: u64) {
        let goal = self.acknowledged.load(Ordering::Relaxed) + more;
        tollgate_e2e::wait::until_true("batches", || self.acknowledged.load(Ordering::Relaxed) >= goal).await;
    }

    /// Ends the load; the batches that were acknowledged.
    async fn end(self) -> u64 {
        self.stop.send(true).unwrap();
        self.workers.join_all().await.into_iter().sum()
    }
}

/// A server that dies under load and comes back: what was acknowledged is there, nothing is there twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_under_load_loses_nothing_and_counts_nothing_twice() {
    // Of its own, and one that flushes: it is killed.
    let mut server = Postgres::start(&[]).await.unwrap();
    let store = Arc::new(PostgresStore::open(&PostgresOptions::new(server.url())).await.unwrap());
    let load = Load::start(std::slice::from_ref(&store));
    for _ in 0..2 {
        load.wait_for(40).await;
        server.kill9();
        server.restart().await.unwrap();
    }
    load.wait_for(40).await;
    let batches = load.end().await;
    assert_eq!(totals(&*store).await.requests, batches * 10);
    assert_clean(&store).await;
}

/// Three nodes over a primary with two synchronous standbys. The primary is lost for good, a standby takes its place, and
/// the nodes find it by themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_primary_is_replaced_by_a_standby_that_has_all_that_was_acknowledged() {
    let mut primary = Postgres::start(&[]).await.unwrap();
    let standbys = [primary.standby("s1").await.unwrap(), primary.standby("s2").await.unwrap()];
    // Both: either may take over. The first commit waits until both follow.
    primary.set("synchronous_standby_names", "FIRST 2 (s1, s2)").unwrap();
    let options = PostgresOptions::new(Postgres::url_of_all(&[&primary, &standbys[0], &standbys[1]]));
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(Arc::new(PostgresStore::open(&options).await.unwrap()));
    }
    let load = Load::start(&nodes);
    load.wait_for(60).await;
    let before = load.acknowledged.load(Ordering::Relaxed);
    primary.kill9();
    let since = std::time::Instant::now();
    standbys[1].promote().unwrap();
    load.wait_for(1).await;
    println!(
        "{before} batches acknowledged before; the next {:?} after the primary was lost",
        since.elapsed()
    );
    load.wait_for(60).await;
    let batches = load.end().await;
    assert_eq!(totals(&*nodes[0]).await.requests, batches * 10);
    for node in &nodes {
        assert_clean(node).await;
    }
}

/// What a database of an earlier version lacks is added, to the months that are there as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_of_an_earlier_version_are_brought_up_to_date() {
    for text in [earlier::version_3(), earlier::version_4()] {
        let schema = Schema::new().await;
        let store = schema.open().await;
        earlier::fill(&*store).await;
        store.close().await;
        schema.execute(&text).await;
        let store = schema.open().await;
        earlier::assert_up_to_date(&*store).await;
        assert_clean(&store).await;
    }
}
