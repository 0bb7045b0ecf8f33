//! `/v1/switches`, `/v1/bursts/reset` and `/v1/memory`: what holds for everybody.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::asking::{Asking, Body, id_of, standing};
use super::responses::{ReadRefusals, WriteRefusals};
use super::{AppState, problem::Problem};
use crate::admin::{self, DecideError, Document, Enforcement, Memory, SWITCHES_ID, Switches, Versioned};
use crate::store::{RecordKind, RecordsQuery};

/// Models whose memory is told at most. An endpoint serves dozens.
const MODELS_MAX: usize = 1000;

/// The switches and their version.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SwitchesView {
    /// 0 until somebody threw one.
    pub version: u64,
    /// The switches.
    #[serde(flatten)]
    pub switches: Switches,
}

/// Which way to throw a switch.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SwitchWanted {
    /// Whether limits are enforced; null leaves it to each Envoy's configuration.
    pub enforcement: Option<Enforcement>,
    /// Why. At most 512 bytes.
    pub reason: String,
}

/// Why bursts are given back.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BurstsWanted {
    /// Why. At most 512 bytes.
    pub reason: String,
}

/// Memory that a model uses now.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryTold {
    /// Megabytes of main memory.
    pub ram_mb: u64,
    /// Megabytes of disk.
    pub ssd_mb: u64,
}

/// A model and the memory it uses.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MemoryView {
    /// The model.
    pub model: String,
    /// When it was told, milliseconds since the epoch.
    pub updated_ms: u64,
    /// The memory.
    #[serde(flatten)]
    pub memory: Memory,
}

/// The memory of every model that was told of.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MemoryPage {
    /// Ordered by model, at most 1000.
    pub models: Vec<MemoryView>,
}

fn answer(after: Option<Versioned<Switches>>) -> Result<Response, Problem> {
    let after = after.ok_or(DecideError::Missing { kind: Switches::KIND, id: SWITCHES_ID.into() })?;
    Ok(standing(&after, SwitchesView { version: after.version, switches: after.doc.clone() }))
}

/// The switches for everybody.
#[utoipa::path(
    get, path = "/v1/switches", tag = "switches", security(("bearer" = [])),
    responses((status = 200, description = "The switches", body = SwitchesView), ReadRefusals)
)]
pub(super) async fn get(State(app): State<AppState>) -> Result<Json<SwitchesView>, Problem> {
    let found = admin::read::<Switches>(&*app.admin, SWITCHES_ID).await?;
    Ok(Json(found.map_or_else(SwitchesView::default, |found| SwitchesView {
        version: found.version,
        switches: found.doc,
    })))
}

/// Throws the switch for everybody: enforce, shadow (count and let pass), or off.
#[utoipa::path(
    put, path = "/v1/switches", tag = "switches", security(("bearer" = [])), request_body = SwitchWanted,
    params(
        ("if-match" = Option<String>, Header, description = "The version decided upon; \"0\" for none yet"),
        ("idempotency-key" = Option<String>, Header, description = "Done once under this key"),
    ),
    responses((status = 200, description = "The switches", body = SwitchesView), WriteRefusals)
)]
pub(super) async fn put(
    State(app): State<AppState>,
    asking: Asking,
    Body(wanted): Body<SwitchWanted>,
) -> Result<Response, Problem> {
    let asked = asking.because(&wanted.reason)?;
    let rule = |before: Option<&Switches>| {
        Ok(Some(Switches { enforcement: wanted.enforcement, ..before.cloned().unwrap_or_default() }))
    };
    answer(admin::decide(&*app.admin, &asked, SWITCHES_ID, "switch", &wanted, rule).await?)
}

/// Gives everybody's bursts back: those of rates, not of quotas.
#[utoipa::path(
    post, path = "/v1/bursts/reset", tag = "switches", security(("bearer" = [])), request_body = BurstsWanted,
    params(("idempotency-key" = Option<String>, Header, description = "Done once under this key")),
    responses((status = 200, description = "The switches", body = SwitchesView), WriteRefusals)
)]
pub(super) async fn reset_bursts(
    State(app): State<AppState>,
    asking: Asking,
    Body(wanted): Body<BurstsWanted>,
) -> Result<Response, Problem> {
    let asked = asking.because(&wanted.reason)?;
    let rule = |before: Option<&Switches>| {
        let before = before.cloned().unwrap_or_default();
        Ok(Some(Switches { burst_resets: before.burst_resets.wrapping_add(1), ..before }))
    };
    answer(admin::decide(&*app.admin, &asked, SWITCHES_ID, "reset-bursts", &wanted, rule).await?)
}

/// The memory that models use.
#[utoipa::path(
    get, path = "/v1/memory", tag = "memory", security(("bearer" = [])),
    responses((status = 200, description = "Every model that was told of", body = MemoryPage), ReadRefusals)
)]
pub(super) async fn list_memory(State(app): State<AppState>) -> Result<Json<MemoryPage>, Problem> {
    let records = app.admin.records(RecordsQuery::all(RecordKind::Memory, MODELS_MAX)).await?;
    let mut models = Vec::with_capacity(records.len());
    for record in records {
        models.extend(admin::understand::<Memory>(record)?.map(memory_view));
    }
    Ok(Json(MemoryPage { models }))
}

fn memory_view(found: Versioned<Memory>) -> MemoryView {
    MemoryView { model: found.id, updated_ms: found.updated_ms, memory: found.doc }
}

/// Tells how much memory a model uses. The peak is kept.
#[utoipa::path(
    put, path = "/v1/memory/{model}", tag = "memory", security(("bearer" = [])), request_body = MemoryTold,
    params(
        ("model" = String, Path, description = "The model"),
        ("idempotency-key" = Option<String>, Header, description = "Done once under this key"),
    ),
    responses((status = 200, description = "Its memory", body = MemoryView), WriteRefusals)
)]
pub(super) async fn put_memory(
    State(app): State<AppState>,
    Path(model): Path<String>,
    asking: Asking,
    Body(told): Body<MemoryTold>,
) -> Result<Json<MemoryView>, Problem> {
    let model = id_of(model)?;
    let rule = |before: Option<&Memory>| {
        Ok(Some(before.cloned().unwrap_or_default().with(told.ram_mb, told.ssd_mb)?))
    };
    let after = admin::decide(&*app.admin, &asking.0, &model, "tell", &told, rule).await?;
    let after = after.ok_or(DecideError::Missing { kind: Memory::KIND, id: model })?;
    Ok(Json(memory_view(after)))
}
