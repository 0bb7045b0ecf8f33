//! Ollama: `{"error"}`, which its clients show as it is.

use serde_json::{Value, json};

use super::super::fault::Fault;

pub(super) fn body(fault: &Fault<'_>) -> Value {
    json!({"error": fault.message})
}
