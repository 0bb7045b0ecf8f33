//! Asks of leases.

use tollgate_ledger::store::{Books, Quota, QuotasQuery, Synced};
use tollgate_wire::{Ask, LeaseAsk, QuotaName};

use super::*;

/// A quota of the team's, in the day around noon.
pub fn team(limit_name: &str) -> QuotaName {
    let start_ms = NOON_MS - NOON_MS % DAY_MS;
    QuotaName {
        limit: limit_name.into(),
        meter: "tokens".into(),
        key: [("team".to_owned(), "search".to_owned())].into(),
        start_ms,
        end_ms: start_ms + DAY_MS,
        ..QuotaName::default()
    }
}

/// Asks for `target` units in all of a quota of `limit`, a request waiting for all that is missing.
pub fn wants(quota: &QuotaName, lease: &str, limit: u64, granted: u64, target: u64) -> LeaseAsk {
    let short = target - granted;
    let ask = Ask { granted, target, need: short, head: short, ..Ask::default() };
    LeaseAsk { quota: quota.clone(), lease: lease.into(), limit, ask }
}

/// Sends asks without tallies, at some time.
pub async fn ask_at(store: &dyn Books, received_ms: u64, asks: Vec<LeaseAsk>) -> Synced {
    store.sync(Batch { received_ms, ..batch(0, vec![]) }, asks).await.unwrap()
}

/// Sends asks without tallies; what is granted in all.
pub async fn ask(store: &dyn Books, asks: Vec<LeaseAsk>) -> Vec<(u64, bool)> {
    let synced = ask_at(store, NOON_MS, asks).await;
    synced.grants.iter().map(|grant| (grant.grant.granted, grant.grant.denied)).collect()
}

/// All quotas.
pub async fn quotas(store: &dyn Books) -> Vec<Quota> {
    store.quotas(QuotasQuery { limit: 10_000, ..QuotasQuery::default() }).await.unwrap()
}
