//! `GET /v1/audit`: what operators changed, oldest first, as JSON, JSON lines or CSV.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::responses::ReadRefusals;
use super::{AppState, cursor, entries, problem::Problem, range, usage::page_size};
use crate::store::{RecordKind, TrailEntry, TrailQuery};

const PAGE: usize = 1000;
const PAGE_MAX: usize = 10_000;

/// Carries the cursor of the next page beside what is no JSON document.
const NEXT_CURSOR: HeaderName = HeaderName::from_static("x-next-cursor");

/// What may be asked.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TrailParams {
    /// Only of records of this kind: consumer, quota, switches, memory, token, lease.
    kind: Option<String>,
    /// Only of this record.
    id: Option<String>,
    /// Only by this actor, as token/ID.
    actor: Option<String>,
    /// Only this action.
    action: Option<String>,
    /// First day, as 2026-11-01 in UTC, or first moment, as 2026-11-01T15:00:00Z.
    from: Option<String>,
    /// Last day, included, or the moment at which to end.
    to: Option<String>,
    /// Entries in the page, 1 to 10000. Default: 1000.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// `json` (default), `jsonl` or `csv`.
    format: Option<String>,
}

/// One page of the trail.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TrailPage {
    /// Oldest first.
    pub changes: Vec<TrailEntry>,
    /// Cursor of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Every administrative change: who, when, what, why, from what to what. Each is hashed over the one before. As CSV and
/// JSON lines, the next page's cursor is in the header x-next-cursor.
#[utoipa::path(
    get, path = "/v1/audit", tag = "audit", params(TrailParams), security(("bearer" = [])),
    responses(
        (status = 200, description = "A page of changes", content(
            (TrailPage = "application/json"), (String = "application/jsonl"), (String = "text/csv"),
        )),
        ReadRefusals,
    )
)]
pub(super) async fn trail(
    State(app): State<AppState>,
    params: Result<Query<TrailParams>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(params) = params.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let kind = params.kind.as_deref().map(|name| {
        RecordKind::from_name(name)
            .ok_or_else(|| Problem::bad_request(format!("{name} is no kind of record")))
    });
    let limit = page_size(params.limit, PAGE, PAGE_MAX)?;
    let query = TrailQuery {
        kind: kind.transpose()?,
        id: params.id,
        actor: params.actor,
        action: params.action,
        idempotency_key: None,
        from_ms: range::from_ms(params.from.as_deref())?,
        before_ms: range::before_ms(params.to.as_deref())?,
        after: params.cursor.as_deref().map(cursor::decode).transpose()?.unwrap_or(0),
        limit: limit + 1,
    };
    let mut changes = app.admin.trail(query).await?;
    let more = changes.len() > limit;
    changes.truncate(limit);
    let next = changes.last().filter(|_| more).and_then(|last| cursor::encode(&last.seq));
    let (kind, body) = match params.format.as_deref() {
        None | Some("json") => return Ok(Json(TrailPage { changes, next }).into_response()),
        Some("jsonl") => ("application/jsonl", lines(&changes)),
        Some("csv") => ("text/csv; charset=utf-8; header=present", csv_of(&changes)),
        Some(_) => return Err(Problem::bad_request("format is json, jsonl or csv")),
    };
    let body = body.map_err(|why| {
        tracing::error!(error = %why, "changes could not be written");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "/problems/internal", "The ledger failed", "")
    })?;
    let mut response = ([(header::CONTENT_TYPE, kind)], body).into_response();
    if let Some(next) = next.and_then(|next| next.parse().ok()) {
        response.headers_mut().insert(NEXT_CURSOR, next);
    }
    Ok(response)
}

type Written = Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>>;

fn lines(changes: &[TrailEntry]) -> Written {
    let mut out = Vec::new();
    for change in changes {
        serde_json::to_writer(&mut out, change)?;
        out.push(b'\n');
    }
    Ok(out)
}

/// The columns of the CSV, in order.
const COLUMNS: [&str; 14] = [
    "seq",
    "at_ms",
    "actor",
    "action",
    "kind",
    "id",
    "version",
    "before",
    "after",
    "reason",
    "idempotency_key",
    "request_hash",
    "prev_hash",
    "hash",
];

fn csv_of(changes: &[TrailEntry]) -> Written {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for change in changes {
        writer.write_record([
            change.seq.to_string(),
            change.at_ms.to_string(),
            entries::text(&change.actor),
            change.action.clone(),
            change.kind.as_str().to_owned(),
            entries::text(&change.id),
            change.version.to_string(),
            change.before.to_string(),
            change.after.to_string(),
            entries::text(&change.reason),
            entries::text(&change.idempotency_key),
            change.request_hash.clone(),
            change.prev_hash.clone(),
            change.hash.clone(),
        ])?;
    }
    Ok(writer.into_inner()?)
}
