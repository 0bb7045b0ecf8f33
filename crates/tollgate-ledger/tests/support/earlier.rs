//! Books as an earlier version of the schema had them, for tests of what brings them up to date.

use tollgate_ledger::calendar::{Month, WindowKind};
use tollgate_ledger::store::{Dimension, KeyPart, Store, UsageQuery};
use tollgate_wire::Tally;

use super::{NOON_MS, all_entries, batch, by, tally};

/// Entries with a workflow and without, in two days and two months, and a month of which only the usage is left.
pub async fn fill(store: &dyn Store) {
    let with = |number, workflow: &str| Tally { workflow: workflow.into(), ..tally(number) };
    let at = |at_ms, tally| Tally { at_ms, ..tally };
    let dropped = Month::of(NOON_MS).back(4);
    let (january, tomorrow) = (Month::of(NOON_MS).next().next().start_ms(), NOON_MS + 86_400_000);
    let tallies = vec![
        with(1, ""),
        with(2, "report"),
        with(4, "report"),
        at(tomorrow, with(8, "support")),
        at(january, with(16, "report")),
        at(dropped.start_ms(), with(32, "report")),
    ];
    store.ingest(batch(1, tallies)).await.unwrap();
    assert_eq!(store.retain(NOON_MS, dropped.next()).await.unwrap(), [dropped]);
}

/// Statements that make books of [`fill`] into those of version 4: as they would be if it had filled them.
pub fn version_4() -> String {
    let books = include_str!("../../src/store/schema/0001_books.sql");
    let (_, table) = books.split_once("CREATE TABLE usage_windows").unwrap();
    let table = format!("CREATE TABLE usage_windows{}", table.split(';').next().unwrap());
    let key = "window_kind, window_start_ms, consumer, team, project, tier, provider, model, action, shard";
    let sums =
        "requests refused errors estimated input cache_read cache_write output reasoning cost_nusd credits";
    let sums: Vec<String> = sums.split(' ').map(|column| format!("SUM({column})")).collect();
    let without = |month: Month| {
        let drop = |column| format!("ALTER TABLE entries_{} DROP COLUMN {column};\n", month.yyyymm());
        ["tool", "interface", "region"].map(drop).concat()
    };
    let now = Month::of(NOON_MS);
    format!(
        "{}{}{}ALTER TABLE usage_windows RENAME TO usage_later;
         {};
         INSERT INTO usage_windows SELECT {key}, {} FROM usage_later GROUP BY {key};
         DROP TABLE usage_later;
         DROP TABLE rates;
         DELETE FROM schema_versions WHERE version > 4;\n",
        without(now),
        without(now.next()),
        without(now.next().next()),
        // Its key's name is still the other table's.
        table.replace("PRIMARY KEY", "CONSTRAINT usage_of_4 PRIMARY KEY"),
        sums.join(", "),
    )
}

/// The same for version 3.
pub fn version_3() -> String {
    let now = Month::of(NOON_MS);
    let drop = |month: Month| format!("ALTER TABLE entries_{} DROP COLUMN exempt;\n", month.yyyymm());
    let months = [now, now.next(), now.next().next()].map(drop).concat();
    format!("{}{months}DELETE FROM schema_versions WHERE version > 3;\n", version_4())
}

/// The books of [`fill`] know now what they were not asked then, and take what is new.
pub async fn assert_up_to_date(store: &dyn Store) {
    let workflows = async |kind| {
        let rows = store.usage(UsageQuery { kind, ..by(&[Dimension::Window, Dimension::Workflow]) }).await;
        let costs = rows.unwrap().rows.into_iter().map(|row| (row.key[1].clone(), row.sums.cost_nusd.0));
        costs.collect::<Vec<_>>()
    };
    let of = |all: &[(&str, u64)]| {
        all.iter().map(|(name, cost)| (KeyPart::Text((*name).into()), *cost)).collect::<Vec<_>>()
    };
    // The first is of the month without entries: nobody knows its workflow any more.
    let months = of(&[("", 32), ("", 1), ("report", 6), ("support", 8), ("report", 16)]);
    assert_eq!(workflows(WindowKind::Month).await, months);
    assert_eq!(workflows(WindowKind::Day).await, months);
    let new = Tally { exempt: true, tool: "search".into(), interface: "web".into(), ..tally(64) };
    store.ingest(batch(2, vec![new.clone()])).await.unwrap();
    let entries = all_entries(store).await;
    assert_eq!(entries.len(), 6);
    let found = entries.into_iter().find(|entry| entry.tally.exempt).unwrap();
    assert_eq!(found.tally, new);
    let rows = store.usage(by(&[Dimension::Tool, Dimension::Interface])).await.unwrap().rows;
    let costs: Vec<u64> = rows.iter().map(|row| row.sums.cost_nusd.0).collect();
    assert_eq!(costs, [63, 64]);
}
