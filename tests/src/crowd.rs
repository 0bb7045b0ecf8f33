//! Clients that ask on and on, each as somebody new every time, so that every request can be found in the books by its
//! consumer; and the comparison of the books with what the model server served.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tollgate_wire::{Outcome, Tally};

use crate::http_client::Call;
use crate::model_server::{ModelUsage, Served};
use crate::scene::OPENAI_MODEL;
use crate::wait;

/// A client's pause between two requests: a crowd is to be there, not to measure anything.
const PAUSE: Duration = Duration::from_millis(10);

/// The team that every third request is of.
pub const CAPPED: &str = "capped";

/// Clients at work.
pub struct Crowd {
    stop: watch::Sender<bool>,
    clients: JoinSet<Asked>,
    so_far: Arc<SoFar>,
    gates: Arc<Mutex<Vec<SocketAddr>>>,
}

/// What all clients together have seen.
#[derive(Debug, Default)]
struct SoFar {
    answered: AtomicU64,
    /// With 429.
    refused: AtomicU64,
}

/// What became of their requests, by what the client saw.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The whole answer came.
    pub answered: Vec<Ask>,
    /// Another status than 200 came, which is told with it.
    pub refused: Vec<(Ask, u16)>,
    /// The connection broke, or could not be made.
    pub broken: Vec<Ask>,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Who asked.
    pub consumer: String,
    /// Which Envoy.
    pub gate: SocketAddr,
    /// Of the team [`CAPPED`].
    pub capped: bool,
}

impl Asked {
    /// The Envoy that a consumer asked; nobody asks twice.
    pub fn gates(&self) -> HashMap<&str, SocketAddr> {
        let refused = self.refused.iter().map(|(ask, _)| ask);
        let all = self.answered.iter().chain(&self.broken).chain(refused);
        all.map(|ask| (ask.consumer.as_str(), ask.gate)).collect()
    }
}

impl Crowd {
    /// So many clients, who ask these Envoys in turn.
    pub fn start(clients: usize, gates: Vec<SocketAddr>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (so_far, gates) = (Arc::<SoFar>::default(), Arc::new(Mutex::new(gates)));
        let clients = (0..clients)
            .map(|client| ask_on(client, Arc::clone(&gates), stopped.clone(), Arc::clone(&so_far)))
            .collect();
        Self { stop, clients, so_far, gates }
    }

    /// Another Envoy is in the place of one.
    pub fn replace(&self, old: SocketAddr, new: SocketAddr) {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.iter_mut().filter(|gate| **gate == old).for_each(|gate| *gate = new);
    }

    /// Requests that were answered so far.
    pub fn answered(&self) -> u64 {
        self.so_far.answered.load(Ordering::Relaxed)
    }

    /// Waits until somebody was refused because a limit was used up.
    pub async fn wait_for_refusal(&self) {
        wait::until_true("a refusal with 429", || self.so_far.refused.load(Ordering::Relaxed) > 0).await;
    }

    /// Waits until so many more were answered.
    pub async fn wait_for(&self, more: u64) {
        let goal = self.answered() + more;
        wait::until_true("answers", || self.answered() >= goal).await;
    }

    /// Sends everybody home; each still waits for its last answer.
    pub async fn end(self) -> Asked {
        let _ = self.stop.send(true);
        let mut all = Asked::default();
        for asked in self.clients.join_all().await {
            all.answered.extend(asked.answered);
            all.refused.extend(asked.refused);
            all.broken.extend(asked.broken);
        }
        all
    }
}

async fn ask_on(
    client: usize,
    gates: Arc<Mutex<Vec<SocketAddr>>>,
    stopped: watch::Receiver<bool>,
    so_far: Arc<SoFar>,
) -> Asked {
    let mut asked = Asked::default();
    for turn in 0.. {
        if *stopped.borrow() {
            break;
        }
        let gate = {
            let gates = gates.lock().unwrap_or_else(PoisonError::into_inner);
            gates.get((client + turn) % gates.len().max(1)).copied()
        };
        let Some(gate) = gate else { break };
        let consumer = format!("c{client}-{turn}");
        let call = Call::openai(OPENAI_MODEL, 1 + turn % 7)
            .header("x-consumer", &consumer)
            .header("x-mock-output-tokens", 1 + (client * 31 + turn) % 50);
        let call = if turn % 3 == 0 { call.streamed() } else { call };
        let capped = turn % 3 == 2;
        let call = if capped { call.header("x-team", CAPPED) } else { call };
        let ask = Ask { consumer, gate, capped };
        match call.send(gate).await {
            Ok(answer) if answer.status == 200 => {
                so_far.answered.fetch_add(1, Ordering::Relaxed);
                asked.answered.push(ask);
            }
            Ok(answer) => {
                so_far.refused.fetch_add(u64::from(answer.status == 429), Ordering::Relaxed);
                asked.refused.push((ask, answer.status));
            }
            Err(_) => asked.broken.push(ask),
        }
        tokio::time::sleep(PAUSE).await;
    }
    asked
}

/// What the books say beside what the model server served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Requests that the model server answered to the end.
    pub served: u64,
    /// Those of them that are in the books, with exactly the usage that was served.
    pub in_books: u64,
    /// The consumers of those that are not.
    pub missing: Vec<String>,
    /// The tokens of the entries, and of what was served.
    pub tokens: (u64, u64),
}

/// Compares an audit trail with what the model server served to the end, consumer by consumer.
///
/// # Panics
/// If somebody is in the books twice, or with another usage than was served, or without having been served.
pub fn compare(entries: &[Tally], served: &[Served]) -> Compared {
    let mut by_consumer: HashMap<&str, &Tally> = HashMap::new();
    for entry in entries {
        let known = by_consumer.insert(&entry.consumer, entry);
        assert!(known.is_none(), "{} is in the books twice: {entry:?} and {known:?}", entry.consumer);
        assert_eq!(entry.requests, 1, "{entry:?}");
    }
    let mut compared = Compared::default();
    for served in served.iter().filter(|served| served.complete && served.status == 200) {
        let consumer = served.header("x-consumer").unwrap_or_default();
        compared.served += 1;
        compared.tokens.1 += tokens(&served.usage);
        match by_consumer.remove(consumer) {
            None => compared.missing.push(consumer.to_owned()),
            // Whoever went away in mid-answer is charged by estimate.
            Some(entry) if entry.outcome != Outcome::Ok => compared.in_books += 1,
            Some(entry) => {
                assert_eq!(usage(entry), served.usage, "{consumer}");
                compared.in_books += 1;
                compared.tokens.0 += tokens(&served.usage);
            }
        }
    }
    let strangers: Vec<&&Tally> = by_consumer.values().filter(|entry| entry.outcome == Outcome::Ok).collect();
    assert!(strangers.is_empty(), "in the books, but never served: {strangers:?}");
    compared
}

fn usage(entry: &Tally) -> ModelUsage {
    ModelUsage {
        input: entry.input.0,
        cache_read: entry.cache_read.0,
        cache_write: entry.cache_write.0,
        output: entry.output.0,
        reasoning: entry.reasoning.0,
    }
}

const fn tokens(usage: &ModelUsage) -> u64 {
    usage.input + usage.cache_read + usage.cache_write + usage.output
}

/// How many of these requests are in no books.
pub fn not_in_books(asked: &[Ask], entries: &[Tally]) -> usize {
    let known: HashSet<&str> = entries.iter().map(|entry| entry.consumer.as_str()).collect();
    asked.iter().filter(|ask| !known.contains(ask.consumer.as_str())).count()
}
