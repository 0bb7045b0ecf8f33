//! Leases: how an Envoy asks for a slice of a global quota, and what the ledger grants.
//!
//! All amounts are in the quota's own unit: requests, tokens, nano-dollars, millionths of a credit. The counters of a
//! lease only grow and are merged by the larger value, so that a message that is lost, repeated or late does no harm.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Most leases in one sync: together some 100 KiB, which leaves room for the tallies.
pub const LEASES_MAX: usize = 200;

/// Which quota: a limit, whose balance it is, and which of its windows.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaName {
    /// Name of the limit in the configuration.
    pub limit: String,
    /// The route policy the limit stands in; empty for a limit of a tier or of everybody.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub policy: String,
    /// What is counted, as [`unit`](QuotaName::meter) in answers: `requests`, `tokens`, `nano-usd`, ...
    pub meter: String,
    /// Whose balance: the value of each attribute the limit is keyed by. Empty for everybody's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub key: BTreeMap<String, String>,
    /// First millisecond of the window.
    pub start_ms: u64,
    /// First millisecond behind it.
    pub end_ms: u64,
}

/// One lease in a [`SyncRequest`](crate::SyncRequest).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseAsk {
    /// The quota.
    pub quota: QuotaName,
    /// Identity of this lease, 16 hexadecimal digits. Random, never used again: an Envoy that lost the state of a lease
    /// begins another, and what the lost one held stays held.
    pub lease: String,
    /// Units the Envoy's configuration gives the quota. The ledger's own record of the quota wins.
    pub limit: u64,
    /// Where the lease stands and what is wanted.
    pub ask: Ask,
}

/// Where a lease stands at its holder, and what it wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Units granted so far, as far as the holder knows.
    pub granted: u64,
    /// Units spent so far.
    pub spent: u64,
    /// Units given back so far.
    #[serde(default)]
    pub returned: u64,
    /// Units spent so far that no lease covered.
    #[serde(default)]
    pub overrun: u64,
    /// What `granted` should become. Absolute, so that a repeated message asks for nothing more.
    pub target: u64,
    /// Units that all waiting requests together are short of; 0 when none waits.
    #[serde(default)]
    pub need: u64,
    /// Units that the smallest waiting request is short of; 0 when none waits.
    #[serde(default)]
    pub head: u64,
    /// Units reserved a second, lately.
    #[serde(default)]
    pub rate: u64,
}

/// One lease in a [`SyncResponse`](crate::SyncResponse).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseGrant {
    /// [`LeaseAsk::lease`].
    pub lease: String,
    /// What the ledger says about it.
    pub grant: Grant,
}

/// What the ledger says to an [`Ask`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// Units granted so far.
    pub granted: u64,
    /// True when not even the smallest waiting request could be served.
    #[serde(default)]
    pub denied: bool,
    /// Most units to keep unspent while the status is open, besides what is set aside for when the ledger is away; the
    /// rest is to be given back.
    pub keep: u64,
    /// The lease may be spent for so long, in milliseconds from the moment it was asked for.
    pub ttl_ms: u32,
    /// How far ahead to ask, in milliseconds of reserving at the present rate.
    pub horizon_ms: u32,
    /// Whether there will be more.
    #[serde(default)]
    pub status: LeaseStatus,
    /// Units of the whole quota, as the ledger has it.
    pub limit: u64,
    /// Units of it that are neither spent nor held by anybody.
    pub left: u64,
}

/// Whether a quota still grants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseStatus {
    /// More is spent and held than its limit allows, which was lowered: what is unspent is to be given back.
    Exceeded,
    /// Its window is over: what is unspent is to be given back, and only settlements are still taken.
    Ended,
    /// It does, as long as there is something left. Also what a later version's status is read as.
    #[default]
    #[serde(other)]
    Open,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_bytes_of_a_lease_do_not_change() {
        let ask = LeaseAsk {
            quota: QuotaName {
                limit: "team-cost".into(),
                policy: String::new(),
                meter: "nano-usd".into(),
                key: [("team".to_owned(), "search".to_owned())].into(),
                start_ms: 0,
                end_ms: 86_400_000,
            },
            lease: "00000000000000a1".into(),
            limit: 1000,
            ask: Ask { granted: 5, spent: 3, returned: 1, overrun: 0, target: 9, need: 2, head: 1, rate: 4 },
        };
        let golden = r#"{"quota":{"limit":"team-cost","meter":"nano-usd","key":{"team":"search"},"start_ms":0,"end_ms":86400000},"lease":"00000000000000a1","limit":1000,"ask":{"granted":5,"spent":3,"returned":1,"overrun":0,"target":9,"need":2,"head":1,"rate":4}}"#;
        assert_eq!(serde_json::to_string(&ask).unwrap(), golden);
        assert_eq!(serde_json::from_str::<LeaseAsk>(golden).unwrap(), ask);
        let grant = LeaseGrant {
            lease: "00000000000000a1".into(),
            grant: Grant {
                granted: 9,
                denied: false,
                keep: 40,
                ttl_ms: 60_000,
                horizon_ms: 2000,
                status: LeaseStatus::Ended,
                limit: 1000,
                left: 7,
            },
        };
        let golden = r#"{"lease":"00000000000000a1","grant":{"granted":9,"denied":false,"keep":40,"ttl_ms":60000,"horizon_ms":2000,"status":"ended","limit":1000,"left":7}}"#;
        assert_eq!(serde_json::to_string(&grant).unwrap(), golden);
        assert_eq!(serde_json::from_str::<LeaseGrant>(golden).unwrap(), grant);
    }

    #[test]
    fn a_status_of_a_later_version_reads_as_open() {
        assert_eq!(serde_json::from_str::<LeaseStatus>(r#""frozen""#).unwrap(), LeaseStatus::Open);
    }
}
