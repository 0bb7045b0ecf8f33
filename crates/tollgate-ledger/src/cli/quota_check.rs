//! `tollgate quota check`: whether the ledger knows of anything that would refuse a request.

use std::io::Write;

use clap::Args;

use super::client::Client;
use super::consumer::OutputArgs;
use super::{Answer, Ended, moment};
use crate::service::{CheckAnswer, CheckWanted};

/// A request that is not made.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Who would pay
    #[arg(long)]
    consumer: String,
    /// Its team; the record's if absent
    #[arg(long)]
    team: Option<String>,
    /// Its project; the record's if absent
    #[arg(long)]
    project: Option<String>,
    /// Its tier; the record's if absent
    #[arg(long)]
    tier: Option<String>,
    /// The provider
    #[arg(long, default_value = "")]
    provider: String,
    /// The model
    #[arg(long, default_value = "")]
    model: String,
    /// The action
    #[arg(long, default_value = "")]
    action: String,
    /// The workflow
    #[arg(long, default_value = "")]
    workflow: String,
    /// The tool
    #[arg(long, default_value = "")]
    tool: String,
    /// The interface
    #[arg(long, default_value = "")]
    interface: String,
    /// Input tokens
    #[arg(long, default_value_t = 0)]
    input: u64,
    /// Output tokens
    #[arg(long, default_value_t = 0)]
    output_tokens: u64,
    /// Cost in 10^-9 dollars
    #[arg(long, default_value_t = 0)]
    cost_nusd: u64,
    /// Cost in 10^-6 credits
    #[arg(long, default_value_t = 0)]
    credits: u64,
    #[command(flatten)]
    output: OutputArgs,
}

impl CheckArgs {
    fn wanted(&self) -> CheckWanted {
        CheckWanted {
            consumer: self.consumer.clone(),
            team: self.team.clone(),
            project: self.project.clone(),
            tier: self.tier.clone(),
            provider: self.provider.clone(),
            model: self.model.clone(),
            action: self.action.clone(),
            workflow: self.workflow.clone(),
            tool: self.tool.clone(),
            interface: self.interface.clone(),
            input: self.input,
            output: self.output_tokens,
            cost_nusd: self.cost_nusd,
            credits: self.credits,
        }
    }
}

pub(super) fn check(args: &CheckArgs, out: &mut dyn Write) -> Answer {
    let client = Client::new(&args.output.ledger)?;
    let answer: CheckAnswer = Client::json(client.post(&["v1", "check"], &args.wanted())?)?;
    if args.output.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
    } else {
        let because = answer.because.as_ref().map(|because| format!(" ({because})")).unwrap_or_default();
        writeln!(out, "{}{because}", if answer.passes { "passes" } else { "refused" })?;
        for refusal in &answer.refusals {
            let what = refusal.quota.as_ref().unwrap_or(&refusal.kind);
            let until =
                refusal.until_ms.map(|ms| format!("; until {}", moment(Some(ms)))).unwrap_or_default();
            writeln!(out, "  {what}: {}{until}", refusal.detail)?;
        }
    }
    Ok(if answer.passes { Ended::Well } else { Ended::Found })
}
