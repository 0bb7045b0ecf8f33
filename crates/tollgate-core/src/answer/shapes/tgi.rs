//! Text generation inference: `{"error", "error_type"}`; `overloaded` is the type it sends with a 429.

use serde_json::{Value, json};

use super::super::fault::{Class, Fault};

pub(super) fn body(fault: &Fault<'_>) -> Value {
    let kind = match fault.class {
        Class::RateLimited | Class::QuotaExceeded | Class::Unavailable => "overloaded",
        _ => "validation",
    };
    json!({"error": fault.message, "error_type": kind})
}
