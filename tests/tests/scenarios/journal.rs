//! Envoy is killed with tallies that the ledger never got: they come back from its access log, each once.

use serde_json::{Map, Value, json};
use tollgate_e2e::crowd::{self, Crowd};
use tollgate_e2e::envoy::{Envoy, EnvoyConfig};
use tollgate_e2e::http_client::Call;
use tollgate_e2e::ledger::Ledger;
use tollgate_e2e::model_server::ModelServer;
use tollgate_e2e::scene::{OPENAI_MODEL, generous};
use tollgate_e2e::wait;

/// Name of the Envoy over its lives.
const NODE: &str = "edge-1";

/// Clients at once.
const CLIENTS: usize = 12;

/// Everybody who says who it is may pass.
fn open(policy: &mut Map<String, Value>) {
    policy["identity"]["consumer"] = json!([{"header": "x-consumer"}]);
    policy["identity"]["default_tier"] = "enterprise".into();
    policy["tiers"]["enterprise"]["limits"] = generous();
    policy["ledger"]["flush_interval_ms"] = 100.into();
}

struct Stage {
    models: ModelServer,
    ledger: Ledger,
    envoy: Envoy,
}

impl Stage {
    async fn set() -> Self {
        let models = ModelServer::start().await.unwrap();
        let ledger = Ledger::start(None).await.unwrap();
        let mut config = EnvoyConfig::example(models.address(), ledger.address()).unwrap();
        config.policy(open).with_prompt_journal();
        let envoy = Envoy::start(&config, 2).await.unwrap();
        Self { models, ledger, envoy }
    }

    /// Every entry is one of the journal's or one that was sent before, and the audit has nothing to say.
    async fn assert_books_have_the_journal(&self) -> usize {
        let journal = self.envoy.journal();
        let entries = self.ledger.entries().await;
        let in_books: std::collections::HashSet<&str> =
            entries.iter().map(|entry| entry.id.as_str()).collect();
        assert_eq!(in_books.len(), entries.len(), "a tally was entered twice");
        let left: Vec<&str> =
            journal.iter().map(|tally| tally.id.as_str()).filter(|id| !in_books.contains(id)).collect();
        assert!(left.is_empty(), "in the journal only: {left:?}");
        assert_eq!(self.ledger.audit().unwrap(), entries.len() as u64);
        entries.len()
    }
}

/// The strict case: what had ended at the kill was journalled, what had not is in flight. Totals equal what was served.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_the_journal_makes_the_books_equal_to_what_was_served() {
    let mut stage = Stage::set().await;
    let crowd = Crowd::start(CLIENTS, vec![stage.envoy.address()]);
    crowd.wait_for(100).await;
    stage.ledger.wait_for_requests(50).await;
    // From here on nothing reaches the ledger.
    stage.ledger.pause().unwrap();
    crowd.wait_for(300).await;
    let asked = crowd.end().await;
    assert!(asked.refused.is_empty() && asked.broken.is_empty(), "{asked:?}");
    let hanging: Vec<_> = (0..5)
        .map(|n| {
            let call = Call::openai(OPENAI_MODEL, 1).header("x-consumer", format!("hanging-{n}"));
            let (call, to) = (call.header("x-mock-delay-ms", 600_000), stage.envoy.address());
            tokio::spawn(async move { call.send(to).await })
        })
        .collect();
    wait::until_true("five requests in flight", || stage.models.in_flight().current == 5).await;
    stage.envoy.wait_for_journal(asked.answered.len()).await;
    stage.envoy.kill9();
    for call in hanging {
        assert!(call.await.unwrap().is_err(), "it was in flight");
    }
    stage.ledger.resume().unwrap();
    let before = stage.ledger.totals().await.requests;
    let path = stage.envoy.journal_path();
    let said = stage.ledger.replay(NODE, &[&path]).unwrap();
    let totals = stage.ledger.totals().await;
    let compared = crowd::compare(&stage.ledger.entries().await, &stage.models.served());
    println!(
        "{before} were sent before the kill; {said}{compared:?}; 5 in flight at the kill are in no books"
    );
    assert!(compared.missing.is_empty(), "{compared:?}");
    assert_eq!(compared.tokens.0, compared.tokens.1);
    assert_eq!(totals.requests, compared.served);
    assert_eq!(totals.input + totals.cache_read + totals.cache_write + totals.output, compared.tokens.1);
    assert!(before < totals.requests, "nothing was left to replay");
    stage.assert_books_have_the_journal().await;
    // Again: nothing changes.
    stage.ledger.replay(NODE, &[&path]).unwrap();
    assert_eq!(stage.ledger.totals().await, totals);
    stage.assert_books_have_the_journal().await;
}

/// The kill in full swing, with the journal followed beside an Envoy that sends as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_followed_beside_a_sending_envoy_counts_nothing_twice_over_a_kill() {
    let mut stage = Stage::set().await;
    let path = stage.envoy.journal_path();
    wait::until_true("the journal's file", || path.is_file()).await;
    let follower = stage.ledger.follow(NODE, &[&path]).unwrap();
    let crowd = Crowd::start(CLIENTS, vec![stage.envoy.address()]);
    crowd.wait_for(300).await;
    stage.envoy.kill9();
    let asked = crowd.end().await;
    let journal = stage.envoy.journal();
    let all_in = async || {
        let entries = stage.ledger.entries().await;
        journal.iter().all(|tally| entries.iter().any(|entry| entry.id == tally.id)).then_some(())
    };
    wait::until("the journal in the books", || follower.logs(), all_in).await;
    drop(follower);
    let entries = stage.assert_books_have_the_journal().await;
    let trail = stage.ledger.entries().await;
    let compared = crowd::compare(&trail, &stage.models.served());
    let unheard = crowd::not_in_books(&asked.answered, &trail);
    println!(
        "{} answered, {} lines in the journal, {entries} entries; {compared:?}; answered but in no books: {}",
        asked.answered.len(),
        journal.len(),
        unheard
    );
    assert!(asked.refused.is_empty(), "{:?}", asked.refused);
    assert!(compared.in_books > 0 && compared.served > journal.len() as u64 / 2, "{compared:?}");
}
