//! Mistral's streams: OpenAI's chunks, with the usage where Mistral has it.
//!
//! It comes unasked, in the chunk that also has the finish reason; no other chunk has a member for it. `stream_options` is
//! refused. Sources: `mistralai` 3.7.0 for Python (`models/completionchunk.py`), and reports of the refusal.

use serde_json::{Value, json};

use super::answer::{Answer, Event};
use super::prompt::Prompt;
use super::text::word;

/// The answer as server-sent events, one word a chunk.
pub(super) fn events(prompt: &Prompt, answer: &Answer) -> Vec<Event> {
    let chunk = |delta: Value, finish_reason: Value| {
        json!({
            "id": answer.id, "object": "chat.completion.chunk", "created": 1_795_305_600, "model": prompt.model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
        })
    };
    let event = |chunk: &Value, generated| Event::new(format!("data: {chunk}\n\n"), generated);
    let mut events = vec![event(&chunk(json!({"role": "assistant", "content": ""}), Value::Null), 0)];
    for at in 0..answer.visible {
        let text = if at == 0 { word(at).to_owned() } else { format!(" {}", word(at)) };
        events.push(event(&chunk(json!({"content": text}), Value::Null), at + 1));
    }
    let mut end = chunk(json!({"content": ""}), if answer.capped { "length" } else { "stop" }.into());
    let usage = answer.usage;
    if !answer.omit_usage {
        end["usage"] = json!({
            "prompt_tokens": usage.input, "total_tokens": usage.input + usage.output,
            "completion_tokens": usage.output,
        });
    }
    events.push(event(&end, usage.output));
    events.push(Event::new("data: [DONE]\n\n".to_owned(), usage.output));
    events
}

/// An error of the given status.
pub(super) fn error_body(status: u16, message: &str) -> Value {
    let kind = if status == 429 { "rate_limited" } else { "invalid_request_error" };
    json!({"object": "error", "message": message, "type": kind, "param": null, "code": "1500", "raw_status_code": status})
}
