//! OpenAI's completions, responses and embeddings: bodies in the real shapes.

use serde_json::{Value, json};

use super::answer::{Answer, Event};
use super::openai::usage_json;
use super::prompt::Prompt;
use super::text::{word, words};

/// Completions: the answer as one JSON object.
pub(super) fn completion(prompt: &Prompt, answer: &Answer) -> Value {
    let choice = |index| json!({"index": index, "text": words(answer.visible), "logprobs": null, "finish_reason": "stop"});
    let choices: Vec<Value> = (0..prompt.choices).map(choice).collect();
    json!({
        "id": answer.id, "object": "text_completion", "created": 1_795_305_600, "model": prompt.model,
        "choices": choices, "usage": usage_json(answer.usage),
    })
}

/// Completions: one word a chunk, the usage in a chunk of its own where it is asked for.
pub(super) fn completion_events(prompt: &Prompt, answer: &Answer) -> Vec<Event> {
    let mut events = Vec::new();
    let mut push = |choices: Value, usage: Value, generated: u64| {
        let mut chunk = json!({
            "id": answer.id, "object": "text_completion", "created": 1_795_305_600, "model": prompt.model,
            "choices": choices,
        });
        if prompt.include_usage {
            chunk["usage"] = usage;
        }
        events.push(Event::new(format!("data: {chunk}\n\n"), generated));
    };
    for at in 0..answer.visible {
        let text = format!(" {}", word(at));
        push(json!([{"index": 0, "text": text, "finish_reason": null}]), Value::Null, at + 1);
    }
    if prompt.include_usage {
        push(json!([]), usage_json(answer.usage), answer.usage.output);
    }
    events.push(Event::new("data: [DONE]\n\n".to_owned(), answer.usage.output));
    events
}

fn responses_usage(answer: &Answer) -> Value {
    let usage = answer.usage;
    let input = usage.input + usage.cache_read + usage.cache_write;
    json!({
        "input_tokens": input,
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": input + usage.output,
    })
}

/// Responses: the answer as one JSON object.
pub(super) fn response(prompt: &Prompt, answer: &Answer) -> Value {
    let text = json!({"type": "output_text", "text": words(answer.visible), "annotations": []});
    json!({
        "id": answer.id, "object": "response", "created_at": 1_795_305_600, "status": "completed",
        "error": null, "model": prompt.model,
        "output": [{"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [text]}],
        "usage": responses_usage(answer),
    })
}

/// Responses: the usage is in the last event, which repeats the whole answer.
pub(super) fn response_events(prompt: &Prompt, answer: &Answer) -> Vec<Event> {
    let mut events = Vec::new();
    let mut push = |kind: &str, mut data: Value, generated: u64| {
        data["type"] = kind.into();
        data["sequence_number"] = events.len().into();
        events.push(Event::new(format!("event: {kind}\ndata: {data}\n\n"), generated));
    };
    let mut started = response(prompt, answer);
    started["status"] = "in_progress".into();
    started["output"] = json!([]);
    started["usage"] = Value::Null;
    push("response.created", json!({"response": started}), 0);
    for at in 0..answer.visible {
        let delta = format!("{} ", word(at));
        push(
            "response.output_text.delta",
            json!({"item_id": "msg_1", "output_index": 0, "delta": delta}),
            at + 1,
        );
    }
    push("response.completed", json!({"response": response(prompt, answer)}), answer.usage.output);
    events
}

/// Embeddings: the usage comes after the vectors.
pub(super) fn embeddings(prompt: &Prompt) -> Value {
    let vector: Vec<f64> = (0..1536).map(|at| f64::from(at) / 1536.0 - 0.5).collect();
    json!({
        "data": [{"embedding": vector, "index": 0, "object": "embedding"}], "model": prompt.model, "object": "list",
        "usage": {"prompt_tokens": prompt.tokens, "total_tokens": prompt.tokens},
    })
}
