//! Global quotas in memory: the plainest statement of what a sync does to them.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use tollgate_core::lease::ledger::{self, ACTIVE_MS, LeaseRow, Peers, QuotaRow};
use tollgate_wire::{LeaseAsk, LeaseGrant, QuotaName};

use super::leases::{
    LATE_SETTLEMENT_MS, Lease, LeaseStore, QUOTA_MEMORY_MS, Quota, QuotasQuery, Synced, consumer_of,
    quota_id, step,
};
use super::{Batch, Difference, Ingested, MemoryStore, StoreError};

/// The quotas and their leases, by the quota's id.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    quotas: BTreeMap<String, Known>,
}

#[derive(Debug, Default)]
struct Known {
    name: QuotaName,
    row: QuotaRow,
    limit_most: u64,
    leases: BTreeMap<String, Lease>,
}

impl Quotas {
    pub(super) fn steps(&mut self, batch: &Batch, asks: &[LeaseAsk]) -> Vec<LeaseGrant> {
        let mine: BTreeSet<&str> = asks.iter().map(|ask| ask.lease.as_str()).collect();
        let since_ms = batch.received_ms.saturating_sub(ACTIVE_MS);
        let peers: BTreeMap<String, Peers> =
            self.quotas.iter().map(|(id, known)| (id.clone(), known.peers(&mine, since_ms))).collect();
        let mut grants = Vec::with_capacity(asks.len());
        for ask in asks {
            let id = quota_id(&ask.quota);
            let peers = peers.get(&id).copied().unwrap_or_default();
            let known = self.quotas.entry(id.clone()).or_insert_with(|| Known {
                name: ask.quota.clone(),
                row: QuotaRow { end_ms: ask.quota.end_ms, ..QuotaRow::default() },
                ..Known::default()
            });
            let lease = known.leases.entry(ask.lease.clone()).or_insert_with(|| Lease {
                quota: id,
                lease: ask.lease.clone(),
                process: batch.process.clone(),
                node: batch.node.clone(),
                row: LeaseRow::default(),
            });
            let grant =
                step(&mut known.row, &mut known.limit_most, &mut lease.row, ask, &peers, batch.received_ms);
            grants.push(LeaseGrant { lease: ask.lease.clone(), grant });
        }
        grants
    }

    pub(super) fn close_windows(&mut self, now_ms: u64) {
        let ended_ms = now_ms.saturating_sub(LATE_SETTLEMENT_MS);
        for known in self.quotas.values_mut().filter(|known| known.row.end_ms < ended_ms) {
            for lease in known.leases.values_mut() {
                ledger::settle_rest(&mut known.row, &mut lease.row);
            }
        }
        let forgotten_ms = now_ms.saturating_sub(QUOTA_MEMORY_MS);
        self.quotas.retain(|_, known| known.row.end_ms >= forgotten_ms);
    }

    pub(super) fn differences(&self) -> impl Iterator<Item = Difference> + '_ {
        let wrong = |known: &&Known| {
            let row = QuotaRow { limit: known.limit_most, ..known.row };
            !ledger::books_agree(&row, known.leases.values().map(|lease| &lease.row))
        };
        self.quotas.values().filter(wrong).map(|known| Difference {
            what: format!("quota {:?}", known.name),
            entries: format!("{:?}", known.leases),
            books: format!("{:?}", known.row),
        })
    }
}

impl Known {
    fn peers(&self, mine: &BTreeSet<&str>, since_ms: u64) -> Peers {
        let others = self.leases.values().filter(|lease| !mine.contains(lease.lease.as_str()));
        others.filter(|lease| lease.row.seen_ms >= since_ms).fold(Peers::default(), |peers, lease| Peers {
            active: peers.active + 1,
            rate: peers.rate.saturating_add(lease.row.rate),
        })
    }

    fn told(&self, id: &str) -> Quota {
        let holders = self.leases.values().filter(|lease| lease.row.held() > 0).count();
        Quota {
            name: self.name.clone(),
            id: id.to_owned(),
            row: self.row,
            limit_most: self.limit_most,
            holders: holders as u64,
        }
    }
}

#[async_trait]
impl LeaseStore for MemoryStore {
    async fn sync(&self, batch: Batch, asks: Vec<LeaseAsk>) -> Result<Synced, StoreError> {
        let mut books = self.books()?;
        let outcome = books.ingest(batch.clone())?;
        let grants = match outcome {
            Ingested::Conflict => Vec::new(),
            _ => books.quotas.steps(&batch, &asks),
        };
        Ok(Synced { outcome, grants })
    }

    async fn quotas(&self, query: QuotasQuery) -> Result<Vec<Quota>, StoreError> {
        let books = self.books()?;
        let matches = |(id, known): &(&String, &Known)| {
            query.consumer.as_ref().is_none_or(|consumer| consumer_of(&known.name) == consumer)
                && query.open_at_ms.is_none_or(|at_ms| known.row.end_ms > at_ms)
                && query.after.as_ref().is_none_or(|after| *id > after)
        };
        let found = books.quotas.quotas.iter().filter(matches).take(query.limit);
        Ok(found.map(|(id, known)| known.told(id)).collect())
    }

    async fn leases(&self, quota_id: &str) -> Result<Vec<Lease>, StoreError> {
        let books = self.books()?;
        Ok(books
            .quotas
            .quotas
            .get(quota_id)
            .map_or_else(Vec::new, |known| known.leases.values().cloned().collect()))
    }

    async fn write_off(&self, quota_id: &str, lease: &str) -> Result<Option<u64>, StoreError> {
        let mut books = self.books()?;
        let Some(known) = books.quotas.quotas.get_mut(quota_id) else { return Ok(None) };
        let Some(lease) = known.leases.get_mut(lease) else { return Ok(None) };
        Ok(Some(ledger::write_off(&mut known.row, &mut lease.row)))
    }
}
