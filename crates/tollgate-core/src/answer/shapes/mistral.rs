//! Mistral: `{"object": "error", "message", "type", "param", "code", "raw_status_code"}`. The code 1300 goes with
//! `rate_limited`; those of other errors are not known, and `null`.

use serde_json::{Value, json};

use super::super::fault::{Class, Fault};

pub(super) fn body(fault: &Fault<'_>) -> Value {
    let (kind, code) = match fault.class {
        Class::RateLimited | Class::QuotaExceeded | Class::TooLarge => ("rate_limited", Some("1300")),
        Class::Unauthenticated => ("unauthorized", None),
        Class::Suspended | Class::NotEntitled => ("forbidden", None),
        Class::UnknownModel => ("invalid_model", None),
        Class::BodyTooLarge => ("invalid_request_error", None),
        Class::Unavailable => ("service_unavailable", None),
    };
    json!({
        "object": "error", "message": fault.message, "type": kind, "param": null, "code": code,
        "raw_status_code": fault.class.status(),
    })
}
