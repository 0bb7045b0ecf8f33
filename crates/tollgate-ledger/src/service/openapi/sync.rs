//! Tallies, balances and the sync that carries them.

#![allow(dead_code, reason = "these types are only described, never made")]

use utoipa::ToSchema;

use super::decisions::DecisionsDoc;
use super::leases::{LeaseAskDoc, LeaseGrantDoc};
use super::shares::{ShareAskDoc, ShareGrantDoc};

/// One batch of one worker.
#[derive(ToSchema)]
#[schema(as = SyncRequest)]
pub(in crate::service) struct SyncRequestDoc {
    /// Version of the protocol: 1.
    version: u16,
    /// Random identity of the Envoy process, the same for all its workers.
    #[schema(min_length = 1, max_length = 128)]
    process: String,
    /// Random identity of the worker's VM; never used again by another.
    #[schema(min_length = 1, max_length = 128)]
    worker: String,
    /// The Envoy's name over restarts, or empty.
    #[schema(required = false, max_length = 128)]
    node: String,
    /// 1, 2, 3, ... per worker. 0 in a request without tallies.
    seq: u64,
    /// The batch. A repeated (worker, seq) must carry the same batch.
    #[schema(required = false, max_items = 4096)]
    tallies: Vec<TallyDoc>,
    /// Asks for the balances this node had before its process started.
    opening: Option<OpeningRequestDoc>,
    /// Leases of global quotas that have something to say.
    #[schema(required = false, max_items = 200)]
    leases: Vec<LeaseAskDoc>,
    /// Shares of global rates that have something to say.
    #[schema(required = false, max_items = 200)]
    shares: Vec<ShareAskDoc>,
    /// Asks for what operators decided behind this number; 0 for everything.
    known_revision: Option<u64>,
}

/// The answer to a sync.
#[derive(ToSchema)]
#[schema(as = SyncResponse)]
pub(in crate::service) struct SyncResponseDoc {
    /// Version of the protocol.
    version: u16,
    /// The batch of this number is durable.
    acked_seq: u64,
    /// Answer to the request's `opening`.
    opening: Option<OpeningPageDoc>,
    /// An answer to each of the request's `leases`, in their order.
    #[schema(required = false)]
    leases: Vec<LeaseGrantDoc>,
    /// Answers to the request's `shares`, in their order; none to a claim that came too late.
    #[schema(required = false)]
    shares: Vec<ShareGrantDoc>,
    /// Answer to the request's `known_revision`; absent when nothing is new.
    decisions: Option<DecisionsDoc>,
}

/// Asks for what a node's earlier processes used.
#[derive(ToSchema)]
#[schema(as = OpeningRequest)]
pub(in crate::service) struct OpeningRequestDoc {
    /// The windows to add up.
    #[schema(max_items = 64)]
    windows: Vec<WindowRangeDoc>,
    /// `next` of the page before.
    after: Option<String>,
}

/// A span of time, `start_ms <= t < end_ms`.
#[derive(ToSchema)]
#[schema(as = WindowRange)]
pub(in crate::service) struct WindowRangeDoc {
    /// First millisecond inside.
    start_ms: u64,
    /// First millisecond behind.
    end_ms: u64,
}

/// Some of the balances asked for.
#[derive(ToSchema)]
#[schema(as = OpeningPage)]
pub(in crate::service) struct OpeningPageDoc {
    /// In a stable order.
    balances: Vec<BalanceDoc>,
    /// Cursor of the next page; absent on the last.
    next: Option<String>,
}

/// What one consumer used of one model in one window, or a part of it: parts are to be added up.
#[derive(ToSchema)]
#[schema(as = Balance)]
pub(in crate::service) struct BalanceDoc {
    /// Index into the request's windows.
    window: usize,
    /// Who paid.
    consumer: String,
    /// Team.
    team: Option<String>,
    /// Project.
    project: Option<String>,
    /// Tier.
    tier: Option<String>,
    /// Route.
    route: Option<String>,
    /// Policy.
    policy: Option<String>,
    /// Action.
    action: Option<String>,
    /// Workflow.
    workflow: Option<String>,
    /// Provider.
    provider: Option<String>,
    /// Model.
    model: Option<String>,
    /// Tool.
    tool: Option<String>,
    /// Interface.
    interface: Option<String>,
    /// Region.
    region: Option<String>,
    /// Requests that were admitted.
    requests: u64,
    /// All input tokens.
    input: u64,
    /// All output tokens.
    output: u64,
    /// Cost in 10^-9 US dollars.
    cost_nusd: u64,
    /// Cost in millionths of a credit.
    credits: u64,
}

/// What one request used and cost. Empty and zero fields are left out.
#[derive(ToSchema)]
#[schema(as = Tally)]
pub(in crate::service) struct TallyDoc {
    /// GUID of the transaction; it is entered once, however often it comes.
    #[schema(min_length = 36, max_length = 36)]
    id: String,
    /// When the request was decided, milliseconds since the epoch.
    at_ms: u64,
    /// Who pays.
    consumer: String,
    /// Team.
    #[schema(required = false)]
    team: String,
    /// Project.
    #[schema(required = false)]
    project: String,
    /// Tier whose limits applied.
    #[schema(required = false)]
    tier: String,
    /// Envoy's route name.
    #[schema(required = false)]
    route: String,
    /// The route's policy.
    #[schema(required = false)]
    policy: String,
    /// The route's action.
    #[schema(required = false)]
    action: String,
    /// The route's workflow.
    #[schema(required = false)]
    workflow: String,
    /// The API spoken.
    #[schema(required = false)]
    provider: String,
    /// The model asked for.
    #[schema(required = false)]
    model: String,
    /// The tool called.
    #[schema(required = false)]
    tool: String,
    /// What the client speaks through.
    #[schema(required = false)]
    interface: String,
    /// Where the client is.
    #[schema(required = false)]
    region: String,
    /// HTTP status the client got; 0 when it got none.
    status: u16,
    /// How it ended.
    outcome: OutcomeDoc,
    /// The limit that refused or ended it.
    #[schema(required = false)]
    refused_by: String,
    /// Requests this tally stands for; 1 when absent.
    #[schema(required = false, minimum = 1)]
    requests: u32,
    /// Input tokens, uncached.
    #[schema(required = false)]
    input: u64,
    /// Input tokens read from a cache.
    #[schema(required = false)]
    cache_read: u64,
    /// Input tokens written to a cache.
    #[schema(required = false)]
    cache_write: u64,
    /// Output tokens.
    #[schema(required = false)]
    output: u64,
    /// The part of `output` spent on reasoning.
    #[schema(required = false)]
    reasoning: u64,
    /// Cost in 10^-9 US dollars.
    #[schema(required = false)]
    cost_nusd: u64,
    /// Cost in millionths of a credit.
    #[schema(required = false)]
    credits: u64,
    /// Version of the price table.
    #[schema(required = false)]
    price_version: u32,
    /// The ceiling price was charged for want of another.
    #[schema(required = false)]
    unknown_price: bool,
    /// An operator has exempted the consumer: no limit was asked.
    #[schema(required = false)]
    exempt: bool,
    /// Thresholds passed.
    #[schema(required = false)]
    warnings: Vec<WarningDoc>,
}

/// How a request ended.
#[derive(ToSchema)]
#[schema(as = Outcome, rename_all = "snake_case")]
pub(in crate::service) enum OutcomeDoc {
    /// Usage as reported.
    Ok,
    /// Usage estimated.
    Estimated,
    /// The client went away.
    Aborted,
    /// The upstream failed.
    Error,
    /// Tollgate refused it.
    Refused,
    /// Tollgate ended it in mid-stream.
    Ended,
}

/// A threshold that a limit passed.
#[derive(ToSchema)]
#[schema(as = Warning)]
pub(in crate::service) struct WarningDoc {
    /// The limit's name.
    limit: String,
    /// Percent of the limit.
    #[schema(minimum = 1, maximum = 100)]
    percent: u8,
}

/// One line of the audit trail: a tally and where it came from.
#[derive(ToSchema)]
#[schema(as = Entry)]
pub(in crate::service) struct EntryDoc {
    /// What happened.
    #[serde(flatten)]
    tally: TallyDoc,
    /// The Envoy process that told it.
    process: String,
    /// The worker that told it.
    worker: String,
    /// The node that told it, or empty.
    node: String,
    /// The batch it came in.
    seq: u64,
}
