//! Asking a ledger over HTTP.

use std::time::Duration;

use serde::de::DeserializeOwned;
use thiserror::Error;
use ureq::http::{Response, Uri};
use ureq::{Agent, Body};

use super::LedgerArgs;

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
    /// The token can't be read.
    #[error("{0}")]
    Token(String),
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
        let config = Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false);
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
        let mut response = request
            .call()
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
