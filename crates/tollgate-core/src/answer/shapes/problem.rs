//! A problem document (RFC 9457), with the types that draft-ietf-httpapi-ratelimit-headers-10 registers.

use serde_json::{Value, json};

use super::super::fault::{Class, Fault};

pub(super) fn body(fault: &Fault<'_>) -> Value {
    let (kind, title) = match fault.class {
        Class::RateLimited | Class::QuotaExceeded | Class::TooLarge => (
            "https://iana.org/assignments/http-problem-types#quota-exceeded",
            "Request cannot be satisfied as assigned quota has been exceeded",
        ),
        Class::Unavailable => (
            "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
            "Request cannot be satisfied due to temporary server capacity constraints",
        ),
        // Without a type of its own the title is the status's phrase.
        Class::Unauthenticated => ("about:blank", "Unauthorized"),
        Class::Suspended | Class::NotEntitled => ("about:blank", "Forbidden"),
        Class::UnknownModel => ("about:blank", "Bad Request"),
        Class::BodyTooLarge => ("about:blank", "Content Too Large"),
    };
    let mut document =
        json!({"type": kind, "title": title, "status": fault.class.status(), "detail": fault.message});
    if let (Some(limit), Some(members)) = (fault.limit, document.as_object_mut()) {
        members.insert("violated-policies".into(), json!([limit.name]));
    }
    document
}
