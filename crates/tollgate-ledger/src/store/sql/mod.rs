//! What both databases are told in the same words, and the little that it takes to talk to one.
//!
//! A statement is text with ?1, ?2, ... and values; SQLite takes it as it is, PostgreSQL as $1, $2, .... What is written
//! here once runs on both as async functions over [`Sql`]: PostgreSQL answers them over the network, SQLite at
//! once ([`at_once`]). Only what an engine does best in its own way, entering a batch, is written twice. The road not
//! taken is a query builder or an object mapper: the statements are few, and their text is what an operator sees in
//! the database's log.
//!
//! Text for both: sums are cast to BIGINT (PostgreSQL's are NUMERIC), no scalar max(), no FOR UPDATE (an UPDATE takes
//! the same lock), every parameter stands beside a column or in a CAST, so that its type is known.

pub(super) mod admin;
pub(super) mod audit;
pub(super) mod leases;
pub(super) mod months;
pub(super) mod opening;
pub(super) mod report;
mod rows;
pub(super) mod schema;
pub(super) mod shares;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;

use super::StoreError;

/// One value of a row or a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    /// Nothing.
    Null,
    /// Any integer.
    Int(i64),
    /// Any text.
    Text(String),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Cell {
    /// Times and counts beyond the database's integers are beyond everything in it.
    fn from(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Cell {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One row of an answer, read by position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row(pub(super) Vec<Cell>);

impl Row {
    /// A count, an amount or a time.
    pub(super) fn int(&self, at: usize) -> Result<u64, StoreError> {
        match self.0.get(at) {
            Some(Cell::Int(value)) => u64::try_from(*value).map_err(|_| strange(at)),
            _ => Err(strange(at)),
        }
    }

    /// A number of a smaller type.
    pub(super) fn small<T: TryFrom<u64>>(&self, at: usize) -> Result<T, StoreError> {
        T::try_from(self.int(at)?).map_err(|_| strange(at))
    }

    /// The same, where there may be nothing.
    pub(super) fn int_or_null(&self, at: usize) -> Result<Option<u64>, StoreError> {
        match self.0.get(at) {
            Some(Cell::Null) => Ok(None),
            _ => self.int(at).map(Some),
        }
    }

    /// A name, an identity or a document.
    pub(super) fn text(&self, at: usize) -> Result<String, StoreError> {
        match self.0.get(at) {
            Some(Cell::Text(text)) => Ok(text.clone()),
            _ => Err(strange(at)),
        }
    }

    /// True where there is nothing.
    pub(super) fn is_null(&self, at: usize) -> bool {
        matches!(self.0.get(at), Some(Cell::Null))
    }
}

/// A row that is not what its statement should yield: somebody else wrote into the database.
pub(super) fn strange(at: usize) -> StoreError {
    StoreError::engine("reading a row")(format!("column {at} has a value of another kind").into())
}

/// A transaction on a database that speaks SQL.
#[async_trait]
pub(super) trait Sql: Send {
    /// The rows that a statement yields.
    async fn query(
        &mut self,
        doing: &'static str,
        text: &str,
        values: &[Cell],
    ) -> Result<Vec<Row>, StoreError>;

    /// The number of rows that a statement changed.
    async fn execute(&mut self, doing: &'static str, text: &str, values: &[Cell]) -> Result<u64, StoreError>;
}

/// Conditions of a statement and the values they name as ?1, ?2, ...
#[derive(Default)]
pub(super) struct Conditions {
    pub(super) text: Vec<String>,
    pub(super) values: Vec<Cell>,
}

impl Conditions {
    /// Adds a value and returns its name.
    pub(super) fn value(&mut self, value: impl Into<Cell>) -> String {
        self.values.push(value.into());
        format!("?{}", self.values.len())
    }

    /// Adds a condition on a column.
    pub(super) fn compare(&mut self, column: &str, operator: &str, value: impl Into<Cell>) {
        let name = self.value(value);
        self.text.push(format!("{column} {operator} {name}"));
    }

    /// Adds a condition on a column, where there is a value for it.
    pub(super) fn compare_if(&mut self, column: &str, operator: &str, value: Option<impl Into<Cell>>) {
        if let Some(value) = value {
            self.compare(column, operator, value);
        }
    }

    /// All of them, as a WHERE clause takes it.
    pub(super) fn all(&self) -> String {
        if self.text.is_empty() { "TRUE".into() } else { self.text.join(" AND ") }
    }
}

/// The outcome of a future that never waits, as those over SQLite are.
pub(super) fn at_once<T>(future: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(StoreError::engine("asking SQLite")("the answer is not there at once".into())),
    }
}
