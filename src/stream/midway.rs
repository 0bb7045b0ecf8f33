//! An answer while it passes: it takes more of its limits when it outgrows what they have reserved for it, and ends where
//! one that ends streams has no more.
//!
//! A filter can't end a stream in good order: Envoy knows its end from the upstream only. So the client gets the error
//! that its API knows, with the event that is passing; what still comes is swallowed; and the next tick resets the
//! stream, because a reset in this callback would overtake the bytes it returns.

use std::rc::{Rc, Weak};

use log::warn;
use tollgate_core::answer;
use tollgate_core::billing::Factor;
use tollgate_core::limiter::{Admission, Demand, Refusal, TopUp, Watch};
use tollgate_core::policy::Policy;
use tollgate_core::traffic::{Boundaries, Dialect, ResponseParser};

use super::body::Answer;
use super::{Phase, Stream, count};
use crate::host::{self, Buffer};
use crate::worker::State;

/// How an answer is watched.
pub(super) struct Midway {
    watch: Watch,
    boundaries: Boundaries,
    /// Asked for when the answer is looked at first.
    factor: Option<Factor>,
    /// The output by its text when it was looked at last: what brings no text does not end it.
    text: u64,
    /// That it went beyond a limit has been counted.
    counted: bool,
    /// It was ended: nothing more of it passes.
    over: bool,
}

impl Midway {
    /// For an answer to a request that was let through. Without `ends` nothing ends it.
    pub fn of(policy: &Policy, admission: &Admission, demand: &Demand, dialect: Dialect, ends: bool) -> Self {
        Self {
            watch: Watch::of(policy, &admission.reservation, demand, ends),
            boundaries: Boundaries::new(dialect),
            factor: None,
            text: 0,
            counted: false,
            over: false,
        }
    }

    /// True when a limit may end the answer: it passes event by event.
    pub const fn ends(&self) -> bool {
        self.watch.ends()
    }

    /// It is no stream, or nothing that an event can be appended to.
    pub fn finishes(&mut self) {
        self.watch.finishes();
    }

    /// True when the answer has to be looked at.
    pub const fn is_due(&self, parser: &ResponseParser) -> bool {
        self.watch.is_due(parser.body_bytes())
    }
}

impl Stream {
    /// The next bytes of the answer, and its end.
    pub(super) fn passes(&mut self, size: usize, ends: bool) {
        let Some(answer) = &mut self.answer else { return };
        if !answer.midway.ends() {
            answer.pass(size, ends);
            if answer.midway.is_due(answer.parser()) && !ends {
                self.look();
            }
        } else if answer.midway.over {
            if size > 0 {
                let _ = host::set_buffer(Buffer::Response, size, &[]);
            }
        } else {
            self.passes_by_events(size, ends);
        }
    }

    /// The same for an answer that may be ended behind each of its events.
    fn passes_by_events(&mut self, size: usize, ends: bool) {
        let chunk = if size == 0 { None } else { host::buffer(Buffer::Response, size) };
        let chunk = chunk.unwrap_or_default();
        let mut out = Vec::with_capacity(chunk.len());
        let mut rest = chunk.as_slice();
        let mut ended_by = None;
        while let Some(answer) = &mut self.answer
            && !rest.is_empty()
            && ended_by.is_none()
        {
            let (length, boundary) = answer.midway.boundaries.next(rest);
            let (piece, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            answer.read(piece, &mut out);
            rest = after;
            if boundary && answer.midway.is_due(answer.parser()) {
                ended_by = self.look();
            }
        }
        let Some(answer) = &mut self.answer else { return };
        if ends || ended_by.is_some() {
            answer.finish(&mut out);
        }
        if let Some(refusal) = ended_by {
            self.cut(&refusal, &mut out);
        }
        if out != chunk {
            let _ = host::set_buffer(Buffer::Response, size, &out);
        }
    }

    /// Takes more where the answer has outgrown what is reserved. Some: a limit has no more, and ends it.
    fn look(&mut self) -> Option<Refusal> {
        let worker = Rc::clone(&self.worker);
        let state = &mut *worker.state.borrow_mut();
        let mut answer = self.answer.take()?;
        let mut ended_by = None;
        match core::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Admitted(mut admission, demand) => {
                ended_by = self.take_more(state, &mut answer, &mut admission);
                self.phase = Phase::Admitted(admission, demand);
            }
            phase => self.phase = phase,
        }
        self.answer = Some(answer);
        ended_by
    }

    fn take_more(
        &self,
        state: &mut State,
        answer: &mut Answer,
        admission: &mut Admission,
    ) -> Option<Refusal> {
        let (parser, midway) = answer.watched();
        let (job, bytes) = (self.job(), parser.body_bytes());
        if !parser.is_stream() && !self.facts.as_ref().is_some_and(|facts| facts.stream) {
            // It comes as fast as it can, and settling follows at once.
            midway.watch = Watch::OFF;
            return None;
        }
        let (reported, text) = parser.output();
        let factor = *midway.factor.get_or_insert_with(|| job.factor(&state.calibration));
        let output = reported.unwrap_or(0).max(factor.apply(text.0));
        let brings_text = core::mem::replace(&mut midway.text, text.0) < text.0;
        while let Some(wanted) = midway.watch.look(bytes, output) {
            let seen = parser.observed();
            // The report at the end of an answer may tell of more than was seen: it ends nothing that is there.
            if midway.ends() && (!brings_text || seen.finished) {
                return None;
            }
            let now = host::now();
            let elapsed_ms = now.mono_ns.saturating_sub(self.decided.mono_ns) / 1_000_000;
            let needs = job.used(wanted, &admission.statuses, &state.calibration, &seen, elapsed_ms);
            let (worker, reservation) = (&self.worker, &mut admission.reservation);
            let (policy, store, ends) = (&worker.policy, &worker.store, midway.ends());
            match state.limiter.top_up(policy, store, now, reservation, &needs, ends) {
                Ok(TopUp::Taken(beyond)) => {
                    midway.watch.is_reserved(bytes, output, wanted);
                    state.metrics.count("tollgate_top_ups", 1);
                    if !beyond.is_empty() && !core::mem::replace(&mut midway.counted, true) {
                        count::outgrown(worker, state, &beyond, "finished");
                    }
                    return None;
                }
                Ok(TopUp::Exhausted(refusal)) if !midway.watch.takes_less() => return Some(refusal),
                Ok(TopUp::Exhausted(_)) => {}
                Err(undecided) => {
                    warn!("a stream is not topped up: {undecided}");
                    midway.watch.looks_later(bytes);
                    return None;
                }
            }
        }
        None
    }

    /// Resets the stream, whose answer was ended, on both sides. False when there is nothing left to reset.
    ///
    /// A stream that Envoy has logged is being taken down: nothing may be asked of it any more, although its number
    /// is still known for a moment.
    pub fn reset(&self) -> bool {
        let lives = matches!(self.phase, Phase::Admitted(..)) && !self.ending.complete;
        if !lives || host::speak_of(self.id).is_err() {
            return false;
        }
        if let Err(failed) = host::reset_response() {
            warn!("an ended stream could not be reset: status {}", failed.0);
        }
        true
    }

    /// Appends the last event, and ends the answer there.
    fn cut(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        let worker = Rc::clone(&self.worker);
        let state = &mut *worker.state.borrow_mut();
        let Some(dialect) = self.dialect() else { return };
        let Some(form) = self.answer.as_ref().and_then(|answer| answer.midway.boundaries.form()) else {
            return;
        };
        let jitter = state.jitter();
        out.extend(answer::cut(&worker.policy, dialect, &self.attributes(), refusal, form, jitter));
        if let Some(answer) = &mut self.answer {
            answer.midway.over = true;
        }
        self.ending.cut = true;
        self.ended_by =
            worker.policy.limit(refusal.limit).map(|limit| limit.name.clone()).unwrap_or_default();
        count::outgrown(&worker, state, &[refusal.limit], "ended");
        state.ended.push(Weak::clone(&self.me));
    }
}
