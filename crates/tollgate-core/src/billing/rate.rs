//! Which price holds for a request: the model's, by the rules for whoever asks, at the volume reached.

use tollgate_wire::NanoUsd;

use crate::limiter::Status;
use crate::policy::config::UnknownModel;
use crate::policy::{Attributes, Policy};
use crate::price::{Percent, Price, TokenClasses};

/// The model has no price, and the policy refuses such requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpriced;

/// A price, and what part of it is charged.
#[derive(Clone, Copy, Debug)]
pub struct Rate<'p> {
    /// None is free.
    price: Option<&'p Price>,
    /// Of the price by a rule, and of that by the volume.
    parts: [Percent; 2],
    /// The name the price is listed under; None for no model, or one without a price.
    pub model: Option<&'p str>,
    /// The ceiling stands in for a price nobody knows.
    pub unknown: bool,
}

impl Rate<'_> {
    /// For requests that no model answers.
    pub const FREE: Self = Self { price: None, parts: [Percent::ALL; 2], model: None, unknown: false };

    /// What tokens cost.
    pub fn cost(&self, tokens: &TokenClasses) -> NanoUsd {
        self.price.map_or(NanoUsd::ZERO, |price| price.cost_of_parts(tokens, &self.parts))
    }

    /// The longest answer the model gives, in tokens.
    pub fn longest_answer(&self) -> u64 {
        self.price.and_then(|price| price.max_output_tokens).unwrap_or(u64::MAX)
    }
}

/// The price that holds for a request.
pub(super) fn of<'p>(
    policy: &'p Policy,
    request: &Attributes<'_>,
    statuses: Option<&[Status]>,
) -> Result<Rate<'p>, Unpriced> {
    let rule = policy.pricing.rule(request);
    let volume = match statuses {
        Some(statuses) => policy.pricing.volume(request, |limit| used(policy, statuses, limit)),
        None => policy.pricing.dearest_volume(request),
    };
    let parts = [rule.map_or(Percent::ALL, |rule| rule.percent), volume];
    let own = rule.and_then(|rule| rule.price.as_ref());
    let listed = policy.prices.find(request.model);
    let model = listed.map(|(name, _)| name);
    let price = own.or(listed.map(|(_, price)| price));
    match (price, policy.unknown_model) {
        (Some(price), _) => Ok(Rate { price: Some(price), parts, model, unknown: false }),
        (None, UnknownModel::Ceiling) => {
            Ok(Rate { price: Some(policy.prices.ceiling()), parts, model, unknown: true })
        }
        (None, UnknownModel::Allow) => Ok(Rate { price: None, parts, model, unknown: true }),
        (None, UnknownModel::Refuse) => Err(Unpriced),
    }
}

/// What is used and held of the quota of this name, in its meter's unit.
fn used(policy: &Policy, statuses: &[Status], quota: &str) -> u64 {
    let of = |status: &Status| {
        policy.limit(status.limit).filter(|limit| limit.name == quota)?;
        Some(status.most.saturating_sub(status.remaining))
    };
    statuses.iter().filter_map(of).max().unwrap_or(0)
}
