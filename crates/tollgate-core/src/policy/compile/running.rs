//! How the filter runs: slots, the way to the ledger.

use super::super::LedgerLink;
use super::super::config;
use super::{Outcome, refuse};

/// Bytes a slot is meant to hold, and bytes a consumer takes: see [`crate::limit::SLOT_BYTES_MAX`].
const SLOT_BYTES_MEANT: u32 = 2048;
const CONSUMER_BYTES: u32 = 128;

/// 2^20 slots hold sixteen million consumers; their keys alone take 200 MB of Envoy's memory.
const SLOTS_MAX: u32 = 1 << 20;
const SLOTS_MIN: u32 = 16;

pub(super) fn slots(raw: &config::StateConfig) -> Outcome<u32> {
    let wanted = raw.expected_keys.div_ceil(SLOT_BYTES_MEANT / CONSUMER_BYTES).checked_next_power_of_two();
    match wanted {
        Some(slots) if slots <= SLOTS_MAX => Ok(slots.max(SLOTS_MIN)),
        _ => refuse(
            "state.expected_keys",
            format!("more than {}", SLOTS_MAX * (SLOT_BYTES_MEANT / CONSUMER_BYTES)),
        ),
    }
}

pub(super) fn ledger(raw: config::Ledger) -> Outcome<LedgerLink> {
    if raw.cluster.is_empty() {
        return refuse("ledger.cluster", "empty");
    }
    if !(10..=60_000).contains(&raw.flush_interval_ms) {
        return refuse("ledger.flush_interval_ms", "not from 10 to 60000");
    }
    Ok(LedgerLink {
        cluster: raw.cluster,
        node: raw.node,
        token_env: raw.token_env,
        flush_interval_ms: raw.flush_interval_ms,
    })
}
