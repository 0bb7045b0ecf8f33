//! A request that waits: until the time it was told, or in line until there is room for it.

use std::rc::Rc;

use log::warn;
use proxy_wasm::types::Action;
use tollgate_core::answer::Rejection;
use tollgate_core::limiter::{Admission, Decision, Demand, Refusal, Why};
use tollgate_core::load::LOOK_NS;
use tollgate_core::policy::Policy;
use tollgate_core::room::{POLL_NS, Place, Rank, Ticket};
use tollgate_core::time::Now;

use super::load::OVERLOADED;
use super::{Phase, Stream, count};
use crate::host::{self, Map};
use crate::worker::State;

/// What became of another try.
pub enum Tried {
    /// The request went on, or was answered: it waits in line no more.
    WentOn,
    /// Its client had gone.
    Gone,
    /// It waits on.
    Waits(Spot),
    /// It could not be decided.
    Undecided,
}

/// Where and how long a request waits.
#[derive(Clone, Copy)]
pub struct Spot {
    /// For this account.
    pub account: u64,
    /// When there may be room without anybody giving something back, in nanoseconds.
    pub wait_ns: u64,
    /// Longest time in all, in nanoseconds.
    pub patience_ns: u64,
    /// It waits for a lease, not for what others give back.
    pub leases: bool,
}

impl Spot {
    /// In the line of an account, for as long as the room allows.
    pub const fn at(policy: &Policy, account: u64, wait_ns: u64) -> Self {
        Self { account, wait_ns, patience_ns: policy.room.wait_ns, leases: false }
    }

    /// Where a request waits that a limit has no room for.
    pub fn of(policy: &Policy, refusal: &Refusal) -> Self {
        let spot = Self::at(policy, refusal.account, refusal.wait_ns.unwrap_or(u64::MAX));
        let terms = policy.limit(refusal.limit).and_then(|limit| limit.global);
        match terms.filter(|_| refusal.why == Why::Unleased) {
            Some(terms) => Self { patience_ns: u64::from(terms.wait_ms) * 1_000_000, leases: true, ..spot },
            None => spot,
        }
    }
}

impl Stream {
    const fn ticket(&self) -> Ticket {
        Ticket(self.id)
    }

    /// Bytes of the body that Envoy keeps while the request waits.
    fn body_bytes(&self) -> u64 {
        let length = host::header(Map::Request, "content-length");
        let length = length.and_then(|bytes| core::str::from_utf8(&bytes).ok()?.parse().ok());
        length.unwrap_or(0)
    }

    fn place(&self, state: &State, account: u64) -> Place {
        let key = state.limiter.process().key;
        let consumer = key.hash64(0, [self.caller.consumer.as_str()]);
        Place { account, consumer, priority: self.priority_in_line() }
    }

    /// Keeps an admitted request until what it has booked is there.
    pub(super) fn hold(&mut self, state: &mut State, admission: Admission, demand: Demand) -> Action {
        let now = self.decided;
        let due_ns = now.mono_ns.saturating_add(admission.delay_ns);
        let (consumer, bytes) = (self.place(state, 0).consumer, self.body_bytes());
        if state.waiting.pace((self.ticket(), &self.me), consumer, bytes, due_ns).is_err() {
            let worker = Rc::clone(&self.worker);
            worker.withdraw(state, now, &admission.reservation);
            state.metrics.count("tollgate_room_full", 1);
            return self.refuse(state, Rejection::Shed(admission.delay_ns));
        }
        state.waiting.arm(now.mono_ns, false);
        count::waits(state, "throttled");
        if let Some(limit) = admission.throttled {
            count::violation(&self.worker, state, limit);
        }
        self.phase = Phase::Held(admission, demand);
        Action::Pause
    }

    /// Puts a request in line at the account that has no room for it, or none that others don't wait for already: then
    /// it gives back what it was given, `taken`. None: there is no room to wait either.
    pub(super) fn queue(
        &mut self,
        state: &mut State,
        spot: Spot,
        taken: Option<&Admission>,
        demand: Demand,
    ) -> Option<Action> {
        let (worker, now) = (Rc::clone(&self.worker), self.decided);
        let account = spot.account;
        let (place, bytes) = (self.place(state, account), self.body_bytes());
        let times = (now.mono_ns.saturating_add(spot.wait_ns), spot.patience_ns);
        let me = (self.ticket(), &self.me);
        if state.waiting.queue(me, place, bytes, now.mono_ns, times).is_err() {
            state.metrics.count("tollgate_room_full", 1);
            return None;
        }
        self.phase = Phase::Queued(demand);
        worker.publish(state, account, now);
        if let Some(taken) = taken {
            worker.withdraw(state, now, &taken.reservation);
        } else if !spot.leases
            && self.load_account(state) != Some(account)
            && state.waiting.is_next(self.ticket(), account, now.mono_ns)
            // Room may have been made before anybody could know that somebody waits.
            && let Ok(Decision::Admit(admission)) = self.admit(state, now, &demand)
        {
            if self.overtakes(state, &admission).is_none() {
                self.leave_line(state, true, now);
                return Some(self.pass_or_hold(state, admission, demand));
            }
            worker.withdraw(state, now, &admission.reservation);
        }
        state.waiting.arm(now.mono_ns, false);
        count::waits(state, if spot.leases { "leased" } else { "queued" });
        Some(Action::Pause)
    }

    /// Where somebody as urgent as this request already waits for one of its accounts, here or elsewhere, it must not
    /// overtake: that account.
    pub(super) fn overtakes(&self, state: &State, admission: &Admission) -> Option<u64> {
        if !self.worker.policy.queues {
            return None;
        }
        let now = self.decided;
        let mine = Rank { level: self.place(state, 0).priority.into(), since_ns: now.mono_ns };
        let accounts = || admission.reservation.accounts().chain(self.load_account(state));
        let mut lines = self.worker.lines_elsewhere(state, now, accounts());
        lines.extend(accounts().filter_map(|account| {
            let rank = state.waiting.rank_of_others(self.ticket(), account, now.mono_ns)?;
            Some((account, rank))
        }));
        lines.into_iter().find(|(_, line)| line.before(&mine)).map(|(account, _)| account)
    }

    /// Lets go of its place in line, and tells the other workers.
    fn leave_line(&self, state: &mut State, served: bool, now: Now) {
        if let Some(Some(place)) = state.waiting.leave(self.ticket(), served) {
            self.worker.publish(state, place.account, now);
        }
    }

    /// The time a held request was told has come.
    pub fn time_has_come(&mut self) {
        match core::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Held(admission, demand) if host::speak_of(self.id).is_ok() => {
                let worker = Rc::clone(&self.worker);
                self.go_on(&mut worker.state.borrow_mut(), admission, demand);
            }
            phase => self.phase = phase,
        }
    }

    /// Tries a request again that is the head of the line `at` an account, and ranks so.
    pub fn try_again(&mut self, at: u64, now: Now, rank: Option<Rank>) -> Tried {
        let worker = Rc::clone(&self.worker);
        let state = &mut *worker.state.borrow_mut();
        let Phase::Queued(demand) = self.phase else {
            state.waiting.leave(self.ticket(), false);
            return Tried::Gone;
        };
        if host::speak_of(self.id).is_err() {
            state.waiting.leave(self.ticket(), false);
            return Tried::Gone;
        }
        if let Some(at) = self.loaded_at(state, at, now, rank) {
            return Tried::Waits(Spot::at(&worker.policy, at, LOOK_NS));
        }
        match self.admit(state, now, &demand) {
            Ok(Decision::Admit(admission)) => {
                let accounts = admission.reservation.accounts().chain(self.load_account(state));
                let elsewhere = worker.lines_elsewhere(state, now, accounts);
                let first =
                    elsewhere.into_iter().find(|(_, other)| rank.is_some_and(|rank| other.before(&rank)));
                if let Some((at, _)) = first {
                    worker.withdraw(state, now, &admission.reservation);
                    return Tried::Waits(Spot::at(&worker.policy, at, POLL_NS));
                }
                state.waiting.leave(self.ticket(), true);
                if self.load_account(state) == Some(at) {
                    state.load.goes();
                }
                self.release(state, now, admission, demand);
                Tried::WentOn
            }
            Ok(Decision::Refuse(refusal)) if refusal.queueable => {
                Tried::Waits(Spot::of(&worker.policy, &refusal))
            }
            Ok(Decision::Refuse(refusal)) => {
                state.waiting.leave(self.ticket(), true);
                self.decided = now;
                self.refuse(state, Rejection::Limit(&refusal));
                Tried::WentOn
            }
            Err(undecided) => {
                warn!("undecided: {undecided}");
                Tried::Undecided
            }
        }
    }

    /// A request has waited in line for as long as it may: it has left the room and gets a last try.
    pub fn too_late(&mut self, now: Now) {
        let worker = Rc::clone(&self.worker);
        let state = &mut *worker.state.borrow_mut();
        let Phase::Queued(demand) = self.phase else { return };
        if host::speak_of(self.id).is_err() {
            return;
        }
        if self.waits_for_load() && self.is_too_loaded(state, now, true) {
            self.refuse(state, OVERLOADED);
            state.metrics.count("tollgate_waited_in_vain", 1);
            return;
        }
        match self.admit_last(state, now, &demand) {
            Ok(Decision::Admit(admission)) => return self.release(state, now, admission, demand),
            Ok(Decision::Refuse(refusal)) => {
                self.decided = now;
                self.refuse(state, Rejection::Limit(&refusal));
            }
            Err(_) => {
                self.refuse(state, Rejection::Undecided);
            }
        }
        state.metrics.count("tollgate_waited_in_vain", 1);
    }

    /// A request that waited in line has been admitted: it goes on, or is kept until what it booked is there.
    fn release(&mut self, state: &mut State, now: Now, admission: Admission, demand: Demand) {
        self.waited_ns += now.mono_ns.saturating_sub(self.decided.mono_ns);
        self.decided = now;
        if admission.delay_ns > 0 {
            self.hold(state, admission, demand);
        } else {
            self.go_on(state, admission, demand);
        }
    }

    fn go_on(&mut self, state: &mut State, admission: Admission, demand: Demand) {
        self.waited_ns += admission.delay_ns;
        state.metrics.record("tollgate_wait_ms", self.waited_ns / 1_000_000);
        self.pass(state, admission, demand);
        if let Err(failed) = host::resume_request() {
            warn!("a request that waited could not go on: status {}", failed.0);
        }
    }

    /// The stream has ended while it waited: nothing of it is left.
    pub(super) fn leave(&self, state: &mut State, admission: Option<&Admission>) {
        let now = host::now();
        self.leave_line(state, false, now);
        if let Some(admission) = admission {
            self.worker.withdraw(state, now, &admission.reservation);
        }
        state.metrics.count("tollgate_left_while_waiting", 1);
    }
}
