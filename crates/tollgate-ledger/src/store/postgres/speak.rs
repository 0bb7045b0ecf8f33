//! PostgreSQL as a database that speaks [`Sql`].

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use tokio_postgres::Statement;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, private::BytesMut, to_sql_checked};

use super::retry::failed;
use crate::store::StoreError;
use crate::store::sql::{Cell, Row, Sql};

/// An open transaction.
pub(super) struct Speaking<'a> {
    transaction: &'a Transaction<'a>,
}

impl<'a> Speaking<'a> {
    /// For statements of many texts, which are not kept ready.
    pub(super) fn once(transaction: &'a Transaction<'a>) -> Self {
        Self { transaction }
    }

    async fn prepare(&self, text: &str) -> Result<Statement, tokio_postgres::Error> {
        self.transaction.prepare(&numbered(text)).await
    }
}

/// ?1 as PostgreSQL writes it.
fn numbered(text: &str) -> String {
    text.replace('?', "$")
}

fn parameters(values: &[Cell]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

#[async_trait]
impl Sql for Speaking<'_> {
    async fn query(
        &mut self,
        doing: &'static str,
        text: &str,
        values: &[Cell],
    ) -> Result<Vec<Row>, StoreError> {
        let statement = self.prepare(text).await.map_err(failed(doing))?;
        let found = self.transaction.query(&statement, &parameters(values)).await.map_err(failed(doing))?;
        found.iter().map(|row| cells(row).map_err(failed(doing))).collect()
    }

    async fn execute(&mut self, doing: &'static str, text: &str, values: &[Cell]) -> Result<u64, StoreError> {
        let statement = self.prepare(text).await.map_err(failed(doing))?;
        self.transaction.execute(&statement, &parameters(values)).await.map_err(failed(doing))
    }
}

fn cells(row: &tokio_postgres::Row) -> Result<Row, tokio_postgres::Error> {
    (0..row.len()).map(|at| row.try_get::<_, Cell>(at)).collect::<Result<_, _>>().map(Row)
}

type Reason = Box<dyn std::error::Error + Sync + Send>;

impl ToSql for Cell {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Reason> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(value) if *kind == Type::INT4 => i32::try_from(*value)?.to_sql(kind, out),
            Self::Int(value) if *kind == Type::INT2 => i16::try_from(*value)?.to_sql(kind, out),
            Self::Int(value) if *kind == Type::INT8 => value.to_sql(kind, out),
            Self::Text(text) if <&str as ToSql>::accepts(kind) => text.as_str().to_sql(kind, out),
            _ => Err(format!("a parameter of another kind than {kind}").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Cell {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Reason> {
        match *kind {
            Type::INT2 => i16::from_sql(kind, raw).map(|value| Self::Int(value.into())),
            Type::INT4 => i32::from_sql(kind, raw).map(|value| Self::Int(value.into())),
            Type::INT8 => i64::from_sql(kind, raw).map(Self::Int),
            _ => <&str>::from_sql(kind, raw).map(Self::from),
        }
    }

    fn from_sql_null(_: &Type) -> Result<Self, Reason> {
        Ok(Self::Null)
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::INT2 | Type::INT4 | Type::INT8) || <&str as FromSql>::accepts(kind)
    }
}
