//! `tollgate ledger replay`, with a real ledger: everything that can be read is entered once, the rest is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use support::process::*;
use support::*;
use tollgate_ledger::store::{SqliteOptions, SqliteStore};
use tollgate_wire::Tally;

fn line(number: u64) -> String {
    let at_ms = u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    serde_json::to_string(&Tally { at_ms, ..tally(number) }).unwrap() + "\n"
}

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }
}

fn replay(ledger: &Served, files: &[&Path]) -> Output {
    let mut command = tollgate();
    command.args(["ledger", "replay", "--node", "edge-1", "--ledger", &ledger.address]).args(files);
    command.env("TOLLGATE_TOKEN", TOKEN).output().unwrap()
}

/// The numbers that are in the books, in order.
fn entered(database: &Path) -> Vec<u64> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(&SqliteOptions::new(database)).unwrap();
        let entries = all_entries(&store).await;
        assert!(entries.iter().all(|entry| entry.node == "edge-1"));
        let mut numbers: Vec<u64> = entries.iter().map(|entry| entry.tally.cost_nusd.0).collect();
        numbers.sort_unstable();
        numbers
    })
}

#[test]
fn a_journal_is_entered_once_however_often_it_is_replayed() {
    let files = Files::new();
    let ledger = Served::start(&files.path("ledger.db"));
    let one = files.write("one", &(0..2500).map(line).collect::<String>());
    let two = files.write("two", &(2400..2600).map(line).collect::<String>());
    for _ in 0..2 {
        let output = replay(&ledger, &[&one, &two]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(stdout(&output), "2700 tallies are in the books, 0 lines are damaged\n");
    }
    ledger.terminate();
    assert_eq!(entered(&files.path("ledger.db")), (0..2600).collect::<Vec<_>>());
    assert!(audit(&files.path("ledger.db")).status.success());
}

#[test]
fn damaged_lines_are_told_with_their_place_and_harm_nothing_else() {
    let files = Files::new();
    let ledger = Served::start(&files.path("ledger.db"));
    let cut = &line(3)[..40];
    let strange = line(4).replace("\"consumer\"", "\"konsument\"");
    // What reads well and can't be entered: the ledger names it.
    let refused = line(5).replace(&guid(5), "no-guid");
    let journal = files.write("journal", &format!("{}-\n\n{strange}{refused}{}{cut}", line(1), line(2)));
    let output = replay(&ledger, &[&journal]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "2 tallies are in the books, 3 lines are damaged\n");
    for place in [4, 5, 7] {
        assert!(stderr(&output).contains(&format!("journal:{place}: ")), "{place}: {}", stderr(&output));
    }
    ledger.terminate();
    assert_eq!(entered(&files.path("ledger.db")), [1, 2]);
}

#[test]
fn a_followed_journal_is_entered_as_it_grows_and_over_a_restart_of_the_ledger() {
    let files = Files::new();
    let database = files.path("ledger.db");
    let ledger = Served::start(&database);
    let port = ledger.address.rsplit_once(':').unwrap().1.to_owned();
    let journal = files.write("journal", &line(1));
    let mut following = tollgate()
        .args(["ledger", "replay", "--follow", "--node", "edge-1", "--ledger", &ledger.address])
        .arg(&journal)
        .env("TOLLGATE_TOKEN", TOKEN)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let in_books = |count: usize| while entered(&database).len() < count {};
    in_books(1);
    ledger.kill();
    let mut writer = std::fs::OpenOptions::new().append(true).open(&journal).unwrap();
    writer.write_all(line(2).as_bytes()).unwrap();
    let ledger = Served::start_with(&database, &["--listen", &format!("127.0.0.1:{port}")], Some(TOKEN));
    in_books(2);
    writer.write_all(line(3).as_bytes()).unwrap();
    in_books(3);
    following.kill().unwrap();
    following.wait().unwrap();
    ledger.terminate();
    assert_eq!(entered(&database), [1, 2, 3]);
}
