//! A few read-only connections. A question runs on a blocking thread, on a connection of its own, in one
//! transaction: it sees the books of one moment.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::speak::Speaking;
use super::{connect, failed};
use crate::store::StoreError;

/// The connections.
#[derive(Clone, Debug)]
pub(super) struct Readers {
    path: Arc<PathBuf>,
    idle: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf, count: u32) -> Self {
        let turns = Semaphore::new(usize::try_from(count.max(1)).unwrap_or(1));
        Self { path: Arc::new(path), idle: Arc::default(), turns: Arc::new(turns) }
    }

    /// Answers a question; waits while all connections are busy.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Speaking<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(failed("waiting to read"))?;
        let readers = self.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let answer = readers.answer(question);
            drop(turn);
            answer
        });
        answer.await.map_err(failed("reading"))?
    }

    /// Closes the connections that are idle, so that the writer's is the last and leaves one file behind.
    pub(super) fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn answer<T>(
        &self,
        question: impl FnOnce(&mut Speaking<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => connect::for_reading(&self.path)?,
        };
        let answer = in_one_moment(&mut connection, question)?;
        // A connection that failed is dropped above and opened anew next time.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(answer)
    }
}

/// Asks in one transaction: all answers are of one moment.
pub(super) fn in_one_moment<T>(
    connection: &mut Connection,
    question: impl FnOnce(&mut Speaking<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.execute_batch("BEGIN").map_err(failed("starting to read"))?;
    let answer = question(&mut Speaking(connection));
    connection.execute_batch("ROLLBACK").map_err(failed("ending a read"))?;
    answer
}
