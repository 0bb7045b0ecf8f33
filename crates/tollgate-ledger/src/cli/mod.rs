//! What an operator types. Each command returns how it ended; only `main` turns that into an exit code.

mod audit;
mod check;
mod client;
mod consumer;
mod database;
mod entries;
mod filters;
mod lease;
mod names;
mod overall;
mod quota;
mod quota_check;
mod replay;
mod schema;
mod serve;
mod span;
mod table;
mod token;
mod trail;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::service::{Clock, TlsOptions};
use database::DatabaseArgs;
use names::NamesArgs;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As asked.
    Well,
    /// It ran, and found what it looked for: a bad configuration, a difference in the books.
    Found,
    /// It could not be done.
    Failed,
}

impl From<Ended> for ExitCode {
    fn from(ended: Ended) -> Self {
        Self::from(match ended {
            Ended::Well => 0,
            Ended::Found => 1,
            Ended::Failed => 2,
        })
    }
}

/// Rate limits, token quotas and budgets for LLM endpoints behind Envoy: the ledger and the operator's tools.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Validate configurations before they are deployed, with the code the filter runs
    ///
    /// A FILE is a Tollgate configuration or a whole Envoy configuration, as YAML or JSON. In an Envoy configuration
    /// every Tollgate filter is found and checked, in listeners of any kind. Exit code: 0 when all are good, 1 when
    /// one is refused, 2 when a file can't be read or has nothing to check.
    Check {
        /// Configurations to check
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Print the JSON Schema of the filter's configuration
    ///
    /// It is made from the types that read the configuration. What a schema can't say, such as that a tier exists, is
    /// left to `tollgate check`.
    Schema,
    /// Show usage and cost as a table
    Usage(UsageArgs),
    /// Export the audit trail, oldest first
    Entries(EntriesArgs),
    /// Say who consumers are, and decide about them: suspend, grace, tier, override, bypass, reset
    #[command(subcommand)]
    Consumer(consumer::ConsumerCommand),
    /// Define quotas, top up balances, check whether a request would pass
    #[command(subcommand)]
    Quota(quota::QuotaCommand),
    /// Show what is lent of global quotas, and write off leases of Envoys that are gone
    #[command(subcommand)]
    Lease(lease::LeaseCommand),
    /// Show the tiers as the filters are configured, if the ledger was told (ledger serve --policy)
    Tiers(consumer::OutputArgs),
    /// Show or throw the switches for everybody: enforcement, bursts
    #[command(subcommand)]
    Switch(overall::SwitchCommand),
    /// Show or tell the memory that models use
    #[command(subcommand)]
    Memory(overall::MemoryCommand),
    /// Show consumers by tier, and those that cost most
    Statistics(consumer::OutputArgs),
    /// Show or export what operators changed, oldest first
    Audit(trail::TrailArgs),
    /// Make, list and revoke the tokens of the ledger's API
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Run the ledger, or work on its database
    #[command(subcommand)]
    Ledger(LedgerCommand),
}

#[derive(Debug, Subcommand)]
enum LedgerCommand {
    /// Run the ledger service
    ///
    /// Stops in order on SIGTERM and SIGINT: finishes requests in flight and commits what was received. The token of
    /// --token-file or TOLLGATE_TOKEN is the one that the Envoys share: it may send tallies and nothing else. Everybody
    /// else needs a token of `tollgate token create`. Until there is any the API answers 403; /healthz, /readyz,
    /// /metrics and /openapi.json are open.
    Serve(ServeArgs),
    /// Prove that the books are right: usage is the sum of the entries, quotas that of their leases, changes are one chain
    ///
    /// Reads the database, also beside a running ledger. Exit code: 0 when the books are right, 1 when something
    /// differs, 2 when the database can't be read.
    Audit {
        #[command(flatten)]
        database: DatabaseArgs,
        /// Print the report as JSON
        #[arg(long)]
        json: bool,
    },
    /// Enter what a killed Envoy did not live to send, from its access log
    ///
    /// Sends the tallies of journals to a ledger, with the token that the Envoys share. Each is entered once, however
    /// often and beside whatever it is replayed. Damaged lines are told with file and line. Envoy writes its access log
    /// every --file-flush-interval-msec: what it had not written when it was killed is in no journal. Exit code: 0 when all
    /// lines are in the books, 1 when some are damaged, 2 when it could not be done.
    Replay(replay::ReplayArgs),
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// Address to listen on; port 0 takes a free one and prints it
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: String,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    token: TokenArgs,
    /// Months of the audit trail to keep beside the current one
    #[arg(long, value_name = "N", default_value_t = 13, value_parser = clap::value_parser!(u32).range(1..=1200))]
    retention_months: u32,
    /// How to write the log, which goes to standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Configuration of the filters, or of an Envoy with them: what /v1/tiers and /v1/self show of tiers and their limits
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct TlsArgs {
    /// Serve over TLS with this certificate, a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file of its private key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Let in only clients with a certificate of these authorities, a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    client_ca: Option<PathBuf>,
}

impl TlsArgs {
    fn options(&self) -> Option<TlsOptions> {
        let (certificate, key) = (self.tls_cert.clone()?, self.tls_key.clone()?);
        Some(TlsOptions { certificate, key, client_ca: self.client_ca.clone() })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Lines for people
    Text,
    /// A JSON object a line
    Json,
}

#[derive(Debug, Args)]
struct TokenArgs {
    /// File with the bearer token; without it the token is taken from the environment variable TOLLGATE_TOKEN
    // Never from an argument: command lines can be seen by others.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl TokenArgs {
    /// The token from the file, else from the environment variable TOLLGATE_TOKEN.
    fn read(&self) -> Result<Option<String>, String> {
        let token = match &self.token_file {
            Some(path) => Some(
                std::fs::read_to_string(path)
                    .map_err(|why| format!("cannot read the token from {}: {why}", path.display()))?,
            ),
            None => std::env::var("TOLLGATE_TOKEN").ok(),
        };
        Ok(token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()))
    }
}

#[derive(Debug, Args)]
struct LedgerArgs {
    /// Address of the ledger
    #[arg(long, value_name = "URL", env = "TOLLGATE_LEDGER", default_value = "http://127.0.0.1:8090")]
    ledger: String,
    #[command(flatten)]
    token: TokenArgs,
    #[command(flatten)]
    trust: TrustArgs,
}

/// How a ledger that speaks TLS is known, and how it knows who asks.
#[derive(Debug, Args)]
struct TrustArgs {
    /// PEM file of the authorities that signed the ledger's certificate; without it public ones are trusted
    #[arg(long, value_name = "FILE", env = "TOLLGATE_LEDGER_CA")]
    ledger_ca: Option<PathBuf>,
    /// Show this certificate, a PEM file, to a ledger that asks for one
    #[arg(long, value_name = "FILE", env = "TOLLGATE_LEDGER_CERT", requires = "ledger_key")]
    ledger_cert: Option<PathBuf>,
    /// PEM file of its private key
    #[arg(long, value_name = "FILE", env = "TOLLGATE_LEDGER_KEY", requires = "ledger_cert")]
    ledger_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct UsageArgs {
    #[command(flatten)]
    ledger: LedgerArgs,
    /// Windows to add up
    #[arg(long, value_parser = ["day", "month"], default_value = "month")]
    window: String,
    /// First day, as 2026-11-01 (UTC)
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// Last day, included
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// What to group by: window, consumer, team, project, tier, provider, model, action, workflow, tool, interface
    #[arg(long, visible_alias = "by", value_name = "LIST", default_value = "consumer,model")]
    group_by: String,
    #[command(flatten)]
    names: NamesArgs,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct EntriesArgs {
    #[command(flatten)]
    ledger: LedgerArgs,
    #[command(flatten)]
    names: NamesArgs,
    /// Only this region
    #[arg(long)]
    region: Option<String>,
    /// First day, as 2026-11-01 (UTC), or moment, as 2026-11-01T15:00:00Z
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// Last day, included, or the moment at which to end
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// csv, or json: one object a line
    #[arg(long, value_parser = ["csv", "json"], default_value = "csv")]
    format: String,
}

/// Runs a command.
pub fn run(cli: Cli) -> Ended {
    let ended = match cli.command {
        Command::Check { files } => check::check(&files, &mut std::io::stdout()),
        Command::Schema => schema::schema(&mut std::io::stdout()),
        Command::Usage(args) => usage::usage(&args, &mut std::io::stdout()),
        Command::Entries(args) => entries::entries(&args, &mut std::io::stdout()),
        Command::Consumer(command) => consumer::consumer(&command, &mut std::io::stdout()),
        Command::Quota(command) => quota::quota(&command, &mut std::io::stdout()),
        Command::Lease(command) => lease::lease(&command, &mut std::io::stdout()),
        Command::Tiers(args) => overall::tiers(&args, &mut std::io::stdout()),
        Command::Switch(command) => overall::switch(&command, &mut std::io::stdout()),
        Command::Memory(command) => overall::memory(&command, &mut std::io::stdout()),
        Command::Statistics(args) => overall::statistics(&args, &mut std::io::stdout()),
        Command::Audit(args) => trail::trail(&args, &mut std::io::stdout()),
        Command::Token(command) => token::token(&command, &mut std::io::stdout()),
        Command::Ledger(LedgerCommand::Serve(args)) => serve::serve(args),
        Command::Ledger(LedgerCommand::Audit { database, json }) => {
            audit::audit(&database, json, &mut std::io::stdout())
        }
        Command::Ledger(LedgerCommand::Replay(args)) => replay::replay(&args, &mut std::io::stdout()),
    };
    ended.unwrap_or_else(|why| {
        eprintln!("tollgate: {}", chain(why.as_ref()));
        Ended::Failed
    })
}

/// What a command answers; an error is told to people and ends in exit code 2.
type Answer = Result<Ended, Box<dyn std::error::Error + Send + Sync>>;

/// The system's clock, milliseconds since the epoch.
fn now_ms() -> u64 {
    Clock::System.now_ms()
}

/// A moment as people read it; nothing for none.
fn moment(at_ms: Option<u64>) -> String {
    let at = at_ms.and_then(|ms| jiff::Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok());
    at.map_or_else(String::new, |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// An error and its causes, on one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(why) = cause {
        text = format!("{text}: {why}");
        cause = why.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
