//! Global quotas in the books: what each has, has settled and has lent, and to whom.
//!
//! The arithmetic is [`tollgate_core::lease::ledger`]'s, the same that the filter's simulator runs; an engine keeps two
//! kinds of rows and takes a step in the transaction of the sync that brought it, with the quota's row locked. Quotas
//! are taken in the order of their ids, so that two syncs don't wait for each other in a circle.

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tollgate_core::lease::ledger::{self, LeaseRow, Peers, QuotaRow};
use tollgate_wire::{Ask, Grant, LeaseAsk, LeaseGrant, QuotaName};

use super::{Batch, Ingested, StoreError};

/// How long after the end of a window its leases may still be settled. What they hold then is booked as spent.
pub const LATE_SETTLEMENT_MS: u64 = crate::calendar::DAY_MS;

/// How long the quotas of a window are kept after its end, for reports and for Envoys that come back late.
pub const QUOTA_MEMORY_MS: u64 = 35 * crate::calendar::DAY_MS;

/// The largest amount in a lease: a billion dollars in nano-dollars. What a quota has settled and held is below its limit, so
/// that sums fit the database's integers too.
pub const UNITS_MAX: u64 = 1 << 60;

/// The largest rate that takes part in sharing, units a second: those of some million holders can be added up.
const RATE_MAX: u64 = 1 << 40;

/// What became of a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// What became of its batch.
    pub outcome: Ingested,
    /// An answer to each ask, in their order; none when the batch is a conflict.
    pub grants: Vec<LeaseGrant>,
}

/// One quota in one window, as the books have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Which.
    pub name: QuotaName,
    /// Its id in the books.
    pub id: String,
    /// Its amounts.
    pub row: QuotaRow,
    /// The highest limit it had in this window.
    pub limit_most: u64,
    /// Leases that still hold something.
    pub holders: u64,
}

/// Asks for quotas, ordered by id.
#[derive(Clone, Debug, Default)]
pub struct QuotasQuery {
    /// Only this consumer's.
    pub consumer: Option<String>,
    /// Only those whose window ends after this moment, milliseconds.
    pub open_at_ms: Option<u64>,
    /// Continue behind this id.
    pub after: Option<String>,
    /// Quotas in the answer.
    pub limit: usize,
}

/// One lease, as the books have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The quota's id.
    pub quota: String,
    /// Its own identity.
    pub lease: String,
    /// The Envoy process that holds it.
    pub process: String,
    /// Name of that Envoy, or empty.
    pub node: String,
    /// Its counters.
    pub row: LeaseRow,
}

/// The quotas of an engine. Every method is one transaction.
#[async_trait]
pub trait LeaseStore: Send + Sync + 'static {
    /// Enters a batch as [`super::Store::ingest`] does, and takes a step for each ask, in one transaction. A batch that is a
    /// repetition still has its steps taken: they may be repeated. The limit in an ask is the one that counts; whoever
    /// calls has put an operator's in the place of the filter's.
    async fn sync(&self, batch: Batch, asks: Vec<LeaseAsk>) -> Result<Synced, StoreError>;

    /// Quotas, ordered by id.
    async fn quotas(&self, query: QuotasQuery) -> Result<Vec<Quota>, StoreError>;

    /// The leases of one quota, ordered by identity.
    async fn leases(&self, quota_id: &str) -> Result<Vec<Lease>, StoreError>;

    /// Gives back what a lease holds: an operator knows that its holder is gone and spent none of it. Returns the units;
    /// `None` when there is no such lease.
    async fn write_off(&self, quota_id: &str, lease: &str) -> Result<Option<u64>, StoreError>;
}

/// The id of a quota: a hash of its name, whose parts are led by their lengths, so that no two names read the same.
pub fn quota_id(name: &QuotaName) -> String {
    let (start, end) = (name.start_ms.to_le_bytes(), name.end_ms.to_le_bytes());
    let key = name.key.iter().flat_map(|(attribute, value)| [attribute.as_bytes(), value.as_bytes()]);
    let parts = [name.limit.as_bytes(), name.policy.as_bytes(), name.meter.as_bytes(), &start, &end];
    hash_of(parts.into_iter().chain(key))
}

/// A hash of parts, each led by its length.
pub(super) fn hash_of<'a>(parts: impl Iterator<Item = &'a [u8]>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let digest = hasher.finalize();
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// One step, over rows as an engine holds them.
pub(super) fn step(
    quota: &mut QuotaRow,
    limit_most: &mut u64,
    lease: &mut LeaseRow,
    ask: &LeaseAsk,
    peers: &Peers,
    now_ms: u64,
) -> Grant {
    quota.limit = ask.limit;
    *limit_most = (*limit_most).max(ask.limit);
    let asked = Ask { rate: ask.ask.rate.min(RATE_MAX), ..ask.ask };
    ledger::step(quota, lease, &asked, peers, now_ms)
}

/// Whose balance it is, where it is one consumer's.
pub(super) fn consumer_of(name: &QuotaName) -> &str {
    name.key.get("consumer").map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_name_makes_another_quota() {
        let name = QuotaName {
            limit: "l".into(),
            policy: "p".into(),
            meter: "m".into(),
            key: [("consumer".to_owned(), "c".to_owned())].into(),
            start_ms: 1,
            end_ms: 2,
        };
        let others = [
            QuotaName { limit: "lp".into(), policy: String::new(), ..name.clone() },
            QuotaName { meter: "n".into(), ..name.clone() },
            QuotaName { start_ms: 0, ..name.clone() },
            QuotaName { end_ms: 3, ..name.clone() },
            QuotaName { key: [("consumer".to_owned(), "d".to_owned())].into(), ..name.clone() },
            QuotaName { key: [("team".to_owned(), "c".to_owned())].into(), ..name.clone() },
            QuotaName { key: Default::default(), ..name.clone() },
        ];
        let ids: std::collections::BTreeSet<String> = others.iter().chain([&name]).map(quota_id).collect();
        assert_eq!(ids.len(), 8);
        assert_eq!(quota_id(&name).len(), 32);
    }
}
