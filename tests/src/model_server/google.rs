//! Gemini's content: bodies in the real shapes.

use serde_json::{Value, json};

use super::answer::{Answer, Event};
use super::prompt::Prompt;
use super::text::{word, words};

fn usage_json(answer: &Answer, visible: u64) -> Value {
    let usage = answer.usage;
    let prompt = usage.input + usage.cache_read;
    json!({
        "promptTokenCount": prompt, "cachedContentTokenCount": usage.cache_read,
        "candidatesTokenCount": visible, "thoughtsTokenCount": usage.reasoning,
        "totalTokenCount": prompt + visible + usage.reasoning,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
    })
}

fn content(prompt: &Prompt, answer: &Answer, text: &str, finish: Option<&str>, visible: u64) -> Value {
    let mut candidate = json!({"content": {"parts": [{"text": text}], "role": "model"}, "index": 0});
    if let Some(finish) = finish {
        candidate["finishReason"] = finish.into();
    }
    json!({
        "candidates": [candidate], "usageMetadata": usage_json(answer, visible),
        "modelVersion": prompt.model, "responseId": answer.id,
    })
}

/// The answer as one JSON object.
pub(super) fn json_body(prompt: &Prompt, answer: &Answer) -> Value {
    content(prompt, answer, &words(answer.visible), Some("STOP"), answer.visible)
}

/// The answer in parts of one word, with running totals: as events, or as the elements of one array.
pub(super) fn events(prompt: &Prompt, answer: &Answer, array: bool) -> Vec<Event> {
    let last = answer.visible.saturating_sub(1);
    (0..answer.visible)
        .map(|at| {
            let finish = (at == last).then_some("STOP");
            let part = content(prompt, answer, &format!("{} ", word(at)), finish, at + 1);
            let text = match (array, at) {
                (false, _) => format!("data: {part}\r\n\r\n"),
                (true, 0) => format!("[{part}"),
                (true, _) => format!("\n,\r\n{part}"),
            };
            let close = if array && at == last { "\n]\n" } else { "" };
            Event::new(text + close, answer.usage.reasoning + at + 1)
        })
        .collect()
}
