//! Answers that say what is wrong, as RFC 9457 problem documents.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::store::StoreError;

/// A problem document. `type` is a relative reference that names the kind; `detail` is for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// Names the kind of problem.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The kind in words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// This occurrence in words.
    pub detail: String,
    /// Index of the tally that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// The field that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'static str>,
}

impl Problem {
    /// A problem of a kind.
    pub fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self { kind, title, status: status.as_u16(), detail: detail.into(), index: None, field: None }
    }

    /// The request can't be understood.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "/problems/bad-request", "The request can't be understood", detail)
    }

    /// The request is understood, and one of its fields is wrong.
    pub fn refused(field: &'static str, problem: impl std::fmt::Display) -> Self {
        let detail = format!("{field} {problem}");
        let title = "A field is wrong";
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "/problems/refused", title, detail);
        Self { field: Some(field), ..problem }
    }

    /// There is nothing under this address.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "/problems/not-found", "There is nothing here", "See /openapi.json.")
    }

    /// Something under this address takes other methods.
    pub fn method_not_allowed() -> Self {
        let detail = "See /openapi.json.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "/problems/method", "This method is not taken here", detail)
    }
}

impl From<StoreError> for Problem {
    /// What an engine could not do is either the ledger's trouble, which passes, or the batch's, which does not.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Retired { .. } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "/problems/invalid-tally",
                "A tally can't be entered",
                error.to_string(),
            ),
            StoreError::Busy | StoreError::Closed => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "/problems/unavailable",
                "The ledger can't do this now",
                error.to_string(),
            ),
            other => {
                tracing::error!(error = &other as &dyn std::error::Error, "the store failed");
                let detail = "Nothing was applied; try again.";
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "/problems/unavailable",
                    "The ledger can't do this now",
                    detail,
                )
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match status {
            StatusCode::UNAUTHORIZED => {
                headers
                    .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tollgate\""));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}
