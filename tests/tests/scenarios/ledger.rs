//! The ledger gets every tally once, whatever happens between it and Envoy, and no request waits for it.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;
use tollgate_e2e::clients::{self, Api, Order};
use tollgate_e2e::envoy::Envoy;
use tollgate_e2e::flaky_proxy::FlakyProxy;
use tollgate_e2e::http_client::{Call, count};
use tollgate_e2e::prices::{Prices, usage_told};
use tollgate_e2e::scene::{CLAUDE_MODEL, ENTERPRISE_KEY, LedgerScene, OPENAI_MODEL, quota};
use tollgate_e2e::wait;
use tollgate_wire::{NanoUsd, Tally};

/// A request of the enterprise user.
fn chat() -> Call {
    Call::openai(OPENAI_MODEL, 3).key(ENTERPRISE_KEY)
}

/// Limits out of the way.
fn unlimited(policy: &mut serde_json::Map<String, serde_json::Value>) {
    policy["tiers"]["enterprise"]["limits"] = json!([]);
}

/// The books have these tallies and no others, each once.
async fn assert_books(scene: &LedgerScene, journal: &[Tally]) {
    let totals = scene.ledger.wait_for_requests(journal.len() as u64).await;
    let cost: NanoUsd = journal.iter().map(|tally| tally.cost_nusd).sum();
    assert_eq!((totals.requests, totals.cost_nusd), (journal.len() as u64, cost.0));
    let entered: Vec<Tally> = scene.ledger.entries().await;
    let in_books: HashSet<&str> = entered.iter().map(|tally| tally.id.as_str()).collect();
    let in_journal: HashSet<&str> = journal.iter().map(|tally| tally.id.as_str()).collect();
    assert_eq!(in_books.len(), entered.len(), "a tally was entered twice");
    assert_eq!(in_books, in_journal);
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_agree_with_what_the_official_clients_were_told() {
    let scene = LedgerScene::example(2, unlimited).await;
    let orders: Vec<Order> = [(Api::OpenAi, OPENAI_MODEL), (Api::Anthropic, CLAUDE_MODEL)]
        .into_iter()
        .flat_map(|(api, model)| {
            let order = Order::new(api, scene.envoy.address(), ENTERPRISE_KEY, model, "How much is that?")
                .header("x-mock-cache-read", 300)
                .header("x-mock-reasoning", 6);
            [order.clone(), order.streamed()]
        })
        .collect();
    let chats = clients::chats(&orders).await.unwrap();
    let prices = Prices::read().unwrap();
    let told: NanoUsd = orders
        .iter()
        .zip(&chats)
        .map(|(order, chat)| prices.cost(&order.model, usage_told(chat.usage.as_ref().unwrap())).unwrap())
        .sum();
    let totals = scene.ledger.wait_for_requests(4).await;
    assert_eq!(totals.cost_nusd, told.0);
    assert_eq!(scene.ledger.usage_of("enzo").await, totals);
    assert_books(&scene, &scene.envoy.wait_for_journal(4).await).await;
}

/// How long the ledger is away.
const OUTAGE: Duration = Duration::from_secs(10);

/// Sends requests all the while, each of which must be answered, and returns how many there were.
async fn requests_during_outage(scene: &LedgerScene) -> usize {
    let began = tokio::time::Instant::now();
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    let mut sent = 0;
    while began.elapsed() < OUTAGE {
        pace.tick().await;
        let answer = scene.envoy.send(&chat()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        sent += 1;
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_does_not_answer_delays_nothing_and_loses_nothing() {
    let scene = LedgerScene::example(2, unlimited).await;
    assert_eq!(scene.envoy.send(&chat()).await.status, 200);
    scene.ledger.wait_for_requests(1).await;
    scene.ledger.pause().unwrap();
    let sent = requests_during_outage(&scene).await;
    scene.ledger.resume().unwrap();
    assert_books(&scene, &scene.envoy.wait_for_journal(1 + sent).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_ledger_loses_nothing() {
    let mut scene = LedgerScene::example(2, unlimited).await;
    let answers = scene.envoy.send_all(vec![chat(); 20]).await;
    assert_eq!(count(&answers, 200), 20);
    scene.ledger.kill9();
    let sent = requests_during_outage(&scene).await;
    scene.ledger.restart().await.unwrap();
    assert_books(&scene, &scene.envoy.wait_for_journal(20 + sent).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tally_whose_receipt_was_lost_is_entered_once() {
    let mut scene = LedgerScene::example(2, unlimited).await;
    let proxy = FlakyProxy::start(scene.ledger.address()).await.unwrap();
    scene.config.set_cluster("tollgate_ledger", proxy.address());
    proxy.lose_replies(6);
    scene.envoy = Envoy::start(&scene.config, 2).await.unwrap();
    let answers = scene.envoy.send_all(vec![chat(); 40]).await;
    assert_eq!(count(&answers, 200), 40);
    wait::until("six lost replies", || scene.envoy.logs(), async || (proxy.lost() == 6).then_some(())).await;
    assert_books(&scene, &scene.envoy.wait_for_journal(40).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_envoy_goes_on_where_the_old_one_was() {
    let mut scene = LedgerScene::example(2, |policy| {
        policy["identity"]["consumer"] = json!([{"header": "x-consumer"}]);
        policy["identity"]["default_tier"] = "enterprise".into();
        policy["tiers"]["enterprise"]["limits"] =
            json!([quota("daily", "requests", 5, "day"), quota("monthly", "output_tokens", 1000, "month"),]);
    })
    .await;
    let chat = |consumer: &str, tokens: u64| {
        let call = Call::openai(OPENAI_MODEL, 1).header("x-consumer", consumer);
        call.header("x-mock-output-tokens", tokens).edit(|body| body["max_completion_tokens"] = tokens.into())
    };
    for consumer in ["alice", "alice", "alice", "zoe"] {
        assert_eq!(scene.envoy.send(&chat(consumer, 200)).await.status, 200);
    }
    scene.ledger.wait_for_requests(4).await;
    scene.envoy.kill9();
    scene.envoy = Envoy::start(&scene.config, 2).await.unwrap();
    wait::until(
        "the balances to be restored",
        || scene.envoy.logs(),
        async || scene.envoy.output().contains("balances restored from the ledger").then_some(()),
    )
    .await;
    assert_eq!(
        scene.envoy.send(&chat("alice", 401)).await.limit().as_deref(),
        Some("monthly"),
        "600 were used"
    );
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(scene.envoy.send(&chat("alice", 200)).await);
    }
    assert_eq!(count(&answers, 200), 2, "3 of 5 were used");
    assert_eq!(scene.envoy.send(&chat("zoe", 800)).await.status, 200, "200 of 1000 were used");
    assert_eq!(scene.envoy.send(&chat("zoe", 1)).await.limit().as_deref(), Some("monthly"));
    scene.envoy.assert_no_trap();
}

/// No limit looks at any of it: the books alone want to know.
#[tokio::test(flavor = "multi_thread")]
async fn usage_is_told_by_tool_interface_workflow_and_action() {
    let mut scene = LedgerScene::example(2, |policy| {
        unlimited(policy);
        policy["identity"]["interface"] = json!([{"header": "x-interface"}]);
        policy["identity"]["region"] = json!([{"header": "x-region"}]);
        policy.retain(|section, _| {
            !["actions", "workflows", "policies", "default_policy"].contains(&section.as_str())
        });
    })
    .await;
    scene.config.push_route(json!({
        "match": {"prefix": "/support/"},
        "route": {"cluster": "models", "prefix_rewrite": "/"},
        "metadata": {"filter_metadata": {"tollgate": {"workflow": "support", "action": "answer"}}},
    }));
    scene.envoy = Envoy::start(&scene.config, 2).await.unwrap();
    let call = |tool: &str, interface: &str| {
        let params = json!({"name": tool, "arguments": {}});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        Call::post("/support/mcp", &body)
            .key(ENTERPRISE_KEY)
            .header("accept", "application/json, text/event-stream")
            .header("x-interface", interface)
            .header("x-region", "eu")
    };
    for (tool, interface) in [("search", "telegram"), ("search", "web"), ("weather", "telegram")] {
        assert_eq!(scene.envoy.send(&call(tool, interface)).await.status, 200);
    }
    scene.ledger.wait_for_requests(3).await;
    let requests = async |dimension: &str| {
        let page = scene.ledger.get(&format!("/v1/usage?group_by={dimension}")).await;
        let rows = page["rows"].as_array().cloned().unwrap_or_default();
        rows.iter().map(|row| json!([row[dimension], row["requests"]])).collect::<Vec<_>>()
    };
    assert_eq!(requests("tool").await, [json!(["search", 2]), json!(["weather", 1])]);
    assert_eq!(requests("interface").await, [json!(["telegram", 2]), json!(["web", 1])]);
    assert_eq!(requests("workflow").await, [json!(["support", 3])]);
    assert_eq!(requests("action").await, [json!(["answer", 3])]);
    let table = scene.ledger.command(&["usage", "--by", "tool", "--interface", "web"]).unwrap();
    assert!(table.contains("search") && !table.contains("weather"), "{table}");
    let entries = scene.ledger.get("/v1/entries?tool=weather&region=eu").await["entries"].clone();
    assert_eq!(entries.as_array().map(Vec::len), Some(1), "{entries}");
    assert_eq!(scene.ledger.audit().unwrap(), 3);
    scene.envoy.assert_no_trap();
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_in_the_books_and_cost_nothing() {
    let scene = LedgerScene::example(2, |policy| {
        policy["tiers"]["enterprise"]["limits"] = json!([quota("daily", "requests", 2, "day")]);
    })
    .await;
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(scene.envoy.send(&chat()).await);
    }
    assert_eq!(count(&answers, 429), 3);
    let totals = scene.ledger.wait_for_requests(5).await;
    assert_eq!((totals.requests, totals.refused), (5, 3));
    let refused: Vec<Tally> =
        scene.ledger.entries().await.into_iter().filter(|tally| !tally.refused_by.is_empty()).collect();
    assert!(refused.iter().all(|tally| tally.refused_by == "daily" && tally.cost_nusd.0 == 0), "{refused:?}");
    assert_eq!(refused.len(), 3);
}
