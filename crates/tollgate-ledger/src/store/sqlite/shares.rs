//! Rates of all Envoys: their steps are taken by the writer, each message's in a transaction of its own.

use async_trait::async_trait;
use tollgate_wire::{ShareAsk, ShareGrant};

use super::SqliteStore;
use crate::store::sql::{at_once, shares};
use crate::store::{ShareStore, StoreError};

#[async_trait]
impl ShareStore for SqliteStore {
    async fn shares(&self, asks: Vec<ShareAsk>, now_ms: u64) -> Result<Vec<ShareGrant>, StoreError> {
        self.write(move |sql| at_once(shares::steps(sql, &asks, now_ms))).await
    }
}
