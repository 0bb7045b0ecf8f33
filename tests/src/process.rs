//! A child process that ends with its handle, and whose output can be shown when something goes wrong.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

/// Lines of a log shown when a wait fails.
const LOG_LINES_SHOWN: usize = 80;

/// A running child. Dropping it kills it and waits for its end.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command, with its output in the file `log`.
    pub fn start(name: &str, mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let output = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = spawn(command).with_context(|| format!("starting {name}"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_path_buf() })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Everything it printed so far.
    pub fn output(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The end of its output, headed by its name: what a failing wait prints.
    pub fn logs(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        let from = lines.len().saturating_sub(LOG_LINES_SHOWN);
        format!(
            "--- the last lines of {} (process {}):\n{}\n---",
            self.name,
            self.id(),
            lines[from..].join("\n")
        )
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw).context("no process id")?;
        kill_process(id, signal).with_context(|| format!("sending {signal:?} to {}", self.name))
    }

    /// Kills it on the spot and waits until it is gone.
    pub fn kill(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end and waits until it has.
    pub async fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let name = self.name.clone();
        let log = self.log.clone();
        let shown = move || std::fs::read_to_string(&log).unwrap_or_default();
        Ok(crate::wait::until(&format!("the end of {name}"), shown, async || self.ended()).await)
    }

    /// Memory in use, in bytes.
    pub fn rss_bytes(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024)
    }

    /// CPU time of all its threads so far, from the scheduler's nanosecond count.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        let mut nanos = 0_u64;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.id()))? {
            let path = thread?.path().join("schedstat");
            // A thread may end while the list is read.
            let Ok(text) = std::fs::read_to_string(path) else { continue };
            let spent = text.split_whitespace().next().context("an empty schedstat")?;
            nanos += spent.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A paused process takes the kill all the same.
        self.kill();
    }
}

/// Spawns on a thread that lives as long as this process does: Envoy asks the kernel for a SIGTERM when its parent
/// ends, and to the kernel the parent is the thread.
fn spawn(command: Command) -> anyhow::Result<Child> {
    type Order = (Command, std::sync::mpsc::SyncSender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in inbox {
                // Nobody waits for the answer any more: the child is dropped, which nobody minds.
                let _ = reply.send(command.spawn());
            }
        });
        orders
    });
    let (reply, answer) = sync_channel(1);
    spawner.send((command, reply)).ok().context("the spawning thread has ended")?;
    Ok(answer.recv().context("the spawning thread has ended")??)
}
