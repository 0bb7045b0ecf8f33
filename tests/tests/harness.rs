//! What the scenarios stand on, tried without Tollgate: the model server, Envoy and the official clients.

use serde_json::{Value, json};
use tollgate_e2e::clients::{self, Api, Order};
use tollgate_e2e::envoy::{Envoy, EnvoyConfig};
use tollgate_e2e::http_client::Call;
use tollgate_e2e::model_server::{ModelServer, ModelUsage};
use tollgate_e2e::{paths, wait};

const OPENAI_MODEL: &str = "gpt-5.4-mini";
const CLAUDE_MODEL: &str = "claude-haiku-4-5";

#[tokio::test(flavor = "multi_thread")]
async fn official_clients_read_what_the_model_server_bills() {
    let models = ModelServer::start().await.unwrap();
    let envoy = Envoy::start(&EnvoyConfig::plain(models.address()).unwrap(), 2).await.unwrap();
    let orders: Vec<Order> = [(Api::OpenAi, OPENAI_MODEL), (Api::Anthropic, CLAUDE_MODEL)]
        .into_iter()
        .flat_map(|(api, model)| {
            let order = Order::new(api, envoy.address(), "key", model, "one two three")
                .header("x-mock-output-tokens", 20)
                .header("x-mock-reasoning", 5)
                .header("x-mock-cache-read", 7);
            [order.clone(), order.streamed()]
        })
        .collect();
    let chats = clients::chats(&orders).await.unwrap();
    let served = models.served();
    assert_eq!(served.len(), 4);
    for (chat, served) in chats.iter().zip(&served) {
        let usage = chat.usage.as_ref().unwrap_or_else(|| panic!("no usage: {chat:?}"));
        assert_eq!(
            served.usage,
            ModelUsage { input: 3, cache_read: 7, cache_write: 0, output: 20, reasoning: 5 }
        );
        assert_eq!(chat.text.as_deref().map(|text| text.split(' ').count()), Some(15));
        let told = |name: &str| usage[name].as_u64();
        let output = told("completion_tokens").or(told("output_tokens"));
        let input = told("prompt_tokens").or(told("input_tokens").map(|rest| rest + 7));
        assert_eq!((input, output), (Some(10), Some(20)), "{usage}");
    }
    assert!(served.iter().all(|served| served.complete && !served.client_gone));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_openai_stream_has_usage_only_when_asked() {
    let models = ModelServer::start().await.unwrap();
    let asked = Call::openai(OPENAI_MODEL, 4).streamed();
    let not_asked = asked.clone().edit(|body| {
        body["stream_options"] = Value::Null;
    });
    let with = asked.send(models.address()).await.unwrap().text();
    assert!(with.contains(r#""prompt_tokens":4"#) && with.contains(r#""usage":null"#));
    assert!(!not_asked.send(models.address()).await.unwrap().text().contains(r#","usage":"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_answer_is_the_same_answer() {
    let models = ModelServer::start().await.unwrap();
    let envoy = Envoy::start(&EnvoyConfig::plain(models.address()).unwrap(), 1).await.unwrap();
    for call in [Call::openai(OPENAI_MODEL, 2).streamed(), Call::anthropic(CLAUDE_MODEL, 2, 99).streamed()] {
        let whole = envoy.send(&call).await.text();
        let bytes = envoy.send(&call.clone().header("x-mock-split", 1)).await.text();
        // The provider's id differs from answer to answer, in as many digits.
        assert_eq!(whole.len(), bytes.len());
        assert!(bytes.ends_with("\n\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_is_noticed_and_billed_so_far() {
    let models = ModelServer::start().await.unwrap();
    let envoy = Envoy::start(&EnvoyConfig::plain(models.address()).unwrap(), 1).await.unwrap();
    let order = Order::new(Api::OpenAi, envoy.address(), "key", OPENAI_MODEL, "hello")
        .header("x-mock-output-tokens", 50)
        .header("x-mock-hang-after", 11);
    let read = clients::abort(&order, 10).await.unwrap();
    assert!(read.aborted);
    wait::until_true("the model server to see it", || models.served().iter().all(|served| served.ended()))
        .await;
    let served = models.served().remove(0);
    assert!(served.client_gone);
    assert_eq!(served.usage.output, 10);
    assert_eq!(models.in_flight().current, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_once_are_at_once() {
    let models = ModelServer::start().await.unwrap();
    let envoy = Envoy::start(&EnvoyConfig::plain(models.address()).unwrap(), 2).await.unwrap();
    let call = Call::openai(OPENAI_MODEL, 1).header("x-mock-delay-ms", 500);
    let answers = envoy.send_all(vec![call; 50]).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(models.in_flight().peak, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_server_fails_in_the_providers_shape() {
    let models = ModelServer::start().await.unwrap();
    let openai = Call::openai(OPENAI_MODEL, 1).header("x-mock-status", 500);
    let answer = openai.send(models.address()).await.unwrap();
    assert_eq!((answer.status, answer.json()["error"]["type"].as_str()), (500, Some("server_error")));
    let anthropic = Call::anthropic(CLAUDE_MODEL, 1, 5).header("x-mock-status", 529);
    let answer = anthropic.send(models.address()).await.unwrap();
    assert_eq!((answer.status, answer.json()["error"]["type"].as_str()), (529, Some("overloaded_error")));
    assert_eq!(Call::get("/nothing").send(models.address()).await.unwrap().status, 404);
    assert_eq!(Call::get("/v1/models").send(models.address()).await.unwrap().status, 200);
    assert_eq!(
        Call::get("/_served").send(models.address()).await.unwrap().json().as_array().unwrap().len(),
        4
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_runs_in_envoy_and_a_missing_one_is_refused() {
    let models = ModelServer::start().await.unwrap();
    let mut config = EnvoyConfig::plain(models.address()).unwrap();
    config.push_module("empty", &paths::empty_filter().unwrap());
    Envoy::validate(&config).await.unwrap();
    let envoy = Envoy::start(&config, 2).await.unwrap();
    assert_eq!(envoy.send(&Call::openai(OPENAI_MODEL, 1)).await.status, 200);
    assert!(envoy.rss_bytes().unwrap() > 10 << 20);
    assert!(!envoy.cpu_time().unwrap().is_zero());
    assert!(envoy.prometheus().await.sum("envoy_http_downstream_rq_completed", &[]).is_some());
    envoy.assert_no_trap();
    let mut missing = EnvoyConfig::plain(models.address()).unwrap();
    missing.push_module("empty", std::path::Path::new("/nowhere.wasm"));
    assert!(Envoy::validate(&missing).await.unwrap_err().contains("/nowhere.wasm"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_can_change_while_envoy_runs() {
    let models = ModelServer::start().await.unwrap();
    let mut config = EnvoyConfig::plain(models.address()).unwrap();
    config.with_listener_from_file();
    let mut envoy = Envoy::start(&config, 2).await.unwrap();
    assert_eq!(envoy.send(&Call::get("/v1/models")).await.status, 200);
    let teapot = json!({"match": {"prefix": "/"}, "direct_response": {"status": 418}});
    envoy.update_listener(config.clone().push_route(teapot)).await.unwrap();
    wait::until(
        "the new route",
        || envoy.logs(),
        async || (envoy.send(&Call::get("/v1/models")).await.status == 418).then_some(()),
    )
    .await;
    let refused = config.clone().push_route(json!({"match": {}, "surprise": 1})).clone();
    assert!(envoy.update_listener(&refused).await.unwrap_err().contains("surprise"));
    envoy.terminate().await.unwrap();
}
