//! From a request to an answer: what to say, in which shape, at which pace.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use super::body::{split, stream_of};
use super::knobs::Knobs;
use super::prompt::{Dialect, Prompt};
use super::served::{Log, ModelUsage, Served};
use super::{anthropic, openai};

/// Largest request body read, in bytes: above what Envoy is configured to let through.
const BODY_BYTES_MAX: usize = 64 << 20;

/// What will be said to a prompt.
pub(super) struct Answer {
    /// The provider's name for it.
    pub id: String,
    /// What it costs when it is said in full.
    pub usage: ModelUsage,
    /// Words that show, per choice.
    pub visible: u64,
    /// The request's cap cut it short.
    pub capped: bool,
    /// The usage is not told.
    pub omit_usage: bool,
}

impl Answer {
    fn new(prompt: &Prompt, knobs: &Knobs, number: u64) -> Self {
        let cap = prompt.output_cap.unwrap_or(u64::MAX);
        let output = knobs.output_tokens.min(cap);
        let reasoning = knobs.reasoning.min(output);
        Self {
            id: format!("mock-{number:08}"),
            usage: ModelUsage {
                input: prompt.tokens,
                cache_read: knobs.cache_read,
                cache_write: knobs.cache_write,
                output: (output - reasoning) * prompt.choices + reasoning,
                reasoning,
            },
            visible: output - reasoning,
            capped: knobs.output_tokens > cap,
            omit_usage: knobs.omit_usage,
        }
    }
}

/// A part of a body, and how many output tokens were generated when it leaves.
#[derive(Clone)]
pub(super) struct Event {
    /// What is sent.
    pub bytes: Bytes,
    /// Output tokens generated so far.
    pub generated: u64,
}

impl Event {
    pub fn new(text: String, generated: u64) -> Self {
        Self { bytes: text.into(), generated }
    }
}

/// Answers one request and enters it in the log.
pub(super) async fn answer(log: Arc<Log>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let knobs = Knobs::from_headers(&head.headers);
    let path = head.uri.path().to_owned();
    let body = match axum::body::to_bytes(body, BODY_BYTES_MAX).await {
        Ok(body) => body,
        Err(error) => return super::json(400, &openai::error_body(400, &error.to_string())),
    };
    let exchange = log.begin(Served {
        method: head.method.to_string(),
        path: head.uri.path_and_query().map_or_else(|| path.clone(), ToString::to_string),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
        body_bytes: body.len(),
        ..Served::default()
    });
    if !knobs.delay.is_zero() {
        tokio::time::sleep(knobs.delay).await;
    }
    let planned = match (Dialect::of_path(&path), &head.method) {
        (Some(dialect), &Method::POST) => chat(dialect, &body, &knobs, exchange.number()),
        (None, &Method::GET) if path.ends_with("/v1/models") => Planned::json(200, &models()),
        _ => {
            let message = format!("unknown URL: {} {path}", head.method);
            Planned::json(404, &openai::error_body(404, &message))
        }
    };
    exchange.answered(planned.status);
    exchange.bill(ModelUsage { output: 0, ..planned.usage });
    let mut response = Response::builder().status(planned.status).header(CONTENT_TYPE, planned.content_type);
    for (name, value) in planned.headers {
        response = response.header(*name, HeaderValue::from_static(value));
    }
    let events = match knobs.split {
        Some(bytes) => split(planned.events, bytes),
        None => {
            if !planned.stream {
                let length: usize = planned.events.iter().map(|event| event.bytes.len()).sum();
                response = response.header(CONTENT_LENGTH, length);
            }
            planned.events
        }
    };
    let body = Body::from_stream(stream_of(events, &knobs, planned.usage, exchange));
    response.body(body).unwrap_or_else(|error| {
        let mut response = Response::new(Body::from(error.to_string()));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// An answer ready to be sent.
struct Planned {
    status: u16,
    content_type: &'static str,
    headers: &'static [(&'static str, &'static str)],
    events: Vec<Event>,
    stream: bool,
    usage: ModelUsage,
}

impl Planned {
    fn json(status: u16, value: &Value) -> Self {
        Self {
            status,
            content_type: "application/json",
            headers: &[],
            events: vec![Event::new(value.to_string(), 0)],
            stream: false,
            usage: ModelUsage::default(),
        }
    }
}

fn chat(dialect: Dialect, body: &[u8], knobs: &Knobs, number: u64) -> Planned {
    let error_body = match dialect {
        Dialect::OpenAi => openai::error_body,
        Dialect::Anthropic => anthropic::error_body,
    };
    let prompt = match Prompt::parse(dialect, body) {
        Ok(prompt) => prompt,
        Err(message) => return Planned::json(400, &error_body(400, &message)),
    };
    if knobs.status >= 400 {
        return Planned::json(knobs.status, &error_body(knobs.status, "The mock was told to fail."));
    }
    let answer = Answer::new(&prompt, knobs, number);
    let (headers, events) = match (dialect, prompt.stream) {
        (Dialect::OpenAi, true) => (&openai::HEADERS, openai::events(&prompt, &answer)),
        (Dialect::Anthropic, true) => (&anthropic::HEADERS, anthropic::events(&prompt, &answer)),
        (Dialect::OpenAi, false) => (&openai::HEADERS, whole(&openai::json_body(&prompt, &answer), &answer)),
        (Dialect::Anthropic, false) => {
            (&anthropic::HEADERS, whole(&anthropic::json_body(&prompt, &answer), &answer))
        }
    };
    let content_type = if prompt.stream { "text/event-stream; charset=utf-8" } else { "application/json" };
    Planned {
        status: knobs.status,
        content_type,
        headers,
        events,
        stream: prompt.stream,
        usage: answer.usage,
    }
}

fn whole(body: &Value, answer: &Answer) -> Vec<Event> {
    vec![Event::new(body.to_string(), answer.usage.output)]
}

fn models() -> Value {
    let model = |id: &str, owner: &str| json!({"id": id, "object": "model", "created": 0, "owned_by": owner});
    json!({"object": "list", "data": [model("gpt-5.4-mini", "openai"), model("claude-haiku-4-5", "anthropic")]})
}
