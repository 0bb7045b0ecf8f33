//! Tables for people: a line a row, in a form that also stands in a document.

use comfy_table::{Cell, CellAlignment, Table, presets};

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    name: &'static str,
    right: bool,
}

impl Column {
    /// Of words.
    pub(super) const fn left(name: &'static str) -> Self {
        Self { name, right: false }
    }

    /// Of numbers.
    pub(super) const fn right(name: &'static str) -> Self {
        Self { name, right: true }
    }

    fn cell(self, text: &str) -> Cell {
        // An empty cell is told from a missing one.
        let cell = Cell::new(if text.is_empty() { "-" } else { text });
        if self.right { cell.set_alignment(CellAlignment::Right) } else { cell }
    }
}

/// A table of these columns.
pub(super) fn of(columns: &[Column], rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(columns.iter().map(|column| column.cell(column.name)));
    for row in rows {
        table.add_row(columns.iter().zip(&row).map(|(column, text)| column.cell(text)));
    }
    table
}
