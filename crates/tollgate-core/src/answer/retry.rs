//! When to come again, told so that official clients obey.
//!
//! What the clients do was read in their source and tried against them: those of OpenAI and Anthropic take
//! `retry-after-ms` before `retry-after`, and `x-should-retry` before their own judgement; AWS's take only
//! `x-amz-retry-after`, in milliseconds; Cohere's want whole seconds, and read `x-ratelimit-reset` as a date. All sleep
//! exactly what they are told.

use crate::time::NANOS_PER_SECOND;

use super::fault::Fault;
use super::shapes::Shape;

/// Waits longer than this are not worth a client's while: the official clients either sleep for days or give up.
const WAIT_WORTH_NS: u64 = 60 * NANOS_PER_SECOND;

/// The largest `retry-after` in seconds: clients turn it into milliseconds in 31 bits, and come at once on overflow.
const RETRY_AFTER_S_MAX: u64 = 2_147_483;

/// Jitter is a tenth of the wait, and no more than this.
const JITTER_MS_MAX: u64 = 5_000;

/// When to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// Waiting won't help.
    Never,
    /// In so many seconds: too late for a client to sleep until then.
    Late {
        /// Whole seconds, rounded up.
        seconds: u64,
    },
    /// In so many milliseconds, at least one.
    Soon {
        /// Milliseconds, jitter included.
        ms: u64,
    },
}

impl Again {
    /// From a wait in nanoseconds. None: waiting won't help.
    pub fn of(wait_ns: Option<u64>, jitter: u64) -> Self {
        let Some(ns) = wait_ns else { return Self::Never };
        // Clients that retry at once on 0 exist, hence at least one; the jitter only ever lengthens the wait.
        let ms = ns.div_ceil(1_000_000).max(1);
        let ms = ms.saturating_add(jitter % (ms / 10).clamp(1, JITTER_MS_MAX));
        if ns > WAIT_WORTH_NS { Self::Late { seconds: ms.div_ceil(1000) } } else { Self::Soon { ms } }
    }
}

/// Appends the headers.
pub(super) fn tell(shape: Shape, fault: &Fault<'_>, headers: &mut Vec<(&'static str, String)>) {
    match fault.again {
        Again::Never => headers.push(("x-should-retry", "false".into())),
        Again::Late { seconds } => {
            headers.push(("x-should-retry", "false".into()));
            if seconds < RETRY_AFTER_S_MAX && !sleeps_on_long_waits(shape) {
                headers.push(("retry-after", seconds.to_string()));
            }
        }
        Again::Soon { ms } => {
            headers.push(("retry-after", ms.div_ceil(1000).to_string()));
            headers.push(("retry-after-ms", ms.to_string()));
            headers.push(("x-should-retry", "true".into()));
            if shape == Shape::Bedrock {
                headers.push(("x-amz-retry-after", ms.to_string()));
            }
        }
    }
}

/// Clients that don't know `x-should-retry`, and would sleep through a long `retry-after` or a part of it.
const fn sleeps_on_long_waits(shape: Shape) -> bool {
    matches!(shape, Shape::Cohere | Shape::Mistral | Shape::Bedrock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_of_a_minute_is_slept_and_a_longer_one_is_not() {
        assert_eq!(Again::of(Some(WAIT_WORTH_NS), 0), Again::Soon { ms: 60_000 });
        assert_eq!(Again::of(Some(WAIT_WORTH_NS + 1), 0), Again::Late { seconds: 61 });
        assert_eq!(Again::of(None, 7), Again::Never);
        assert_eq!(Again::of(Some(0), 0), Again::Soon { ms: 1 });
        assert_eq!(Again::of(Some(u64::MAX), u64::MAX), Again::of(Some(u64::MAX), u64::MAX % 5_000));
    }

    #[test]
    fn jitter_lengthens_a_wait_by_less_than_a_tenth() {
        for jitter in [0, 1, 999, 1000, u64::MAX] {
            let Again::Soon { ms } = Again::of(Some(10 * NANOS_PER_SECOND), jitter) else { unreachable!() };
            assert!((10_000..11_000).contains(&ms), "{ms}");
        }
        let Again::Late { seconds } = Again::of(Some(3600 * NANOS_PER_SECOND), u64::MAX) else {
            unreachable!()
        };
        assert!((3600..=3605).contains(&seconds), "{seconds}");
    }
}
