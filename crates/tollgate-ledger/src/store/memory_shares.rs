//! Rates of all Envoys in memory.

use async_trait::async_trait;
use tollgate_wire::{ShareAsk, ShareGrant};

use super::shares::{ShareStore, steps};
use super::{MemoryStore, StoreError};

#[async_trait]
impl ShareStore for MemoryStore {
    async fn shares(&self, asks: Vec<ShareAsk>, now_ms: u64) -> Result<Vec<ShareGrant>, StoreError> {
        let mut books = self.books()?;
        Ok(steps(&mut books.rates, &asks, now_ms).0)
    }
}
