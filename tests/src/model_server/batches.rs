//! Anthropic's batches of messages: requests whose answers are made later and fetched from a file.

use serde_json::{Value, json};

use super::endpoint::{Dialect, Endpoint};
use super::knobs::Knobs;
use super::prompt::Prompt;
use super::served::ModelUsage;

/// What is answered at once, and what all requests of the batch will have cost when they are done.
pub(super) fn create(body: &Value, knobs: &Knobs, number: u64) -> Result<(Value, ModelUsage), String> {
    let requests = body["requests"].as_array().ok_or("requests: Field required")?;
    let mut usage = ModelUsage::default();
    let message = Endpoint { dialect: Dialect::Anthropic, model: None, stream: None, array: false };
    for request in requests {
        let prompt = Prompt::of(&message, &request["params"])?;
        usage.input += prompt.tokens;
        usage.output += knobs.output_tokens.min(prompt.output_cap.unwrap_or(u64::MAX));
    }
    Ok((batch(&format!("msgbatch_{number:08}"), "in_progress", requests.len()), usage))
}

/// What is answered to who stops a batch.
pub(super) fn cancel(path: &str) -> Value {
    let id = path.rsplit('/').nth(1).unwrap_or_default();
    if path.contains("/messages/") {
        return batch(id, "canceling", 0);
    }
    json!({"id": id, "object": "batch", "endpoint": "/v1/chat/completions", "status": "cancelling"})
}

fn batch(id: &str, status: &str, processing: usize) -> Value {
    json!({
        "id": id, "type": "message_batch", "processing_status": status,
        "request_counts": {"processing": processing, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
        "created_at": "2026-11-22T00:00:00Z", "expires_at": "2026-11-23T00:00:00Z", "ended_at": null,
        "archived_at": null, "cancel_initiated_at": null, "results_url": null,
    })
}
