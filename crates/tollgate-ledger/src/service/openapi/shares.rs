//! Shares of global rates. Everything is a fraction of the whole rate, or of its burst.

#![allow(dead_code, reason = "these types are only described, never made")]

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// Which rate: a limit, and whose balance it is.
#[derive(ToSchema)]
#[schema(as = RateName)]
pub(in crate::service) struct RateNameDoc {
    /// Name of the limit in the configuration.
    limit: String,
    /// The route policy the limit stands in; empty for a limit of a tier or of everybody.
    #[schema(required = false)]
    policy: String,
    /// What is counted: `requests`, `tokens`, `nano-usd`, ...
    meter: String,
    /// The value of each attribute that the limit is keyed by.
    #[schema(required = false)]
    key: BTreeMap<String, String>,
    /// How often an operator gave the burst back.
    #[schema(required = false)]
    resets: u32,
}

/// One share in a sync.
#[derive(ToSchema)]
#[schema(as = ShareAsk)]
pub(in crate::service) struct ShareAskDoc {
    /// The rate.
    rate: RateNameDoc,
    /// Identity of the holder, 16 hexadecimal digits, never used again.
    #[schema(min_length = 16, max_length = 16)]
    holder: String,
    /// Milliseconds in which an empty bucket is full again.
    #[schema(minimum = 1)]
    fill_ms: u64,
    /// What the holder has and wants.
    claim: ClaimDoc,
}

/// What a holder has of a rate, and what it wants.
#[derive(ToSchema)]
#[schema(as = Claim)]
pub(in crate::service) struct ClaimDoc {
    /// 1, 2, 3, ... per holder.
    seq: u32,
    /// Millionths of the rate it uses until it hears more.
    #[schema(required = false, maximum = 1_000_000)]
    holding: u32,
    /// Billionths of the burst that no longer fit the smaller share.
    #[schema(required = false)]
    returned: u32,
    /// Millionths of the rate that passed lately.
    #[schema(required = false)]
    demand: u32,
    /// Millionths of the burst that the largest waiting request takes at once.
    #[schema(required = false, maximum = 1_000_000)]
    need: u32,
    /// Requests lacked something since the last claim.
    #[schema(required = false)]
    short: bool,
    /// It is given back.
    #[schema(required = false)]
    leave: bool,
}

/// The answer to one share; none to a claim that came too late.
#[derive(ToSchema)]
#[schema(as = ShareGrant)]
pub(in crate::service) struct ShareGrantDoc {
    /// The holder.
    holder: String,
    /// Number of the claim.
    seq: u32,
    /// What it gets.
    share: ShareDoc,
}

/// What a holder gets of a rate.
#[derive(ToSchema)]
#[schema(as = Share)]
pub(in crate::service) struct ShareDoc {
    /// Millionths of the rate and of its burst.
    share: u32,
    /// Billionths of the burst that come into its bucket with it.
    #[schema(required = false)]
    level: u32,
    /// It is to get more as soon as others have given it back.
    #[schema(required = false)]
    more: bool,
    /// It may be used for so long, in milliseconds from the moment it was asked for.
    ttl_ms: u32,
    /// When to claim again, in milliseconds.
    again_ms: u32,
}
