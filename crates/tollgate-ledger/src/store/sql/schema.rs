//! The schema and its history: one text for both databases.
//!
//! What an engine needs beside the common text stands in a comment that names it, as `/*sqlite: WITHOUT ROWID*/`.

use super::{Sql, months};
use crate::store::StoreError;

/// The schema's history. A version is never changed once released; a new one is added. A statement about [`MONTH`] runs for
/// every month that is there.
const MIGRATIONS: &[(u32, &str)] = &[
    (1, include_str!("../schema/0001_books.sql")),
    (2, include_str!("../schema/0002_admin.sql")),
    (3, include_str!("../schema/0003_leases.sql")),
    (4, include_str!("../schema/0004_exempt.sql")),
    (5, include_str!("../schema/0005_dimensions.sql")),
    (6, include_str!("../schema/0006_shares.sql")),
];

/// Stands for the name of a month's table.
pub(in crate::store) const MONTH: &str = "entries_YYYYMM";

/// Stands for a month's first millisecond.
const MONTH_MS: &str = "MONTH_MS";

/// A month of the audit trail.
pub(in crate::store) const ENTRIES: &str = include_str!("../schema/entries.sql");

const CHANGING: &str = "changing the schema";

/// The latest version.
pub(in crate::store) fn latest() -> u32 {
    MIGRATIONS.last().map_or(0, |(version, _)| *version)
}

/// The migrations that a database lacks which has these.
pub(in crate::store) fn missing(applied: &[u32]) -> Vec<(u32, &'static str)> {
    MIGRATIONS.iter().filter(|(version, _)| !applied.contains(version)).copied().collect()
}

/// The versions that a database has; the table must be there.
pub(in crate::store) async fn applied(sql: &mut dyn Sql) -> Result<Vec<u32>, StoreError> {
    let text = "SELECT version FROM schema_versions WHERE version > 0 ORDER BY version";
    let rows = sql.query("reading the schema version", text, &[]).await?;
    rows.iter().map(|row| row.small(0)).collect()
}

/// Refuses a database that this program would misread, without changing it.
pub(in crate::store) fn expect_current(applied: &[u32]) -> Result<(), StoreError> {
    let (known, found) = (latest(), applied.last().copied().unwrap_or(0));
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    if missing(applied).is_empty() { Ok(()) } else { Err(StoreError::TooOld { found, known }) }
}

/// Applies the migrations that are missing, in the transaction that the caller holds. `engine` is the engine's name
/// in the comments.
pub(in crate::store) async fn migrate(sql: &mut dyn Sql, engine: &Dialect) -> Result<(), StoreError> {
    let applied = applied(sql).await?;
    let (known, found) = (latest(), applied.last().copied().unwrap_or(0));
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    for (version, text) in missing(&applied) {
        for statement in statements(&engine.adapt(text)) {
            if !statement.contains(MONTH) {
                sql.execute(CHANGING, &statement, &[]).await?;
                continue;
            }
            for month in months::present(sql).await? {
                let statement = statement.replace(MONTH, &months::table(month));
                let statement = statement.replace(MONTH_MS, &month.start_ms().to_string());
                sql.execute(CHANGING, &statement, &[]).await?;
            }
        }
        let note = "INSERT INTO schema_versions (version) VALUES (?1)";
        sql.execute("migrating the database", note, &[version.into()]).await?;
    }
    Ok(())
}

/// Runs a text of several statements.
pub(in crate::store) async fn run(sql: &mut dyn Sql, engine: &Dialect, text: &str) -> Result<(), StoreError> {
    for statement in statements(&engine.adapt(text)) {
        sql.execute(CHANGING, &statement, &[]).await?;
    }
    Ok(())
}

/// How an engine wants the common text.
#[derive(Debug)]
pub(in crate::store) struct Dialect {
    /// Its name in comments.
    pub(in crate::store) name: &'static str,
    /// What TEXT is called, so that text is compared by its bytes whatever the database's locale.
    pub(in crate::store) text: &'static str,
}

/// SQLite compares by bytes by itself.
pub(in crate::store) const SQLITE: Dialect = Dialect { name: "sqlite", text: "TEXT" };

/// PostgreSQL compares by the database's locale unless told otherwise.
pub(in crate::store) const POSTGRES: Dialect = Dialect { name: "postgres", text: "TEXT COLLATE \"C\"" };

impl Dialect {
    /// Takes the engine's own options out of their comments and gives text its type.
    fn adapt(&self, text: &str) -> String {
        let mark = format!("/*{}:", self.name);
        let mut parts = text.split(mark.as_str());
        let first = parts.next().unwrap_or_default().to_owned();
        let text = parts.fold(first, |done, part| done + &part.replacen("*/", "", 1));
        [" ", ",", "\n"].iter().fold(text, |text, behind| {
            text.replace(&format!(" TEXT{behind}"), &format!(" {}{behind}", self.text))
        })
    }
}

/// The statements of a text, without comment lines. No literal in the schema has a semicolon.
fn statements(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("--"));
    let text = lines.collect::<Vec<_>>().join("\n");
    text.split(';').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_only_grow() {
        assert!(MIGRATIONS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn options_are_taken_out_of_their_comments() {
        let text = "CREATE TABLE a (b TEXT) /*sqlite: STRICT*/; /* plain */ SELECT 1 /*sqlite:, 2*/";
        let adapted = SQLITE.adapt(text);
        assert_eq!(adapted, "CREATE TABLE a (b TEXT)  STRICT; /* plain */ SELECT 1 , 2");
        assert_eq!(POSTGRES.adapt("a TEXT NOT NULL"), "a TEXT COLLATE \"C\" NOT NULL");
    }

    #[test]
    fn every_text_column_of_the_schema_gets_its_collation() {
        for text in MIGRATIONS.iter().map(|(_, text)| *text).chain([ENTRIES]) {
            for statement in statements(&POSTGRES.adapt(text)) {
                let columns = statement.matches(" TEXT").count();
                assert_eq!(columns, statement.matches(" TEXT COLLATE \"C\"").count(), "{statement}");
            }
        }
    }

    #[test]
    fn a_text_is_cut_into_its_statements() {
        assert_eq!(statements("-- a; b\nSELECT 1;\n\n  -- c\nSELECT\n 2;\n"), ["SELECT 1", "SELECT\n 2"]);
    }
}
