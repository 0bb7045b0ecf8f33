//! A real ledger: the `tollgate` command, serving on the loopback interface from a SQLite file or from PostgreSQL.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, bail};
use rustix::process::Signal;
use rustls::ClientConfig;
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
    arrangement: Arrangement,
    address: SocketAddr,
    token: String,
}

/// How a ledger is started.
#[derive(Clone, Default)]
pub struct Arrangement {
    /// The database's URL; a SQLite file of its own if empty.
    pub database: String,
    /// More arguments of `tollgate ledger serve`.
    pub arguments: Vec<String>,
    /// A command to start it with, which ends in becoming it.
    pub within: Vec<String>,
    /// Commands on its database see the files that `within` shows it, from inside its namespaces.
    pub namespaces: bool,
    /// How to speak TLS with it, if it does.
    pub tls: Option<Arc<ClientConfig>>,
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
        let database = path.map_or_else(String::new, |path| format!("sqlite:{}", path.display()));
        Self::start_as(Arrangement { database, ..Arrangement::default() }).await
    }

    /// Starts a node over a database that others may use as well.
    pub async fn over(database: &str) -> anyhow::Result<Self> {
        Self::start_as(Arrangement { database: database.to_owned(), ..Arrangement::default() }).await
    }

    /// Starts one on a free port.
    pub async fn start_as(mut arrangement: Arrangement) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("tollgate-ledger-").tempdir()?;
        if arrangement.database.is_empty() {
            arrangement.database = format!("sqlite:{}", folder.path().join("ledger.db").display());
        }
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (process, address) = serve(&folder, &arrangement, any).await?;
        let mut ledger = Self { process, folder, arrangement, address, token: String::new() };
        let database = &ledger.arrangement.database;
        ledger.token = ledger
            .command(&["token", "create", "--role", "admin", "--database", database])?
            .trim()
            .to_owned();
        Ok(ledger)
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// A token of role admin.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of its database, for commands that work on it.
    pub fn database(&self) -> &str {
        &self.arrangement.database
    }

    /// Proves that the books are right, with `tollgate ledger audit`; returns the number of entries.
    pub fn audit(&self) -> anyhow::Result<u64> {
        let report = self.command(&["ledger", "audit", "--json", "--database", self.database()])?;
        serde_json::from_str::<Value>(&report)?["entries"].as_u64().context("an audit without entries")
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
        let (process, _) = serve(&self.folder, &self.arrangement, self.address).await?;
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
        let call = Call::get(path).key(&self.token);
        let call = match &self.arrangement.tls {
            Some(client) => call.tls(Arc::clone(client)),
            None => call,
        };
        call.send(self.address).await
    }

    /// What everybody used together.
    pub async fn totals(&self) -> UsageSums {
        sums(&self.get("/v1/usage").await["totals"])
    }

    /// What one consumer used.
    pub async fn usage_of(&self, consumer: &str) -> UsageSums {
        sums(&self.get(&format!("/v1/usage?consumer={consumer}")).await["totals"])
    }

    /// The audit trail.
    pub async fn entries(&self) -> Vec<Tally> {
        let mut rows = Vec::new();
        let mut path = "/v1/entries?limit=1000".to_owned();
        loop {
            let page = self.get(&path).await;
            rows.extend(page["entries"].as_array().cloned().unwrap_or_default());
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/v1/entries?limit=1000&cursor={next}");
        }
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

    /// Its address for commands. A name, where it speaks TLS: certificates are for names.
    pub fn url(&self) -> String {
        match self.arrangement.tls {
            Some(_) => format!("https://{}:{}", crate::tls::SERVER, self.address.port()),
            None => format!("http://{}", self.address),
        }
    }

    /// Enters journals with `tollgate ledger replay`, as an Envoy of this name; returns what it printed.
    pub fn replay(&self, node: &str, journals: &[&Path]) -> anyhow::Result<String> {
        let mut command = self.replaying(node, journals)?;
        let output = command.stdin(Stdio::null()).output()?;
        if !output.status.success() {
            bail!("tollgate ledger replay: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The command that enters journals as they grow, started; it ends when dropped.
    pub fn follow(&self, node: &str, journals: &[&Path]) -> anyhow::Result<Process> {
        let mut command = self.replaying(node, journals)?;
        command.arg("--follow");
        Process::start("tollgate ledger replay --follow", command, &self.folder.path().join("replay"))
    }

    fn replaying(&self, node: &str, journals: &[&Path]) -> anyhow::Result<Command> {
        let mut command = Command::new(paths::tollgate()?);
        command.args(["ledger", "replay", "--node", node, "--ledger", &self.url()]).args(journals);
        command.env("TOLLGATE_TOKEN", TOLLGATE_TOKEN);
        Ok(command)
    }

    /// Runs the `tollgate` command with the address and token of this ledger; returns what it printed.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = match self.arrangement.namespaces {
            true => {
                let mut command = Command::new("nsenter");
                let process = self.id().to_string();
                command.args(["--preserve-credentials", "--user", "--mount", "--target", &process]);
                command.arg(paths::tollgate()?);
                command
            }
            false => Command::new(paths::tollgate()?),
        };
        let output = command
            .args(arguments)
            .env("TOLLGATE_TOKEN", &self.token)
            .env("TOLLGATE_LEDGER", self.url())
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            bail!("tollgate {arguments:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

async fn serve(
    folder: &TempDir,
    arrangement: &Arrangement,
    listen: SocketAddr,
) -> anyhow::Result<(Process, SocketAddr)> {
    let mut command = match arrangement.within.split_first() {
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).arg(paths::tollgate()?);
            command
        }
        None => Command::new(paths::tollgate()?),
    };
    command
        .args(["ledger", "serve", "--listen", &listen.to_string()])
        .args(["--database", &arrangement.database])
        .args(&arrangement.arguments)
        .env("TOLLGATE_TOKEN", TOLLGATE_TOKEN);
    let log = folder.path().join("log");
    let mut process = Process::start("tollgate ledger serve", command, &log)?;
    let output = || std::fs::read_to_string(&log).unwrap_or_default();
    let found = wait::until("the ledger to listen", output, async || {
        if let Some(status) = process.ended() {
            return Some(Err(status));
        }
        let text = output();
        let (_, after) = text.split_once("listening on http")?;
        let (_, after) = after.split_once("://")?;
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
