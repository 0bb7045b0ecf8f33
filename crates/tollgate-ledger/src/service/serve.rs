//! Running the app: listen, serve, keep the months, stop in order.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::tls::{TlsError, TlsListener, TlsOptions};
use super::{AppState, router};
use crate::calendar::Month;

/// How often retention runs. Months are long; a day late is early enough.
const RETENTION_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long requests in flight may take to finish once the service was told to stop.
const DRAIN_MAX: Duration = Duration::from_secs(20);

/// Why the service did not run.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address could not be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// TLS could not be set up.
    #[error("cannot serve over TLS")]
    Tls(#[source] TlsError),
    /// The listener failed.
    #[error("the listener failed")]
    Serve(#[source] std::io::Error),
}

/// A service whose socket is open.
pub struct Serving {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    state: AppState,
}

impl Serving {
    /// Opens the socket, for TLS where that is wanted. Port 0 takes a free one.
    pub async fn bind(address: &str, tls: Option<&TlsOptions>, state: AppState) -> Result<Self, ServeError> {
        let tls = tls.map(TlsOptions::acceptor).transpose().map_err(ServeError::Tls)?;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ServeError::Listen { address: address.to_owned(), source })?;
        Ok(Self { listener, tls, state })
    }

    /// The address that it is open on.
    pub fn address(&self) -> Result<SocketAddr, ServeError> {
        self.listener.local_addr().map_err(ServeError::Serve)
    }

    /// Serves until `stop` comes, then accepts no more, finishes the requests in flight and closes the store: what
    /// was queued is committed.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), ServeError> {
        let state = self.state.clone();
        let retention = tokio::spawn(keep_months(self.state.clone()));
        let (draining, drain) = tokio::sync::oneshot::channel();
        let stop = async move {
            stop.await;
            tracing::info!("stopping: no more connections are accepted");
            let _ = draining.send(());
        };
        let (router, listener) = (router(self.state), self.listener);
        let served = tokio::select! {
            served = async {
                match self.tls {
                    Some(acceptor) => {
                        let listener = TlsListener::over(listener, acceptor)?;
                        axum::serve(listener, router).with_graceful_shutdown(stop).await
                    }
                    None => axum::serve(listener, router).with_graceful_shutdown(stop).await,
                }
            } => served,
            () = past_drain(drain) => {
                tracing::warn!("some requests did not finish in time");
                Ok(())
            }
        };
        retention.abort();
        state.store.close().await;
        tracing::info!("stopped: everything acknowledged is in the database");
        served.map_err(ServeError::Serve)
    }
}

async fn past_drain(drain: tokio::sync::oneshot::Receiver<()>) {
    match drain.await {
        Ok(()) => tokio::time::sleep(DRAIN_MAX).await,
        Err(_) => std::future::pending().await,
    }
}

/// Retention, at the start and once a day.
async fn keep_months(state: AppState) {
    loop {
        let now_ms = state.clock.now_ms();
        let oldest_kept = Month::of(now_ms).back(state.retention_months);
        match state.store.retain(now_ms, oldest_kept).await {
            Ok(dropped) if dropped.is_empty() => {}
            Ok(dropped) => {
                let months: Vec<u32> = dropped.into_iter().map(Month::yyyymm).collect();
                tracing::info!(?months, "retention dropped months of the audit trail");
            }
            Err(why) => {
                tracing::error!(error = &why as &dyn std::error::Error, "retention failed; tomorrow again");
            }
        }
        tokio::time::sleep(RETENTION_EVERY).await;
    }
}
