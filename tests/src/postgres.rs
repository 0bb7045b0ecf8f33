//! A real PostgreSQL on a free loopback port, in a folder of its own, ended by its process id.
//!
//! PostgreSQL does not run as root: there it runs as the user `nobody`, who then owns the folder. Everybody on this
//! machine may connect while it runs; there is nothing in it but tests.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use crate::process::Process;
use crate::{paths, wait};

/// Who runs it when this process is root's: `nobody`, in the group of the same number.
const NOBODY: u32 = 65534;

/// The role that owns everything.
const ROLE: &str = "tollgate";

/// How long it may take to stop before it is killed.
const STOP_MAX: Duration = Duration::from_secs(10);

/// A server. It ends when dropped.
pub struct Postgres {
    process: Process,
    folder: TempDir,
    address: SocketAddr,
    settings: Vec<(String, String)>,
}

impl Postgres {
    /// A new, empty server that flushes every commit to the disk.
    pub async fn start(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let folder = folder()?;
        run(&folder, "initdb", |command| {
            command.args(["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=trust"]);
            command.args(["--username", ROLE, "--pgdata"]).arg(data(&folder));
        })?;
        Self::serve(folder, settings).await
    }

    /// The same for tests that don't crash the machine: commits are not flushed.
    pub async fn start_unsafe() -> anyhow::Result<Self> {
        Self::start(&[("fsync", "off"), ("full_page_writes", "off")]).await
    }

    /// A standby of this server, which its commits wait for once it is named in `synchronous_standby_names`.
    pub async fn standby(&self, name: &str) -> anyhow::Result<Self> {
        let folder = folder()?;
        let primary = format!(
            "host={} port={} user={ROLE} application_name={name}",
            self.address.ip(),
            self.address.port()
        );
        run(&folder, "pg_basebackup", |command| {
            command.args(["--no-sync", "--wal-method=stream", "--checkpoint=fast", "--write-recovery-conf"]);
            command.args(["--dbname", &primary, "--pgdata"]).arg(data(&folder));
        })?;
        let settings: Vec<(&str, &str)> =
            self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Self::serve(folder, &settings).await
    }

    async fn serve(folder: TempDir, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let settings: Vec<(String, String)> =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        // A port that is free now may be taken a moment later.
        let mut tries = 0;
        loop {
            tries += 1;
            let address = free_address()?;
            match begin(&folder, address, &settings).await {
                Ok(process) => return Ok(Self { process, folder, address, settings }),
                Err(error) if tries == 3 => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A URL of its database.
    pub fn url(&self) -> String {
        format!("postgres://{ROLE}@{}/postgres", self.address)
    }

    /// A URL under which tables are made in and found in a schema of their own, which must be made first.
    pub fn url_of_schema(&self, schema: &str) -> String {
        format!("{}?options=-c%20search_path%3D{schema}", self.url())
    }

    /// A URL of several servers: whichever takes writes is used.
    pub fn url_of_all(servers: &[&Self]) -> String {
        let places: Vec<String> = servers.iter().map(|server| server.address.to_string()).collect();
        format!("postgres://{ROLE}@{}/postgres", places.join(","))
    }

    /// Kills its first process on the spot; the others end when they notice.
    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// Starts it again where it was.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.process.kill();
        // It refuses to start while a process of its former self is there.
        let process = wait::until(
            "PostgreSQL to start again",
            || self.logs(),
            async || begin(&self.folder, self.address, &self.settings).await.ok(),
        );
        self.process = process.await;
        Ok(())
    }

    /// Makes a standby the primary.
    pub fn promote(&self) -> anyhow::Result<()> {
        run(&self.folder, "pg_ctl", |command| {
            command.args(["promote", "--wait", "--pgdata"]).arg(data(&self.folder));
        })
    }

    /// Changes a setting of the running server that needs no restart.
    pub fn set(&self, name: &str, value: &str) -> anyhow::Result<()> {
        use std::io::Write;
        let path = data(&self.folder).join("postgresql.auto.conf");
        let mut file = std::fs::OpenOptions::new().append(true).open(&path)?;
        writeln!(file, "{name} = '{value}'")?;
        run(&self.folder, "pg_ctl", |command| {
            command.args(["reload", "--pgdata"]).arg(data(&self.folder));
        })
    }

    /// CPU time of all its processes so far, those that have ended included, in seconds.
    pub fn cpu_s(&self) -> f64 {
        let first = self.process.id();
        let stat = |id: u32| std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let fields = |text: &str| -> Vec<f64> {
            let behind_name = text.rsplit(')').next().unwrap_or_default();
            behind_name.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect()
        };
        // User and system time of itself, then of children it has waited for; before them, its parent.
        let sum = |fields: &[f64], at: std::ops::Range<usize>| {
            fields.get(at).unwrap_or_default().iter().sum::<f64>()
        };
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let children: f64 = ids
            .map(|id| fields(&stat(id)))
            .filter(|fields| fields.get(1) == Some(&f64::from(first)))
            .map(|fields| sum(&fields, 11..13))
            .sum();
        (sum(&fields(&stat(first)), 11..15) + children) / 100.0
    }

    /// The end of its log.
    pub fn logs(&self) -> String {
        self.process.logs()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // An immediate shutdown; a plain kill would leave its shared memory behind.
        let _ = self.process.signal(Signal::QUIT);
        let since = Instant::now();
        while self.process.ended().is_none() && since.elapsed() < STOP_MAX {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn data(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

fn folder() -> anyhow::Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("tollgate-postgres-").tempdir()?;
    if geteuid().is_root() {
        chown(folder.path(), Some(NOBODY), Some(NOBODY))?;
    }
    Ok(folder)
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// A command of PostgreSQL's, as whoever may run it.
fn command(folder: &TempDir, name: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(executable(name)?);
    command.current_dir(folder.path()).env("LC_ALL", "C").env_remove("PGOPTIONS");
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    Ok(command)
}

/// The executable, or a copy where `nobody` can reach it: the project may stand in a folder of root's own.
fn executable(name: &str) -> anyhow::Result<PathBuf> {
    static REACHABLE: std::sync::OnceLock<Result<PathBuf, String>> = std::sync::OnceLock::new();
    let found = REACHABLE.get_or_init(|| reachable().map_err(|error| format!("{error:#}")));
    match found {
        Ok(bin) => Ok(bin.join(name)),
        Err(error) => bail!("{error}"),
    }
}

fn reachable() -> anyhow::Result<PathBuf> {
    let bin = paths::postgres_bin()?;
    let runs = |bin: &Path| {
        let mut command = Command::new(bin.join("postgres"));
        command.arg("--version").current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
        command.uid(NOBODY).gid(NOBODY).status().is_ok_and(|status| status.success())
    };
    if !geteuid().is_root() || runs(&bin) {
        return Ok(bin);
    }
    let copy = std::env::temp_dir().join("tollgate-postgres-bin");
    if !runs(&copy.join("bin")) {
        let from = bin.parent().context("PG_BIN has no parent")?;
        std::fs::create_dir_all(&copy)?;
        let status = Command::new("cp").arg("-R").arg(from.join(".")).arg(&copy).status()?;
        if !status.success() || !runs(&copy.join("bin")) {
            bail!("PostgreSQL in {} can't be run by the user nobody", bin.display());
        }
    }
    Ok(copy.join("bin"))
}

/// Runs a command to its end.
fn run(folder: &TempDir, name: &str, arguments: impl FnOnce(&mut Command)) -> anyhow::Result<()> {
    let mut command = command(folder, name)?;
    arguments(&mut command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {name}"))?;
    if !output.status.success() {
        bail!(
            "{name} failed: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// Starts the server and waits until it takes connections.
async fn begin(
    folder: &TempDir,
    address: SocketAddr,
    settings: &[(String, String)],
) -> anyhow::Result<Process> {
    let mut command = command(folder, "postgres")?;
    command.arg("-D").arg(data(folder));
    let usual = [
        ("listen_addresses", address.ip().to_string()),
        ("port", address.port().to_string()),
        ("unix_socket_directories", String::new()),
        ("shared_buffers", "64MB".into()),
        ("max_connections", "120".into()),
    ];
    for (name, value) in &usual {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    for (name, value) in settings {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    let log = folder.path().join("log");
    let mut process = Process::start("postgres", command, &log)?;
    let output = move || std::fs::read_to_string(&log).unwrap_or_default();
    let ended = wait::until("PostgreSQL to take connections", &output, async || {
        if let Some(status) = process.ended() {
            return Some(Some(status));
        }
        output().contains("ready to accept").then_some(None)
    })
    .await;
    match ended {
        None => Ok(process),
        Some(status) => bail!("PostgreSQL ended at its start: {status}\n{}", process.logs()),
    }
}
