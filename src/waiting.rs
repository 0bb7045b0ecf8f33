//! Requests that wait in this worker: woken when their time has come, or when another request, here or in another
//! worker, has given something back.

use std::cell::RefCell;
use std::rc::Weak;

use hashbrown::HashMap;
use log::warn;
use tollgate_core::load;
use tollgate_core::room::{Bell, Bounds, Due, Full, Place, Rank, Room, Ticket};
use tollgate_core::time::Now;

use crate::host::{self, Queue};
use crate::stream::{Spot, Stream, Tried};
use crate::sync::Link;
use crate::worker::{State, Worker};

/// Between two ticks when nobody waits: short enough for metrics and batches, 0.2 % of a core for all VMs together.
pub const IDLE_TICK_NS: u64 = 200_000_000;

/// Where nobody waits: a message about it only wakes the root.
const ROOT: u64 = 0;

const MILLISECOND_NS: u64 = 1_000_000;

/// Messages taken from the queue at once. More are left for the next wake-up that they have brought themselves.
const RINGS_MAX: usize = 1000;

/// A request that could not be decided is tried again after this time.
const UNDECIDED_NS: u64 = 10 * MILLISECOND_NS;

/// This worker's waiting room, and how it is woken.
pub struct Waiting {
    room: Room,
    streams: HashMap<Ticket, Weak<RefCell<Stream>>>,
    queue: Option<Queue>,
    /// When the next tick comes, as far as it is known.
    tick_ns: u64,
    period_ns: u64,
    /// There is more to do than one tick may: the next comes at once.
    pub hurries: bool,
}

impl Waiting {
    /// An empty room. `name` is this worker's alone.
    pub fn new(bounds: Bounds, name: &str) -> Self {
        let queue = host::register_queue(name)
            .inspect_err(|failed| warn!("no queue to be woken by: status {}", failed.0))
            .ok();
        let (room, streams) = (Room::new(bounds), HashMap::new());
        Self { room, streams, queue, tick_ns: 0, period_ns: 0, hurries: false }
    }

    /// Takes in a request that may go on at `due_ns`.
    pub fn pace(
        &mut self,
        (ticket, stream): (Ticket, &Weak<RefCell<Stream>>),
        consumer: u64,
        bytes: u64,
        due_ns: u64,
    ) -> Result<(), Full> {
        self.room.pace(ticket, consumer, bytes, due_ns)?;
        self.streams.insert(ticket, Weak::clone(stream));
        Ok(())
    }

    /// Takes in a request that waits in line.
    pub fn queue(
        &mut self,
        (ticket, stream): (Ticket, &Weak<RefCell<Stream>>),
        place: Place,
        bytes: u64,
        now_ns: u64,
        times: (u64, u64),
    ) -> Result<(), Full> {
        self.room.queue(ticket, place, bytes, now_ns, times)?;
        self.streams.insert(ticket, Weak::clone(stream));
        Ok(())
    }

    /// Lets a request out; see [`Room::leave`].
    pub fn leave(&mut self, ticket: Ticket, served: bool) -> Option<Option<Place>> {
        self.streams.remove(&ticket);
        self.room.leave(ticket, served)
    }

    /// True when this request is the next in its line.
    pub fn is_next(&self, ticket: Ticket, account: u64, now_ns: u64) -> bool {
        self.room.next(account, now_ns) == Some(ticket)
    }

    /// How urgent an account's line is, but for this request.
    pub fn rank_of_others(&self, ticket: Ticket, account: u64, now_ns: u64) -> Option<Rank> {
        if self.is_next(ticket, account, now_ns) { None } else { self.room.rank(account, now_ns) }
    }

    /// Has the next tick come when something is due, and no sooner than that or the idle tick.
    ///
    /// Envoy's timer starts anew whenever it is set, and fires up to two milliseconds late; it can't be set finer than
    /// to a millisecond. So it is set for each moment something is due, and no tick is spent on waiting.
    pub fn arm(&mut self, now_ns: u64, after_tick: bool) {
        let idle_ns = now_ns + IDLE_TICK_NS;
        let due_ns = self.room.next_due_ns().map_or(idle_ns, |due_ns| due_ns.min(idle_ns));
        let due_ns = if self.hurries { now_ns } else { due_ns };
        if !after_tick && self.tick_ns <= due_ns {
            return;
        }
        let period_ms = due_ns.saturating_sub(now_ns).div_ceil(MILLISECOND_NS).max(1);
        let period_ns = period_ms * MILLISECOND_NS;
        // After a tick Envoy starts the timer again with the period it has.
        let again = after_tick && period_ns == self.period_ns;
        if !again && let Err(failed) = host::tick_every(period_ms as u32) {
            warn!("no tick in {period_ms} ms: status {}", failed.0);
        }
        (self.tick_ns, self.period_ns) = (now_ns + period_ns, period_ns);
    }
}

impl Worker {
    /// Does what is due: from a tick.
    pub fn wake_due(&self) {
        loop {
            let now = host::now();
            let (due, stream) = {
                let waiting = &mut self.state.borrow_mut().waiting;
                let Some(due) = waiting.room.due(now.mono_ns) else { break };
                let stream = match due {
                    Due::Go(ticket) | Due::Late(ticket, _) => waiting.streams.remove(&ticket),
                    Due::Look(_) => None,
                };
                (due, stream.and_then(|stream| stream.upgrade()))
            };
            match (due, stream) {
                (Due::Look(account), _) => self.serve(account),
                (Due::Go(_), Some(stream)) => stream.borrow_mut().time_has_come(),
                (Due::Late(_, account), stream) => {
                    if let Some(stream) = stream {
                        stream.borrow_mut().too_late(now);
                    }
                    self.serve(account);
                }
                // Its stream is gone, and has left when it went.
                (Due::Go(_), None) => {}
            }
        }
        self.speak_of_root();
    }

    /// Somebody has given something back that requests of this worker wait for: from the queue.
    pub fn rung(&self) {
        let Some(queue) = self.state.borrow().waiting.queue else { return };
        let mut accounts: Vec<u64> = Vec::new();
        let load_account = self.load_account(&self.state.borrow());
        for _ in 0..RINGS_MAX {
            let Some(message) = host::dequeue(queue) else { break };
            let account = message.try_into().map(u64::from_le_bytes).unwrap_or_default();
            if load_account == Some(account) {
                self.state.borrow_mut().load.made_room(1);
            }
            if !accounts.contains(&account) {
                accounts.push(account);
            }
        }
        for account in accounts.into_iter().filter(|account| *account != ROOT) {
            self.serve(account);
        }
        self.speak_of_root();
        let state = &mut *self.state.borrow_mut();
        Link::ask(self, state, host::now());
        state.waiting.arm(host::now().mono_ns, false);
    }

    /// Has this worker's own root called, from a stream's callback.
    pub fn ring_root(&self, state: &State) {
        // Without a queue the next tick does.
        let Some(queue) = state.waiting.queue else { return };
        if let Err(failed) = host::enqueue(queue, &ROOT.to_le_bytes()) {
            warn!("the root could not be woken: status {}", failed.0);
        }
    }

    /// The ledger has answered about a lease: whoever waits for it looks again, here and in the other workers.
    pub fn lease_came(&self, line: u64) {
        {
            let state = self.state.borrow();
            let bell = Bell::load(&self.store).unwrap_or_default();
            for other in bell.all(line, host::now().mono_s(), state.limiter.owner()) {
                if let Err(failed) = host::enqueue(Queue(other.queue), &line.to_le_bytes()) {
                    warn!("a worker could not be woken: status {}", failed.0);
                }
            }
            if state.waiting.room.next(line, host::now().mono_ns).is_none() {
                return;
            }
        }
        self.serve(line);
        self.speak_of_root();
        let state = &mut *self.state.borrow_mut();
        state.waiting.arm(host::now().mono_ns, false);
    }

    /// Lets those in line for an account go on, in their order, for as long as there is room.
    fn serve(&self, account: u64) {
        loop {
            let now = host::now();
            let next = {
                let waiting = &mut self.state.borrow_mut().waiting;
                let next = waiting.room.next(account, now.mono_ns);
                next.map(|ticket| (ticket, waiting.streams.get(&ticket).and_then(Weak::upgrade)))
            };
            let Some((ticket, stream)) = next else { break };
            let Some(stream) = stream else {
                self.state.borrow_mut().waiting.leave(ticket, false);
                continue;
            };
            let rank = self.state.borrow().waiting.room.rank(account, now.mono_ns);
            let tried = stream.borrow_mut().try_again(account, now, rank);
            let state = &mut *self.state.borrow_mut();
            let room = &mut state.waiting.room;
            let Spot { account: at, wait_ns, patience_ns, .. } = match tried {
                Tried::WentOn | Tried::Gone => continue,
                Tried::Waits(spot) => spot,
                Tried::Undecided => Spot::at(&self.policy, account, UNDECIDED_NS),
            };
            let look_ns = now.mono_ns.saturating_add(wait_ns);
            if at == account {
                room.look_by(account, look_ns, now.mono_ns);
                break;
            }
            room.move_to(ticket, at, now.mono_ns, (look_ns, patience_ns));
            self.publish(state, at, now);
        }
        let state = &mut *self.state.borrow_mut();
        let rank = self.publish(state, account, host::now());
        if rank.is_none() {
            // What is left may do for those who wait elsewhere.
            self.ring(state, account);
        }
    }

    /// Tells the other workers how urgent this one's line for an account is.
    pub fn publish(&self, state: &mut State, account: u64, now: Now) -> Option<Rank> {
        let rank = state.waiting.room.rank(account, now.mono_ns);
        let queue = state.waiting.queue.map_or(0, |queue| queue.0);
        let owner = state.limiter.owner();
        match Bell::publish(&self.store, account, owner, queue, rank, now.mono_s()) {
            Ok(true) => {}
            Ok(false) => state.metrics.count("tollgate_bell_full", 1),
            Err(undecided) => warn!("a line is not known to other workers: {undecided}"),
        }
        rank
    }

    /// Wakes the worker whose line for an account is the most urgent.
    pub fn ring(&self, state: &mut State, account: u64) {
        match Bell::load(&self.store) {
            Ok(bell) => {
                let first = bell.first(account, host::now().mono_s(), None);
                if let Some(first) = first.filter(|first| first.queue != 0) {
                    if let Err(failed) = host::enqueue(Queue(first.queue), &account.to_le_bytes()) {
                        warn!("a worker could not be woken: status {}", failed.0);
                    }
                    state.metrics.count("tollgate_rings", 1);
                }
            }
            Err(error) => warn!("nobody could be woken: {error}"),
        }
    }

    /// The account at which requests wait for the load to fall, where any do.
    pub fn load_account(&self, state: &State) -> Option<u64> {
        let line = self.policy.load.as_ref().is_some_and(|load| load.has_line);
        line.then(|| load::account(&state.limiter.process().key))
    }

    /// A request has ended: whoever waits for the load to fall may take its place.
    pub fn ring_for_load(&self, state: &mut State) {
        if let Some(account) = self.load_account(state) {
            self.ring(state, account);
        }
    }

    /// How urgent the other workers' lines for these accounts are.
    pub fn lines_elsewhere(
        &self,
        state: &State,
        now: Now,
        accounts: impl Iterator<Item = u64>,
    ) -> Vec<(u64, Rank)> {
        // A register that can't be read stops nobody.
        let bell = Bell::load(&self.store).unwrap_or_default();
        if bell.is_empty() {
            return Vec::new();
        }
        let me = Some(state.limiter.owner());
        accounts.filter_map(|account| Some((account, bell.first(account, now.mono_s(), me)?.rank))).collect()
    }

    /// Has the calls that follow speak of the root again.
    pub fn speak_of_root(&self) {
        if host::speak_of(self.root).is_err() {
            warn!("the root context is gone");
        }
    }
}
