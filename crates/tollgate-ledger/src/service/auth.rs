//! Who asks, and whether they may. A request carries a bearer token: one of those in the database, or the one that the
//! Envoys share and the service was started with, which may send tallies and nothing else. Without any the API is
//! closed, because a ledger that anybody can write to is worse than none.
//!
//! It runs before a body is read. A token is in a header only: addresses end in logs.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{AppState, problem::Problem};
use crate::admin::{self, Right, Role, TokenRecord};
use crate::store::{RecordKind, RecordsQuery};

/// The token that the Envoys share, as its hash.
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

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Principal {
    /// What they may do.
    pub role: Role,
    /// How the trail names them.
    pub actor: String,
    /// The consumer they are, for [`Role::Own`].
    pub consumer: Option<String>,
}

/// Lets a request pass whose token includes the right.
pub(super) async fn require(
    State((app, right)): State<(AppState, Right)>,
    mut request: Request,
    next: Next,
) -> Response {
    match identify(&app, request.headers()).await {
        Ok(principal) if principal.role.may(right) => {
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Ok(principal) => {
            let detail = format!("a token of role {} may not do this", principal.role.as_str());
            Problem::new(StatusCode::FORBIDDEN, "/problems/forbidden", "This is not yours to do", detail)
                .into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

async fn identify(app: &AppState, headers: &HeaderMap) -> Result<Principal, Problem> {
    let clear = bearer(headers).unwrap_or_default();
    if app.token.as_ref().is_some_and(|token| token.admits(clear)) {
        return Ok(Principal { role: Role::Filter, actor: "filter".into(), consumer: None });
    }
    if let Some((id, secret)) = admin::parts_of(clear)
        && let Some(token) = admin::read::<TokenRecord>(&*app.admin, id).await?
        && token.doc.admits(secret, app.clock.now_ms())
    {
        let TokenRecord { role, consumer, .. } = token.doc;
        return Ok(Principal { role, actor: format!("token/{id}"), consumer });
    }
    if app.token.is_none() && app.admin.records(RecordsQuery::all(RecordKind::Token, 1)).await?.is_empty() {
        let detail = "there is no token yet: make one with `tollgate token create` on the database";
        return Err(Problem::new(StatusCode::FORBIDDEN, "/problems/closed", "The API is closed", detail));
    }
    app.metrics.unauthorized();
    let detail = "a bearer token is required";
    Err(Problem::new(StatusCode::UNAUTHORIZED, "/problems/unauthorized", "Who is asking?", detail))
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
