//! The waiting room of one worker: requests that were told when they may go on, and requests in line for an account.
//!
//! It only knows tickets, times and places; who holds a ticket and whether an account has room again is asked outside.
//! The road not taken is one room for all workers in shared data: a request can only go on in the thread it came in,
//! so that thread must know it anyway. What workers share is who waits for what: see [`Bell`].

mod bell;
mod line;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use hashbrown::HashMap;

pub use bell::{Bell, Caller};
use line::Line;
pub use line::{PROMOTED, Place, Rank};

/// A request that waits, by the number its stream has in this worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u32);

/// An account that had no room is looked at again after this time even if nobody rang: a bell may be lost with the
/// worker that should have rung it.
pub const POLL_NS: u64 = 1_000_000_000;

/// How much may wait, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Requests in one worker.
    pub length: usize,
    /// Requests of one consumer in one worker.
    pub per_consumer: usize,
    /// Bytes of request bodies held in one worker.
    pub bytes: u64,
    /// Longest wait in line, in nanoseconds.
    pub wait_ns: u64,
    /// Whoever has waited so long goes before every priority, in nanoseconds.
    pub promote_ns: u64,
}

/// There is no room for another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// This request has waited as long as it was told to, and has left the room.
    Go(Ticket),
    /// This request has waited too long in line for this account, and has left the room.
    Late(Ticket, u64),
    /// It is time to look whether this account has room.
    Look(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    Ticket(Ticket),
    Account(u64),
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    consumer: u64,
    bytes: u64,
    alarm_ns: u64,
    /// Its place in line and when it came; None for those that were told when to go on.
    line: Option<(Place, u64)>,
}

/// The waiting room. Every operation is O(log n) but for a consumer's own list.
#[derive(Debug)]
pub struct Room {
    bounds: Bounds,
    waiters: HashMap<Ticket, Waiter>,
    consumers: HashMap<u64, usize>,
    bytes: u64,
    lines: HashMap<u64, Line>,
    looks: HashMap<u64, u64>,
    alarms: BTreeSet<(u64, Alarm)>,
}

impl Room {
    /// An empty room.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            waiters: HashMap::new(),
            consumers: HashMap::new(),
            bytes: 0,
            lines: HashMap::new(),
            looks: HashMap::new(),
            alarms: BTreeSet::new(),
        }
    }

    /// Requests in the room.
    pub fn len(&self) -> usize {
        self.waiters.len()
    }

    /// True when nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Requests in line, without those that were told when to go on.
    pub fn in_line(&self) -> usize {
        self.lines.values().map(Line::len).sum()
    }

    /// Takes in a request that may go on at `due_ns`.
    ///
    /// # Errors
    /// [`Full`]: it was not taken in.
    pub fn pace(&mut self, ticket: Ticket, consumer: u64, bytes: u64, due_ns: u64) -> Result<(), Full> {
        self.take_in(ticket, Waiter { consumer, bytes, alarm_ns: due_ns, line: None })
    }

    /// Takes in a request that waits in line for `patience_ns` at most, to be looked at again by `look_ns` at the latest.
    ///
    /// # Errors
    /// [`Full`]: it was not taken in.
    pub fn queue(
        &mut self,
        ticket: Ticket,
        place: Place,
        bytes: u64,
        now_ns: u64,
        (look_ns, patience_ns): (u64, u64),
    ) -> Result<(), Full> {
        let alarm_ns = now_ns.saturating_add(patience_ns);
        let line = Some((place, now_ns));
        self.take_in(ticket, Waiter { consumer: place.consumer, bytes, alarm_ns, line })?;
        self.lines.entry(place.account).or_default().enter(ticket, &place, now_ns);
        self.look_by(place.account, look_ns, now_ns);
        Ok(())
    }

    fn take_in(&mut self, ticket: Ticket, waiter: Waiter) -> Result<(), Full> {
        let own = self.consumers.get(&waiter.consumer).copied().unwrap_or(0);
        let full = self.waiters.len() >= self.bounds.length
            || own >= self.bounds.per_consumer
            || self.bytes.saturating_add(waiter.bytes) > self.bounds.bytes
            || self.waiters.contains_key(&ticket);
        if full {
            return Err(Full);
        }
        self.bytes += waiter.bytes;
        self.consumers.insert(waiter.consumer, own + 1);
        self.alarms.insert((waiter.alarm_ns, Alarm::Ticket(ticket)));
        self.waiters.insert(ticket, waiter);
        Ok(())
    }

    /// The request goes away: served, or given up. Returns its place if it was in line, None within if it was told
    /// when to go on, and None if it does not wait at all.
    pub fn leave(&mut self, ticket: Ticket, served: bool) -> Option<Option<Place>> {
        let waiter = self.waiters.remove(&ticket)?;
        self.alarms.remove(&(waiter.alarm_ns, Alarm::Ticket(ticket)));
        self.bytes -= waiter.bytes;
        if let Some(own) = self.consumers.get_mut(&waiter.consumer) {
            *own -= 1;
            if *own == 0 {
                self.consumers.remove(&waiter.consumer);
            }
        }
        let Some((place, entered_ns)) = waiter.line else { return Some(None) };
        self.leave_line(ticket, &place, entered_ns, served);
        Some(Some(place))
    }

    fn leave_line(&mut self, ticket: Ticket, place: &Place, entered_ns: u64, served: bool) {
        let Some(line) = self.lines.get_mut(&place.account) else { return };
        line.leave(ticket, place, entered_ns, served);
        if line.is_empty() {
            self.lines.remove(&place.account);
            if let Some(look_ns) = self.looks.remove(&place.account) {
                self.alarms.remove(&(look_ns, Alarm::Account(place.account)));
            }
        }
    }

    /// Another account has no room for the request now: it stands there, as long as it has waited already, for
    /// `patience_ns` of waiting in all.
    pub fn move_to(&mut self, ticket: Ticket, account: u64, now_ns: u64, (look_ns, patience_ns): (u64, u64)) {
        let Some(waiter) = self.waiters.get_mut(&ticket) else { return };
        let Some((place, entered_ns)) = waiter.line else { return };
        let moved = Place { account, ..place };
        waiter.line = Some((moved, entered_ns));
        self.alarms.remove(&(waiter.alarm_ns, Alarm::Ticket(ticket)));
        waiter.alarm_ns = entered_ns.saturating_add(patience_ns);
        self.alarms.insert((waiter.alarm_ns, Alarm::Ticket(ticket)));
        self.leave_line(ticket, &place, entered_ns, false);
        self.lines.entry(account).or_default().enter(ticket, &moved, entered_ns);
        self.look_by(account, look_ns, now_ns);
    }

    /// Who is next in line for the account.
    pub fn next(&self, account: u64, now_ns: u64) -> Option<Ticket> {
        let line = self.lines.get(&account)?;
        line.next(now_ns, self.bounds.promote_ns).map(|(ticket, _)| ticket)
    }

    /// How urgent the account's line is.
    pub fn rank(&self, account: u64, now_ns: u64) -> Option<Rank> {
        let (ticket, promoted) = self.lines.get(&account)?.next(now_ns, self.bounds.promote_ns)?;
        let (place, since_ns) = self.waiters.get(&ticket)?.line?;
        Some(Rank { level: if promoted { PROMOTED } else { place.priority.into() }, since_ns })
    }

    /// Has the account looked at by then, within [`POLL_NS`] in any case, and when somebody in line is promoted.
    pub fn look_by(&mut self, account: u64, look_ns: u64, now_ns: u64) {
        let oldest_ns = self.lines.get(&account).and_then(Line::oldest_ns);
        let promotion_ns = oldest_ns.map(|oldest_ns| oldest_ns.saturating_add(self.bounds.promote_ns));
        let promotion_ns = promotion_ns.filter(|promotion_ns| *promotion_ns > now_ns).unwrap_or(u64::MAX);
        let look_ns = look_ns.min(now_ns.saturating_add(POLL_NS)).min(promotion_ns);
        if let Some(old_ns) = self.looks.insert(account, look_ns) {
            self.alarms.remove(&(old_ns, Alarm::Account(account)));
        }
        self.alarms.insert((look_ns, Alarm::Account(account)));
    }

    /// When something is due next.
    pub fn next_due_ns(&self) -> Option<u64> {
        self.alarms.first().map(|(due_ns, _)| *due_ns)
    }

    /// Takes out what is due, one at a time. An account that was to be looked at is forgotten until
    /// [`Room::look_by`] is called for it again.
    pub fn due(&mut self, now_ns: u64) -> Option<Due> {
        let (due_ns, alarm) = *self.alarms.first()?;
        if due_ns > now_ns {
            return None;
        }
        self.alarms.pop_first();
        match alarm {
            Alarm::Account(account) => {
                self.looks.remove(&account);
                Some(Due::Look(account))
            }
            Alarm::Ticket(ticket) => match self.leave(ticket, false) {
                Some(Some(place)) => Some(Due::Late(ticket, place.account)),
                _ => Some(Due::Go(ticket)),
            },
        }
    }
}
