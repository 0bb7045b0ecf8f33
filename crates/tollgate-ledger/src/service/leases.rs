//! `/v1/leases`: what was lent of global quotas, and to whom.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};

use super::asking::{Asking, Body};
use super::responses::{ReadRefusals, WriteRefusals};
use super::{AppState, cursor, problem::Problem, usage::page_size};
use crate::admin::{self, DecideError, Document, WriteOff};
use crate::store::{Lease, Quota, QuotasQuery};

const PAGE: usize = 20;
const PAGE_MAX: usize = 100;

/// One quota in one window, and who holds a part of it. Amounts are in the meter's unit.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LentView {
    /// Its id in the books.
    pub id: String,
    /// Name of the limit.
    pub limit: String,
    /// The route policy the limit stands in; empty for a limit of a tier or of everybody.
    pub policy: String,
    /// What is counted.
    pub meter: String,
    /// Whose balance it is.
    pub key: BTreeMap<String, String>,
    /// First millisecond of the window.
    pub start_ms: u64,
    /// First millisecond behind it.
    pub end_ms: u64,
    /// How much there is.
    pub units: u64,
    /// Spent, as far as the Envoys told.
    pub settled: u64,
    /// Lent and neither spent nor given back.
    pub held: u64,
    /// Spent without a lease.
    pub overrun: u64,
    /// What can still be lent.
    pub left: u64,
    /// Who has what, ordered by lease.
    pub leases: Vec<LeaseView>,
}

/// One Envoy's part of a quota. Counters only grow.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LeaseView {
    /// Its identity.
    pub lease: String,
    /// The Envoy process that holds it.
    pub process: String,
    /// Name of that Envoy, or empty.
    pub node: String,
    /// Units granted.
    pub granted: u64,
    /// Units spent.
    pub spent: u64,
    /// Units given back.
    pub returned: u64,
    /// Units spent without it.
    pub overrun: u64,
    /// When the holder last spoke, milliseconds since the epoch.
    pub seen_ms: u64,
    /// Until when it may spend.
    pub expires_ms: u64,
    /// It may spend no more and still holds something: its Envoy is cut off, or gone. Nothing is refunded because of it.
    pub expired: bool,
}

/// One page of quotas.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LentPage {
    /// Ordered by id.
    pub quotas: Vec<LentView>,
    /// Cursor of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Why a lease is written off.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WriteOffWanted {
    /// Why. At most 512 bytes.
    pub reason: String,
}

/// Which quotas.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LeasesParams {
    /// Only this consumer's.
    consumer: Option<String>,
    /// Also those whose window is over.
    ended: bool,
    /// 1 to 100; 20 if absent.
    limit: Option<usize>,
    /// Where the page before ended.
    cursor: Option<String>,
}

/// Global quotas, what was lent of them and to whom.
#[utoipa::path(
    get, path = "/v1/leases", tag = "quotas", security(("bearer" = [])), params(LeasesParams),
    responses((status = 200, description = "Quotas and their leases", body = LentPage), ReadRefusals)
)]
pub(super) async fn list(
    State(app): State<AppState>,
    params: Result<Query<LeasesParams>, QueryRejection>,
) -> Result<Json<LentPage>, Problem> {
    let Query(params) = params.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let limit = page_size(params.limit, PAGE, PAGE_MAX)?;
    let now_ms = app.clock.now_ms();
    let query = QuotasQuery {
        consumer: params.consumer,
        open_at_ms: (!params.ended).then_some(now_ms),
        after: params.cursor.as_deref().map(cursor::decode).transpose()?,
        limit: limit + 1,
    };
    let mut found = app.store.quotas(query).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).and_then(|last| cursor::encode(&last.id));
    let mut quotas = Vec::with_capacity(found.len());
    for quota in found {
        let leases = app.store.leases(&quota.id).await?;
        quotas.push(lent(quota, leases, now_ms));
    }
    Ok(Json(LentPage { quotas, next }))
}

/// Those of one consumer whose window is open, a few. Which Envoys hold them is not its business.
pub(super) async fn of_consumer(app: &AppState, consumer: &str) -> Result<Vec<LentView>, Problem> {
    let now_ms = app.clock.now_ms();
    let query = QuotasQuery {
        consumer: Some(consumer.to_owned()),
        open_at_ms: Some(now_ms),
        after: None,
        limit: PAGE_MAX,
    };
    let found = app.store.quotas(query).await?.into_iter();
    Ok(found.map(|quota| lent(quota, Vec::new(), now_ms)).collect())
}

/// Gives back what an expired lease holds, by somebody who knows that its Envoy is gone and spent none of it. If that speaks
/// after all, what it spent is overrun.
#[utoipa::path(
    post, path = "/v1/leases/{quota}/{lease}/write-off", tag = "quotas", security(("bearer" = [])),
    request_body = WriteOffWanted,
    params(
        ("quota" = String, Path, description = "The quota's id in the books"),
        ("lease" = String, Path, description = "The lease"),
        ("idempotency-key" = Option<String>, Header, description = "Done once under this key"),
    ),
    responses((status = 200, description = "What was given back", body = WriteOff), WriteRefusals)
)]
pub(super) async fn write_off(
    State(app): State<AppState>,
    Path((quota, lease)): Path<(String, String)>,
    asking: Asking,
    Body(wanted): Body<WriteOffWanted>,
) -> Result<Json<WriteOff>, Problem> {
    let asked = asking.because(&wanted.reason)?;
    let id = format!("{quota}/{lease}");
    let missing = || DecideError::Missing { kind: WriteOff::KIND, id: id.clone() };
    let leases = app.store.leases(&quota).await?;
    let found = leases.into_iter().find(|found| found.lease == lease).ok_or_else(missing)?;
    let rule = |_: Option<&WriteOff>| Ok(Some(WriteOff::of(&found, asked.now_ms)?));
    // In the trail first: what is done twice after a crash is given back once.
    let after = admin::decide(&*app.admin, &asked, &id, "write-off", &wanted, rule).await?;
    app.store.write_off(&quota, &lease).await?.ok_or_else(missing)?;
    Ok(Json(after.ok_or_else(missing)?.doc))
}

fn lent(quota: Quota, leases: Vec<Lease>, now_ms: u64) -> LentView {
    let Quota { name, id, row, .. } = quota;
    LentView {
        id,
        limit: name.limit,
        policy: name.policy,
        meter: name.meter,
        key: name.key,
        start_ms: name.start_ms,
        end_ms: name.end_ms,
        units: row.limit,
        settled: row.settled,
        held: row.held,
        overrun: row.overrun,
        left: row.left(),
        leases: leases.into_iter().map(|lease| held(lease, now_ms)).collect(),
    }
}

fn held(lease: Lease, now_ms: u64) -> LeaseView {
    let row = lease.row;
    LeaseView {
        lease: lease.lease,
        process: lease.process,
        node: lease.node,
        granted: row.granted,
        spent: row.spent,
        returned: row.returned,
        overrun: row.overrun,
        seen_ms: row.seen_ms,
        expires_ms: row.expires_ms,
        expired: row.expires_ms <= now_ms && row.held() > 0,
    }
}
