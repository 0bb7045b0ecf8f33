//! Connections: where to, how many, and with what kept from going wrong.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::Config;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::store::StoreError;

/// Connections of one node. Four enter batches as fast as the database can; more let reports run beside them.
const CONNECTIONS_MAX: usize = 16;

/// How long making a connection may take, per host and as a whole.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// How long to wait for a free connection.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Bounds that the database keeps for every session. A lock is waited for no longer than a try lasts, so that tries
/// given up here don't pile up there; a transaction whose node vanished frees its locks. There is no statement_timeout: it
/// would end the wait for a synchronous standby and call the commit done.
const SESSION: &str = "-c lock_timeout=4000 -c idle_in_transaction_session_timeout=10000";

/// How to reach the database.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// `postgres://USER:PASSWORD@HOST1,HOST2/DATABASE?sslmode=require`. Of several hosts the one that takes writes is
    /// used, and found again when it changes.
    pub url: String,
    /// PEM file of the authority that signed the server's certificate; without it the public ones are trusted.
    pub ca_file: Option<PathBuf>,
}

impl PostgresOptions {
    /// The usual: public authorities.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), ca_file: None }
    }

    /// The error of a database that could not be opened, without its password.
    pub(super) fn not_opened(&self, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
        StoreError::Open { path: without_password(&self.url), source: why.into() }
    }
}

/// The URL for people: what stands between the name and the host is left out.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "postgres".into() };
    let (who, place) = rest.rsplit_once('@').map_or((None, rest), |(who, place)| (Some(who), place));
    // Passwords can also stand in the query.
    let place = place.split('?').next().unwrap_or_default();
    match who {
        Some(who) => format!("{scheme}://{}@{place}", who.split(':').next().unwrap_or_default()),
        None => format!("{scheme}://{place}"),
    }
}

/// A pool that connects when first asked.
pub(super) fn pool(options: &PostgresOptions) -> Result<Pool, StoreError> {
    let config = configure(&options.url).map_err(|why| options.not_opened(why))?;
    let tls = MakeRustlsConnect::new(trust(options)?);
    // A connection is only looked at before it is used again; what breaks under way is tried again anyway.
    let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    Pool::builder(Manager::from_config(config, tls, manager))
        .runtime(Runtime::Tokio1)
        .max_size(CONNECTIONS_MAX)
        .create_timeout(Some(CONNECT_MAX * 2))
        .recycle_timeout(Some(CONNECT_MAX))
        .wait_timeout(Some(WAIT_MAX))
        .build()
        .map_err(|why| options.not_opened(why))
}

fn configure(url: &str) -> Result<Config, tokio_postgres::Error> {
    let mut config = Config::from_str(url)?;
    if config.get_target_session_attrs() == TargetSessionAttrs::Any {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_MAX);
    }
    if config.get_application_name().is_none() {
        config.application_name("tollgate-ledger");
    }
    let options = match config.get_options() {
        // Later ones win: what the URL says goes before what is usual.
        Some(given) => format!("{SESSION} {given}"),
        None => SESSION.to_owned(),
    };
    config
        .options(options)
        .tcp_user_timeout(Duration::from_secs(10))
        .keepalives_idle(Duration::from_secs(10));
    Ok(config)
}

fn trust(options: &PostgresOptions) -> Result<ClientConfig, StoreError> {
    let mut roots = RootCertStore::empty();
    match &options.ca_file {
        Some(path) => {
            for certificate in certificates(path).map_err(|why| options.not_opened(why))? {
                roots.add(certificate).map_err(|why| options.not_opened(why))?;
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| options.not_opened(why))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    CertificateDer::pem_file_iter(path)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            ("postgres://me:secret@a,b:1/books?sslmode=require", "postgres://me@a,b:1/books"),
            ("postgres://me:se@cret@a/books", "postgres://me@a/books"),
            ("postgres://a/books?user=me&password=secret", "postgres://a/books"),
            ("host=a password=secret", "postgres"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }

    #[test]
    fn of_several_hosts_the_one_that_takes_writes_is_wanted() {
        let config = configure("postgres://me@a:1,b:2/books").unwrap();
        assert_eq!(config.get_hosts().len(), 2);
        assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
    }

    #[test]
    fn what_the_url_says_goes_before_what_is_usual() {
        let config = configure("postgres://a/books?options=-c%20lock_timeout%3D1&connect_timeout=7").unwrap();
        assert!(config.get_options().unwrap().ends_with("-c lock_timeout=1"));
        assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(7)));
    }
}
