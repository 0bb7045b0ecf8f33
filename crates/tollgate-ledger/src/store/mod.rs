//! What the books are kept in: one trait, one set of meanings, an engine behind it.
//!
//! The trait is its scenario list (`tests/store.rs`), which every engine passes: the in-memory model, SQLite and
//! PostgreSQL. It speaks of batches and questions, not of rows and transactions, because the engines enter a batch
//! best in different ways. Time is an argument everywhere: no engine reads a clock.

pub mod admin;
mod leases;
mod memory;
mod memory_admin;
mod memory_leases;
mod memory_shares;
mod postgres;
mod query;
mod rollup;
mod shares;
mod sql;
mod sqlite;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tollgate_wire::{NanoUsd, Tally};

pub use admin::{
    AdminStore, Chain, Change, Changed, FacetCount, Facets, Record, RecordKind, RecordsQuery, TrailEntry,
    TrailQuery, hex, prove_chain,
};
pub use leases::{
    LATE_SETTLEMENT_MS, Lease, LeaseStore, QUOTA_MEMORY_MS, Quota, QuotasQuery, Synced, UNITS_MAX, quota_id,
};
pub use memory::MemoryStore;
pub use postgres::{PostgresOptions, PostgresStore};
pub use query::{
    Dimension, EntriesQuery, Entry, EntryCursor, KeyPart, Opening, OpeningCursor, OpeningQuery, UsageFilter,
    UsageQuery, UsageReport, UsageRow,
};
pub use rollup::{Sums, UsageKey};
pub use shares::{ShareStore, rate_id};
pub use sqlite::{SqliteOptions, SqliteStore};

use crate::calendar::Month;

/// One worker's batch of tallies, already validated.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Identity of the Envoy process.
    pub process: String,
    /// Identity of the worker's VM; with `seq` it names the batch.
    pub worker: String,
    /// Name of the Envoy over restarts, or empty.
    pub node: String,
    /// Number of the batch; 0 when it only says that the worker is there.
    pub seq: u64,
    /// The ledger's clock when the batch came, milliseconds since the epoch.
    pub received_ms: u64,
    /// What is to be entered.
    pub tallies: Vec<Tally>,
}

impl Batch {
    /// Hash of what the batch says, so that a resent batch is told from another under the same number. It covers
    /// the meaning and not the bytes: what a sender serialises differently is still the same batch.
    pub fn body_hash(&self) -> Result<String, serde_json::Error> {
        let mut hasher = Sha256::new();
        hasher.update(self.process.as_bytes());
        hasher.update([0]);
        hasher.update(serde_json::to_vec(&self.tallies)?);
        let digest = hasher.finalize();
        Ok(hex(&digest))
    }
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ingested {
    /// It is in the books now, durably.
    Applied(Applied),
    /// It was in the books already; nothing was done.
    Repeated,
    /// Its number was used for other tallies; nothing was done.
    Conflict,
}

/// What a batch changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Entries made.
    pub inserted: u64,
    /// Tallies whose GUID was in the books already.
    pub duplicates: u64,
    /// Cost of the entries made.
    pub cost_nusd: NanoUsd,
    /// Alerts that fired for the first time in their window.
    pub alerts: Vec<Alert>,
}

/// Something an operator wants to know, once per consumer, rule and window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alert {
    /// Who it is about.
    pub consumer: String,
    /// What happened: `limit/NAME/PERCENT` or `unknown_price/MODEL`.
    pub rule: String,
    /// First millisecond of the (UTC) day it happened in.
    pub window_start_ms: u64,
}

/// A difference that the self-audit found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// What differs, in words an operator can act on.
    pub what: String,
    /// What the entries add up to.
    pub entries: String,
    /// What the books say.
    pub books: String,
}

/// What a self-audit looked at, and what it found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditReport {
    /// Entries read.
    pub entries: u64,
    /// Rolled-up rows compared with them.
    pub usage_rows: u64,
    /// Global quotas compared with their leases.
    pub quotas: u64,
    /// Rolled-up rows of months whose entries retention has dropped; they can't be compared any more.
    pub retired_rows: u64,
    /// Sum of the entries' cost.
    pub cost_nusd: NanoUsd,
    /// Administrative changes, each of which was found to be hashed over the one before.
    pub changes: u64,
    /// Hash of the last change. Noted down elsewhere, it also tells when changes at the end were cut off.
    pub last_change: String,
    /// What does not fit; empty when the books are right. At most [`DIFFERENCES_MAX`].
    pub differences: Vec<Difference>,
}

/// Differences that an audit lists before it stops counting: enough to see a pattern.
pub const DIFFERENCES_MAX: usize = 1000;

/// Batches that may wait for the writer. At 1000 tallies each that is some 256 MiB and ten seconds of work: a
/// sender that meets a full queue is better off keeping its batch.
pub const BATCHES_WAITING_MAX: usize = 256;

/// How long the numbers of entered batches are remembered. Longer than any worker keeps resending; after that the
/// entries' own GUIDs still keep a batch from being entered twice.
pub const BATCH_MEMORY_MS: u64 = 35 * crate::calendar::DAY_MS;

/// The books, or an engine failure on the way to them.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database could not be opened or brought up to date.
    #[error("cannot open the database {path}")]
    Open {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database was written by a later version.
    #[error("the database has schema version {found}, this program knows up to {known}")]
    TooNew {
        /// Version in the database.
        found: u32,
        /// Latest version of this program.
        known: u32,
    },
    /// The database was written by an earlier version and only `ledger serve` brings it up to date.
    #[error(
        "the database has schema version {found}, this program reads {known}: start the ledger on it first"
    )]
    TooOld {
        /// Version in the database.
        found: u32,
        /// Latest version of this program.
        known: u32,
    },
    /// An operation failed; nothing of it was applied.
    #[error("the database failed while {doing}")]
    Engine {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Retention has dropped the month that a tally belongs to; the batch was not applied.
    #[error("the month {} is no longer kept", month.yyyymm())]
    Retired {
        /// The month.
        month: Month,
    },
    /// More batches are waiting than [`BATCHES_WAITING_MAX`].
    #[error("the writer is busy")]
    Busy,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Wraps an engine's error with what was being done.
    pub fn engine(doing: &'static str) -> impl Fn(Box<dyn std::error::Error + Send + Sync>) -> Self {
        move |source| Self::Engine { doing, source }
    }
}

/// An engine that keeps the books.
///
/// Every method is one transaction: it happened or it did not, whatever is cancelled or crashes. An `Ok` from
/// [`Store::ingest`] means durable.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Enters a batch once. A batch with number 0 has no tallies and only says that the worker is there.
    async fn ingest(&self, batch: Batch) -> Result<Ingested, StoreError>;

    /// A page of what a node's other processes used. It reads a bounded part of the books, however many entries there are.
    async fn opening(&self, query: OpeningQuery) -> Result<Opening, StoreError>;

    /// Rolled-up usage, in the order of its keys, with totals over all that matches.
    async fn usage(&self, query: UsageQuery) -> Result<UsageReport, StoreError>;

    /// The audit trail, oldest first.
    async fn entries(&self, query: EntriesQuery) -> Result<Vec<Entry>, StoreError>;

    /// Drops whole months before `oldest_kept`, forgets batch numbers older than [`BATCH_MEMORY_MS`], prepares the months
    /// around `now_ms`, books what leases of long ended windows hold as spent ([`LATE_SETTLEMENT_MS`]) and forgets
    /// windows after [`QUOTA_MEMORY_MS`]. Returns the months dropped.
    async fn retain(&self, now_ms: u64, oldest_kept: Month) -> Result<Vec<Month>, StoreError>;

    /// Proves that usage is the sum of the entries, that no entry is there twice, and that quotas have settled and lent
    /// what their leases say.
    async fn audit(&self) -> Result<AuditReport, StoreError>;

    /// Proves that the store can write.
    async fn ready(&self, now_ms: u64) -> Result<(), StoreError>;

    /// Finishes what is queued and closes. Later calls answer [`StoreError::Closed`].
    async fn close(&self);
}

/// An engine that keeps the books, the global quotas and rates, and what operators decide about them.
pub trait Books: Store + LeaseStore + ShareStore + AdminStore {}

impl<T: Store + LeaseStore + ShareStore + AdminStore> Books for T {}
