//! A model server with real wire shapes and a tokenizer anybody can check by hand.
//!
//! It speaks every API that Tollgate reads ([`Dialect`]), streamed and not, and keeps a log of what it was sent and
//! what it billed, so that a scenario can compare the bill with Tollgate's. How it answers is told per request by
//! `x-mock-*` headers (see [`Knobs`]): a scenario needs no second server for a slow, broken or silent model.
//!
//! The tokenizer: one token is one word, that is a run of characters without white space, in the text of the prompt
//! (and of Anthropic's `system`). Roles, names, tools and images cost nothing. The road not taken is a real
//! tokenizer: megabytes of tables, and nobody could tell a wrong count from a right one.

mod answer;
mod anthropic;
mod aws;
mod batches;
mod body;
mod endpoint;
mod google;
mod knobs;
mod mistral;
mod openai;
mod openai_more;
mod others;
mod plan;
mod prompt;
mod served;
mod text;
mod tools;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use endpoint::{Dialect, Endpoint};
pub use knobs::Knobs;
pub use served::{Exchange, InFlight, ModelUsage, Served};
pub use text::{prompt_of, word};

use served::Log;

/// A model server on a free port of the loopback interface; it stops when dropped.
pub struct ModelServer {
    address: SocketAddr,
    log: Arc<Log>,
    serving: JoinHandle<()>,
}

impl ModelServer {
    /// Starts it on a free port.
    pub async fn start() -> anyhow::Result<Self> {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts it on the given address.
    pub async fn listen(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let log = Arc::new(Log::default());
        let app = router(Arc::clone(&log));
        let listener = listener.tap_io(|stream| {
            // A chunk must leave when it is written: streams are tested piece by piece.
            if let Err(error) = stream.set_nodelay(true) {
                eprintln!("model server: no TCP_NODELAY: {error}");
            }
        });
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                eprintln!("model server: {error}");
            }
        });
        Ok(Self { address, log, serving })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything it was sent since the start or the last [`ModelServer::reset`], oldest first.
    pub fn served(&self) -> Vec<Served> {
        self.log.served()
    }

    /// Requests under way now, and the most there ever were at once.
    pub fn in_flight(&self) -> InFlight {
        self.log.in_flight()
    }

    /// Forgets what was served and the peak.
    pub fn reset(&self) {
        self.log.reset();
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The whole application: tests and the `model-server` binary serve the same one.
fn router(log: Arc<Log>) -> Router {
    Router::new()
        .route(
            "/_served",
            get(|State(log): State<Arc<Log>>| async move { json(200, &log.served()) }).delete(
                |State(log): State<Arc<Log>>| async move {
                    log.reset();
                    json(200, &serde_json::json!({}))
                },
            ),
        )
        .route("/_inflight", get(|State(log): State<Arc<Log>>| async move { json(200, &log.in_flight()) }))
        .fallback(|State(log): State<Arc<Log>>, request: Request| async move {
            answer::answer(log, request).await
        })
        .with_state(log)
}

/// A JSON answer.
fn json<T: serde::Serialize>(status: u16, value: &T) -> Response {
    let status = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    match serde_json::to_vec(value) {
        Ok(bytes) => (status, [(http::header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => (http::StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
