//! What rates of all Envoys cost a ledger: three Envoys that share ten thousand of them, each with a claim a second for every one
//! that is in use.
//!
//! `cargo bench -p tollgate-ledger --bench shares`; BENCH_RATES is how many (default 10000), BENCH_ENGINES which engines
//! (`sqlite,postgres`). Claims come two hundred at a time, as from filters, one Envoy after the other and all three at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod tallies;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tollgate_e2e::postgres::Postgres;
use tollgate_ledger::store::{Books, PostgresOptions, PostgresStore, SqliteOptions, SqliteStore};
use tollgate_wire::{Claim, RateName, SHARES_MAX, ShareAsk};

use tallies::{NOON_MS, part};

/// Envoys that share each rate.
const ENVOYS: u64 = 3;

/// Claims that each of them makes of each rate.
const SECONDS: u64 = 5;

/// An Envoy and what it has of each rate.
struct Envoy {
    number: u64,
    shares: HashMap<String, u32>,
}

impl Envoy {
    fn ask(&self, rate: u64, second: u64) -> ShareAsk {
        let holder = format!("{:016x}", rate * ENVOYS + self.number + 1);
        let holding = self.shares.get(&holder).copied().unwrap_or_default();
        let key = [("consumer".to_owned(), format!("consumer-{rate:05}"))].into();
        let (limit, meter) = ("requests-per-minute".into(), "requests".into());
        let rate = RateName { limit, policy: String::new(), meter, key, resets: 0 };
        let demand = 100_000 * (self.number as u32 + 1) + second as u32;
        let claim = Claim { seq: second as u32 + 1, holding, demand, short: true, ..Claim::default() };
        ShareAsk { rate, holder, fill_ms: 60_000, claim }
    }

    /// Claims every rate once; how long each message took, in milliseconds.
    async fn claim_all(&mut self, store: &dyn Books, rates: u64, second: u64) -> Vec<f64> {
        let all: Vec<u64> = (0..rates).collect();
        let mut taken = Vec::new();
        for some in all.chunks(SHARES_MAX) {
            let asks = some.iter().map(|rate| self.ask(*rate, second)).collect();
            let since = Instant::now();
            let grants = store.shares(asks, NOON_MS + second * 1000).await.expect("shares");
            taken.push(since.elapsed().as_secs_f64() * 1000.0);
            assert_eq!(grants.len(), some.len());
            self.shares.extend(grants.into_iter().map(|grant| (grant.holder, grant.share.share)));
        }
        taken
    }
}

async fn measure(engine: &str, store: Arc<dyn Books>, rates: u64, at_once: bool) {
    let mut envoys: Vec<Envoy> = (0..ENVOYS).map(|number| Envoy { number, shares: HashMap::new() }).collect();
    let (mut taken, since) = (Vec::new(), Instant::now());
    for second in 0..SECONDS {
        let mut tasks = tokio::task::JoinSet::new();
        for mut envoy in std::mem::take(&mut envoys) {
            let store = Arc::clone(&store);
            let claims = async move {
                let taken = envoy.claim_all(&*store, rates, second).await;
                (envoy, taken)
            };
            if at_once {
                tasks.spawn(claims);
            } else {
                let (envoy, mut more) = claims.await;
                envoys.push(envoy);
                taken.append(&mut more);
            }
        }
        while let Some(done) = tasks.join_next().await {
            let (envoy, mut more) = done.expect("an Envoy");
            envoys.push(envoy);
            taken.append(&mut more);
        }
    }
    let claims = rates * ENVOYS * SECONDS;
    let each = claims as f64 / since.elapsed().as_secs_f64();
    taken.sort_by(f64::total_cmp);
    let how = if at_once { "three at once" } else { "one by one" };
    println!("{engine:<11} {how:<14} {each:>10.0} {:>9.1} {:>9.1}", part(&taken, 0.5), part(&taken, 0.99));
}

fn main() {
    let rates = std::env::var("BENCH_RATES").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let engines = std::env::var("BENCH_ENGINES").unwrap_or_else(|_| "sqlite,postgres".into());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!("{rates} rates of three Envoys, {SHARES_MAX} claims in a message");
    println!("{:<26} {:>10} {:>9} {:>9}", "", "claims/s", "p50 ms", "p99 ms");
    runtime.block_on(async {
        for at_once in [false, true] {
            if engines.contains("sqlite") {
                let folder =
                    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the database");
                let options = SqliteOptions::new(folder.path().join("ledger.db"));
                measure("SQLite", Arc::new(SqliteStore::open(&options).expect("a database")), rates, at_once)
                    .await;
            }
            if engines.contains("postgres") {
                let server = Postgres::start(&[("max_wal_size", "4GB")]).await.expect("a server");
                let options = PostgresOptions::new(server.url());
                let store = PostgresStore::open(&options).await.expect("a database");
                measure("PostgreSQL", Arc::new(store), rates, at_once).await;
            }
        }
    });
}
