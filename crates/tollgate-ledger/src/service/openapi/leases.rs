//! Leases of global quotas. All amounts are in the quota's own unit; counters only grow.

#![allow(dead_code, reason = "these types are only described, never made")]

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// Which quota: a limit, whose balance it is, and which of its windows.
#[derive(ToSchema)]
#[schema(as = QuotaName)]
pub(in crate::service) struct QuotaNameDoc {
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
    /// First millisecond of the window.
    start_ms: u64,
    /// First millisecond behind it.
    end_ms: u64,
}

/// One lease in a sync.
#[derive(ToSchema)]
#[schema(as = LeaseAsk)]
pub(in crate::service) struct LeaseAskDoc {
    /// The quota.
    quota: QuotaNameDoc,
    /// Identity of this lease, 16 hexadecimal digits, never used again.
    #[schema(min_length = 16, max_length = 16)]
    lease: String,
    /// Units that the Envoy's configuration gives the quota. The ledger's own record wins.
    limit: u64,
    /// Where the lease stands and what is wanted.
    ask: AskDoc,
}

/// Where a lease stands at its holder, and what it wants.
#[derive(ToSchema)]
#[schema(as = Ask)]
pub(in crate::service) struct AskDoc {
    /// Units granted so far, as far as the holder knows.
    granted: u64,
    /// Units spent so far.
    spent: u64,
    /// Units given back so far.
    #[schema(required = false)]
    returned: u64,
    /// Units spent so far that no lease covered.
    #[schema(required = false)]
    overrun: u64,
    /// What `granted` should become.
    target: u64,
    /// Units that all waiting requests are short of.
    #[schema(required = false)]
    need: u64,
    /// Units that the smallest waiting request is short of.
    #[schema(required = false)]
    head: u64,
    /// Units reserved a second.
    #[schema(required = false)]
    rate: u64,
}

/// The answer to one lease.
#[derive(ToSchema)]
#[schema(as = LeaseGrant)]
pub(in crate::service) struct LeaseGrantDoc {
    /// Its identity.
    lease: String,
    /// What the ledger says about it.
    grant: GrantDoc,
}

/// What the ledger says to an ask.
#[derive(ToSchema)]
#[schema(as = Grant)]
pub(in crate::service) struct GrantDoc {
    /// Units granted so far.
    granted: u64,
    /// Not even the smallest waiting request could be served.
    denied: bool,
    /// Most units to keep unspent; the rest is to be given back.
    keep: u64,
    /// The lease may be spent for so long from the moment it was asked for.
    ttl_ms: u32,
    /// How far ahead to ask.
    horizon_ms: u32,
    /// Whether there will be more.
    status: LeaseStatusDoc,
    /// Units of the whole quota.
    limit: u64,
    /// Units of it that are neither spent nor held by anybody.
    left: u64,
}

/// Whether a quota still grants.
#[derive(ToSchema)]
#[schema(as = LeaseStatus, rename_all = "snake_case")]
pub(in crate::service) enum LeaseStatusDoc {
    /// More is spent and held than its limit allows.
    Exceeded,
    /// Its window is over.
    Ended,
    /// It does.
    Open,
}
