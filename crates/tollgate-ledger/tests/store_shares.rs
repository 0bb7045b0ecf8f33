//! Rates of all Envoys in the books: scenarios stamped for every engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::sync::Arc;

use support::postgres::Schema;
use support::*;
use tollgate_core::share::ledger::{MARGIN_MS, TTL_MS};
use tollgate_ledger::calendar::Month;
use tollgate_ledger::store::{Books, MemoryStore, SqliteOptions, SqliteStore};
use tollgate_wire::{Claim, RateName, ShareAsk, WHOLE};

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
                super::$name(super::Arc::new(super::SqliteStore::open(&options).unwrap())).await;
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let schema = super::Schema::new().await;
                super::$name(schema.open().await).await;
            })*
        }
    };
}

scenarios! {
    the_second_gets_what_the_first_gives_back,
    rates_are_divided_each_by_itself,
    a_claim_that_comes_twice_has_no_second_answer,
    a_share_runs_out_and_its_rate_is_forgotten,
    many_at_once_never_get_more_than_the_whole,
}

const FILL_MS: u64 = 1_000;

fn ask(limit: &str, holder: &str, seq: u32, holding: u32) -> ShareAsk {
    let rate = RateName { limit: limit.into(), meter: "requests".into(), ..RateName::default() };
    let claim = Claim { seq, holding, short: true, ..Claim::default() };
    ShareAsk { rate, holder: holder.into(), fill_ms: FILL_MS, claim }
}

async fn shares(store: &dyn Books, asks: Vec<ShareAsk>, now_ms: u64) -> Vec<(String, u32)> {
    let grants = store.shares(asks, now_ms).await.unwrap();
    grants.into_iter().map(|grant| (grant.holder, grant.share.share)).collect()
}

async fn share(store: &dyn Books, asked: ShareAsk) -> Option<u32> {
    shares(store, vec![asked], NOON_MS).await.first().map(|(_, share)| *share)
}

async fn the_second_gets_what_the_first_gives_back(store: Arc<dyn Books>) {
    assert_eq!(share(&*store, ask("r", "a", 1, 0)).await, Some(WHOLE));
    assert_eq!(share(&*store, ask("r", "b", 1, 0)).await, Some(0));
    assert_eq!(share(&*store, ask("r", "a", 2, WHOLE)).await, Some(WHOLE / 2));
    assert_eq!(share(&*store, ask("r", "b", 2, 0)).await, Some(0));
    assert_eq!(share(&*store, ask("r", "a", 3, WHOLE / 2)).await, Some(WHOLE / 2));
    assert_eq!(share(&*store, ask("r", "b", 3, 0)).await, Some(WHOLE / 2));
}

async fn rates_are_divided_each_by_itself(store: Arc<dyn Books>) {
    let asks = vec![ask("z", "a", 1, 0), ask("r", "b", 1, 0), ask("r", "c", 1, 0)];
    let all = shares(&*store, asks, NOON_MS).await;
    assert_eq!(all, [("a".into(), WHOLE), ("b".into(), WHOLE), ("c".into(), 0)]);
    assert_eq!(shares(&*store, vec![], NOON_MS).await, []);
}

async fn a_claim_that_comes_twice_has_no_second_answer(store: Arc<dyn Books>) {
    assert_eq!(share(&*store, ask("r", "a", 2, 0)).await, Some(WHOLE));
    assert_eq!(share(&*store, ask("r", "a", 2, 0)).await, None);
    assert_eq!(share(&*store, ask("r", "a", 1, 0)).await, None);
}

async fn a_share_runs_out_and_its_rate_is_forgotten(store: Arc<dyn Books>) {
    share(&*store, ask("r", "a", 1, 0)).await;
    let over_ms = NOON_MS + u64::from(TTL_MS) + MARGIN_MS;
    let before = shares(&*store, vec![ask("r", "b", 1, 0)], over_ms - 1).await;
    assert_eq!(before, [("b".to_owned(), 0)]);
    let after = shares(&*store, vec![ask("r", "b", 2, 0)], over_ms).await;
    assert_eq!(after, [("b".to_owned(), WHOLE)]);
    let rests_ms = over_ms + u64::from(TTL_MS) + MARGIN_MS + FILL_MS + 1;
    store.retain(rests_ms, Month::of(NOON_MS)).await.unwrap();
    let grants = store.shares(vec![ask("r", "c", 1, 0)], rests_ms).await.unwrap();
    assert_eq!((grants[0].share.share, grants[0].share.level), (WHOLE, 1_000_000_000));
}

async fn many_at_once_never_get_more_than_the_whole(store: Arc<dyn Books>) {
    let ask_for = |number: u32| {
        let store = Arc::clone(&store);
        async move {
            let asks = vec![ask("x", &number.to_string(), 1, 0), ask("y", &number.to_string(), 1, 0)];
            store.shares(asks, NOON_MS).await.unwrap()
        }
    };
    let tasks: Vec<_> = (0..20).map(|number| tokio::spawn(ask_for(number))).collect();
    let mut given = 0;
    for task in tasks {
        given += task.await.unwrap().iter().map(|grant| grant.share.share).sum::<u32>();
    }
    assert!((1..=2 * WHOLE).contains(&given), "{given}");
}
