//! How long `POST /v1/sync` takes under load, over HTTP from a real ledger: workers that each send a batch of 100 tallies, wide keys,
//! ten times a second, and then as fast as they are answered.
//!
//! `cargo bench -p tollgate-ledger --bench sync`; BENCH_SECONDS sets how long each line takes (default 10). Ledger, database and
//! load share the machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod tallies;

use std::time::{Duration, Instant};

use tollgate_e2e::envoy::TOLLGATE_TOKEN;
use tollgate_e2e::ledger::Ledger;
use tollgate_e2e::postgres::Postgres;
use tollgate_wire::{PROTOCOL_VERSION, SyncRequest};

use tallies::{NOON_MS, Random, part, tally};

const BATCH: u64 = 100;

/// Sends batches for a time; how long each took, in milliseconds.
fn worker(url: &str, name: &str, seed: u64, every: Duration, seconds: u64) -> Vec<f64> {
    let agent = ureq::Agent::new_with_defaults();
    let mut random = Random(seed);
    let (began, mut taken, mut seq) = (Instant::now(), Vec::new(), 0);
    let day_ms = NOON_MS + 100_000 * seed % 40_000_000;
    let at_ms = std::time::UNIX_EPOCH.elapsed().expect("a clock").as_millis() as u64;
    while began.elapsed() < Duration::from_secs(seconds) {
        seq += 1;
        let tallies = (0..BATCH)
            .map(|at| {
                let made = tally(&mut random, (day_ms % 1000) * 25 + seq * BATCH + at, 10_000);
                tollgate_wire::Tally { at_ms, ..made }
            })
            .collect();
        let request = SyncRequest {
            version: PROTOCOL_VERSION,
            process: "process".into(),
            worker: name.into(),
            node: "edge-1".into(),
            seq,
            tallies,
            opening: None,
            leases: Vec::new(),
            shares: Vec::new(),
            known_revision: None,
        };
        let body = serde_json::to_vec(&request).expect("JSON");
        let since = Instant::now();
        let answer = agent
            .post(format!("{url}/v1/sync"))
            .header("authorization", format!("Bearer {TOLLGATE_TOKEN}"))
            .header("content-type", "application/json")
            .send(&body);
        answer.expect("entered");
        taken.push(since.elapsed().as_secs_f64() * 1000.0);
        std::thread::sleep(every.saturating_sub(since.elapsed()));
    }
    taken
}

async fn line(ledger: &Ledger, label: &str, workers: u64, every: Duration, seconds: u64) {
    let before = ledger.totals().await.requests;
    let began = Instant::now();
    let mut threads = Vec::new();
    for number in 0..workers {
        let (url, name) = (ledger.url(), format!("{label}-{number}"));
        let seed = 0x9e37_79b9_7f4a_7c15 ^ (number + 1) ^ (label.len() as u64) << 32;
        threads.push(tokio::task::spawn_blocking(move || worker(&url, &name, seed, every, seconds)));
    }
    let mut taken = Vec::new();
    for thread in threads {
        taken.extend(thread.await.expect("a worker"));
    }
    let rate = taken.len() as f64 * BATCH as f64 / began.elapsed().as_secs_f64();
    taken.sort_by(f64::total_cmp);
    assert_eq!(ledger.totals().await.requests - before, taken.len() as u64 * BATCH);
    println!(
        "  {label:<34} {rate:>8.0} tallies/s  p50 {:>6.1} ms  p99 {:>6.1} ms  longest {:>6.1} ms",
        part(&taken, 0.5),
        part(&taken, 0.99),
        part(&taken, 1.0)
    );
}

async fn lines(engine: &str, ledger: &Ledger, seconds: u64) {
    println!("{engine}, one node, batches of {BATCH}");
    let tenth = Duration::from_millis(100);
    line(ledger, "4 workers, 10 batches a second", 4, tenth, seconds).await;
    line(ledger, "16 workers, 10 batches a second each", 16, tenth, seconds).await;
    line(ledger, "16 workers without a pause", 16, Duration::ZERO, seconds).await;
    ledger.audit().expect("clean books");
}

fn main() {
    let seconds = std::env::var("BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        lines("SQLite", &Ledger::start(None).await.expect("a ledger"), seconds).await;
        let server = Postgres::start(&[("max_wal_size", "4GB")]).await.expect("a server");
        lines("PostgreSQL", &Ledger::over(&server.url()).await.expect("a ledger"), seconds).await;
    });
}
