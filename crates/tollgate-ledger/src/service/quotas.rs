//! `/v1/quotas`: how much there is for whom, and the balances behind it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tollgate_wire::LeaseAsk;

use super::asking::{Asking, Body, ID_BYTES_MAX, standing};
use super::responses::{ReadRefusals, WriteRefusals};
use super::{AppState, cursor, problem::Problem, usage::page_size};
use crate::admin::{
    self, AmountOverride, DecideError, Document, QuotaRecord, QuotaStanding, QuotaTerms, Refused, UNITS_MAX,
    Versioned, quota_id,
};
use crate::store::{Dimension, KeyPart, RecordKind, RecordsQuery, UsageFilter, UsageQuery};

const PAGE: usize = 100;
const PAGE_MAX: usize = 1000;

/// Windows that usage is looked up for: ten years of days. A quota that nobody has written for longer begins anew.
const WINDOWS_MAX: usize = 3660;

/// Longest id of a quota in bytes: a limit and seven attributes, percent-encoded.
const QUOTA_ID_BYTES_MAX: usize = 16 * ID_BYTES_MAX;

/// A quota and how it stands.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QuotaView {
    /// Its name, made of the limit and the key: `cost-per-month/team=search`.
    pub id: String,
    /// 1, 2, 3, ...: how often its record was written.
    pub version: u64,
    /// When it was written last, milliseconds since the epoch.
    pub updated_ms: u64,
    /// As it is defined, and another amount for some time.
    #[serde(flatten)]
    pub terms: QuotaTerms,
    /// Another amount for some time.
    #[serde(default, rename = "override", skip_serializing_if = "Option::is_none")]
    pub for_now: Option<AmountOverride>,
    /// How it stands in the window that is open.
    pub standing: QuotaStanding,
}

/// One page of quotas.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QuotasPage {
    /// Ordered by id.
    pub quotas: Vec<QuotaView>,
    /// Cursor of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What is done to a balance.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "action", rename_all = "kebab-case", deny_unknown_fields)]
pub enum BalanceChange {
    /// Units bought, on top of the plan; they stay until they are used, and are used last.
    TopUp {
        /// Units, in the quota's meter.
        units: u64,
        /// What they were bought with, or why.
        #[serde(default)]
        reason: String,
    },
    /// Another amount for some time.
    Override {
        /// Units in a window.
        amount: u64,
        /// Until then, milliseconds since the epoch.
        until_ms: u64,
        /// Why.
        #[serde(default)]
        reason: String,
    },
    /// Ends an override before its time.
    EndOverride {
        /// Why.
        #[serde(default)]
        reason: String,
    },
}

impl BalanceChange {
    const fn action(&self) -> &'static str {
        match self {
            Self::TopUp { .. } => "top-up",
            Self::Override { .. } => "override",
            Self::EndOverride { .. } => "end-override",
        }
    }

    fn reason(&self) -> &str {
        match self {
            Self::TopUp { reason, .. } | Self::Override { reason, .. } | Self::EndOverride { reason } => {
                reason
            }
        }
    }

    fn applied(&self, quota: QuotaRecord, now_ms: u64) -> Result<QuotaRecord, Refused> {
        match *self {
            Self::TopUp { units, .. } => quota.topped_up(units),
            Self::Override { amount, until_ms, .. } => {
                if until_ms <= now_ms || until_ms > i64::MAX as u64 {
                    return Err(Refused::new("until_ms", "is over already, or no moment"));
                }
                if amount > UNITS_MAX {
                    return Err(Refused::new("amount", format!("is at most {UNITS_MAX}")));
                }
                Ok(QuotaRecord { for_now: Some(AmountOverride { amount, until_ms }), ..quota })
            }
            Self::EndOverride { .. } => Ok(QuotaRecord { for_now: None, ..quota }),
        }
    }
}

/// What was used of a quota, by window, since its record was written.
async fn used(app: &AppState, quota: &QuotaRecord) -> Result<BTreeMap<u64, u64>, Problem> {
    let query = UsageQuery {
        kind: quota.terms.per,
        filter: UsageFilter { from_ms: Some(quota.since_ms), before_ms: None, equals: quota.terms.keys() },
        group_by: vec![Dimension::Window],
        after: None,
        limit: WINDOWS_MAX,
    };
    let rows = app.store.usage(query).await?.rows;
    let window = |key: &[KeyPart]| match key {
        [KeyPart::Window(start_ms)] => Some(*start_ms),
        _ => None,
    };
    Ok(rows.iter().filter_map(|row| Some((window(&row.key)?, quota.terms.meter.of(&row.sums)))).collect())
}

/// Puts what the ledger's records say in the place of the limits that Envoys' configurations give. A record speaks for
/// windows in UTC only: a quota that an Envoy counts in another zone keeps its configured limit.
pub(super) async fn overrule(app: &AppState, asks: &mut [LeaseAsk]) -> Result<(), Problem> {
    for ask in asks {
        let name = &ask.quota;
        let record = match name.policy.as_str() {
            "" => admin::read::<QuotaRecord>(&*app.admin, &quota_id(&name.limit, &name.key)).await?,
            // A route's limits may be called like others.
            _ => None,
        };
        let Some(record) = record.filter(|found| found.doc.terms.meter.as_str() == name.meter) else {
            continue;
        };
        // A window may be asked for shortly before it begins, and settled after its end.
        let at_ms = app.clock.now_ms().clamp(name.start_ms, name.end_ms.saturating_sub(1).max(name.start_ms));
        let standing = record.doc.standing(&used(app, &record.doc).await?, at_ms);
        if (standing.start_ms, standing.end_ms) == (name.start_ms, name.end_ms) {
            ask.limit = standing.limit;
        }
    }
    Ok(())
}

/// How a quota stands now.
pub(super) async fn view(app: &AppState, found: &Versioned<QuotaRecord>) -> Result<QuotaView, Problem> {
    let used = used(app, &found.doc).await?;
    Ok(QuotaView {
        id: found.id.clone(),
        version: found.version,
        updated_ms: found.updated_ms,
        terms: found.doc.terms.clone(),
        for_now: found.doc.for_now,
        standing: found.doc.standing(&used, app.clock.now_ms()),
    })
}

/// Which quotas.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct QuotasParams {
    /// Only those of this consumer, each on its own.
    consumer: Option<String>,
    /// Only those that this team shares.
    team: Option<String>,
    /// Only those that this project shares.
    project: Option<String>,
    /// Rows in the page, 1 to 1000. Default: 100.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// The quotas that the ledger has a record of, and how they stand.
#[utoipa::path(
    get, path = "/v1/quotas", tag = "quotas", params(QuotasParams), security(("bearer" = [])),
    responses((status = 200, description = "A page of quotas", body = QuotasPage), ReadRefusals)
)]
pub(super) async fn list(
    State(app): State<AppState>,
    params: Result<Query<QuotasParams>, QueryRejection>,
) -> Result<Json<QuotasPage>, Problem> {
    let Query(params) = params.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let limit = page_size(params.limit, PAGE, PAGE_MAX)?;
    let parents = [("consumer", params.consumer), ("team", params.team), ("project", params.project)];
    let mut parents = parents.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
    let parent = parents.next();
    if parents.next().is_some() {
        return Err(Problem::bad_request("one of consumer, team and project at a time"));
    }
    let query = RecordsQuery {
        parent,
        after: params.cursor.as_deref().map(cursor::decode).transpose()?,
        ..RecordsQuery::all(RecordKind::Quota, limit + 1)
    };
    let mut records = app.admin.records(query).await?;
    let more = records.len() > limit;
    records.truncate(limit);
    let next = records.last().filter(|_| more).and_then(|last| cursor::encode(&last.id));
    let mut quotas = Vec::with_capacity(records.len());
    for record in records {
        if let Some(found) = admin::understand::<QuotaRecord>(record)? {
            quotas.push(view(&app, &found).await?);
        }
    }
    Ok(Json(QuotasPage { quotas, next }))
}

fn id_of(id: String) -> Result<String, Problem> {
    if id.is_empty() || id.len() > QUOTA_ID_BYTES_MAX || id.contains('\0') {
        return Err(Problem::refused("id", format!("is 1 to {QUOTA_ID_BYTES_MAX} bytes, without NUL")));
    }
    Ok(id)
}

async fn answer(
    app: &AppState,
    found: Option<Versioned<QuotaRecord>>,
    id: String,
) -> Result<Response, Problem> {
    let found = found.ok_or(DecideError::Missing { kind: QuotaRecord::KIND, id })?;
    Ok(standing(&found, view(app, &found).await?))
}

/// One quota and how it stands.
#[utoipa::path(
    get, path = "/v1/quotas/{id}", tag = "quotas", security(("bearer" = [])),
    params(("id" = String, Path, description = "The quota, percent-encoded")),
    responses((status = 200, description = "The quota", body = QuotaView), ReadRefusals)
)]
pub(super) async fn get(State(app): State<AppState>, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = id_of(id)?;
    let found = admin::read::<QuotaRecord>(&*app.admin, &id).await?;
    answer(&app, found, id).await
}

/// Defines a quota, or changes how much it is. Its balance stays: what was carried over and bought. Its name follows
/// from the limit and the key.
#[utoipa::path(
    put, path = "/v1/quotas", tag = "quotas", security(("bearer" = [])), request_body = QuotaTerms,
    params(
        ("if-match" = Option<String>, Header, description = "The version decided upon; \"0\" for none yet"),
        ("idempotency-key" = Option<String>, Header, description = "Done once under this key"),
    ),
    responses((status = 200, description = "The quota", body = QuotaView), WriteRefusals)
)]
pub(super) async fn put(
    State(app): State<AppState>,
    asking: Asking,
    Body(terms): Body<QuotaTerms>,
) -> Result<Response, Problem> {
    terms.check().map_err(DecideError::from)?;
    let (id, now_ms) = (terms.id(), asking.0.now_ms);
    let used = used_before(&app, &id).await?;
    let rule = |before: Option<&QuotaRecord>| {
        Ok(Some(match before {
            // Units of another kind are no balance of this one.
            Some(before) if before.terms.meter == terms.meter && before.terms.per == terms.per => {
                QuotaRecord { terms: terms.clone(), ..before.rolled(&used, now_ms) }
            }
            _ => QuotaRecord::new(terms.clone(), now_ms),
        }))
    };
    let after = admin::decide(&*app.admin, &asking.0, &id, "define", &terms, rule).await?;
    answer(&app, after, id).await
}

/// What was used of a quota that may be there.
async fn used_before(app: &AppState, id: &str) -> Result<BTreeMap<u64, u64>, Problem> {
    match admin::read::<QuotaRecord>(&*app.admin, id).await? {
        Some(found) => used(app, &found.doc).await,
        None => Ok(BTreeMap::new()),
    }
}

/// Changes a quota's balance: a top-up, or another amount for some time.
#[utoipa::path(
    post, path = "/v1/quotas/{id}/balance", tag = "quotas", security(("bearer" = [])),
    request_body = BalanceChange,
    params(
        ("id" = String, Path, description = "The quota, percent-encoded"),
        ("if-match" = Option<String>, Header, description = "The version decided upon"),
        ("idempotency-key" = Option<String>, Header, description = "Done once under this key"),
    ),
    responses((status = 200, description = "The quota", body = QuotaView), WriteRefusals)
)]
pub(super) async fn change_balance(
    State(app): State<AppState>,
    Path(id): Path<String>,
    asking: Asking,
    Body(wanted): Body<BalanceChange>,
) -> Result<Response, Problem> {
    let id = id_of(id)?;
    let asked = asking.because(wanted.reason())?;
    let (used, now_ms) = (used_before(&app, &id).await?, asked.now_ms);
    let rule = |before: Option<&QuotaRecord>| match before {
        Some(before) => Ok(Some(wanted.applied(before.rolled(&used, now_ms), now_ms)?)),
        None => Err(DecideError::Missing { kind: QuotaRecord::KIND, id: id.clone() }),
    };
    let after = admin::decide(&*app.admin, &asked, &id, wanted.action(), &wanted, rule).await?;
    answer(&app, after, id).await
}

/// Removes a quota's record: what each Envoy's configuration gives counts again.
#[utoipa::path(
    delete, path = "/v1/quotas/{id}", tag = "quotas", security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "The quota, percent-encoded"),
        ("if-match" = Option<String>, Header, description = "The version decided upon"),
        ("idempotency-key" = Option<String>, Header, description = "Done once under this key"),
    ),
    responses((status = 204, description = "It is no more"), WriteRefusals)
)]
pub(super) async fn remove(
    State(app): State<AppState>,
    Path(id): Path<String>,
    asking: Asking,
) -> Result<StatusCode, Problem> {
    let id = id_of(id)?;
    let rule = |before: Option<&QuotaRecord>| match before {
        Some(_) => Ok(None),
        None => Err(DecideError::Missing { kind: QuotaRecord::KIND, id: id.clone() }),
    };
    admin::decide(&*app.admin, &asking.0, &id, "remove", &(), rule).await?;
    Ok(StatusCode::NO_CONTENT)
}
