//! Statements about several rows at once.

use super::{Cell, Conditions};

/// Rows of a VALUES list.
#[derive(Default)]
pub(super) struct Rows {
    names: Vec<String>,
    /// Their values.
    pub(super) cells: Vec<Cell>,
}

impl Rows {
    /// Appends a row.
    pub(super) fn add(&mut self, row: &[Cell]) {
        let first = self.cells.len() + 1;
        let names: Vec<String> = (first..first + row.len()).map(|number| format!("?{number}")).collect();
        self.names.push(names.join(", "));
        self.cells.extend_from_slice(row);
    }

    /// The list, with the same constants behind each row.
    pub(super) fn values_and(&self, constants: &str) -> String {
        let rows: Vec<String> = self.names.iter().map(|names| format!("({names}{constants})")).collect();
        rows.join(", ")
    }
}

/// The values of an IN list.
pub(super) fn names<'a>(conditions: &mut Conditions, all: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<String> = all.map(|value| conditions.value(value.as_str())).collect();
    names.join(", ")
}
