//! The self-audit: usage is the sum of the entries, and no entry is there twice.
//!
//! It adds the entries up anew, in one read transaction, by other statements than the ones that keep the roll-up.
//! Months whose entries retention has dropped can't be compared; their rows are counted and reported.

use rusqlite::{Transaction, params};
use tollgate_wire::NanoUsd;

use super::{months, report};
use crate::calendar::{DAY_MS, Month};
use crate::store::{AuditReport, DIFFERENCES_MAX, Difference, Sums};

const KEY: &str = "consumer, team, project, tier, provider, model, action";

/// Sums of one month's entries by window: ?1 is the day's length for days, ?2 the month's start for months.
const FROM_ENTRIES: &str = "SUM(requests) AS requests,
    SUM(CASE WHEN outcome = 'refused' THEN requests ELSE 0 END) AS refused,
    SUM(CASE WHEN outcome = 'error' THEN requests ELSE 0 END) AS errors,
    SUM(CASE WHEN outcome = 'estimated' THEN requests ELSE 0 END) AS estimated,
    SUM(input) AS input, SUM(cache_read) AS cache_read, SUM(cache_write) AS cache_write, SUM(output) AS output,
    SUM(reasoning) AS reasoning, SUM(cost_nusd) AS cost_nusd, SUM(credits) AS credits";

const SUMS: &str = "requests, refused, errors, estimated, input, cache_read, cache_write, output, reasoning, cost_nusd, credits";

pub(super) fn report(transaction: &Transaction<'_>) -> rusqlite::Result<AuditReport> {
    let mut report = AuditReport::default();
    let present = months::present(transaction)?;
    for month in &present {
        count_entries(transaction, *month, &mut report)?;
        compare(transaction, *month, &mut report)?;
    }
    find_twice(transaction, &present, &mut report)?;
    find_orphans(transaction, &present, &mut report)?;
    find_short_batches(transaction, &present, &mut report)?;
    report.differences.sort();
    Ok(report)
}

fn count_entries(
    transaction: &Transaction<'_>,
    month: Month,
    report: &mut AuditReport,
) -> rusqlite::Result<()> {
    let text = format!("SELECT COUNT(*), COALESCE(SUM(cost_nusd), 0) FROM {}", months::table(month));
    let (entries, cost): (u64, u64) =
        transaction.query_row(&text, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    report.entries += entries;
    report.cost_nusd += NanoUsd(cost);
    Ok(())
}

/// Rows that only one side has, or both with other sums: a full outer join written as two halves, since not every
/// SQLite has one.
fn compare(transaction: &Transaction<'_>, month: Month, report: &mut AuditReport) -> rusqlite::Result<()> {
    let (start, end) = (month.start_ms(), month.next().start_ms());
    let windows = "SELECT window_kind, window_start_ms, consumer, team, project, tier, provider, model, action,
         SUM(requests) AS requests, SUM(refused) AS refused, SUM(errors) AS errors, SUM(estimated) AS estimated,
         SUM(input) AS input, SUM(cache_read) AS cache_read, SUM(cache_write) AS cache_write, SUM(output) AS output,
         SUM(reasoning) AS reasoning, SUM(cost_nusd) AS cost_nusd, SUM(credits) AS credits
       FROM usage_windows WHERE window_start_ms >= ?2 AND window_start_ms < ?3
       GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9";
    let table = months::table(month);
    let entries = format!(
        "SELECT 'day' AS window_kind, at_ms - at_ms % ?1 AS window_start_ms, {KEY}, {FROM_ENTRIES}
           FROM {table} GROUP BY 2, {KEY}
         UNION ALL
         SELECT 'month' AS window_kind, ?2 AS window_start_ms, {KEY}, {FROM_ENTRIES} FROM {table} GROUP BY {KEY}"
    );
    for (left, right, entries_first) in
        [(entries.as_str(), windows, true), (windows, entries.as_str(), false)]
    {
        let text = half_join(left, right, entries_first);
        let mut statement = transaction.prepare(&text)?;
        let mut rows = statement.query(params![DAY_MS, start, end])?;
        while let Some(row) = rows.next()? {
            note(report, difference(row, entries_first)?);
        }
    }
    let count = "SELECT COUNT(*) FROM usage_windows WHERE window_start_ms >= ?1 AND window_start_ms < ?2";
    report.usage_rows += transaction.query_row(count, params![start, end], |row| row.get::<_, u64>(0))?;
    Ok(())
}

/// Rows of `left` without their equal in `right`. Differing sums are found by the first half alone.
fn half_join(left: &str, right: &str, with_sums: bool) -> String {
    let key = "window_kind, window_start_ms, consumer, team, project, tier, provider, model, action";
    let of = |side: &str, columns: &str| {
        columns.split(", ").map(|column| format!("{side}.{column}")).collect::<Vec<_>>().join(", ")
    };
    let on: Vec<String> = key.split(", ").map(|column| format!("l.{column} = r.{column}")).collect();
    let differ = format!("OR ({}) <> ({})", of("l", SUMS), of("r", SUMS));
    format!(
        "SELECT {}, {}, r.window_kind, {} FROM ({left}) AS l LEFT JOIN ({right}) AS r ON {}
         WHERE ?1 > 0 AND (r.window_kind IS NULL {})",
        of("l", key),
        of("l", SUMS),
        of("r", SUMS),
        on.join(" AND "),
        if with_sums { differ.as_str() } else { "" }
    )
}

fn difference(row: &rusqlite::Row<'_>, entries_first: bool) -> rusqlite::Result<Difference> {
    let kind: String = row.get(0)?;
    let start_ms: u64 = row.get(1)?;
    let key: Vec<String> = (2..9).map(|at| row.get(at)).collect::<rusqlite::Result<_>>()?;
    let here = describe(&report::sums(row, 9)?);
    let there = match row.get::<_, Option<String>>(20)? {
        Some(_) => describe(&report::sums(row, 21)?),
        None => "nothing".into(),
    };
    let (entries, books) = if entries_first { (here, there) } else { (there, here) };
    let date = crate::calendar::date_of(start_ms);
    Ok(Difference { what: format!("usage of {kind} {date}, {KEY} = {}", key.join("/")), entries, books })
}

fn describe(sums: &Sums) -> String {
    format!(
        "{} requests ({} refused, {} errors, {} estimated), tokens {}/{}/{}/{}/{}, ${}, {} microcredits",
        sums.requests,
        sums.refused,
        sums.errors,
        sums.estimated,
        sums.input.0,
        sums.cache_read.0,
        sums.cache_write.0,
        sums.output.0,
        sums.reasoning.0,
        sums.cost_nusd,
        sums.credits.0
    )
}

/// A GUID is unique within a month by its key; here it is looked for across months.
fn find_twice(
    transaction: &Transaction<'_>,
    present: &[Month],
    report: &mut AuditReport,
) -> rusqlite::Result<()> {
    for pair in present.windows(2) {
        let [earlier, later] = pair else { continue };
        let text = format!(
            "SELECT e.entry_id FROM {} AS e JOIN {} AS l ON l.entry_id = e.entry_id LIMIT {DIFFERENCES_MAX}",
            months::table(*earlier),
            months::table(*later)
        );
        let mut statement = transaction.prepare(&text)?;
        for id in statement.query_map([], |row| row.get::<_, String>(0))? {
            let what = format!("entry {} is there twice", id?);
            note(
                report,
                Difference { what, entries: earlier.yyyymm().to_string(), books: later.yyyymm().to_string() },
            );
        }
    }
    Ok(())
}

/// Usage of months that neither have entries nor were dropped by retention: entries that went missing.
fn find_orphans(
    transaction: &Transaction<'_>,
    present: &[Month],
    report: &mut AuditReport,
) -> rusqlite::Result<()> {
    let retired = months::retired_to(transaction)?;
    let mut statement = transaction
        .prepare("SELECT window_start_ms, COUNT(*) FROM usage_windows GROUP BY window_start_ms ORDER BY 1")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?)))?;
    for row in rows {
        let (start_ms, count) = row?;
        let month = Month::of(start_ms);
        if present.contains(&month) {
            continue;
        }
        if retired.is_some_and(|retired| month <= retired) {
            report.retired_rows += count;
        } else {
            let what = format!("usage of {} without a month of entries", crate::calendar::date_of(start_ms));
            note(report, Difference { what, entries: "nothing".into(), books: format!("{count} rows") });
        }
    }
    Ok(())
}

/// Batches that made more entries than there are: entries that went missing. A batch with entries in a dropped month
/// can't be told any more.
fn find_short_batches(
    transaction: &Transaction<'_>,
    present: &[Month],
    report: &mut AuditReport,
) -> rusqlite::Result<()> {
    let parts: Vec<String> = present
        .iter()
        .map(|month| format!("SELECT source_id, seq FROM {}", months::table(*month)))
        .chain(["SELECT 0 AS source_id, 0 AS seq WHERE FALSE".to_owned()])
        .collect();
    let kept_from = months::retired_to(transaction)?.map_or(0, |retired| retired.next().start_ms());
    let text = format!(
        "SELECT b.worker, b.seq, b.entries_new, COALESCE(f.entries, 0) FROM batches AS b
         LEFT JOIN (SELECT s.worker, e.seq, COUNT(*) AS entries FROM ({}) AS e
                    JOIN sources AS s ON s.source_id = e.source_id GROUP BY s.worker, e.seq) AS f
           ON f.worker = b.worker AND f.seq = b.seq
         WHERE b.entries_new > COALESCE(f.entries, 0) AND b.oldest_ms >= ?1 LIMIT {DIFFERENCES_MAX}",
        parts.join(" UNION ALL ")
    );
    let mut statement = transaction.prepare(&text)?;
    let mut rows = statement.query([kept_from])?;
    while let Some(row) = rows.next()? {
        let (worker, seq): (String, u64) = (row.get(0)?, row.get(1)?);
        let (books, entries): (u64, u64) = (row.get(2)?, row.get(3)?);
        let what = format!("batch {seq} of worker {worker}");
        let (entries, books) = (format!("{entries} entries"), format!("{books} entries"));
        note(report, Difference { what, entries, books });
    }
    Ok(())
}

fn note(report: &mut AuditReport, difference: Difference) {
    if report.differences.len() < DIFFERENCES_MAX {
        report.differences.push(difference);
    }
}
