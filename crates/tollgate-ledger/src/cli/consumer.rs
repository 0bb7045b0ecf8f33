//! `tollgate consumer`: who consumers are, and what is decided about them.

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::json;
use tollgate_wire::PERCENT_MAX;

use super::client::{Client, address_of};
use super::span::EndArgs;
use super::table::{self, Column};
use super::{Answer, Ended, LedgerArgs, moment};
use crate::admin::{Decision, LimitOverride, Profile};
use crate::service::{ConsumerView, ConsumersPage, DecisionWanted};

/// Work on consumers.
#[derive(Debug, Subcommand)]
pub(super) enum ConsumerCommand {
    /// List the consumers that something was decided about
    List {
        /// Only those given this tier
        #[arg(long)]
        tier: Option<String>,
        /// Only those with this status
        #[arg(long, value_parser = ["active", "grace", "suspended"])]
        status: Option<String>,
        /// Only those of this team
        #[arg(long)]
        team: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show one consumer
    Show {
        /// The consumer
        id: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Say who a consumer is: tier, roles, team, project. What was decided about it stays
    Define {
        /// The consumer
        id: String,
        /// Its tier; what its requests say if absent
        #[arg(long)]
        tier: Option<String>,
        /// A role; may be given several times
        #[arg(long)]
        role: Vec<String>,
        /// Its team
        #[arg(long, default_value = "")]
        team: String,
        /// Its project
        #[arg(long, default_value = "")]
        project: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Refuse its requests with 403, for good or for some time; the reason is told
    Suspend(ForSomeTime),
    /// Let its requests pass again; ends a grace as well
    Unsuspend(Plain),
    /// Let its requests pass whatever its limits say, for some time; they are counted
    Grace(ForSomeTime),
    /// Give it a tier
    Tier {
        /// The consumer
        id: String,
        /// The tier; what its requests say if absent
        tier: Option<String>,
        #[command(flatten)]
        why: Why,
    },
    /// Give it another tier for some time
    Override {
        /// The consumer
        id: String,
        /// The tier
        tier: String,
        #[command(flatten)]
        end: EndArgs,
        #[command(flatten)]
        why: Why,
    },
    /// End an override before its time
    EndOverride(Plain),
    /// Have so many percent of one of its limits for some time: 200 is twice as much. Of a global quota: `quota override`
    OverrideLimit {
        /// The consumer
        id: String,
        /// The limit's name in the configuration
        limit: String,
        /// How much of it there is, in percent
        #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(PERCENT_MAX)))]
        percent: u32,
        #[command(flatten)]
        end: EndArgs,
        #[command(flatten)]
        why: Why,
    },
    /// End the override of a limit before its time
    EndLimitOverride {
        /// The consumer
        id: String,
        /// The limit's name
        limit: String,
        #[command(flatten)]
        why: Why,
    },
    /// Exempt it from all limits, for good or for some time; what it uses is entered all the same
    Bypass(ForSomeTime),
    /// End an exemption
    EndBypass(Plain),
    /// Give it fresh balances, as if it had used nothing in the windows that are open
    Reset(Plain),
    /// Give back its bursts alone: those of rates, not of quotas
    ResetBursts(Plain),
}

/// A decision about one consumer.
#[derive(Debug, Args)]
pub(super) struct Plain {
    /// The consumer
    id: String,
    #[command(flatten)]
    why: Why,
}

/// A decision that may have an end.
#[derive(Debug, Args)]
pub(super) struct ForSomeTime {
    /// The consumer
    id: String,
    #[command(flatten)]
    end: EndArgs,
    #[command(flatten)]
    why: Why,
}

/// Why, through which ledger, and how to print what came of it.
#[derive(Debug, Args)]
pub(super) struct Why {
    /// Why; it is in the audit trail, and told to whom it is about
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// Through which ledger, and how to print.
#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    #[command(flatten)]
    pub(super) ledger: LedgerArgs,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn consumer(command: &ConsumerCommand, out: &mut dyn Write) -> Answer {
    use ConsumerCommand as C;
    match command {
        C::List { tier, status, team, output } => {
            list([("tier", tier), ("status", status), ("team", team)], output, out)
        }
        C::Show { id, output } => {
            let path = address_of(&["v1", "consumers", id]);
            print(&[Client::json(Client::new(&output.ledger)?.get(&path, &[])?)?], output.json, false, out)
        }
        C::Define { id, tier, role, team, project, output } => {
            let profile = Profile {
                tier: tier.clone(),
                roles: role.clone(),
                team: team.clone(),
                project: project.clone(),
            };
            let answer = Client::new(&output.ledger)?.put(&["v1", "consumers", id], &profile)?;
            print(&[Client::json(answer)?], output.json, false, out)
        }
        C::Suspend(args) => {
            decide(&args.id, Decision::Suspend { until_ms: args.end.until_ms() }, &args.why, out)
        }
        C::Unsuspend(args) => decide(&args.id, Decision::Unsuspend {}, &args.why, out),
        C::Grace(args) => {
            decide(&args.id, Decision::Grace { until_ms: args.end.needed_ms()? }, &args.why, out)
        }
        C::Tier { id, tier, why } => decide(id, Decision::Tier { tier: tier.clone() }, why, out),
        C::Override { id, tier, end, why } => {
            let decision = Decision::Override { tier: tier.clone(), until_ms: end.needed_ms()? };
            decide(id, decision, why, out)
        }
        C::EndOverride(args) => decide(&args.id, Decision::EndOverride {}, &args.why, out),
        C::OverrideLimit { id, limit, percent, end, why } => {
            let (limit, until_ms) = (limit.clone(), end.needed_ms()?);
            decide(id, Decision::OverrideLimit { limit, percent: *percent, until_ms }, why, out)
        }
        C::EndLimitOverride { id, limit, why } => {
            decide(id, Decision::EndLimitOverride { limit: limit.clone() }, why, out)
        }
        C::Bypass(args) => {
            decide(&args.id, Decision::Bypass { until_ms: args.end.until_ms() }, &args.why, out)
        }
        C::EndBypass(args) => decide(&args.id, Decision::EndBypass {}, &args.why, out),
        C::Reset(args) => decide(&args.id, Decision::Reset {}, &args.why, out),
        C::ResetBursts(args) => decide(&args.id, Decision::ResetBursts {}, &args.why, out),
    }
}

fn decide(id: &str, decision: Decision, why: &Why, out: &mut dyn Write) -> Answer {
    let wanted = DecisionWanted { reason: why.reason.clone(), decision };
    let answer = Client::new(&why.output.ledger)?.post(&["v1", "consumers", id, "decisions"], &wanted)?;
    print(&[Client::json(answer)?], why.output.json, false, out)
}

fn list(filter: [(&str, &Option<String>); 3], output: &OutputArgs, out: &mut dyn Write) -> Answer {
    let client = Client::new(&output.ledger)?;
    let mut consumers = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query: Vec<_> = filter.iter().map(|(name, value)| (*name, value.as_deref())).collect();
        query.extend([("limit", Some("1000")), ("cursor", cursor.as_deref())]);
        let mut page: ConsumersPage = Client::json(client.get("/v1/consumers", &query)?)?;
        consumers.append(&mut page.consumers);
        cursor = page.next;
        if cursor.is_none() {
            return print(&consumers, output.json, true, out);
        }
    }
}

/// `rpm 200 % until 2026-12-01T15:00:00Z`
fn of_limit(one: &LimitOverride) -> String {
    format!("{} {} % until {}", one.limit, one.percent, moment(Some(one.until_ms)))
}

fn print(consumers: &[ConsumerView], as_json: bool, many: bool, out: &mut dyn Write) -> Answer {
    if as_json {
        let document = match consumers {
            [one] if !many => json!(one),
            all => json!({"consumers": all}),
        };
        writeln!(out, "{}", serde_json::to_string_pretty(&document)?)?;
        return Ok(Ended::Well);
    }
    let columns =
        ["consumer", "status", "until", "tier", "until", "limits", "exempt", "team", "project", "reason"]
            .map(Column::left);
    let rows = consumers.iter().map(|view| {
        let over = |until_ms: Option<u64>| moment(until_ms.filter(|_| view.status_now == view.record.status));
        vec![
            view.id.clone(),
            view.status_now.as_str().to_owned(),
            over(view.record.status_until_ms),
            view.tier_now.clone().unwrap_or_default(),
            moment(view.record.for_now.as_ref().map(|for_now| for_now.until_ms)),
            view.limits_now.iter().map(of_limit).collect::<Vec<_>>().join(", "),
            if view.exempt_now { "yes".into() } else { String::new() },
            view.record.team.clone(),
            view.record.project.clone(),
            view.record.reason.clone(),
        ]
    });
    writeln!(out, "{}", table::of(&columns, rows))?;
    Ok(Ended::Well)
}
