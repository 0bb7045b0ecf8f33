//! What Tollgate does to streams: how much later their first and every other chunk comes, and what a chunk costs.
//!
//! A hundred streams at once, fifty chunks a second each, from a server in this process that writes the time into every
//! chunk. Plain Envoy and Envoy with all of Tollgate take turns.

use std::convert::Infallible;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::variants::Variant;
use crate::paths;

const STREAMS: usize = 100;
const CHUNKS: u64 = 250;
const EVERY: Duration = Duration::from_millis(20);
/// Turns of each variant.
const ROUNDS: usize = 5;
const VARIANTS: [&str; 2] = ["plain", "tollgate_full"];
/// In front of the time in every chunk.
const SENT: &[u8] = b"\"content\":\"";

/// One turn of one variant, or the medians of all its turns. Times are in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
struct Sample {
    /// From the server's writing of the first chunk to its arrival.
    first_p50: f64,
    first_p99: f64,
    /// The same of all chunks.
    chunk_p50: f64,
    chunk_p99: f64,
    /// Chunks a second of all streams together.
    chunks_per_s: f64,
    /// Envoy's CPU time per chunk.
    cpu: f64,
}

impl Sample {
    const COLUMNS: [&str; 6] = ["first p50", "first p99", "chunk p50", "chunk p99", "chunks/s", "CPU/chunk"];

    fn figures(self) -> [f64; 6] {
        [self.first_p50, self.first_p99, self.chunk_p50, self.chunk_p99, self.chunks_per_s, self.cpu]
    }

    fn medians(turns: &[Self]) -> Self {
        let of = |field: fn(&Self) -> f64| {
            let mut values: Vec<f64> = turns.iter().map(field).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        Self {
            first_p50: of(|sample| sample.first_p50),
            first_p99: of(|sample| sample.first_p99),
            chunk_p50: of(|sample| sample.chunk_p50),
            chunk_p99: of(|sample| sample.chunk_p99),
            chunks_per_s: of(|sample| sample.chunks_per_s),
            cpu: of(|sample| sample.cpu),
        }
    }
}

/// Measures, prints the table and writes `bench/streams.json` below the target folder.
pub async fn run() -> anyhow::Result<()> {
    let models = serve().await?;
    let mut variants = Vec::new();
    for name in VARIANTS {
        variants.push(Variant::start_at(name, models).await?);
    }
    for variant in &variants {
        turn(variant).await.context("warming up")?;
    }
    let mut turns: Vec<Vec<Sample>> = variants.iter().map(|_| Vec::new()).collect();
    for round in 0..ROUNDS {
        for at in 0..variants.len() {
            let at = (round + at) % variants.len();
            turns[at].push(turn(&variants[at]).await.context(variants[at].name)?);
        }
        eprintln!("bench: streams, round {} of {ROUNDS}", round + 1);
    }
    for variant in &variants {
        variant.envoy.assert_no_trap();
    }
    let medians: Vec<Sample> = turns.iter().map(|turns| Sample::medians(turns)).collect();
    println!("{}", table(&medians));
    let figures: Value = VARIANTS.iter().zip(&medians).map(|(name, sample)| (*name, json!(sample))).collect();
    let path = paths::target().join("bench/streams.json");
    std::fs::create_dir_all(path.parent().context("no folder")?)?;
    std::fs::write(&path, serde_json::to_string_pretty(&figures)?)?;
    println!("written to {}", path.display());
    Ok(())
}

fn table(medians: &[Sample]) -> String {
    let rate = 1.0 / EVERY.as_secs_f64();
    let mut table = format!(
        "Envoy with one worker, {STREAMS} streams at once of {CHUNKS} chunks, {rate:.0} a second; us, medians of {ROUNDS} turns\n\n"
    );
    // Writing to a String does not fail.
    let _ = write!(table, "{:<18}", "variant");
    Sample::COLUMNS.iter().for_each(|column| {
        let _ = write!(table, "{column:>12}");
    });
    for (name, sample) in VARIANTS.iter().zip(medians) {
        let _ = write!(table, "\n{name:<18}");
        sample.figures().iter().for_each(|figure| {
            let _ = write!(table, "{figure:>12.1}");
        });
    }
    if let [plain, tollgate, ..] = medians {
        let share = tollgate.chunks_per_s / plain.chunks_per_s * 100.0;
        let added = tollgate.first_p50 - plain.first_p50;
        let _ = write!(table, "\n\nthroughput {share:.1} % of plain Envoy's, first chunk {added:+.0} us");
    }
    table
}

/// All streams of a variant at once.
async fn turn(variant: &Variant) -> anyhow::Result<Sample> {
    let cpu = variant.envoy.cpu_time()?;
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..STREAMS {
        // One begins after the other, so that none waits for others' beginnings; and their chunks come evenly.
        let after = EVERY * number as u32 + EVERY * number as u32 / STREAMS as u32;
        tasks.spawn(one(variant.envoy.address(), number, after));
    }
    let (mut firsts, mut delays) = (Vec::new(), Vec::new());
    while let Some(done) = tasks.join_next().await {
        let stream = done??;
        if stream.len() != CHUNKS as usize {
            bail!("{} chunks of {CHUNKS}", stream.len());
        }
        firsts.push(stream[0]);
        delays.extend(stream);
    }
    let elapsed = began.elapsed();
    let cpu = variant.envoy.cpu_time()?.saturating_sub(cpu);
    let chunks = delays.len() as f64;
    firsts.sort_unstable();
    delays.sort_unstable();
    let percentile = |sorted: &[u64], percent: usize| sorted[(sorted.len() - 1) * percent / 100] as f64;
    Ok(Sample {
        first_p50: percentile(&firsts, 50),
        first_p99: percentile(&firsts, 99),
        chunk_p50: percentile(&delays, 50),
        chunk_p99: percentile(&delays, 99),
        chunks_per_s: chunks / elapsed.as_secs_f64(),
        cpu: cpu.as_secs_f64() * 1e6 / chunks,
    })
}

/// How long each chunk of one stream was on its way, in microseconds.
async fn one(to: SocketAddr, number: usize, after: Duration) -> anyhow::Result<Vec<u64>> {
    tokio::time::sleep(after).await;
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let body = json!({
        "model": "gpt-5.4-mini", "stream": true,
        "messages": [{"role": "user", "content": "Count for as long as you like, one number at a time."}],
    });
    let request = Request::post("/v1/chat/completions")
        .header("host", "models.example")
        .header("content-type", "application/json")
        .header("x-consumer", format!("user-{number:04}"))
        .body(Full::new(Bytes::from(body.to_string())))?;
    let response = sender.send_request(request).await?;
    if response.status() != 200 {
        bail!("{}", response.status());
    }
    let mut body = response.into_body();
    let (mut delays, mut rest) = (Vec::new(), Vec::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let now = micros();
        rest.extend_from_slice(&data);
        while let Some(end) = rest.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = rest.drain(..end + 2).collect();
            delays.extend(sent(&event).map(|sent| now.saturating_sub(sent)));
        }
    }
    driver.abort();
    Ok(delays)
}

/// The time that the server wrote into an event.
fn sent(event: &[u8]) -> Option<u64> {
    let start = event.windows(SENT.len()).position(|part| part == SENT)? + SENT.len();
    let digits: Vec<u8> = event[start..].iter().copied().take_while(u8::is_ascii_digit).collect();
    String::from_utf8(digits).ok()?.parse().ok()
}

/// Microseconds since the first call.
fn micros() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_micros() as u64
}

/// A model that streams what it is asked for.
async fn serve() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                // A connection that Envoy resets is Envoy's business.
                let _ = stream.set_nodelay(true);
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(answer))
                    .await;
            });
        }
    });
    Ok(address)
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<StreamBody<impl stream::Stream<Item = Result<Frame<Bytes>, Infallible>>>>, Infallible> {
    let _ = request.into_body().collect().await;
    let began = tokio::time::Instant::now();
    let events = stream::unfold(0, move |number: u64| async move {
        if number > CHUNKS {
            return None;
        }
        tokio::time::sleep_until(began + EVERY * number as u32).await;
        Some((Ok(Frame::data(event(number))), number + 1))
    });
    let mut response = Response::new(StreamBody::new(events));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

fn event(number: u64) -> Bytes {
    let usage = json!({"prompt_tokens": 20, "completion_tokens": CHUNKS, "total_tokens": CHUNKS + 20});
    let form = |choices: Value, usage: Value| {
        json!({"id": "chatcmpl-0123456789", "object": "chat.completion.chunk", "created": 1_795_305_600,
            "model": "gpt-5.4-mini-2026-03-17", "service_tier": "default", "system_fingerprint": null,
            "choices": choices, "usage": usage})
    };
    if number == CHUNKS {
        return format!("data: {}\n\ndata: [DONE]\n\n", form(json!([]), usage)).into();
    }
    let delta = json!([{"index": 0, "delta": {"content": micros().to_string()}, "finish_reason": null}]);
    format!("data: {}\n\n", form(delta, Value::Null)).into()
}
