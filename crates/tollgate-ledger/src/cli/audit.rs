//! `tollgate ledger audit`.

use std::io::Write;

use serde_json::json;

use super::database::DatabaseArgs;
use super::{Answer, Ended};
use crate::store::AuditReport;

pub(super) fn audit(database: &DatabaseArgs, as_json: bool, out: &mut dyn Write) -> Answer {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let report = runtime.block_on(database.audit())?;
    if as_json {
        writeln!(out, "{}", document(&report))?;
    } else {
        print(&report, out)?;
    }
    Ok(if report.differences.is_empty() { Ended::Well } else { Ended::Found })
}

fn print(report: &AuditReport, out: &mut dyn Write) -> std::io::Result<()> {
    for difference in &report.differences {
        writeln!(out, "{}", difference.what)?;
        writeln!(out, "  entries: {}", difference.entries)?;
        writeln!(out, "  books:   {}", difference.books)?;
    }
    let AuditReport {
        entries,
        usage_rows,
        quotas,
        retired_rows,
        cost_nusd,
        changes,
        last_change,
        differences,
    } = report;
    writeln!(
        out,
        "{entries} entries of ${cost_nusd}, {usage_rows} rows of usage, {quotas} quotas, {} differences",
        differences.len()
    )?;
    writeln!(out, "{changes} administrative changes, the last with hash {last_change}")?;
    if *retired_rows > 0 {
        writeln!(out, "{retired_rows} rows of months that are no longer kept were not compared")?;
    }
    Ok(())
}

fn document(report: &AuditReport) -> serde_json::Value {
    let differences: Vec<_> = report
        .differences
        .iter()
        .map(|found| json!({"what": found.what, "entries": found.entries, "books": found.books}))
        .collect();
    json!({
        "entries": report.entries,
        "usage_rows": report.usage_rows,
        "quotas": report.quotas,
        "retired_rows": report.retired_rows,
        "cost_nusd": report.cost_nusd,
        "changes": report.changes,
        "last_change": report.last_change,
        "differences": differences,
    })
}
