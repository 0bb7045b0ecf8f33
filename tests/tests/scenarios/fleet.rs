//! Several Envoys that share limits through one ledger.

use serde_json::Value;
use tollgate_e2e::envoy::{Envoy, EnvoyConfig};
use tollgate_e2e::flaky_proxy::FlakyProxy;
use tollgate_e2e::http_client::{Answer, Call};
use tollgate_e2e::ledger::Ledger;
use tollgate_e2e::model_server::ModelServer;
use tollgate_e2e::scene::policy;
use tollgate_e2e::wait;

/// Several Envoys with one policy, a model server and a ledger.
pub struct Fleet {
    models: ModelServer,
    pub ledger: Ledger,
    pub proxy: FlakyProxy,
    pub envoys: Vec<Envoy>,
}

impl Fleet {
    pub async fn start(envoys: usize, limits: Value) -> Self {
        let models = ModelServer::start().await.unwrap();
        let ledger = Ledger::start(None).await.unwrap();
        let proxy = FlakyProxy::start(ledger.address()).await.unwrap();
        let mut fleet = Self { models, ledger, proxy, envoys: Vec::new() };
        for _ in 0..envoys {
            let envoy = fleet.envoy(limits.clone()).await;
            fleet.envoys.push(envoy);
        }
        fleet
    }

    /// One more Envoy.
    pub async fn envoy(&self, limits: Value) -> Envoy {
        let mut config = EnvoyConfig::example(self.models.address(), self.ledger.address()).unwrap();
        config.set_cluster("tollgate_ledger", self.proxy.address());
        config.policy(|example| {
            let mut ledger = example["ledger"].clone();
            ledger["flush_interval_ms"] = 100.into();
            let mut policy = policy(limits);
            policy["ledger"] = ledger;
            *example = policy.as_object().unwrap().clone();
        });
        Envoy::start(&config, 2).await.unwrap()
    }

    /// The same requests to each Envoy, all at once.
    pub async fn send(&self, calls: &[Call]) -> Vec<Vec<Answer>> {
        futures_util::future::join_all(self.envoys.iter().map(|envoy| envoy.send_all(calls.to_vec()))).await
    }

    /// The quota as the ledger has it.
    pub async fn quota(&self) -> Value {
        let quotas = self.ledger.get("/v1/leases").await;
        quotas["quotas"][0].clone()
    }

    /// Waits until the Envoys have told the ledger what they spent.
    pub async fn wait_until_settled(&self, units: u64) {
        let logs = || format!("{}\n{}", self.ledger.logs(), self.envoys[0].logs());
        wait::until("all to be reported", logs, async || {
            (self.quota().await["settled"] == units).then_some(())
        })
        .await;
    }

    /// Every Envoy is whole, and the books agree with themselves.
    pub fn assert_sound(&self) {
        self.envoys.iter().for_each(Envoy::assert_no_trap);
        self.ledger.audit().unwrap();
    }
}

/// A limit over all Envoys.
pub fn global(mut limit: Value, terms: Value) -> Value {
    limit["global"] = terms;
    limit
}
