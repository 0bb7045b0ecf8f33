//! Envoy and the ledger know each other by certificates, and Envoy shows its token over that.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use tollgate_e2e::envoy::{Envoy, EnvoyConfig};
use tollgate_e2e::http_client::Call;
use tollgate_e2e::ledger::{Arrangement, Ledger};
use tollgate_e2e::model_server::ModelServer;
use tollgate_e2e::paths;
use tollgate_e2e::scene::{ENTERPRISE_KEY, OPENAI_MODEL};
use tollgate_e2e::tls::{Authority, Signed};
use tollgate_e2e::wait;

/// The example's name of the ledger.
const LEDGER: &str = "ledger";

struct Files(tempfile::TempDir);

impl Files {
    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn signed(&self, name: &str, signed: &Signed) -> (PathBuf, PathBuf) {
        let certificate = self.write(&format!("{name}.crt"), &signed.certificate);
        (certificate, self.write(&format!("{name}.key"), &signed.key))
    }
}

/// The example with `envoy/ledger-tls.yaml` in it, and the files that it names where they are.
fn config(models: &ModelServer, ledger: &Ledger, files: &Files, ca: &str, client: &Signed) -> EnvoyConfig {
    let mut config = EnvoyConfig::example(models.address(), ledger.address()).unwrap();
    config.replace_cluster(&paths::root().join("envoy/ledger-tls.yaml")).unwrap();
    config.set_endpoints("tollgate_ledger", &[ledger.address()]);
    config.policy(|policy| policy["ledger"]["flush_interval_ms"] = 100.into());
    let (certificate, key) = files.signed("envoy", client);
    let authority = files.write("authority.crt", ca);
    config.edit_cluster("tollgate_ledger", |cluster| {
        let context = &mut cluster["transport_socket"]["typed_config"]["common_tls_context"];
        assert!(context["validation_context"]["match_typed_subject_alt_names"][0].is_object());
        context["tls_certificates"][0]["certificate_chain"]["filename"] = json!(certificate);
        context["tls_certificates"][0]["private_key"]["filename"] = json!(key);
        context["validation_context"]["trusted_ca"]["filename"] = json!(authority);
    });
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn tallies_go_over_tls_with_a_client_certificate_and_a_token_and_not_without() {
    let files = Files(tempfile::tempdir().unwrap());
    let (authority, strangers) = (Authority::new().unwrap(), Authority::new().unwrap());
    let operator = authority.client(&[], &[], "operator").unwrap();
    let (certificate, key) = files.signed("ledger", &authority.server_also_called(LEDGER).unwrap());
    let ca = files.write("ca.crt", &authority.pem());
    let option = |name: &str, path: &PathBuf| [name.to_owned(), path.display().to_string()];
    let options = [option("--tls-cert", &certificate), option("--tls-key", &key), option("--client-ca", &ca)];
    let ledger = Ledger::start_as(Arrangement {
        arguments: options.concat(),
        tls: Some(Arc::clone(&authority.connector(Some(&operator), false).unwrap())),
        ..Arrangement::default()
    })
    .await
    .unwrap();
    let models = ModelServer::start().await.unwrap();
    let chat = Call::openai(OPENAI_MODEL, 3).key(ENTERPRISE_KEY);
    let syncs = async |envoy: &Envoy, outcome: &str| {
        envoy.prometheus().await.sum("tollgate_syncs", &[("outcome", outcome)]).unwrap_or_default()
    };

    // A certificate of somebody else's: nothing arrives, nobody waits.
    let stranger = strangers.client(&[], &[], "edge-1").unwrap();
    let envoy =
        Envoy::start(&config(&models, &ledger, &files, &authority.pem(), &stranger), 1).await.unwrap();
    assert_eq!(envoy.send(&chat).await.status, 200);
    let failed = async || (syncs(&envoy, "failed").await + syncs(&envoy, "unsent").await > 0.0).then_some(());
    wait::until("a sync that failed", || envoy.logs(), failed).await;
    assert_eq!(syncs(&envoy, "ok").await, 0.0);
    assert_eq!(ledger.totals().await.requests, 0);
    drop(envoy);

    // A ledger that somebody else's authority vouches for is not talked to.
    let edge = authority.client(&[], &[], "edge-1").unwrap();
    let envoy = Envoy::start(&config(&models, &ledger, &files, &strangers.pem(), &edge), 1).await.unwrap();
    assert_eq!(envoy.send(&chat).await.status, 200);
    let refused = async || {
        (envoy.stats().await.stat("cluster.tollgate_ledger.ssl.fail_verify_error") > 0).then_some(())
    };
    wait::until("a ledger refused", || envoy.logs(), refused).await;
    assert_eq!(ledger.totals().await.requests, 0);
    drop(envoy);

    let envoy = Envoy::start(&config(&models, &ledger, &files, &authority.pem(), &edge), 1).await.unwrap();
    assert_eq!(envoy.send(&chat).await.status, 200);
    assert_eq!(ledger.wait_for_requests(1).await.requests, 1);
    assert!(envoy.stats().await.stat("cluster.tollgate_ledger.ssl.handshake") > 0);
    assert_eq!(ledger.audit().unwrap(), 1);

    // The command line in the same way.
    let (certificate, key) = files.signed("operator", &operator);
    let path = |path: &PathBuf| path.display().to_string();
    let (ca, certificate, key) = (path(&ca), path(&certificate), path(&key));
    let usage = ["usage", "--json", "--ledger-ca", &ca, "--ledger-cert", &certificate, "--ledger-key", &key];
    assert!(ledger.command(&usage).unwrap().contains("\"requests\""));
    assert!(ledger.command(&usage[..4]).is_err(), "without a certificate");
    let without_ca = ["usage", "--json", "--ledger-cert", &certificate, "--ledger-key", &key];
    assert!(ledger.command(&without_ca).is_err(), "of a ledger nobody vouches for");
}
