//! Records in memory: the plainest statement of what a change does.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::admin::GENESIS_HASH;
use super::{
    AdminStore, Change, Changed, FacetCount, MemoryStore, Record, RecordKind, RecordsQuery, StoreError,
    TrailEntry, TrailQuery,
};

/// The records and their trail.
#[derive(Debug, Default)]
pub(super) struct Records {
    records: BTreeMap<(RecordKind, String), Record>,
    trail: Vec<TrailEntry>,
}

impl Records {
    fn change(&mut self, kind: RecordKind, id: &str, change: &Change) -> Changed {
        let known = self.trail.iter().find(|entry| {
            !change.idempotency_key.is_empty()
                && entry.idempotency_key == change.idempotency_key
                && entry.actor == change.actor
        });
        if let Some(known) = known {
            let same = known.request_hash == change.request_hash;
            return if same { Changed::Repeated(known.clone()) } else { Changed::KeyReused };
        }
        let key = (kind, id.to_owned());
        let found = self.records.get(&key).map_or(0, |record| record.version);
        if found != change.expected {
            return Changed::Stale { found };
        }
        let revision = self.trail.len() as u64 + 1;
        let prev_hash = self.trail.last().map_or(GENESIS_HASH, |entry| entry.hash.as_str());
        let entry = TrailEntry::of(kind, id, change, revision, prev_hash);
        let record = Record {
            kind,
            id: id.to_owned(),
            version: entry.version,
            revision,
            doc: change.doc.clone(),
            facets: change.facets.clone(),
            updated_ms: change.at_ms,
        };
        self.records.insert(key, record);
        self.trail.push(entry.clone());
        Changed::Applied(entry)
    }

    fn list(&self, query: &RecordsQuery) -> Vec<Record> {
        let is = |asked: &Option<String>, found: &str| asked.as_ref().is_none_or(|asked| asked == found);
        self.records
            .values()
            .filter(|record| record.kind == query.kind && record.doc.is_some())
            .filter(|record| is(&query.tier, &record.facets.tier) && is(&query.status, &record.facets.status))
            .filter(|record| is(&query.parent, &record.facets.parent))
            .filter(|record| query.after.as_ref().is_none_or(|after| record.id > *after))
            .take(query.limit)
            .cloned()
            .collect()
    }

    fn changed_since(&self, kinds: &[RecordKind], revision: u64, limit: usize) -> Vec<Record> {
        let changed = |record: &&Record| kinds.contains(&record.kind) && record.revision > revision;
        let mut all: Vec<Record> = self.records.values().filter(changed).cloned().collect();
        all.sort_by_key(|record| record.revision);
        all.truncate(limit);
        all
    }

    fn count(&self, kind: RecordKind) -> Vec<FacetCount> {
        let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for record in self.records.values().filter(|record| record.kind == kind && record.doc.is_some()) {
            *counts.entry((&record.facets.tier, &record.facets.status)).or_default() += 1;
        }
        let count = |((tier, status), records): ((&str, &str), u64)| FacetCount {
            tier: tier.to_owned(),
            status: status.to_owned(),
            records,
        };
        counts.into_iter().map(count).collect()
    }

    fn trail(&self, query: &TrailQuery) -> Vec<TrailEntry> {
        let is = |asked: &Option<String>, found: &str| asked.as_ref().is_none_or(|asked| asked == found);
        self.trail
            .iter()
            .filter(|entry| entry.seq > query.after)
            .filter(|entry| query.kind.is_none_or(|kind| entry.kind == kind) && is(&query.id, &entry.id))
            .filter(|entry| is(&query.actor, &entry.actor) && is(&query.action, &entry.action))
            .filter(|entry| is(&query.idempotency_key, &entry.idempotency_key))
            .filter(|entry| query.from_ms.is_none_or(|from| entry.at_ms >= from))
            .filter(|entry| query.before_ms.is_none_or(|before| entry.at_ms < before))
            .take(query.limit)
            .cloned()
            .collect()
    }
}

#[async_trait]
impl AdminStore for MemoryStore {
    async fn record(&self, kind: RecordKind, id: &str) -> Result<Option<Record>, StoreError> {
        Ok(self.admin()?.records.get(&(kind, id.to_owned())).cloned())
    }

    async fn records(&self, query: RecordsQuery) -> Result<Vec<Record>, StoreError> {
        Ok(self.admin()?.list(&query))
    }

    async fn changed_since(
        &self,
        kinds: &[RecordKind],
        revision: u64,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        Ok(self.admin()?.changed_since(kinds, revision, limit))
    }

    async fn count(&self, kind: RecordKind) -> Result<Vec<FacetCount>, StoreError> {
        Ok(self.admin()?.count(kind))
    }

    async fn change(&self, kind: RecordKind, id: &str, change: Change) -> Result<Changed, StoreError> {
        Ok(self.admin()?.change(kind, id, &change))
    }

    async fn trail(&self, query: TrailQuery) -> Result<Vec<TrailEntry>, StoreError> {
        Ok(self.admin()?.trail(&query))
    }
}
