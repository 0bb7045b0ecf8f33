//! `tollgate ledger serve`.

use std::io::Write;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{Answer, Ended, LogFormat, ServeArgs, check};
use crate::service::{AppState, Serving, Tiers, Token};

pub(super) fn serve(args: ServeArgs) -> Answer {
    start_log(args.log_format);
    let token = args.token.read()?.as_deref().and_then(Token::new);
    if token.is_none() {
        tracing::warn!(
            "no token of the Envoys is configured (TOLLGATE_TOKEN or --token-file): only tokens in the database count"
        );
    }
    let tiers = match &args.policy {
        Some(path) => Tiers::of(&check::policies(path)?),
        None => Tiers::default(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before the socket opens: a signal that comes early must not find the default, which kills.
        let stop = stop_signal()?;
        let state = AppState {
            tiers: tiers.into(),
            ..AppState::new(args.database.open().await?, token, args.retention_months)
        };
        let tls = args.tls.options();
        let serving = Serving::bind(&args.listen, tls.as_ref(), state).await?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        announce(&format!("{scheme}://{}", serving.address()?));
        serving.run(stop).await?;
        Ok(Ended::Well)
    })
}

/// One line that a script can wait for, whatever the log's format.
fn announce(address: &str) {
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "listening on {address}");
    let _ = out.flush();
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_env("TOLLGATE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second log in one process is refused; the first goes on.
    let _ = match format {
        LogFormat::Text => log.with_ansi(false).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
}

fn stop_signal() -> std::io::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
