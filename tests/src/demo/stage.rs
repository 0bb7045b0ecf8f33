//! What the demo runs on: the example configuration as it is, between a model and a ledger.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use http::Uri;
use serde_json::json;

use crate::clients::{Api, Order};
use crate::envoy::{Envoy, EnvoyConfig};
use crate::ledger::Ledger;
use crate::model_server::ModelServer;
use crate::prices::Prices;

/// Workers of the demo's Envoy.
const WORKERS: usize = 2;

/// Everything that runs, stopped when dropped.
pub struct Stage {
    /// Envoy, with the example configuration.
    pub envoy: Envoy,
    /// The ledger.
    pub ledger: Ledger,
    /// APIs that the model speaks, each with the model to ask for.
    pub apis: Vec<(Api, String)>,
    /// When the first request could be sent: buckets refill from then on.
    pub opened: Instant,
    /// The model is the mock, which can be told how long to take.
    pub mock: bool,
    _models: Option<ModelServer>,
}

impl Stage {
    /// Starts everything.
    pub async fn set() -> anyhow::Result<Self> {
        let prices = Prices::read()?;
        let openai = prices.first_known(&["gpt-5.4-mini", "gpt-5-mini"])?.to_owned();
        let claude = prices.first_known(&["claude-haiku-4-5", "claude-haiku-5-5"])?.to_owned();
        let ledger = Ledger::start(None).await?;
        let models = ModelServer::start().await?;
        let mut config = EnvoyConfig::example(models.address(), ledger.address())?;
        let upstream = std::env::var("UPSTREAM").ok().filter(|upstream| !upstream.is_empty());
        let apis = match &upstream {
            None => vec![(Api::OpenAi, openai), (Api::Anthropic, claude)],
            Some(upstream) => {
                point_at(&mut config, upstream)?;
                let api = if upstream.contains("anthropic") { Api::Anthropic } else { Api::OpenAi };
                let cheap = if api == Api::Anthropic { claude } else { openai };
                vec![(api, std::env::var("MODEL").unwrap_or(cheap))]
            }
        };
        let envoy = Envoy::start(&config, WORKERS).await?;
        match &upstream {
            None => println!("The model is a mock: real wire shapes, one token a word."),
            Some(upstream) => println!("The model is {upstream}."),
        }
        println!("Envoy runs envoy/envoy.yaml on {WORKERS} workers at http://{}.", envoy.address());
        let mock = upstream.is_none();
        Ok(Self { envoy, ledger, apis, opened: Instant::now(), mock, _models: mock.then_some(models) })
    }

    /// A chat with the `nth` API, counted around.
    pub fn order(&self, nth: usize, key: &str, prompt: &str) -> Order {
        let (api, model) = &self.apis[nth % self.apis.len()];
        Order::new(*api, self.envoy.address(), key, model, prompt).max_tokens(256)
    }

    /// A chat that takes a while, so that others meet it under way.
    pub fn slow_order(&self, nth: usize, key: &str, prompt: &str) -> Order {
        self.directed(self.order(nth, key, prompt), &[("x-mock-delay-ms", 1500)])
    }

    /// Tells the mock how to answer; a real model is not told.
    pub fn directed(&self, order: Order, knobs: &[(&str, u64)]) -> Order {
        if !self.mock {
            return order;
        }
        knobs.iter().fold(order, |order, (name, value)| order.header(name, value))
    }

    /// Tells how many units a bucket that gets `per_minute` of them may have refilled since the start.
    pub fn refilled(&self, per_minute: u64) -> usize {
        let units = self.opened.elapsed().as_millis() * u128::from(per_minute) / 60_000;
        usize::try_from(units).unwrap_or(usize::MAX)
    }
}

/// Sends what Envoy lets through to a real endpoint over TLS. The users' keys are Tollgate's; the endpoint gets
/// `UPSTREAM_KEY` instead.
fn point_at(config: &mut EnvoyConfig, upstream: &str) -> anyhow::Result<()> {
    let uri: Uri = upstream.parse().with_context(|| format!("UPSTREAM is no URL: {upstream}"))?;
    let host = uri.host().context("UPSTREAM has no host")?.to_owned();
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => bail!("UPSTREAM must begin with https:// or http://: {upstream}"),
    };
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let authorities = certificate_authorities();
    let root = uri.path().trim_end_matches('/').to_owned();
    config.edit_cluster("models", |cluster| {
        cluster["type"] = "LOGICAL_DNS".into();
        cluster["dns_lookup_family"] = "V4_PREFERRED".into();
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"] =
            json!({"address": host, "port_value": port});
        if tls {
            cluster["transport_socket"] = json!({
                "name": "envoy.transport_sockets.tls",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                    "sni": host,
                    "auto_sni_san_validation": true,
                    "common_tls_context": {"validation_context": {"trusted_ca": {"filename": authorities}}},
                },
            });
        }
    });
    let key = std::env::var("UPSTREAM_KEY").unwrap_or_default();
    let set = |name: &str, value: &str| json!({"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"});
    config.edit_routes(|route| {
        route["route"]["host_rewrite_literal"] = host.clone().into();
        if !root.is_empty() {
            route["route"]["prefix_rewrite"] = format!("{root}/").into();
        }
        if !key.is_empty() {
            route["request_headers_to_add"] =
                json!([set("authorization", &format!("Bearer {key}")), set("x-api-key", &key)]);
        }
    });
    Ok(())
}

/// The certificate authorities this machine trusts: `SSL_CERT_FILE`, or where distributions keep them.
fn certificate_authorities() -> String {
    let usual = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ];
    let of_their_own = std::env::var("SSL_CERT_FILE").ok();
    let found = usual.into_iter().find(|path| Path::new(path).is_file()).unwrap_or(usual[0]);
    of_their_own.unwrap_or_else(|| found.to_owned())
}
