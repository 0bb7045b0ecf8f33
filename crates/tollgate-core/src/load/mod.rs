//! How loaded the models are, and whom to turn away first: the least important, critical workflows last.
//!
//! Two things tell: how many requests this Envoy has in flight, and what model servers report of themselves. Each
//! worker keeps its own account and reads the others' a few times a second; nothing is asked on a request's path.

mod orca;
mod others;

pub use orca::{REPORT_BYTES_MAX, VALUES_MAX, read, read_binary};
pub use others::Others;

/// What a model server reported holds for so long. A server that is shed from reports nothing new, and must not be
/// shed from for ever.
pub const REPORT_NS_MAX: u64 = 5_000_000_000;

/// Full load, in thousandths.
pub const FULL: u32 = 1000;

/// Most that one report counts for: more than ten times full load is a mistake in its unit.
const UTILISATION_MAX: f64 = 10.0;

/// How load is reckoned, compiled. Shares are in thousandths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Requests in flight that are full load; 0 where they don't count.
    pub capacity: u32,
    /// Names of the reported values that are utilisations; the largest counts.
    pub utilisations: Vec<String>,
    /// Name of the reported value that is RAM in use, in MB.
    pub ram: Option<String>,
    /// Name of the reported value that is SSD in use, in MB.
    pub ssd: Option<String>,
    /// Above this share of full load the least important are turned away.
    pub shed_above: u32,
    /// The capacity while the servers are strained.
    pub tight_capacity: u32,
    /// Utilisation above which they are.
    pub tighten_above: u32,
    /// Utilisation below which they are no more.
    pub relax_below: u32,
    /// Workflows that are turned away last of all.
    pub critical_workflows: Vec<String>,
    /// The priorities of all tiers, ascending, each once.
    pub priorities: Vec<u8>,
}

impl Policy {
    /// True when reports are of use.
    pub const fn reads_reports(&self) -> bool {
        !self.utilisations.is_empty() || self.ram.is_some() || self.ssd.is_some()
    }

    /// The load at which a request is turned away. From the least to the most important and on to the critical, the
    /// thresholds rise in equal steps from `shed_above` to full load.
    pub fn threshold(&self, priority: u8, workflow: &str) -> u32 {
        let steps = self.priorities.len().max(1) as u32;
        let critical = !workflow.is_empty() && self.critical_workflows.iter().any(|one| one == workflow);
        let step = if critical {
            steps
        } else {
            self.priorities.iter().filter(|other| **other < priority).count() as u32
        };
        self.shed_above + FULL.saturating_sub(self.shed_above) * step.min(steps) / steps
    }
}

/// One worker's account of the load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests of this worker in flight.
    in_flight: u32,
    /// Utilisation, smoothed, in thousandths, and when it was last reported.
    utilisation: u32,
    reported_ns: u64,
    tight: bool,
}

impl Load {
    /// A request was let through.
    pub const fn began(&mut self) {
        self.in_flight = self.in_flight.saturating_add(1);
    }

    /// It has ended.
    pub const fn ended(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Requests of this worker in flight.
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// A model server reported this utilisation: 1.0 is full. A quarter of the difference counts at once, so that one
    /// odd report does not turn anybody away.
    pub fn reported(&mut self, utilisation: f64, now_ns: u64) {
        let thousandths = (utilisation.clamp(0.0, UTILISATION_MAX) * f64::from(FULL)) as u32;
        let old = self.utilisation(now_ns).unwrap_or(thousandths);
        self.utilisation = (old * 3 + thousandths) / 4;
        self.reported_ns = now_ns;
    }

    /// The utilisation as this worker knows it, if it is not too old.
    pub fn utilisation(&self, now_ns: u64) -> Option<u32> {
        let fresh = self.reported_ns > 0 && now_ns.saturating_sub(self.reported_ns) <= REPORT_NS_MAX;
        fresh.then_some(self.utilisation)
    }

    /// The load in thousandths, with what the other workers last told; also tightens and relaxes the capacity.
    pub fn total(&mut self, policy: &Policy, others: &Others, now_ns: u64) -> u32 {
        let known = self.utilisation(now_ns).into_iter().chain(others.utilisation());
        let utilisation = known.max().unwrap_or(0);
        self.tight =
            if self.tight { utilisation >= policy.relax_below } else { utilisation > policy.tighten_above };
        let capacity = if self.tight { policy.tight_capacity } else { policy.capacity };
        let in_flight = u64::from(self.in_flight) + others.in_flight();
        let share = if capacity == 0 { 0 } else { in_flight * u64::from(FULL) / u64::from(capacity) };
        utilisation.max(u32::try_from(share).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::Owner;
    use proptest::prelude::*;

    fn policy() -> Policy {
        Policy {
            capacity: 100,
            utilisations: vec!["cpu_utilization".into()],
            ram: None,
            ssd: None,
            shed_above: 700,
            tight_capacity: 50,
            tighten_above: 900,
            relax_below: 600,
            critical_workflows: vec!["billing".into()],
            priorities: vec![1, 5],
        }
    }

    #[test]
    fn the_least_important_are_turned_away_first_and_the_critical_last() {
        let policy = policy();
        let thresholds = [policy.threshold(1, ""), policy.threshold(5, ""), policy.threshold(1, "billing")];
        assert_eq!(thresholds, [700, 850, 1000]);
        assert_eq!(policy.threshold(0, "translate"), 700);
        assert_eq!(Policy { priorities: vec![], ..policy }.threshold(9, ""), 700);
    }

    #[test]
    fn requests_in_flight_of_all_workers_are_a_share_of_the_capacity() {
        let (mut load, mut others) = (Load::default(), Others::default());
        (0..30).for_each(|_| load.began());
        assert_eq!(load.total(&policy(), &others, 0), 300);
        let mut elsewhere = Load::default();
        (0..45).for_each(|_| elsewhere.began());
        others.set(Owner(2), &elsewhere, 0);
        others.forget(Owner(1));
        assert_eq!(load.total(&policy(), &others, 0), 750);
        (0..31).for_each(|_| load.ended());
        assert_eq!(load.total(&policy(), &others, 0), 450);
    }

    #[test]
    fn the_capacity_tightens_above_one_threshold_and_relaxes_below_another() {
        let (mut load, others) = (Load::default(), Others::default());
        (0..40).for_each(|_| load.began());
        load.reported(0.8, 1);
        assert_eq!(load.total(&policy(), &others, 1), 800);
        (0..20).for_each(|_| load.reported(1.0, 1));
        assert!(load.total(&policy(), &others, 1) > 900);
        load.reported(0.0, 1);
        assert_eq!(load.total(&policy(), &others, 1), 800, "40 of 50, though utilisation is below 900 again");
        (0..20).for_each(|_| load.reported(0.0, 1));
        assert_eq!(load.total(&policy(), &others, 1), 400, "40 of 100");
    }

    #[test]
    fn an_old_report_is_forgotten() {
        let (mut load, others) = (Load::default(), Others::default());
        load.reported(2.0, 1);
        assert_eq!(load.total(&policy(), &others, REPORT_NS_MAX + 1), 2000);
        assert_eq!(load.total(&policy(), &others, REPORT_NS_MAX + 2), 0);
    }

    proptest! {
        #[test]
        fn the_smoothed_utilisation_stays_between_what_was_reported(
            reports in proptest::collection::vec(0u32..2000, 1..50)
        ) {
            let mut load = Load::default();
            for report in &reports {
                load.reported(f64::from(*report) / 1000.0, 1);
            }
            let (least, most) = (reports.iter().min().unwrap(), reports.iter().max().unwrap());
            let known = load.utilisation(1).unwrap();
            prop_assert!(known + 4 >= *least && known <= *most, "{known} of {least} to {most}");
        }
    }
}
