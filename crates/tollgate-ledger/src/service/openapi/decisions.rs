//! What operators decided, on its way to the filters.

#![allow(dead_code, reason = "these types are only described, never made")]

use utoipa::ToSchema;

/// What operators decided behind the number that the filter knows.
#[derive(ToSchema)]
#[schema(as = Decisions)]
pub(in crate::service) struct DecisionsDoc {
    /// Every change up to this one is known with this answer. Less than was asked for: begin again.
    revision: u64,
    /// Consumers whose record changed, whole.
    #[schema(required = false)]
    consumers: Vec<ConsumerStandingDoc>,
    /// The switches, if they changed.
    switches: Option<SwitchesStateDoc>,
    /// Memory in use, of models whose figures changed.
    #[schema(required = false)]
    memory: Vec<MemoryInUseDoc>,
    /// There are more changes behind these.
    #[schema(required = false)]
    more: bool,
}

/// How one consumer stands.
#[derive(ToSchema)]
#[schema(as = ConsumerStanding)]
pub(in crate::service) struct ConsumerStandingDoc {
    /// The consumer.
    id: String,
    /// Its tier.
    tier: Option<String>,
    /// Another tier for some time.
    tier_for_now: Option<TierForNowDoc>,
    /// Its own limits that are others for some time. At most 8.
    #[schema(required = false)]
    limits_for_now: Vec<LimitForNowDoc>,
    /// `active`, `grace` or `suspended`.
    status: String,
    /// Why.
    #[schema(required = false)]
    reason: String,
    /// When the status is over, milliseconds since the epoch.
    status_until_ms: Option<u64>,
    /// No limit applies to it.
    #[schema(required = false)]
    exempt: bool,
    /// When the exemption is over.
    exempt_until_ms: Option<u64>,
    /// How often it got fresh balances.
    #[schema(required = false)]
    resets: u32,
    /// How often its bursts alone were given back.
    #[schema(required = false)]
    burst_resets: u32,
}

/// A tier for some time.
#[derive(ToSchema)]
#[schema(as = TierForNow)]
pub(in crate::service) struct TierForNowDoc {
    /// The tier.
    tier: String,
    /// When it is over, milliseconds since the epoch.
    until_ms: u64,
}

/// A limit that is another for some time.
#[derive(ToSchema)]
#[schema(as = LimitForNow)]
pub(in crate::service) struct LimitForNowDoc {
    /// The limit's name.
    limit: String,
    /// How much of it there is, in percent, 1 to 100,000.
    percent: u32,
    /// When it is over, milliseconds since the epoch.
    until_ms: u64,
}

/// The switches for everybody.
#[derive(ToSchema)]
#[schema(as = SwitchesState)]
pub(in crate::service) struct SwitchesStateDoc {
    /// `on`, `shadow` or `off`; as configured if absent.
    enforcement: Option<String>,
    /// How often everybody's bursts were given back.
    #[schema(required = false)]
    burst_resets: u32,
}

/// Memory that a model uses.
#[derive(ToSchema)]
#[schema(as = MemoryInUse)]
pub(in crate::service) struct MemoryInUseDoc {
    /// The model.
    model: String,
    /// Megabytes of main memory.
    ram_mb: u64,
    /// Megabytes of disk.
    ssd_mb: u64,
}
