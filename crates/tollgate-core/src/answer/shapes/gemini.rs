//! Google: `{"error": {"code", "message", "status", "details"}}`, with the status names of google.rpc.Code and, in
//! `details`, QuotaFailure and RetryInfo (google/rpc/error_details.proto).

use serde_json::{Value, json};

use super::super::fault::{Class, Fault};
use super::super::retry::Again;

pub(super) fn body(fault: &Fault<'_>) -> Value {
    let status = match fault.class {
        Class::RateLimited | Class::QuotaExceeded | Class::TooLarge => "RESOURCE_EXHAUSTED",
        Class::Unauthenticated => "UNAUTHENTICATED",
        Class::Suspended | Class::NotEntitled => "PERMISSION_DENIED",
        Class::UnknownModel | Class::BodyTooLarge => "INVALID_ARGUMENT",
        Class::Unavailable => "UNAVAILABLE",
    };
    let details: Vec<Value> = [quota_failure(fault), retry_info(fault)].into_iter().flatten().collect();
    json!({"error": {
        "code": fault.class.status(), "message": fault.message, "status": status, "details": details,
    }})
}

fn quota_failure(fault: &Fault<'_>) -> Option<Value> {
    let limit = fault.limit?;
    Some(json!({
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{
            "quotaMetric": format!("tollgate/{}", limit.meter.unit()),
            "quotaId": limit.name,
            "quotaDimensions": {"model": fault.model},
            "quotaValue": fault.most.to_string(),
        }],
    }))
}

/// Only where waiting is worth it.
fn retry_info(fault: &Fault<'_>) -> Option<Value> {
    let Again::Soon { ms } = fault.again else { return None };
    Some(json!({
        "@type": "type.googleapis.com/google.rpc.RetryInfo",
        "retryDelay": format!("{}.{:03}s", ms / 1000, ms % 1000),
    }))
}
