//! Who may ask. One bearer token, kept as its SHA-256 only and compared in constant time; without one the API is
//! closed, because a ledger that anybody can write to is worse than none.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{AppState, problem::Problem};

/// A bearer token, as its hash.
pub struct Token([u8; 32]);

impl Token {
    /// Hashes a token. Line ends and spaces around it, as files have them, don't count; an empty one is none.
    pub fn new(clear: &str) -> Option<Self> {
        let clear = clear.trim();
        (!clear.is_empty()).then(|| Self(hash(clear)))
    }

    fn admits(&self, clear: &str) -> bool {
        hash(clear).ct_eq(&self.0).into()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Token(..)")
    }
}

fn hash(clear: &str) -> [u8; 32] {
    Sha256::digest(clear.as_bytes()).into()
}

/// Lets a request pass that carries the token. It runs before the body is read.
pub(super) async fn require_token(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let Some(token) = &app.token else {
        let detail = "no token is configured";
        return Problem::new(StatusCode::FORBIDDEN, "/problems/closed", "The API is closed", detail)
            .into_response();
    };
    if bearer(request.headers()).is_some_and(|clear| token.admits(clear)) {
        return next.run(request).await;
    }
    app.metrics.unauthorized();
    let detail = "a bearer token is required";
    Problem::new(StatusCode::UNAUTHORIZED, "/problems/unauthorized", "Who is asking?", detail).into_response()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_read_from_a_file_has_no_line_end() {
        let token = Token::new("secret\n").unwrap();
        assert!(token.admits("secret"));
        assert!(!token.admits("secret\n"));
        assert!(!token.admits("Secret"));
    }

    #[test]
    fn an_empty_token_is_none() {
        assert!(Token::new("").is_none());
        assert!(Token::new(" \n").is_none());
    }

    #[test]
    fn a_token_is_never_shown() {
        assert_eq!(format!("{:?}", Token::new("secret")), "Some(Token(..))");
    }
}
