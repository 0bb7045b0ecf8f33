//! The waiting room's bounds.

use super::super::config::Queue;
use super::{Outcome, refuse};
use crate::room::Bounds;

/// Requests in one worker's room: each is a stream Envoy keeps open.
const LENGTH_MAX: u32 = 100_000;

/// An hour: no client waits longer.
const WAIT_MS_MAX: u64 = 3_600_000;

pub(super) fn bounds(raw: &Queue) -> Outcome<Bounds> {
    for (field, value) in [("length", raw.length), ("per_consumer", raw.per_consumer)] {
        if !(1..=LENGTH_MAX).contains(&value) {
            return refuse(format!("queue.{field}"), format!("not from 1 to {LENGTH_MAX}"));
        }
    }
    for (field, value) in [("max_wait_ms", raw.max_wait_ms), ("promote_after_ms", raw.promote_after_ms)] {
        if !(1..=WAIT_MS_MAX).contains(&value) {
            return refuse(format!("queue.{field}"), format!("not from 1 to {WAIT_MS_MAX}"));
        }
    }
    Ok(Bounds {
        length: raw.length as usize,
        per_consumer: raw.per_consumer as usize,
        bytes: raw.body_bytes,
        wait_ns: raw.max_wait_ms * 1_000_000,
        promote_ns: raw.promote_after_ms * 1_000_000,
    })
}
