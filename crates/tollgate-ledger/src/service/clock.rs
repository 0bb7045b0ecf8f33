//! The one place that reads the wall clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The system's.
    System,
    /// One that is set by hand, milliseconds since the epoch.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// Milliseconds since the epoch, UTC.
    pub fn now_ms(&self) -> u64 {
        match self {
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
            Self::Manual(now_ms) => now_ms.load(Ordering::Relaxed),
        }
    }
}
