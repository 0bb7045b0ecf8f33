//! `tollgate audit`: what operators changed.

use std::io::Write;

use clap::Args;

use super::client::Client;
use super::table::{self, Column};
use super::{Answer, Ended, LedgerArgs, moment};
use crate::service::TrailPage;

const PAGE: &str = "5000";

/// Which changes, and how to write them.
#[derive(Debug, Args)]
pub(super) struct TrailArgs {
    #[command(flatten)]
    ledger: LedgerArgs,
    /// Only changes of records of this kind
    #[arg(long, value_parser = ["consumer", "quota", "switches", "memory", "token", "lease"])]
    kind: Option<String>,
    /// Only changes of this record
    #[arg(long)]
    id: Option<String>,
    /// Only changes by this actor, as token/ID
    #[arg(long)]
    actor: Option<String>,
    /// Only this action, as suspend
    #[arg(long)]
    action: Option<String>,
    /// First day, as 2026-11-01 (UTC), or moment, as 2026-11-01T15:00:00Z
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// Last day, included, or the moment at which to end
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// table, csv, or json: one object a line
    #[arg(long, value_parser = ["table", "csv", "json"], default_value = "table")]
    format: String,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

pub(super) fn trail(args: &TrailArgs, out: &mut dyn Write) -> Answer {
    let client = Client::new(&args.ledger)?;
    let format = match args.format.as_str() {
        _ if args.json => "jsonl",
        "json" => "jsonl",
        "table" => "json",
        other => other,
    };
    let mut rows = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let query = [
            ("kind", args.kind.as_deref()),
            ("id", args.id.as_deref()),
            ("actor", args.actor.as_deref()),
            ("action", args.action.as_deref()),
            ("from", args.from.as_deref()),
            ("to", args.to.as_deref()),
            ("format", Some(format)),
            ("limit", Some(PAGE)),
            ("cursor", cursor.as_deref()),
        ];
        let response = client.get("/v1/audit", &query)?;
        let first = cursor.is_none();
        if format == "json" {
            let mut page: TrailPage = Client::json(response)?;
            rows.append(&mut page.changes);
            cursor = page.next;
        } else {
            let next = response.headers().get("x-next-cursor").and_then(|next| next.to_str().ok());
            cursor = next.map(str::to_owned);
            let text = Client::text(response)?;
            let skip_header = format == "csv" && !first;
            let text = if skip_header { text.split_once('\n').map_or("", |(_, rows)| rows) } else { &text };
            out.write_all(text.as_bytes())?;
        }
        if cursor.is_none() {
            break;
        }
    }
    if format == "json" {
        let columns = ["change", "when", "who", "what", "of", "why"].map(Column::left);
        let rows = rows.iter().map(|entry| {
            vec![
                entry.seq.to_string(),
                moment(Some(entry.at_ms)),
                entry.actor.clone(),
                entry.action.clone(),
                format!("{} {}", entry.kind.as_str(), entry.id),
                entry.reason.clone(),
            ]
        });
        writeln!(out, "{}", table::of(&columns, rows))?;
    }
    out.flush()?;
    Ok(Ended::Well)
}
