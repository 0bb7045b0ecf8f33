//! `/v1/consumers`: who consumers are, and what operators decide about them.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::asking::{Asking, Body, id_of, standing};
use super::responses::{ReadRefusals, WriteRefusals};
use super::{AppState, cursor, problem::Problem, usage::page_size};
use crate::admin::{self, Consumer, DecideError, Decision, Document, LimitOverride, Profile, Versioned};
use crate::store::{RecordKind, RecordsQuery};

const PAGE: usize = 100;
const PAGE_MAX: usize = 1000;

/// A consumer and how it stands.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ConsumerView {
    /// The consumer.
    pub id: String,
    /// 1, 2, 3, ...: how often its record was written. Send it as if-match to decide upon this one and no other.
    pub version: u64,
    /// When it was written last, milliseconds since the epoch.
    pub updated_ms: u64,
    /// Its status now: what has an end may be over.
    pub status_now: admin::Status,
    /// Its tier now; absent where its requests say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier_now: Option<String>,
    /// Limits that are others now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits_now: Vec<LimitOverride>,
    /// No limit applies to it now.
    pub exempt_now: bool,
    /// What was decided.
    #[serde(flatten)]
    pub record: Consumer,
}

/// One page of consumers.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ConsumersPage {
    /// Ordered by id.
    pub consumers: Vec<ConsumerView>,
    /// Cursor of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What is decided, and why.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DecisionWanted {
    /// Why, in words; a suspended consumer is told. At most 512 bytes.
    #[serde(default)]
    pub reason: String,
    /// What is decided.
    #[serde(flatten)]
    pub decision: Decision,
}

pub(super) fn view(found: Versioned<Consumer>, now_ms: u64) -> ConsumerView {
    let Versioned { id, version, updated_ms, doc } = found;
    ConsumerView {
        id,
        version,
        updated_ms,
        status_now: doc.status_at(now_ms),
        tier_now: doc.tier_at(now_ms).map(str::to_owned),
        limits_now: doc.limits_at(now_ms),
        exempt_now: doc.is_exempt_at(now_ms),
        record: doc,
    }
}

/// Which consumers.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ConsumersParams {
    /// Only those given this tier.
    tier: Option<String>,
    /// Only those with this status: active, grace, suspended. One that is over counts until it is written again.
    status: Option<String>,
    /// Only those of this team.
    team: Option<String>,
    /// Rows in the page, 1 to 1000. Default: 100.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// The consumers that something was decided about.
#[utoipa::path(
    get, path = "/v1/consumers", tag = "consumers", params(ConsumersParams), security(("bearer" = [])),
    responses((status = 200, description = "A page of consumers", body = ConsumersPage), ReadRefusals)
)]
pub(super) async fn list(
    State(app): State<AppState>,
    params: Result<Query<ConsumersParams>, QueryRejection>,
) -> Result<Json<ConsumersPage>, Problem> {
    let Query(params) = params.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let limit = page_size(params.limit, PAGE, PAGE_MAX)?;
    let query = RecordsQuery {
        tier: params.tier,
        status: params.status,
        parent: params.team,
        after: params.cursor.as_deref().map(cursor::decode).transpose()?,
        ..RecordsQuery::all(RecordKind::Consumer, limit + 1)
    };
    let mut records = app.admin.records(query).await?;
    let more = records.len() > limit;
    records.truncate(limit);
    let next = records.last().filter(|_| more).and_then(|last| cursor::encode(&last.id));
    let now_ms = app.clock.now_ms();
    let mut consumers = Vec::with_capacity(records.len());
    for record in records {
        consumers.extend(admin::understand::<Consumer>(record)?.map(|found| view(found, now_ms)));
    }
    Ok(Json(ConsumersPage { consumers, next }))
}

/// One consumer.
#[utoipa::path(
    get, path = "/v1/consumers/{id}", tag = "consumers", security(("bearer" = [])),
    params(("id" = String, Path, description = "The consumer")),
    responses((status = 200, description = "Its record", body = ConsumerView), ReadRefusals)
)]
pub(super) async fn get(State(app): State<AppState>, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = id_of(id)?;
    let found = admin::read::<Consumer>(&*app.admin, &id).await?;
    answer(&app, found, id)
}

fn answer(app: &AppState, found: Option<Versioned<Consumer>>, id: String) -> Result<Response, Problem> {
    let found = found.ok_or(DecideError::Missing { kind: Consumer::KIND, id })?;
    Ok(standing(&found, view(found.clone(), app.clock.now_ms())))
}

/// Makes a consumer's record, or changes who it is. What was decided about it stays.
#[utoipa::path(
    put, path = "/v1/consumers/{id}", tag = "consumers", security(("bearer" = [])), request_body = Profile,
    params(
        ("id" = String, Path, description = "The consumer"),
        ("if-match" = Option<String>, Header, description = "The version decided upon; \"0\" for none yet"),
        ("idempotency-key" = Option<String>, Header, description = "Done once under this key"),
    ),
    responses((status = 200, description = "Its record", body = ConsumerView), WriteRefusals)
)]
pub(super) async fn put(
    State(app): State<AppState>,
    Path(id): Path<String>,
    asking: Asking,
    Body(profile): Body<Profile>,
) -> Result<Response, Problem> {
    let id = id_of(id)?;
    let rule =
        |before: Option<&Consumer>| Ok(Some(before.cloned().unwrap_or_default().with_profile(&profile)?));
    let after = admin::decide(&*app.admin, &asking.0, &id, "define", &profile, rule).await?;
    answer(&app, after, id)
}

/// Decides about a consumer. Envoys know within five seconds.
#[utoipa::path(
    post, path = "/v1/consumers/{id}/decisions", tag = "consumers", security(("bearer" = [])),
    request_body = DecisionWanted,
    params(
        ("id" = String, Path, description = "The consumer; one without a record gets one"),
        ("if-match" = Option<String>, Header, description = "The version decided upon; \"0\" for none yet"),
        ("idempotency-key" = Option<String>, Header, description = "Done once under this key"),
    ),
    responses((status = 200, description = "Its record", body = ConsumerView), WriteRefusals)
)]
pub(super) async fn decide(
    State(app): State<AppState>,
    Path(id): Path<String>,
    asking: Asking,
    Body(wanted): Body<DecisionWanted>,
) -> Result<Response, Problem> {
    let id = id_of(id)?;
    let asked = asking.because(&wanted.reason)?;
    let (decision, now_ms) = (&wanted.decision, asked.now_ms);
    let rule = |before: Option<&Consumer>| {
        let before = before.cloned().unwrap_or_default();
        Ok(Some(before.decided(decision, &wanted.reason, now_ms)?))
    };
    let after = admin::decide(&*app.admin, &asked, &id, decision.action(), &wanted, rule).await?;
    answer(&app, after, id)
}
