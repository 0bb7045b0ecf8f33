//! OpenAI: `{"error": {"message", "type", "param", "code"}}`. Its clients read `code`, `param` and `type` of `error`.
//!
//! Types and codes are those that OpenAI was seen to send: `requests` or `tokens` with `rate_limit_exceeded` for a rate,
//! `insufficient_quota` for both when a budget is spent.

use serde_json::{Value, json};

use super::super::fault::{Class, Fault};

pub(super) fn body(fault: &Fault<'_>) -> Value {
    let metered = if fault.counts_requests() { "requests" } else { "tokens" };
    let (kind, code) = match fault.class {
        Class::RateLimited | Class::TooLarge => (metered, "rate_limit_exceeded"),
        Class::QuotaExceeded => ("insufficient_quota", "insufficient_quota"),
        Class::Unauthenticated => ("invalid_request_error", "invalid_api_key"),
        Class::Suspended => ("request_forbidden", "account_suspended"),
        Class::NotEntitled => ("request_forbidden", "not_entitled"),
        Class::UnknownModel => ("invalid_request_error", "model_not_found"),
        Class::BodyTooLarge => ("invalid_request_error", "request_too_large"),
        Class::Unavailable => ("server_error", "unavailable"),
    };
    json!({"error": {"message": fault.message, "type": kind, "param": null, "code": code}})
}
