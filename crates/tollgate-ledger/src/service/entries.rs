//! `GET /v1/entries`: the audit trail, oldest first, as JSON or CSV.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{AppState, cursor, openapi, problem::Problem, range, usage::page_size};
use crate::store::{Dimension, EntriesQuery, Entry};

const PAGE: usize = 1000;
const PAGE_MAX: usize = 10_000;

/// Carries the cursor of the next page beside a CSV.
const NEXT_CURSOR: HeaderName = HeaderName::from_static("x-next-cursor");

/// What may be asked.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EntriesParams {
    /// Only this consumer's.
    consumer: Option<String>,
    /// Only this team's.
    team: Option<String>,
    /// Only this project's.
    project: Option<String>,
    /// Only this tier.
    tier: Option<String>,
    /// Only this provider.
    provider: Option<String>,
    /// Only this model.
    model: Option<String>,
    /// Only this action.
    action: Option<String>,
    /// Only this workflow.
    workflow: Option<String>,
    /// Only this tool.
    tool: Option<String>,
    /// Only this interface.
    interface: Option<String>,
    /// Only this region.
    region: Option<String>,
    /// First day, as 2026-11-01 in UTC, or first moment, as 2026-11-01T15:00:00Z.
    from: Option<String>,
    /// Last day, included, or the moment at which to end.
    to: Option<String>,
    /// Entries in the page, 1 to 10000. Default: 1000.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// `json` (default) or `csv`.
    format: Option<String>,
}

/// One page of the audit trail.
#[derive(Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EntriesPage {
    /// Oldest first.
    #[schema(value_type = Vec<openapi::EntryDoc>)]
    pub entries: Vec<Entry>,
    /// Cursor of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The audit trail: every transaction, oldest first. As CSV, the next page's cursor is in the header x-next-cursor.
#[utoipa::path(
    get, path = "/v1/entries", tag = "reports", params(EntriesParams), security(("bearer" = [])),
    responses(
        (status = 200, description = "A page of entries", content(
            (EntriesPage = "application/json"), (String = "text/csv"),
        )),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 401, description = "No or another token", body = Problem),
        (status = 403, description = "No token is configured", body = Problem),
        (status = 503, description = "Try again", body = Problem),
    )
)]
pub(super) async fn entries(
    State(app): State<AppState>,
    params: Result<Query<EntriesParams>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(params) = params.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let csv = match params.format.as_deref() {
        None | Some("json") => false,
        Some("csv") => true,
        Some(_) => return Err(Problem::bad_request("format is json or csv")),
    };
    let limit = page_size(params.limit, PAGE, PAGE_MAX)?;
    let equals = [
        (Dimension::Consumer, params.consumer),
        (Dimension::Team, params.team),
        (Dimension::Project, params.project),
        (Dimension::Tier, params.tier),
        (Dimension::Provider, params.provider),
        (Dimension::Model, params.model),
        (Dimension::Action, params.action),
        (Dimension::Workflow, params.workflow),
        (Dimension::Tool, params.tool),
        (Dimension::Interface, params.interface),
    ];
    let query = EntriesQuery {
        equals: equals.into_iter().filter_map(|(dimension, value)| Some((dimension, value?))).collect(),
        region: params.region,
        from_ms: range::from_ms(params.from.as_deref())?,
        before_ms: range::before_ms(params.to.as_deref())?,
        after: params.cursor.as_deref().map(cursor::decode).transpose()?,
        limit: limit + 1,
    };
    let mut entries = app.store.entries(query).await?;
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| more).and_then(|last| cursor::encode(&last.cursor()));
    if csv { as_csv(&entries, next) } else { Ok(Json(EntriesPage { entries, next }).into_response()) }
}

fn as_csv(entries: &[Entry], next: Option<String>) -> Result<Response, Problem> {
    let body = write_csv(entries).map_err(|why| {
        tracing::error!(error = %why, "entries could not be written as CSV");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "/problems/internal", "The ledger failed", "")
    })?;
    let mut response =
        ([(header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present")], body).into_response();
    if let Some(next) = next.and_then(|next| next.parse().ok()) {
        response.headers_mut().insert(NEXT_CURSOR, next);
    }
    Ok(response)
}

/// The columns of the CSV, in order.
pub const CSV_COLUMNS: [&str; 34] = [
    "id",
    "at_ms",
    "consumer",
    "team",
    "project",
    "tier",
    "route",
    "policy",
    "action",
    "workflow",
    "provider",
    "model",
    "tool",
    "interface",
    "region",
    "status",
    "outcome",
    "refused_by",
    "requests",
    "input",
    "cache_read",
    "cache_write",
    "output",
    "reasoning",
    "cost_nusd",
    "credits",
    "price_version",
    "unknown_price",
    "exempt",
    "warnings",
    "process",
    "worker",
    "node",
    "seq",
];

fn write_csv(entries: &[Entry]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(CSV_COLUMNS)?;
    for entry in entries {
        writer.write_record(record(entry))?;
    }
    Ok(writer.into_inner()?)
}

fn record(entry: &Entry) -> [String; 34] {
    let tally = &entry.tally;
    let warnings: Vec<String> =
        tally.warnings.iter().map(|warning| format!("{}:{}", warning.limit, warning.percent)).collect();
    [
        tally.id.clone(),
        tally.at_ms.to_string(),
        text(&tally.consumer),
        text(&tally.team),
        text(&tally.project),
        text(&tally.tier),
        text(&tally.route),
        text(&tally.policy),
        text(&tally.action),
        text(&tally.workflow),
        text(&tally.provider),
        text(&tally.model),
        text(&tally.tool),
        text(&tally.interface),
        text(&tally.region),
        tally.status.to_string(),
        tally.outcome.as_str().to_owned(),
        text(&tally.refused_by),
        tally.requests.to_string(),
        tally.input.0.to_string(),
        tally.cache_read.0.to_string(),
        tally.cache_write.0.to_string(),
        tally.output.0.to_string(),
        tally.reasoning.0.to_string(),
        tally.cost_nusd.0.to_string(),
        tally.credits.0.to_string(),
        tally.price_version.to_string(),
        u8::from(tally.unknown_price).to_string(),
        u8::from(tally.exempt).to_string(),
        text(&warnings.join(" ")),
        text(&entry.process),
        text(&entry.worker),
        text(&entry.node),
        entry.seq.to_string(),
    ]
}

/// Names come from clients. A spreadsheet runs what starts like a formula, so such a text is led by an apostrophe.
pub(super) fn text(name: &str) -> String {
    if name.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{name}") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spreadsheet_has_nothing_to_run() {
        assert_eq!(text("=1+1"), "'=1+1");
        assert_eq!(text("gpt-5"), "gpt-5");
    }

    #[test]
    fn a_csv_has_a_column_for_every_field_of_an_entry() {
        let entry = Entry { seq: 3, ..Entry::default() };
        let csv = String::from_utf8(write_csv(&[entry]).unwrap()).unwrap();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines[0], CSV_COLUMNS.join(","));
        assert!(lines[1].ends_with(",3"), "{}", lines[1]);
    }
}
