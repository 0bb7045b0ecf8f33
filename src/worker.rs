//! What the streams of one VM share: the policy, the hand on the balances, and what waits for the next tick.

use std::cell::RefCell;
use std::rc::Weak;

use log::{error, warn};
use tollgate_core::billing::{Calibration, Predictor};
use tollgate_core::decided::Decided;
use tollgate_core::limit::Owner;
use tollgate_core::limiter::{Amounts, Limiter, Reservation, Status, Undecided};
use tollgate_core::load::{self, Load, Others};
use tollgate_core::outbox::Outbox;
use tollgate_core::policy::{Overrides, Policy};
use tollgate_core::record::Guids;
use tollgate_core::time::{NANOS_PER_SECOND, Now};
use tollgate_wire::TallyOf;

use crate::host::{self, SharedData};
use crate::memory::HOLD_EVERY_NS;
use crate::metrics::Metrics;
use crate::stream::Stream;
use crate::sync::Link;
use crate::waiting::{IDLE_TICK_NS, Waiting};

/// Settlements that wait for another try. Each is a request whose balance others kept changing; beyond it the hold
/// stays until this VM ends, which is on the safe side.
const UNSETTLED_MAX: usize = 10_000;

/// Room for the JSON of most tallies.
const TALLY_BYTES: usize = 512;

/// Time between two rounds of chores: a little less than an idle tick, which comes a little late or early.
const CHORES_NS: u64 = IDLE_TICK_NS - IDLE_TICK_NS / 20;

/// One VM's worker.
pub struct Worker {
    /// The configuration.
    pub policy: Policy,
    /// The balances.
    pub store: SharedData,
    /// The root context's number.
    pub root: u32,
    /// What changes.
    pub state: RefCell<State>,
}

/// What changes from request to request.
pub struct State {
    /// The hand on the balances.
    pub limiter: Limiter,
    /// How long answers are.
    pub predictor: Predictor,
    /// How far estimates of input are off.
    pub calibration: Calibration,
    /// Tallies for the ledger.
    pub outbox: Outbox,
    /// Sums for Envoy's statistics.
    pub metrics: Metrics,
    /// GUIDs of transactions.
    pub guids: Guids,
    /// What operators changed since the configuration was read.
    pub overrides: Overrides,
    /// Where it follows from.
    pub decided: Decided,
    /// The way to the ledger.
    pub link: Option<Link>,
    /// How loaded the models are, as this worker knows it.
    pub load: Load,
    /// The same as the other workers know it.
    pub others: Others,
    /// Requests that wait.
    pub waiting: Waiting,
    /// Streams whose answers were ended: what still comes of them is in vain.
    pub ended: Vec<Weak<RefCell<Stream>>>,
    unsettled: Vec<(Reservation, Amounts)>,
    last_beat_ns: u64,
    last_chores_ns: u64,
    last_hold_ns: u64,
    jitter: u64,
}

impl Worker {
    /// Joins the process's other workers.
    ///
    /// # Errors
    /// When shared data can't be used.
    pub fn start(policy: Policy, root: u32) -> Result<Self, Undecided> {
        let store = SharedData::new(&policy.name);
        let now = host::now();
        // Zero owns nothing; a random owner is never used twice.
        let owner = Owner(u32::from_le_bytes(host::random()) | 1);
        let limiter = Limiter::join(&policy, &store, host::random(), owner, now)?;
        limiter.prepare(&store)?;
        let vm = u64::from_le_bytes(host::random());
        let link = policy.ledger.as_ref().map(|_| Link::new(limiter.process().id, vm, &policy, now));
        let waiting = Waiting::new(policy.room, &format!("tollgate.{vm:016x}"));
        let state = State {
            calibration: Calibration::new(limiter.process().key),
            limiter,
            predictor: Predictor::default(),
            outbox: Outbox::default(),
            metrics: Metrics::default(),
            guids: Guids::new(vm),
            overrides: Overrides::default(),
            decided: Decided::default(),
            link,
            load: Load::default(),
            others: Others::default(),
            waiting,
            ended: Vec::new(),
            unsettled: Vec::new(),
            last_beat_ns: now.mono_ns,
            last_chores_ns: now.mono_ns,
            last_hold_ns: now.mono_ns,
            jitter: vm,
        };
        Ok(Self { policy, store, root, state: RefCell::new(state) })
    }

    /// Settles a reservation, now or on a later tick. `statuses` is how the limits stood when it was made.
    pub fn settle(
        &self,
        state: &mut State,
        now: Now,
        reservation: Reservation,
        statuses: &[Status],
        actual: &Amounts,
    ) {
        let accounts = self.accounts_waited_for(&reservation);
        let settled =
            state.limiter.settle_later(&self.policy, &self.store, now, reservation, statuses, actual);
        if let Err((rest, error)) = settled {
            state.metrics.count("tollgate_settle_retries", 1);
            if state.unsettled.len() < UNSETTLED_MAX {
                state.unsettled.push((rest, *actual));
            } else {
                error!("a reservation could not be settled and stays held: {error}");
            }
        }
        accounts.into_iter().for_each(|account| self.ring(state, account));
    }

    /// Takes back what a request was given that never went on.
    pub fn withdraw(&self, state: &mut State, now: Now, reservation: &Reservation) {
        let accounts = self.accounts_waited_for(reservation);
        if let Err(error) = state.limiter.withdraw(&self.policy, &self.store, now, reservation) {
            error!("a reservation could not be taken back and stays held: {error}");
        }
        accounts.into_iter().for_each(|account| self.ring(state, account));
    }

    /// The accounts of a reservation that somebody may wait for.
    fn accounts_waited_for(&self, reservation: &Reservation) -> Vec<u64> {
        if self.policy.queues { reservation.accounts().collect() } else { Vec::new() }
    }

    /// Enters a tally: as filter state for the access log, and for the ledger if there is one.
    pub fn enter(&self, state: &mut State, now: Now, tally: TallyOf<&str>) {
        let mut json = Vec::with_capacity(TALLY_BYTES);
        let written = serde_json::to_writer(&mut json, &tally);
        let (Ok(()), Ok(json)) = (written, String::from_utf8(json)) else {
            error!("tally {} could not be written", tally.id);
            return;
        };
        if host::set_property("tollgate.tally", json.as_bytes()).is_err() {
            state.metrics.count("tollgate_journal_failures", 1);
        }
        if self.policy.ledger.is_some() && !state.outbox.push(json, now.mono_ns) {
            state.metrics.count("tollgate_left_to_journal", 1);
        }
    }

    /// Wakes who has waited long enough, and does what is done a few times a second, off the requests' path.
    pub fn tick(&self) {
        self.wake_due();
        self.reset_ended();
        let state = &mut *self.state.borrow_mut();
        let now = host::now();
        if now.mono_ns.saturating_sub(state.last_chores_ns) >= CHORES_NS {
            state.last_chores_ns = now.mono_ns;
            self.chores(state, now);
        }
        state.waiting.arm(host::now().mono_ns, true);
    }

    /// Enters in shared data what was settled and waits.
    fn flush(&self, state: &mut State, now: Now) {
        if let Err(error) = state.limiter.flush(&self.policy, &self.store, now) {
            warn!("settlements wait for the next tick: {error}");
        }
    }

    /// The VM ends: a new configuration has its own.
    pub fn end(&self) {
        self.flush(&mut self.state.borrow_mut(), host::now());
    }

    /// Resets a stream whose answer was ended: its last bytes are on their way.
    ///
    /// One at a time: the reset of a stream may make Envoy close others of its connection, before the next is reset.
    fn reset_ended(&self) {
        let mut more = true;
        while more {
            let ended = self.state.borrow_mut().ended.pop();
            more = ended.is_some();
            if ended.and_then(|stream| stream.upgrade()).is_some_and(|stream| stream.borrow().reset()) {
                self.speak_of_root();
                break;
            }
        }
        let state = &mut *self.state.borrow_mut();
        state.waiting.hurries = !state.ended.is_empty();
    }

    fn chores(&self, state: &mut State, now: Now) {
        if let Some(policy) = &self.policy.load {
            self.exchange_load(policy, state, now);
        }
        if now.mono_ns.saturating_sub(state.last_beat_ns) >= NANOS_PER_SECOND {
            match state.limiter.beat(&self.store, now) {
                Ok(()) => state.last_beat_ns = now.mono_ns,
                Err(error) => warn!("no heartbeat: {error}"),
            }
            if let Err(error) = state.calibration.share(&self.store) {
                warn!("calibration is not shared: {error}");
            }
        }
        for (reservation, actual) in core::mem::take(&mut state.unsettled) {
            self.settle(state, now, reservation, &[], &actual);
        }
        self.flush(state, now);
        state.metrics.flush();
        state.decided.tick(&mut state.overrides, now.wall_ms());
        if now.mono_ns.saturating_sub(state.last_hold_ns) >= HOLD_EVERY_NS {
            state.last_hold_ns = now.mono_ns;
            self.hold_memory(state, now);
        }
        if let Err(error) = state.limiter.look_after_leases(&self.policy, &self.store, now) {
            warn!("leases wait for the next tick: {error}");
        }
        Link::ask(self, state, now);
        Link::tick(self, state, now);
    }
}

impl Worker {
    fn exchange_load(&self, policy: &load::Policy, state: &mut State, now: Now) {
        state.load.turn();
        // Who lost the race tells its load the next time.
        let Ok((others, changed)) =
            Others::exchange(&self.store, policy, state.limiter.owner(), &state.load, now.mono_ns)
        else {
            return;
        };
        let tight = others.strain().tightens();
        if changed {
            let to = if tight { "tight" } else { "relaxed" };
            state.metrics.count_labelled("tollgate_limits_changed", &[("kind", to)], 1);
        }
        state.limiter.tighten(tight);
        state.others = others;
    }
}

impl State {
    /// A number that is different every time, for spreading waits.
    pub fn jitter(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014): quality enough for spreading, and no host call.
        self.jitter = self.jitter.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.jitter ^ (self.jitter >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    }
}
