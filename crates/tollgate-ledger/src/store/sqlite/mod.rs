//! The books in a SQLite file: nothing to install, durable at every acknowledgement.
//!
//! One thread writes and commits for everybody who waits (group commit), because a commit costs a flush of the disk
//! whether it carries ten entries or a thousand; a few read-only connections answer questions beside it. The road
//! not taken: a pool of writers, which in SQLite only queue up for the same lock and pay a flush each.
//!
//! Parameters are written ?1, ?2: SQLite takes $1 for a name and numbers it by its first appearance.

mod admin;
mod connect;
mod ingest;
mod leases;
mod readers;
mod shares;
mod speak;
mod writer;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use rusqlite::Connection;

use super::sql::{at_once, audit, opening, report};
use super::{
    AuditReport, Batch, EntriesQuery, Entry, Ingested, LeaseStore, Opening, OpeningQuery, Store, StoreError,
    UsageQuery, UsageReport,
};
use crate::calendar::Month;
use readers::Readers;
use speak::Speaking;
use writer::Writer;

/// How to open the file.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The file; it is made when there is none.
    pub path: PathBuf,
    /// Connections that answer questions at once.
    pub readers: u32,
}

impl SqliteOptions {
    /// The usual: four readers.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), readers: 4 }
    }
}

/// Books in a SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
}

impl SqliteStore {
    /// Opens the file, brings its schema up to date and starts the writer. Blocks shortly.
    pub fn open(options: &SqliteOptions) -> Result<Self, StoreError> {
        let mut connection = connect::for_writing(&options.path)?;
        connect::migrate(&mut connection)?;
        let readers = Readers::new(options.path.clone(), options.readers);
        let writer = Writer::start(connection)?;
        Ok(Self { writer, readers })
    }

    /// Audits a file, without touching it and also beside a service that writes it.
    pub fn audit_file(path: &Path) -> Result<AuditReport, StoreError> {
        let mut connection = connect::for_reading(path)?;
        connect::expect_current(&mut connection)?;
        readers::in_one_moment(&mut connection, |sql| at_once(audit::report(sql)))
    }

    /// Changes something in a transaction of its own.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Speaking<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer
            .run(move |connection| in_transaction(connection, |connection| work(&mut Speaking(connection))))
            .await
    }

    /// Commits so far, and the batches in them: what group commit saves.
    pub fn commits(&self) -> (u64, u64) {
        self.writer.commits()
    }
}

/// Names what was being done when SQLite refused.
fn failed<E: std::error::Error + Send + Sync + 'static>(doing: &'static str) -> impl FnOnce(E) -> StoreError {
    move |why| StoreError::Engine { doing, source: Box::new(why) }
}

/// Runs `work` in a transaction that takes the writer's lock at once; nothing of it stays when it fails.
fn in_transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&mut Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.execute_batch("BEGIN IMMEDIATE").map_err(failed("starting a transaction"))?;
    let outcome = work(connection)
        .and_then(|done| connection.execute_batch("COMMIT").map_err(failed("committing")).map(|()| done));
    // Some failures (a full disk) have rolled back already.
    if outcome.is_err()
        && !connection.is_autocommit()
        && let Err(why) = connection.execute_batch("ROLLBACK")
    {
        tracing::error!(error = &why as &dyn std::error::Error, "a transaction was not rolled back");
    }
    outcome
}

#[async_trait]
impl Store for SqliteStore {
    async fn ingest(&self, batch: Batch) -> Result<Ingested, StoreError> {
        Ok(self.sync(batch, Vec::new()).await?.outcome)
    }

    async fn opening(&self, query: OpeningQuery) -> Result<Opening, StoreError> {
        self.readers.read(move |sql| at_once(opening::page(sql, &query))).await
    }

    async fn usage(&self, query: UsageQuery) -> Result<UsageReport, StoreError> {
        self.readers.read(move |sql| at_once(report::usage(sql, &query))).await
    }

    async fn entries(&self, query: EntriesQuery) -> Result<Vec<Entry>, StoreError> {
        self.readers.read(move |sql| at_once(report::entries(sql, &query))).await
    }

    async fn retain(&self, now_ms: u64, oldest_kept: Month) -> Result<Vec<Month>, StoreError> {
        self.writer.retain(now_ms, oldest_kept).await
    }

    async fn audit(&self) -> Result<AuditReport, StoreError> {
        self.readers.read(|sql| at_once(audit::report(sql))).await
    }

    async fn ready(&self, now_ms: u64) -> Result<(), StoreError> {
        self.writer.heartbeat(now_ms).await
    }

    async fn close(&self) {
        self.readers.close();
        self.writer.close().await;
    }
}
