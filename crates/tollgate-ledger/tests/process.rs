//! The real binary: killed under load, stopped under load, started again. What was acknowledged is in the books, and
//! what is sent again is not in them twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::process::*;
use support::*;
use tollgate_ledger::store::{SqliteOptions, SqliteStore};
use tollgate_wire::{PROTOCOL_VERSION, SyncRequest, Tally};

const WORKERS: u64 = 4;
const TALLIES: u64 = 20;

fn now_ms() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_millis().try_into().unwrap()
}

/// The batch of a worker: always the same for the same number.
fn body(start_ms: u64, worker: u64, seq: u64) -> String {
    let first = (seq * WORKERS + worker) * TALLIES;
    let tallies = (first..first + TALLIES).map(|number| Tally { at_ms: start_ms, ..tally(number) }).collect();
    let request = SyncRequest {
        version: PROTOCOL_VERSION,
        process: "p1".into(),
        worker: format!("w{worker}"),
        node: "edge-1".into(),
        seq,
        tallies,
        opening: None,
        leases: vec![],
        shares: Vec::new(),
        known_revision: None,
    };
    serde_json::to_string(&request).unwrap()
}

fn first_of(worker: u64, seq: u64) -> u64 {
    (seq * WORKERS + worker) * TALLIES
}

/// Workers that send on and on, each batch until it is acknowledged, to whatever ledger is there.
struct Load {
    start_ms: u64,
    address: Mutex<String>,
    acknowledged: [AtomicU64; WORKERS as usize],
    stop: AtomicBool,
}

impl Load {
    fn start(address: &str) -> (Arc<Self>, Vec<std::thread::JoinHandle<()>>) {
        let load = Arc::new(Self {
            start_ms: now_ms(),
            address: Mutex::new(address.to_owned()),
            acknowledged: Default::default(),
            stop: AtomicBool::new(false),
        });
        let workers = (0..WORKERS).map(|worker| {
            let load = load.clone();
            std::thread::spawn(move || load.work(worker))
        });
        let workers = workers.collect();
        (load, workers)
    }

    fn work(&self, worker: u64) {
        let mut seq = 1;
        while !self.stop.load(Ordering::Relaxed) {
            let address = self.address.lock().unwrap().clone();
            match post(&address, &body(self.start_ms, worker, seq)) {
                Some(200) => {
                    self.acknowledged[worker as usize].store(seq, Ordering::Relaxed);
                    seq += 1;
                }
                // No ledger, or one that stops: the same batch again.
                None | Some(503) => std::thread::sleep(Duration::from_millis(2)),
                Some(other) => panic!("status {other}"),
            }
        }
    }

    fn acknowledged(&self) -> Vec<u64> {
        self.acknowledged.iter().map(|seq| seq.load(Ordering::Relaxed)).collect()
    }

    /// Waits until this many more batches were acknowledged.
    fn wait_for(&self, more: u64) {
        let goal = self.acknowledged().iter().sum::<u64>() + more;
        while self.acknowledged().iter().sum::<u64>() < goal {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn end(&self, workers: Vec<std::thread::JoinHandle<()>>) {
        self.stop.store(true, Ordering::Relaxed);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    }
}

/// The numbers of the tallies that are in the books.
fn entered(database: &Path) -> std::collections::BTreeSet<u64> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(&SqliteOptions::new(database)).unwrap();
        let entries = all_entries(&store).await;
        entries.iter().map(|entry| entry.tally.cost_nusd.0).collect()
    })
}

fn expect_audit_to_be_clean(database: &Path, entries: u64) {
    let output = audit(database);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    let text = stdout(&output);
    assert!(text.starts_with(&format!("{entries} entries")) && text.contains(" 0 differences"), "{text}");
}

#[test]
fn a_ledger_killed_under_load_loses_nothing_and_counts_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("ledger.db");
    let mut ledger = Served::start(&database);
    let (load, workers) = Load::start(&ledger.address);
    for _ in 0..4 {
        load.wait_for(40);
        ledger.kill();
        ledger = Served::start(&database);
        *load.address.lock().unwrap() = ledger.address.clone();
    }
    load.wait_for(40);
    load.end(workers);
    // Every batch again, as an Envoy does that missed its acknowledgements; then the ledger is killed once more.
    let acknowledged = load.acknowledged();
    for (worker, last) in (0..).zip(&acknowledged) {
        for seq in 1..=*last {
            assert_eq!(post(&ledger.address, &body(load.start_ms, worker, seq)), Some(200));
        }
    }
    ledger.kill();
    let batches: u64 = acknowledged.iter().sum();
    let entered = entered(&database);
    let expected = (0..).zip(&acknowledged).flat_map(|(worker, last)| {
        (1..=*last).flat_map(move |seq| first_of(worker, seq)..first_of(worker, seq) + TALLIES)
    });
    assert_eq!(entered, expected.collect());
    expect_audit_to_be_clean(&database, batches * TALLIES);
}

#[test]
fn a_ledger_told_to_stop_under_load_finishes_what_it_took() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("ledger.db");
    let ledger = Served::start(&database);
    let (load, workers) = Load::start(&ledger.address);
    load.wait_for(60);
    let (status, log) = ledger.terminate();
    load.end(workers);
    assert!(status.success(), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("everything acknowledged is in the database")), "{log:#?}");
    let entered = entered(&database);
    for (worker, last) in (0..).zip(load.acknowledged()) {
        for seq in 1..=last {
            assert!(
                entered.contains(&first_of(worker, seq)),
                "batch {seq} of worker {worker} was acknowledged"
            );
        }
    }
    expect_audit_to_be_clean(&database, entered.len().try_into().unwrap());

    // Another process goes on where the first stopped.
    let ledger = Served::start(&database);
    for (worker, last) in (0..).zip(load.acknowledged()) {
        for seq in 1..=last + 2 {
            assert_eq!(post(&ledger.address, &body(load.start_ms, worker, seq)), Some(200));
        }
    }
    ledger.terminate();
    let batches: u64 = load.acknowledged().iter().map(|last| last + 2).sum();
    expect_audit_to_be_clean(&database, batches * TALLIES);
}

#[test]
fn a_stopped_ledger_leaves_one_complete_file() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("ledger.db");
    let ledger = Served::start(&database);
    assert_eq!(post(&ledger.address, &body(now_ms(), 0, 1)), Some(200));
    ledger.terminate();
    let copy = folder.path().join("copy.db");
    std::fs::copy(&database, &copy).unwrap();
    expect_audit_to_be_clean(&copy, TALLIES);
}
