//! Bedrock's converse and invoke: bodies and frames in the real shapes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::answer::{Answer, Event};
use super::anthropic;
use super::prompt::Prompt;
use super::text::{word, words};

fn usage_json(answer: &Answer) -> Value {
    let usage = answer.usage;
    json!({
        "inputTokens": usage.input, "outputTokens": usage.output,
        "totalTokens": usage.input + usage.cache_read + usage.cache_write + usage.output,
        "cacheReadInputTokens": usage.cache_read, "cacheWriteInputTokens": usage.cache_write,
    })
}

/// Converse: the answer as one JSON object.
pub(super) fn converse(answer: &Answer) -> Value {
    json!({
        "output": {"message": {"role": "assistant", "content": [{"text": words(answer.visible)}]}},
        "stopReason": "end_turn", "usage": usage_json(answer), "metrics": {"latencyMs": 551},
    })
}

/// Converse: one word a frame, the usage in the last.
pub(super) fn converse_events(answer: &Answer) -> Vec<Event> {
    let mut events = vec![event("messageStart", json!({"role": "assistant"}), 0)];
    for at in 0..answer.visible {
        let delta = json!({"contentBlockIndex": 0, "delta": {"text": format!("{} ", word(at))}});
        events.push(event("contentBlockDelta", delta, at + 1));
    }
    let output = answer.usage.output;
    events.push(event("contentBlockStop", json!({"contentBlockIndex": 0}), output));
    events.push(event("messageStop", json!({"stopReason": "end_turn"}), output));
    events.push(event(
        "metadata",
        json!({"usage": usage_json(answer), "metrics": {"latencyMs": 551}}),
        output,
    ));
    events
}

/// Invoke: Anthropic's events, each in an envelope; the last one says what the invocation used.
pub(super) fn invoke_events(prompt: &Prompt, answer: &Answer) -> Vec<Event> {
    let vendors = anthropic::events(prompt, answer);
    let last = vendors.len() - 1;
    vendors
        .into_iter()
        .enumerate()
        .map(|(at, vendors)| {
            let text = String::from_utf8_lossy(&vendors.bytes);
            let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_default();
            let mut data: Value = serde_json::from_str(data).unwrap_or_default();
            if at == last {
                let usage = answer.usage;
                data["amazon-bedrock-invocationMetrics"] = json!({
                    "inputTokenCount": usage.input, "outputTokenCount": usage.output,
                    "cacheReadInputTokenCount": usage.cache_read, "cacheWriteInputTokenCount": usage.cache_write,
                    "invocationLatency": 551, "firstByteLatency": 120,
                });
            }
            event("chunk", json!({"bytes": STANDARD.encode(data.to_string())}), vendors.generated)
        })
        .collect()
}

/// A frame of AWS's event stream, with padding as the runtime adds it.
fn event(kind: &str, mut payload: Value, generated: u64) -> Event {
    payload["p"] = "abcdefghijklm".get(..kind.len() % 13).unwrap_or_default().into();
    let payload = payload.to_string();
    let mut headers = Vec::new();
    for (name, value) in
        [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")]
    {
        headers.push(name.len() as u8);
        headers.extend(name.as_bytes());
        headers.push(7);
        headers.extend((value.len() as u16).to_be_bytes());
        headers.extend(value.as_bytes());
    }
    let total = 16 + headers.len() + payload.len();
    let mut frame = Vec::with_capacity(total);
    frame.extend((total as u32).to_be_bytes());
    frame.extend((headers.len() as u32).to_be_bytes());
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame.extend(headers);
    frame.extend(payload.as_bytes());
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    Event { bytes: frame.into(), generated }
}
