//! The ledger's own record of a quota: how much it is for whom, and the balance behind it.
//!
//! A quota is named as a configuration names it: the limit, and the value of each attribute it is keyed by. So a pool
//! that a team shares is the record of a limit keyed by team, and a cap on each member is that of another one keyed by
//! team and consumer. What the record says wins over what an Envoy's configuration gives.
//!
//! A balance has three parts. The plan is replenished with every window. What is left of it may be carried over, up to
//! a bound. What was bought stays until it is used, and is used last. Windows are days or months in UTC, as the roll-up
//! has them, so that what was used of each is known exactly for ever.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Document, Refused};
use crate::calendar::{DAY_MS, Month, WindowKind};
use crate::store::{Dimension, Facets, RecordKind, Sums};

/// Most units of a quota or a top-up. Several thousand such amounts fit a sum.
pub const UNITS_MAX: u64 = 1_000_000_000_000_000;

/// Longest name of a limit, or value of an attribute, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Attributes that a record can be keyed by: those that the roll-up knows.
const KEYS: [Dimension; 10] = [
    Dimension::Consumer,
    Dimension::Team,
    Dimension::Project,
    Dimension::Tier,
    Dimension::Provider,
    Dimension::Model,
    Dimension::Action,
    Dimension::Workflow,
    Dimension::Tool,
    Dimension::Interface,
];

/// What a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Meter {
    /// Requests that were admitted.
    Requests,
    /// Input and output tokens together.
    Tokens,
    /// Input tokens, cached ones included.
    InputTokens,
    /// Output tokens.
    OutputTokens,
    /// Money, in 10^-9 US dollars.
    NanoUsd,
    /// Credits, in millionths.
    MicroCredits,
}

impl Meter {
    /// The name, as leases and answers have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::InputTokens => "input-tokens",
            Self::OutputTokens => "output-tokens",
            Self::NanoUsd => "nano-usd",
            Self::MicroCredits => "micro-credits",
        }
    }

    /// What of usage it counts.
    pub fn of(self, sums: &Sums) -> u64 {
        let input = (sums.input + sums.cache_read + sums.cache_write).0;
        match self {
            Self::Requests => sums.requests.saturating_sub(sums.refused),
            Self::Tokens => input.saturating_add(sums.output.0),
            Self::InputTokens => input,
            Self::OutputTokens => sums.output.0,
            Self::NanoUsd => sums.cost_nusd.0,
            Self::MicroCredits => sums.credits.0,
        }
    }
}

/// A quota as it is defined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuotaTerms {
    /// Name of the limit, as configurations have it.
    pub limit: String,
    /// Whose it is: the value of each attribute the limit is keyed by. Empty for everybody's.
    #[serde(default)]
    pub key: BTreeMap<String, String>,
    /// What is counted.
    pub meter: Meter,
    /// The window.
    pub per: WindowKind,
    /// Units that every window begins with.
    pub amount: u64,
    /// Most units that are carried into the next window when they are left over.
    #[serde(default)]
    pub carry_over_max: u64,
}

/// A quota with the balance behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QuotaRecord {
    /// As it is defined.
    #[serde(flatten)]
    pub terms: QuotaTerms,
    /// Another amount for some time.
    #[serde(default, rename = "override", skip_serializing_if = "Option::is_none")]
    pub for_now: Option<AmountOverride>,
    /// First millisecond of the window that `carried` and `bought` are of.
    pub since_ms: u64,
    /// Units carried into that window.
    pub carried: u64,
    /// Units bought that were there in that window.
    pub bought: u64,
}

/// Another amount for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AmountOverride {
    /// Units in a window.
    pub amount: u64,
    /// When it is over, milliseconds since the epoch.
    pub until_ms: u64,
}

/// How a quota stands in the window that is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QuotaStanding {
    /// First millisecond of the window.
    pub start_ms: u64,
    /// First millisecond behind it: when the plan is replenished.
    pub end_ms: u64,
    /// Units of the plan.
    pub plan: u64,
    /// Units carried over.
    pub carried: u64,
    /// Units bought.
    pub bought: u64,
    /// All three: what may be used.
    pub limit: u64,
    /// Units used.
    pub used: u64,
    /// Units left.
    pub left: u64,
}

impl QuotaTerms {
    /// Its name among the records, the same for the same quota: `cost-per-month/team=search`.
    pub fn id(&self) -> String {
        quota_id(&self.limit, &self.key)
    }

    /// The attributes it is keyed by, and their values.
    pub fn keys(&self) -> Vec<(Dimension, String)> {
        let keys =
            self.key.iter().filter_map(|(name, value)| Some((Dimension::from_name(name)?, value.clone())));
        keys.collect()
    }

    /// Refuses what can't be a quota.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn check(&self) -> Result<(), Refused> {
        let usable = |name: &str| !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains('\0');
        if !usable(&self.limit) || self.limit.contains('/') {
            return Err(Refused::new("limit", format!("is 1 to {NAME_BYTES_MAX} bytes, without / and NUL")));
        }
        for (name, value) in &self.key {
            if !Dimension::from_name(name).is_some_and(|dimension| KEYS.contains(&dimension)) {
                let known = KEYS.map(Dimension::as_str).join(", ");
                return Err(Refused::new("key", format!("has {name}, which is none of {known}")));
            }
            if !usable(value) {
                return Err(Refused::new(
                    "key",
                    format!("has a value that is not 1 to {NAME_BYTES_MAX} bytes"),
                ));
            }
        }
        for (field, units) in [("amount", self.amount), ("carry_over_max", self.carry_over_max)] {
            if units > UNITS_MAX {
                return Err(Refused::new(field, format!("is at most {UNITS_MAX}")));
            }
        }
        Ok(())
    }
}

/// The name of a quota among the records.
pub fn quota_id(limit: &str, key: &BTreeMap<String, String>) -> String {
    key.iter().fold(limit.to_owned(), |id, (name, value)| {
        // So that no value can be read as another key.
        let value = value.replace('%', "%25").replace('/', "%2F");
        format!("{id}/{name}={value}")
    })
}

impl QuotaRecord {
    /// A new quota, in the window that is open.
    pub fn new(terms: QuotaTerms, now_ms: u64) -> Self {
        let since_ms = terms.per.start_ms(now_ms);
        Self { terms, for_now: None, since_ms, carried: 0, bought: 0 }
    }

    /// The units of a window's plan.
    fn plan_at(&self, now_ms: u64) -> u64 {
        let for_now = self.for_now.filter(|for_now| now_ms < for_now.until_ms);
        for_now.map_or(self.terms.amount, |for_now| for_now.amount)
    }

    /// The record brought to the window that is open, by what was used in those before. `used` tells it by the first
    /// millisecond of a window; windows nothing was used in may be missing. O(windows since it was last written).
    pub fn rolled(&self, used: &BTreeMap<u64, u64>, now_ms: u64) -> Self {
        let mut next = self.clone();
        let open_ms = self.terms.per.start_ms(now_ms);
        while next.since_ms < open_ms {
            let there = next.terms.amount.saturating_add(next.carried).saturating_add(next.bought);
            let left = there.saturating_sub(used.get(&next.since_ms).copied().unwrap_or(0));
            next.bought = next.bought.min(left);
            next.carried = next.terms.carry_over_max.min(left - next.bought);
            next.since_ms = end_of(self.terms.per, next.since_ms);
        }
        next
    }

    /// How it stands at a moment.
    pub fn standing(&self, used: &BTreeMap<u64, u64>, now_ms: u64) -> QuotaStanding {
        let rolled = self.rolled(used, now_ms);
        let plan = self.plan_at(now_ms);
        let limit = plan.saturating_add(rolled.carried).saturating_add(rolled.bought);
        let used = used.get(&rolled.since_ms).copied().unwrap_or(0);
        QuotaStanding {
            start_ms: rolled.since_ms,
            end_ms: end_of(self.terms.per, rolled.since_ms),
            plan,
            carried: rolled.carried,
            bought: rolled.bought,
            limit,
            used,
            left: limit.saturating_sub(used),
        }
    }

    /// With units bought on top.
    ///
    /// # Errors
    /// No units, or more than a balance can have.
    pub fn topped_up(&self, units: u64) -> Result<Self, Refused> {
        match self.bought.checked_add(units).filter(|bought| units > 0 && *bought <= UNITS_MAX) {
            Some(bought) => Ok(Self { bought, ..self.clone() }),
            None => Err(Refused::new("units", format!("are 1 or more, and at most {UNITS_MAX} altogether"))),
        }
    }
}

fn end_of(per: WindowKind, start_ms: u64) -> u64 {
    match per {
        WindowKind::Day => start_ms.saturating_add(DAY_MS),
        WindowKind::Month => Month::of(start_ms).next().start_ms(),
    }
}

impl Document for QuotaRecord {
    const KIND: RecordKind = RecordKind::Quota;

    fn facets(&self) -> Facets {
        let tier = self.terms.key.get("tier").cloned().unwrap_or_default();
        let parent = ["consumer", "team", "project"].into_iter().find_map(|name| {
            let value = self.terms.key.get(name)?;
            Some(format!("{name}={value}"))
        });
        Facets { tier, status: String::new(), parent: parent.unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOON_MS: u64 = 1_795_435_200_000;

    fn quota(amount: u64, carry_over_max: u64) -> QuotaRecord {
        let terms = QuotaTerms {
            limit: "daily".into(),
            key: BTreeMap::from([("team".into(), "search".into())]),
            meter: Meter::Tokens,
            per: WindowKind::Day,
            amount,
            carry_over_max,
        };
        QuotaRecord::new(terms, NOON_MS)
    }

    fn day(number: u64) -> u64 {
        NOON_MS - NOON_MS % DAY_MS + number * DAY_MS
    }

    fn left(quota: &QuotaRecord, used: &[(u64, u64)], on: u64) -> u64 {
        let used = used.iter().map(|(number, units)| (day(*number), *units)).collect();
        quota.standing(&used, day(on)).left
    }

    #[test]
    fn a_plan_is_replenished_with_every_window() {
        let quota = quota(10, 0);
        assert_eq!(left(&quota, &[(0, 7)], 0), 3);
        assert_eq!(left(&quota, &[(0, 7)], 1), 10);
    }

    #[test]
    fn what_is_left_is_carried_over_up_to_the_bound() {
        let quota = quota(10, 4);
        assert_eq!(left(&quota, &[(0, 7)], 1), 13);
        assert_eq!(left(&quota, &[(0, 6)], 1), 14);
        assert_eq!(left(&quota, &[(0, 5)], 1), 14);
        assert_eq!(left(&quota, &[], 100), 14);
        assert_eq!(left(&quota, &[(0, 10)], 1), 10);
    }

    #[test]
    fn what_was_bought_is_used_last_and_stays_until_then() {
        let quota = quota(10, 0).topped_up(5).unwrap();
        assert_eq!(left(&quota, &[(0, 10)], 0), 5);
        assert_eq!(left(&quota, &[(0, 10)], 3), 15);
        assert_eq!(left(&quota, &[(0, 12)], 3), 13);
        assert_eq!(left(&quota, &[(0, 12), (2, 13)], 3), 10);
        assert_eq!(left(&quota, &[(0, 99)], 0), 0);
    }

    #[test]
    fn an_override_is_over_at_its_end() {
        let raised = QuotaRecord {
            for_now: Some(AmountOverride { amount: 50, until_ms: day(0) + 5 }),
            ..quota(10, 0)
        };
        let at = |now_ms| raised.standing(&BTreeMap::new(), now_ms).limit;
        assert_eq!((at(day(0) + 4), at(day(0) + 5)), (50, 10));
    }

    #[test]
    fn a_quota_has_one_name_and_no_other_has_it() {
        let key = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(quota_id("m", &key(&[("team", "a"), ("consumer", "b")])), "m/consumer=b/team=a");
        let one = quota_id("m", &key(&[("consumer", "b/team=a")]));
        assert_ne!(one, quota_id("m", &key(&[("consumer", "b"), ("team", "a")])));
        assert_ne!(one, quota_id("m", &key(&[("consumer", "b%2Fteam=a")])));
    }

    #[test]
    fn what_can_not_be_a_quota_is_refused() {
        type Spoil = fn(&mut QuotaTerms);
        let wrong: [(Spoil, &str); 6] = [
            (|terms| terms.limit.clear(), "limit"),
            (|terms| terms.limit = "a/b".into(), "limit"),
            (|terms| terms.amount = UNITS_MAX + 1, "amount"),
            (|terms| terms.carry_over_max = UNITS_MAX + 1, "carry_over_max"),
            (|terms| drop(terms.key.insert("colour".into(), "red".into())), "key"),
            (|terms| drop(terms.key.insert("team".into(), String::new())), "key"),
        ];
        for (change, field) in wrong {
            let mut terms = quota(UNITS_MAX, UNITS_MAX).terms;
            assert_eq!(terms.check(), Ok(()));
            change(&mut terms);
            assert_eq!(terms.check().unwrap_err().field, field);
        }
        for units in [0, UNITS_MAX + 1] {
            assert!(quota(1, 0).topped_up(units).is_err());
        }
        assert!(quota(1, 0).topped_up(UNITS_MAX).unwrap().topped_up(1).is_err());
    }

    proptest! {
        /// Rolling window by window, as a ledger that writes every day does, or all at once, as one that wakes up late.
        #[test]
        fn it_makes_no_difference_when_a_quota_is_rolled(
            amount in 0u64..100, carry in 0u64..50, bought in 1u64..200, used in prop::collection::vec(0u64..150, 1..20)
        ) {
            let used: BTreeMap<u64, u64> = used.iter().zip(0..).map(|(units, number)| (day(number), *units)).collect();
            let quota = quota(amount, carry).topped_up(bought).unwrap();
            let end = day(used.len() as u64);
            let stepwise = (0..=used.len() as u64).fold(quota.clone(), |quota, number| quota.rolled(&used, day(number)));
            prop_assert_eq!(&stepwise, &quota.rolled(&used, end));
            prop_assert!(stepwise.bought <= bought && stepwise.carried <= carry);
        }
    }
}
