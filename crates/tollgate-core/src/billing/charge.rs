//! What an answered, failed or aborted request is charged, and why so much.
//!
//! The provider's own report counts, once it is complete. For everything else the policy has a rule (`charging`); by
//! default an upstream error gives the tokens back, and work that nobody reported is charged by estimate, never zero.

use tollgate_wire::{Outcome, TokenCount};

use super::{BYTES_PER_TOKEN, Calibration, Factor, Job, Observation, Predictor, Rate, prose_words};
use crate::limiter::{Amounts, Demand, Status};
use crate::policy::Work;
use crate::policy::config::{Unreported, UpstreamError};
use crate::price::TokenClasses;
use crate::traffic::{Observed, RequestFacts};

/// How the response ended, besides its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// Status of the response; 0 when there was none.
    pub status: u16,
    /// The response was seen to its end.
    pub complete: bool,
    /// Tollgate ended it before.
    pub cut: bool,
}

/// What a charge rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The provider's report.
    #[default]
    Reported,
    /// A whole answer without a report.
    NoUsage,
    /// An answer that was cut off, by the client or on the way.
    Aborted,
    /// An error inside an answer that had begun well.
    ErrorInAnswer,
    /// The upstream's status was an error, or its answer was nothing but one.
    UpstreamError,
    /// Nobody reads such answers: no limit counts tokens.
    Unread,
    /// Tollgate ended it: a limit had no more.
    Ended,
}

impl Cause {
    /// Its name in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::NoUsage => "no_usage",
            Self::Aborted => "aborted",
            Self::ErrorInAnswer => "error_in_answer",
            Self::UpstreamError => "upstream_error",
            Self::Unread => "unread",
            Self::Ended => "ended",
        }
    }
}

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
    /// What the charge rests on.
    pub cause: Cause,
    /// The ceiling stands in for the model's price.
    pub unknown_price: bool,
}

impl Charged {
    /// For a request that Tollgate itself answered.
    pub fn refused() -> Self {
        Self { outcome: Outcome::Refused, cause: Cause::Unread, ..Self::default() }
    }
}

impl Job<'_> {
    /// What the request is charged. `demand` is what it reserved, `statuses` those of its admission, `elapsed_ms` the
    /// time from there to the end.
    pub fn charge(
        &self,
        demand: &Demand,
        statuses: &[Status],
        calibration: &Calibration,
        seen: &Observed,
        ending: Ending,
        elapsed_ms: u64,
    ) -> Charged {
        let rate = self.rate(Some(statuses)).unwrap_or(Rate::FREE);
        let cause = self.cause(seen, ending);
        let (tokens, known) = match (cause, self.policy.charging.on_upstream_error) {
            (Cause::UpstreamError, UpstreamError::Refund) => {
                return Charged { outcome: Outcome::Error, cause, ..Charged::default() };
            }
            (Cause::UpstreamError, UpstreamError::Input) => (self.input_only(rate, calibration, seen), true),
            (Cause::Reported, _) => (reported(seen), true),
            (Cause::Unread, _) => (TokenClasses::default(), true),
            _ => (self.estimated(rate, demand, calibration, seen, cause), false),
        };
        let mut amounts = self.amounts(rate, &tokens, &self.work(seen, elapsed_ms));
        if !known && self.reserves(cause) {
            amounts.credits = amounts.credits.max(demand.bound.credits);
        }
        Charged {
            tokens,
            reasoning: TokenCount(seen.usage.reasoning.unwrap_or(0)),
            amounts,
            outcome: outcome(cause, seen, ending),
            cause,
            unknown_price: rate.unknown,
        }
    }

    fn cause(&self, seen: &Observed, ending: Ending) -> Cause {
        let ended = ending.complete || seen.finished;
        let began = seen.reported || seen.output_estimate.0 > 0;
        match ending.status {
            400.. => Cause::UpstreamError,
            _ if self.facts.is_none() => Cause::Unread,
            _ if ending.cut => Cause::Ended,
            _ if seen.error && !began => Cause::UpstreamError,
            _ if seen.error && !seen.reported => Cause::ErrorInAnswer,
            // A report before the end is a running total.
            _ if seen.reported && ended && seen.usage.total_input().is_some() => Cause::Reported,
            _ if ended => Cause::NoUsage,
            _ => Cause::Aborted,
        }
    }

    const fn reserves(&self, cause: Cause) -> bool {
        let charging = &self.policy.charging;
        let rule = match cause {
            Cause::Aborted => charging.on_abort,
            Cause::ErrorInAnswer => charging.on_error_in_answer,
            Cause::Ended => return false,
            _ => charging.without_usage,
        };
        matches!(rule, Unreported::Reserved)
    }

    /// The input as reported or estimated, the output by the text that passed or as reported so far, and at least what
    /// was expected when nothing passed at all: the provider bills work whose answer nobody waited for.
    fn estimated(
        &self,
        rate: Rate<'_>,
        demand: &Demand,
        calibration: &Calibration,
        seen: &Observed,
        cause: Cause,
    ) -> TokenClasses {
        let so_far = seen.usage.output.unwrap_or(0);
        if seen.reported && cause == Cause::NoUsage {
            // Only the input is missing, as Ollama leaves it out for a prompt that its cache served.
            return TokenClasses { output: so_far, ..self.input_only(rate, calibration, seen) };
        }
        let passed = so_far.max(self.factor(calibration).apply(seen.output_estimate.0));
        // An answer that comes later, to another request, is one that nobody waited for as well.
        let nothing_passed = seen.body_bytes == 0 || seen.deferred;
        let output = match (self.reserves(cause), nothing_passed) {
            (true, _) => demand.bound.output.0.max(passed),
            (false, true) => demand.expected.output.0,
            (false, false) => passed.max(1),
        };
        TokenClasses { output, ..self.input_only(rate, calibration, seen) }
    }

    /// How far estimates of its tokens are off.
    pub fn factor(&self, calibration: &Calibration) -> Factor {
        let model = self.rate(None).ok().and_then(|rate| rate.model).unwrap_or(self.request.model);
        calibration.factor(model)
    }

    /// What the request uses once its answer, of which this was seen, has so many output tokens.
    pub fn used(
        &self,
        output: u64,
        statuses: &[Status],
        calibration: &Calibration,
        seen: &Observed,
        elapsed_ms: u64,
    ) -> Amounts {
        let rate = self.rate(Some(statuses)).unwrap_or(Rate::FREE);
        let tokens = TokenClasses { output, ..self.input_only(rate, calibration, seen) };
        let to_come = output.saturating_sub(seen.output_estimate.0);
        let mut work = self.work(seen, elapsed_ms);
        work.words = work.words.saturating_add(prose_words(to_come));
        work.bytes = work.bytes.saturating_add(to_come.saturating_mul(BYTES_PER_TOKEN));
        self.amounts(rate, &tokens, &work)
    }

    /// What was done besides tokens.
    fn work(&self, seen: &Observed, elapsed_ms: u64) -> Work {
        Work {
            words: self.facts.map_or(0, asked_words).saturating_add(seen.output_words),
            bytes: self.facts.map_or(0, |facts| facts.body_bytes).saturating_add(seen.body_bytes),
            elapsed_ms,
            ..Work::default()
        }
    }

    fn input_only(&self, rate: Rate<'_>, calibration: &Calibration, seen: &Observed) -> TokenClasses {
        let reported = TokenClasses { output: 0, ..reported(seen) };
        if seen.usage.total_input().is_some() {
            return reported;
        }
        let estimate = self.facts.map_or(0, |facts| facts.input_estimate.0);
        let model = rate.model.unwrap_or(self.request.model);
        TokenClasses { input: calibration.apply(model, estimate), ..reported }
    }

    /// Learns from a request that the provider reported on: how long answers are, and how far the estimate was off.
    pub fn learn(&self, charged: &Charged, predictor: &mut Predictor, calibration: &mut Calibration) {
        let (Some(facts), Cause::Reported) = (self.facts, charged.cause) else { return };
        let Ok(rate) = self.rate(None) else { return };
        let model = rate.model.unwrap_or(self.request.model);
        predictor.learn(model, charged.tokens.output / facts.choices.max(1));
        if let Some(observed) = Observation::of(facts, charged.tokens.total_input()) {
            calibration.learn(model, observed);
        }
    }
}

/// Words of the request; of one whose body is not read, as many as its tokens are in prose.
fn asked_words(facts: &RequestFacts) -> u64 {
    match facts.input_words {
        0 => prose_words(facts.input_estimate.0),
        words => words,
    }
}

fn reported(seen: &Observed) -> TokenClasses {
    let usage = &seen.usage;
    TokenClasses {
        input: usage.input.unwrap_or(0),
        cache_read: usage.cache_read.unwrap_or(0),
        cache_write: usage.cache_write.unwrap_or(0),
        cache_write_1h: usage.cache_write_1h.unwrap_or(0),
        output: usage.output.unwrap_or(0),
    }
}

const fn outcome(cause: Cause, seen: &Observed, ending: Ending) -> Outcome {
    match cause {
        Cause::Reported => Outcome::Ok,
        Cause::NoUsage => Outcome::Estimated,
        Cause::ErrorInAnswer if ending.complete || seen.finished => Outcome::Estimated,
        Cause::Aborted | Cause::ErrorInAnswer => Outcome::Aborted,
        Cause::UpstreamError => Outcome::Error,
        Cause::Unread if ending.complete => Outcome::Ok,
        Cause::Unread => Outcome::Aborted,
        Cause::Ended => Outcome::Ended,
    }
}
