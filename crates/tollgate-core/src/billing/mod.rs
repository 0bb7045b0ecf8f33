//! From what is known of a request to what it reserves, and from what was seen of its answer to what it is charged.

mod calibration;
mod charge;
mod predictor;
mod rate;
#[cfg(test)]
mod tests;

pub use calibration::{Calibration, Factor, Observation};
pub use charge::{Cause, Charged, Ending};
pub use predictor::Predictor;
pub use rate::{Rate, Unpriced};

use tollgate_wire::{Credits, NanoUsd, TokenCount};

use crate::limiter::{Amounts, Demand, Status};
use crate::policy::{Attributes, Policy, Work};
use crate::price::TokenClasses;
use crate::traffic::RequestFacts;

/// Words of prose to four tokens, for text that was not read or is not there yet.
const WORDS_PER_4_TOKENS: u64 = 3;
/// Bytes of prose to a token, likewise.
const BYTES_PER_TOKEN: u64 = 4;

/// A request as the bill sees it.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The policy it is under.
    pub policy: &'a Policy,
    /// What it is.
    pub request: Attributes<'a>,
    /// What its body asks for; None where nobody reads it.
    pub facts: Option<&'a RequestFacts>,
    /// A model answers it: its tokens have a price.
    pub uses_model: bool,
}

impl<'a> Job<'a> {
    /// The price of the request's tokens. `statuses` are those of its admission; before it there are none, and the
    /// dearest volume price stands in.
    ///
    /// # Errors
    /// [`Unpriced`] when the model has none and the policy refuses such models.
    pub fn rate(&self, statuses: Option<&[Status]>) -> Result<Rate<'a>, Unpriced> {
        if !self.uses_model || self.facts.is_none() {
            return Ok(Rate::FREE);
        }
        rate::of(self.policy, &self.request, statuses)
    }

    /// What the request reserves: its expected use for rates, its bound for quotas.
    ///
    /// The bound without an output cap is `reservation.uncapped_output_tokens`, or the model's longest answer if that is
    /// less; an answer beyond it is charged all the same, and the balance goes below zero.
    ///
    /// # Errors
    /// [`Unpriced`] as for [`Job::rate`].
    pub fn demand(&self, predictor: &Predictor, calibration: &Calibration) -> Result<Demand, Unpriced> {
        let rate = self.rate(None)?;
        let Some(facts) = self.facts else {
            let all = self.amounts(rate, &TokenClasses::default(), &Work::default());
            return Ok(Demand { expected: all, bound: all });
        };
        let reservation = &self.policy.reservation;
        let cap = facts.output_cap.unwrap_or(reservation.uncapped_output_tokens).min(rate.longest_answer());
        let choices = facts.choices.max(1);
        let bound = cap.saturating_mul(choices);
        let model = self.learns_as(rate);
        let guess = predictor.expected(model).unwrap_or(reservation.expected_output_tokens);
        let expected = guess.saturating_mul(choices).min(bound);
        let input = calibration.apply(model, facts.input_estimate.0);
        let with = |output: u64| {
            let tokens = TokenClasses { input, output, ..TokenClasses::default() };
            let work = Work {
                words: prose_words(output),
                bytes: output.saturating_mul(BYTES_PER_TOKEN),
                ..Work::default()
            };
            self.amounts(rate, &tokens, &work)
        };
        Ok(Demand { expected: with(expected), bound: with(bound) })
    }

    /// What limits count of these tokens, and of what else was done besides reading the request.
    fn amounts(&self, rate: Rate<'_>, tokens: &TokenClasses, done: &Work) -> Amounts {
        let (input, output) = (tokens.total_input(), tokens.output);
        let cost = rate.cost(tokens);
        let work = Work { tokens: input.saturating_add(output), ..*done };
        Amounts {
            input: TokenCount(input),
            output: TokenCount(output),
            cost,
            credits: self.credits(&work, cost),
        }
    }

    /// Credits by the step of the workflow, else by the action, else by the cost.
    fn credits(&self, work: &Work, cost: NanoUsd) -> Credits {
        match self.policy.action(self.request.workflow, self.request.action) {
            Some(price) => Credits(price.credits(work)),
            None => self.policy.credit_value.map_or(Credits::ZERO, |value| value.credits(cost)),
        }
    }

    /// The name under which is learned how long answers are and how far estimates are off: the price's, so that all
    /// names of one model learn together, and no client can fill the memory with names.
    fn learns_as(&self, rate: Rate<'a>) -> &'a str {
        rate.model.unwrap_or(self.request.model)
    }
}

const fn prose_words(tokens: u64) -> u64 {
    tokens.saturating_mul(WORDS_PER_4_TOKENS).div_ceil(4)
}
