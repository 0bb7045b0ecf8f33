//! `GET /v1/statistics`: how many consumers there are of which tier, who costs most, and what each model was used for.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};

use super::responses::ReadRefusals;
use super::{AppState, problem::Problem, usage::page_size};
use crate::calendar::WindowKind;
use crate::store::{Dimension, KeyPart, RecordKind, Sums, UsageFilter, UsageQuery, UsageRow};

const TOP: usize = 10;
const TOP_MAX: usize = 1000;

/// Consumers read at once while the dearest are looked for.
const PAGE: usize = 10_000;

/// What may be asked.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StatisticsParams {
    /// Consumers among the dearest, 1 to 1000. Default: 10.
    top: Option<usize>,
}

/// The whole at a glance.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Statistics {
    /// Consumers with a record, by tier and status. An empty tier: their requests say.
    pub consumers: Vec<ConsumersOfTier>,
    /// Usage of this month in UTC, by tier.
    pub tiers: Vec<TierUsage>,
    /// Usage of this month by model.
    pub models: Vec<ModelUsage>,
    /// The consumers that cost most this month, dearest first.
    pub top: Vec<TopConsumer>,
    /// Usage of everybody this month.
    pub this_month: Sums,
}

/// How many consumers there are of a tier.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ConsumersOfTier {
    /// The tier.
    pub tier: String,
    /// The status they were given.
    pub status: String,
    /// How many.
    pub consumers: u64,
}

/// What a tier used.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TierUsage {
    /// The tier whose limits applied.
    pub tier: String,
    /// Its usage.
    pub usage: Sums,
}

/// What a model was used for.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ModelUsage {
    /// The model as clients ask for it.
    pub model: String,
    /// Its usage.
    pub usage: Sums,
}

/// A consumer and what it used.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TopConsumer {
    /// The consumer.
    pub consumer: String,
    /// Its usage.
    pub usage: Sums,
}

/// Consumers by tier, this month's usage by tier and by model, and the consumers that cost most.
#[utoipa::path(
    get, path = "/v1/statistics", tag = "reports", params(StatisticsParams), security(("bearer" = [])),
    responses((status = 200, description = "The whole at a glance", body = Statistics), ReadRefusals)
)]
pub(super) async fn statistics(
    State(app): State<AppState>,
    params: Result<Query<StatisticsParams>, QueryRejection>,
) -> Result<Json<Statistics>, Problem> {
    let Query(params) = params.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let count = page_size(params.top, TOP, TOP_MAX)?;
    let consumers = app.admin.count(RecordKind::Consumer).await?.into_iter();
    let consumers = consumers
        .map(|count| ConsumersOfTier { tier: count.tier, status: count.status, consumers: count.records })
        .collect();
    let tiers = app.store.usage(this_month(&app, Dimension::Tier)).await?;
    let models = app.store.usage(this_month(&app, Dimension::Model)).await?.rows.into_iter();
    Ok(Json(Statistics {
        consumers,
        tiers: tiers.rows.into_iter().map(|row| TierUsage { tier: name(&row), usage: row.sums }).collect(),
        models: models.map(|row| ModelUsage { model: name(&row), usage: row.sums }).collect(),
        top: dearest(&app, count).await?,
        this_month: tiers.totals,
    }))
}

fn this_month(app: &AppState, by: Dimension) -> UsageQuery {
    let from_ms = Some(WindowKind::Month.start_ms(app.clock.now_ms()));
    UsageQuery {
        kind: WindowKind::Month,
        filter: UsageFilter { from_ms, before_ms: None, equals: Vec::new() },
        group_by: vec![by],
        after: None,
        limit: PAGE,
    }
}

/// The consumers that cost most. All are read, page by page, and no more than two pages are kept.
async fn dearest(app: &AppState, count: usize) -> Result<Vec<TopConsumer>, Problem> {
    let mut top: Vec<UsageRow> = Vec::new();
    let mut query = this_month(app, Dimension::Consumer);
    loop {
        let rows = app.store.usage(query.clone()).await?.rows;
        let more = rows.len() == PAGE;
        query.after = rows.last().map(|row| row.key.clone());
        top.extend(rows);
        top.sort_by(|one, other| {
            other.sums.cost_nusd.cmp(&one.sums.cost_nusd).then_with(|| one.key.cmp(&other.key))
        });
        top.truncate(count);
        if !more {
            break;
        }
    }
    Ok(top.into_iter().map(|row| TopConsumer { consumer: name(&row), usage: row.sums }).collect())
}

fn name(row: &UsageRow) -> String {
    match row.key.first() {
        Some(KeyPart::Text(name)) => name.clone(),
        _ => String::new(),
    }
}
