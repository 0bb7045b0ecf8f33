//! `tollgate lease`: what was lent of global quotas, and leases of Envoys that are gone.

use std::io::Write;

use clap::Subcommand;

use super::client::Client;
use super::consumer::OutputArgs;
use super::table::{self, Column};
use super::{Answer, Ended, moment};
use crate::admin::WriteOff;
use crate::service::{LentPage, LentView, WriteOffWanted};

const PAGE: &str = "100";

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum LeaseCommand {
    /// Show global quotas, and which Envoys hold a part of them
    List {
        /// Only this consumer's
        #[arg(long)]
        consumer: Option<String>,
        /// Also those whose window is over
        #[arg(long)]
        ended: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Give back what an expired lease holds: its Envoy is gone and spent none of it
    WriteOff {
        /// The quota's id, as `list` shows it
        quota: String,
        /// The lease
        lease: String,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        output: OutputArgs,
    },
}

pub(super) fn lease(command: &LeaseCommand, out: &mut dyn Write) -> Answer {
    match command {
        LeaseCommand::List { consumer, ended, output } => list(consumer.as_deref(), *ended, output, out),
        LeaseCommand::WriteOff { quota, lease, reason, output } => {
            let wanted = WriteOffWanted { reason: reason.clone() };
            let path = ["v1", "leases", quota, lease, "write-off"];
            let done: WriteOff = Client::json(Client::new(&output.ledger)?.post(&path, &wanted)?)?;
            if output.json {
                writeln!(out, "{}", serde_json::to_string_pretty(&done)?)?;
            } else {
                writeln!(out, "{} units given back", done.units)?;
            }
            Ok(Ended::Well)
        }
    }
}

fn list(consumer: Option<&str>, ended: bool, output: &OutputArgs, out: &mut dyn Write) -> Answer {
    let client = Client::new(&output.ledger)?;
    let (mut quotas, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let query = [
            ("consumer", consumer),
            ("ended", ended.then_some("true")),
            ("limit", Some(PAGE)),
            ("cursor", cursor.as_deref()),
        ];
        let mut page: LentPage = Client::json(client.get("/v1/leases", &query)?)?;
        quotas.append(&mut page.quotas);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    if output.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&LentPage { quotas, next: None })?)?;
        return Ok(Ended::Well);
    }
    let texts = ["quota", "limit", "of", "lease", "node"].map(Column::left);
    let figures = ["units", "spent", "held", "overrun", "left"].map(Column::right);
    let columns: Vec<Column> =
        texts.into_iter().chain(figures).chain([Column::left("may be spent until")]).collect();
    let rows = quotas.iter().flat_map(rows);
    writeln!(out, "{}", table::of(&columns, rows))?;
    Ok(Ended::Well)
}

/// The quota's own row, and one for each lease.
fn rows(quota: &LentView) -> Vec<Vec<String>> {
    let key = quota.key.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
    let texts = [quota.id.clone(), quota.limit.clone(), key, String::new(), String::new()];
    let figures = [quota.units, quota.settled, quota.held, quota.overrun, quota.left];
    let figures = figures.map(|figure| figure.to_string());
    let mut all = vec![texts.into_iter().chain(figures).chain([String::new()]).collect()];
    for lease in &quota.leases {
        let held = lease.granted.saturating_sub(lease.spent).saturating_sub(lease.returned);
        let texts = [String::new(), String::new(), String::new(), lease.lease.clone(), lease.node.clone()];
        let figures = [lease.granted, lease.spent, held, lease.overrun].map(|figure| figure.to_string());
        let until = moment(Some(lease.expires_ms));
        let until = if lease.expired { format!("{until} (over)") } else { until };
        all.push(texts.into_iter().chain(figures).chain([String::new(), until]).collect());
    }
    all
}
