//! The shape of an answer: which API's, streamed or not.

use serde_json::Value;

use super::answer::{Answer, Event};
use super::endpoint::{Dialect, Endpoint};
use super::knobs::Knobs;
use super::prompt::Prompt;
use super::served::ModelUsage;
use super::{anthropic, aws, batches, google, mistral, openai, openai_more, others, tools};

const EVENTS: &str = "text/event-stream; charset=utf-8";
const JSON: &str = "application/json";

/// An answer ready to be sent.
pub(super) struct Planned {
    pub status: u16,
    pub content_type: &'static str,
    pub headers: &'static [(&'static str, &'static str)],
    /// Headers that tell what was used.
    pub usage_headers: Vec<(&'static str, u64)>,
    pub events: Vec<Event>,
    pub stream: bool,
    pub usage: ModelUsage,
}

impl Planned {
    pub fn json(status: u16, value: &Value) -> Self {
        Self {
            status,
            content_type: JSON,
            headers: &[],
            usage_headers: Vec::new(),
            events: vec![Event::new(value.to_string(), 0)],
            stream: false,
            usage: ModelUsage::default(),
        }
    }
}

/// What is answered to a body.
pub(super) fn plan(endpoint: Endpoint, body: &[u8], knobs: &Knobs, number: u64) -> Planned {
    let body = serde_json::from_slice(body).map_err(|error| format!("invalid JSON: {error}"));
    let model = body.as_ref().ok().and_then(|body: &Value| body["model"].as_str());
    let endpoint = endpoint.for_model(model.unwrap_or_default());
    let error_body = match endpoint.dialect {
        Dialect::Anthropic | Dialect::Batches => anthropic::error_body,
        Dialect::Mistral => mistral::error_body,
        _ => openai::error_body,
    };
    let failed = |status, message: &str| Planned::json(status, &error_body(status, message));
    if knobs.status >= 400 && body.is_ok() {
        return failed(knobs.status, "The mock was told to fail.");
    }
    let planned = body.and_then(|body| match endpoint.dialect {
        Dialect::Mcp => Ok(tool(&body)),
        Dialect::Batches => batches::create(&body, knobs, number).map(|(answer, usage)| {
            let events = vec![Event::new(answer.to_string(), usage.output)];
            Planned { events, usage, ..Planned::json(200, &Value::Null) }
        }),
        _ => Prompt::of(&endpoint, &body).map(|prompt| model_answer(&endpoint, &prompt, knobs, number)),
    });
    planned.unwrap_or_else(|message| failed(400, &message))
}

/// A server of tools answers calls with a stream of one event, everything else with JSON.
fn tool(request: &Value) -> Planned {
    match tools::answer(request) {
        None => Planned { events: Vec::new(), ..Planned::json(202, &Value::Null) },
        Some(answer) if request["method"] == "tools/call" => {
            let events = vec![Event::new(format!("event: message\ndata: {answer}\n\n"), 0)];
            Planned { events, content_type: EVENTS, stream: true, ..Planned::json(200, &Value::Null) }
        }
        Some(answer) => Planned::json(200, &answer),
    }
}

fn model_answer(endpoint: &Endpoint, prompt: &Prompt, knobs: &Knobs, number: u64) -> Planned {
    let error_body = match endpoint.dialect {
        Dialect::Anthropic => anthropic::error_body,
        _ => openai::error_body,
    };
    let answer = Answer::new(prompt, knobs, number);
    let (content_type, events) = match prompt.stream && endpoint.dialect != Dialect::Embeddings {
        true => streamed(endpoint, prompt, &answer),
        false => {
            let body = whole(endpoint.dialect, prompt, &answer).to_string();
            (JSON, vec![Event::new(body, answer.usage.output)])
        }
    };
    let mut events = events;
    if let Some(after) = knobs.error_after.filter(|_| prompt.stream) {
        let generated = after.checked_sub(1).and_then(|at| events.get(at)).map_or(0, |event| event.generated);
        let error = error_body(500, "The mock was told to fail.");
        events.truncate(after);
        events.push(Event::new(format!("event: error\ndata: {error}\n\n"), generated));
    }
    Planned {
        status: knobs.status,
        content_type,
        headers: match endpoint.dialect {
            Dialect::OpenAi | Dialect::Completions | Dialect::Responses => &openai::HEADERS,
            Dialect::Anthropic => &anthropic::HEADERS,
            _ => &[],
        },
        usage_headers: usage_headers(endpoint.dialect, prompt, &answer),
        events,
        stream: prompt.stream,
        usage: answer.usage,
    }
}

fn whole(dialect: Dialect, prompt: &Prompt, answer: &Answer) -> Value {
    match dialect {
        Dialect::OpenAi | Dialect::Mistral => openai::json_body(prompt, answer),
        Dialect::Completions => openai_more::completion(prompt, answer),
        Dialect::Responses => openai_more::response(prompt, answer),
        Dialect::Embeddings => openai_more::embeddings(prompt),
        Dialect::Anthropic | Dialect::Invoke => anthropic::json_body(prompt, answer),
        Dialect::Gemini => google::json_body(prompt, answer),
        Dialect::Converse => aws::converse(answer),
        Dialect::Cohere => others::cohere(answer),
        Dialect::Ollama => others::ollama(prompt, answer),
        Dialect::Tgi => others::tgi(answer),
        Dialect::LlamaCpp => others::llama_cpp(answer),
        Dialect::Mcp | Dialect::Batches | Dialect::Cancel => Value::Null,
    }
}

fn streamed(endpoint: &Endpoint, prompt: &Prompt, answer: &Answer) -> (&'static str, Vec<Event>) {
    const FRAMES: &str = "application/vnd.amazon.eventstream";
    match endpoint.dialect {
        Dialect::OpenAi => (EVENTS, openai::events(prompt, answer)),
        Dialect::Completions => (EVENTS, openai_more::completion_events(prompt, answer)),
        Dialect::Responses => (EVENTS, openai_more::response_events(prompt, answer)),
        Dialect::Anthropic => (EVENTS, anthropic::events(prompt, answer)),
        Dialect::Gemini if endpoint.array => (JSON, google::events(prompt, answer, true)),
        Dialect::Gemini => (EVENTS, google::events(prompt, answer, false)),
        Dialect::Converse => (FRAMES, aws::converse_events(answer)),
        Dialect::Invoke => (FRAMES, aws::invoke_events(prompt, answer)),
        Dialect::Cohere => (EVENTS, others::cohere_events(answer)),
        Dialect::Mistral => (EVENTS, mistral::events(prompt, answer)),
        Dialect::Ollama => ("application/x-ndjson", others::ollama_events(prompt, answer)),
        Dialect::Tgi => (EVENTS, others::tgi_events(answer)),
        Dialect::LlamaCpp => (EVENTS, others::llama_cpp_events(answer)),
        Dialect::Embeddings | Dialect::Mcp | Dialect::Batches | Dialect::Cancel => (JSON, Vec::new()),
    }
}

fn usage_headers(dialect: Dialect, prompt: &Prompt, answer: &Answer) -> Vec<(&'static str, u64)> {
    match dialect {
        Dialect::Invoke if !prompt.stream => vec![
            ("x-amzn-bedrock-input-token-count", answer.usage.input),
            ("x-amzn-bedrock-output-token-count", answer.usage.output),
        ],
        _ => Vec::new(),
    }
}
