//! The real binary as a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

pub const TOKEN: &str = "a-token-of-the-tests";

/// The command, with nothing inherited that would steer it.
pub fn tollgate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.env_remove("TOLLGATE_TOKEN").env_remove("TOLLGATE_LEDGER").env_remove("TOLLGATE_LOG");
    command
}

/// A ledger that serves.
pub struct Served {
    child: Child,
    log: Receiver<String>,
    /// `http://127.0.0.1:PORT`.
    pub address: String,
}

impl Served {
    pub fn start(database: &Path) -> Self {
        Self::start_with(database, &[], Some(TOKEN))
    }

    /// Starts and waits for the line that says where it listens.
    pub fn start_with(database: &Path, arguments: &[&str], token: Option<&str>) -> Self {
        let mut command = tollgate();
        command.args(["ledger", "serve"]);
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.arg("--database");
        command.arg(format!("sqlite:{}", database.display())).args(arguments);
        command.envs(token.map(|token| ("TOLLGATE_TOKEN", token)));
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (lines, log) = channel();
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|line| lines.send(line))
        });
        let address = log.iter().find_map(|line| line.strip_prefix("listening on ").map(str::to_owned));
        Self { child, log, address: address.expect("the ledger did not start") }
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; returns how it ended and what it had logged.
    pub fn terminate(mut self) -> (ExitStatus, Vec<String>) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        (status, self.log.iter().collect())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command printed.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What a command complained.
pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A token of this role, made on the database by the command.
pub fn token(database: &Path, role: &str) -> String {
    let database = format!("sqlite:{}", database.display());
    let output =
        tollgate().args(["token", "create", "--role", role, "--database", &database]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).trim().to_owned()
}

/// `tollgate ledger audit`.
pub fn audit(database: &Path) -> Output {
    let database = format!("sqlite:{}", database.display());
    tollgate().args(["ledger", "audit", "--database", &database]).output().unwrap()
}

/// Posts a sync; the status, or `None` when there was no answer.
pub fn post(address: &str, body: &str) -> Option<u16> {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let request = agent.post(format!("{address}/v1/sync")).header("authorization", format!("Bearer {TOKEN}"));
    let mut response = request.send(body).ok()?;
    let status = response.status().as_u16();
    // An answer that breaks off is none.
    let mut text = String::new();
    response.body_mut().as_reader().read_to_string(&mut text).ok()?;
    Some(status)
}
