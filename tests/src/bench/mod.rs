//! What a request costs in Envoy, beside what it costs without Tollgate: `make bench`.
//!
//! All variants run side by side from the start and take turns at a fixed number of requests, so that a change of the
//! machine's mood hits all of them. What counts is Envoy's CPU time per request, which the scheduler measures; rates
//! and latencies depend on the load generator sharing the machine and are there for orientation.

mod load;
mod report;
pub mod state;
pub mod streams;
mod upstream;
mod variants;

use std::time::Instant;

use anyhow::{Context, bail};

use load::Load;
use report::{Report, Sample};
use upstream::Upstream;
use variants::Variant;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Turns of each variant.
    pub rounds: usize,
    /// Requests per turn.
    pub requests: usize,
    /// Connections kept open, each with one request at a time.
    pub connections: usize,
}

/// Consumers the requests are spread over.
const USERS: usize = 1000;

/// Requests before the first turn, per variant: V8 compiles in the background, pools fill, every user has a balance.
const WARM_UP_REQUESTS: usize = 20_000;

impl Settings {
    /// `ROUNDS`, `REQUESTS` and `CONNECTIONS` from the environment, or some two minutes' worth.
    pub fn from_env() -> anyhow::Result<Self> {
        let number = |name: &str, default: usize| match std::env::var(name) {
            Ok(text) => {
                text.parse().ok().filter(|n| *n > 0).with_context(|| format!("{name} is no count: {text}"))
            }
            Err(_) => Ok(default),
        };
        Ok(Self {
            rounds: number("ROUNDS", 11)?,
            requests: number("REQUESTS", 20_000)?,
            connections: number("CONNECTIONS", 8)?,
        })
    }
}

/// Measures all variants, or those named in `VARIANTS`, prints the table and writes the figures to `bench/envoy.json`.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let names = std::env::var("VARIANTS").unwrap_or_else(|_| Variant::NAMES.join(","));
    compare(settings, &names, "envoy").await.map(drop)
}

/// The same for limits that are leased, beside the same limits at one Envoy, and for no others: in [`run`] everybody rests
/// for seven turns, after which all leases are fetched anew; here they are in use every other turn, as under steady traffic.
pub async fn leases(settings: Settings) -> anyhow::Result<()> {
    let report = compare(settings, "tollgate_full,tollgate_leased", "leases").await?;
    println!("leased over local: {:.3} of the CPU, the median over the rounds", report.ratio(1, 0));
    Ok(())
}

async fn compare(settings: Settings, names: &str, file: &str) -> anyhow::Result<Report> {
    let upstream = Upstream::start().await?;
    let mut variants = Vec::new();
    for name in names.split(',') {
        variants.push(Variant::start(name.trim(), &upstream).await?);
    }
    let load = Load::new(settings.connections);
    for variant in &variants {
        eprintln!("bench: warming up {}", variant.name);
        load.run(variant.envoy.address(), WARM_UP_REQUESTS).await.context(variant.name)?;
    }
    let mut report = Report::new(variants.iter().map(|variant| variant.name).collect());
    for round in 0..settings.rounds {
        for turn in 0..variants.len() {
            // Another one begins each round: nobody always follows the same neighbour.
            let at = (round + turn) % variants.len();
            let variant = &variants[at];
            report.add(at, measure(variant, &load, settings.requests).await?);
        }
        eprintln!("bench: round {} of {}", round + 1, settings.rounds);
    }
    for variant in &variants {
        variant.envoy.assert_no_trap();
    }
    println!("{}", report.table(settings));
    let path = report.write(file)?;
    println!("written to {}", path.display());
    Ok(report)
}

async fn measure(variant: &Variant, load: &Load, requests: usize) -> anyhow::Result<Sample> {
    let envoy = &variant.envoy;
    let cpu = envoy.cpu_time()?;
    let began = Instant::now();
    let mut latencies = load.run(envoy.address(), requests).await.context(variant.name)?;
    let elapsed = began.elapsed();
    let cpu = envoy.cpu_time()?.saturating_sub(cpu);
    if latencies.len() != requests {
        bail!("{}: {} answers to {requests} requests", variant.name, latencies.len());
    }
    latencies.sort_unstable();
    let percentile = |percent: usize| {
        let at = (latencies.len() * percent / 100).min(latencies.len() - 1);
        f64::from(latencies[at]) / 1000.0
    };
    let count = requests as f64;
    Ok(Sample {
        cpu_us: cpu.as_secs_f64() * 1e6 / count,
        rps: count / elapsed.as_secs_f64(),
        p50_ms: percentile(50),
        p99_ms: percentile(99),
        rss_mib: envoy.rss_bytes()? as f64 / f64::from(1 << 20),
    })
}
