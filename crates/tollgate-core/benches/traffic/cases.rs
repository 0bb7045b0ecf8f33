//! What is read in a measurement, here and in V8 (`tests/parser-bench`).

use std::hint::black_box;

use serde_json::{Value, json};
use tollgate_core::traffic::{Dialect, Endpoint, Estimator, ResponseParser, UsageStripper, inspect_request};

const PROSE: &str = "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of \
    foolishness, it was the epoch of belief, it was the epoch of incredulity; in 1775, things went on as before. ";
const CODE: &str = "    let mut parser = ResponseParser::new(dialect);\n    for chunk in body.chunks(4096) {\n        \
    parser.feed(chunk);\n    }\n    assert_eq!(parser.observed().usage.output, Some(300));\n";
const RUSSIAN: &str = "Съешь же ещё этих мягких французских булок, да выпей чаю. ";
const CHINESE: &str = "我能吞下玻璃而不伤身体。今天的天气很好，我们去公园吧。";
/// The dearest text there is for the estimator: every byte begins another run.
const SWITCHES: &str = "a1B.c2\nD;e3 F-";
const HEX: &str = "d41d8cd98f00b204e9800998ecf8427e";

/// The bytes that a proxy hands over at a time.
const CHUNK_BYTES: usize = 4096;

/// Something to measure.
pub struct Case {
    /// What is measured.
    pub group: &'static str,
    /// Of which body.
    pub name: String,
    /// Its size.
    pub bytes: usize,
    /// Reads it once.
    pub run: Box<dyn FnMut()>,
}

impl Case {
    fn new<T>(group: &'static str, name: &str, bytes: usize, mut run: impl FnMut() -> T + 'static) -> Self {
        let run = Box::new(move || {
            black_box(run());
        });
        Self { group, name: name.to_owned(), bytes, run }
    }
}

/// All of them.
pub fn all() -> Vec<Case> {
    let mut cases = estimates();
    cases.extend(requests());
    cases.extend(answers());
    cases.extend(streams());
    cases.push(stripper());
    cases.extend(endpoints());
    cases
}

fn text(sample: &str, bytes: usize) -> String {
    sample.chars().cycle().take(bytes / sample.len() * sample.chars().count()).collect()
}

fn estimates() -> Vec<Case> {
    let texts = [
        ("prose 64 KB", PROSE),
        ("code 64 KB", CODE),
        ("Russian 64 KB", RUSSIAN),
        ("Chinese 64 KB", CHINESE),
        ("hex 64 KB", HEX),
        ("switches 64 KB", SWITCHES),
    ];
    let case = |(name, sample): (&str, &str)| {
        let text = text(sample, 64 << 10);
        Case::new("estimator", name, text.len(), move || {
            let mut estimator = Estimator::new();
            estimator.feed(black_box(text.as_bytes()));
            estimator.finish()
        })
    };
    texts.into_iter().map(case).collect()
}

fn chat(messages: &[Value]) -> Vec<u8> {
    json!({
        "model": "gpt-5.4-mini", "temperature": 0.2, "stream": true, "stream_options": {"include_usage": true},
        "messages": messages, "max_completion_tokens": 256, "user": "tenant-42", "metadata": {"team": "a"},
    })
    .to_string()
    .into_bytes()
}

/// Requests, and the same bytes where nothing is text: what is more is the estimate.
fn requests() -> Vec<Case> {
    let says = |sample, bytes| json!({"role": "user", "content": text(sample, bytes)});
    let message = |bytes| says(PROSE, bytes);
    let tool = json!({"type": "function", "function": {"name": "find_flights", "description": text(PROSE, 300),
        "parameters": {"type": "object", "properties": {"departure_airport": {"type": "string"},
        "day": {"type": "string", "description": "YYYY-MM-DD"}}, "required": ["departure_airport", "day"]}}});
    let image = json!({"role": "user", "content": [{"type": "image_url", "image_url":
        {"url": format!("data:image/png;base64,{}", "iVBORw0KGgo".repeat(100_000))}}]});
    let bodies = [
        ("small 0.4 KB", chat(&[message(300), message(300)])),
        ("one message 4 KB", chat(&[message(4 << 10)])),
        ("one message 16 KB", chat(&[message(16 << 10)])),
        ("one message 64 KB", chat(&[message(64 << 10)])),
        ("one message 1 MB", chat(&[message(1 << 20)])),
        ("Russian 64 KB", chat(&[says(RUSSIAN, 64 << 10)])),
        ("Chinese 64 KB", chat(&[says(CHINESE, 64 << 10)])),
        ("switches 64 KB", chat(&[says(SWITCHES, 64 << 10)])),
        ("escaped code 64 KB", chat(&[says(CODE, 64 << 10)])),
        ("escaped code 1 MB", chat(&[says(CODE, 1 << 20)])),
        ("400 messages 200 KB", chat(&vec![message(450); 400])),
        ("200 tools 70 KB", json!({"tools": vec![tool; 200]}).to_string().into_bytes()),
        ("image 1 MB", chat(&[image])),
    ];
    let mut cases = Vec::new();
    for (name, body) in bodies {
        let unread = body.clone();
        cases.push(Case::new("request", name, body.len(), move || {
            inspect_request(Dialect::OpenAiChat, black_box(&body))
        }));
        // In a call of tools only the name and the id are wanted.
        cases.push(Case::new("scan only", name, unread.len(), move || {
            inspect_request(Dialect::Mcp, black_box(&unread))
        }));
    }
    cases
}

fn read(dialect: Dialect, encoding: &str, body: &[u8]) -> tollgate_core::traffic::Observed {
    let mut parser = ResponseParser::encoded(dialect, encoding);
    black_box(body).chunks(CHUNK_BYTES).for_each(|chunk| parser.feed(chunk));
    parser.observed()
}

fn openai_chunk() -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_795_305_601,
        "model": "gpt-5.4-mini-2026-03-17", "service_tier": "default", "system_fingerprint": null,
        "choices": [{"index": 0, "delta": {"content": " word"}, "finish_reason": null}], "usage": null,
        "obfuscation": "aB3xyz"})
}

fn answers() -> Vec<Case> {
    let usage = json!({"prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306,
        "prompt_tokens_details": {"cached_tokens": 1920}, "completion_tokens_details": {"reasoning_tokens": 192}});
    let answer = |bytes| {
        json!({"id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-5.4-mini", "usage": usage,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text(PROSE, bytes)}}]})
        .to_string()
    };
    let vector: Vec<f64> = (0..100_000).map(|index| f64::from(index) / 7.0 - 5000.0).collect();
    let embeddings = json!({"data": [{"embedding": vector}], "usage": usage}).to_string();
    let end = json!({"choices": [], "usage": usage});
    let openai =
        format!("{}data: {end}\n\ndata: [DONE]\n\n", format!("data: {}\n\n", openai_chunk()).repeat(1000));
    let delta =
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " word"}});
    let end = json!({"type": "message_delta", "usage": {"output_tokens": 55}});
    let anthropic = format!(
        "{}event: message_delta\ndata: {end}\n\n",
        format!("event: content_block_delta\ndata: {delta}\n\n").repeat(1000)
    );
    let cases = [
        ("JSON 1 KB", Dialect::OpenAiChat, answer(700)),
        ("JSON 1 MB", Dialect::OpenAiChat, answer(1 << 20)),
        ("JSON embeddings 2 MB", Dialect::Generic, embeddings),
        ("events OpenAI 1000", Dialect::OpenAiChat, openai),
        ("events Anthropic 1000", Dialect::AnthropicMessages, anthropic),
    ];
    let case = |(name, dialect, body): (&str, Dialect, String)| {
        Case::new("answer", name, body.len(), move || read(dialect, "", body.as_bytes()))
    };
    cases.into_iter().map(case).collect()
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
fn streams() -> Vec<Case> {
    let delta = json!({"contentBlockIndex": 0, "delta": {"text": " word"}, "p": "abcdefghijklmnop"});
    let converse = frame("contentBlockDelta", &delta).repeat(1000);
    let envelope = json!({"bytes": "eyJkZWx0YSI6eyJ0ZXh0IjoiIHdvcmQifX0=".repeat(3), "p": "abc"});
    let invoke = frame("chunk", &envelope).repeat(1000);
    let part = json!({"candidates": [{"content": {"parts": [{"text": " word"}], "role": "model"}, "index": 0}],
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 1, "totalTokenCount": 10}});
    let gemini = format!("data: {part}\r\n\r\n").repeat(1000);
    let line = json!({"model": "m", "created_at": "2026-11-22T00:00:00Z", "message": {"content": " word"},
        "done": false});
    let ollama = format!("{line}\n").repeat(1000);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, gemini.as_bytes()).expect("memory");
    let gzip = encoder.finish().expect("memory");
    let cases = [
        ("frames Converse 1000", Dialect::BedrockConverse, "", converse),
        ("envelopes Invoke 1000", Dialect::BedrockInvoke, "", invoke),
        ("events Gemini 1000", Dialect::Gemini, "", gemini.into_bytes()),
        ("lines Ollama 1000", Dialect::Ollama, "", ollama.into_bytes()),
        ("gzip Gemini 1000", Dialect::Gemini, "gzip", gzip),
    ];
    let case = |(name, dialect, encoding, body): (&str, Dialect, &'static str, Vec<u8>)| {
        Case::new("stream", name, body.len(), move || read(dialect, encoding, &body))
    };
    cases.into_iter().map(case).collect()
}

/// Taking out the usage that the client did not ask for, an event at a time as a server sends it.
fn stripper() -> Case {
    let event = format!("data: {}\n\n", openai_chunk());
    let (mut stripper, mut out) = (UsageStripper::default(), Vec::new());
    Case::new("strip", "event", event.len(), move || {
        out.clear();
        stripper.feed(black_box(event.as_bytes()), &mut out);
        out.len()
    })
}

/// Telling a request's dialect from its path.
fn endpoints() -> Vec<Case> {
    let paths =
        ["/v1/chat/completions", "/model/us.amazon.nova-pro-v1%3A0/converse-stream", "/v9/unheard/of"];
    let case = |path: &'static str| {
        Case::new("endpoint", path, path.len(), move || Endpoint::detect("POST", black_box(path), None))
    };
    paths.into_iter().map(case).collect()
}
