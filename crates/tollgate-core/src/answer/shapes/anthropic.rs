//! Anthropic: `{"type": "error", "error": {"type", "message"}}`, with a status of its own for overload.

use serde_json::{Value, json};

use super::super::fault::{Class, Fault};

/// The status Anthropic answers with when it is overloaded.
const OVERLOADED: u16 = 529;

pub(super) const fn status(class: Class) -> u16 {
    match class {
        Class::Unavailable => OVERLOADED,
        _ => class.status(),
    }
}

pub(super) fn body(fault: &Fault<'_>) -> Value {
    let kind = match fault.class {
        Class::RateLimited | Class::QuotaExceeded | Class::TooLarge => "rate_limit_error",
        Class::Unauthenticated => "authentication_error",
        Class::Suspended | Class::NotEntitled => "permission_error",
        Class::UnknownModel => "invalid_request_error",
        Class::BodyTooLarge => "request_too_large",
        Class::Unavailable => "overloaded_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": fault.message}})
}
