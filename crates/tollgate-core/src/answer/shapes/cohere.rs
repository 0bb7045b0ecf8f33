//! Cohere: `{"message"}`.

use serde_json::{Value, json};

use super::super::fault::Fault;

pub(super) fn body(fault: &Fault<'_>) -> Value {
    json!({"message": fault.message})
}
