//! What grows with the books: entering a batch, and the questions of reports, from 10^4 entries on, tenfold each time.
//!
//! `cargo bench -p tollgate-ledger --bench growth`; BENCH_TO is the last size (default 1000000), BENCH_ENGINES which engines
//! (`sqlite,postgres`), BENCH_DIR where SQLite's file is. Every figure is the median of several, in milliseconds; PostgreSQL
//! runs on the same machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod tallies;

use std::sync::Arc;
use std::time::Instant;

use tollgate_e2e::postgres::Postgres;
use tollgate_ledger::calendar::WindowKind;
use tollgate_ledger::store::{
    Batch, Dimension, EntriesQuery, OpeningQuery, PostgresOptions, PostgresStore, SqliteOptions, SqliteStore,
    Store, UsageFilter, UsageQuery,
};
use tollgate_wire::WindowRange;

use tallies::{NOON_MS, Random, part, tally};

const BATCH: u64 = 1000;

/// Batches, and questions of each kind, that a figure is the median of.
const TRIES: u64 = 15;

/// A consumer of many, in the middle.
const CONSUMER: &str = "consumer-00040";

struct Books {
    store: Arc<dyn Store>,
    random: Random,
    entered: u64,
}

impl Books {
    /// Enters one batch more; milliseconds.
    async fn enter(&mut self) -> f64 {
        let tallies =
            (0..BATCH).map(|at| tally(&mut self.random, self.entered + at, 10_000)).collect::<Vec<_>>();
        let seq = self.entered / BATCH + 1;
        self.entered += BATCH;
        let batch = Batch {
            process: "process".into(),
            worker: "worker".into(),
            node: "edge-1".into(),
            seq,
            received_ms: NOON_MS,
            tallies,
        };
        let since = Instant::now();
        self.store.ingest(batch).await.expect("entered");
        milliseconds(since)
    }

    async fn usage(&self, equals: Vec<(Dimension, String)>, group_by: Vec<Dimension>) -> usize {
        let filter = UsageFilter { from_ms: None, before_ms: None, equals };
        let query = UsageQuery { kind: WindowKind::Month, filter, group_by, after: None, limit: 1000 };
        self.store.usage(query).await.expect("usage").rows.len()
    }

    async fn entries(&self, consumer: Option<&str>) -> usize {
        let equals =
            consumer.map(|consumer| (Dimension::Consumer, consumer.to_owned())).into_iter().collect();
        let query = EntriesQuery { equals, limit: 1000, ..EntriesQuery::default() };
        self.store.entries(query).await.expect("entries").len()
    }

    async fn opening(&self) -> usize {
        let windows = vec![WindowRange { start_ms: NOON_MS - 86_400_000, end_ms: NOON_MS + 86_400_000 }];
        let (node, process) = ("edge-1".into(), "other".into());
        let query = OpeningQuery { node, process, windows, after: None, limit: 500, entries: 20_000 };
        self.store.opening(query).await.expect("balances").balances.len()
    }
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// The median of a question, asked several times.
macro_rules! median {
    ($question:expr) => {{
        let mut figures = Vec::new();
        for _ in 0..TRIES {
            let since = Instant::now();
            let _ = $question;
            figures.push(milliseconds(since));
        }
        figures.sort_by(f64::total_cmp);
        part(&figures, 0.5)
    }};
}

async fn grow(engine: &str, store: Arc<dyn Store>, to: u64) {
    let mut books = Books { store, random: Random(0x9e37_79b9_7f4a_7c15), entered: 0 };
    println!(
        "{engine:<10} {:>9}  {:>12} {:>12} {:>12} {:>12} {:>12} {:>12} {:>12}",
        "entries", "batch p50", "batch p99", "by consumer", "one's usage", "one's trail", "trail", "opening"
    );
    let mut size = 10_000;
    while size <= to {
        let mut batches = Vec::new();
        while books.entered < size {
            batches.push(books.enter().await);
        }
        // Of the last tenth: what a batch costs at this size.
        let last = batches.len().min((size / BATCH / 10).max(10) as usize);
        let mut batches = batches.split_off(batches.len() - last);
        batches.sort_by(f64::total_cmp);
        let one = vec![(Dimension::Consumer, CONSUMER.to_owned())];
        let by_consumer = median!(books.usage(Vec::new(), vec![Dimension::Consumer]).await);
        let usage = median!(books.usage(one.clone(), vec![Dimension::Model]).await);
        let trail_of_one = median!(books.entries(Some(CONSUMER)).await);
        let (trail, opening) = (median!(books.entries(None).await), median!(books.opening().await));
        println!(
            "{:<10} {size:>9}  {:>12.1} {:>12.1} {by_consumer:>12.1} {usage:>12.1} {trail_of_one:>12.1} {trail:>12.1} {opening:>12.1}",
            "",
            part(&batches, 0.5),
            part(&batches, 0.99)
        );
        size *= 10;
    }
    let since = Instant::now();
    let report = books.store.audit().await.expect("an audit");
    assert_eq!((report.entries, report.differences.len()), (books.entered, 0));
    println!(
        "{:<10} the audit of {} entries found nothing, in {:.1} s",
        "",
        report.entries,
        milliseconds(since) / 1000.0
    );
}

fn main() {
    let to = std::env::var("BENCH_TO").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let engines = std::env::var("BENCH_ENGINES").unwrap_or_else(|_| "sqlite,postgres".into());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!("Batches of {BATCH} on wide keys (10,000 consumers), and questions of 1,000 rows; milliseconds");
    runtime.block_on(async {
        if engines.contains("sqlite") {
            let root = std::env::var("BENCH_DIR").unwrap_or_else(|_| env!("CARGO_TARGET_TMPDIR").to_owned());
            let folder = tempfile::tempdir_in(root).expect("a folder for the database");
            let options = SqliteOptions::new(folder.path().join("ledger.db"));
            let store = Arc::new(SqliteStore::open(&options).expect("a database"));
            grow("SQLite", store, to).await;
        }
        if engines.contains("postgres") {
            let server = Postgres::start(&[("max_wal_size", "4GB")]).await.expect("a server");
            let options = PostgresOptions::new(server.url());
            let store = Arc::new(PostgresStore::open(&options).await.expect("a database"));
            grow("PostgreSQL", store, to).await;
        }
    });
}
