//! What every administrative request carries beside its body: who decides, the version decided upon (`If-Match`) and
//! the key under which it is done once (`Idempotency-Key`).

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::auth::Principal;
use super::{AppState, problem::Problem};
use crate::admin::{Asked, DecideError, Versioned};

/// Largest body of an administrative request in bytes: a consumer with all its overrides is a tenth of it.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// Longest idempotency key in bytes: a UUID has 36.
pub(super) const KEY_BYTES_MAX: usize = 128;

/// Longest reason in bytes: it is told to the consumer, and a page of text is none.
pub(super) const REASON_BYTES_MAX: usize = 512;

/// Longest name of a record in bytes, as long as the filter reads a consumer's.
pub(super) const ID_BYTES_MAX: usize = 256;

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Who decides, and under what conditions.
pub(super) struct Asking(pub(super) Asked);

impl Asking {
    /// With a reason.
    pub(super) fn because(self, reason: &str) -> Result<Asked, Problem> {
        if reason.len() > REASON_BYTES_MAX || reason.contains('\0') {
            let detail = format!("is at most {REASON_BYTES_MAX} bytes, without NUL");
            return Err(Problem::refused("reason", detail));
        }
        Ok(Asked { reason: reason.to_owned(), ..self.0 })
    }
}

impl FromRequestParts<AppState> for Asking {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        let principal = parts.extensions.get::<Principal>().ok_or_else(Problem::not_found)?;
        let idempotency_key = text(&parts.headers, IDEMPOTENCY_KEY)?.unwrap_or_default();
        if idempotency_key.len() > KEY_BYTES_MAX {
            return Err(Problem::bad_request(format!("idempotency-key is at most {KEY_BYTES_MAX} bytes")));
        }
        let expected = text(&parts.headers, header::IF_MATCH.as_str())?
            .map(|tag| {
                tag.trim_matches('"')
                    .parse::<u64>()
                    .map_err(|_| Problem::bad_request("if-match is a version, as \"3\"; \"0\" for none yet"))
            })
            .transpose()?;
        Ok(Self(Asked {
            actor: principal.actor.clone(),
            idempotency_key: idempotency_key.to_owned(),
            expected,
            reason: String::new(),
            now_ms: app.clock.now_ms(),
        }))
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    value.to_str().map(Some).map_err(|_| Problem::bad_request(format!("{name} is visible ASCII")))
}

/// A JSON body, unknown fields refused.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<AppState> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &AppState) -> Result<Self, Problem> {
        let bytes =
            Bytes::from_request(request, app).await.map_err(|rejection| match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => too_large(),
                _ => Problem::bad_request("the body could not be read"),
            })?;
        // What is left out is read as an empty object: most decisions need nothing but their address.
        let bytes = if bytes.is_empty() { b"{}".as_slice() } else { &bytes };
        serde_json::from_slice(bytes)
            .map(Self)
            .map_err(|why| Problem::bad_request(format!("the body: {why}")))
    }
}

fn too_large() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "/problems/too-large",
        "The request is too large",
        format!("a body is at most {BODY_BYTES_MAX} bytes"),
    )
}

/// The name of a record, as the address has it.
pub(super) fn id_of(id: String) -> Result<String, Problem> {
    if id.is_empty() || id.len() > ID_BYTES_MAX || id.contains('\0') {
        return Err(Problem::refused("id", format!("is 1 to {ID_BYTES_MAX} bytes, without NUL")));
    }
    Ok(id)
}

/// A document as it stands, with its version as the entity tag.
pub(super) fn standing<T>(found: &Versioned<T>, body: impl Serialize) -> Response {
    ([(header::ETAG, format!("\"{}\"", found.version))], Json(body)).into_response()
}

impl From<DecideError> for Problem {
    fn from(error: DecideError) -> Self {
        let detail = error.to_string();
        match error {
            DecideError::Refused(refused) => Self::refused(refused.field, refused.problem),
            DecideError::Missing { .. } => {
                Self::new(StatusCode::NOT_FOUND, "/problems/not-found", "There is nothing here", detail)
            }
            DecideError::Stale { .. } => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "/problems/stale",
                "It was changed in the meantime",
                detail,
            ),
            DecideError::KeyReused => {
                Self::new(StatusCode::CONFLICT, "/problems/key-reused", "The key was used before", detail)
            }
            DecideError::Contended => {
                Self::new(StatusCode::CONFLICT, "/problems/contended", "Others change it too", detail)
            }
            DecideError::Unreadable { source, .. } => {
                tracing::error!(error = %source, detail, "a record can't be understood");
                let title = "The ledger failed";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "/problems/internal", title, detail)
            }
            DecideError::Store(error) => error.into(),
        }
    }
}
