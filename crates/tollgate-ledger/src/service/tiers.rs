//! `GET /v1/tiers`: the tiers as the filters are configured, where the service was given their configuration.
//!
//! Only to be shown: what a filter enforces stands in its own configuration.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::AppState;
use super::problem::Problem;
use super::responses::ReadRefusals;

/// The tiers of a configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Tiers {
    /// False when the service was not given a configuration: then nothing is known.
    pub known: bool,
    /// The tier of whoever names none.
    pub default_tier: String,
    /// Each tier as it is configured: its limits, its priority, what it may use.
    #[schema(value_type = BTreeMap<String, Object>)]
    pub tiers: BTreeMap<String, Value>,
}

impl Tiers {
    /// Those of the filters' configurations, which have been found valid. Of two of one name the first is taken.
    pub fn of(configurations: &[Value]) -> Self {
        let mut all = Self { known: true, ..Self::default() };
        for configuration in configurations {
            let default = configuration.pointer("/identity/default_tier").and_then(Value::as_str);
            if all.default_tier.is_empty() {
                all.default_tier = default.unwrap_or_default().to_owned();
            }
            let tiers = configuration.get("tiers").and_then(Value::as_object).into_iter().flatten();
            for (name, tier) in tiers {
                all.tiers.entry(name.clone()).or_insert_with(|| tier.clone());
            }
        }
        all
    }

    /// The limits of a tier, or of the default one; none where nothing is known.
    pub(super) fn limits_of(&self, tier: Option<&str>) -> Vec<Value> {
        let tier = self.tiers.get(tier.unwrap_or(&self.default_tier));
        tier.and_then(|tier| tier.get("limits")?.as_array()).cloned().unwrap_or_default()
    }
}

/// The tiers as the filters are configured.
#[utoipa::path(
    get, path = "/v1/tiers", tag = "reports", security(("bearer" = [])),
    responses((status = 200, description = "The tiers, if the service knows them", body = Tiers), ReadRefusals)
)]
pub(super) async fn tiers(State(app): State<AppState>) -> Result<Json<Tiers>, Problem> {
    Ok(Json(app.tiers.as_ref().clone()))
}
