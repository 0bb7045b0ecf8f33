//! Running a transaction until it is done.
//!
//! What may pass by itself is tried again: serialization failures and deadlocks, a batch that another node is entering
//! at the same moment, connections that break (the commit may have happened or not), a primary that went away or became
//! a standby. A connection that failed in such a way is not used again; the next comes from whichever host takes writes.

use std::time::Duration;

use deadpool_postgres::{Client, Object, Pool, PoolError};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::error::SqlState;

use crate::store::StoreError;

/// How long a transaction may take.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// How long it is tried.
    patience: Duration,
    /// How long one try may take: a host that vanished does not answer at all. What it did then is unknown, which is the
    /// same as any lost connection.
    try_max: Duration,
}

/// Of work that somebody waits for. The filter gives up on a sync after ten seconds and sends it again.
pub(super) const PROMPT: Bounds =
    Bounds { patience: Duration::from_secs(8), try_max: Duration::from_secs(5) };

/// Of work on all that is in the books, which grows with them: migrations, retention, audits. A host that vanished is found out
/// by the connection's own keepalives.
pub(super) const OF_ALL: Bounds =
    Bounds { patience: Duration::from_secs(600), try_max: Duration::from_secs(3600) };

/// The first pause between tries; each is twice as long as the one before.
const PAUSE_MIN: Duration = Duration::from_millis(5);

/// The longest pause between tries.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Tries work on a connection until it is done, it fails for good, or the patience of its [`Bounds`] ends. A macro, because a closure that
/// lends its connection to a future can't yet be said to be `Send`.
macro_rules! until_done {
    ($pool:expr, $client:ident => $work:expr) => {
        until_done!($pool, $crate::store::postgres::retry::PROMPT, $client => $work)
    };
    ($pool:expr, $bounds:expr, $client:ident => $work:expr) => {{
        let mut tries = $crate::store::postgres::retry::Tries::new($bounds);
        loop {
            let outcome = match $crate::store::postgres::retry::Tries::connect($pool).await {
                Ok(mut $client) => {
                    let outcome = tries.within(async {
                        let $client = &mut $client;
                        $work
                    })
                    .await;
                    $crate::store::postgres::retry::Tries::give_back($client, outcome)
                }
                Err(why) => Err(why),
            };
            if let Some(outcome) = tries.over(outcome).await {
                break outcome;
            }
        }
    }};
}
pub(super) use until_done;

/// Keeps count of the tries of one transaction.
pub(super) struct Tries {
    bounds: Bounds,
    since: Instant,
    pause: Duration,
}

impl Tries {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, since: Instant::now(), pause: PAUSE_MIN }
    }

    pub(super) async fn connect(pool: &Pool) -> Result<Client, StoreError> {
        pool.get().await.map_err(not_connected)
    }

    /// Waits for an answer no longer than a try may take.
    pub(super) async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        timeout(self.bounds.try_max, work)
            .await
            .unwrap_or_else(|late| Err(failed("waiting for an answer")(late)))
    }

    /// Puts a connection back, unless what happened on it was the end of it.
    pub(super) fn give_back<T>(client: Client, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        if outcome.as_ref().is_err_and(spoils_connection) {
            drop(Object::take(client));
        }
        outcome
    }

    /// The outcome, if there is nothing more to try; else a pause.
    pub(super) async fn over<T>(&mut self, outcome: Result<T, StoreError>) -> Option<Result<T, StoreError>> {
        let Err(error) = &outcome else { return Some(outcome) };
        if !passes(error) || self.since.elapsed() + self.pause >= self.bounds.patience {
            return Some(outcome);
        }
        tracing::debug!(error = error as &dyn std::error::Error, "the database is asked again");
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        None
    }
}

fn not_connected(why: PoolError) -> StoreError {
    match why {
        PoolError::Closed => StoreError::Closed,
        PoolError::Backend(why) => failed("connecting")(why),
        // Nothing was sent yet, so this can be said to be the pool's.
        other => failed("connecting")(other),
    }
}

/// Names what was being done when PostgreSQL refused.
pub(super) fn failed<E: std::error::Error + Send + Sync + 'static>(
    doing: &'static str,
) -> impl FnOnce(E) -> StoreError {
    move |why| StoreError::Engine { doing, source: Box::new(why) }
}

/// What the database or the way to it said.
fn said(error: &StoreError) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
    match error {
        StoreError::Engine { source, .. } => Some(source.as_ref()),
        _ => None,
    }
}

fn code(error: &StoreError) -> Option<&SqlState> {
    said(error)?.downcast_ref::<tokio_postgres::Error>()?.code()
}

/// True when running it again may help.
fn passes(error: &StoreError) -> bool {
    let Some(source) = said(error) else { return false };
    if let Some(code) = code(error) {
        return passing_codes().contains(&code) || spoiling_codes().contains(&code);
    }
    match source.downcast_ref::<tokio_postgres::Error>() {
        // Without a code: connecting, input or output failed; but a value that can't be sent stays so.
        Some(error) => error.is_closed() || is_io(error),
        None => source.is::<PoolError>() || source.is::<tokio::time::error::Elapsed>(),
    }
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(why) = cause {
        if why.is::<std::io::Error>() {
            return true;
        }
        cause = why.source();
    }
    // No host took the connection for a writing one.
    error.to_string().contains("connecting")
}

/// True when the connection is of no more use.
fn spoils_connection(error: &StoreError) -> bool {
    match code(error) {
        Some(code) => spoiling_codes().contains(&code),
        None => passes(error),
    }
}

/// A month's table that this node remembers is not there.
pub(super) fn is_missing_table(error: &StoreError) -> bool {
    code(error) == Some(&SqlState::UNDEFINED_TABLE)
}

/// The transaction lost against another; the next try sees what that one did.
fn passing_codes() -> [&'static SqlState; 7] {
    [
        &SqlState::T_R_SERIALIZATION_FAILURE,
        &SqlState::T_R_DEADLOCK_DETECTED,
        &SqlState::UNIQUE_VIOLATION,
        &SqlState::DUPLICATE_TABLE,
        // Of two that make a table at once, one meets the other's type.
        &SqlState::DUPLICATE_OBJECT,
        &SqlState::LOCK_NOT_AVAILABLE,
        &SqlState::QUERY_CANCELED,
    ]
}

/// The server goes, comes, or is not the primary any more.
fn spoiling_codes() -> [&'static SqlState; 8] {
    [
        &SqlState::READ_ONLY_SQL_TRANSACTION,
        &SqlState::ADMIN_SHUTDOWN,
        &SqlState::CRASH_SHUTDOWN,
        &SqlState::CANNOT_CONNECT_NOW,
        &SqlState::TOO_MANY_CONNECTIONS,
        &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        &SqlState::CONNECTION_FAILURE,
        &SqlState::CONNECTION_EXCEPTION,
    ]
}
