//! `/v1/tokens`: who may ask the ledger.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::asking::{Asking, Body, ID_BYTES_MAX, id_of};
use super::{AppState, cursor, problem::Problem, usage::page_size};
use crate::admin::{self, Asked, DecideError, Issued, Refused, Role, TOKEN_RANDOM_BYTES, TokenRecord};
use crate::store::{AdminStore, RecordKind, RecordsQuery};

const PAGE: usize = 100;
const PAGE_MAX: usize = 1000;

/// A token to make.
#[derive(Clone, Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenWanted {
    /// What it allows.
    pub role: Role,
    /// The consumer that a token of role `self` is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// What it is for. At most 256 bytes.
    #[serde(default)]
    pub name: String,
    /// When it ends, milliseconds since the epoch; never if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
}

/// A token, all but its secret.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TokenView {
    /// Its id: the part of it that is no secret.
    pub id: String,
    /// What it allows.
    pub role: Role,
    /// The consumer it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// What it is for.
    pub name: String,
    /// When it was made, milliseconds since the epoch.
    pub created_ms: u64,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
}

/// A token that was just made.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NewToken {
    /// The token itself: it is told now and never again.
    pub token: String,
    /// What is known of it.
    #[serde(flatten)]
    pub view: TokenView,
}

/// One page of tokens.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TokensPage {
    /// Ordered by id.
    pub tokens: Vec<TokenView>,
    /// Cursor of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

fn view(id: String, record: TokenRecord) -> TokenView {
    let TokenRecord { role, consumer, name, created_ms, expires_ms, .. } = record;
    TokenView { id, role, consumer, name, created_ms, expires_ms }
}

/// Makes a token. The random bytes come from the operating system.
pub async fn issue(
    store: &dyn AdminStore,
    asked: &Asked,
    wanted: &TokenWanted,
) -> Result<NewToken, DecideError> {
    check(wanted, asked.now_ms)?;
    let mut random = [0; TOKEN_RANDOM_BYTES];
    getrandom::fill(&mut random)
        .map_err(|why| crate::store::StoreError::engine("asking for random bytes")(why.to_string().into()))?;
    let issued = Issued::from_random(random);
    let record = TokenRecord {
        role: wanted.role,
        consumer: wanted.consumer.clone(),
        name: wanted.name.clone(),
        sha256: issued.sha256.clone(),
        created_ms: asked.now_ms,
        expires_ms: wanted.expires_ms,
    };
    let rule = |_: Option<&TokenRecord>| Ok(Some(record.clone()));
    admin::decide(store, asked, &issued.id, "create", wanted, rule).await?;
    Ok(NewToken { token: issued.text, view: view(issued.id, record) })
}

fn check(wanted: &TokenWanted, now_ms: u64) -> Result<(), Refused> {
    let usable = |name: &str| name.len() <= ID_BYTES_MAX && !name.contains('\0');
    match (&wanted.consumer, wanted.role) {
        (None, Role::Own) => {
            return Err(Refused::new("consumer", "is needed: a token of role self is bound to one"));
        }
        (Some(consumer), Role::Own) if consumer.is_empty() || !usable(consumer) => {
            return Err(Refused::new("consumer", format!("is 1 to {ID_BYTES_MAX} bytes, without NUL")));
        }
        (Some(_), role) if role != Role::Own => {
            return Err(Refused::new("consumer", "is for tokens of role self only"));
        }
        _ => {}
    }
    if !usable(&wanted.name) {
        return Err(Refused::new("name", format!("is at most {ID_BYTES_MAX} bytes, without NUL")));
    }
    if wanted.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms) {
        return Err(Refused::new("expires_ms", "is in the past"));
    }
    Ok(())
}

/// Makes a token; it is told in the answer and never again.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "tokens", security(("bearer" = [])), request_body = TokenWanted,
    responses(
        (status = 201, description = "The token", body = NewToken),
        (status = 400, description = "Not such a request", body = Problem),
        (status = 401, description = "No or another token", body = Problem),
        (status = 403, description = "Not this token's right", body = Problem),
        (status = 413, description = "Larger than 64 KiB", body = Problem),
        (status = 422, description = "Nothing was made: a field is wrong", body = Problem),
        (status = 503, description = "Try again", body = Problem),
    )
)]
pub(super) async fn create(
    State(app): State<AppState>,
    asking: Asking,
    Body(wanted): Body<TokenWanted>,
) -> Result<Response, Problem> {
    // A repeated request can't be answered like the first: the token is gone. So each makes its own.
    let asked = Asked { idempotency_key: String::new(), expected: None, ..asking.0 };
    let token = issue(&*app.admin, &asked, &wanted).await?;
    Ok((StatusCode::CREATED, Json(token)).into_response())
}

/// Which page.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageParams {
    /// Rows in the page, 1 to 1000. Default: 100.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// All tokens, without their secrets.
#[utoipa::path(
    get, path = "/v1/tokens", tag = "tokens", params(PageParams), security(("bearer" = [])),
    responses(
        (status = 200, description = "A page of tokens", body = TokensPage),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 401, description = "No or another token", body = Problem),
        (status = 403, description = "Not this token's right", body = Problem),
        (status = 503, description = "Try again", body = Problem),
    )
)]
pub(super) async fn list(
    State(app): State<AppState>,
    params: Result<Query<PageParams>, QueryRejection>,
) -> Result<Json<TokensPage>, Problem> {
    let Query(params) = params.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let limit = page_size(params.limit, PAGE, PAGE_MAX)?;
    let after = params.cursor.as_deref().map(cursor::decode).transpose()?;
    let query = RecordsQuery { after, ..RecordsQuery::all(RecordKind::Token, limit + 1) };
    let mut records = app.admin.records(query).await?;
    let more = records.len() > limit;
    records.truncate(limit);
    let next = records.last().filter(|_| more).and_then(|last| cursor::encode(&last.id));
    let mut tokens = Vec::with_capacity(records.len());
    for record in records {
        if let Some(token) = admin::understand::<TokenRecord>(record)? {
            tokens.push(view(token.id, token.doc));
        }
    }
    Ok(Json(TokensPage { tokens, next }))
}

/// Ends a token at once.
#[utoipa::path(
    delete, path = "/v1/tokens/{id}", tag = "tokens", security(("bearer" = [])),
    params(("id" = String, Path, description = "The token's id")),
    responses(
        (status = 204, description = "It is no more"),
        (status = 401, description = "No or another token", body = Problem),
        (status = 403, description = "Not this token's right", body = Problem),
        (status = 404, description = "There is none of this id", body = Problem),
        (status = 412, description = "It has another version than if-match says", body = Problem),
        (status = 422, description = "The id is none", body = Problem),
        (status = 503, description = "Try again", body = Problem),
    )
)]
pub(super) async fn revoke(
    State(app): State<AppState>,
    Path(id): Path<String>,
    asking: Asking,
) -> Result<StatusCode, Problem> {
    let id = id_of(id)?;
    let rule = |token: Option<&TokenRecord>| match token {
        Some(_) => Ok(None),
        None => Err(DecideError::Missing { kind: RecordKind::Token, id: id.clone() }),
    };
    admin::decide(&*app.admin, &asking.0, &id, "revoke", &(), rule).await?;
    Ok(StatusCode::NO_CONTENT)
}
