//! What the tests share: tallies with a meaning, batches of them, books of every kind.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod earlier;
pub mod http;
pub mod leases;
pub mod postgres;
pub mod process;

use tollgate_ledger::admin::{Asked, Role};
use tollgate_ledger::calendar::{DAY_MS, Month, WindowKind};
use tollgate_ledger::service::{TokenWanted, issue};
use tollgate_ledger::store::{
    AdminStore, Applied, Batch, Dimension, EntriesQuery, Entry, Ingested, OpeningQuery, Store, Sums,
    UsageFilter, UsageQuery, UsageReport,
};
use tollgate_wire::{Balance, Credits, NanoUsd, Outcome, Tally, TokenCount};

/// 2026-11-23T12:00:00Z.
pub const NOON_MS: u64 = 1_795_435_200_000;

/// A GUID for a number.
pub fn guid(number: u64) -> String {
    format!("01900000-0000-7000-8000-{number:012x}")
}

/// A tally of alice's at noon that costs its number in nano-dollars.
pub fn tally(number: u64) -> Tally {
    Tally {
        id: guid(number),
        at_ms: NOON_MS + number,
        consumer: "alice".into(),
        tier: "free".into(),
        provider: "openai".into(),
        model: "gpt-5.4-mini".into(),
        status: 200,
        requests: 1,
        input: TokenCount(10),
        cache_read: TokenCount(5),
        output: TokenCount(7),
        cost_nusd: NanoUsd(number),
        credits: Credits(2 * number),
        ..Tally::default()
    }
}

/// The same for somebody else.
pub fn tally_of(consumer: &str, number: u64) -> Tally {
    Tally { consumer: consumer.into(), ..tally(number) }
}

/// A batch of worker w1 of process p1 on node edge-1.
pub fn batch(seq: u64, tallies: Vec<Tally>) -> Batch {
    batch_of("p1", "w1", "edge-1", seq, tallies)
}

/// A batch of any worker.
pub fn batch_of(process: &str, worker: &str, node: &str, seq: u64, tallies: Vec<Tally>) -> Batch {
    Batch {
        process: process.into(),
        worker: worker.into(),
        node: node.into(),
        seq,
        received_ms: NOON_MS,
        tallies,
    }
}

/// The outcome of a batch that made this many entries, found this many known, and cost this much.
pub fn applied(inserted: u64, duplicates: u64, cost: u64) -> Ingested {
    Ingested::Applied(Applied { inserted, duplicates, cost_nusd: NanoUsd(cost), alerts: vec![] })
}

/// Everything, by month and the given dimensions.
pub fn by(group_by: &[Dimension]) -> UsageQuery {
    UsageQuery {
        kind: WindowKind::Month,
        filter: UsageFilter::default(),
        group_by: group_by.to_vec(),
        after: None,
        limit: 1000,
    }
}

/// A token of this role, made on the store itself.
pub async fn issue_token(store: &dyn AdminStore, role: Role, consumer: Option<&str>) -> String {
    let wanted = TokenWanted {
        role,
        consumer: consumer.map(str::to_owned),
        name: "of the tests".into(),
        expires_ms: None,
    };
    let asked = Asked { actor: "tests".into(), now_ms: NOON_MS, ..Asked::default() };
    issue(store, &asked, &wanted).await.unwrap().token
}

/// Sums over everything.
pub async fn totals(store: &dyn Store) -> Sums {
    store.usage(by(&[])).await.unwrap().totals
}

/// The whole audit trail.
pub async fn all_entries(store: &dyn Store) -> Vec<Entry> {
    store.entries(EntriesQuery { limit: 1_000_000, ..EntriesQuery::default() }).await.unwrap()
}

/// All that two books must agree on.
pub async fn everything(store: &dyn Store) -> (UsageReport, UsageReport, Vec<Entry>) {
    let days = UsageQuery { kind: WindowKind::Day, ..by(&Dimension::ALL) };
    let days = store.usage(days).await.unwrap();
    let months = store.usage(by(&Dimension::ALL)).await.unwrap();
    (days, months, all_entries(store).await)
}

/// A tally whose every field follows from a number, over several days of two months.
pub fn varied_tally(number: u64) -> Tally {
    let outcomes =
        [Outcome::Ok, Outcome::Estimated, Outcome::Aborted, Outcome::Error, Outcome::Refused, Outcome::Ended];
    let pick = |names: &[&str], by: u64| names[(by % names.len() as u64) as usize].to_owned();
    Tally {
        id: guid(number),
        at_ms: Month::of(NOON_MS).next().start_ms() + number * DAY_MS / 3 - 4 * DAY_MS,
        consumer: pick(&["alice", "bob", "", "Ärger"], number),
        team: pick(&["", "search"], number / 2),
        project: pick(&["", "x"], number / 3),
        tier: pick(&["free", "pro"], number / 4),
        route: pick(&["", "models"], number / 5),
        policy: pick(&["", "expensive"], number / 6),
        action: pick(&["", "translate"], number / 7),
        provider: pick(&["openai", "anthropic"], number / 2),
        model: pick(&["a", "b", "C"], number / 3),
        workflow: pick(&["", "report"], number / 8),
        tool: pick(&["", "search", "weather"], number / 2),
        interface: pick(&["web", "telegram", ""], number / 5),
        region: pick(&["eu", ""], number),
        status: 200,
        outcome: outcomes[(number % 5) as usize],
        requests: 1 + (number % 3) as u32,
        input: TokenCount(number),
        cache_read: TokenCount(number * 3),
        cache_write: TokenCount(number * 5),
        output: TokenCount(number * 7),
        reasoning: TokenCount(number),
        cost_nusd: NanoUsd(number * 1_000_003),
        credits: Credits(number * 17),
        price_version: 1,
        unknown_price: number.is_multiple_of(4),
        exempt: number.is_multiple_of(3),
        ..Tally::default()
    }
}

/// All pages of an opening, parts added up, in one order; how many pages, and the most balances on one.
pub async fn opened(store: &dyn Store, mut query: OpeningQuery) -> (Vec<Balance>, usize, usize) {
    let mut all: Vec<Balance> = Vec::new();
    let (mut pages, mut longest) = (0, 0);
    loop {
        let page = store.opening(query.clone()).await.unwrap();
        (pages, longest) = (pages + 1, longest.max(page.balances.len()));
        for part in page.balances {
            match all.iter_mut().find(|balance| key(balance) == key(&part)) {
                None => all.push(part),
                Some(balance) => {
                    balance.requests += part.requests;
                    balance.input += part.input;
                    balance.output += part.output;
                    balance.cost_nusd += part.cost_nusd;
                    balance.credits += part.credits;
                }
            }
        }
        assert!(pages < 10_000, "an opening that does not end");
        query.after = page.next;
        if query.after.is_none() {
            all.sort_by_key(|balance| serde_json::to_string(&key(balance)).unwrap());
            return (all, pages, longest);
        }
    }
}

/// What a balance is of, without how much it is.
fn key(balance: &Balance) -> Balance {
    Balance {
        requests: 0,
        input: TokenCount(0),
        output: TokenCount(0),
        cost_nusd: NanoUsd(0),
        credits: Credits(0),
        ..balance.clone()
    }
}
