//! Records and their trail. The one writer makes the changes.

use async_trait::async_trait;

use super::SqliteStore;
use crate::store::sql::{admin, at_once};
use crate::store::{
    AdminStore, Change, Changed, FacetCount, Record, RecordKind, RecordsQuery, StoreError, TrailEntry,
    TrailQuery,
};

#[async_trait]
impl AdminStore for SqliteStore {
    async fn record(&self, kind: RecordKind, id: &str) -> Result<Option<Record>, StoreError> {
        let id = id.to_owned();
        self.readers.read(move |sql| at_once(admin::record(sql, kind, &id))).await
    }

    async fn records(&self, query: RecordsQuery) -> Result<Vec<Record>, StoreError> {
        self.readers.read(move |sql| at_once(admin::records(sql, &query))).await
    }

    async fn changed_since(
        &self,
        kinds: &[RecordKind],
        revision: u64,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let kinds = kinds.to_vec();
        self.readers.read(move |sql| at_once(admin::changed_since(sql, &kinds, revision, limit))).await
    }

    async fn count(&self, kind: RecordKind) -> Result<Vec<FacetCount>, StoreError> {
        self.readers.read(move |sql| at_once(admin::count(sql, kind))).await
    }

    async fn change(&self, kind: RecordKind, id: &str, asked: Change) -> Result<Changed, StoreError> {
        let id = id.to_owned();
        self.write(move |sql| at_once(admin::change(sql, kind, &id, &asked))).await
    }

    async fn trail(&self, query: TrailQuery) -> Result<Vec<TrailEntry>, StoreError> {
        self.readers.read(move |sql| at_once(admin::trail(sql, &query))).await
    }
}
