//! Opening the file and bringing its schema up to date.
//!
//! WAL, so that readers never wait for the writer; synchronous FULL, so that what was acknowledged survives a power
//! cut (NORMAL is 2 to 60 % faster and may lose the last acknowledgements).

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::failed;
use crate::store::StoreError;

/// How long a connection waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Statements kept ready per connection: the writer needs about eight per month it is entering.
const STATEMENTS_KEPT: usize = 64;

/// The schema's history. A version is never changed once released; a new one is added.
const MIGRATIONS: &[(u32, &str)] =
    &[(1, include_str!("schema/0001_books.sql")), (2, include_str!("schema/0002_admin.sql"))];

/// Opens for reading and writing, and makes the file if there is none: readable by its owner alone, since it says
/// who used what.
pub(super) fn for_writing(path: &Path) -> Result<Connection, StoreError> {
    make_private(path).map_err(|why| not_opened(path, why))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|why| not_opened(path, why))?;
    let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
         PRAGMA temp_store = MEMORY; PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 16000;";
    prepare(&connection, settings).map_err(|why| not_opened(path, why))?;
    Ok(connection)
}

/// Opens for reading.
pub(super) fn for_reading(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|why| not_opened(path, why))?;
    prepare(&connection, "PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384;")
        .map_err(|why| not_opened(path, why))?;
    Ok(connection)
}

/// Applies the migrations that are missing, each in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let known = latest();
    let found = connection
        .execute_batch("CREATE TABLE IF NOT EXISTS schema_versions (version BIGINT NOT NULL PRIMARY KEY)")
        .and_then(|()| version(connection))
        .map_err(failed("reading the schema version"))?;
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    for (version, text) in MIGRATIONS.iter().filter(|(version, _)| *version > found) {
        apply(connection, *version, text).map_err(failed("migrating the database"))?;
    }
    Ok(())
}

/// Refuses a database that this program would misread, without changing it.
pub(super) fn expect_current(connection: &Connection) -> Result<(), StoreError> {
    let known = latest();
    match version(connection).map_err(failed("reading the schema version"))? {
        found if found > known => Err(StoreError::TooNew { found, known }),
        found if found < known => Err(StoreError::TooOld { found, known }),
        _ => Ok(()),
    }
}

fn latest() -> u32 {
    MIGRATIONS.last().map_or(0, |(version, _)| *version)
}

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("SELECT COALESCE(MAX(version), 0) FROM schema_versions", [], |row| row.get(0))
}

fn apply(connection: &mut Connection, version: u32, text: &str) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(&with_options(text))?;
    transaction.execute("INSERT INTO schema_versions (version) VALUES (?1)", [version])?;
    transaction.commit()
}

/// Takes SQLite's own options out of their comments.
fn with_options(text: &str) -> String {
    let mut parts = text.split("/*sqlite:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |done, part| done + &part.replacen("*/", "", 1))
}

fn prepare(connection: &Connection, settings: &str) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection.execute_batch(settings)
}

fn not_opened(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Open { path: path.display().to_string(), source: Box::new(source) }
}

fn make_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        (folder, path)
    }

    #[test]
    fn migrating_twice_changes_nothing() {
        let (_folder, path) = file();
        let mut connection = for_writing(&path).unwrap();
        migrate(&mut connection).unwrap();
        migrate(&mut connection).unwrap();
        assert_eq!(version(&connection).unwrap(), MIGRATIONS.last().unwrap().0);
    }

    #[test]
    fn versions_only_grow() {
        assert!(MIGRATIONS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn a_database_of_a_later_version_is_left_alone() {
        let (_folder, path) = file();
        let mut connection = for_writing(&path).unwrap();
        migrate(&mut connection).unwrap();
        connection.execute("INSERT INTO schema_versions (version) VALUES (99)", []).unwrap();
        assert!(matches!(migrate(&mut connection), Err(StoreError::TooNew { found: 99, .. })));
    }

    #[test]
    fn commits_are_flushed_to_the_disk() {
        let (_folder, path) = file();
        let connection = for_writing(&path).unwrap();
        let full: u32 = connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap();
        let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
        assert_eq!((full, mode.as_str()), (2, "wal"));
    }

    #[test]
    fn options_are_taken_out_of_their_comments() {
        let text = "CREATE TABLE a (b TEXT) /*sqlite: STRICT*/; /* plain */ SELECT 1 /*sqlite:, 2*/";
        assert_eq!(with_options(text), "CREATE TABLE a (b TEXT)  STRICT; /* plain */ SELECT 1 , 2");
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, path) = file();
        for_writing(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
