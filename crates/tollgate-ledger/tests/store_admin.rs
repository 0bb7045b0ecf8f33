//! What records and their trail are: this list of scenarios, written once and stamped for every engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::sync::Arc;

use serde_json::{Value, json};
use tollgate_ledger::admin::{Asked, Consumer, DecideError, Decision, Document, decide, read};
use tollgate_ledger::store::{
    AdminStore, Books, Change, Changed, FacetCount, Facets, MemoryStore, PostgresStore, RecordKind,
    RecordsQuery, SqliteOptions, SqliteStore, StoreError, TrailQuery, prove_chain,
};

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
                // Whatever the scenario did, the chain is whole after it.
                assert_eq!(super::SqliteStore::audit_file(&options.path).unwrap().differences, []);
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
    a_record_is_read_as_it_was_written,
    a_record_changes_from_the_version_it_has_and_no_other,
    a_removed_record_is_gone_and_may_come_again,
    a_change_is_applied_once_under_its_key,
    a_key_of_another_request_is_refused,
    records_are_listed_by_what_they_are_found_by,
    records_are_paged_by_their_ids,
    what_changed_is_told_in_order_and_the_last_version_only,
    records_are_counted_by_tier_and_status,
    the_trail_says_who_what_and_from_what_to_what,
    the_trail_is_one_chain,
    decisions_made_at_once_are_all_made,
    a_client_that_names_a_version_decides_upon_it_alone,
    a_repeated_decision_is_answered_like_the_first,
    a_closed_store_says_so,
}

type Administered = Arc<dyn Books>;

const KIND: RecordKind = RecordKind::Consumer;

fn change(expected: u64, doc: Value) -> Change {
    Change {
        actor: "token/1".into(),
        action: "define",
        expected,
        doc: Some(doc.clone()),
        after: doc,
        at_ms: 7,
        ..Change::default()
    }
}

fn found_by(tier: &str, status: &str, parent: &str) -> Facets {
    Facets { tier: tier.into(), status: status.into(), parent: parent.into() }
}

async fn apply(store: &Administered, id: &str, change: Change) {
    let changed = store.change(KIND, id, change).await.unwrap();
    assert!(matches!(changed, Changed::Applied(_)), "{changed:?}");
}

async fn a_record_is_read_as_it_was_written(store: Administered) {
    assert_eq!(store.record(KIND, "alice").await.unwrap(), None);
    let facets = found_by("pro", "active", "search");
    let doc = json!({"n": 1, "text": "Ärger \" \\ \u{1f600}"});
    apply(&store, "alice", Change { facets: facets.clone(), ..change(0, doc.clone()) }).await;
    let record = store.record(KIND, "alice").await.unwrap().unwrap();
    assert_eq!((record.kind, record.id.as_str(), record.version, record.revision), (KIND, "alice", 1, 1));
    assert_eq!((record.doc, record.facets, record.updated_ms), (Some(doc), facets, 7));
    assert_eq!(store.record(RecordKind::Token, "alice").await.unwrap(), None);
}

async fn a_record_changes_from_the_version_it_has_and_no_other(store: Administered) {
    apply(&store, "alice", change(0, json!(1))).await;
    for wrong in [0, 2] {
        let changed = store.change(KIND, "alice", change(wrong, json!(2))).await.unwrap();
        assert_eq!(changed, Changed::Stale { found: 1 });
    }
    let changed = store.change(KIND, "bob", change(1, json!(2))).await.unwrap();
    assert_eq!(changed, Changed::Stale { found: 0 });
    assert_eq!(store.record(KIND, "alice").await.unwrap().unwrap().doc, Some(json!(1)));
    apply(&store, "alice", change(1, json!(2))).await;
    assert_eq!(store.record(KIND, "alice").await.unwrap().unwrap().version, 2);
    assert_eq!(store.trail(TrailQuery { limit: 9, ..TrailQuery::default() }).await.unwrap().len(), 2);
}

async fn a_removed_record_is_gone_and_may_come_again(store: Administered) {
    apply(&store, "alice", change(0, json!(1))).await;
    apply(&store, "alice", Change { doc: None, ..change(1, Value::Null) }).await;
    let record = store.record(KIND, "alice").await.unwrap().unwrap();
    assert_eq!((record.doc, record.version), (None, 2));
    assert_eq!(store.records(RecordsQuery::all(KIND, 9)).await.unwrap(), []);
    assert_eq!(store.count(KIND).await.unwrap(), []);
    // Whoever asks what changed has to hear of it.
    assert_eq!(store.changed_since(&[KIND], 1, 9).await.unwrap().len(), 1);
    apply(&store, "alice", change(2, json!(3))).await;
    assert_eq!(store.records(RecordsQuery::all(KIND, 9)).await.unwrap().len(), 1);
}

fn keyed(expected: u64, key: &str, hash: &str) -> Change {
    Change { idempotency_key: key.into(), request_hash: hash.into(), ..change(expected, json!(expected)) }
}

async fn a_change_is_applied_once_under_its_key(store: Administered) {
    let first = store.change(KIND, "alice", keyed(0, "k", "h")).await.unwrap();
    let Changed::Applied(entry) = first else { panic!("{first:?}") };
    for expected in [0, 1] {
        let again = store.change(KIND, "alice", keyed(expected, "k", "h")).await.unwrap();
        assert_eq!(again, Changed::Repeated(entry.clone()));
    }
    // Another's key is another key, and no key is none.
    let other = Change { actor: "token/2".into(), ..keyed(1, "k", "h") };
    apply(&store, "alice", other).await;
    apply(&store, "alice", keyed(2, "", "h")).await;
    apply(&store, "alice", keyed(3, "", "h")).await;
}

async fn a_key_of_another_request_is_refused(store: Administered) {
    apply(&store, "alice", keyed(0, "k", "h")).await;
    let changed = store.change(KIND, "alice", keyed(1, "k", "other")).await.unwrap();
    assert_eq!(changed, Changed::KeyReused);
    assert_eq!(store.record(KIND, "alice").await.unwrap().unwrap().version, 1);
}

async fn some_records(store: &Administered) {
    let all = [
        ("a", found_by("free", "active", "search")),
        ("b", found_by("pro", "active", "search")),
        ("c", found_by("pro", "suspended", "")),
        ("Ä", found_by("", "active", "search")),
    ];
    for (id, facets) in all {
        apply(store, id, Change { facets, ..change(0, json!(id)) }).await;
    }
    store.change(RecordKind::Quota, "q", change(0, json!(1))).await.unwrap();
}

async fn ids(store: &Administered, query: RecordsQuery) -> Vec<String> {
    store.records(query).await.unwrap().into_iter().map(|record| record.id).collect()
}

async fn records_are_listed_by_what_they_are_found_by(store: Administered) {
    some_records(&store).await;
    let all = || RecordsQuery::all(KIND, 9);
    assert_eq!(ids(&store, all()).await, ["a", "b", "c", "Ä"]);
    assert_eq!(ids(&store, RecordsQuery { tier: Some("pro".into()), ..all() }).await, ["b", "c"]);
    assert_eq!(ids(&store, RecordsQuery { tier: Some(String::new()), ..all() }).await, ["Ä"]);
    let active_pro = RecordsQuery { tier: Some("pro".into()), status: Some("active".into()), ..all() };
    assert_eq!(ids(&store, active_pro).await, ["b"]);
    assert_eq!(ids(&store, RecordsQuery { parent: Some("search".into()), ..all() }).await, ["a", "b", "Ä"]);
}

async fn records_are_paged_by_their_ids(store: Administered) {
    some_records(&store).await;
    let first = RecordsQuery::all(KIND, 3);
    assert_eq!(ids(&store, first.clone()).await, ["a", "b", "c"]);
    assert_eq!(ids(&store, RecordsQuery { after: Some("c".into()), ..first }).await, ["Ä"]);
}

async fn what_changed_is_told_in_order_and_the_last_version_only(store: Administered) {
    some_records(&store).await;
    apply(&store, "a", change(1, json!("later"))).await;
    let since = async |kinds: &[RecordKind], revision, limit| {
        let records = store.changed_since(kinds, revision, limit).await.unwrap();
        records.into_iter().map(|record| (record.id, record.revision)).collect::<Vec<_>>()
    };
    let named = |all: &[(&str, u64)]| {
        all.iter().map(|(id, revision)| ((*id).to_owned(), *revision)).collect::<Vec<_>>()
    };
    assert_eq!(since(&[KIND], 0, 9).await, named(&[("b", 2), ("c", 3), ("Ä", 4), ("a", 6)]));
    assert_eq!(since(&[KIND], 3, 1).await, named(&[("Ä", 4)]));
    assert_eq!(since(&[KIND, RecordKind::Quota], 4, 9).await, named(&[("q", 5), ("a", 6)]));
    assert_eq!(since(&[KIND], 6, 9).await, []);
}

async fn records_are_counted_by_tier_and_status(store: Administered) {
    some_records(&store).await;
    let count =
        |tier: &str, status: &str| FacetCount { tier: tier.into(), status: status.into(), records: 1 };
    let expected =
        [count("", "active"), count("free", "active"), count("pro", "active"), count("pro", "suspended")];
    assert_eq!(store.count(KIND).await.unwrap(), expected);
}

async fn the_trail_says_who_what_and_from_what_to_what(store: Administered) {
    some_records(&store).await;
    let suspend = Change {
        actor: "token/2".into(),
        action: "suspend",
        before: json!({"was": 1}),
        doc: Some(json!({"is": 2})),
        after: json!({"is": 2}),
        reason: "unpaid".into(),
        at_ms: 99,
        ..keyed(1, "k", "h")
    };
    apply(&store, "a", suspend).await;
    let ask = async |query: TrailQuery| {
        store
            .trail(TrailQuery { limit: 9, ..query })
            .await
            .unwrap()
            .into_iter()
            .map(|entry| entry.seq)
            .collect::<Vec<_>>()
    };
    let none = TrailQuery::default;
    assert_eq!(ask(none()).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(ask(TrailQuery { after: 4, ..none() }).await, [5, 6]);
    assert_eq!(ask(TrailQuery { kind: Some(RecordKind::Quota), ..none() }).await, [5]);
    assert_eq!(ask(TrailQuery { kind: Some(KIND), id: Some("a".into()), ..none() }).await, [1, 6]);
    assert_eq!(ask(TrailQuery { actor: Some("token/2".into()), ..none() }).await, [6]);
    assert_eq!(ask(TrailQuery { action: Some("suspend".into()), ..none() }).await, [6]);
    assert_eq!(ask(TrailQuery { idempotency_key: Some("k".into()), ..none() }).await, [6]);
    assert_eq!(ask(TrailQuery { from_ms: Some(99), ..none() }).await, [6]);
    assert_eq!(ask(TrailQuery { before_ms: Some(99), ..none() }).await, [1, 2, 3, 4, 5]);
    let entry = store.trail(TrailQuery { after: 5, limit: 1, ..none() }).await.unwrap().remove(0);
    assert_eq!(
        (entry.before, entry.after, entry.reason.as_str()),
        (json!({"was": 1}), json!({"is": 2}), "unpaid")
    );
    assert_eq!((entry.version, entry.idempotency_key.as_str()), (2, "k"));
}

async fn the_trail_is_one_chain(store: Administered) {
    some_records(&store).await;
    let chain = prove_chain(&*store).await.unwrap();
    assert_eq!((chain.entries, chain.broken), (5, None));
    let last = store.trail(TrailQuery { after: 4, limit: 1, ..TrailQuery::default() }).await.unwrap();
    assert_eq!(chain.head, last[0].hash);
}

fn asked() -> Asked {
    Asked { actor: "token/1".into(), now_ms: 1000, ..Asked::default() }
}

async fn reset(store: &Administered, asked: Asked) -> Result<u64, DecideError> {
    let decision = Decision::Reset {};
    let rule = |before: Option<&Consumer>| {
        Ok(Some(before.cloned().unwrap_or_default().decided(&decision, "", 1000)?))
    };
    let after = decide(&**store as &dyn AdminStore, &asked, "alice", "reset", &decision, rule).await?;
    Ok(after.unwrap().version)
}

async fn decisions_made_at_once_are_all_made(store: Administered) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = store.clone();
        tasks.spawn(async move { reset(&store, asked()).await.unwrap() });
    }
    let mut versions = tasks.join_all().await;
    versions.sort_unstable();
    assert_eq!(versions, [1, 2, 3, 4]);
    let found = read::<Consumer>(&*store, "alice").await.unwrap().unwrap();
    assert_eq!((found.version, found.doc.resets), (4, 4));
}

async fn a_client_that_names_a_version_decides_upon_it_alone(store: Administered) {
    let upon = |version| Asked { expected: Some(version), ..asked() };
    assert_eq!(reset(&store, upon(0)).await.unwrap(), 1);
    for (expected, found) in [(0, 1), (2, 1)] {
        let error = reset(&store, upon(expected)).await.unwrap_err();
        assert!(
            matches!(error, DecideError::Stale { expected: e, found: f } if (e, f) == (expected, found)),
            "{error}"
        );
    }
    assert_eq!(reset(&store, upon(1)).await.unwrap(), 2);
}

async fn a_repeated_decision_is_answered_like_the_first(store: Administered) {
    let once = || Asked { idempotency_key: "k".into(), expected: Some(0), ..asked() };
    assert_eq!(reset(&store, once()).await.unwrap(), 1);
    assert_eq!(reset(&store, asked()).await.unwrap(), 2);
    assert_eq!(reset(&store, once()).await.unwrap(), 1, "as it was then");
    let found = read::<Consumer>(&*store, "alice").await.unwrap().unwrap();
    assert_eq!((found.version, found.doc.resets), (2, 2));
    assert_eq!(Consumer::KIND, KIND);
}

async fn a_closed_store_says_so(store: Administered) {
    store.close().await;
    assert!(matches!(store.change(KIND, "alice", change(0, json!(1))).await, Err(StoreError::Closed)));
}
