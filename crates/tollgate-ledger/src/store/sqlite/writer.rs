//! The one thread that writes, and group commit.
//!
//! Whatever is waiting when the writer gets to it is committed together: while one commit waits for the disk, the
//! next group gathers by itself, so nobody waits for a timer. A batch that can't be entered must not harm the others
//! in its group: the group is rolled back and each batch is tried alone. The road not taken is a savepoint per
//! batch, which costs every group something to save time in one that practically never comes, and keeps the usage of
//! a group from being added up before it is written.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;
use tollgate_wire::LeaseAsk;

use super::failed;
use super::ingest::{Books, HashedBatch};
use crate::calendar::Month;
use crate::store::{BATCHES_WAITING_MAX, Batch, StoreError, Synced};

/// Entries after which a group is full: at a thousand the flush of the disk is a small part of the commit.
const GROUP_ENTRIES_MAX: usize = 4000;

/// Time after which a group is closed, so that the first in it doesn't wait for all who come after.
const GROUP_TIME_MAX: Duration = Duration::from_millis(5);

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

enum Job {
    Ingest(Box<HashedBatch>, Reply<Synced>),
    Retain {
        now_ms: u64,
        oldest_kept: Month,
        reply: Reply<Vec<Month>>,
    },
    Heartbeat {
        now_ms: u64,
        reply: Reply<()>,
    },
    /// Something that is no batch and brings its own transaction and reply.
    Run(Box<dyn FnOnce(&mut Connection) + Send>),
    Close,
}

/// The handle on the thread.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: SyncSender<Job>,
    thread: Mutex<Option<JoinHandle<()>>>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    commits: AtomicU64,
    batches: AtomicU64,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Result<Self, StoreError> {
        let (jobs, waiting) = sync_channel(BATCHES_WAITING_MAX);
        let counts = Arc::<Counts>::default();
        let mut connection = connection;
        let books = Books::load(&mut connection)?;
        let scribe = Scribe { connection, books, counts: Arc::clone(&counts) };
        let thread = std::thread::Builder::new()
            .name("ledger-writer".into())
            .spawn(move || scribe.run(&waiting))
            .map_err(failed("starting the writer"))?;
        Ok(Self { jobs, thread: Mutex::new(Some(thread)), counts })
    }

    pub(super) async fn sync(&self, batch: Batch, asks: Vec<LeaseAsk>) -> Result<Synced, StoreError> {
        // Hashed here and not on the writer's thread, which everybody waits for.
        let hash = batch.body_hash().map_err(failed("hashing a batch"))?;
        self.ask(|reply| Job::Ingest(Box::new(HashedBatch { batch, hash, asks }), reply)).await
    }

    pub(super) async fn retain(&self, now_ms: u64, oldest_kept: Month) -> Result<Vec<Month>, StoreError> {
        self.ask(|reply| Job::Retain { now_ms, oldest_kept, reply }).await
    }

    pub(super) async fn heartbeat(&self, now_ms: u64) -> Result<(), StoreError> {
        self.ask(|reply| Job::Heartbeat { now_ms, reply }).await
    }

    /// Runs work of another kind on the writer's connection, between two groups.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(|reply| {
            Job::Run(Box::new(move |connection| {
                let _ = reply.send(work(connection));
            }))
        })
        .await
    }

    pub(super) fn commits(&self) -> (u64, u64) {
        (self.counts.commits.load(Ordering::Relaxed), self.counts.batches.load(Ordering::Relaxed))
    }

    /// Lets the writer finish what is queued. A full queue is waited for on a blocking thread.
    pub(super) async fn close(&self) {
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let jobs = self.jobs.clone();
        let closed = tokio::task::spawn_blocking(move || {
            let _ = jobs.send(Job::Close);
            thread.join().is_ok()
        });
        if !matches!(closed.await, Ok(true)) {
            tracing::error!("the ledger's writer did not end in order");
        }
    }

    async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        match self.jobs.try_send(job(reply)) {
            Ok(()) => answer.await.map_err(|_| StoreError::Closed)?,
            Err(TrySendError::Full(_)) => Err(StoreError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(StoreError::Closed),
        }
    }
}

/// What lives on the thread.
struct Scribe {
    connection: Connection,
    books: Books,
    counts: Arc<Counts>,
}

type Waiting = (Box<HashedBatch>, Reply<Synced>);

impl Scribe {
    fn run(mut self, waiting: &Receiver<Job>) {
        let mut next = waiting.recv().ok();
        while let Some(job) = next.take() {
            match job {
                Job::Ingest(batch, reply) => {
                    let (group, behind) = gather((batch, reply), waiting);
                    self.enter(group);
                    next = behind;
                }
                Job::Retain { now_ms, oldest_kept, reply } => {
                    let _ = reply.send(self.retain(now_ms, oldest_kept));
                }
                Job::Heartbeat { now_ms, reply } => {
                    let _ = reply.send(self.heartbeat(now_ms));
                }
                Job::Run(work) => work(&mut self.connection),
                Job::Close => break,
            }
            if next.is_none() {
                next = waiting.recv().ok();
            }
        }
        self.end();
    }

    /// Enters a group, or each of its batches alone when the group fails. Nobody is answered before the commit.
    fn enter(&mut self, group: Vec<Waiting>) {
        let (batches, replies): (Vec<Box<HashedBatch>>, Vec<Reply<Synced>>) = group.into_iter().unzip();
        match self.commit(&batches) {
            Ok(outcomes) => {
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    // An error here: the client has gone. It will send the batch again and be told it is entered.
                    let _ = reply.send(Ok(outcome));
                }
            }
            Err(why) if batches.len() == 1 => {
                if let Some(reply) = replies.into_iter().next() {
                    let _ = reply.send(Err(why));
                }
            }
            Err(why) => {
                tracing::warn!(error = %why, batches = batches.len(), "a group was not entered, trying each batch alone");
                for (batch, reply) in batches.into_iter().zip(replies) {
                    let outcome =
                        self.commit(std::slice::from_ref(&batch)).map(|mut outcomes| outcomes.swap_remove(0));
                    let _ = reply.send(outcome);
                }
            }
        }
    }

    fn commit(&mut self, batches: &[Box<HashedBatch>]) -> Result<Vec<Synced>, StoreError> {
        let outcomes = self.books.enter(&mut self.connection, batches);
        match &outcomes {
            Ok(_) => {
                self.counts.commits.fetch_add(1, Ordering::Relaxed);
                self.counts.batches.fetch_add(batches.len().try_into().unwrap_or(0), Ordering::Relaxed);
            }
            Err(_) => self.forget(),
        }
        outcomes
    }

    /// After a rollback the memory of what is in the database may be wrong.
    fn forget(&mut self) {
        match Books::load(&mut self.connection) {
            Ok(books) => self.books = books,
            Err(why) => tracing::error!(error = %why, "the months can't be read"),
        }
    }

    fn retain(&mut self, now_ms: u64, oldest_kept: Month) -> Result<Vec<Month>, StoreError> {
        let dropped = self.books.retain(&mut self.connection, now_ms, oldest_kept);
        if dropped.is_err() {
            self.forget();
        }
        dropped
    }

    fn heartbeat(&mut self, now_ms: u64) -> Result<(), StoreError> {
        self.connection
            .execute(
                "INSERT INTO heartbeat (heartbeat_id, at_ms) VALUES (1, ?1)
                 ON CONFLICT (heartbeat_id) DO UPDATE SET at_ms = excluded.at_ms",
                [now_ms],
            )
            .map(|_| ())
            .map_err(failed("writing the heartbeat"))
    }

    /// Folds the write-ahead log into the file, so that a copy of the file alone is complete.
    fn end(self) {
        if let Err(why) = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::warn!(error = %why, "the write-ahead log was not folded in");
        }
        if let Err((_, why)) = self.connection.close() {
            tracing::warn!(error = %why, "the database was not closed");
        }
    }
}

/// Takes what is waiting, up to a full group. Also returns the first job that is no batch.
fn gather(first: Waiting, waiting: &Receiver<Job>) -> (Vec<Waiting>, Option<Job>) {
    let since = Instant::now();
    let mut entries = first.0.batch.tallies.len();
    let mut group = vec![first];
    while entries < GROUP_ENTRIES_MAX && since.elapsed() < GROUP_TIME_MAX {
        match waiting.try_recv() {
            Ok(Job::Ingest(batch, reply)) => {
                entries += batch.batch.tallies.len();
                group.push((batch, reply));
            }
            Ok(other) => return (group, Some(other)),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
        }
    }
    (group, None)
}
