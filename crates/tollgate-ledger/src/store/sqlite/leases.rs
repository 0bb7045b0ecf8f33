//! Global quotas: their steps are taken by the writer, in the group of the sync that brought them.

use async_trait::async_trait;
use tollgate_wire::LeaseAsk;

use super::SqliteStore;
use crate::store::sql::{at_once, leases};
use crate::store::{Batch, Lease, LeaseStore, Quota, QuotasQuery, StoreError, Synced};

#[async_trait]
impl LeaseStore for SqliteStore {
    async fn sync(&self, batch: Batch, asks: Vec<LeaseAsk>) -> Result<Synced, StoreError> {
        self.writer.sync(batch, asks).await
    }

    async fn quotas(&self, query: QuotasQuery) -> Result<Vec<Quota>, StoreError> {
        self.readers.read(move |sql| at_once(leases::quotas(sql, &query))).await
    }

    async fn leases(&self, quota_id: &str) -> Result<Vec<Lease>, StoreError> {
        let id = quota_id.to_owned();
        self.readers.read(move |sql| at_once(leases::leases_of(sql, &id))).await
    }

    async fn write_off(&self, quota_id: &str, lease: &str) -> Result<Option<u64>, StoreError> {
        let (id, lease) = (quota_id.to_owned(), lease.to_owned());
        self.write(move |sql| at_once(leases::write_off(sql, &id, &lease))).await
    }
}
