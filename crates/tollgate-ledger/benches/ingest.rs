//! How fast one node enters tallies, in batches of 1000: SQLite, WAL, synchronous FULL; PostgreSQL, which flushes every commit.
//!
//! Budget: 25,000 tallies a second on SQLite and 20,000 on PostgreSQL, on wide keys (10,000 Zipf-distributed consumers, 12 models, 4 actions: nearly every
//! tally has rows of usage to itself). `cargo bench -p tollgate-ledger --bench ingest`; BENCH_TALLIES sets how many,
//! BENCH_DIR where SQLite's file is. PostgreSQL runs on the same machine: its CPU time is counted with the node's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod tallies;

use std::sync::Arc;
use std::time::Instant;

use tollgate_e2e::postgres::Postgres;
use tollgate_ledger::store::{
    Batch, OpeningQuery, PostgresOptions, PostgresStore, SqliteOptions, SqliteStore, Store,
};
use tollgate_wire::WindowRange;

use tallies::{NOON_MS, Random, tally};

const BATCH: u64 = 1000;
const SQLITE_PER_S: f64 = 25_000.0;
const POSTGRES_PER_S: f64 = 20_000.0;

fn batches(total: u64, consumers: u64, workers: u64) -> Vec<Vec<Batch>> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut queues: Vec<Vec<Batch>> = (0..workers).map(|_| Vec::new()).collect();
    for number in 0..total / BATCH {
        let worker = (number % workers) as usize;
        let tallies = (0..BATCH).map(|at| tally(&mut random, number * BATCH + at, consumers)).collect();
        queues[worker].push(Batch {
            process: "process".into(),
            worker: format!("worker-{worker}"),
            node: "edge-1".into(),
            seq: 1 + number / workers,
            received_ms: NOON_MS,
            tallies,
        });
    }
    queues
}

/// User and system time of this process so far, in seconds.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

async fn sqlite(label: &str, total: u64, consumers: u64, workers: u64) -> f64 {
    let root = std::env::var("BENCH_DIR").unwrap_or_else(|_| env!("CARGO_TARGET_TMPDIR").to_owned());
    let folder = tempfile::tempdir_in(root).expect("a folder for the database");
    let options = SqliteOptions::new(folder.path().join("ledger.db"));
    let store = Arc::new(SqliteStore::open(&options).expect("a database"));
    let (rate, figures) = enter(store.clone(), None, total, consumers, workers).await;
    let bytes = std::fs::metadata(&options.path).map_or(0, |file| file.len());
    println!("{label:<44} {figures}  {:>4} B/tally", bytes / total);
    restart(&*store).await;
    rate
}

async fn postgres(label: &str, total: u64, consumers: u64, workers: u64) -> f64 {
    let server = Postgres::start(&[("max_wal_size", "4GB")]).await.expect("a server");
    let options = PostgresOptions::new(server.url());
    let store = Arc::new(PostgresStore::open(&options).await.expect("a database"));
    let (rate, figures) = enter(store.clone(), Some(&server), total, consumers, workers).await;
    println!("{label:<44} {figures}");
    analyze(&server.url()).await;
    restart(&*store).await;
    rate
}

/// What autovacuum does within a minute: by then no node has been restarted.
async fn analyze(url: &str) {
    let (client, connection) =
        tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("a connection");
    let connection = tokio::spawn(connection);
    client.batch_execute("ANALYZE").await.expect("analyzed");
    drop(client);
    connection.await.expect("no panic").expect("an end");
}

/// Sends everything; tallies a second, and the figures in words.
async fn enter(
    store: Arc<dyn Store>,
    server: Option<&Postgres>,
    total: u64,
    consumers: u64,
    workers: u64,
) -> (f64, String) {
    let cpu_of_all = || cpu_s() + server.map_or(0.0, |server| server.cpu_s());
    let queues = batches(total, consumers, workers);
    let (since, cpu) = (Instant::now(), cpu_of_all());
    let mut tasks = tokio::task::JoinSet::new();
    for queue in queues {
        let store = store.clone();
        tasks.spawn(async move {
            let mut latencies = Vec::with_capacity(queue.len());
            for batch in queue {
                let sent = Instant::now();
                store.ingest(batch).await.expect("entered");
                latencies.push(sent.elapsed().as_secs_f64() * 1000.0);
            }
            latencies
        });
    }
    let mut latencies: Vec<f64> = tasks.join_all().await.into_iter().flatten().collect();
    let (seconds, cpu) = (since.elapsed().as_secs_f64(), cpu_of_all() - cpu);
    latencies.sort_by(f64::total_cmp);
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    let rate = total as f64 / seconds;
    let figures = format!(
        "{rate:>9.0}/s  p50 {:>6.1} ms  p99 {:>6.1} ms  {:>5.1} us CPU/tally",
        at(0.5),
        at(0.99),
        cpu * 1e6 / total as f64,
    );
    (rate, figures)
}

/// How long a restarted node waits for its balances of the month.
async fn restart(store: &dyn Store) {
    let windows = vec![WindowRange { start_ms: NOON_MS - 86_400_000, end_ms: NOON_MS + 86_400_000 }];
    let (node, process) = ("edge-1".into(), "other".into());
    let mut query = OpeningQuery { node, process, windows, after: None, limit: 500, entries: 20_000 };
    let since = Instant::now();
    let (mut pages, mut balances, mut longest) = (0, 0, 0.0f64);
    loop {
        let begun = Instant::now();
        let page = store.opening(query.clone()).await.expect("balances");
        longest = longest.max(begun.elapsed().as_secs_f64() * 1000.0);
        (pages, balances) = (pages + 1, balances + page.balances.len());
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    let all = since.elapsed().as_secs_f64() * 1000.0;
    println!("  opening of {balances} balances: longest page {longest:.0} ms, {pages} pages {all:.0} ms");
}

fn main() {
    let total = std::env::var("BENCH_TALLIES").ok().and_then(|text| text.parse().ok()).unwrap_or(300_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let verdict = |rate: f64, budget: f64| {
        let verdict = if rate >= budget { "held" } else { "MISSED" };
        println!("budget {budget:.0}/s on wide keys: {verdict}");
    };
    runtime.block_on(async {
        println!("SQLite, WAL, synchronous=FULL, {total} tallies in batches of {BATCH}");
        sqlite("10,000 consumers, 1 worker", total, 10_000, 1).await;
        verdict(sqlite("10,000 consumers, 4 workers", total, 10_000, 4).await, SQLITE_PER_S);
        sqlite("100 consumers, 4 workers", total, 100, 4).await;
        println!("PostgreSQL, fsync=on, the same");
        postgres("10,000 consumers, 1 worker", total, 10_000, 1).await;
        verdict(postgres("10,000 consumers, 4 workers", total, 10_000, 4).await, POSTGRES_PER_S);
        postgres("100 consumers, 4 workers", total, 100, 4).await;
    });
}
