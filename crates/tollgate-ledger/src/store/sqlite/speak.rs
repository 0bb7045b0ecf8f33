//! SQLite as a database that speaks [`Sql`]: it answers at once, on the thread that asks.

use async_trait::async_trait;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

use super::failed;
use crate::store::StoreError;
use crate::store::sql::{Cell, Row, Sql};

/// A connection inside a transaction.
pub(super) struct Speaking<'a>(pub(super) &'a mut Connection);

#[async_trait]
impl Sql for Speaking<'_> {
    async fn query(
        &mut self,
        doing: &'static str,
        text: &str,
        values: &[Cell],
    ) -> Result<Vec<Row>, StoreError> {
        rows(self.0, text, values).map_err(failed(doing))
    }

    async fn execute(&mut self, doing: &'static str, text: &str, values: &[Cell]) -> Result<u64, StoreError> {
        let changed = self.0.prepare_cached(text).and_then(|mut statement| {
            let changed = statement.execute(params_from_iter(values))?;
            Ok(u64::try_from(changed).unwrap_or(u64::MAX))
        });
        changed.map_err(failed(doing))
    }
}

fn rows(connection: &Connection, text: &str, values: &[Cell]) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare_cached(text)?;
    let columns = statement.column_count();
    let rows = statement.query_map(params_from_iter(values), |row| {
        (0..columns).map(|at| cell(row.get_ref(at)?, at)).collect::<rusqlite::Result<_>>().map(Row)
    })?;
    rows.collect()
}

fn cell(value: ValueRef<'_>, at: usize) -> rusqlite::Result<Cell> {
    match value {
        ValueRef::Null => Ok(Cell::Null),
        ValueRef::Integer(value) => Ok(Cell::Int(value)),
        ValueRef::Text(text) => std::str::from_utf8(text)
            .map(Cell::from)
            .map_err(|why| rusqlite::Error::FromSqlConversionFailure(at, value.data_type(), why.into())),
        other => Err(rusqlite::Error::FromSqlConversionFailure(
            at,
            other.data_type(),
            "neither a number nor text".into(),
        )),
    }
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}
