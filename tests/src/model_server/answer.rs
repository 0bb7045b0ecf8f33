//! From a request to an answer: what to say, in which shape, at which pace.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use super::body::{compressed, split, stream_of};
use super::endpoint::{Dialect, Endpoint};
use super::knobs::Knobs;
use super::plan::{Planned, plan};
use super::prompt::Prompt;
use super::served::{Log, ModelUsage, Served};
use super::{batches, openai};

/// Largest request body read, in bytes: above what Envoy is configured to let through.
const BODY_BYTES_MAX: usize = 64 << 20;

/// What will be said to a prompt.
pub(super) struct Answer {
    /// The provider's name for it.
    pub id: String,
    /// What it costs when it is said in full.
    pub usage: ModelUsage,
    /// The part of what is written to the cache that is kept for an hour.
    pub cache_write_1h: u64,
    /// Words that show, per choice.
    pub visible: u64,
    /// The request's cap cut it short.
    pub capped: bool,
    /// The usage is not told.
    pub omit_usage: bool,
}

impl Answer {
    pub fn new(prompt: &Prompt, knobs: &Knobs, number: u64) -> Self {
        let cap = prompt.output_cap.filter(|_| !knobs.ignore_cap).unwrap_or(u64::MAX);
        let output = knobs.output_tokens.min(cap);
        let reasoning = knobs.reasoning.min(output);
        Self {
            id: knobs.id.clone().unwrap_or_else(|| format!("mock-{number:08}")),
            usage: ModelUsage {
                input: prompt.tokens,
                cache_read: knobs.cache_read,
                cache_write: knobs.cache_write,
                output: (output - reasoning) * prompt.choices + reasoning,
                reasoning,
            },
            cache_write_1h: knobs.cache_write_1h.min(knobs.cache_write),
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
    let target = head.uri.path_and_query().map_or(path.as_str(), |target| target.as_str());
    let planned = match (Endpoint::of(target), &head.method) {
        (Some(Endpoint { dialect: Dialect::Cancel, .. }), &Method::POST) => {
            Planned::json(200, &batches::cancel(&path))
        }
        (Some(endpoint), &Method::POST) => plan(endpoint, &body, &knobs, exchange.number()),
        (None, &Method::GET) if path.ends_with("/v1/models") => Planned::json(200, &models()),
        _ => {
            let message = format!("unknown URL: {} {path}", head.method);
            Planned::json(404, &openai::error_body(404, &message))
        }
    };
    exchange.answered(planned.status);
    exchange.bill(ModelUsage { output: 0, ..planned.usage });
    let mut response = Response::builder().status(planned.status).header(CONTENT_TYPE, planned.content_type);
    if let Some(load) = &knobs.load {
        response = response.header("endpoint-load-metrics", load);
    }
    if let Some(load) = &knobs.load_bin {
        response = response.header("endpoint-load-metrics-bin", load);
    }
    for (name, value) in planned.headers {
        response = response.header(*name, HeaderValue::from_static(value));
    }
    for (name, value) in &planned.usage_headers {
        response = response.header(*name, *value);
    }
    if let Some(encoding) = &knobs.encoding {
        response = response.header(CONTENT_ENCODING, encoding);
    }
    let events = match &knobs.encoding {
        Some(encoding) => compressed(planned.events, encoding),
        None => planned.events,
    };
    let events = match knobs.split {
        Some(bytes) => split(events, bytes),
        None => {
            if !planned.stream {
                let length: usize = events.iter().map(|event| event.bytes.len()).sum();
                response = response.header(CONTENT_LENGTH, length);
            }
            events
        }
    };
    let body = Body::from_stream(stream_of(events, &knobs, planned.usage, exchange));
    response.body(body).unwrap_or_else(|error| {
        let mut response = Response::new(Body::from(error.to_string()));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

fn models() -> Value {
    let model = |id: &str, owner: &str| json!({"id": id, "object": "model", "created": 0, "owned_by": owner});
    json!({"object": "list", "data": [model("gpt-5.4-mini", "openai"), model("claude-haiku-4-5", "anthropic")]})
}
