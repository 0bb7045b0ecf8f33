//! The books in PostgreSQL: several ledgers over one database, none of them with a state of its own.
//!
//! Every write is one transaction that may be run again: batches and entries are known by their numbers and GUIDs,
//! leases by cumulative counters. So whatever goes wrong under way (a deadlock, a lost connection, an answer that never
//! came, a primary that is no longer one) has the same cure, which is to run it again ([`retry`]). An acknowledgement
//! is as durable as the database's `synchronous_commit` makes it; with synchronous standbys it survives the primary.
//!
//! A transaction runs in a task of its own: a caller that goes away does not cancel it half way. The road not taken is
//! a writer's queue as in SQLite: here commits of several connections already share a flush.

mod admin;
mod connect;
mod ingest;
mod leases;
mod retry;
mod shares;
mod speak;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use deadpool_postgres::Pool;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio_postgres::IsolationLevel;
use tollgate_wire::LeaseAsk;

pub use connect::PostgresOptions;

use super::sql::{Sql, audit, leases::steps, months::Months, opening, report, schema};
use super::{
    AuditReport, BATCHES_WAITING_MAX, Batch, EntriesQuery, Entry, Ingested, LeaseStore, Opening,
    OpeningQuery, Store, StoreError, Synced, UsageQuery, UsageReport,
};
use crate::calendar::Month;
use ingest::Prepared;
use retry::{Bounds, OF_ALL, PROMPT, failed, until_done};
use speak::Speaking;

/// How often a batch may find that another node's retention has dropped a month that this one remembers. Retention runs
/// once a day.
const MONTHS_RELOADED_MAX: u32 = 3;

/// Books in PostgreSQL.
#[derive(Clone)]
pub struct PostgresStore {
    inner: Arc<Inner>,
}

struct Inner {
    pool: Pool,
    /// Turns for batches: more may not wait.
    turns: Semaphore,
    /// What this node knows of the months; the database knows better.
    months: std::sync::Mutex<Months>,
    closed: AtomicBool,
}

impl PostgresStore {
    /// Connects, brings the schema up to date and warns of settings that lose what was acknowledged.
    pub async fn open(options: &PostgresOptions) -> Result<Self, StoreError> {
        let store = Self::over(connect::pool(options)?);
        store.inner.migrate().await.map_err(|why| options.not_opened(why))?;
        store.inner.warn_of_settings().await;
        Ok(store)
    }

    /// Audits the books, without touching them and also beside services that write them.
    pub async fn audit_url(options: &PostgresOptions) -> Result<AuditReport, StoreError> {
        let store = Self::over(connect::pool(options)?);
        store
            .read_within(OF_ALL, |sql| {
                Box::pin(async move {
                    schema::expect_current(&schema::applied(sql).await?)?;
                    audit::report(sql).await
                })
            })
            .await
    }

    fn over(pool: Pool) -> Self {
        let turns = Semaphore::new(BATCHES_WAITING_MAX);
        let inner = Inner { pool, turns, months: Default::default(), closed: AtomicBool::new(false) };
        Self { inner: Arc::new(inner) }
    }

    /// Answers a question in one read-only transaction, which sees the books of one moment.
    async fn read<T: Send + 'static>(&self, question: impl Work<T>) -> Result<T, StoreError> {
        self.read_within(PROMPT, question).await
    }

    async fn read_within<T: Send + 'static>(
        &self,
        bounds: Bounds,
        question: impl Work<T>,
    ) -> Result<T, StoreError> {
        self.run(|inner| async move {
            until_done!(&inner.pool, bounds, client => {
                let transaction = client
                    .build_transaction()
                    .isolation_level(IsolationLevel::RepeatableRead)
                    .read_only(true)
                    .start()
                    .await
                    .map_err(failed("starting to read"))?;
                let answer = question(&mut Speaking::once(&transaction)).await?;
                transaction.rollback().await.map_err(failed("ending a read"))?;
                Ok(answer)
            })
        })
        .await
    }

    /// Changes something in one transaction.
    async fn write<T: Send + 'static>(&self, work: impl Work<T>) -> Result<T, StoreError> {
        self.run(|inner| async move {
            until_done!(&inner.pool, client => {
                let transaction = client.transaction().await.map_err(failed("starting a transaction"))?;
                let done = work(&mut Speaking::once(&transaction)).await?;
                transaction.commit().await.map_err(failed("committing"))?;
                Ok(done)
            })
        })
        .await
    }

    /// Runs work in a task of its own, unless the store was closed.
    async fn run<T, F>(&self, work: impl FnOnce(Arc<Inner>) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        if self.inner.closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        tokio::spawn(work(Arc::clone(&self.inner))).await.unwrap_or(Err(StoreError::Closed))
    }
}

/// Work in a transaction, which may be done again. It owns what it needs: the transaction is all it borrows.
trait Work<T>:
    for<'a> Fn(&'a mut dyn Sql) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync + 'static
{
}

impl<T, F> Work<T> for F where
    F: for<'a> Fn(&'a mut dyn Sql) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync + 'static
{
}

impl Inner {
    async fn migrate(&self) -> Result<(), StoreError> {
        // Only where it is missing: a role may be allowed to use the tables and not to make any.
        until_done!(&self.pool, client => {
            let found = client
                .query_one("SELECT to_regclass('schema_versions') IS NOT NULL", &[])
                .await
                .and_then(|row| row.try_get::<_, bool>(0))
                .map_err(failed("looking for the schema"))?;
            if !found {
                let table = "CREATE TABLE IF NOT EXISTS schema_versions (version BIGINT NOT NULL PRIMARY KEY);
                             INSERT INTO schema_versions (version) VALUES (0) ON CONFLICT DO NOTHING";
                client.batch_execute(table).await.map_err(failed("making the schema"))?;
            }
            Ok(())
        })?;
        self.alone(OF_ALL, |sql| Box::pin(schema::migrate(sql, &schema::POSTGRES))).await?;
        self.reload_months().await
    }

    /// Runs work in a transaction that no other node's work of this kind runs beside: row 0 of the versions is the lock.
    async fn alone<T>(&self, bounds: Bounds, work: impl Work<T>) -> Result<T, StoreError> {
        until_done!(&self.pool, bounds, client => {
            let transaction = client.transaction().await.map_err(failed("starting a transaction"))?;
            let lock = "UPDATE schema_versions SET version = 0 WHERE version = 0";
            transaction.execute(lock, &[]).await.map_err(failed("waiting for the schema"))?;
            let done = work(&mut Speaking::once(&transaction)).await?;
            transaction.commit().await.map_err(failed("committing"))?;
            Ok(done)
        })
    }

    /// Settings under which an acknowledgement may be lost are an operator's right, but not silently.
    async fn warn_of_settings(&self) {
        let Ok(client) = self.pool.get().await else { return };
        for (setting, bad) in
            [("synchronous_commit", "off"), ("synchronous_commit", "local"), ("fsync", "off")]
        {
            let found = client.query_one("SELECT current_setting($1)", &[&setting]).await;
            if found.is_ok_and(|row| row.try_get::<_, String>(0).is_ok_and(|value| value == bad)) {
                tracing::warn!(
                    "the database has {setting} = {bad}: what is acknowledged can be lost with it"
                );
            }
        }
    }

    async fn reload_months(&self) -> Result<(), StoreError> {
        let months = until_done!(&self.pool, client => {
            let transaction = client.transaction().await.map_err(failed("starting to read"))?;
            Months::load(&mut Speaking::once(&transaction)).await
        })?;
        self.remember(months);
        Ok(())
    }

    fn remember(&self, months: Months) {
        *self.months.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = months;
    }

    /// The months of a batch that are not there as far as this node knows.
    fn unknown_months(&self, months: &[Month]) -> Vec<Month> {
        let known = self.months.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        months.iter().copied().filter(|month| !known.has(*month)).collect()
    }

    async fn make_months(&self, wanted: Vec<Month>, now_ms: u64) -> Result<(), StoreError> {
        let months = self
            .alone(PROMPT, move |sql| {
                let wanted = wanted.clone();
                Box::pin(async move {
                    let mut months = Months::load(sql).await?;
                    for month in wanted {
                        months.ensure(sql, &schema::POSTGRES, month, now_ms).await?;
                    }
                    Ok(months)
                })
            })
            .await?;
        self.remember(months);
        Ok(())
    }

    async fn sync(&self, batch: Batch, asks: Vec<LeaseAsk>) -> Result<Synced, StoreError> {
        let _turn = self.turns.try_acquire().map_err(|_| StoreError::Busy)?;
        let prepared = Prepared::of(&batch)?;
        for _ in 0..MONTHS_RELOADED_MAX {
            let unknown = self.unknown_months(&prepared.months);
            if !unknown.is_empty()
                && let Err(why) = self.make_months(unknown, batch.received_ms).await
            {
                // A batch that was entered before its month was dropped is still known.
                let known = until_done!(&self.pool, client => ingest::known(client, &prepared).await)?;
                // Its leases are asked for again with the next.
                return known.map(|outcome| Synced { outcome, grants: Vec::new() }).ok_or(why);
            }
            match self.enter(&batch, &prepared, &asks).await {
                Err(why) if retry::is_missing_table(&why) => self.reload_months().await?,
                outcome => return outcome,
            }
        }
        Err(StoreError::Busy)
    }

    /// Enters a batch, alone with one statement, with leases in a transaction of several.
    async fn enter(
        &self,
        batch: &Batch,
        prepared: &Prepared,
        asks: &[LeaseAsk],
    ) -> Result<Synced, StoreError> {
        if asks.is_empty() {
            let outcome = until_done!(&self.pool, client => ingest::enter(&*client, prepared).await)?;
            return Ok(Synced { outcome, grants: Vec::new() });
        }
        until_done!(&self.pool, client => {
            let transaction = client.transaction().await.map_err(failed("starting a transaction"))?;
            let outcome = ingest::enter(&transaction, prepared).await?;
            let grants = match outcome {
                Ingested::Conflict => Vec::new(),
                _ => steps(&mut Speaking::once(&transaction), batch, asks).await?,
            };
            transaction.commit().await.map_err(failed("committing"))?;
            Ok(Synced { outcome, grants })
        })
    }

    async fn retain(&self, now_ms: u64, oldest_kept: Month) -> Result<Vec<Month>, StoreError> {
        let (months, dropped) = self
            .alone(OF_ALL, move |sql| {
                Box::pin(async move {
                    let mut months = Months::load(sql).await?;
                    let dropped = months.retain(sql, &schema::POSTGRES, oldest_kept, now_ms).await?;
                    Ok((months, dropped))
                })
            })
            .await?;
        self.remember(months);
        Ok(dropped)
    }

    async fn heartbeat(&self, now_ms: u64) -> Result<(), StoreError> {
        let at_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
        until_done!(&self.pool, client => {
            let text = "INSERT INTO heartbeat (heartbeat_id, at_ms) VALUES (1, $1)
                        ON CONFLICT (heartbeat_id) DO UPDATE SET at_ms = excluded.at_ms";
            client.execute(text, &[&at_ms]).await.map_err(failed("writing the heartbeat")).map(|_| ())
        })
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn ingest(&self, batch: Batch) -> Result<Ingested, StoreError> {
        Ok(self.sync(batch, Vec::new()).await?.outcome)
    }

    async fn opening(&self, query: OpeningQuery) -> Result<Opening, StoreError> {
        let query = Arc::new(query);
        self.read(move |sql| {
            let query = Arc::clone(&query);
            Box::pin(async move { opening::page(sql, &query).await })
        })
        .await
    }

    async fn usage(&self, query: UsageQuery) -> Result<UsageReport, StoreError> {
        let query = Arc::new(query);
        self.read(move |sql| {
            let query = Arc::clone(&query);
            Box::pin(async move { report::usage(sql, &query).await })
        })
        .await
    }

    async fn entries(&self, query: EntriesQuery) -> Result<Vec<Entry>, StoreError> {
        let query = Arc::new(query);
        self.read(move |sql| {
            let query = Arc::clone(&query);
            Box::pin(async move { report::entries(sql, &query).await })
        })
        .await
    }

    async fn retain(&self, now_ms: u64, oldest_kept: Month) -> Result<Vec<Month>, StoreError> {
        self.run(|inner| async move { inner.retain(now_ms, oldest_kept).await }).await
    }

    async fn audit(&self) -> Result<AuditReport, StoreError> {
        self.read_within(OF_ALL, |sql| Box::pin(audit::report(sql))).await
    }

    async fn ready(&self, now_ms: u64) -> Result<(), StoreError> {
        self.run(|inner| async move { inner.heartbeat(now_ms).await }).await
    }

    /// Transactions under way end by themselves; their callers still get their answers.
    async fn close(&self) {
        self.inner.closed.store(true, Ordering::Release);
        let all = u32::try_from(BATCHES_WAITING_MAX).unwrap_or(u32::MAX);
        let _ = self.inner.turns.acquire_many(all).await;
        self.inner.pool.close();
    }
}
