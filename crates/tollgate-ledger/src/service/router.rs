//! All routes, as a function: tests and `main` build the same app. Routes and their documentation are registered in
//! one step, so that neither is there without the other.

use axum::Json;
use axum::extract::{DefaultBodyLimit, State};
use axum::middleware;
use axum::routing::Router;
use tollgate_wire::SYNC_BODY_BYTES_MAX;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asking::BODY_BYTES_MAX;
use super::{
    AppState, auth, check, consumers, entries, leases, metrics, openapi, probes, problem::Problem, quotas,
    statistics, switches, sync, tiers, tokens, trail, usage,
};
use crate::admin::Right;

/// The app over some state.
pub fn router(state: AppState) -> Router {
    let (router, mut document) = documented(&state).split_for_parts();
    openapi::open_parts(&mut document);
    router
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(DefaultBodyLimit::max(SYNC_BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(state.clone(), metrics::measure))
        .layer(axum::Extension(std::sync::Arc::new(document)))
        .with_state(state)
}

fn documented(state: &AppState) -> OpenApiRouter<AppState> {
    let only = |right: Right, routes: OpenApiRouter<AppState>| {
        routes.route_layer(middleware::from_fn_with_state((state.clone(), right), auth::require))
    };
    let sync = OpenApiRouter::new().routes(routes!(sync::sync));
    let own = OpenApiRouter::new().routes(routes!(check::own));
    let read = OpenApiRouter::new()
        .routes(routes!(usage::usage))
        .routes(routes!(entries::entries))
        .routes(routes!(consumers::list))
        .routes(routes!(consumers::get))
        .routes(routes!(quotas::list))
        .routes(routes!(quotas::get))
        .routes(routes!(leases::list))
        .routes(routes!(check::check))
        .routes(routes!(switches::get))
        .routes(routes!(switches::list_memory))
        .routes(routes!(statistics::statistics))
        .routes(routes!(tiers::tiers))
        .routes(routes!(trail::trail))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let operate = OpenApiRouter::new()
        .routes(routes!(consumers::put))
        .routes(routes!(consumers::decide))
        .routes(routes!(quotas::put))
        .routes(routes!(quotas::change_balance))
        .routes(routes!(quotas::remove))
        .routes(routes!(leases::write_off))
        .routes(routes!(switches::put))
        .routes(routes!(switches::reset_bursts))
        .routes(routes!(switches::put_memory))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let administer = OpenApiRouter::new()
        .routes(routes!(tokens::create, tokens::list))
        .routes(routes!(tokens::revoke))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    OpenApiRouter::with_openapi(openapi::Document::openapi())
        .merge(only(Right::Sync, sync))
        .merge(only(Right::Own, own))
        .merge(only(Right::Read, read))
        .merge(only(Right::Operate, operate))
        .merge(only(Right::Administer, administer))
        .routes(routes!(probes::healthz))
        .routes(routes!(probes::readyz))
        .routes(routes!(probes::metrics))
        .routes(routes!(document))
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "probes",
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
async fn document(
    State(_): State<AppState>,
    axum::Extension(document): axum::Extension<std::sync::Arc<utoipa::openapi::OpenApi>>,
) -> Json<utoipa::openapi::OpenApi> {
    Json(document.as_ref().clone())
}
