//! How entries add up to usage: the one place that says which sum a tally goes into. Every engine uses it, and the
//! self-audit checks the result against the entries themselves.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use tollgate_wire::{Credits, NanoUsd, Outcome, Tally, TokenCount};

use super::Alert;
use crate::calendar::WindowKind;

/// What a group of requests used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Sums {
    /// Requests, refused ones included.
    pub requests: u64,
    /// Requests that Tollgate refused.
    pub refused: u64,
    /// Requests that the upstream answered with an error.
    pub errors: u64,
    /// Requests whose charge is an estimate.
    pub estimated: u64,
    /// Input tokens that were neither read from nor written to a cache.
    #[schema(value_type = u64)]
    pub input: TokenCount,
    /// Input tokens read from a cache.
    #[schema(value_type = u64)]
    pub cache_read: TokenCount,
    /// Input tokens written to a cache.
    #[schema(value_type = u64)]
    pub cache_write: TokenCount,
    /// Output tokens, reasoning included.
    #[schema(value_type = u64)]
    pub output: TokenCount,
    /// The part of `output` spent on reasoning.
    #[schema(value_type = u64)]
    pub reasoning: TokenCount,
    /// Cost in 10^-9 US dollars.
    #[schema(value_type = u64)]
    pub cost_nusd: NanoUsd,
    /// Cost in millionths of a credit.
    #[schema(value_type = u64)]
    pub credits: Credits,
}

impl Sums {
    /// What one tally adds.
    pub fn of(tally: &Tally) -> Self {
        let requests = u64::from(tally.requests);
        let when = |outcome| if tally.outcome == outcome { requests } else { 0 };
        Self {
            requests,
            refused: when(Outcome::Refused),
            errors: when(Outcome::Error),
            estimated: when(Outcome::Estimated),
            input: tally.input,
            cache_read: tally.cache_read,
            cache_write: tally.cache_write,
            output: tally.output,
            reasoning: tally.reasoning,
            cost_nusd: tally.cost_nusd,
            credits: tally.credits,
        }
    }

    /// Adds, saturating.
    pub fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.refused = self.refused.saturating_add(other.refused);
        self.errors = self.errors.saturating_add(other.errors);
        self.estimated = self.estimated.saturating_add(other.estimated);
        self.input += other.input;
        self.cache_read += other.cache_read;
        self.cache_write += other.cache_write;
        self.output += other.output;
        self.reasoning += other.reasoning;
        self.cost_nusd += other.cost_nusd;
        self.credits += other.credits;
    }
}

/// What usage is rolled up by. Borrows from the tallies of a batch while it is being entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsageKey<'a> {
    /// Day or month.
    pub kind: WindowKind,
    /// First millisecond of the window.
    pub start_ms: u64,
    /// See [`Tally::consumer`]; the others likewise.
    pub consumer: &'a str,
    /// Team.
    pub team: &'a str,
    /// Project.
    pub project: &'a str,
    /// Tier.
    pub tier: &'a str,
    /// Provider.
    pub provider: &'a str,
    /// Model.
    pub model: &'a str,
    /// Action.
    pub action: &'a str,
    /// Workflow.
    pub workflow: &'a str,
    /// Tool.
    pub tool: &'a str,
    /// Interface.
    pub interface: &'a str,
}

impl<'a> UsageKey<'a> {
    /// The row of the day roll-up that a tally belongs to.
    pub fn day_of(tally: &'a Tally) -> Self {
        Self {
            kind: WindowKind::Day,
            start_ms: WindowKind::Day.start_ms(tally.at_ms),
            consumer: &tally.consumer,
            team: &tally.team,
            project: &tally.project,
            tier: &tally.tier,
            provider: &tally.provider,
            model: &tally.model,
            action: &tally.action,
            workflow: &tally.workflow,
            tool: &tally.tool,
            interface: &tally.interface,
        }
    }
}

/// Changes to usage that some batches make, each key once.
#[derive(Debug, Default)]
pub(super) struct Rollup<'a> {
    days: HashMap<UsageKey<'a>, Sums>,
}

impl<'a> Rollup<'a> {
    /// Counts a tally that was really entered.
    pub(super) fn add(&mut self, tally: &'a Tally) {
        self.days.entry(UsageKey::day_of(tally)).or_default().add(&Sums::of(tally));
    }

    /// The changes by day and by month, ordered by key: neighbours in the table are written together, and two
    /// writers take their locks in the same order.
    pub(super) fn into_sorted(self) -> Vec<(UsageKey<'a>, Sums)> {
        let mut months: HashMap<UsageKey<'a>, Sums> = HashMap::with_capacity(self.days.len());
        for (day, sums) in &self.days {
            let start_ms = WindowKind::Month.start_ms(day.start_ms);
            months.entry(UsageKey { kind: WindowKind::Month, start_ms, ..*day }).or_default().add(sums);
        }
        let mut all: Vec<_> = self.days.into_iter().chain(months).collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all
    }
}

/// The alerts that a tally gives cause for. Warnings name a limit and not its window, so a day is taken: told again
/// tomorrow is better than told again with every request.
pub(super) fn alerts_of(tally: &Tally) -> impl Iterator<Item = Alert> + '_ {
    let alert = |rule| Alert {
        consumer: tally.consumer.clone(),
        rule,
        window_start_ms: WindowKind::Day.start_ms(tally.at_ms),
    };
    let unknown = tally.unknown_price.then(|| alert(format!("unknown_price/{}", tally.model)));
    let warnings = tally
        .warnings
        .iter()
        .map(move |warning| alert(format!("limit/{}/{}", warning.limit, warning.percent)));
    unknown.into_iter().chain(warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(at_ms: u64, outcome: Outcome, requests: u32) -> Tally {
        Tally { at_ms, outcome, requests, cost_nusd: NanoUsd(7), ..Tally::default() }
    }

    #[test]
    fn two_days_of_a_month_are_three_rows() {
        let tallies = [tally(0, Outcome::Ok, 1), tally(86_400_000, Outcome::Refused, 4)];
        let mut rollup = Rollup::default();
        tallies.iter().for_each(|tally| rollup.add(tally));
        let rows = rollup.into_sorted();
        let seen: Vec<_> = rows
            .iter()
            .map(|(key, sums)| {
                (key.kind.as_str(), key.start_ms, sums.requests, sums.refused, sums.cost_nusd.0)
            })
            .collect();
        assert_eq!(seen, [("day", 0, 1, 0, 7), ("day", 86_400_000, 4, 4, 7), ("month", 0, 5, 4, 14)]);
    }

    #[test]
    fn a_warning_and_an_unknown_price_are_two_alerts() {
        let tally = Tally {
            consumer: "alice".into(),
            model: "m".into(),
            unknown_price: true,
            warnings: vec![tollgate_wire::Warning { limit: "cost-per-day".into(), percent: 80 }],
            ..Tally::default()
        };
        let rules: Vec<_> = alerts_of(&tally).map(|alert| alert.rule).collect();
        assert_eq!(rules, ["unknown_price/m", "limit/cost-per-day/80"]);
    }
}
