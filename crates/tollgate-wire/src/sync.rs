//! `POST /v1/sync`: tallies up, balances down. Idempotent: the same (worker, seq) is applied once.

use serde::{Deserialize, Serialize};

use crate::{Credits, Decisions, LeaseAsk, LeaseGrant, NanoUsd, ShareAsk, ShareGrant, Tally, TokenCount};

/// Version of the protocol. The ledger refuses a version it does not speak.
pub const PROTOCOL_VERSION: u16 = 1;

/// Largest request body in bytes: what Envoy sends from a worker without blocking it noticeably (8 MiB blocks it
/// for 24-40 ms, 256 KiB for about one).
pub const SYNC_BODY_BYTES_MAX: usize = 256 * 1024;

/// One batch of one worker. `T` is how a tally is held: parsed in the ledger, already serialised in the filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncRequest<T = Tally> {
    /// [`PROTOCOL_VERSION`] of the sender.
    pub version: u16,
    /// Random identity of the Envoy process, the same for all its workers.
    pub process: String,
    /// Random identity of the worker's VM; never used again by another.
    pub worker: String,
    /// The Envoy's name over restarts: balances are restored by it. Empty when none is configured.
    #[serde(default)]
    pub node: String,
    /// 1, 2, 3, ... per worker, without gaps. 0 in a request that carries no tallies.
    pub seq: u64,
    /// The batch. A repeated (worker, seq) must carry the same batch.
    #[serde(default = "Vec::new")]
    pub tallies: Vec<T>,
    /// Asks for the balances this node had before its process started. Sent once after a start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening: Option<OpeningRequest>,
    /// Leases of global quotas that have something to say, at most [`LEASES_MAX`](crate::LEASES_MAX). A filter from
    /// before leases sends none; a ledger from before them refuses a request with some, so upgrade ledgers first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leases: Vec<LeaseAsk>,
    /// Shares of rates that have something to say, at most [`SHARES_MAX`](crate::SHARES_MAX). As with leases: ledgers are
    /// upgraded first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<ShareAsk>,
    /// Asks for what operators decided behind this number; 0 for everything. A filter from before decisions sends none
    /// and gets none; a ledger from before them refuses a request with one, so upgrade ledgers first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_revision: Option<u64>,
}

/// The ledger's answer to a [`SyncRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncResponse {
    /// [`PROTOCOL_VERSION`] of the ledger.
    pub version: u16,
    /// All batches of this worker up to this one are durable.
    pub acked_seq: u64,
    /// Answer to [`SyncRequest::opening`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening: Option<OpeningPage>,
    /// An answer to each of [`SyncRequest::leases`], in their order. Nothing from a ledger from before leases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leases: Vec<LeaseGrant>,
    /// Answers to [`SyncRequest::shares`], in their order; none to a claim that came too late.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<ShareGrant>,
    /// Answer to [`SyncRequest::known_revision`]. Nothing from a ledger from before decisions, or when nothing is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decisions: Option<Decisions>,
}

/// Asks for what the node's earlier processes used in windows that are still open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpeningRequest {
    /// The windows the policy counts in.
    pub windows: Vec<WindowRange>,
    /// Continue behind this cursor: the `next` of the page before. Absent for the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A span of time, `start_ms <= t < end_ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowRange {
    /// First millisecond inside.
    pub start_ms: u64,
    /// First millisecond behind.
    pub end_ms: u64,
}

/// Some of the balances asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpeningPage {
    /// At most some hundreds. What one consumer used may come in parts, on several pages: they are to be added up.
    pub balances: Vec<Balance>,
    /// Cursor of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What one consumer used of one model in one window, or a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// Index into [`OpeningRequest::windows`].
    pub window: usize,
    /// Who paid.
    pub consumer: String,
    /// Attributes the policy matches on, as the tallies carried them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub team: String,
    /// See [`Tally::project`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub project: String,
    /// See [`Tally::tier`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tier: String,
    /// See [`Tally::route`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub route: String,
    /// See [`Tally::policy`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub policy: String,
    /// See [`Tally::action`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub action: String,
    /// See [`Tally::workflow`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub workflow: String,
    /// See [`Tally::provider`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub provider: String,
    /// See [`Tally::model`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// See [`Tally::tool`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tool: String,
    /// See [`Tally::interface`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub interface: String,
    /// See [`Tally::region`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Requests that were admitted (refused ones do not count against a quota).
    pub requests: u64,
    /// All input tokens: uncached, cache read and cache write.
    pub input: TokenCount,
    /// All output tokens.
    pub output: TokenCount,
    /// Their cost.
    pub cost_nusd: NanoUsd,
    /// Their cost in credits.
    pub credits: Credits,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_bytes_of_a_sync_do_not_change() {
        let request = SyncRequest::<Tally> {
            version: PROTOCOL_VERSION,
            process: "p1".into(),
            worker: "w1".into(),
            node: "edge-1".into(),
            seq: 7,
            tallies: Vec::new(),
            opening: Some(OpeningRequest {
                windows: vec![WindowRange { start_ms: 0, end_ms: 86_400_000 }],
                after: None,
            }),
            leases: Vec::new(),
            shares: Vec::new(),
            known_revision: None,
        };
        let golden = r#"{"version":1,"process":"p1","worker":"w1","node":"edge-1","seq":7,"tallies":[],"opening":{"windows":[{"start_ms":0,"end_ms":86400000}]}}"#;
        assert_eq!(serde_json::to_string(&request).unwrap(), golden);
        assert_eq!(serde_json::from_str::<SyncRequest>(golden).unwrap(), request);
        let answer = SyncResponse { version: 1, acked_seq: 7, ..SyncResponse::default() };
        assert_eq!(serde_json::to_string(&answer).unwrap(), r#"{"version":1,"acked_seq":7}"#);
    }
}
