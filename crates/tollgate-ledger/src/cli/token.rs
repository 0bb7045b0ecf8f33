//! `tollgate token`: who may ask the ledger. The first token is made on the database itself, by whoever may read it.

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::Client;
use super::database::Database;
use super::table::{self, Column};
use super::{Answer, Ended, LedgerArgs, moment, now_ms};
use crate::admin::{Asked, Role};
use crate::service::{NewToken, TokenWanted, TokensPage, issue};

/// How the trail names whoever works on the database itself.
const ACTOR: &str = "command-line";

/// The longest a token can be made to last, in days.
const DAYS_MAX: u32 = 36_500;

/// Work on tokens.
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token and print it, once and never again
    ///
    /// The first token is made on the database (--database), also beside a running ledger; later ones also through the
    /// ledger by whoever has a token of role admin. Only the token's hash is kept.
    Create(CreateArgs),
    /// List the tokens, without their secrets
    List {
        #[command(flatten)]
        ledger: LedgerArgs,
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// End a token at once
    Revoke {
        #[command(flatten)]
        ledger: LedgerArgs,
        /// The token's id: what stands between the underscores
        id: String,
    },
}

/// What to make.
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// What it allows
    #[arg(long, value_enum)]
    role: Role,
    /// The consumer that a token of role self is bound to
    #[arg(long)]
    consumer: Option<String>,
    /// What it is for
    #[arg(long, default_value = "")]
    name: String,
    /// Days until it ends; never if absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(DAYS_MAX)))]
    days: Option<u32>,
    /// Make it on this database, as sqlite:PATH or postgres://HOST/DATABASE, instead of through a ledger
    #[arg(long, value_name = "URL", value_parser = Database::parse)]
    database: Option<Database>,
    #[command(flatten)]
    ledger: LedgerArgs,
    /// Print what is known of it as JSON, the token included
    #[arg(long)]
    json: bool,
}

pub(super) fn token(command: &TokenCommand, out: &mut dyn Write) -> Answer {
    match command {
        TokenCommand::Create(args) => create(args, out),
        TokenCommand::List { ledger, json } => list(ledger, *json, out),
        TokenCommand::Revoke { ledger, id } => {
            Client::new(ledger)?.delete(&["v1", "tokens", id])?;
            writeln!(out, "{id} is no more")?;
            Ok(Ended::Well)
        }
    }
}

fn create(args: &CreateArgs, out: &mut dyn Write) -> Answer {
    let now_ms = now_ms();
    let wanted = TokenWanted {
        role: args.role,
        consumer: args.consumer.clone(),
        name: args.name.clone(),
        expires_ms: args.days.map(|days| now_ms + u64::from(days) * crate::calendar::DAY_MS),
    };
    let token = match &args.database {
        Some(database) => on_database(database, &wanted, now_ms)?,
        None => Client::json(Client::new(&args.ledger)?.post(&["v1", "tokens"], &wanted)?)?,
    };
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&token)?)?;
    } else {
        writeln!(out, "{}", token.token)?;
    }
    Ok(Ended::Well)
}

fn on_database(
    database: &Database,
    wanted: &TokenWanted,
    now_ms: u64,
) -> Result<NewToken, Box<dyn std::error::Error + Send + Sync>> {
    let asked = Asked { actor: ACTOR.into(), now_ms, ..Asked::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = database.open(None).await?;
        let issued = issue(&*store, &asked, wanted).await;
        store.close().await;
        Ok(issued?)
    })
}

fn list(ledger: &LedgerArgs, as_json: bool, out: &mut dyn Write) -> Answer {
    let client = Client::new(ledger)?;
    let mut tokens = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let query = [("limit", Some("1000")), ("cursor", cursor.as_deref())];
        let mut page: TokensPage = Client::json(client.get("/v1/tokens", &query)?)?;
        tokens.append(&mut page.tokens);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    if as_json {
        writeln!(out, "{}", serde_json::to_string_pretty(&json!({"tokens": tokens}))?)?;
        return Ok(Ended::Well);
    }
    let columns = ["id", "role", "consumer", "name", "created", "ends"].map(Column::left);
    let rows = tokens.iter().map(|token| {
        vec![
            token.id.clone(),
            token.role.as_str().to_owned(),
            token.consumer.clone().unwrap_or_default(),
            token.name.clone(),
            moment(Some(token.created_ms)),
            moment(token.expires_ms),
        ]
    });
    writeln!(out, "{}", table::of(&columns, rows))?;
    Ok(Ended::Well)
}
