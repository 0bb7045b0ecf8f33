//! A real Envoy.

mod config;
mod jwt;
mod stats;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate_wire::Tally;

pub use config::EnvoyConfig;
pub use jwt::JwtIssuer;
pub use stats::Metrics;

use crate::http_client::{Answer, Call};
use crate::process::Process;
use crate::{paths, wait};

/// The token that filter and ledger share in tests.
pub const TOLLGATE_TOKEN: &str = "a-token-for-tests-only";

/// A running Envoy with one HTTP listener. It ends when dropped.
pub struct Envoy {
    process: Process,
    files: Files,
    listener: SocketAddr,
    admin: SocketAddr,
}

/// Envoy's working files, in a folder that goes with it.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { folder: tempfile::Builder::new().prefix("tollgate-envoy-").tempdir()? })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration, with the journal beside it.
    fn write(&self, mut config: EnvoyConfig) -> anyhow::Result<PathBuf> {
        config.set_journal(&self.path("journal"));
        if config.lds {
            self.write_listener(&mut config)?;
            config.value["static_resources"]["listeners"] = json!([]);
            config.value["node"] = json!({"id": "test", "cluster": "test"});
            config.value["dynamic_resources"]["lds_config"] = json!({
                "resource_api_version": "V3",
                "path_config_source": {
                    "path": self.path("listeners.json"),
                    "watched_directory": {"path": self.folder.path()},
                },
            });
        }
        let path = self.path("envoy.json");
        std::fs::write(&path, serde_json::to_vec_pretty(&config.value)?)?;
        Ok(path)
    }

    /// Puts the listener into the file Envoy watches, in one step.
    fn write_listener(&self, config: &mut EnvoyConfig) -> anyhow::Result<()> {
        let mut listener = config.listener().clone();
        listener["@type"] = "type.googleapis.com/envoy.config.listener.v3.Listener".into();
        let answer = json!({"resources": [listener]});
        let new = self.path("listeners.new");
        std::fs::write(&new, serde_json::to_vec_pretty(&answer)?)?;
        std::fs::rename(new, self.path("listeners.json"))?;
        Ok(())
    }
}

fn command(config: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(paths::envoy()?);
    command
        .arg("--config-path")
        .arg(config)
        .args(["--disable-hot-restart", "--log-level", "warning", "--component-log-level", "wasm:info"])
        // The journal is read while Envoy runs.
        .args(["--file-flush-interval-msec", "50"])
        .env("TOLLGATE_TOKEN", TOLLGATE_TOKEN);
    Ok(command)
}

impl Envoy {
    /// Starts one with so many workers and waits until it serves.
    pub async fn start(config: &EnvoyConfig, workers: usize) -> anyhow::Result<Self> {
        let files = Files::new()?;
        let path = files.write(config.clone())?;
        let mut command = command(&path)?;
        if config.prompt_journal {
            command.args(["--file-flush-min-size-kb", "0"]);
        }
        command.args(["--concurrency", &workers.to_string()]);
        command.arg("--admin-address-path").arg(files.path("admin"));
        let mut process = Process::start("envoy", command, &files.path("log"))?;
        let admin_file = files.path("admin");
        let log = files.path("log");
        let logs = move || std::fs::read_to_string(&log).unwrap_or_default();
        let admin = wait::until("Envoy's admin address", &logs, async || match process.ended() {
            Some(status) => Some(Err(status)),
            None => std::fs::read_to_string(&admin_file).ok()?.parse::<SocketAddr>().ok().map(Ok),
        })
        .await;
        let admin = match admin {
            Ok(admin) => admin,
            Err(status) => bail!("Envoy ended at its start: {status}\n{}", process.logs()),
        };
        let found = wait::until("Envoy to be ready", &logs, async || {
            if let Some(status) = process.ended() {
                return Some(Err(status));
            }
            let ready = Call::get("/ready").send(admin).await.ok()?;
            if ready.status != 200 {
                return None;
            }
            let listeners = Call::get("/listeners?format=json").send(admin).await.ok()?.json();
            listener_address(&listeners).map(Ok)
        })
        .await;
        match found {
            Ok(listener) => Ok(Self { process, files, listener, admin }),
            Err(status) => bail!("Envoy ended at its start: {status}\n{}", process.logs()),
        }
    }

    /// Has Envoy check a configuration; the error is what it printed.
    pub async fn validate(config: &EnvoyConfig) -> Result<(), String> {
        let run = async || -> anyhow::Result<Result<(), String>> {
            let files = Files::new()?;
            let path = files.write(config.clone())?;
            let mut command = command(&path)?;
            command.args(["--mode", "validate"]);
            let mut process = Process::start("envoy --mode validate", command, &files.path("log"))?;
            let log = files.path("log");
            let logs = move || std::fs::read_to_string(&log).unwrap_or_default();
            let status = wait::until("Envoy's verdict", logs, async || process.ended()).await;
            Ok(if status.success() { Ok(()) } else { Err(process.output()) })
        };
        run().await.unwrap_or_else(|error| Err(format!("could not validate: {error:#}")))
    }

    /// Where it takes requests.
    pub fn address(&self) -> SocketAddr {
        self.listener
    }

    /// Where its admin interface is.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Sends a request to its listener.
    pub async fn send(&self, call: &Call) -> Answer {
        match call.send(self.listener).await {
            Ok(answer) => answer,
            Err(error) => panic!("no answer from Envoy: {error:#}\n{}", self.process.logs()),
        }
    }

    /// Sends all requests at once.
    pub async fn send_all(&self, calls: Vec<Call>) -> Vec<Answer> {
        match Call::send_all(calls, self.listener).await {
            Ok(answers) => answers,
            Err(error) => panic!("no answer from Envoy: {error:#}\n{}", self.process.logs()),
        }
    }

    /// Replaces the listener while Envoy runs, and waits until that has been accepted or refused. The configuration
    /// it was started with must have the listener in a file. The error is Envoy's reason.
    pub async fn update_listener(&self, config: &EnvoyConfig) -> Result<(), String> {
        let updates = async || {
            let stats = self.stats().await;
            let count = |name: &str| stats.stat(&format!("listener_manager.lds.update_{name}"));
            (count("success"), count("rejected") + count("failure"))
        };
        let (accepted, refused) = updates().await;
        let said = self.output().len();
        let mut config = config.clone();
        config.set_journal(&self.files.path("journal"));
        self.files.write_listener(&mut config).map_err(|error| error.to_string())?;
        let (_, refused_now) = wait::until(
            "Envoy to take the listener",
            || self.logs(),
            async || {
                let now = updates().await;
                (now != (accepted, refused)).then_some(now)
            },
        )
        .await;
        if refused_now > refused {
            // The reason is in the log, which is written a moment later than the count.
            return Err(wait::until(
                "Envoy to say why",
                || self.logs(),
                async || self.output().get(said..).filter(|text| !text.trim().is_empty()).map(str::to_owned),
            )
            .await);
        }
        wait::until(
            "the new listener to be ready",
            || self.logs(),
            async || {
                let stats = self.stats().await;
                let settled = stats.stat("listener_manager.total_listeners_warming") == 0;
                settled.then_some(())
            },
        )
        .await;
        Ok(())
    }

    /// Envoy's statistics.
    pub async fn stats(&self) -> Metrics {
        Metrics::from_stats(&self.admin_text("/stats").await)
    }

    /// Envoy's statistics as Prometheus reads them.
    pub async fn prometheus(&self) -> Metrics {
        Metrics::from_prometheus(&self.admin_text("/stats/prometheus").await)
    }

    async fn admin_text(&self, path: &str) -> String {
        match Call::get(path).send(self.admin).await {
            Ok(answer) => answer.text(),
            Err(error) => panic!("no answer from Envoy's admin interface: {error:#}\n{}", self.logs()),
        }
    }

    /// The journal's file. It goes with this value.
    pub fn journal_path(&self) -> PathBuf {
        self.files.path("journal")
    }

    /// The tallies in the journal so far. A last line that is not whole is none.
    pub fn journal(&self) -> Vec<Tally> {
        let text = std::fs::read_to_string(self.journal_path()).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .filter(|line| line.starts_with('{'))
            .map(|line| match serde_json::from_str(line) {
                Ok(tally) => tally,
                Err(error) => panic!("a line of the journal is no tally: {error}\n{line}"),
            })
            .collect()
    }

    /// Waits until so many tallies are in the journal, and returns them.
    pub async fn wait_for_journal(&self, count: usize) -> Vec<Tally> {
        let what = format!("{count} tallies in the journal, which has {}", self.journal().len());
        wait::until(
            &what,
            || self.logs(),
            async || {
                let tallies = self.journal();
                (tallies.len() >= count).then_some(tallies)
            },
        )
        .await
    }

    /// Waits until so many tallies of one consumer are in the journal, and returns them.
    pub async fn wait_for_journal_of(&self, consumer: &str, count: usize) -> Vec<Tally> {
        let what = format!("{count} tallies of {consumer} in the journal");
        wait::until(
            &what,
            || self.logs(),
            async || {
                let mut tallies = self.journal();
                tallies.retain(|tally| tally.consumer == consumer);
                (tallies.len() >= count).then_some(tallies)
            },
        )
        .await
    }

    /// The end of its log.
    pub fn logs(&self) -> String {
        self.process.logs()
    }

    /// Everything it printed.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// Kills it on the spot.
    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// Asks it to end and waits.
    pub async fn terminate(&mut self) -> anyhow::Result<()> {
        self.process.terminate().await.map(|_| ())
    }

    /// Memory in use, in bytes.
    pub fn rss_bytes(&self) -> anyhow::Result<u64> {
        self.process.rss_bytes()
    }

    /// CPU time so far, of all threads.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        self.process.cpu_time()
    }
}

fn listener_address(listeners: &Value) -> Option<SocketAddr> {
    let address = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
    let port = u16::try_from(address["port_value"].as_u64()?).ok()?;
    Some(SocketAddr::new(address["address"].as_str()?.parse().ok()?, port)).filter(|to| to.port() != 0)
}

impl Envoy {
    /// Fails the scenario if a VM trapped or a filter panicked.
    pub fn assert_no_trap(&self) {
        let output = self.output();
        let traps: Vec<&str> = output
            .lines()
            .filter(|line| line.contains("Function: proxy_on") || line.contains("panicked at"))
            .collect();
        assert!(traps.is_empty(), "the filter trapped:\n{}", traps.join("\n"));
    }

    /// The configuration file it runs with, for people who look at it.
    pub fn config_path(&self) -> anyhow::Result<PathBuf> {
        let path = self.files.path("envoy.json");
        path.is_file().then_some(path).context("the configuration is gone")
    }
}
