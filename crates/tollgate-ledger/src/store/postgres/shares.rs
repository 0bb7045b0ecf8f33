//! Rates of all Envoys: a transaction for each message.

use std::sync::Arc;

use async_trait::async_trait;
use tollgate_wire::{ShareAsk, ShareGrant};

use super::PostgresStore;
use crate::store::sql::shares;
use crate::store::{ShareStore, StoreError};

#[async_trait]
impl ShareStore for PostgresStore {
    async fn shares(&self, asks: Vec<ShareAsk>, now_ms: u64) -> Result<Vec<ShareGrant>, StoreError> {
        let asks: Arc<[ShareAsk]> = asks.into();
        // A step that is taken again, because nobody knows whether it was, has no answer, and the holder asks once more.
        self.write(move |sql| {
            let asks = Arc::clone(&asks);
            Box::pin(async move { shares::steps(sql, &asks, now_ms).await })
        })
        .await
    }
}
