//! Prices that depend on who asks and on how much was used, on top of the table of models.

use crate::price::{Percent, Price};

use super::attributes::{Attributes, Condition};
use super::config::Dimension;

/// A price for some requests: another one, or a part of the table's.
#[derive(Clone, Debug)]
pub struct PriceRule {
    pub(super) when: Vec<Condition>,
    /// In place of the table's.
    pub price: Option<Price>,
    /// Of that price.
    pub percent: Percent,
}

/// A part of the price, once more than so much of a quota is used.
#[derive(Clone, Debug)]
pub(super) struct VolumePrice {
    pub when: Vec<Condition>,
    /// The quota's name.
    pub quota: String,
    /// In the unit of the quota's meter.
    pub above: u64,
    pub percent: Percent,
}

/// All of a policy's rules.
#[derive(Clone, Debug, Default)]
pub struct Pricing {
    pub(super) rules: Vec<PriceRule>,
    pub(super) volume: Vec<VolumePrice>,
}

impl Pricing {
    /// The first rule for a request.
    pub fn rule(&self, request: &Attributes<'_>) -> Option<&PriceRule> {
        self.rules.iter().find(|rule| hold(&rule.when, request))
    }

    /// The part that holds at the volume reached: of the entries whose amount was passed, that with the largest.
    /// `used` tells the use of a quota by its name.
    pub fn volume(&self, request: &Attributes<'_>, used: impl Fn(&str) -> u64) -> Percent {
        self.matching(request)
            .filter(|entry| used(&entry.quota) > entry.above)
            .max_by_key(|entry| entry.above)
            .map_or(Percent::ALL, |entry| entry.percent)
    }

    /// The most that any volume could make of the price: for a request whose volume is not known yet.
    pub fn dearest_volume(&self, request: &Attributes<'_>) -> Percent {
        self.matching(request).map(|entry| entry.percent).fold(Percent::ALL, Percent::max)
    }

    /// The dimensions that any of it looks at.
    pub(super) fn dimensions(&self) -> impl Iterator<Item = Dimension> {
        let rules = self.rules.iter().map(|rule| &rule.when);
        rules
            .chain(self.volume.iter().map(|entry| &entry.when))
            .flatten()
            .map(|condition| condition.dimension)
    }

    fn matching(&self, request: &Attributes<'_>) -> impl Iterator<Item = &VolumePrice> {
        self.volume.iter().filter(|entry| hold(&entry.when, request))
    }
}

fn hold(when: &[Condition], request: &Attributes<'_>) -> bool {
    when.iter().all(|condition| condition.holds(request))
}
