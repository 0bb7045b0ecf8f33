//! Opening the file and bringing its schema up to date.
//!
//! WAL, so that readers never wait for the writer; synchronous FULL, so that what was acknowledged survives a power
//! cut (NORMAL is 2 to 60 % faster and may lose the last acknowledgements).

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::speak::Speaking;
use super::{failed, in_transaction};
use crate::store::StoreError;
use crate::store::sql::{at_once, schema};

/// How long a connection waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Statements kept ready per connection: the writer needs about eight per month it is entering.
const STATEMENTS_KEPT: usize = 64;

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

/// Applies the migrations that are missing, all or none.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    in_transaction(connection, |connection| {
        connection
            .execute_batch("CREATE TABLE IF NOT EXISTS schema_versions (version BIGINT NOT NULL PRIMARY KEY)")
            .map_err(failed("reading the schema version"))?;
        at_once(schema::migrate(&mut Speaking(connection), &schema::SQLITE))
    })
}

/// Refuses a database that this program would misread, without changing it.
pub(super) fn expect_current(connection: &mut Connection) -> Result<(), StoreError> {
    schema::expect_current(&at_once(schema::applied(&mut Speaking(connection)))?)
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
        expect_current(&mut connection).unwrap();
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

    #[cfg(unix)]
    #[test]
    fn the_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, path) = file();
        for_writing(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
