//! What orchestrators and Prometheus ask. Open to all: none of it names a consumer.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;

use super::{AppState, problem::Problem};

/// All is well.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ProbeStatus)]
pub(super) struct Status {
    /// Always `ok`.
    status: &'static str,
}

/// The process is up.
#[utoipa::path(
    get, path = "/healthz", tag = "probes",
    responses((status = 200, description = "It is", body = Status))
)]
pub(super) async fn healthz() -> Json<Status> {
    Json(Status { status: "ok" })
}

/// The database can be written.
#[utoipa::path(
    get, path = "/readyz", tag = "probes",
    responses(
        (status = 200, description = "It can", body = Status),
        (status = 503, description = "It can't", body = Problem),
    )
)]
pub(super) async fn readyz(State(app): State<AppState>) -> Result<Json<Status>, Problem> {
    app.store.ready(app.clock.now_ms()).await?;
    Ok(Json(Status { status: "ok" }))
}

/// Figures for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "probes",
    responses((status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text"))
)]
pub(super) async fn metrics(State(app): State<AppState>) -> impl IntoResponse {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], app.metrics.render())
}
