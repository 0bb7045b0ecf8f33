//! How loaded the models are, and whom to turn away first: the least important, critical workflows last.
//!
//! Two things tell: how many requests this Envoy has in flight, and what model servers report of themselves. Each
//! worker keeps its own account and reads the others' a few times a second; nothing is asked on a request's path.

mod orca;
mod others;
mod strain;

pub use orca::{REPORT_BYTES_MAX, VALUES_MAX, read, read_binary};
pub use others::Others;
pub use strain::Strain;

use crate::hash::HashKey;

/// What a model server reported holds for so long. A server that is shed from reports nothing new, and must not be
/// shed from for ever.
pub const REPORT_NS_MAX: u64 = 5_000_000_000;

/// Full load, in thousandths.
pub const FULL: u32 = 1000;

/// Most that one report counts for: more than ten times full load is a mistake in its unit.
const UTILISATION_MAX: f64 = 10.0;

/// Who waits for the load to fall is let go a few at a time where models report it: by every turn, one more than an
/// eighth of what this worker has in flight. Their next reports then tell whether there was room.
const TURN_SHARE: u32 = 8;

/// How long a line that waits for the load is left alone at most: the other workers' load is known no sooner.
pub const LOOK_NS: u64 = 200_000_000;

/// Distinguishes the account that requests wait at from those of limits.
const ACCOUNT_TAG: u64 = u64::MAX - 1;

/// The account at which requests wait for the load to fall. Nothing stands in it.
pub fn account(key: &HashKey) -> u64 {
    key.hash64(ACCOUNT_TAG, [])
}

/// What is tightened while the models are strained, compiled. Shares are in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tighten {
    /// The load above which they are strained.
    pub above: u32,
    /// The load below which they are calm.
    pub below: u32,
    /// How long they must be calm before limits are relaxed, in nanoseconds.
    pub relax_after_ns: u64,
    /// The capacity meanwhile.
    pub capacity: u32,
}

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
    /// What is tightened, if anything.
    pub tighten: Option<Tighten>,
    /// Whoever is turned away waits in line instead, unless the tier says otherwise.
    pub queues: bool,
    /// Somebody may wait in line.
    pub has_line: bool,
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

    /// True for a workflow that is turned away last.
    pub fn is_critical(&self, workflow: &str) -> bool {
        !workflow.is_empty() && self.critical_workflows.iter().any(|one| one == workflow)
    }

    /// The load at which a request is turned away. From the least to the most important and on to the critical, the
    /// thresholds rise in equal steps from `shed_above` to full load.
    pub fn threshold(&self, priority: u8, workflow: &str) -> u32 {
        let steps = self.priorities.len().max(1) as u32;
        let step = if self.is_critical(workflow) {
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
    /// How many of those who wait may go before the next turn.
    may_go: u32,
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

    /// The load in thousandths, with what the other workers last told.
    pub fn total(&self, policy: &Policy, others: &Others, now_ns: u64) -> u32 {
        let tight = policy.tighten.filter(|_| others.strain().tightens());
        let capacity = tight.map_or(policy.capacity, |tight| tight.capacity);
        let in_flight = u64::from(self.in_flight) + others.in_flight();
        others.utilisation().max(self.utilisation(now_ns)).unwrap_or(0).max(share(in_flight, capacity))
    }

    /// A new turn: those who wait may go on a few at a time.
    pub const fn turn(&mut self) {
        self.may_go = 1 + self.in_flight / TURN_SHARE;
    }

    /// So many requests have ended, here or elsewhere, that others may take the place of.
    pub const fn made_room(&mut self, requests: u32) {
        self.may_go = self.may_go.saturating_add(requests);
    }

    /// True when one more of those who wait may go, as far as the turn is concerned. Requests in flight count at once:
    /// where nothing is reported, there is no need of turns.
    pub const fn may_go(&self, policy: &Policy) -> bool {
        self.may_go > 0 || policy.utilisations.is_empty()
    }

    /// One of those who wait goes on.
    pub const fn goes(&mut self) {
        self.may_go = self.may_go.saturating_sub(1);
    }
}

/// So many in flight as a share of the capacity, in thousandths; 0 where there is none.
fn share(in_flight: u64, capacity: u32) -> u32 {
    let share = (in_flight * u64::from(FULL)).checked_div(u64::from(capacity));
    u32::try_from(share.unwrap_or(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::Owner;
    use proptest::prelude::*;

    pub(super) fn policy() -> Policy {
        Policy {
            capacity: 100,
            utilisations: vec!["cpu_utilization".into()],
            ram: None,
            ssd: None,
            shed_above: 700,
            tighten: Some(Tighten { above: 900, below: 600, relax_after_ns: 5_000_000_000, capacity: 50 }),
            queues: false,
            has_line: false,
            critical_workflows: vec!["billing".into()],
            priorities: vec![1, 5],
        }
    }

    fn judge(others: &mut Others, policy: &Policy, load: &Load, now_ns: u64) {
        others.set(Owner(1), load, now_ns);
        others.judge(policy, now_ns);
        others.forget(Owner(1));
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
        let (mut load, mut others) = (Load::default(), Others::default());
        (0..40).for_each(|_| load.began());
        load.reported(0.8, 1);
        judge(&mut others, &policy(), &load, 1);
        assert_eq!(load.total(&policy(), &others, 1), 800);
        (0..20).for_each(|_| load.reported(1.0, 1));
        judge(&mut others, &policy(), &load, 1);
        assert!(load.total(&policy(), &others, 1) > 900);
        load.reported(0.0, 1);
        judge(&mut others, &policy(), &load, 1);
        assert_eq!(load.total(&policy(), &others, 1), 800, "40 of 50, though utilisation is below 900 again");
        let mut now_ns = 1;
        for _ in 0..20 {
            now_ns += 1_000_000_000;
            load.reported(0.0, now_ns);
            judge(&mut others, &policy(), &load, now_ns);
        }
        assert_eq!(load.total(&policy(), &others, now_ns), 400, "40 of 100");
    }

    #[test]
    fn without_reports_requests_in_flight_strain_the_models() {
        let policy = Policy { utilisations: vec![], ..policy() };
        let (mut load, mut others) = (Load::default(), Others::default());
        (0..90).for_each(|_| load.began());
        judge(&mut others, &policy, &load, 1);
        assert!(!others.strain().tightens());
        load.began();
        judge(&mut others, &policy, &load, 1);
        assert!(others.strain().tightens(), "91 of 100, whatever the tightened capacity is");
    }

    #[test]
    fn those_who_wait_go_a_few_at_a_time_and_one_for_each_that_ends() {
        let policy = policy();
        let mut load = Load::default();
        (0..16).for_each(|_| load.began());
        let goes = |load: &mut Load| {
            let mut count = 0;
            while load.may_go(&policy) {
                load.goes();
                count += 1;
            }
            count
        };
        assert_eq!(goes(&mut load), 0, "not before the first turn");
        load.turn();
        assert_eq!(goes(&mut load), 3);
        load.made_room(2);
        assert_eq!(goes(&mut load), 2);
        assert!(load.may_go(&Policy { utilisations: vec![], ..policy }));
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
