//! `tollgate ledger replay`: enters what a killed Envoy did not live to send, from its access log.
//!
//! Every tally has a GUID, which the ledger enters once, so that a journal can be replayed whole, again, and beside an
//! Envoy that still sends. What can't be read is told with its file and line and counted; everything else goes in.

mod journal;

use std::io::Write;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use tollgate_wire::{PROTOCOL_VERSION, SYNC_BODY_BYTES_MAX, SyncRequest, Tally};

use super::client::{Client, ClientError};
use super::{Answer, Ended, LedgerArgs};
use journal::{Journal, Line};

/// Bytes of tallies in one sync, which leaves room for the rest of the request.
const BATCH_BYTES_MAX: usize = SYNC_BODY_BYTES_MAX - 4096;

/// Tallies in one sync.
const BATCH_TALLIES_MAX: usize = 1000;

/// How often a file that is followed is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Pauses between tries while the ledger is away.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How long a ledger that is away is waited for, unless the files are followed, which waits for ever.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// Journals: access logs with Tollgate's tallies, each on a line
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Go on reading what is added, also when a file is rotated, until interrupted
    #[arg(long)]
    follow: bool,
    /// Name of the Envoy, as its configuration has it: its balances are restored by it after a restart
    #[arg(long, default_value = "")]
    node: String,
    #[command(flatten)]
    ledger: LedgerArgs,
}

/// One run: a worker of its own, whose batches have numbers.
struct Replay<'a> {
    client: Client,
    args: &'a ReplayArgs,
    worker: String,
    seq: u64,
    batch: Vec<(Tally, Place)>,
    batch_bytes: usize,
    told: u64,
    damaged: u64,
}

/// Where a tally stood.
#[derive(Clone, Debug)]
struct Place {
    file: usize,
    line: u64,
}

pub(super) fn replay(args: &ReplayArgs, out: &mut dyn Write) -> Answer {
    let mut replay = Replay::new(args)?;
    let mut journals =
        args.files.iter().map(|path| Journal::open(path)).collect::<std::io::Result<Vec<_>>>()?;
    loop {
        let mut found = false;
        for (file, journal) in journals.iter_mut().enumerate() {
            while let Some((line, content)) = journal.next_line(args.follow)? {
                found = true;
                replay.take(Place { file, line }, content)?;
            }
        }
        replay.send()?;
        if !args.follow {
            break;
        }
        if !found {
            sleep(LOOK_EVERY);
        }
    }
    writeln!(out, "{} tallies are in the books, {} lines are damaged", replay.told, replay.damaged)?;
    Ok(if replay.damaged == 0 { Ended::Well } else { Ended::Found })
}

impl<'a> Replay<'a> {
    fn new(args: &'a ReplayArgs) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)?;
        Ok(Self {
            client: Client::new(&args.ledger)?,
            args,
            worker: format!("journal-{:016x}", u64::from_be_bytes(random)),
            seq: 0,
            batch: Vec::new(),
            batch_bytes: 0,
            told: 0,
            damaged: 0,
        })
    }

    fn take(&mut self, place: Place, content: Line) -> Result<(), ClientError> {
        let text = match content {
            Line::Text(text) => text,
            Line::TooLong => {
                self.damage(&place, "is longer than a tally can be");
                return Ok(());
            }
        };
        // A request that Tollgate did not see leaves Envoy's sign for nothing.
        let text = text.trim();
        if text.is_empty() || text == "-" {
            return Ok(());
        }
        match serde_json::from_str::<Tally>(text) {
            Ok(tally) => {
                if self.batch.len() == BATCH_TALLIES_MAX || self.batch_bytes + text.len() > BATCH_BYTES_MAX {
                    self.send()?;
                }
                self.batch_bytes += text.len() + 1;
                self.batch.push((tally, place));
            }
            Err(why) => self.damage(&place, &format!("is no tally: {why}")),
        }
        Ok(())
    }

    fn damage(&mut self, place: &Place, why: &str) {
        self.damaged += 1;
        let file = self.args.files.get(place.file).map(|path| path.display().to_string()).unwrap_or_default();
        eprintln!("{file}:{}: {why}", place.line);
    }

    /// Sends what has gathered until it is in the books. A tally that the ledger can't enter is taken out and told.
    fn send(&mut self) -> Result<(), ClientError> {
        while !self.batch.is_empty() {
            self.seq += 1;
            match self.post()? {
                None => {
                    self.told += self.batch.len() as u64;
                    self.batch.clear();
                }
                Some((index, detail)) if index < self.batch.len() => {
                    let (_, place) = self.batch.remove(index);
                    self.damage(&place, &detail);
                }
                Some((_, detail)) => return Err(ClientError::Refused { status: 422, detail }),
            }
        }
        self.batch_bytes = 0;
        Ok(())
    }

    /// Posts the batch until the ledger has said something about it: nothing, or which tally is wrong.
    fn post(&self) -> Result<Option<(usize, String)>, ClientError> {
        let request = SyncRequest {
            version: PROTOCOL_VERSION,
            process: self.worker.clone(),
            worker: self.worker.clone(),
            node: self.args.node.clone(),
            seq: self.seq,
            tallies: self.batch.iter().map(|(tally, _)| tally).collect(),
            opening: None,
            leases: Vec::new(),
            shares: Vec::new(),
            known_revision: None,
        };
        let (since, mut pause) = (Instant::now(), PAUSE.0);
        loop {
            let error = match self.client.post(&["v1", "sync"], &request) {
                Ok(_) => return Ok(None),
                Err(error) => error,
            };
            match error {
                ClientError::Refused { status: 422, detail } => {
                    let index = index_of(&detail)
                        .ok_or(ClientError::Refused { status: 422, detail: detail.clone() })?;
                    return Ok(Some((index, detail)));
                }
                ClientError::Reach { .. } | ClientError::Refused { status: 429 | 500..=599, .. }
                    if self.args.follow || since.elapsed() < PATIENCE => {}
                error => return Err(error),
            }
            sleep(pause);
            pause = (pause * 2).min(PAUSE.1);
        }
    }
}

/// The tally that a problem document is about: `tallies[7].model has no NUL character`.
fn index_of(detail: &str) -> Option<usize> {
    detail.strip_prefix("tallies[")?.split_once(']')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_tally() {
        assert_eq!(index_of("tallies[17].id is a UUID"), Some(17));
        assert_eq!(index_of("seq is at most 5"), None);
    }
}
