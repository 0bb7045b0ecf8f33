//! OpenAI chat completions: bodies in the real shapes.

use serde_json::{Value, json};

use super::answer::{Answer, Event};
use super::prompt::Prompt;
use super::served::ModelUsage;
use super::text::{word, words};

/// When every answer was made: nothing depends on it.
const CREATED: u64 = 1_795_305_600;

pub(super) fn usage_json(usage: ModelUsage) -> Value {
    let prompt = usage.input + usage.cache_read + usage.cache_write;
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": usage.output,
        "total_tokens": prompt + usage.output,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read, "audio_tokens": 0, "cache_write_tokens": usage.cache_write,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

/// Providers answer with the dated name of the model, not with the one asked for.
fn dated(model: &str) -> String {
    format!("{model}-2026-03-17")
}

fn finish_reason(answer: &Answer) -> &'static str {
    if answer.capped { "length" } else { "stop" }
}

/// The answer as one JSON object.
pub(super) fn json_body(prompt: &Prompt, answer: &Answer) -> Value {
    let choices: Vec<Value> = (0..prompt.choices)
        .map(|index| {
            json!({
                "index": index,
                "message": {
                    "role": "assistant", "content": words(answer.visible), "refusal": null, "annotations": [],
                },
                "logprobs": null,
                "finish_reason": finish_reason(answer),
            })
        })
        .collect();
    let mut body = json!({
        "id": answer.id, "object": "chat.completion", "created": CREATED, "model": dated(&prompt.model),
        "choices": choices, "service_tier": "default", "system_fingerprint": null,
    });
    if !answer.omit_usage {
        body["usage"] = usage_json(answer.usage);
    }
    body
}

/// The answer as server-sent events: one word a chunk, data lines only, `[DONE]` last. The usage is in a chunk of its
/// own with no choices, and `"usage": null` in all others; without `include_usage` it is nowhere.
pub(super) fn events(prompt: &Prompt, answer: &Answer) -> Vec<Event> {
    let with_usage = prompt.include_usage && !answer.omit_usage;
    let mut events = Vec::new();
    let mut generated = answer.usage.reasoning;
    let mut push = |choices: Value, usage: Option<Value>, generated: u64| {
        let mut chunk = json!({
            "id": answer.id, "object": "chat.completion.chunk", "created": CREATED,
            "model": dated(&prompt.model), "service_tier": "default", "system_fingerprint": null,
            "choices": choices,
        });
        if with_usage {
            chunk["usage"] = usage.unwrap_or(Value::Null);
        }
        if prompt.obfuscation {
            // The real padding is random; its length only has to have nothing to do with the tokens.
            chunk["obfuscation"] = "aB3x9Qz0Lm7Kp".get(..events.len() * 7 % 13).unwrap_or_default().into();
        }
        events.push(Event::new(format!("data: {chunk}\n\n"), generated));
    };
    for index in 0..prompt.choices {
        let delta = json!({"role": "assistant", "content": "", "refusal": null});
        push(json!([{"index": index, "delta": delta, "finish_reason": null}]), None, generated);
        for at in 0..answer.visible {
            generated += 1;
            let text = if at == 0 { word(at).to_owned() } else { format!(" {}", word(at)) };
            let delta = json!({"content": text});
            push(json!([{"index": index, "delta": delta, "finish_reason": null}]), None, generated);
        }
        let end = json!([{"index": index, "delta": {}, "finish_reason": finish_reason(answer)}]);
        push(end, None, generated);
    }
    if with_usage {
        push(json!([]), Some(usage_json(answer.usage)), generated);
    }
    events.push(Event::new("data: [DONE]\n\n".to_owned(), generated));
    events
}

/// An error of the given status.
pub(super) fn error_body(status: u16, message: &str) -> Value {
    let (kind, code) = match status {
        400 | 404 => ("invalid_request_error", Value::Null),
        401 => ("invalid_request_error", "invalid_api_key".into()),
        429 => ("requests", "rate_limit_exceeded".into()),
        _ => ("server_error", Value::Null),
    };
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

/// Headers on every success: the provider's own limits, which are none of the caller's business.
pub(super) const HEADERS: [(&str, &str); 8] = [
    ("openai-processing-ms", "12"),
    ("x-request-id", "req_0123456789abcdef"),
    ("x-ratelimit-limit-requests", "500"),
    ("x-ratelimit-limit-tokens", "200000"),
    ("x-ratelimit-remaining-requests", "499"),
    ("x-ratelimit-remaining-tokens", "199999"),
    ("x-ratelimit-reset-requests", "120ms"),
    ("x-ratelimit-reset-tokens", "1ms"),
];
