//! Records and their trail.

use std::sync::Arc;

use async_trait::async_trait;

use super::PostgresStore;
use crate::store::sql::admin;
use crate::store::{
    AdminStore, Change, Changed, FacetCount, Record, RecordKind, RecordsQuery, StoreError, TrailEntry,
    TrailQuery,
};

/// Changes come one after the other, as in SQLite: each is chained to the one before, and reads it first. The lock ends
/// with the transaction; its number is the trail's, among all ledgers of a database.
const TURN: &str = "SELECT 1 FROM (SELECT pg_advisory_xact_lock(7402)) AS turn";

#[async_trait]
impl AdminStore for PostgresStore {
    async fn record(&self, kind: RecordKind, id: &str) -> Result<Option<Record>, StoreError> {
        let id: Arc<str> = id.into();
        self.read(move |sql| {
            let id = Arc::clone(&id);
            Box::pin(async move { admin::record(sql, kind, &id).await })
        })
        .await
    }

    async fn records(&self, query: RecordsQuery) -> Result<Vec<Record>, StoreError> {
        let query = Arc::new(query);
        self.read(move |sql| {
            let query = Arc::clone(&query);
            Box::pin(async move { admin::records(sql, &query).await })
        })
        .await
    }

    async fn changed_since(
        &self,
        kinds: &[RecordKind],
        revision: u64,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let kinds: Arc<[RecordKind]> = kinds.into();
        self.read(move |sql| {
            let kinds = Arc::clone(&kinds);
            Box::pin(async move { admin::changed_since(sql, &kinds, revision, limit).await })
        })
        .await
    }

    async fn count(&self, kind: RecordKind) -> Result<Vec<FacetCount>, StoreError> {
        self.read(move |sql| Box::pin(admin::count(sql, kind))).await
    }

    async fn change(&self, kind: RecordKind, id: &str, change: Change) -> Result<Changed, StoreError> {
        let asked = Arc::new((id.to_owned(), change));
        self.write(move |sql| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                sql.query("taking the trail's turn", TURN, &[]).await?;
                admin::change(sql, kind, &asked.0, &asked.1).await
            })
        })
        .await
    }

    async fn trail(&self, query: TrailQuery) -> Result<Vec<TrailEntry>, StoreError> {
        let query = Arc::new(query);
        self.read(move |sql| {
            let query = Arc::clone(&query);
            Box::pin(async move { admin::trail(sql, &query).await })
        })
        .await
    }
}
