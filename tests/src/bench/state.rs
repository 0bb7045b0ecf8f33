//! What the limiter's state costs in Envoy: memory for so many keys, and CPU where all workers meet at one key.
//!
//! Requests are headers only and answered by the route itself, so that what is measured is Envoy and the filter.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::upstream::Upstream;
use crate::envoy::{Envoy, EnvoyConfig};

/// Requests that are on their way on a connection at once. With 16, Envoy closed the connection after the second answer.
const PIPELINED: usize = 1;

/// Requests a connection is used for: Envoy closes one whose many requests all ended within a second, as a flood.
const PER_CONNECTION: usize = 400;

/// Far more than any run uses.
const PLENTY: u64 = 1_000_000_000;

/// Measures Envoy's memory with `keys` consumers, each with a balance of five limits, and prints it.
pub async fn keys(keys: usize) -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let idle = envoy(&upstream, five_limits(1), 1).await?;
    fire(idle.address(), 8, 0, 2_000, |_| "the same one".into()).await?;
    let idle_bytes = idle.rss_bytes()?;
    drop(idle);
    let full = envoy(&upstream, five_limits(keys), 1).await?;
    let empty_bytes = full.rss_bytes()?;
    fire(full.address(), 8, 0, keys, |number| format!("consumer-{number}")).await?;
    let full_bytes = full.rss_bytes()?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    // The filter sums statistics for a tick.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let stats = full.stats().await;
    let evicted: u64 = stats.matching("tollgate_evictions").iter().map(|(_, value)| value).sum();
    let checks: u64 = stats.matching("tollgate_checks").iter().map(|(_, value)| value).sum();
    full.assert_no_trap();
    println!("{keys} keys with 5 limits each, {checks} checks, {evicted} evicted");
    println!(
        "idle filter {:.1} MiB, slots created {:.1} MiB, all keys {:.1} MiB",
        mib(idle_bytes),
        mib(empty_bytes),
        mib(full_bytes)
    );
    let beyond = full_bytes.saturating_sub(idle_bytes);
    println!("beyond the idle filter: {:.1} MiB, {} bytes a key", mib(beyond), beyond / keys.max(1) as u64);
    Ok(())
}

/// Measures Envoy's CPU per request with 1, 2, 4 and 8 workers, with limits that are each consumer's own and with one
/// more that everybody shares, and prints it.
pub async fn hot(requests: usize) -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let own = five_limits(1000);
    let mut shared = own.clone();
    let limits = shared["limits"].as_array_mut().context("limits")?;
    limits.push(
        json!({"name": "all", "meter": "requests", "key": [], "rate": {"amount": PLENTY, "per": "second"}}),
    );
    let workers = [1, 2, 4, 8];
    let mut all = Vec::new();
    for count in workers {
        all.push([
            envoy(&upstream, own.clone(), count).await?,
            envoy(&upstream, shared.clone(), count).await?,
        ]);
    }
    const ROUNDS: usize = 5;
    let mut figures = vec![[Vec::new(), Vec::new()]; workers.len()];
    for round in 0..=ROUNDS {
        for (at, pair) in all.iter().enumerate() {
            for (which, envoy) in pair.iter().enumerate() {
                let before = envoy.cpu_time()?;
                fire(envoy.address(), 32, 0, requests, |number| format!("consumer-{}", number % 1000))
                    .await?;
                let spent = envoy.cpu_time()?.saturating_sub(before);
                // The first round warms up.
                if round > 0 {
                    figures[at][which].push(spent.as_secs_f64() * 1e6 / requests as f64);
                }
            }
        }
    }
    println!("CPU us a request, median of {ROUNDS} rounds of {requests} requests");
    println!("workers  own limits  with a shared one  lost swaps a request");
    for (at, count) in workers.into_iter().enumerate() {
        let [own, shared] = &mut figures[at];
        own.sort_by(f64::total_cmp);
        shared.sort_by(f64::total_cmp);
        let stats = all[at][1].stats().await;
        let lost: u64 = stats.matching("tollgate_swap_retries").iter().map(|(_, value)| value).sum();
        let lost = lost as f64 / (requests * (ROUNDS + 1)) as f64;
        println!("{count:7}  {:10.1}  {:17.1}  {lost:20.4}", own[ROUNDS / 2], shared[ROUNDS / 2]);
    }
    Ok(())
}

async fn envoy(upstream: &Upstream, policy: Value, workers: usize) -> anyhow::Result<Envoy> {
    let mut config = EnvoyConfig::standalone(upstream.address())?;
    config.set_policy(policy);
    config.push_route(json!({
        "match": {"path": "/here"},
        "direct_response": {"status": 200, "body": {"inline_string": "ok"}},
    }));
    config.connection_manager().remove("access_log");
    Envoy::start(&config, workers).await
}

fn five_limits(keys: usize) -> Value {
    let quota =
        |per: &str| json!({"name": per, "meter": "requests", "quota": {"amount": PLENTY, "per": per}});
    json!({
        "name": "state",
        "identity": {"consumer": [{"header": "x-consumer"}]},
        "state": {"expected_keys": keys},
        "headers": {"ratelimit": false, "dialect": false},
        "limits": [
            // A request takes an hour to be forgotten.
            {"name": "rate", "meter": "requests", "rate": {"amount": 1, "per": "hour", "burst": 1_000_000}},
            {"name": "window", "meter": "requests", "window": {"amount": PLENTY, "per": "hour"}},
            quota("day"), quota("week"), quota("month"),
        ],
    })
}

/// Sends `count` requests, numbered from `from`, each by the consumer its number names. Anything but 200 is an error.
async fn fire(
    to: SocketAddr,
    connections: usize,
    from: usize,
    count: usize,
    consumer: impl Fn(usize) -> String + Clone + Send + 'static,
) -> anyhow::Result<()> {
    let next = Arc::new(AtomicUsize::new(from));
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        tasks.spawn(connection(to, Arc::clone(&next), from + count, consumer.clone()));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

async fn connection(
    to: SocketAddr,
    next: Arc<AtomicUsize>,
    end: usize,
    consumer: impl Fn(usize) -> String,
) -> anyhow::Result<()> {
    let mut stream = connect(to).await?;
    let mut sent = 0;
    let mut read = vec![0u8; 64 << 10];
    loop {
        let first = next.fetch_add(PIPELINED, Ordering::Relaxed);
        let numbers = first.min(end)..(first + PIPELINED).min(end);
        if numbers.is_empty() {
            return Ok(());
        }
        let expected = numbers.len();
        if sent >= PER_CONNECTION {
            stream = connect(to).await?;
            sent = 0;
        }
        sent += expected;
        let requests: String = numbers
            .map(|number| {
                format!(
                    "GET /here HTTP/1.1\r\nhost: models.example\r\nx-consumer: {}\r\n\r\n",
                    consumer(number)
                )
            })
            .collect();
        stream.write_all(requests.as_bytes()).await?;
        let (mut answers, mut kept) = (0, 0);
        while answers < expected {
            let more = stream.read(read.get_mut(kept..).unwrap_or_default()).await?;
            if more == 0 {
                bail!("Envoy closed the connection, or an answer is too long");
            }
            kept += more;
            let text = String::from_utf8_lossy(&read[..kept]);
            // Whole answers only: a body ends with "ok".
            answers = text.matches("\r\n\r\nok").count();
            if text.matches("HTTP/1.1 ").count() > text.matches("HTTP/1.1 200").count() + 1 {
                bail!("refused: {text}");
            }
        }
    }
}

async fn connect(to: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
