//! The OpenAPI document's general part, and the wire types as it shows them.
//!
//! The wire crate knows nothing of OpenAPI (the filter would carry it), so its types are described here a second time;
//! a test holds the descriptions to the fields that really go over the wire.

#![allow(dead_code, reason = "these types are only described, never made")]

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

use super::problem::Problem;
use crate::calendar::WindowKind;
use crate::store::{Dimension, Sums};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tollgate ledger",
        description = "Keeps the books of many Envoys: tallies in, usage and the audit trail out."
    ),
    components(schemas(Problem, Sums, Dimension, WindowKind)),
    modifiers(&Bearer)
)]
pub(super) struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

/// One batch of one worker.
#[derive(ToSchema)]
#[schema(as = SyncRequest)]
pub(super) struct SyncRequestDoc {
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
}

/// The answer to a sync.
#[derive(ToSchema)]
#[schema(as = SyncResponse)]
pub(super) struct SyncResponseDoc {
    /// Version of the protocol.
    version: u16,
    /// The batch of this number is durable.
    acked_seq: u64,
    /// Answer to the request's `opening`.
    opening: Option<OpeningPageDoc>,
}

/// Asks for what a node's earlier processes used.
#[derive(ToSchema)]
#[schema(as = OpeningRequest)]
pub(super) struct OpeningRequestDoc {
    /// The windows to add up.
    #[schema(max_items = 64)]
    windows: Vec<WindowRangeDoc>,
    /// `next` of the page before.
    after: Option<String>,
}

/// A span of time, `start_ms <= t < end_ms`.
#[derive(ToSchema)]
#[schema(as = WindowRange)]
pub(super) struct WindowRangeDoc {
    /// First millisecond inside.
    start_ms: u64,
    /// First millisecond behind.
    end_ms: u64,
}

/// Some of the balances asked for.
#[derive(ToSchema)]
#[schema(as = OpeningPage)]
pub(super) struct OpeningPageDoc {
    /// In a stable order.
    balances: Vec<BalanceDoc>,
    /// Cursor of the next page; absent on the last.
    next: Option<String>,
}

/// What one consumer used of one model in one window.
#[derive(ToSchema)]
#[schema(as = Balance)]
pub(super) struct BalanceDoc {
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
    /// Provider.
    provider: Option<String>,
    /// Model.
    model: Option<String>,
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
pub(super) struct TallyDoc {
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
    /// HTTP status the client got; 0 when it got none.
    status: u16,
    /// How it ended.
    outcome: OutcomeDoc,
    /// The limit that refused it.
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
pub(super) enum OutcomeDoc {
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
}

/// A threshold that a limit passed.
#[derive(ToSchema)]
#[schema(as = Warning)]
pub(super) struct WarningDoc {
    /// The limit's name.
    limit: String,
    /// Percent of the limit.
    #[schema(minimum = 1, maximum = 100)]
    percent: u8,
}

/// One line of the audit trail: a tally and where it came from.
#[derive(ToSchema)]
#[schema(as = Entry)]
pub(super) struct EntryDoc {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::Serialize;
    use serde_json::{Value, json};
    use tollgate_wire::{
        Balance, Credits, NanoUsd, OpeningPage, OpeningRequest, Outcome, SyncRequest, SyncResponse, Tally,
        TokenCount, Warning, WindowRange,
    };

    use super::*;

    fn properties<T: ToSchema>() -> BTreeSet<String> {
        let schema = serde_json::to_value(T::schema()).unwrap();
        schema["properties"].as_object().unwrap().keys().cloned().collect()
    }

    fn fields(value: impl Serialize) -> BTreeSet<String> {
        serde_json::to_value(value).unwrap().as_object().unwrap().keys().cloned().collect()
    }

    fn full_tally() -> Tally {
        let name = || "x".to_owned();
        Tally {
            id: name(),
            at_ms: 1,
            consumer: name(),
            team: name(),
            project: name(),
            tier: name(),
            route: name(),
            policy: name(),
            action: name(),
            workflow: name(),
            provider: name(),
            model: name(),
            status: 200,
            outcome: Outcome::Ok,
            refused_by: name(),
            requests: 2,
            input: TokenCount(1),
            cache_read: TokenCount(1),
            cache_write: TokenCount(1),
            output: TokenCount(1),
            reasoning: TokenCount(1),
            cost_nusd: NanoUsd(1),
            credits: Credits(1),
            price_version: 1,
            unknown_price: true,
            exempt: true,
            warnings: vec![Warning { limit: name(), percent: 80 }],
        }
    }

    fn full_balance() -> Balance {
        let names: Vec<(String, Value)> =
            properties::<BalanceDoc>().into_iter().map(|n| (n, json!("x"))).collect();
        let mut balance = serde_json::Map::from_iter(names);
        for number in ["window", "requests", "input", "output", "cost_nusd", "credits"] {
            balance.insert(number.into(), json!(1));
        }
        serde_json::from_value(balance.into()).unwrap()
    }

    #[test]
    fn the_document_describes_the_fields_that_go_over_the_wire() {
        let windows = vec![WindowRange { start_ms: 0, end_ms: 1 }];
        let page = OpeningPage { balances: vec![], next: Some("x".into()) };
        let opening = OpeningRequest { windows, after: Some("x".into()) };
        assert_eq!(properties::<TallyDoc>(), fields(full_tally()));
        assert_eq!(properties::<WarningDoc>(), fields(&full_tally().warnings[0]));
        assert_eq!(properties::<BalanceDoc>(), fields(full_balance()));
        assert_eq!(properties::<WindowRangeDoc>(), fields(opening.windows[0]));
        assert_eq!(properties::<OpeningRequestDoc>(), fields(&opening));
        assert_eq!(properties::<OpeningPageDoc>(), fields(&page));
        let response = SyncResponse { version: 1, acked_seq: 1, opening: Some(page), leases: vec![] };
        assert_eq!(properties::<SyncResponseDoc>(), fields(response));
        let request = SyncRequest {
            version: 1,
            process: "x".into(),
            worker: "x".into(),
            node: "x".into(),
            seq: 1,
            tallies: vec![full_tally()],
            opening: Some(opening),
            leases: vec![],
        };
        assert_eq!(properties::<SyncRequestDoc>(), fields(request));
    }
}
