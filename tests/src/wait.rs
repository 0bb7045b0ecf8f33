//! Waiting for conditions.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

/// How long a condition may take to come true before the scenario fails. Generous: it bounds a failure, it does not
/// measure anything.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// Polls `probe` until it yields a value. After [`PATIENCE`] it panics with `what` and everything `logs` has to say.
pub async fn until<T, L: Display>(
    what: &str,
    logs: impl Fn() -> L,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for: {what}\n{}", logs());
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Like [`until`], for a condition that is a yes or no and concerns no process.
pub async fn until_true(what: &str, mut probe: impl FnMut() -> bool) {
    until(what, || "", async || probe().then_some(())).await;
}
