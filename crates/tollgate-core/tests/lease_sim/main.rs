//! Global quotas in a simulated world: many Envoys, skewed and bursty demand, two quotas per request, crashes,
//! partitions, messages that are lost, late or repeated, clocks that differ, a ledger that forgets what nobody heard.
//!
//! The holders and the ledger's step are the ones the filter and the ledger run; the rest is a seed and a queue of
//! events. A failing run prints its seed. `make soak` runs many (SEEDS=, ENVOYS=).

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod books;
mod chance;
mod envoy;
mod plan;
mod report;
mod world;

use tollgate_core::lease::{Terms, Unreachable};

use plan::{Bug, CLOSED, Faults, HARSH, NONE, NORMAL, Plan};
use report::{Report, mean};
use world::World;

fn runs(seeds: u64, plan: impl Fn(u64) -> Plan) -> Report {
    let mut all = Report::default();
    for seed in 1..=seeds {
        all.add(World::run(plan(seed)));
    }
    all
}

/// Nothing was spent above the quota, and the run was one in which it could have been.
fn assert_exact(report: &Report) {
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
    assert!(report.admitted > 0 && report.used.iter().any(|used| *used > 50.0), "{report:?}");
}

fn small(envoys: usize, faults: Faults, seed: u64) -> Plan {
    Plan { window_ms: 60_000, requests: 1_500, ..Plan::new(envoys, faults, seed) }
}

#[test]
fn no_quota_is_overspent_whatever_fails() {
    for (envoys, seeds) in [(2, 12), (5, 8), (20, 4), (100, 1)] {
        for faults in [NONE, NORMAL, HARSH] {
            let report = runs(seeds, |seed| small(envoys, faults, seed));
            assert_exact(&report);
            assert_eq!(report.over.iter().copied().fold(0.0, f64::max), 0.0);
        }
    }
}

#[test]
fn tiny_quotas_are_exact_too() {
    let report = runs(30, |seed| Plan { requests: 10, window_ms: 20_000, ..Plan::new(5, HARSH, seed) });
    assert_exact(&report);
}

#[test]
fn hardly_anything_is_stranded_when_the_first_request_is_refused() {
    for faults in [NONE, NORMAL] {
        let hour = |seed| Plan { window_ms: 3_600_000, ..Plan::new(5, faults, seed) };
        let report = runs(2, hour);
        assert_exact(&report);
        assert!(mean(&report.stranded) <= 1.0, "{:?}", report.stranded);
        assert!(mean(&report.used) >= 99.0, "{:?}", report.used);
        assert!(report.outwaited * 10_000 <= report.requests, "whoever waits is served or told no");
    }
}

#[test]
fn a_funded_allowance_overspends_nothing() {
    let terms = Terms { unreachable: Unreachable::Allow { units: 20_000, funded: true }, ..CLOSED };
    let report = runs(6, |seed| Plan { terms, ..small(5, HARSH, seed) });
    assert_exact(&report);
    assert_eq!(report.over.iter().copied().fold(0.0, f64::max), 0.0);
}

#[test]
fn an_unfunded_allowance_overspends_by_no_more_than_itself_and_all_of_it_is_counted() {
    let terms = Terms { unreachable: Unreachable::Allow { units: 20_000, funded: false }, ..CLOSED };
    assert_exact(&runs(6, |seed| Plan { terms, ..small(5, HARSH, seed) }));
}

#[test]
fn answers_beyond_their_bound_overspend_by_no_more_than_what_is_counted() {
    assert_exact(&runs(6, |seed| Plan { overlong: 50, ..small(5, NORMAL, seed) }));
}

#[test]
fn a_limit_that_is_lowered_and_raised_is_never_overspent_by_more_than_was_granted_before() {
    assert_exact(&runs(6, |seed| Plan { limit_moves: true, ..small(10, NORMAL, seed) }));
}

#[test]
fn mistakes_in_the_ledger_are_found() {
    for (bug, seeds) in [(Bug::TimerRefund, 4), (Bug::AddInsteadOfMax, 2)] {
        let report =
            runs(seeds, |seed| Plan { bug, ..Plan { requests: 4_000, ..Plan::new(10, HARSH, seed) } });
        assert!(!report.violations.is_empty(), "{bug:?} was not found");
    }
}

fn from_environment(name: &str, default: &str) -> Vec<u64> {
    let text = std::env::var(name).unwrap_or_else(|_| default.into());
    text.split(',')
        .map(|number| number.trim().parse().unwrap_or_else(|_| panic!("{name}: {number}")))
        .collect()
}

/// The long one, with its table: windows of 400 s, in which an hour of faults hits a tiny quota, and of an hour.
#[test]
#[ignore = "minutes: make soak"]
fn soak() {
    let seeds = from_environment("SEEDS", "20")[0];
    for (window_ms, requests) in [(400_000, 20_000), (3_600_000, 60_000)] {
        println!("\nwindows of {} s, {requests} requests each\n{}", window_ms / 1000, Report::header());
        for envoys in from_environment("ENVOYS", "2,10,30,100") {
            for faults in [NONE, NORMAL, HARSH] {
                let plan = |seed| Plan { window_ms, requests, ..Plan::new(envoys as usize, faults, seed) };
                let report = runs(seeds, plan);
                println!("{}", report.line(envoys as usize, faults.name, seeds));
                assert_exact(&report);
            }
        }
    }
}
