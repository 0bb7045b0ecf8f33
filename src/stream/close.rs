//! The end of a request: settled, released, entered in the books.

use std::rc::Rc;

use tollgate_core::billing::Charged;
use tollgate_core::limiter::{Admission, Demand};
use tollgate_core::record::{self, Facts};
use tollgate_core::time::Now;

use super::{Phase, Stream, count};
use crate::host;
use crate::worker::State;

impl Stream {
    /// Settles what was let through, and enters every request that somebody can be charged for.
    pub(super) fn close(&mut self) {
        let worker = Rc::clone(&self.worker);
        let state = &mut *worker.state.borrow_mut();
        let now = host::now();
        let (charged, mut admission, refused_by) = match core::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Admitted(admission, demand) => {
                state.load.ended();
                worker.ring_for_load(state);
                let ended_by = core::mem::take(&mut self.ended_by);
                (self.charge(state, now, &admission, &demand), Some(admission), ended_by)
            }
            Phase::Refused(limit) => (Charged::refused(), None, limit),
            Phase::Held(admission, _) => return self.leave(state, Some(&admission)),
            Phase::Queued(_) => return self.leave(state, None),
            // The client left before its body was here, or Envoy refused it: nothing was decided.
            Phase::Waiting | Phase::Done => return,
        };
        if let Some(admission) = &mut admission {
            count::charge(state, &charged);
            let reservation = core::mem::take(&mut admission.reservation);
            worker.settle(state, now, reservation, &admission.statuses, &charged.amounts);
        }
        if self.caller.consumer.is_empty() {
            return;
        }
        let facts = Facts { status: self.ending.status, refused_by: &refused_by, exempt: self.exempt };
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

    fn charge(&self, state: &mut State, now: Now, admission: &Admission, demand: &Demand) -> Charged {
        let job = self.job();
        let seen = self.answer.as_ref().map(|answer| answer.parser().observed()).unwrap_or_default();
        let elapsed_ms = now.mono_ns.saturating_sub(self.decided.mono_ns) / 1_000_000;
        let statuses = &admission.statuses;
        let charged = job.charge(demand, statuses, &state.calibration, &seen, self.ending, elapsed_ms);
        job.learn(&charged, &mut state.predictor, &mut state.calibration);
        charged
    }
}
