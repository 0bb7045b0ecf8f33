//! A real ledger: the `tollgate` command, serving on the loopback interface from a SQLite file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use rustix::process::Signal;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use tollgate_wire::Tally;

use crate::envoy::TOLLGATE_TOKEN;
use crate::http_client::{Answer, Call};
use crate::process::Process;
use crate::{paths, wait};

/// A running ledger. It ends when dropped.
pub struct Ledger {
    process: Process,
    folder: TempDir,
    database: PathBuf,
    address: SocketAddr,
    token: String,
}

/// What a group of requests used, as `GET /v1/usage` tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct UsageSums {
    /// Requests, refused ones included.
    pub requests: u64,
    /// Requests that Tollgate refused.
    pub refused: u64,
    /// Requests that the upstream answered with an error.
    pub errors: u64,
    /// Requests whose charge is an estimate.
    pub estimated: u64,
    /// Input tokens neither read from nor written to a cache.
    pub input: u64,
    /// Input tokens read from a cache.
    pub cache_read: u64,
    /// Input tokens written to a cache.
    pub cache_write: u64,
    /// Output tokens.
    pub output: u64,
    /// The part of the output spent on reasoning.
    pub reasoning: u64,
    /// What they cost.
    pub cost_nusd: u64,
}

impl Ledger {
    /// Starts one on a free port with the database at `path`, or a new one in a folder of its own.
    pub async fn start(path: Option<&Path>) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("tollgate-ledger-").tempdir()?;
        let database = path.map_or_else(|| folder.path().join("ledger.db"), Path::to_path_buf);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (process, address) = serve(&folder, &database, any).await?;
        let token = make_token(&database, "admin")?;
        Ok(Self { process, folder, database, address, token })
    }

    /// A token of role admin.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its SQLite file.
    pub fn database(&self) -> &Path {
        &self.database
    }

    /// Stops it in its tracks: connections stay open and nobody answers.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.process.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.process.signal(Signal::CONT)
    }

    /// Kills it on the spot; [`Ledger::restart`] brings it back.
    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// Asks it to end and waits.
    pub async fn terminate(&mut self) -> anyhow::Result<()> {
        let status = self.process.terminate().await?;
        if !status.success() {
            bail!("the ledger did not end well: {status}\n{}", self.process.logs());
        }
        Ok(())
    }

    /// Starts it again, on the same port and with the same database.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.process.kill();
        let (process, _) = serve(&self.folder, &self.database, self.address).await?;
        self.process = process;
        Ok(())
    }

    /// The end of its log.
    pub fn logs(&self) -> String {
        self.process.logs()
    }

    /// Asks its API; fails the scenario if it does not answer with 200.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self.try_get(path).await;
        match answer {
            Ok(answer) if answer.status == 200 => answer.json(),
            Ok(answer) => panic!("GET {path}: {} {}\n{}", answer.status, answer.text(), self.logs()),
            Err(error) => panic!("GET {path}: {error:#}\n{}", self.logs()),
        }
    }

    /// Asks its API.
    pub async fn try_get(&self, path: &str) -> anyhow::Result<Answer> {
        Call::get(path).key(&self.token).send(self.address).await
    }

    /// What everybody used together.
    pub async fn totals(&self) -> UsageSums {
        sums(&self.get("/v1/usage").await["totals"])
    }

    /// What one consumer used.
    pub async fn usage_of(&self, consumer: &str) -> UsageSums {
        sums(&self.get(&format!("/v1/usage?consumer={consumer}")).await["totals"])
    }

    /// The audit trail, at most 1,000 entries.
    pub async fn entries(&self) -> Vec<Tally> {
        let page = self.get("/v1/entries?limit=1000").await;
        let rows = page["entries"].as_array().cloned().unwrap_or_default();
        rows.into_iter()
            .map(|mut row| {
                if let Some(entry) = row.as_object_mut() {
                    // Where a tally came from is the ledger's, not the tally's.
                    for field in ["process", "worker", "node", "seq"] {
                        entry.remove(field);
                    }
                }
                match serde_json::from_value(row) {
                    Ok(tally) => tally,
                    Err(error) => panic!("an entry is no tally: {error}"),
                }
            })
            .collect()
    }

    /// Waits until it has entered so many requests, admitted or refused, and returns the totals.
    pub async fn wait_for_requests(&self, count: u64) -> UsageSums {
        let what = format!("{count} requests in the ledger");
        wait::until(
            &what,
            || self.logs(),
            async || {
                let totals = self.totals().await;
                (totals.requests >= count).then_some(totals)
            },
        )
        .await
    }

    /// Runs the `tollgate` command with the address and token of this ledger; returns what it printed.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(paths::tollgate()?)
            .args(arguments)
            .env("TOLLGATE_TOKEN", &self.token)
            .env("TOLLGATE_LEDGER", format!("http://{}", self.address))
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            bail!("tollgate {arguments:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// Makes a token on the database itself.
fn make_token(database: &Path, role: &str) -> anyhow::Result<String> {
    let output = Command::new(paths::tollgate()?)
        .args(["token", "create", "--role", role, "--database"])
        .arg(format!("sqlite:{}", database.display()))
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        bail!("no token: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

async fn serve(
    folder: &TempDir,
    database: &Path,
    listen: SocketAddr,
) -> anyhow::Result<(Process, SocketAddr)> {
    let mut command = Command::new(paths::tollgate()?);
    command
        .args(["ledger", "serve", "--listen", &listen.to_string()])
        .arg("--database")
        .arg(format!("sqlite:{}", database.display()))
        .env("TOLLGATE_TOKEN", TOLLGATE_TOKEN);
    let log = folder.path().join("log");
    let mut process = Process::start("tollgate ledger serve", command, &log)?;
    let output = || std::fs::read_to_string(&log).unwrap_or_default();
    let found = wait::until("the ledger to listen", output, async || {
        if let Some(status) = process.ended() {
            return Some(Err(status));
        }
        let text = output();
        let (_, after) = text.split_once("listening on http://")?;
        after.split_once(char::is_whitespace)?.0.parse().ok().map(Ok)
    })
    .await;
    match found {
        Ok(address) => Ok((process, address)),
        Err(status) => bail!("the ledger ended at its start: {status}\n{}", process.logs()),
    }
}

fn sums(value: &Value) -> UsageSums {
    serde_json::from_value(value.clone())
        .with_context(|| format!("no usage: {value}"))
        .unwrap_or_else(|error| panic!("{error:#}"))
}

/// What the `tollgate check` command says to a file: nothing, or why it is refused.
pub fn check(file: &Path) -> anyhow::Result<Result<(), String>> {
    let output = Command::new(paths::tollgate()?).arg("check").arg(file).stdin(Stdio::null()).output()?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok(if output.status.success() { Ok(()) } else { Err(said) })
}
