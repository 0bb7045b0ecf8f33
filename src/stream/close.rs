//! The end of a request: settled, released, entered in the books.

use std::rc::Rc;

use tollgate_core::billing::{self, Charged, Ending};
use tollgate_core::limiter::Demand;
use tollgate_core::record::{self, Facts};
use tollgate_wire::Outcome;

use super::{Phase, Stream, count};
use crate::host;
use crate::worker::State;

impl Stream {
    /// Settles what was let through, and enters every request that somebody can be charged for.
    pub(super) fn close(&mut self) {
        let worker = Rc::clone(&self.worker);
        let state = &mut *worker.state.borrow_mut();
        let (charged, mut admission, refused_by) = match core::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Admitted(admission, demand) => {
                state.load.ended();
                (self.charge(state, &demand), Some(admission), String::new())
            }
            Phase::Refused(limit) => {
                (Charged { outcome: Outcome::Refused, ..Charged::default() }, None, limit)
            }
            Phase::Held(admission, _) => return self.leave(state, Some(&admission)),
            Phase::Queued(_) => return self.leave(state, None),
            // The client left before its body was here, or Envoy refused it: nothing was decided.
            Phase::Waiting | Phase::Done => return,
        };
        let now = host::now();
        if let Some(admission) = &mut admission {
            worker.settle(state, now, core::mem::take(&mut admission.reservation), &charged.amounts);
        }
        if self.caller.consumer.is_empty() {
            return;
        }
        let unknown_price = self.facts.is_some() && self.rate().is_ok_and(|rate| rate.unknown);
        let (status, exempt) = (self.ending.status, self.exempt);
        let facts = Facts { status, refused_by: &refused_by, unknown_price, exempt };
        let id = state.guids.next(self.decided);
        let tally = record::tally(
            &worker.policy,
            &id,
            self.decided,
            &self.attributes(),
            &charged,
            admission.as_ref(),
            facts,
        );
        count::tally(state, &tally);
        worker.enter(state, now, tally);
    }

    fn charge(&self, state: &mut State, demand: &Demand) -> Charged {
        let policy = &self.worker.policy;
        let (Some(facts), Ok(rate)) = (&self.facts, self.rate()) else {
            return Charged { outcome: self.outcome_unread(), ..Charged::default() };
        };
        let seen = self.answer.as_ref().map(|answer| answer.parser().observed()).unwrap_or_default();
        let charged =
            billing::charge(policy, rate, &self.route.action, facts, &demand.expected, &seen, self.ending);
        if charged.outcome == Outcome::Ok {
            state.predictor.learn(self.model(), charged.tokens.output / facts.choices.max(1));
        }
        charged
    }

    /// How a request ended whose answer nobody parses.
    const fn outcome_unread(&self) -> Outcome {
        match self.ending {
            Ending { status: 400.., .. } => Outcome::Error,
            Ending { complete: true, .. } => Outcome::Ok,
            Ending { .. } => Outcome::Aborted,
        }
    }
}
