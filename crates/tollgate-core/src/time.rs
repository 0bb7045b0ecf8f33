//! The two clocks, both arguments: core never reads one.

use tollgate_wire::UnixNanos;

/// An instant on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time in nanoseconds from an arbitrary start that all workers of one process share. Buckets, pacing
    /// and expiry use it.
    pub mono_ns: u64,
    /// Wall-clock time. Calendar windows and tallies use it. It may step either way.
    pub wall: UnixNanos,
}

impl Now {
    /// Monotonic whole seconds. 32 bits last 136 years from the clock's start.
    pub const fn mono_s(&self) -> u32 {
        (self.mono_ns / NANOS_PER_SECOND) as u32
    }

    /// Monotonic whole milliseconds.
    pub const fn mono_ms(&self) -> u64 {
        self.mono_ns / 1_000_000
    }

    /// Wall-clock whole milliseconds since the epoch.
    pub const fn wall_ms(&self) -> u64 {
        self.wall.0 / 1_000_000
    }

    /// Wall-clock whole seconds since the epoch. 32 bits last until 2106.
    pub const fn wall_s(&self) -> u32 {
        self.wall.seconds() as u32
    }
}

/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: u64 = 1_000_000_000;
