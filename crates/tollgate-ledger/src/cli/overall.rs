//! `tollgate switch`, `tollgate memory`, `tollgate tiers` and `tollgate statistics`: what holds for everybody.

use std::io::Write;

use clap::Subcommand;
use serde_json::Value;

use super::client::Client;
use super::consumer::OutputArgs;
use super::table::{self, Column};
use super::{Answer, Ended, moment};
use crate::admin::Enforcement;
use crate::service::{
    BurstsWanted, MemoryPage, MemoryTold, MemoryView, Statistics, SwitchWanted, SwitchesView, Tiers,
};

/// Work on the switches for everybody.
#[derive(Debug, Subcommand)]
pub(super) enum SwitchCommand {
    /// Show the switches
    Show {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Enforce limits, decide and count them only (shadow), or don't decide them (off)
    Enforcement {
        /// Which way; as each Envoy is configured if absent
        #[arg(value_enum)]
        to: Option<Enforcement>,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Give everybody's bursts back: those of rates, not of quotas
    ResetBursts {
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// Work on the memory that models use.
#[derive(Debug, Subcommand)]
pub(super) enum MemoryCommand {
    /// List the memory that models use, as it was told
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Tell how much memory a model uses; the peak is kept
    Set {
        /// The model
        model: String,
        /// Megabytes of main memory
        #[arg(long)]
        ram_mb: u64,
        /// Megabytes of disk
        #[arg(long, default_value_t = 0)]
        ssd_mb: u64,
        #[command(flatten)]
        output: OutputArgs,
    },
}

pub(super) fn switch(command: &SwitchCommand, out: &mut dyn Write) -> Answer {
    let (output, answer) = match command {
        SwitchCommand::Show { output } => (output, Client::new(&output.ledger)?.get("/v1/switches", &[])?),
        SwitchCommand::Enforcement { to, reason, output } => {
            let wanted = SwitchWanted { enforcement: *to, reason: reason.clone() };
            (output, Client::new(&output.ledger)?.put(&["v1", "switches"], &wanted)?)
        }
        SwitchCommand::ResetBursts { reason, output } => {
            let wanted = BurstsWanted { reason: reason.clone() };
            (output, Client::new(&output.ledger)?.post(&["v1", "bursts", "reset"], &wanted)?)
        }
    };
    let view: SwitchesView = Client::json(answer)?;
    if output.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&view)?)?;
        return Ok(Ended::Well);
    }
    let way = match view.switches.enforcement {
        None => "as configured",
        Some(Enforcement::On) => "on",
        Some(Enforcement::Shadow) => "shadow",
        Some(Enforcement::Off) => "off",
    };
    writeln!(out, "enforcement: {way}\nbursts reset: {} times", view.switches.burst_resets)?;
    Ok(Ended::Well)
}

pub(super) fn memory(command: &MemoryCommand, out: &mut dyn Write) -> Answer {
    let (output, models) = match command {
        MemoryCommand::List { output } => {
            let page: MemoryPage = Client::json(Client::new(&output.ledger)?.get("/v1/memory", &[])?)?;
            (output, page.models)
        }
        MemoryCommand::Set { model, ram_mb, ssd_mb, output } => {
            let told = MemoryTold { ram_mb: *ram_mb, ssd_mb: *ssd_mb };
            let view: MemoryView =
                Client::json(Client::new(&output.ledger)?.put(&["v1", "memory", model], &told)?)?;
            (output, vec![view])
        }
    };
    if output.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&MemoryPage { models })?)?;
        return Ok(Ended::Well);
    }
    let figures = ["ram MB", "peak", "ssd MB", "peak"].map(Column::right);
    let columns: Vec<Column> =
        [Column::left("model")].into_iter().chain(figures).chain([Column::left("told")]).collect();
    let rows = models.iter().map(|view| {
        let memory = &view.memory;
        let figures = [memory.ram_mb, memory.peak_ram_mb, memory.ssd_mb, memory.peak_ssd_mb];
        let figures = figures.map(|figure| figure.to_string());
        [view.model.clone()].into_iter().chain(figures).chain([moment(Some(view.updated_ms))]).collect()
    });
    writeln!(out, "{}", table::of(&columns, rows))?;
    Ok(Ended::Well)
}

pub(super) fn tiers(output: &OutputArgs, out: &mut dyn Write) -> Answer {
    let tiers: Tiers = Client::json(Client::new(&output.ledger)?.get("/v1/tiers", &[])?)?;
    if output.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&tiers)?)?;
        return Ok(Ended::Well);
    }
    if !tiers.known {
        return Err("the ledger was not told how filters are configured: start it with --policy FILE".into());
    }
    let columns = ["tier", "limit", "is"].map(Column::left);
    let mut rows = Vec::new();
    for (name, tier) in &tiers.tiers {
        let default = if *name == tiers.default_tier { " (default)" } else { "" };
        let mut name = format!("{name}{default}");
        let limits = tier.get("limits").and_then(Value::as_array).into_iter().flatten();
        let before = rows.len();
        // A tier's name stands once, before its first limit.
        rows.extend(limits.map(of_limit).map(|(limit, terms)| vec![std::mem::take(&mut name), limit, terms]));
        if rows.len() == before {
            rows.push(vec![name, String::new(), String::new()]);
        }
    }
    writeln!(out, "{}", table::of(&columns, rows))?;
    Ok(Ended::Well)
}

/// A limit's name, and the rest of it as it is configured.
fn of_limit(limit: &Value) -> (String, String) {
    let mut terms = limit.as_object().cloned().unwrap_or_default();
    let name = terms.remove("name");
    let name = name.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
    (name, Value::from(terms).to_string())
}

pub(super) fn statistics(output: &OutputArgs, out: &mut dyn Write) -> Answer {
    let answer = Client::new(&output.ledger)?.get("/v1/statistics", &[])?;
    if output.json {
        let document: Value = Client::json(answer)?;
        writeln!(out, "{}", serde_json::to_string_pretty(&document)?)?;
        return Ok(Ended::Well);
    }
    let statistics: Statistics = Client::json(answer)?;
    let columns = [Column::left("tier"), Column::left("status"), Column::right("consumers")];
    let rows = statistics.consumers.iter();
    let rows = rows.map(|row| vec![row.tier.clone(), row.status.clone(), row.consumers.to_string()]);
    writeln!(out, "{}\n", table::of(&columns, rows))?;
    let columns = [Column::left("dearest this month"), Column::right("requests"), Column::right("cost $")];
    let rows = statistics.top.iter().map(|row| {
        vec![row.consumer.clone(), row.usage.requests.to_string(), row.usage.cost_nusd.to_string()]
    });
    writeln!(out, "{}", table::of(&columns, rows))?;
    Ok(Ended::Well)
}
