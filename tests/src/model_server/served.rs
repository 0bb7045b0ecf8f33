//! The log of what the model server was sent and what it billed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// Most requests kept; the oldest go first.
const SERVED_MAX: usize = 50_000;

/// What the model server bills for one request. The input classes are disjoint; reasoning is a part of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelUsage {
    /// Input tokens neither read from nor written to the cache.
    pub input: u64,
    /// Input tokens read from the cache.
    pub cache_read: u64,
    /// Input tokens written to the cache.
    pub cache_write: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// The part of the output spent on reasoning.
    pub reasoning: u64,
}

/// One request the model server got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// Its number since the start, from 1.
    pub number: u64,
    /// HTTP method.
    pub method: String,
    /// Path and query as received.
    pub path: String,
    /// Headers as received, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as received, as text.
    pub body: String,
    /// Length of the body in bytes.
    pub body_bytes: usize,
    /// The status answered; 0 while there is none.
    pub status: u16,
    /// What it bills: all of the prompt, and of the answer what was generated before the client went away.
    pub usage: ModelUsage,
    /// The answer was written to its end.
    pub complete: bool,
    /// The client went away before the end.
    pub client_gone: bool,
}

impl Served {
    /// The value of a header; the first if there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The answer ended, one way or the other.
    pub fn ended(&self) -> bool {
        self.complete || self.client_gone
    }
}

/// How many requests are under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    /// Now.
    pub current: usize,
    /// The most at once since the start or the last reset.
    pub peak: usize,
}

#[derive(Default)]
struct Entries {
    served: BTreeMap<u64, Served>,
    last: u64,
    in_flight: InFlight,
}

/// The log, shared by all requests.
#[derive(Default)]
pub struct Log(Mutex<Entries>);

impl Log {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn served(&self) -> Vec<Served> {
        self.entries().served.values().cloned().collect()
    }

    pub(super) fn in_flight(&self) -> InFlight {
        self.entries().in_flight
    }

    pub(super) fn reset(&self) {
        let mut entries = self.entries();
        entries.served.clear();
        entries.in_flight.peak = entries.in_flight.current;
    }

    /// Enters a request; it counts as under way until the [`Exchange`] is dropped.
    pub(super) fn begin(self: &Arc<Self>, mut served: Served) -> Exchange {
        let mut entries = self.entries();
        entries.last += 1;
        let number = entries.last;
        served.number = number;
        entries.served.insert(number, served);
        if entries.served.len() > SERVED_MAX {
            entries.served.pop_first();
        }
        entries.in_flight.current += 1;
        entries.in_flight.peak = entries.in_flight.peak.max(entries.in_flight.current);
        drop(entries);
        Exchange { log: Arc::clone(self), number, complete: false }
    }
}

/// One request under way. Dropped before it is complete means that the client went away.
pub struct Exchange {
    log: Arc<Log>,
    number: u64,
    complete: bool,
}

impl Exchange {
    /// The request's number in the log.
    pub fn number(&self) -> u64 {
        self.number
    }

    fn update(&self, change: impl FnOnce(&mut Served)) {
        if let Some(served) = self.log.entries().served.get_mut(&self.number) {
            change(served);
        }
    }

    /// The headers are about to be answered.
    pub fn answered(&self, status: u16) {
        self.update(|served| served.status = status);
    }

    /// So much is billed so far.
    pub fn bill(&self, usage: ModelUsage) {
        self.update(|served| served.usage = usage);
    }

    /// The answer was handed over to its last byte.
    pub fn complete(&mut self) {
        self.complete = true;
        self.update(|served| served.complete = true);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.complete {
            self.update(|served| served.client_gone = true);
        }
        self.log.entries().in_flight.current -= 1;
    }
}
