//! `tollgate quota`: how much there is for whom, and the balances behind it.

use std::collections::BTreeMap;
use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::{Client, address_of};
use super::consumer::OutputArgs;
use super::quota_check::{self, CheckArgs};
use super::span::EndArgs;
use super::table::{self, Column};
use super::{Answer, Ended, moment};
use crate::admin::{Meter, QuotaTerms, quota_id};
use crate::calendar::WindowKind;
use crate::service::{BalanceChange, QuotaView, QuotasPage};

/// Work on quotas.
#[derive(Debug, Subcommand)]
pub(super) enum QuotaCommand {
    /// List the quotas that the ledger has a record of, and how they stand
    List {
        /// Only those of this consumer
        #[arg(long, group = "owner")]
        consumer: Option<String>,
        /// Only those that this team shares
        #[arg(long, group = "owner")]
        team: Option<String>,
        /// Only those that this project shares
        #[arg(long, group = "owner")]
        project: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show one quota
    Show {
        #[command(flatten)]
        name: NameArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Define a quota, or change how much it is. What was carried over and bought stays
    Set {
        #[command(flatten)]
        name: NameArgs,
        /// What is counted
        #[arg(long, value_enum)]
        meter: Meter,
        /// The window, in UTC
        #[arg(long, value_parser = ["day", "month"])]
        per: String,
        /// Units that every window begins with: requests, tokens, 10^-9 dollars, 10^-6 credits
        #[arg(long)]
        amount: u64,
        /// Most units that are carried into the next window
        #[arg(long, default_value_t = 0)]
        carry_over_max: u64,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Add units that were bought: they stay until they are used, and are used last
    TopUp {
        #[command(flatten)]
        name: NameArgs,
        /// How many
        #[arg(long)]
        units: u64,
        /// What they were bought with, or why
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Set another amount for some time
    Override {
        #[command(flatten)]
        name: NameArgs,
        /// Units in a window
        #[arg(long)]
        amount: u64,
        #[command(flatten)]
        end: EndArgs,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// End an override before its time
    EndOverride {
        #[command(flatten)]
        name: NameArgs,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Remove a quota's record: what each Envoy's configuration gives counts again
    Remove {
        #[command(flatten)]
        name: NameArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Say whether the ledger knows of anything that would refuse a request; nothing is charged
    ///
    /// Exit code: 0 when the request would pass, 1 when it would be refused. Token buckets and places in flight are each
    /// Envoy's own and not looked at.
    Check(CheckArgs),
}

/// Which quota.
#[derive(Debug, Args)]
pub(super) struct NameArgs {
    /// Name of the limit, as configurations have it
    limit: String,
    /// Whose it is, as team=search; may be given several times. Everybody's if absent
    #[arg(long, value_name = "ATTRIBUTE=VALUE", value_parser = pair)]
    key: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a key is given as team=search")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl NameArgs {
    fn key(&self) -> BTreeMap<String, String> {
        self.key.iter().cloned().collect()
    }

    fn id(&self) -> String {
        quota_id(&self.limit, &self.key())
    }
}

pub(super) fn quota(command: &QuotaCommand, out: &mut dyn Write) -> Answer {
    match command {
        QuotaCommand::List { consumer, team, project, output } => {
            list([("consumer", consumer), ("team", team), ("project", project)], output, out)
        }
        QuotaCommand::Show { name, output } => {
            let path = address_of(&["v1", "quotas", &name.id()]);
            print(&[Client::json(Client::new(&output.ledger)?.get(&path, &[])?)?], output.json, false, out)
        }
        QuotaCommand::Set { name, meter, per, amount, carry_over_max, output } => {
            let terms = QuotaTerms {
                limit: name.limit.clone(),
                key: name.key(),
                meter: *meter,
                per: if per == "day" { WindowKind::Day } else { WindowKind::Month },
                amount: *amount,
                carry_over_max: *carry_over_max,
            };
            let answer = Client::new(&output.ledger)?.put(&["v1", "quotas"], &terms)?;
            print(&[Client::json(answer)?], output.json, false, out)
        }
        QuotaCommand::TopUp { name, units, reason, output } => {
            change(name, &BalanceChange::TopUp { units: *units, reason: reason.clone() }, output, out)
        }
        QuotaCommand::Override { name, amount, end, reason, output } => {
            let (amount, until_ms) = (*amount, end.needed_ms()?);
            change(name, &BalanceChange::Override { amount, until_ms, reason: reason.clone() }, output, out)
        }
        QuotaCommand::EndOverride { name, reason, output } => {
            change(name, &BalanceChange::EndOverride { reason: reason.clone() }, output, out)
        }
        QuotaCommand::Remove { name, output } => {
            Client::new(&output.ledger)?.delete(&["v1", "quotas", &name.id()])?;
            writeln!(out, "{} is no more", name.id())?;
            Ok(Ended::Well)
        }
        QuotaCommand::Check(args) => quota_check::check(args, out),
    }
}

fn change(name: &NameArgs, change: &BalanceChange, output: &OutputArgs, out: &mut dyn Write) -> Answer {
    let answer = Client::new(&output.ledger)?.post(&["v1", "quotas", &name.id(), "balance"], change)?;
    print(&[Client::json(answer)?], output.json, false, out)
}

fn list(owner: [(&str, &Option<String>); 3], output: &OutputArgs, out: &mut dyn Write) -> Answer {
    let client = Client::new(&output.ledger)?;
    let mut quotas = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query: Vec<_> = owner.iter().map(|(name, value)| (*name, value.as_deref())).collect();
        query.extend([("limit", Some("1000")), ("cursor", cursor.as_deref())]);
        let mut page: QuotasPage = Client::json(client.get("/v1/quotas", &query)?)?;
        quotas.append(&mut page.quotas);
        cursor = page.next;
        if cursor.is_none() {
            return print(&quotas, output.json, true, out);
        }
    }
}

fn print(quotas: &[QuotaView], as_json: bool, many: bool, out: &mut dyn Write) -> Answer {
    if as_json {
        let document = match quotas {
            [one] if !many => json!(one),
            all => json!({"quotas": all}),
        };
        writeln!(out, "{}", serde_json::to_string_pretty(&document)?)?;
        return Ok(Ended::Well);
    }
    let words = ["quota", "meter", "per"].map(Column::left);
    let figures = ["plan", "carried", "bought", "used", "left"].map(Column::right);
    let columns: Vec<Column> = words.into_iter().chain(figures).chain([Column::left("reset")]).collect();
    let rows = quotas.iter().map(|quota| {
        let standing = &quota.standing;
        let figures = [standing.plan, standing.carried, standing.bought, standing.used, standing.left];
        let words =
            [quota.id.clone(), quota.terms.meter.as_str().to_owned(), quota.terms.per.as_str().to_owned()];
        let figures = figures.map(|figure| figure.to_string());
        words.into_iter().chain(figures).chain([moment(Some(standing.end_ms))]).collect()
    });
    writeln!(out, "{}", table::of(&columns, rows))?;
    Ok(Ended::Well)
}
