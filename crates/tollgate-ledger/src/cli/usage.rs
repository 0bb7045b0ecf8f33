//! `tollgate usage`: a table with a line of totals.

use std::io::Write;

use comfy_table::{Cell, CellAlignment, Table, presets};
use tollgate_wire::NanoUsd;

use super::{Answer, Ended, UsageArgs, client::Client};
use crate::service::{UsageGroup, UsagePage};
use crate::store::{Dimension, Sums};

const PAGE: &str = "5000";

pub(super) fn usage(args: &UsageArgs, out: &mut dyn Write) -> Answer {
    let page = fetch(args)?;
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&page)?)?;
    } else {
        writeln!(out, "{}", table(&page))?;
    }
    Ok(Ended::Well)
}

/// All pages as one. The totals are those of the last page, which saw what the rows saw or more.
fn fetch(args: &UsageArgs) -> Result<UsagePage, super::client::ClientError> {
    let client = Client::new(&args.ledger)?;
    let mut rows: Vec<UsageGroup> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![
            ("window", Some(args.window.as_str())),
            ("from", args.from.as_deref()),
            ("to", args.to.as_deref()),
            ("group_by", Some(args.group_by.as_str())),
            ("limit", Some(PAGE)),
            ("cursor", cursor.as_deref()),
        ];
        query.extend(args.names.query());
        let mut page: UsagePage = Client::json(client.get("/v1/usage", &query)?)?;
        rows.append(&mut page.rows);
        cursor = page.next.take();
        if cursor.is_none() {
            return Ok(UsagePage { rows, ..page });
        }
    }
}

const FIGURES: [&str; 7] = ["requests", "refused", "input", "cached", "output", "cost $", "credits"];

fn table(page: &UsagePage) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let names = page.group_by.iter().map(|dimension| Cell::new(dimension.as_str()));
    table.set_header(names.chain(FIGURES.map(right)));
    for row in &page.rows {
        let group = page.group_by.iter().map(|dimension| Cell::new(named(row.value(*dimension))));
        table.add_row(group.chain(figures(&row.sums).map(right)));
    }
    let label = |(at, _): (usize, &Dimension)| Cell::new(if at == 0 { "total" } else { "" });
    table.add_row(page.group_by.iter().enumerate().map(label).chain(figures(&page.totals).map(right)));
    table
}

fn named(value: &str) -> &str {
    if value.is_empty() { "-" } else { value }
}

fn right(text: impl ToString) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

fn figures(sums: &Sums) -> [String; 7] {
    let input = sums.input + sums.cache_read + sums.cache_write;
    [
        sums.requests.to_string(),
        sums.refused.to_string(),
        input.0.to_string(),
        (sums.cache_read + sums.cache_write).0.to_string(),
        sums.output.0.to_string(),
        dollars(sums.cost_nusd),
        millionths(sums.credits.0),
    ]
}

/// Dollars, exact, with at least two decimals.
fn dollars(amount: NanoUsd) -> String {
    let text = amount.to_string();
    let cut = text.trim_end_matches('0').len();
    let cents = text.find('.').map_or(text.len(), |point| point + 3);
    text.get(..cut.max(cents)).unwrap_or(&text).to_owned()
}

/// Credits, exact, without decimals that are zero.
fn millionths(amount: u64) -> String {
    let text = format!("{}.{:06}", amount / 1_000_000, amount % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_exact_and_have_cents() {
        assert_eq!(dollars(NanoUsd(1_558_500)), "0.0015585");
        assert_eq!(dollars(NanoUsd(5_000_000_000)), "5.00");
        assert_eq!(dollars(NanoUsd(1)), "0.000000001");
        assert_eq!(dollars(NanoUsd(0)), "0.00");
    }

    #[test]
    fn credits_show_the_decimals_they_have() {
        assert_eq!(millionths(10_000_000), "10");
        assert_eq!(millionths(2_500_000), "2.5");
        assert_eq!(millionths(0), "0");
    }

    #[test]
    fn a_table_ends_in_its_totals() {
        let sums = Sums { requests: 3, refused: 1, cost_nusd: NanoUsd(7), ..Sums::default() };
        let row = UsageGroup { consumer: Some("alice".into()), sums, ..UsageGroup::default() };
        let page = UsagePage {
            window: crate::calendar::WindowKind::Month,
            group_by: vec![Dimension::Consumer],
            rows: vec![row],
            totals: sums,
            next: None,
        };
        let text = table(&page).to_string();
        assert!(text.contains("alice"), "{text}");
        let total = text.lines().find(|line| line.contains("total")).unwrap();
        assert!(total.contains("0.000000007"), "{total}");
    }
}
