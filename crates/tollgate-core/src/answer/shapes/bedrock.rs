//! AWS: `{"message"}`, and the exception's name in `x-amzn-errortype`, without which boto3 knows only that something
//! went wrong.
//!
//! botocore tries any 429 twice more, within seconds unless it is told to wait longer. A ServiceQuotaExceededException
//! tells the caller that more tries are in vain.

use serde_json::{Value, json};

use super::super::fault::{Class, Fault};

pub(super) const fn kind(class: Class) -> &'static str {
    match class {
        Class::RateLimited => "ThrottlingException",
        Class::QuotaExceeded | Class::TooLarge => "ServiceQuotaExceededException",
        Class::Unauthenticated | Class::Suspended | Class::NotEntitled => "AccessDeniedException",
        Class::UnknownModel | Class::BodyTooLarge => "ValidationException",
        Class::Unavailable => "ServiceUnavailableException",
    }
}

pub(super) fn body(fault: &Fault<'_>) -> Value {
    json!({"message": fault.message})
}
