//! Anthropic messages: bodies in the real shapes.

use serde_json::{Value, json};

use super::answer::{Answer, Event};
use super::prompt::Prompt;
use super::text::{word, words};

/// The usage; `output` is what is known of it at that point of a stream.
fn usage_json(answer: &Answer, output: u64) -> Value {
    let (usage, kept_long) = (answer.usage, answer.cache_write_1h);
    json!({
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write - kept_long,
            "ephemeral_1h_input_tokens": kept_long,
        },
        "output_tokens": output,
        "service_tier": "standard",
        "inference_geo": "global",
    })
}

fn stop_reason(answer: &Answer) -> &'static str {
    if answer.capped { "max_tokens" } else { "end_turn" }
}

/// The answer as one JSON object.
pub(super) fn json_body(prompt: &Prompt, answer: &Answer) -> Value {
    let mut body = json!({
        "id": answer.id, "type": "message", "role": "assistant", "model": prompt.model,
        "content": [{"type": "text", "text": words(answer.visible)}],
        "stop_reason": stop_reason(answer), "stop_sequence": null,
    });
    if !answer.omit_usage {
        body["usage"] = usage_json(answer, answer.usage.output);
        body["usage"]["output_tokens_details"] = json!({"thinking_tokens": answer.usage.reasoning});
    }
    body
}

/// The answer as server-sent events, one word a delta. The input is reported at the start, the output, cumulative,
/// in every `message_delta`; of the two sent here the second counts, and adding them up would be wrong.
pub(super) fn events(prompt: &Prompt, answer: &Answer) -> Vec<Event> {
    let usage = answer.usage;
    let mut generated = usage.reasoning;
    let mut message = json!({
        "id": answer.id, "type": "message", "role": "assistant", "model": prompt.model, "content": [],
        "stop_reason": null, "stop_sequence": null,
    });
    if !answer.omit_usage {
        message["usage"] = usage_json(answer, usage.output.min(1));
    }
    let mut events = Vec::new();
    let mut push = |kind: &str, mut data: Value, generated: u64| {
        data["type"] = kind.into();
        events.push(Event::new(format!("event: {kind}\ndata: {data}\n\n"), generated));
    };
    push("message_start", json!({"message": message}), generated);
    push(
        "content_block_start",
        json!({"index": 0, "content_block": {"type": "text", "text": ""}}),
        generated,
    );
    push("ping", json!({}), generated);
    for at in 0..answer.visible {
        generated += 1;
        let text = if at == 0 { word(at).to_owned() } else { format!(" {}", word(at)) };
        let data = json!({"index": 0, "delta": {"type": "text_delta", "text": text}});
        push("content_block_delta", data, generated);
    }
    push("content_block_stop", json!({"index": 0}), generated);
    let delta = |stop: Value, output: u64| {
        let mut data = json!({"delta": {"stop_reason": stop, "stop_sequence": null}});
        if !answer.omit_usage {
            data["usage"] = json!({
                "output_tokens": output, "output_tokens_details": {"thinking_tokens": usage.reasoning},
            });
        }
        data
    };
    push("message_delta", delta(Value::Null, usage.output / 2), generated);
    push("message_delta", delta(stop_reason(answer).into(), usage.output), generated);
    push("message_stop", json!({}), generated);
    events
}

/// An error of the given status.
pub(super) fn error_body(status: u16, message: &str) -> Value {
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_0123456789abcdef"})
}

/// Headers on every success: the provider's own limits, which are none of the caller's business.
pub(super) const HEADERS: [(&str, &str); 8] = [
    ("request-id", "req_0123456789abcdef"),
    ("anthropic-organization-id", "00000000-0000-4000-8000-000000000000"),
    ("anthropic-ratelimit-requests-limit", "4000"),
    ("anthropic-ratelimit-requests-remaining", "3999"),
    ("anthropic-ratelimit-requests-reset", "2026-11-22T12:00:00Z"),
    ("anthropic-ratelimit-tokens-limit", "400000"),
    ("anthropic-ratelimit-tokens-remaining", "399999"),
    ("anthropic-ratelimit-tokens-reset", "2026-11-22T12:00:00Z"),
];
