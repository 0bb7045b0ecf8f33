//! From what is known of a request to what it reserves, and from what was seen of its answer to what it is charged.

use hashbrown::HashMap;
use tollgate_wire::{Credits, NanoUsd, Outcome, TokenCount};

use crate::limiter::{Amounts, Demand};
use crate::policy::Policy;
use crate::policy::config::UnknownModel;
use crate::price::{Price, TokenClasses};
use crate::traffic::{Observed, RequestFacts};

/// The model has no price, and the policy refuses such requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpriced;

/// What a request is charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charged {
    /// Disjoint token classes.
    pub tokens: TokenClasses,
    /// The part of the output spent on reasoning.
    pub reasoning: TokenCount,
    /// What limits count of it.
    pub amounts: Amounts,
    /// How the request ended.
    pub outcome: Outcome,
}

/// How the response ended, besides its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// Status of the response; 0 when there was none.
    pub status: u16,
    /// The response was seen to its end.
    pub complete: bool,
}

/// The price of a model under a policy: None is free.
#[derive(Clone, Copy, Debug)]
pub struct Rate<'p> {
    price: Option<&'p Price>,
    /// The ceiling stands in for a price nobody knows.
    pub unknown: bool,
}

impl Rate<'_> {
    /// For requests that no model answers.
    pub const NO_MODEL: Self = Self { price: None, unknown: false };
}

/// Finds the price of a model.
///
/// # Errors
/// [`Unpriced`] when there is none and the policy refuses such models.
pub fn rate<'p>(policy: &'p Policy, model: &str) -> Result<Rate<'p>, Unpriced> {
    match (policy.prices.lookup(model), policy.unknown_model) {
        (Some(price), _) => Ok(Rate { price: Some(price), unknown: false }),
        (None, UnknownModel::Ceiling) => Ok(Rate { price: Some(policy.prices.ceiling()), unknown: true }),
        (None, UnknownModel::Allow) => Ok(Rate { price: None, unknown: true }),
        (None, UnknownModel::Refuse) => Err(Unpriced),
    }
}

/// What the request reserves: its expected use for rates, its bound for quotas.
///
/// The bound without an output cap is `reservation.uncapped_output_tokens`, or the model's longest answer if that is
/// less; an answer beyond it is charged all the same, and the balance goes below zero.
pub fn demand(
    policy: &Policy,
    rate: Rate<'_>,
    action: &str,
    facts: &RequestFacts,
    predictor: &Predictor,
) -> Demand {
    let longest = rate.price.and_then(|price| price.max_output_tokens).unwrap_or(u64::MAX);
    let cap = facts.output_cap.unwrap_or(policy.reservation.uncapped_output_tokens).min(longest);
    let choices = facts.choices.max(1);
    let bound = cap.saturating_mul(choices);
    let guess = predictor.expected(facts.model.as_deref().unwrap_or_default());
    let expected =
        guess.unwrap_or(policy.reservation.expected_output_tokens).saturating_mul(choices).min(bound);
    let with = |output: u64| {
        let tokens = TokenClasses { input: facts.input_estimate.0, output, ..TokenClasses::default() };
        amounts(policy, rate, action, &tokens)
    };
    Demand { expected: with(expected), bound: with(bound) }
}

/// What limits count of these tokens.
fn amounts(policy: &Policy, rate: Rate<'_>, action: &str, tokens: &TokenClasses) -> Amounts {
    let input = tokens.input.saturating_add(tokens.cache_read).saturating_add(tokens.cache_write);
    let all = input.saturating_add(tokens.output);
    Amounts {
        input: TokenCount(input),
        output: TokenCount(tokens.output),
        cost: rate.price.map_or(NanoUsd::ZERO, |price| price.cost(tokens)),
        credits: Credits(policy.action(action).map_or(0, |price| price.credits(all))),
    }
}

/// What an answered, failed or aborted request is charged.
///
/// The provider's own report counts, once it is complete. An upstream error gives the tokens back. Anything else is
/// charged by estimate, never zero: the input as estimated or reported, the output by the text that passed, and at
/// least what was expected when nothing passed at all (the provider bills work whose answer nobody waited for).
pub fn charge(
    policy: &Policy,
    rate: Rate<'_>,
    action: &str,
    facts: &RequestFacts,
    expected: &Amounts,
    seen: &Observed,
    ending: Ending,
) -> Charged {
    let usage = &seen.usage;
    if ending.status >= 400 || (seen.error && !seen.reported) {
        return Charged { outcome: Outcome::Error, ..Charged::default() };
    }
    let reported = TokenClasses {
        input: usage.input.unwrap_or(0),
        cache_read: usage.cache_read.unwrap_or(0),
        cache_write: usage.cache_write.unwrap_or(0),
        output: usage.output.unwrap_or(0),
    };
    let known = usage.total_input().is_some();
    let input = if known { reported.input } else { facts.input_estimate.0 };
    let (tokens, outcome) = if seen.reported && known {
        (reported, Outcome::Ok)
    } else if seen.reported {
        // As Ollama does for a prompt that its cache served.
        (TokenClasses { input, ..reported }, Outcome::Estimated)
    } else {
        let nothing_passed = seen.body_bytes == 0 || seen.deferred;
        let passed = reported.output.max(seen.output_estimate.0);
        let output = if nothing_passed { expected.output.0 } else { passed.max(1) };
        let outcome = if ending.complete || seen.finished { Outcome::Estimated } else { Outcome::Aborted };
        (TokenClasses { input, output, ..reported }, outcome)
    };
    Charged {
        tokens,
        reasoning: TokenCount(usage.reasoning.unwrap_or(0)),
        amounts: amounts(policy, rate, action, &tokens),
        outcome,
    }
}

/// Most models remembered per worker; one more is not predicted.
const MODELS_MAX: usize = 512;

/// How long answers are, per model: a moving average over about sixteen of them.
#[derive(Clone, Debug, Default)]
pub struct Predictor {
    /// Sixteenths of a token.
    by_model: HashMap<String, u64>,
}

impl Predictor {
    /// The expected length of the model's next answer in tokens; None before the first.
    pub fn expected(&self, model: &str) -> Option<u64> {
        self.by_model.get(model).map(|sixteenths| sixteenths.div_ceil(16).max(1))
    }

    /// Learns the length of an answer.
    pub fn learn(&mut self, model: &str, tokens: u64) {
        let room = self.by_model.len() < MODELS_MAX;
        match self.by_model.get_mut(model) {
            Some(sixteenths) => {
                *sixteenths = sixteenths.saturating_sub(*sixteenths / 16).saturating_add(tokens)
            }
            None if room => {
                self.by_model.insert(model.into(), tokens.saturating_mul(16));
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::Usage;
    use serde_json::json;

    fn policy() -> Policy {
        Policy::from_json(json!({
            "prices": {"overrides": {"m": {"input": 1, "output": 10, "cached_input": 0.1}}},
            "actions": {"translate": {"credits": 5, "per": "1000 tokens"}},
        }))
        .unwrap()
    }

    fn facts(cap: Option<u64>) -> RequestFacts {
        RequestFacts {
            model: Some("m".into()),
            output_cap: cap,
            choices: 1,
            stream: false,
            has_stream_options: false,
            include_usage: false,
            tool: None,
            call_id: None,
            input_estimate: TokenCount(100),
            malformed: false,
        }
    }

    fn charged(seen: &Observed, ending: Ending) -> Charged {
        let policy = policy();
        let rate = rate(&policy, "m").unwrap();
        let expected = demand(&policy, rate, "", &facts(None), &Predictor::default()).expected;
        charge(&policy, rate, "", &facts(None), &expected, seen, ending)
    }

    #[test]
    fn a_cap_bounds_what_is_held_and_what_is_expected() {
        let policy = policy();
        let rate = rate(&policy, "m").unwrap();
        let capped = demand(&policy, rate, "translate", &facts(Some(50)), &Predictor::default());
        assert_eq!((capped.expected.output, capped.bound.output), (TokenCount(50), TokenCount(50)));
        assert_eq!(capped.bound.cost, NanoUsd(100 * 1000 + 50 * 10_000));
        assert_eq!(capped.bound.credits, Credits(750_000));
        let open = demand(&policy, rate, "", &facts(None), &Predictor::default());
        assert_eq!((open.expected.output, open.bound.output), (TokenCount(256), TokenCount(4096)));
    }

    #[test]
    fn what_the_provider_reports_is_what_is_charged() {
        let usage = Usage {
            input: Some(86),
            cache_read: Some(1920),
            output: Some(300),
            reasoning: Some(192),
            ..Usage::default()
        };
        let seen = Observed { usage, reported: true, body_bytes: 9, finished: true, ..Observed::default() };
        let charged = charged(&seen, Ending { status: 200, complete: true });
        assert_eq!(charged.amounts.cost, NanoUsd(86 * 1000 + 1920 * 100 + 300 * 10_000));
        assert_eq!((charged.outcome, charged.amounts.input), (Outcome::Ok, TokenCount(2006)));
    }

    #[test]
    fn an_upstream_error_costs_nothing() {
        let seen = Observed { body_bytes: 9, finished: true, ..Observed::default() };
        let charged = charged(&seen, Ending { status: 500, complete: true });
        assert_eq!((charged.outcome, charged.amounts.cost), (Outcome::Error, NanoUsd::ZERO));
    }

    #[test]
    fn an_abort_is_never_free() {
        let nothing = charged(&Observed::default(), Ending { status: 0, complete: false });
        assert_eq!(
            (nothing.outcome, nothing.tokens.input, nothing.tokens.output),
            (Outcome::Aborted, 100, 256)
        );
        let seen = Observed { output_estimate: TokenCount(7), body_bytes: 40, ..Observed::default() };
        let partly = charged(&seen, Ending { status: 200, complete: false });
        assert_eq!((partly.outcome, partly.tokens.input, partly.tokens.output), (Outcome::Aborted, 100, 7));
    }

    #[test]
    fn an_answer_without_usage_is_estimated_and_an_explicit_zero_is_not() {
        let seen = Observed {
            output_estimate: TokenCount(7),
            body_bytes: 40,
            finished: true,
            ..Observed::default()
        };
        assert_eq!(charged(&seen, Ending { status: 200, complete: true }).outcome, Outcome::Estimated);
        let usage = Usage { input: Some(0), output: Some(0), ..Usage::default() };
        let zero = Observed { usage, reported: true, body_bytes: 40, finished: true, ..Observed::default() };
        assert_eq!(charged(&zero, Ending { status: 200, complete: true }).amounts, Amounts::default());
    }

    #[test]
    fn input_that_is_not_reported_is_not_free() {
        let usage = Usage { output: Some(9), ..Usage::default() };
        let seen = Observed { usage, reported: true, body_bytes: 40, finished: true, ..Observed::default() };
        let charged = charged(&seen, Ending { status: 200, complete: true });
        assert_eq!((charged.tokens.input, charged.tokens.output), (100, 9));
        assert_eq!(charged.outcome, Outcome::Estimated);
    }

    #[test]
    fn a_model_without_a_price_costs_the_ceiling_or_is_refused() {
        let policy = policy();
        let unknown = rate(&policy, "nobody-knows-it").unwrap();
        assert!(unknown.unknown && unknown.price.unwrap().output.0 > 0);
        let strict = Policy::from_json(json!({"prices": {"unknown": "refuse"}})).unwrap();
        assert!(rate(&strict, "nobody-knows-it").is_err());
    }

    #[test]
    fn the_predictor_follows_the_answers_and_is_bounded() {
        let mut predictor = Predictor::default();
        assert_eq!(predictor.expected("m"), None);
        predictor.learn("m", 100);
        assert_eq!(predictor.expected("m"), Some(100));
        (0..200).for_each(|_| predictor.learn("m", 500));
        assert!((480..=500).contains(&predictor.expected("m").unwrap()));
        (0..2000).for_each(|n| predictor.learn(&n.to_string(), 1));
        assert_eq!(predictor.by_model.len(), MODELS_MAX);
    }
}
