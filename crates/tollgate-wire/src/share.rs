//! Shares: how all Envoys together keep one rate. Each has a part of it, for a time, by demand.
//!
//! Everything is a fraction of the whole, so that the ledger need not know units: a share in millionths of the rate and of
//! its burst, what is in a bucket in billionths of the burst. Unlike a lease of a quota a share runs out by time: what it
//! would have let through is not owed to anybody later.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::skip::{is_false, is_zero};

/// Most shares in one sync: together some 80 KiB.
pub const SHARES_MAX: usize = 200;

/// The whole of a rate, in the parts that shares are told in.
pub const WHOLE: u32 = 1_000_000;

/// Which rate: a limit, and whose balance it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateName {
    /// Name of the limit in the configuration.
    pub limit: String,
    /// The route policy the limit stands in; empty for a limit of a tier or of everybody.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub policy: String,
    /// What is counted: `requests`, `tokens`, `nano-usd`, ...
    pub meter: String,
    /// Whose balance: the value of each attribute the limit is keyed by. Empty for everybody's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub key: BTreeMap<String, String>,
    /// How often an operator gave the burst back: another number is another bucket.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub resets: u32,
}

/// One share in a [`SyncRequest`](crate::SyncRequest).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareAsk {
    /// The rate.
    pub rate: RateName,
    /// Identity of the holder, 16 hexadecimal digits. Random; a holder that lost its state begins with another.
    pub holder: String,
    /// Milliseconds in which an empty bucket of the whole rate is full again, at least 1.
    pub fill_ms: u64,
    /// What the holder has and wants.
    pub claim: Claim,
}

/// What a holder has of a rate, and what it wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// 1, 2, 3, ... per holder: what comes late is left alone.
    pub seq: u32,
    /// Millionths of the rate it uses until it hears more.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub holding: u32,
    /// Billionths of the burst that were in its bucket and no longer fit the smaller share.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub returned: u32,
    /// Millionths of the rate that passed here lately.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub demand: u32,
    /// Millionths of the burst that the largest waiting request takes at once; 0 when none waits.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub need: u32,
    /// Requests lacked something since the last claim.
    #[serde(default, skip_serializing_if = "is_false")]
    pub short: bool,
    /// It has not been used for a while and is given back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub leave: bool,
}

/// One share in a [`SyncResponse`](crate::SyncResponse). There is none for a claim that came too late.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareGrant {
    /// [`ShareAsk::holder`].
    pub holder: String,
    /// [`Claim::seq`] of the claim this answers.
    pub seq: u32,
    /// What it gets.
    pub share: Share,
}

/// What a holder gets of a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Share {
    /// Millionths of the rate and of its burst.
    pub share: u32,
    /// Billionths of the burst that come into its bucket with it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub level: u32,
    /// True when it is to get more, as soon as others have given it back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
    /// It may be used for so long, in milliseconds from the moment it was asked for.
    pub ttl_ms: u32,
    /// When to claim again, in milliseconds.
    pub again_ms: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_bytes_of_a_share_do_not_change() {
        let ask = ShareAsk {
            rate: RateName {
                limit: "per-team".into(),
                meter: "requests".into(),
                key: [("team".to_owned(), "search".to_owned())].into(),
                resets: 2,
                ..RateName::default()
            },
            holder: "00000000000000a1".into(),
            fill_ms: 2000,
            claim: Claim {
                seq: 3,
                holding: 250_000,
                returned: 7,
                demand: 4,
                need: 5,
                short: true,
                leave: false,
            },
        };
        let golden = r#"{"rate":{"limit":"per-team","meter":"requests","key":{"team":"search"},"resets":2},"holder":"00000000000000a1","fill_ms":2000,"claim":{"seq":3,"holding":250000,"returned":7,"demand":4,"need":5,"short":true}}"#;
        assert_eq!(serde_json::to_string(&ask).unwrap(), golden);
        assert_eq!(serde_json::from_str::<ShareAsk>(golden).unwrap(), ask);
        let grant = ShareGrant {
            holder: "00000000000000a1".into(),
            seq: 3,
            share: Share { share: 500_000, level: 9, more: true, ttl_ms: 10_000, again_ms: 200 },
        };
        let golden = r#"{"holder":"00000000000000a1","seq":3,"share":{"share":500000,"level":9,"more":true,"ttl_ms":10000,"again_ms":200}}"#;
        assert_eq!(serde_json::to_string(&grant).unwrap(), golden);
        assert_eq!(serde_json::from_str::<ShareGrant>(golden).unwrap(), grant);
    }
}
