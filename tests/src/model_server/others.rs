//! Cohere, Ollama, TGI and llama.cpp: bodies in the real shapes.

use serde_json::{Value, json};

use super::answer::{Answer, Event};
use super::prompt::Prompt;
use super::text::{word, words};

fn sse(data: &Value, generated: u64) -> Event {
    Event::new(format!("data: {data}\n\n"), generated)
}

fn cohere_usage(answer: &Answer) -> Value {
    let usage = answer.usage;
    // What the template adds is worked on and not billed.
    json!({
        "billed_units": {"input_tokens": 1.0, "output_tokens": usage.output as f64},
        "tokens": {"input_tokens": (usage.input + usage.cache_read) as f64, "output_tokens": usage.output as f64},
        "cached_tokens": usage.cache_read as f64,
    })
}

/// Cohere: the answer as one JSON object.
pub(super) fn cohere(answer: &Answer) -> Value {
    json!({
        "id": answer.id, "finish_reason": "COMPLETE",
        "message": {"role": "assistant", "content": [{"type": "text", "text": words(answer.visible)}]},
        "usage": cohere_usage(answer),
    })
}

/// Cohere: named events, the usage in the last.
pub(super) fn cohere_events(answer: &Answer) -> Vec<Event> {
    let mut events = Vec::new();
    let mut push = |kind: &str, mut data: Value, generated: u64| {
        data["type"] = kind.into();
        events.push(Event::new(format!("event: {kind}\ndata: {data}\n\n"), generated));
    };
    push(
        "message-start",
        json!({"id": answer.id, "delta": {"message": {"role": "assistant", "content": []}}}),
        0,
    );
    for at in 0..answer.visible {
        let delta =
            json!({"index": 0, "delta": {"message": {"content": {"text": format!("{} ", word(at))}}}});
        push("content-delta", delta, at + 1);
    }
    let end = json!({"delta": {"finish_reason": "COMPLETE", "usage": cohere_usage(answer)}});
    push("message-end", end, answer.usage.output);
    events
}

fn ollama_line(prompt: &Prompt, text: &str) -> Value {
    json!({
        "model": prompt.model, "created_at": "2026-11-22T00:00:00.000000Z",
        "message": {"role": "assistant", "content": text}, "done": false,
    })
}

fn ollama_done(mut line: Value, answer: &Answer) -> Value {
    line["done"] = true.into();
    line["done_reason"] = "stop".into();
    line["prompt_eval_count"] = answer.usage.input.into();
    line["eval_count"] = answer.usage.output.into();
    line
}

/// Ollama: the answer as one JSON object.
pub(super) fn ollama(prompt: &Prompt, answer: &Answer) -> Value {
    ollama_done(ollama_line(prompt, &words(answer.visible)), answer)
}

/// Ollama: one document a line.
pub(super) fn ollama_events(prompt: &Prompt, answer: &Answer) -> Vec<Event> {
    let line = |value: &Value, generated| Event::new(format!("{value}\n"), generated);
    let mut events: Vec<Event> =
        (0..answer.visible).map(|at| line(&ollama_line(prompt, &format!("{} ", word(at))), at + 1)).collect();
    events.push(line(&ollama_done(ollama_line(prompt, ""), answer), answer.usage.output));
    events
}

fn tgi_details(answer: &Answer) -> Value {
    json!({
        "finish_reason": "length", "generated_tokens": answer.usage.output, "seed": null,
        "input_length": answer.usage.input,
    })
}

/// TGI: the answer as one JSON object.
pub(super) fn tgi(answer: &Answer) -> Value {
    json!({"generated_text": words(answer.visible), "details": tgi_details(answer)})
}

/// TGI: one token an event, all of the text in the last.
pub(super) fn tgi_events(answer: &Answer) -> Vec<Event> {
    (0..answer.visible)
        .map(|at| {
            let last = at + 1 == answer.visible;
            let (text, details) = if last {
                (words(answer.visible).into(), tgi_details(answer))
            } else {
                (Value::Null, Value::Null)
            };
            let token =
                json!({"id": at, "text": format!("{} ", word(at)), "logprob": -0.1, "special": false});
            sse(&json!({"index": at + 1, "token": token, "generated_text": text, "details": details}), at + 1)
        })
        .collect()
}

fn llama_end(answer: &Answer, text: &str) -> Value {
    json!({
        "content": text, "stop": true, "tokens_evaluated": answer.usage.input + answer.usage.cache_read,
        "tokens_predicted": answer.usage.output,
        "timings": {"cache_n": answer.usage.cache_read, "prompt_n": answer.usage.input},
    })
}

/// llama.cpp: the answer as one JSON object.
pub(super) fn llama_cpp(answer: &Answer) -> Value {
    llama_end(answer, &words(answer.visible))
}

/// llama.cpp: one token an event, the counters in the last.
pub(super) fn llama_cpp_events(answer: &Answer) -> Vec<Event> {
    let mut events: Vec<Event> = (0..answer.visible)
        .map(|at| sse(&json!({"index": 0, "content": format!("{} ", word(at)), "stop": false}), at + 1))
        .collect();
    events.push(sse(&llama_end(answer, ""), answer.usage.output));
    events
}
