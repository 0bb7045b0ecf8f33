//! Global quotas: their steps are taken in the transaction of the sync that brought them.

use std::sync::Arc;

use async_trait::async_trait;
use tollgate_wire::LeaseAsk;

use super::PostgresStore;
use crate::store::sql::leases;
use crate::store::{Batch, Lease, LeaseStore, Quota, QuotasQuery, StoreError, Synced};

#[async_trait]
impl LeaseStore for PostgresStore {
    async fn sync(&self, batch: Batch, asks: Vec<LeaseAsk>) -> Result<Synced, StoreError> {
        self.run(|inner| async move { inner.sync(batch, asks).await }).await
    }

    async fn quotas(&self, query: QuotasQuery) -> Result<Vec<Quota>, StoreError> {
        let query = Arc::new(query);
        self.read(move |sql| {
            let query = Arc::clone(&query);
            Box::pin(async move { leases::quotas(sql, &query).await })
        })
        .await
    }

    async fn leases(&self, quota_id: &str) -> Result<Vec<Lease>, StoreError> {
        let id: Arc<str> = quota_id.into();
        self.read(move |sql| {
            let id = Arc::clone(&id);
            Box::pin(async move { leases::leases_of(sql, &id).await })
        })
        .await
    }

    async fn write_off(&self, quota_id: &str, lease: &str) -> Result<Option<u64>, StoreError> {
        let which = Arc::new((quota_id.to_owned(), lease.to_owned()));
        self.write(move |sql| {
            let which = Arc::clone(&which);
            Box::pin(async move { leases::write_off(sql, &which.0, &which.1).await })
        })
        .await
    }
}
