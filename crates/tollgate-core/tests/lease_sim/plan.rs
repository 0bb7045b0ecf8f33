//! What a run is made of.

use tollgate_core::lease::{Terms, Unreachable};

/// What goes wrong, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    pub name: &'static str,
    /// Mean time between two crashes of one Envoy; 0: never.
    pub crash_ms: u64,
    /// Mean time between two partitions of one Envoy, and how long each lasts; 0: never.
    pub partition_ms: (u64, u64),
    /// Messages lost, delivered twice, and late by up to 2.2 s, in thousandths.
    pub lost: u64,
    pub twice: u64,
    pub late: u64,
    /// One outage of the ledger for 15 s a run, after which a commit that nobody heard of is gone.
    pub outage: bool,
    /// Clocks are off by up to this much.
    pub skew_ms: u64,
}

pub const NONE: Faults = Faults {
    name: "none",
    crash_ms: 0,
    partition_ms: (0, 0),
    lost: 0,
    twice: 0,
    late: 0,
    outage: false,
    skew_ms: 0,
};

/// Worse than a bad week: every Envoy crashes once an hour and is cut off for 20 s every ten minutes.
pub const NORMAL: Faults = Faults {
    name: "normal",
    crash_ms: 3_600_000,
    partition_ms: (600_000, 20_000),
    lost: 20,
    twice: 20,
    late: 10,
    outage: true,
    skew_ms: 500,
};

pub const HARSH: Faults =
    Faults { name: "harsh", crash_ms: 400_000, partition_ms: (300_000, 120_000), ..NORMAL };

/// Mistakes put into the ledger on purpose: the simulation has to find them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    None,
    /// What a lease holds when it runs out goes back to the quota.
    TimerRefund,
    /// A message that was applied is applied again as if it were another.
    AddInsteadOfMax,
}

#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    pub envoys: usize,
    /// Length of a window; there are two.
    pub window_ms: u64,
    /// Requests that one window of the quota for everybody has room for.
    pub requests: u64,
    pub faults: Faults,
    pub terms: Terms,
    /// Answers longer than their bound, in thousandths of all.
    pub overlong: u64,
    /// The limit for everybody is lowered by half in the middle of the first window, and raised again later.
    pub limit_moves: bool,
    pub bug: Bug,
}

pub const CLOSED: Terms = Terms { wait_ms: 500, unreachable: Unreachable::Closed };

impl Plan {
    pub fn new(envoys: usize, faults: Faults, seed: u64) -> Self {
        Self {
            seed,
            envoys,
            window_ms: 400_000,
            requests: 20_000,
            faults,
            terms: CLOSED,
            overlong: 0,
            limit_moves: false,
            bug: Bug::None,
        }
    }
}

/// Median and mean of what a request uses: the mean of a log-normal with sigma 0.8.
pub const MEDIAN_UNITS: f64 = 1_000.0;
pub const MEAN_UNITS: f64 = 1_377.0;

/// Teams that everybody's requests come from, each with a quota of its own.
pub const TEAMS: usize = 4;

/// Demand of a window, in percent of the quota for everybody.
pub const DEMAND_PERCENT: u64 = 150;

/// Mean time a request takes.
pub const ANSWER_MS: f64 = 5_000.0;
