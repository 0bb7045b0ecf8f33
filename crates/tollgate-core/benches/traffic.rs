//! How fast requests and answers are read, in bytes per second: `cargo bench -p tollgate-core --bench traffic`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use tollgate_core::traffic::{Dialect, Endpoint, Estimator, ResponseParser, UsageStripper, inspect_request};

const PROSE: &str = "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of \
    foolishness, it was the epoch of belief, it was the epoch of incredulity; in 1775, things went on as before. ";
const CODE: &str = "    let mut parser = ResponseParser::new(dialect);\n    for chunk in body.chunks(4096) {\n        \
    parser.feed(chunk);\n    }\n    assert_eq!(parser.observed().usage.output, Some(300));\n";

fn text(sample: &str, bytes: usize) -> String {
    sample.chars().cycle().take(bytes).collect()
}

/// The bytes that a proxy hands over at a time.
const CHUNK_BYTES: usize = 4096;

fn estimator(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("estimator");
    for (name, sample) in [("prose", PROSE), ("code", CODE), ("russian", "Съешь же ещё этих мягких булок. ")]
    {
        let text = text(sample, 64 * 1024);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut estimator = Estimator::new();
                estimator.feed(black_box(text.as_bytes()));
                estimator.finish()
            });
        });
    }
    group.finish();
}

fn chat(messages: &[Value]) -> Vec<u8> {
    json!({
        "model": "gpt-5.4-mini", "temperature": 0.2, "stream": true, "stream_options": {"include_usage": true},
        "messages": messages, "max_completion_tokens": 256, "user": "tenant-42", "metadata": {"team": "a"},
    })
    .to_string()
    .into_bytes()
}

fn requests(criterion: &mut Criterion) {
    let message = |bytes| json!({"role": "user", "content": text(PROSE, bytes)});
    let escaped = json!({"role": "user", "content": text(CODE, 1 << 20)});
    let tool = json!({"type": "function", "function": {"name": "find_flights", "description": text(PROSE, 100),
        "parameters": {"type": "object", "properties": {"departure_airport": {"type": "string"},
        "day": {"type": "string", "description": "YYYY-MM-DD"}}, "required": ["departure_airport", "day"]}}});
    let image = json!({"role": "user", "content": [{"type": "image_url", "image_url":
        {"url": format!("data:image/png;base64,{}", "iVBORw0KGgo".repeat(100_000))}}]});
    let mut group = criterion.benchmark_group("request");
    for (name, body) in [
        ("small 0.4 KB", chat(&[message(30), message(60)])),
        ("one message 4 KB", chat(&[message(4 << 10)])),
        ("one message 16 KB", chat(&[message(16 << 10)])),
        ("one message 64 KB", chat(&[message(64 << 10)])),
        ("one message 1 MB", chat(&[message(1 << 20)])),
        ("escaped code 1 MB", chat(&[escaped])),
        ("400 messages 200 KB", chat(&vec![message(450); 400])),
        ("200 tools 70 KB", json!({"tools": vec![tool; 200]}).to_string().into_bytes()),
        ("image 1 MB", chat(&[image])),
    ] {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| inspect_request(Dialect::OpenAiChat, black_box(&body)));
        });
    }
    group.finish();
}

fn answers(criterion: &mut Criterion) {
    let usage = json!({"prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306,
        "prompt_tokens_details": {"cached_tokens": 1920}, "completion_tokens_details": {"reasoning_tokens": 192}});
    let answer = |bytes| {
        json!({"id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-5.4-mini", "usage": usage,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text(PROSE, bytes)}}]})
        .to_string()
    };
    let vector: Vec<f64> = (0..100_000).map(|index| f64::from(index) / 7.0 - 5000.0).collect();
    let embeddings = json!({"data": [{"embedding": vector}], "usage": usage}).to_string();
    let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_795_305_601,
        "model": "gpt-5.4-mini-2026-03-17", "service_tier": "default", "system_fingerprint": null,
        "choices": [{"index": 0, "delta": {"content": " word"}, "finish_reason": null}], "usage": null,
        "obfuscation": "aB3xyz"});
    let end = json!({"choices": [], "usage": usage});
    let openai = format!("{}data: {end}\n\ndata: [DONE]\n\n", format!("data: {chunk}\n\n").repeat(1000));
    let delta =
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " word"}});
    let end = json!({"type": "message_delta", "usage": {"output_tokens": 55}});
    let anthropic = format!(
        "{}event: message_delta\ndata: {end}\n\n",
        format!("event: content_block_delta\ndata: {delta}\n\n").repeat(1000)
    );
    let mut group = criterion.benchmark_group("answer");
    for (name, dialect, body) in [
        ("JSON 1 KB", Dialect::OpenAiChat, answer(700)),
        ("JSON 1 MB", Dialect::OpenAiChat, answer(1 << 20)),
        ("JSON embeddings 2 MB", Dialect::Generic, embeddings),
        ("events OpenAI 1000", Dialect::OpenAiChat, openai),
        ("events Anthropic 1000", Dialect::AnthropicMessages, anthropic),
    ] {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut parser = ResponseParser::new(dialect);
                black_box(body.as_bytes()).chunks(CHUNK_BYTES).for_each(|chunk| parser.feed(chunk));
                parser.observed()
            });
        });
    }
    group.finish();
}

/// A frame of AWS's event stream.
fn frame(kind: &str, payload: &Value) -> Vec<u8> {
    let payload = payload.to_string();
    let mut headers = Vec::new();
    for (name, value) in [(":event-type", kind), (":message-type", "event")] {
        headers.push(name.len() as u8);
        headers.extend(name.as_bytes());
        headers.push(7);
        headers.extend((value.len() as u16).to_be_bytes());
        headers.extend(value.as_bytes());
    }
    let mut frame = Vec::new();
    frame.extend(((16 + headers.len() + payload.len()) as u32).to_be_bytes());
    frame.extend((headers.len() as u32).to_be_bytes());
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame.extend(headers);
    frame.extend(payload.as_bytes());
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame
}

/// What other providers stream, and what is compressed.
fn streams(criterion: &mut Criterion) {
    let delta = json!({"contentBlockIndex": 0, "delta": {"text": " word"}, "p": "abcdefghijklmnop"});
    let converse = frame("contentBlockDelta", &delta).repeat(1000);
    let invoke =
        frame("chunk", &json!({"bytes": "eyJkZWx0YSI6eyJ0ZXh0IjoiIHdvcmQifX0=".repeat(3), "p": "abc"}))
            .repeat(1000);
    let part = json!({"candidates": [{"content": {"parts": [{"text": " word"}], "role": "model"}, "index": 0}],
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 1, "totalTokenCount": 10}});
    let gemini = format!("data: {part}\r\n\r\n").repeat(1000);
    let line = json!({"model": "m", "created_at": "2026-11-22T00:00:00Z", "message": {"content": " word"}, "done": false});
    let ollama = format!("{line}\n").repeat(1000);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, gemini.as_bytes()).expect("memory");
    let gzip = encoder.finish().expect("memory");
    let mut group = criterion.benchmark_group("stream");
    for (name, dialect, encoding, body) in [
        ("frames Converse 1000", Dialect::BedrockConverse, "", converse),
        ("envelopes Invoke 1000", Dialect::BedrockInvoke, "", invoke),
        ("events Gemini 1000", Dialect::Gemini, "", gemini.clone().into_bytes()),
        ("lines Ollama 1000", Dialect::Ollama, "", ollama.into_bytes()),
        ("gzip Gemini 1000", Dialect::Gemini, "gzip", gzip),
    ] {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut parser = ResponseParser::encoded(dialect, encoding);
                black_box(body.as_slice()).chunks(CHUNK_BYTES).for_each(|chunk| parser.feed(chunk));
                parser.observed()
            });
        });
    }
    group.finish();
}

/// Taking out the usage that the client did not ask for, an event at a time as a server sends it.
fn stripper(criterion: &mut Criterion) {
    let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_795_305_601,
        "model": "gpt-5.4-mini-2026-03-17", "service_tier": "default", "system_fingerprint": null,
        "choices": [{"index": 0, "delta": {"content": " word"}, "finish_reason": null}], "usage": null,
        "obfuscation": "aB3xyz"});
    let event = format!("data: {chunk}\n\n");
    let mut group = criterion.benchmark_group("strip");
    group.throughput(Throughput::Bytes(event.len() as u64));
    group.bench_function("event", |bencher| {
        let (mut stripper, mut out) = (UsageStripper::default(), Vec::new());
        bencher.iter(|| {
            out.clear();
            stripper.feed(black_box(event.as_bytes()), &mut out);
            out.len()
        });
    });
    group.finish();
}

/// Telling a request's dialect from its path.
fn endpoints(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("endpoint");
    for path in ["/v1/chat/completions", "/model/us.amazon.nova-pro-v1%3A0/converse-stream", "/v9/unheard/of"]
    {
        group.bench_function(path, |bencher| {
            bencher.iter(|| Endpoint::detect("POST", black_box(path), None));
        });
    }
    group.finish();
}

criterion_group!(benches, estimator, requests, answers, streams, stripper, endpoints);
criterion_main!(benches);
