//! Which database a command works on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use crate::store::{
    AuditReport, Books, PostgresOptions, PostgresStore, SqliteOptions, SqliteStore, StoreError,
};

#[derive(Debug, Args)]
pub(super) struct DatabaseArgs {
    /// The database: sqlite:PATH, or postgres://USER@HOST,HOST/DATABASE; of several hosts the one that takes writes is used
    // A URL may carry a password, and command lines can be seen by others: the environment is the place for that.
    #[arg(long, value_name = "URL", env = "TOLLGATE_DATABASE", hide_env_values = true, value_parser = Database::parse)]
    database: Database,
    /// PEM file of the authority that signed PostgreSQL's certificate, for ?sslmode=require; else public ones are trusted
    #[arg(long, value_name = "FILE")]
    database_ca: Option<PathBuf>,
}

/// A database by its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Database {
    /// A file.
    Sqlite(PathBuf),
    /// A server, or several.
    Postgres(String),
}

impl Database {
    /// Reads a URL.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(url.to_owned()));
        }
        match url.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() => {
                Ok(Self::Sqlite(PathBuf::from(path.strip_prefix("//").unwrap_or(path))))
            }
            _ => Err("a database is given as sqlite:PATH or postgres://HOST/DATABASE".into()),
        }
    }
}

impl Database {
    /// Opens the books and brings their schema up to date.
    pub(super) async fn open(&self, ca: Option<&Path>) -> Result<Arc<dyn Books>, StoreError> {
        Ok(match self {
            Self::Sqlite(path) => Arc::new(SqliteStore::open(&SqliteOptions::new(path))?),
            Self::Postgres(url) => Arc::new(PostgresStore::open(&postgres(url, ca)).await?),
        })
    }

    /// Audits the books without changing anything.
    async fn audit(&self, ca: Option<&Path>) -> Result<AuditReport, StoreError> {
        match self {
            Self::Sqlite(path) => SqliteStore::audit_file(path),
            Self::Postgres(url) => PostgresStore::audit_url(&postgres(url, ca)).await,
        }
    }
}

fn postgres(url: &str, ca: Option<&Path>) -> PostgresOptions {
    PostgresOptions { ca_file: ca.map(Path::to_path_buf), ..PostgresOptions::new(url) }
}

impl DatabaseArgs {
    /// See [`Database::open`].
    pub(super) async fn open(&self) -> Result<Arc<dyn Books>, StoreError> {
        self.database.open(self.database_ca.as_deref()).await
    }

    /// See [`Database::audit`].
    pub(super) async fn audit(&self) -> Result<AuditReport, StoreError> {
        self.database.audit(self.database_ca.as_deref()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_named_by_its_url() {
        let sqlite = |path: &str| Ok(Database::Sqlite(PathBuf::from(path)));
        assert_eq!(Database::parse("sqlite:a/b.db"), sqlite("a/b.db"));
        assert_eq!(Database::parse("sqlite:///var/b.db"), sqlite("/var/b.db"));
        let url = "postgres://me@a,b/books";
        assert_eq!(Database::parse(url), Ok(Database::Postgres(url.into())));
        for wrong in ["mysql://host/db", "sqlite:", "ledger.db", ""] {
            assert!(Database::parse(wrong).is_err(), "{wrong}");
        }
    }
}
