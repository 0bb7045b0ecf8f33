//! The ledger's own TLS: with a client certificate, with another's, and without any.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use support::process::*;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

/// An authority, and what it signed.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// Certificate and key, as PEM.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

/// Asks /readyz: the status, or why there was no answer.
fn ask(address: &str, trust: &Authority, client: Option<(String, String)>) -> Result<u16, String> {
    let root = Certificate::from_pem(trust.issuer.pem().as_bytes()).unwrap();
    let client = client.map(|(certificate, key)| {
        let chain = [Certificate::from_pem(certificate.as_bytes()).unwrap()];
        ClientCert::new_with_certs(&chain, PrivateKey::from_pem(key.as_bytes()).unwrap())
    });
    let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[root])).client_cert(client).build();
    let agent = ureq::Agent::config_builder().tls_config(tls).http_status_as_error(false).build().new_agent();
    let answer = agent.get(format!("{address}/readyz")).call().map_err(|why| why.to_string())?;
    Ok(answer.status().as_u16())
}

fn serve(files: &Files, ledgers: &Authority, clients: Option<&Authority>) -> Served {
    let (certificate, key) = ledgers.sign("localhost");
    let path = |path: PathBuf| path.display().to_string();
    let (certificate, key) = (path(files.write("crt", &certificate)), path(files.write("key", &key)));
    let mut arguments = vec!["--tls-cert", &certificate, "--tls-key", &key];
    let client_ca = clients.map(|clients| path(files.write("ca", &clients.issuer.pem())));
    if let Some(client_ca) = &client_ca {
        arguments.extend(["--client-ca", client_ca]);
    }
    Served::start_with(&files.folder.path().join("ledger.db"), &arguments, Some(TOKEN))
}

fn by_name(served: &Served) -> String {
    assert!(served.address.starts_with("https://"), "{}", served.address);
    served.address.replace("127.0.0.1", "localhost")
}

#[test]
fn nobody_without_a_certificate_of_the_clients_authority_is_let_in() {
    let files = Files { folder: tempfile::tempdir().unwrap() };
    let (ledgers, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let served = serve(&files, &ledgers, Some(&clients));
    let address = by_name(&served);
    assert_eq!(ask(&address, &ledgers, Some(clients.sign("edge-1"))), Ok(200));
    assert!(ask(&address, &ledgers, Some(strangers.sign("edge-1"))).is_err());
    assert!(ask(&address, &ledgers, None).is_err());
    // Nor does a client take another ledger for this one.
    assert!(ask(&address, &strangers, Some(clients.sign("edge-1"))).is_err());
    let (status, log) = served.terminate();
    assert!(status.success(), "{log:#?}");
}

#[test]
fn without_a_clients_authority_the_token_alone_says_who_is_asking() {
    let files = Files { folder: tempfile::tempdir().unwrap() };
    let ledgers = Authority::new();
    let served = serve(&files, &ledgers, None);
    // A connection that says nothing keeps nobody waiting.
    let _silent = std::net::TcpStream::connect(served.address.strip_prefix("https://").unwrap()).unwrap();
    assert_eq!(ask(&by_name(&served), &ledgers, None), Ok(200));
}

#[test]
fn files_that_are_no_certificates_are_refused_at_the_start() {
    let files = Files { folder: tempfile::tempdir().unwrap() };
    let nothing = files.write("nothing", "nothing");
    let database = format!("sqlite:{}", files.folder.path().join("ledger.db").display());
    let serve = |certificate: &Path, key: &Path| {
        let mut command = tollgate();
        command.args(["ledger", "serve", "--listen", "127.0.0.1:0", "--database", &database, "--tls-cert"]);
        command.arg(certificate).arg("--tls-key").arg(key).output().unwrap()
    };
    let output = serve(&nothing, &nothing);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("nothing"), "{}", stderr(&output));
}
