//! What a store is: this list of scenarios, written once and stamped for every engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::sync::Arc;

use support::*;
use tollgate_ledger::calendar::{DAY_MS, Month, WindowKind};
use tollgate_ledger::store::{
    Alert, BATCH_MEMORY_MS, Dimension, EntriesQuery, Ingested, KeyPart, MemoryStore, Opening, OpeningQuery,
    PostgresStore, SqliteOptions, SqliteStore, Store, StoreError, Sums, UsageFilter, UsageQuery,
};
use tollgate_wire::{NanoUsd, Outcome, Tally, TokenCount, Warning, WindowRange};

macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Arc::new(super::MemoryStore::new())).await;
            })*
        }

        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let folder = tempfile::tempdir().unwrap();
                let options = super::SqliteOptions::new(folder.path().join("ledger.db"));
                let store = super::Arc::new(super::SqliteStore::open(&options).unwrap());
                super::$name(store.clone()).await;
                // Whatever the scenario did, the books are right after it.
                let report = super::SqliteStore::audit_file(&options.path).unwrap();
                assert_eq!(report.differences, []);
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let schema = super::support::postgres::Schema::new().await;
                super::$name(schema.open().await).await;
                let report = super::PostgresStore::audit_url(&schema.options).await.unwrap();
                assert_eq!(report.differences, []);
            })*
        }
    };
}

scenarios! {
    a_batch_is_entered_once,
    a_resent_batch_changes_nothing,
    a_used_number_with_other_tallies_is_a_conflict,
    a_guid_in_two_batches_is_one_entry,
    a_guid_twice_in_a_batch_is_one_entry,
    a_gap_in_the_numbers_is_accepted,
    number_zero_only_says_hello,
    batches_sent_at_once_are_all_entered_once,
    a_merged_tally_counts_its_requests,
    outcomes_are_counted_apart,
    a_batch_over_the_end_of_a_month_is_in_both,
    usage_is_filtered_and_totals_cover_all_pages,
    usage_by_day_shows_the_days,
    entries_come_back_whole_and_in_order,
    entries_are_paged_over_months,
    usage_is_told_by_tool_workflow_and_interface,
    entries_are_chosen_by_name_and_region,
    an_opening_is_what_other_processes_of_the_node_were_charged,
    an_opening_counts_in_the_windows_asked_for,
    an_opening_is_paged_without_loss,
    an_opening_finds_its_consumers_among_many,
    an_opening_reads_a_consumer_with_many_entries_in_steps,
    an_opening_tells_apart_what_limits_can_be_keyed_by,
    a_node_without_a_name_has_no_opening,
    an_alert_fires_once_a_day,
    retention_drops_whole_months_and_keeps_their_usage,
    a_dropped_month_is_never_entered_again,
    a_batch_older_than_the_memory_of_numbers_is_not_entered_again,
    a_closed_store_says_so,
}

type Books = Arc<dyn Store>;

async fn a_batch_is_entered_once(store: Books) {
    let outcome = store.ingest(batch(1, vec![tally(1), tally(2)])).await.unwrap();
    assert_eq!(outcome, applied(2, 0, 3));
    let totals = totals(&*store).await;
    assert_eq!((totals.requests, totals.cost_nusd, totals.output), (2, NanoUsd(3), TokenCount(14)));
}

async fn a_resent_batch_changes_nothing(store: Books) {
    let first = batch(1, vec![tally(1), tally(2)]);
    store.ingest(first.clone()).await.unwrap();
    let before = everything(&*store).await;
    assert_eq!(store.ingest(first).await.unwrap(), Ingested::Repeated);
    assert_eq!(everything(&*store).await, before);
}

async fn a_used_number_with_other_tallies_is_a_conflict(store: Books) {
    store.ingest(batch(1, vec![tally(1)])).await.unwrap();
    let before = everything(&*store).await;
    for other in [vec![tally(2)], vec![tally(1), tally(2)], vec![], vec![Tally { status: 500, ..tally(1) }]] {
        assert_eq!(store.ingest(batch(1, other)).await.unwrap(), Ingested::Conflict);
    }
    let impostor = batch_of("p2", "w1", "edge-1", 1, vec![tally(1)]);
    assert_eq!(store.ingest(impostor).await.unwrap(), Ingested::Conflict);
    assert_eq!(everything(&*store).await, before);
}

async fn a_guid_in_two_batches_is_one_entry(store: Books) {
    store.ingest(batch(1, vec![tally(1), tally(2)])).await.unwrap();
    assert_eq!(store.ingest(batch(2, vec![tally(2), tally(3)])).await.unwrap(), applied(1, 1, 3));
    let other = batch_of("p2", "w2", "edge-2", 1, vec![tally(3)]);
    assert_eq!(store.ingest(other).await.unwrap(), applied(0, 1, 0));
    assert_eq!(totals(&*store).await.cost_nusd, NanoUsd(6));
}

async fn a_guid_twice_in_a_batch_is_one_entry(store: Books) {
    assert_eq!(store.ingest(batch(1, vec![tally(1), tally(1)])).await.unwrap(), applied(1, 1, 1));
    assert_eq!(totals(&*store).await.requests, 1);
}

async fn a_gap_in_the_numbers_is_accepted(store: Books) {
    for seq in [1, 5, 3] {
        assert_eq!(store.ingest(batch(seq, vec![tally(seq)])).await.unwrap(), applied(1, 0, seq));
    }
    assert_eq!(totals(&*store).await.requests, 3);
}

async fn number_zero_only_says_hello(store: Books) {
    for _ in 0..2 {
        assert_eq!(store.ingest(batch(0, vec![])).await.unwrap(), applied(0, 0, 0));
    }
    assert_eq!(store.ingest(batch(1, vec![])).await.unwrap(), applied(0, 0, 0));
    assert_eq!(store.ingest(batch(1, vec![])).await.unwrap(), Ingested::Repeated);
    assert_eq!(totals(&*store).await, Sums::default());
}

async fn batches_sent_at_once_are_all_entered_once(store: Books) {
    let mut tasks = tokio::task::JoinSet::new();
    for round in 0..2 {
        for number in 0..40u64 {
            let store = store.clone();
            tasks.spawn(async move {
                let worker = format!("w{}", number % 4);
                let tallies = (0..25).map(|at| tally(number * 25 + at)).collect();
                let outcome = store.ingest(batch_of("p1", &worker, "edge-1", 1 + number / 4, tallies)).await;
                (round, outcome.unwrap())
            });
        }
    }
    let outcomes = tasks.join_all().await;
    let repeated = outcomes.iter().filter(|(_, outcome)| *outcome == Ingested::Repeated).count();
    assert_eq!((outcomes.len(), repeated), (80, 40));
    let totals = totals(&*store).await;
    assert_eq!((totals.requests, totals.cost_nusd), (1000, NanoUsd((0..1000).sum())));
}

async fn a_merged_tally_counts_its_requests(store: Books) {
    let merged = Tally { requests: 40, ..tally(9) };
    store.ingest(batch(1, vec![tally(1), merged])).await.unwrap();
    let totals = totals(&*store).await;
    assert_eq!((totals.requests, totals.cost_nusd, totals.input), (41, NanoUsd(10), TokenCount(20)));
}

async fn outcomes_are_counted_apart(store: Books) {
    let outcomes =
        [Outcome::Ok, Outcome::Estimated, Outcome::Aborted, Outcome::Error, Outcome::Refused, Outcome::Ended];
    let tallies = outcomes.iter().zip(1..).map(|(outcome, number)| Tally {
        outcome: *outcome,
        requests: 1 << number,
        ..tally(number)
    });
    store.ingest(batch(1, tallies.collect())).await.unwrap();
    let totals = totals(&*store).await;
    assert_eq!((totals.requests, totals.estimated, totals.errors, totals.refused), (126, 4, 16, 32));
}

async fn a_batch_over_the_end_of_a_month_is_in_both(store: Books) {
    let december = Month::of(NOON_MS).next().start_ms();
    let at = |number, at_ms| Tally { at_ms, ..tally(number) };
    store.ingest(batch(1, vec![at(1, december - 1), at(2, december)])).await.unwrap();
    assert_eq!(
        store.ingest(batch(2, vec![at(1, december - 1), at(2, december)])).await.unwrap(),
        applied(0, 2, 0)
    );
    let report = store.usage(by(&[Dimension::Window])).await.unwrap();
    let months: Vec<_> = report.rows.iter().map(|row| (row.key[0].clone(), row.sums.cost_nusd.0)).collect();
    let november = Month::of(NOON_MS).start_ms();
    assert_eq!(months, [(KeyPart::Window(november), 1), (KeyPart::Window(december), 2)]);
    assert_eq!(all_entries(&*store).await.len(), 2);
}

async fn usage_is_filtered_and_totals_cover_all_pages(store: Books) {
    let tallies = (1..=60).map(varied_tally).collect();
    store.ingest(batch(1, tallies)).await.unwrap();
    let equals = vec![(Dimension::Tier, "pro".to_owned())];
    let filter = UsageFilter { equals, ..UsageFilter::default() };
    let group_by = vec![Dimension::Consumer, Dimension::Window, Dimension::Model];
    let all = UsageQuery { filter, ..by(&group_by) };
    let whole = store.usage(all.clone()).await.unwrap();
    let mut expected = Sums::default();
    (1..=60).map(varied_tally).filter(|t| t.tier == "pro").for_each(|t| expected.add(&Sums::of(&t)));
    assert_eq!(whole.totals, expected);
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let page = store.usage(UsageQuery { after, limit: 3, ..all.clone() }).await.unwrap();
        assert_eq!(page.totals, expected);
        let Some(last) = page.rows.last() else { break };
        after = Some(last.key.clone());
        rows.extend(page.rows);
    }
    assert_eq!(rows, whole.rows);
    assert!(rows.is_sorted_by(|one, other| one.key < other.key), "{rows:?}");
}

async fn usage_by_day_shows_the_days(store: Books) {
    let later = Tally { at_ms: NOON_MS + DAY_MS, ..tally(2) };
    store.ingest(batch(1, vec![tally(1), later])).await.unwrap();
    let today = NOON_MS - NOON_MS % DAY_MS;
    let days = UsageQuery { kind: WindowKind::Day, ..by(&[Dimension::Window]) };
    let report = store.usage(days.clone()).await.unwrap();
    assert_eq!(report.rows.len(), 2);
    let only = |from_ms, before_ms| UsageFilter { from_ms, before_ms, equals: vec![] };
    let first = UsageQuery { filter: only(None, Some(today + DAY_MS)), ..days.clone() };
    let first = store.usage(first).await.unwrap();
    assert_eq!((first.rows.len(), first.totals.cost_nusd), (1, NanoUsd(1)));
    let second = UsageQuery { filter: only(Some(today + DAY_MS), None), ..days };
    assert_eq!(store.usage(second).await.unwrap().totals.cost_nusd, NanoUsd(2));
}

async fn entries_come_back_whole_and_in_order(store: Books) {
    let warnings = vec![Warning { limit: "cost-per-day".into(), percent: 80 }];
    let refused_by = "x".to_owned();
    let workflow = "w".to_owned();
    let tallies: Vec<Tally> = (1..=30)
        .map(|number| Tally {
            warnings: warnings.clone(),
            refused_by: refused_by.clone(),
            workflow: workflow.clone(),
            ..varied_tally(number)
        })
        .collect();
    store.ingest(batch(7, tallies.iter().rev().cloned().collect())).await.unwrap();
    let entries = all_entries(&*store).await;
    assert_eq!(entries.iter().map(|entry| entry.tally.clone()).collect::<Vec<_>>(), tallies);
    let from = |entry: &tollgate_ledger::store::Entry| {
        (entry.process.clone(), entry.worker.clone(), entry.node.clone(), entry.seq)
    };
    assert!(entries.iter().all(|entry| from(entry) == ("p1".into(), "w1".into(), "edge-1".into(), 7)));
}

async fn entries_are_paged_over_months(store: Books) {
    // Two of each moment, so that a page can end between them.
    let tallies =
        (1..=40).map(|number| Tally { at_ms: varied_tally(number / 2).at_ms, ..varied_tally(number) });
    store.ingest(batch(1, tallies.collect())).await.unwrap();
    let equals = vec![(Dimension::Consumer, "alice".to_owned())];
    let query = EntriesQuery { equals, limit: 1000, ..EntriesQuery::default() };
    let whole = store.entries(query.clone()).await.unwrap();
    assert_eq!(whole.len(), 10);
    let mut paged = Vec::new();
    let mut after = None;
    loop {
        let page = store.entries(EntriesQuery { after, limit: 3, ..query.clone() }).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.cursor());
        paged.extend(page);
    }
    assert_eq!(paged, whole);
    let (from_ms, before_ms) = (Some(whole[2].tally.at_ms), Some(whole[7].tally.at_ms));
    let part = store.entries(EntriesQuery { from_ms, before_ms, ..query }).await.unwrap();
    assert_eq!(part, whole[2..7]);
}

/// A call of a tool, through an interface, in a workflow and a region.
fn call_of(tool: &str, interface: &str, number: u64) -> Tally {
    let (tool, interface) = (tool.to_owned(), interface.to_owned());
    Tally { tool, interface, workflow: "support".into(), region: "eu".into(), ..tally(number) }
}

async fn usage_is_told_by_tool_workflow_and_interface(store: Books) {
    let calls =
        vec![call_of("search", "web", 1), call_of("search", "telegram", 2), call_of("weather", "web", 4)];
    store.ingest(batch(1, [calls, vec![tally(8)]].concat())).await.unwrap();
    let costs = async |dimension| {
        let rows = store.usage(by(&[dimension])).await.unwrap().rows;
        let text = |part: &KeyPart| match part {
            KeyPart::Text(text) => text.clone(),
            KeyPart::Window(start_ms) => panic!("{start_ms} is no name"),
        };
        rows.iter().map(|row| (text(&row.key[0]), row.sums.cost_nusd.0)).collect::<Vec<_>>()
    };
    let named =
        |all: &[(&str, u64)]| all.iter().map(|(name, cost)| ((*name).to_owned(), *cost)).collect::<Vec<_>>();
    assert_eq!(costs(Dimension::Tool).await, named(&[("", 8), ("search", 3), ("weather", 4)]));
    assert_eq!(costs(Dimension::Interface).await, named(&[("", 8), ("telegram", 2), ("web", 5)]));
    assert_eq!(costs(Dimension::Workflow).await, named(&[("", 8), ("support", 7)]));
    let equals = vec![(Dimension::Tool, "search".to_owned()), (Dimension::Interface, "web".to_owned())];
    let filter = UsageFilter { equals, ..UsageFilter::default() };
    let report = store.usage(UsageQuery { filter, ..by(&[Dimension::Workflow]) }).await.unwrap();
    assert_eq!((report.rows.len(), report.totals.cost_nusd), (1, NanoUsd(1)));
}

async fn entries_are_chosen_by_name_and_region(store: Books) {
    let elsewhere = Tally { region: "us".into(), ..call_of("search", "web", 3) };
    let tallies = vec![call_of("search", "web", 1), call_of("weather", "web", 2), elsewhere, tally(4)];
    store.ingest(batch(1, tallies)).await.unwrap();
    let chosen = async |equals: &[(Dimension, &str)], region: Option<&str>| {
        let equals = equals.iter().map(|(dimension, value)| (*dimension, (*value).to_owned())).collect();
        let query =
            EntriesQuery { equals, region: region.map(str::to_owned), limit: 9, ..EntriesQuery::default() };
        let entries = store.entries(query).await.unwrap();
        entries.iter().map(|entry| entry.tally.cost_nusd.0).collect::<Vec<_>>()
    };
    assert_eq!(chosen(&[(Dimension::Tool, "search")], None).await, [1, 3]);
    assert_eq!(chosen(&[(Dimension::Tool, "search"), (Dimension::Interface, "web")], Some("eu")).await, [1]);
    assert_eq!(chosen(&[(Dimension::Workflow, "")], None).await, [4]);
    assert_eq!(chosen(&[], Some("us")).await, [3]);
    assert_eq!(chosen(&[(Dimension::Tool, "search"), (Dimension::Model, "x")], None).await, [0; 0]);
}

fn opening(windows: Vec<WindowRange>) -> OpeningQuery {
    let (node, process) = ("edge-1".into(), "p9".into());
    OpeningQuery { node, process, windows, after: None, limit: 1000, entries: 1000 }
}

fn always() -> Vec<WindowRange> {
    vec![WindowRange { start_ms: 0, end_ms: u64::MAX }]
}

async fn an_opening_is_what_other_processes_of_the_node_were_charged(store: Books) {
    let refused = Tally { outcome: Outcome::Refused, ..tally(32) };
    let merged = Tally { requests: 5, ..tally(2) };
    store.ingest(batch_of("p1", "w1", "edge-1", 1, vec![tally(1), merged, refused])).await.unwrap();
    store.ingest(batch_of("p2", "w2", "edge-1", 1, vec![tally(4)])).await.unwrap();
    store.ingest(batch_of("p3", "w3", "edge-2", 1, vec![tally(8)])).await.unwrap();
    store.ingest(batch_of("p9", "w9", "edge-1", 1, vec![tally(16)])).await.unwrap();
    let (balances, ..) = opened(&*store, opening(always())).await;
    assert_eq!(balances.len(), 1);
    let balance = &balances[0];
    assert_eq!((balance.requests, balance.cost_nusd, balance.credits.0), (7, NanoUsd(7), 14));
    assert_eq!((balance.input, balance.output), (TokenCount(45), TokenCount(21)));
    assert_eq!((balance.consumer.as_str(), balance.model.as_str()), ("alice", "gpt-5.4-mini"));
}

async fn an_opening_counts_in_the_windows_asked_for(store: Books) {
    let december = Month::of(NOON_MS).next().start_ms();
    let at = |number, at_ms| Tally { at_ms, ..tally(number) };
    let tallies = vec![at(1, december - 2), at(2, december - 1), at(4, december), at(8, december + 1)];
    store.ingest(batch(1, tallies)).await.unwrap();
    let window = |start_ms, end_ms| WindowRange { start_ms, end_ms };
    let windows = vec![
        window(december - 1, december + 1),
        window(december, december + 9),
        window(december - 2, december - 1),
    ];
    for entries in [1000, 1] {
        let (balances, ..) = opened(&*store, OpeningQuery { entries, ..opening(windows.clone()) }).await;
        let costs: Vec<_> = balances.iter().map(|balance| (balance.window, balance.cost_nusd.0)).collect();
        assert_eq!(costs, [(0, 6), (1, 12), (2, 1)]);
    }
}

async fn an_opening_tells_apart_what_limits_can_be_keyed_by(store: Books) {
    let tools = [("grep", 1), ("sed", 16)].map(|(tool, cost)| Tally { tool: tool.into(), ..tally(cost) });
    let others = [
        Tally { workflow: "nightly".into(), ..tally(2) },
        Tally { interface: "web".into(), ..tally(4) },
        Tally { region: "eu".into(), ..tally(8) },
    ];
    store.ingest(batch(1, tools.into_iter().chain(others).collect())).await.unwrap();
    let (balances, ..) = opened(&*store, opening(always())).await;
    let mut keys: Vec<_> = balances
        .iter()
        .map(|of| (of.cost_nusd.0, [&of.tool, &of.workflow, &of.interface, &of.region].map(String::as_str)))
        .collect();
    keys.sort_unstable();
    let expected = [
        (1, ["grep", "", "", ""]),
        (2, ["", "nightly", "", ""]),
        (4, ["", "", "web", ""]),
        (8, ["", "", "", "eu"]),
        (16, ["sed", "", "", ""]),
    ];
    assert_eq!(keys, expected);
}

async fn an_opening_is_paged_without_loss(store: Books) {
    store.ingest(batch(1, (1..=60).map(varied_tally).collect())).await.unwrap();
    let december = Month::of(NOON_MS).next().start_ms();
    let mut windows = always();
    windows.push(WindowRange { start_ms: december, end_ms: december + 3 * DAY_MS });
    let (whole, pages, _) = opened(&*store, opening(windows.clone())).await;
    assert!(whole.len() > 30 && pages == 1, "{} on {pages}", whole.len());
    for (limit, entries) in [(7, 1000), (1, 1000), (1000, 1), (1000, 7), (3, 25)] {
        let query = OpeningQuery { limit, entries, ..opening(windows.clone()) };
        let (paged, ..) = opened(&*store, query).await;
        assert_eq!(paged, whole, "{limit} balances, {entries} entries");
    }
}

async fn an_opening_finds_its_consumers_among_many(store: Books) {
    let later = Month::of(NOON_MS).next().start_ms();
    let of = |number: u64, at_ms| Tally { consumer: format!("c{number:03}"), at_ms, ..tally(number) };
    let own = |number: &u64| !number.is_multiple_of(3);
    let mine: Vec<u64> = (1..=600).filter(own).collect();
    let here = mine.iter().map(|number| of(*number, if number % 2 == 0 { later } else { NOON_MS }));
    store.ingest(batch_of("p1", "w1", "edge-1", 1, here.collect())).await.unwrap();
    let elsewhere = (1..=600).filter(|number| !own(number)).map(|number| of(number, NOON_MS));
    store.ingest(batch_of("p2", "w2", "edge-2", 1, elsewhere.collect())).await.unwrap();
    for limit in [1000, 90] {
        let (found, pages, longest) = opened(&*store, OpeningQuery { limit, ..opening(always()) }).await;
        let mut names: Vec<u64> =
            found.iter().map(|balance| balance.consumer[1..].parse().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, mine);
        assert!(longest <= limit && (pages > 1) == (limit < 400), "{longest} of {limit} on {pages}");
    }
}

async fn an_opening_reads_a_consumer_with_many_entries_in_steps(store: Books) {
    let of = |consumer: &str, number: u64| Tally {
        consumer: consumer.into(),
        at_ms: NOON_MS + number / 2,
        ..tally(number)
    };
    let busy = (1..=400).map(|number| of("m-busy", number));
    let others = ["a", "b", "x", "y"].map(|consumer| of(consumer, 1));
    store.ingest(batch(1, busy.chain(others).collect())).await.unwrap();
    let (whole, pages, _) = opened(&*store, OpeningQuery { entries: 10_000, ..opening(always()) }).await;
    assert_eq!(pages, 1);
    let query = OpeningQuery { entries: 100, ..opening(always()) };
    let (parts, pages, _) = opened(&*store, query).await;
    assert!(pages == 1 || pages > 4, "{pages}: the model needs one, an engine one for each hundred entries");
    assert_eq!(parts, whole);
}

async fn a_node_without_a_name_has_no_opening(store: Books) {
    store.ingest(batch_of("p1", "w1", "", 1, vec![tally(1)])).await.unwrap();
    let nameless = OpeningQuery { node: String::new(), ..opening(always()) };
    assert_eq!(store.opening(nameless).await.unwrap(), Opening::default());
}

async fn an_alert_fires_once_a_day(store: Books) {
    let warned = |number, at_ms| Tally {
        at_ms,
        unknown_price: true,
        warnings: vec![Warning { limit: "cost-per-day".into(), percent: 80 }],
        ..tally(number)
    };
    let fired = |outcome| match outcome {
        Ingested::Applied(applied) => applied.alerts,
        other => panic!("{other:?}"),
    };
    let alert =
        |rule: &str, window_start_ms| Alert { consumer: "alice".into(), rule: rule.into(), window_start_ms };
    let (unknown, limit) = ("unknown_price/gpt-5.4-mini", "limit/cost-per-day/80");
    let today = NOON_MS - NOON_MS % DAY_MS;
    let first = store.ingest(batch(1, vec![warned(1, NOON_MS), warned(2, NOON_MS)])).await.unwrap();
    assert_eq!(fired(first), [alert(unknown, today), alert(limit, today)]);
    let again = store.ingest(batch(2, vec![warned(3, NOON_MS)])).await.unwrap();
    assert_eq!(fired(again), []);
    let tomorrow = store.ingest(batch(3, vec![warned(4, NOON_MS + DAY_MS)])).await.unwrap();
    assert_eq!(fired(tomorrow), [alert(unknown, today + DAY_MS), alert(limit, today + DAY_MS)]);
}

/// One tally a month, from January 2026 on.
fn a_tally_each_month() -> Vec<Tally> {
    (0..11)
        .map(|number| Tally {
            at_ms: Month::of(NOON_MS).back(10 - number).start_ms(),
            ..tally(u64::from(number))
        })
        .collect()
}

async fn retention_drops_whole_months_and_keeps_their_usage(store: Books) {
    store.ingest(batch(1, a_tally_each_month())).await.unwrap();
    let before = totals(&*store).await;
    let oldest_kept = Month::of(NOON_MS).back(3);
    let dropped = store.retain(NOON_MS, oldest_kept).await.unwrap();
    assert_eq!(dropped.len(), 7);
    assert!(dropped.iter().all(|month| *month < oldest_kept));
    assert_eq!(all_entries(&*store).await.len(), 4);
    assert_eq!(totals(&*store).await, before);
    assert_eq!(store.retain(NOON_MS, oldest_kept).await.unwrap(), []);
}

async fn a_dropped_month_is_never_entered_again(store: Books) {
    let tallies = a_tally_each_month();
    store.ingest(batch(1, tallies.clone())).await.unwrap();
    store.retain(NOON_MS, Month::of(NOON_MS).back(3)).await.unwrap();
    let before = everything(&*store).await;
    let late = batch(2, vec![tally(99), tallies[6].clone()]);
    assert!(matches!(store.ingest(late).await, Err(StoreError::Retired { .. })));
    // Nor a month before the boundary that never had entries.
    let ancient = Tally { at_ms: Month::of(NOON_MS).back(40).start_ms(), ..tally(98) };
    assert!(matches!(store.ingest(batch(2, vec![ancient])).await, Err(StoreError::Retired { .. })));
    assert_eq!(everything(&*store).await, before);
    assert_eq!(store.ingest(batch(2, vec![tally(99)])).await.unwrap(), applied(1, 0, 99));
}

async fn a_batch_older_than_the_memory_of_numbers_is_not_entered_again(store: Books) {
    let first = batch(1, vec![tally(1)]);
    store.ingest(first.clone()).await.unwrap();
    let later_ms = NOON_MS + BATCH_MEMORY_MS + 1;
    store.retain(later_ms, Month::of(later_ms).back(13)).await.unwrap();
    assert_eq!(store.ingest(first).await.unwrap(), applied(0, 1, 0));
    assert_eq!(totals(&*store).await.requests, 1);
}

async fn a_closed_store_says_so(store: Books) {
    store.ingest(batch(1, vec![tally(1)])).await.unwrap();
    store.ready(NOON_MS).await.unwrap();
    store.close().await;
    assert!(matches!(store.ingest(batch(2, vec![])).await, Err(StoreError::Closed)));
    assert!(matches!(store.ready(NOON_MS).await, Err(StoreError::Closed)));
}
