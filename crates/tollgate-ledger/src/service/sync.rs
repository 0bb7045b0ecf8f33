//! `POST /v1/sync`: tallies in, once; slices of global quotas, parts of global rates and opening balances out.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use serde::Deserialize;
use tollgate_wire::{
    LeaseGrant, OpeningPage, OpeningRequest, PROTOCOL_VERSION, SYNC_BODY_BYTES_MAX, ShareAsk, ShareGrant,
    SyncRequest, SyncResponse,
};

use super::metrics::SyncResult;
use super::{AppState, cursor, decisions, openapi, problem::Problem, quotas, validate};
use crate::calendar::Month;
use crate::store::{Batch, Ingested, Opening, OpeningCursor, OpeningQuery, StoreError};

/// Balances in a page: some 100 KiB, which a worker takes in without a pause that requests would notice.
const OPENING_PAGE: usize = 500;

/// Entries that are read for a page: a tenth of a second.
const OPENING_ENTRIES: u64 = 20_000;

/// Enters a worker's batch once, however often it is sent, and gives a restarted node its balances back.
#[utoipa::path(
    post, path = "/v1/sync", tag = "sync", security(("bearer" = [])),
    request_body = openapi::SyncRequestDoc,
    responses(
        (status = 200, description = "The batch is durable, now or already", body = openapi::SyncResponseDoc),
        (status = 400, description = "Not a request of this version", body = Problem),
        (status = 401, description = "No or another token", body = Problem),
        (status = 403, description = "No token is configured", body = Problem),
        (status = 409, description = "The number was used for another batch; nothing was applied", body = Problem),
        (status = 413, description = "Larger than 256 KiB", body = Problem),
        (status = 422, description = "A tally can't be entered; nothing was applied", body = Problem),
        (status = 503, description = "Nothing was applied; try again", body = Problem),
    )
)]
pub(super) async fn sync(
    State(app): State<AppState>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<SyncResponse>, Problem> {
    let now_ms = app.clock.now_ms();
    let oldest_kept = Month::of(now_ms).back(app.retention_months);
    let request = parse(body).and_then(|request| {
        validate::check(&request, now_ms, oldest_kept)?;
        let after = request.opening.as_ref().and_then(|opening| opening.after.as_deref());
        Ok((after.map(cursor::decode::<OpeningCursor>).transpose()?, request))
    });
    let (after, mut request) = request.inspect_err(|problem| {
        tracing::warn!(status = problem.status, detail = problem.detail, "a sync was refused");
        app.metrics.sync(SyncResult::Rejected);
    })?;
    let opening = request.opening.take().map(|opening| opening_query(opening, after, &request));
    let acked_seq = request.seq;
    quotas::overrule(&app, &mut request.leases).await?;
    let known_revision = request.known_revision;
    let shares = std::mem::take(&mut request.shares);
    // Whoever only asks what was decided, or for its part of a rate, is not worth an entry.
    let only_asks = (known_revision.is_some() || !shares.is_empty())
        && acked_seq == 0
        && request.leases.is_empty()
        && opening.is_none();
    let leases = if only_asks { Vec::new() } else { enter(&app, request, now_ms).await? };
    let opening = match opening {
        Some(query) => Some(open(&app, query).await?),
        None => None,
    };
    let shares = if shares.is_empty() { Vec::new() } else { divide(&app, shares, now_ms).await? };
    let decisions = match known_revision {
        Some(known) => decisions::since(&app, known).await?,
        None => None,
    };
    Ok(Json(SyncResponse { version: PROTOCOL_VERSION, acked_seq, opening, leases, shares, decisions }))
}

/// Reads the body. A sender of another version is told so before its fields are found strange.
fn parse(body: Result<Bytes, BytesRejection>) -> Result<SyncRequest, Problem> {
    #[derive(Deserialize)]
    struct Version {
        version: u64,
    }
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "/problems/too-large",
            "The request is too large",
            format!("a sync is at most {SYNC_BODY_BYTES_MAX} bytes"),
        ),
        _ => Problem::bad_request("the body could not be read"),
    })?;
    let request = match serde_json::from_slice::<SyncRequest>(&body) {
        Ok(request) => request,
        Err(why) => {
            return Err(match serde_json::from_slice::<Version>(&body) {
                Ok(Version { version }) if version != u64::from(PROTOCOL_VERSION) => {
                    validate::version_problem(version)
                }
                _ => Problem::bad_request(format!("not a sync: {why}")),
            });
        }
    };
    match request.version {
        PROTOCOL_VERSION => Ok(request),
        other => Err(validate::version_problem(other.into())),
    }
}

fn opening_query(
    opening: OpeningRequest,
    after: Option<OpeningCursor>,
    request: &SyncRequest,
) -> OpeningQuery {
    OpeningQuery {
        node: request.node.clone(),
        process: request.process.clone(),
        windows: opening.windows,
        after,
        limit: OPENING_PAGE,
        entries: OPENING_ENTRIES,
    }
}

/// Enters the batch and takes the leases' steps in a task of its own: a client that goes away can't leave it half done.
async fn enter(app: &AppState, request: SyncRequest, now_ms: u64) -> Result<Vec<LeaseGrant>, Problem> {
    let batch = Batch {
        process: request.process,
        worker: request.worker,
        node: request.node,
        seq: request.seq,
        received_ms: now_ms,
        tallies: request.tallies,
    };
    let asks = request.leases;
    let (worker, seq, opening) = (batch.worker.clone(), batch.seq, batch.seq == 0);
    let (store, metrics) = (app.store.clone(), app.metrics.clone());
    let task = tokio::spawn(async move {
        let tallies = batch.tallies.len();
        let timer = metrics.commit_timer();
        let outcome = store.sync(batch, asks).await;
        match outcome.as_ref().map(|synced| &synced.outcome) {
            Ok(Ingested::Applied(applied)) => {
                timer.observe();
                metrics.applied(tallies, applied, opening);
                for alert in &applied.alerts {
                    tracing::warn!(consumer = alert.consumer, rule = alert.rule, "alert");
                }
            }
            Ok(Ingested::Repeated) => metrics.sync(SyncResult::Repeated),
            Ok(Ingested::Conflict) => metrics.sync(SyncResult::Conflict),
            Err(StoreError::Retired { .. }) => metrics.sync(SyncResult::Rejected),
            Err(_) => metrics.sync(SyncResult::Unavailable),
        }
        outcome
    });
    let synced = task.await.unwrap_or(Err(StoreError::Closed))?;
    match synced.outcome {
        Ingested::Applied(_) | Ingested::Repeated => Ok(synced.grants),
        Ingested::Conflict => {
            tracing::error!(worker, seq, "another batch came under a number that was used");
            Err(Problem::new(
                StatusCode::CONFLICT,
                "/problems/conflict",
                "The number was used for another batch",
                format!("batch {seq} of worker {worker} is entered with other tallies; nothing was applied"),
            ))
        }
    }
}

/// Divides rates in a task of its own, as [`enter`] does.
async fn divide(app: &AppState, asks: Vec<ShareAsk>, now_ms: u64) -> Result<Vec<ShareGrant>, Problem> {
    let store = app.store.clone();
    let task = tokio::spawn(async move { store.shares(asks, now_ms).await });
    Ok(task.await.unwrap_or(Err(StoreError::Closed))?)
}

async fn open(app: &AppState, query: OpeningQuery) -> Result<OpeningPage, Problem> {
    let Opening { balances, next } = app.store.opening(query).await?;
    Ok(OpeningPage { balances, next: next.as_ref().and_then(cursor::encode) })
}
