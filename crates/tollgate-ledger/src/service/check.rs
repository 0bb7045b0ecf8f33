//! `POST /v1/check` and `GET /v1/self`: what the ledger knows about a request before it is made, and about a consumer.
//!
//! The ledger knows how consumers stand, the switches, and its own quotas. It does not know token buckets and places in
//! flight: those are in each Envoy, which tells how they stand with every answer. So a check says what would be refused
//! for certain, not what would pass for certain.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use axum::{Extension, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::asking::{Body, ID_BYTES_MAX};
use super::auth::Principal;
use super::leases::{self, LentView};
use super::quotas::{self, QuotaView};
use super::responses::{ReadRefusals, WriteRefusals};
use super::{AppState, problem::Problem};
use crate::admin::{
    self, Consumer, Enforcement, LimitOverride, Meter, QuotaRecord, SWITCHES_ID, Status, Switches,
};
use crate::calendar::WindowKind;
use crate::store::{Dimension, RecordKind, RecordsQuery, Sums, UsageFilter, UsageQuery};

/// Quotas of one owner that are looked at. More on one consumer are a mistake.
const QUOTAS_MAX: usize = 1000;

/// A request that might be made.
#[derive(Clone, Debug, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CheckWanted {
    /// Who would pay.
    pub consumer: String,
    /// Its team; the record's if absent.
    pub team: Option<String>,
    /// Its project; the record's if absent.
    pub project: Option<String>,
    /// Its tier; the record's if absent.
    pub tier: Option<String>,
    /// The provider.
    pub provider: String,
    /// The model.
    pub model: String,
    /// The action.
    pub action: String,
    /// The workflow.
    pub workflow: String,
    /// The tool.
    pub tool: String,
    /// The interface.
    pub interface: String,
    /// Input tokens.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Cost in 10^-9 US dollars.
    pub cost_nusd: u64,
    /// Cost in millionths of a credit.
    pub credits: u64,
}

impl CheckWanted {
    fn units(&self, meter: Meter) -> u64 {
        match meter {
            Meter::Requests => 1,
            Meter::Tokens => self.input.saturating_add(self.output),
            Meter::InputTokens => self.input,
            Meter::OutputTokens => self.output,
            Meter::NanoUsd => self.cost_nusd,
            Meter::MicroCredits => self.credits,
        }
    }
}

/// What would become of a request.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CheckAnswer {
    /// False when it would be refused.
    pub passes: bool,
    /// Everything that would refuse it.
    pub refusals: Vec<CheckRefusal>,
    /// Why nothing refuses it although something might: `grace`, `bypass`, `shadow`, `off`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// The quotas it would be charged to.
    pub quotas: Vec<QuotaView>,
}

/// One thing that would refuse it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CheckRefusal {
    /// `suspended`, or `quota`.
    pub kind: String,
    /// The quota.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<String>,
    /// Why, in words.
    pub detail: String,
    /// When it would pass, milliseconds since the epoch; absent when waiting does not help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

/// How a consumer stands.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OwnView {
    /// The consumer.
    pub consumer: String,
    /// Its tier now; absent where its requests say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Its status now.
    pub status: Status,
    /// Why, if it is suspended or has grace.
    pub reason: String,
    /// When that is over, milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_until_ms: Option<u64>,
    /// What it used today, in UTC.
    pub today: Sums,
    /// What it used this month, in UTC.
    pub this_month: Sums,
    /// The quotas it draws from: its own and those it shares. Each with what was used, what is left and when it is reset.
    pub quotas: Vec<QuotaView>,
    /// Its quotas that Envoys spend from by lease: what is spent, held and left, and when it is reset.
    #[serde(default)]
    pub leased: Vec<LentView>,
    /// The limits of its tier as filters are configured, rates with their bursts; nothing where the service was not told
    /// (`--policy`). How full its buckets are, each Envoy says with every answer: the ledger does not know.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub limits: Vec<Value>,
    /// Its own limits that are others now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits_now: Vec<LimitOverride>,
}

/// Says whether the ledger knows of anything that would refuse a request. Nothing is charged.
#[utoipa::path(
    post, path = "/v1/check", tag = "quotas", security(("bearer" = [])), request_body = CheckWanted,
    responses((status = 200, description = "What would become of it", body = CheckAnswer), WriteRefusals)
)]
pub(super) async fn check(
    State(app): State<AppState>,
    Body(wanted): Body<CheckWanted>,
) -> Result<Json<CheckAnswer>, Problem> {
    if wanted.consumer.is_empty() || wanted.consumer.len() > ID_BYTES_MAX || wanted.consumer.contains('\0') {
        return Err(Problem::refused("consumer", format!("is 1 to {ID_BYTES_MAX} bytes, without NUL")));
    }
    let now_ms = app.clock.now_ms();
    let consumer = record_of(&app, &wanted.consumer).await?;
    let quotas = quotas_of(&app, &attributes(&wanted, &consumer, now_ms)).await?;
    let switches = admin::read::<Switches>(&*app.admin, SWITCHES_ID).await?;
    let switch = switches.and_then(|switches| switches.doc.enforcement);
    let refusals = refusals(&wanted, &consumer, &quotas, now_ms);
    let because = match (consumer.status_at(now_ms), switch) {
        (_, Some(Enforcement::Off)) => Some("off"),
        (_, Some(Enforcement::Shadow)) => Some("shadow"),
        (Status::Suspended, _) => None,
        (Status::Grace, _) => Some("grace"),
        _ if consumer.is_exempt_at(now_ms) => Some("bypass"),
        _ => None,
    };
    Ok(Json(CheckAnswer {
        passes: refusals.is_empty() || because.is_some(),
        because: because.map(str::to_owned),
        refusals,
        quotas,
    }))
}

fn refusals(
    wanted: &CheckWanted,
    consumer: &Consumer,
    quotas: &[QuotaView],
    now_ms: u64,
) -> Vec<CheckRefusal> {
    let suspended = (consumer.status_at(now_ms) == Status::Suspended).then(|| CheckRefusal {
        kind: "suspended".into(),
        quota: None,
        detail: consumer.reason.clone(),
        until_ms: consumer.status_until_ms,
    });
    let exhausted = quotas.iter().filter_map(|quota| {
        let (asked, standing) = (wanted.units(quota.terms.meter), quota.standing);
        (asked > standing.left).then(|| CheckRefusal {
            kind: "quota".into(),
            quota: Some(quota.id.clone()),
            detail: format!("{asked} asked, {} of {} left", standing.left, standing.limit),
            until_ms: (asked <= standing.plan).then_some(standing.end_ms),
        })
    });
    suspended.into_iter().chain(exhausted).collect()
}

async fn record_of(app: &AppState, id: &str) -> Result<Consumer, Problem> {
    Ok(admin::read::<Consumer>(&*app.admin, id).await?.map(|found| found.doc).unwrap_or_default())
}

/// What a request is, by the names that quotas are keyed by. The record wins over what is asked.
fn attributes(wanted: &CheckWanted, consumer: &Consumer, now_ms: u64) -> HashMap<Dimension, String> {
    let or_record = |asked: &Option<String>, record: &str| asked.clone().unwrap_or_else(|| record.to_owned());
    let tier = consumer.tier_at(now_ms).map(str::to_owned).or_else(|| wanted.tier.clone());
    HashMap::from([
        (Dimension::Consumer, wanted.consumer.clone()),
        (Dimension::Team, or_record(&wanted.team, &consumer.team)),
        (Dimension::Project, or_record(&wanted.project, &consumer.project)),
        (Dimension::Tier, tier.unwrap_or_default()),
        (Dimension::Provider, wanted.provider.clone()),
        (Dimension::Model, wanted.model.clone()),
        (Dimension::Action, wanted.action.clone()),
        (Dimension::Workflow, wanted.workflow.clone()),
        (Dimension::Tool, wanted.tool.clone()),
        (Dimension::Interface, wanted.interface.clone()),
    ])
}

/// The quotas that a request with these attributes is charged to, and how they stand.
async fn quotas_of(
    app: &AppState,
    attributes: &HashMap<Dimension, String>,
) -> Result<Vec<QuotaView>, Problem> {
    let of = |dimension: Dimension| attributes.get(&dimension).filter(|value| !value.is_empty());
    let owners = [Dimension::Consumer, Dimension::Team, Dimension::Project].into_iter();
    let parents = owners.filter_map(|owner| Some(format!("{}={}", owner.as_str(), of(owner)?)));
    let mut found = Vec::new();
    for parent in parents.chain([String::new()]) {
        let query = RecordsQuery { parent: Some(parent), ..RecordsQuery::all(RecordKind::Quota, QUOTAS_MAX) };
        for record in app.admin.records(query).await? {
            let Some(quota) = admin::understand::<QuotaRecord>(record)? else { continue };
            if quota.doc.terms.keys().iter().all(|(dimension, value)| of(*dimension) == Some(value)) {
                found.push(quotas::view(app, &quota).await?);
            }
        }
    }
    Ok(found)
}

/// What the bearer's own consumer may use and has used.
#[utoipa::path(
    get, path = "/v1/self", tag = "self", security(("bearer" = [])),
    responses((status = 200, description = "How the consumer stands", body = OwnView), ReadRefusals)
)]
pub(super) async fn own(
    State(app): State<AppState>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<OwnView>, Problem> {
    let Some(consumer) = principal.consumer else {
        let detail = "the token is bound to no consumer";
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "/problems/forbidden",
            "This is not yours to do",
            detail,
        ));
    };
    let (now_ms, record) = (app.clock.now_ms(), record_of(&app, &consumer).await?);
    let wanted = CheckWanted { consumer: consumer.clone(), ..CheckWanted::default() };
    let status = record.status_at(now_ms);
    Ok(Json(OwnView {
        tier: record.tier_at(now_ms).map(str::to_owned),
        status,
        reason: if status == Status::Active { String::new() } else { record.reason.clone() },
        status_until_ms: record.status_until_ms.filter(|_| status != Status::Active),
        today: used_by(&app, &consumer, WindowKind::Day, now_ms).await?,
        this_month: used_by(&app, &consumer, WindowKind::Month, now_ms).await?,
        quotas: quotas_of(&app, &attributes(&wanted, &record, now_ms)).await?,
        leased: leases::of_consumer(&app, &consumer).await?,
        limits: app.tiers.limits_of(record.tier_at(now_ms)),
        limits_now: record.limits_at(now_ms),
        consumer,
    }))
}

async fn used_by(app: &AppState, consumer: &str, kind: WindowKind, now_ms: u64) -> Result<Sums, Problem> {
    let equals = vec![(Dimension::Consumer, consumer.to_owned())];
    let filter = UsageFilter { from_ms: Some(kind.start_ms(now_ms)), before_ms: None, equals };
    let query = UsageQuery { kind, filter, group_by: Vec::new(), after: None, limit: 1 };
    Ok(app.store.usage(query).await?.totals)
}
