//! Asking a ledger over HTTP.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use ureq::http::{Method, Request, Response, Uri};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use super::{LedgerArgs, TrustArgs};

/// How long a report may take: it may read a whole month.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Largest answer in bytes: a page of entries with the longest names.
const ANSWER_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Why a ledger did not answer.
#[derive(Debug, Error)]
pub(super) enum ClientError {
    /// The address is none.
    #[error("{0} is no address of a ledger")]
    Address(String),
    /// It could not be reached.
    #[error("the ledger at {address} can't be reached")]
    Reach {
        /// Its address.
        address: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// It refused.
    #[error("the ledger answered {status}: {detail}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What it said.
        detail: String,
    },
    /// Its answer can't be read.
    #[error("the ledger's answer can't be understood")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A certificate or key can't be read.
    #[error("{path} is no PEM file of that kind: {detail}")]
    Pem {
        /// The file.
        path: String,
        /// Why.
        detail: String,
    },
    /// The token can't be read.
    #[error("{0}")]
    Token(String),
}

/// An absolute path of these segments, each percent-encoded: a consumer may be called anything.
pub(super) fn address_of(segments: &[&str]) -> String {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        for byte in segment.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => path.push(byte.into()),
                _ => path.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    path
}

/// A ledger and the right to ask it.
pub(super) struct Client {
    agent: Agent,
    address: String,
    token: Option<String>,
}

impl Client {
    pub(super) fn new(args: &LedgerArgs) -> Result<Self, ClientError> {
        let token = args.token.read().map_err(ClientError::Token)?;
        let config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .tls_config(args.trust.tls()?);
        let address = args.ledger.trim_end_matches('/').to_owned();
        Ok(Self { agent: config.build().new_agent(), address, token })
    }

    /// Asks; parameters that are `None` are left out.
    pub(super) fn get(
        &self,
        path: &str,
        query: &[(&str, Option<&str>)],
    ) -> Result<Response<Body>, ClientError> {
        let uri: Uri = format!("{}{path}", self.address)
            .parse()
            .map_err(|_| ClientError::Address(self.address.clone()))?;
        let mut request = self.agent.get(uri);
        for (name, value) in query {
            if let Some(value) = value {
                request = request.query(name, value);
            }
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.answer(request.call())
    }

    /// Posts a JSON document to the address made of these segments.
    pub(super) fn post(&self, path: &[&str], body: &impl Serialize) -> Result<Response<Body>, ClientError> {
        self.send(Method::POST, path, body)
    }

    /// Puts a JSON document.
    pub(super) fn put(&self, path: &[&str], body: &impl Serialize) -> Result<Response<Body>, ClientError> {
        self.send(Method::PUT, path, body)
    }

    /// Deletes what is under the address.
    pub(super) fn delete(&self, path: &[&str]) -> Result<Response<Body>, ClientError> {
        self.send(Method::DELETE, path, &serde_json::json!({}))
    }

    fn send(
        &self,
        method: Method,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<Response<Body>, ClientError> {
        let uri = format!("{}{}", self.address, address_of(path));
        let body = serde_json::to_vec(body).map_err(|why| ClientError::Answer(why.into()))?;
        let mut request =
            Request::builder().method(method).uri(uri).header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(body).map_err(|_| ClientError::Address(self.address.clone()))?;
        self.answer(self.agent.run(request))
    }

    fn answer(&self, called: Result<Response<Body>, ureq::Error>) -> Result<Response<Body>, ClientError> {
        let mut response = called
            .map_err(|why| ClientError::Reach { address: self.address.clone(), source: Box::new(why) })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let problem = response.body_mut().read_to_string().unwrap_or_default();
        let detail = serde_json::from_str::<serde_json::Value>(&problem)
            .ok()
            .and_then(|problem| Some(problem.get("detail")?.as_str()?.to_owned()))
            .unwrap_or(problem);
        Err(ClientError::Refused { status, detail })
    }

    /// The body as text.
    pub(super) fn text(mut response: Response<Body>) -> Result<String, ClientError> {
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        body.read_to_string().map_err(|why| ClientError::Answer(why.into()))
    }

    /// The body as JSON.
    pub(super) fn json<T: DeserializeOwned>(response: Response<Body>) -> Result<T, ClientError> {
        serde_json::from_str(&Self::text(response)?).map_err(|why| ClientError::Answer(why.into()))
    }
}

impl TrustArgs {
    fn tls(&self) -> Result<TlsConfig, ClientError> {
        let mut tls = TlsConfig::builder();
        if let Some(path) = &self.ledger_ca {
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates(path)?));
        }
        if let (Some(certificate), Some(key)) = (&self.ledger_cert, &self.ledger_key) {
            let chain = certificates(certificate)?;
            let key = PrivateKey::from_pem(&pem(key)?).map_err(|why| not_pem(key, why))?;
            tls = tls.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
        }
        Ok(tls.build())
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, ClientError> {
    let bytes = pem(path)?;
    let mut found = Vec::new();
    for item in parse_pem(&bytes) {
        if let PemItem::Certificate(certificate) = item.map_err(|why| not_pem(path, why))? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err(not_pem(path, "it has no certificate")) } else { Ok(found) }
}

fn pem(path: &Path) -> Result<Vec<u8>, ClientError> {
    std::fs::read(path).map_err(|why| not_pem(path, why))
}

fn not_pem(path: &Path, why: impl std::fmt::Display) -> ClientError {
    ClientError::Pem { path: path.display().to_string(), detail: why.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_characters_is_one_segment() {
        assert_eq!(address_of(&["v1", "a/b?c#d %é"]), "/v1/a%2Fb%3Fc%23d%20%25%C3%A9");
    }
}
