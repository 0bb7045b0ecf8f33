//! The ways in which every administrative route may refuse, as the document shows them.

#![allow(dead_code, reason = "these types are only described, never made")]

use super::problem::Problem;

/// How a question may be refused.
#[derive(utoipa::IntoResponses)]
pub(super) enum ReadRefusals {
    /// A parameter is wrong.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(Problem),
    /// No or another token.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Problem),
    /// Not this token's right.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// There is nothing under this address.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// The name in the address is none.
    #[response(status = 422, content_type = "application/problem+json")]
    Refused(Problem),
    /// Try again.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

/// How a decision may be refused. Nothing of it was applied.
#[derive(utoipa::IntoResponses)]
pub(super) enum WriteRefusals {
    /// The request can't be understood.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(Problem),
    /// No or another token.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Problem),
    /// Not this token's right.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// There is nothing under this address.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// The idempotency key was used for another request, or others change the record too.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// The record has another version than if-match says.
    #[response(status = 412, content_type = "application/problem+json")]
    Stale(Problem),
    /// The body is larger than 64 KiB.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// A field is wrong.
    #[response(status = 422, content_type = "application/problem+json")]
    Refused(Problem),
    /// Try again.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}
