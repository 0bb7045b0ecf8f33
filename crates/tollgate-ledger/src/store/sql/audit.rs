//! The self-audit: usage is the sum of the entries, no entry is there twice, quotas have settled and lent what their
//! leases say, never more than their limit, and administrative changes are one chain.
//!
//! It adds the entries up anew, in one read transaction, by other statements than the ones that keep the roll-up.
//! Months whose entries retention has dropped can't be compared; their rows are counted and reported.

use tollgate_wire::NanoUsd;

use super::report::{SUM_COLUMNS, USAGE_KEY as KEY, summed, sums};
use super::{Row, Sql, admin, months};
use crate::calendar::{DAY_MS, Month};
use crate::store::{AuditReport, Chain, DIFFERENCES_MAX, Difference, StoreError, Sums, TrailQuery};

const DOING: &str = "auditing";

/// See [`crate::store::Store::audit`].
pub(in crate::store) async fn report(sql: &mut dyn Sql) -> Result<AuditReport, StoreError> {
    let mut report = AuditReport::default();
    let present = months::present(sql).await?;
    for month in &present {
        count_entries(sql, *month, &mut report).await?;
        compare(sql, *month, &mut report).await?;
    }
    find_twice(sql, &present, &mut report).await?;
    find_orphans(sql, &present, &mut report).await?;
    find_short_batches(sql, &present, &mut report).await?;
    compare_quotas(sql, &mut report).await?;
    follow_changes(sql, &mut report).await?;
    report.differences.sort();
    Ok(report)
}

/// The trail of administrative changes is one chain.
async fn follow_changes(sql: &mut dyn Sql, report: &mut AuditReport) -> Result<(), StoreError> {
    const PAGE: usize = 1000;
    let mut chain = Chain::default();
    loop {
        let query = TrailQuery { after: chain.entries, limit: PAGE, ..TrailQuery::default() };
        let page = admin::trail(sql, &query).await?;
        page.iter().for_each(|entry| chain.follow(entry));
        if page.len() < PAGE || chain.broken.is_some() {
            break;
        }
    }
    if let Some(broken) = chain.broken {
        note(report, broken);
    }
    report.changes = chain.entries;
    report.last_change = chain.head;
    find_unexplained(sql, report).await
}

/// Records that are not as the last change left them. Of tokens the trail has no hash, so that they are not compared.
async fn find_unexplained(sql: &mut dyn Sql, report: &mut AuditReport) -> Result<(), StoreError> {
    let text = format!(
        "SELECT r.kind, r.id, r.version, COALESCE(r.doc, 'null'), COALESCE(a.after_doc, 'nothing')
           FROM admin_records AS r
           LEFT JOIN admin_audit AS a
             ON a.seq = r.revision AND a.kind = r.kind AND a.id = r.id AND a.version = r.version
         WHERE a.seq IS NULL OR (r.kind <> 'token' AND COALESCE(r.doc, 'null') <> a.after_doc)
         ORDER BY r.kind, r.id LIMIT {DIFFERENCES_MAX}"
    );
    for row in sql.query(DOING, &text, &[]).await? {
        let what = format!("{} {}, version {}", row.text(0)?, row.text(1)?, row.int(2)?);
        note(report, Difference { what, entries: row.text(4)?, books: row.text(3)? });
    }
    Ok(())
}

async fn count_entries(sql: &mut dyn Sql, month: Month, report: &mut AuditReport) -> Result<(), StoreError> {
    let table = months::table(month);
    let text = format!("SELECT COUNT(*), CAST(COALESCE(SUM(cost_nusd), 0) AS BIGINT) FROM {table}");
    for row in sql.query(DOING, &text, &[]).await? {
        report.entries += row.int(0)?;
        report.cost_nusd += NanoUsd(row.int(1)?);
    }
    Ok(())
}

/// The usage that a month's entries add up to, day by day and as a whole: ?1 is the day's length, ?2 the month's start.
fn from_entries(month: Month) -> String {
    let table = months::table(month);
    let when = |outcome| format!("CASE WHEN outcome = '{outcome}' THEN requests ELSE 0 END");
    let sums = SUM_COLUMNS.map(|column| {
        let value = match column {
            "refused" => when("refused"),
            "errors" => when("error"),
            "estimated" => when("estimated"),
            other => other.to_owned(),
        };
        format!("CAST(SUM({value}) AS BIGINT) AS {column}")
    });
    let sums = sums.join(", ");
    format!(
        "SELECT 'day' AS window_kind, at_ms - at_ms % ?1 AS window_start_ms, {KEY}, {sums}
           FROM {table} GROUP BY 2, {KEY}
         UNION ALL
         SELECT 'month' AS window_kind, CAST(?2 AS BIGINT) AS window_start_ms, {KEY}, {sums}
           FROM {table} GROUP BY {KEY}"
    )
}

/// Rows that only one side has, or both with other sums: a full outer join written as two halves, since not every
/// SQLite has one.
async fn compare(sql: &mut dyn Sql, month: Month, report: &mut AuditReport) -> Result<(), StoreError> {
    let (start, end) = (month.start_ms(), month.next().start_ms());
    let windows = format!(
        "SELECT window_kind, window_start_ms, {KEY}, {} FROM usage_windows
         WHERE window_start_ms >= CAST(?2 AS BIGINT) AND window_start_ms < ?3 GROUP BY window_kind, window_start_ms, {KEY}",
        summed()
    );
    let entries = from_entries(month);
    for (left, right, entries_first) in [(&entries, &windows, true), (&windows, &entries, false)] {
        let text = half_join(left, right, entries_first);
        for row in sql.query(DOING, &text, &[DAY_MS.into(), start.into(), end.into()]).await? {
            note(report, difference(&row, entries_first)?);
        }
    }
    let count = "SELECT COUNT(*) FROM usage_windows WHERE window_start_ms >= ?1 AND window_start_ms < ?2";
    for row in sql.query(DOING, count, &[start.into(), end.into()]).await? {
        report.usage_rows += row.int(0)?;
    }
    Ok(())
}

/// Rows of `left` without their equal in `right`. Differing sums are found by the first half alone.
fn half_join(left: &str, right: &str, with_sums: bool) -> String {
    let key: Vec<&str> = ["window_kind", "window_start_ms"].into_iter().chain(KEY.split(", ")).collect();
    let of = |side: &str, columns: &[&str]| {
        columns.iter().map(|column| format!("{side}.{column}")).collect::<Vec<_>>().join(", ")
    };
    let on: Vec<String> = key.iter().map(|column| format!("l.{column} = r.{column}")).collect();
    let (mine, theirs) = (of("l", &SUM_COLUMNS), of("r", &SUM_COLUMNS));
    let differ = if with_sums { format!("OR ({mine}) <> ({theirs})") } else { String::new() };
    format!(
        "SELECT {}, {mine}, r.window_kind, {theirs} FROM ({left}) AS l LEFT JOIN ({right}) AS r ON {}
         WHERE r.window_kind IS NULL {differ} LIMIT {DIFFERENCES_MAX}",
        of("l", &key),
        on.join(" AND "),
    )
}

fn difference(row: &Row, entries_first: bool) -> Result<Difference, StoreError> {
    let (kind, start_ms) = (row.text(0)?, row.int(1)?);
    let here_at = 2 + KEY.split(", ").count();
    let there_at = here_at + SUM_COLUMNS.len();
    let key: Vec<String> = (2..here_at).map(|at| row.text(at)).collect::<Result<_, _>>()?;
    let here = describe(&sums(row, here_at)?);
    let there = if row.is_null(there_at) { "nothing".into() } else { describe(&sums(row, there_at + 1)?) };
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
async fn find_twice(
    sql: &mut dyn Sql,
    present: &[Month],
    report: &mut AuditReport,
) -> Result<(), StoreError> {
    for pair in present.windows(2) {
        let [earlier, later] = pair else { continue };
        let text = format!(
            "SELECT e.entry_id FROM {} AS e JOIN {} AS l ON l.entry_id = e.entry_id LIMIT {DIFFERENCES_MAX}",
            months::table(*earlier),
            months::table(*later)
        );
        for row in sql.query(DOING, &text, &[]).await? {
            let what = format!("entry {} is there twice", row.text(0)?);
            let (entries, books) = (earlier.yyyymm().to_string(), later.yyyymm().to_string());
            note(report, Difference { what, entries, books });
        }
    }
    Ok(())
}

/// Usage of months that neither have entries nor were dropped by retention: entries that went missing.
async fn find_orphans(
    sql: &mut dyn Sql,
    present: &[Month],
    report: &mut AuditReport,
) -> Result<(), StoreError> {
    let retired = months::retired_to(sql).await?;
    let text = "SELECT window_start_ms, COUNT(*) FROM usage_windows GROUP BY window_start_ms ORDER BY 1";
    for row in sql.query(DOING, text, &[]).await? {
        let (start_ms, count) = (row.int(0)?, row.int(1)?);
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
async fn find_short_batches(
    sql: &mut dyn Sql,
    present: &[Month],
    report: &mut AuditReport,
) -> Result<(), StoreError> {
    let parts: Vec<String> = present
        .iter()
        .map(|month| format!("SELECT source_id, seq FROM {}", months::table(*month)))
        .chain(["SELECT source_id, source_id AS seq FROM sources WHERE FALSE".to_owned()])
        .collect();
    let kept_from = months::retired_to(sql).await?.map_or(0, |retired| retired.next().start_ms());
    let text = format!(
        "SELECT b.worker, b.seq, b.entries_new, COALESCE(f.entries, 0) FROM batches AS b
         LEFT JOIN (SELECT s.worker, e.seq, COUNT(*) AS entries FROM ({}) AS e
                    JOIN sources AS s ON s.source_id = e.source_id GROUP BY s.worker, e.seq) AS f
           ON f.worker = b.worker AND f.seq = b.seq
         WHERE b.entries_new > COALESCE(f.entries, 0) AND b.oldest_ms >= ?1 LIMIT {DIFFERENCES_MAX}",
        parts.join(" UNION ALL ")
    );
    for row in sql.query(DOING, &text, &[kept_from.into()]).await? {
        let what = format!("batch {} of worker {}", row.int(1)?, row.text(0)?);
        let (books, entries) = (row.int(2)?, row.int(3)?);
        let (entries, books) = (format!("{entries} entries"), format!("{books} entries"));
        note(report, Difference { what, entries, books });
    }
    Ok(())
}

/// Quotas whose amounts are not the sums of their leases', or that lent more than they ever had.
async fn compare_quotas(sql: &mut dyn Sql, report: &mut AuditReport) -> Result<(), StoreError> {
    let sum = |of: &str| format!("CAST(COALESCE(SUM({of}), 0) AS BIGINT)");
    let (spent, held, overrun) = (sum("l.spent"), sum("l.granted - l.spent - l.returned"), sum("l.overrun"));
    let text = format!(
        "SELECT q.limit_name, q.policy, q.meter, q.key_doc, q.start_ms, q.limit_most, q.settled, q.held, q.overrun,
           {spent}, {held}, {overrun}
         FROM quotas AS q LEFT JOIN leases AS l ON l.quota_id = q.quota_id
         GROUP BY q.quota_id, q.limit_name, q.policy, q.meter, q.key_doc, q.start_ms, q.limit_most, q.settled, q.held,
           q.overrun
         HAVING q.settled <> {spent} OR q.held <> {held} OR q.overrun <> {overrun}
           OR q.settled + q.held > q.limit_most
         LIMIT {DIFFERENCES_MAX}"
    );
    for row in sql.query(DOING, &text, &[]).await? {
        let name: Vec<String> = (0..4).map(|at| row.text(at)).collect::<Result<_, _>>()?;
        let what = format!("quota {} of {}", name.join("/"), crate::calendar::date_of(row.int(4)?));
        let amounts = |at: usize| -> Result<String, StoreError> {
            Ok(format!("{} settled, {} held, {} overrun", row.int(at)?, row.int(at + 1)?, row.int(at + 2)?))
        };
        let books = format!("{}, at most {} allowed", amounts(6)?, row.int(5)?);
        note(report, Difference { what, entries: amounts(9)?, books });
    }
    for row in sql.query(DOING, "SELECT COUNT(*) FROM quotas", &[]).await? {
        report.quotas += row.int(0)?;
    }
    Ok(())
}

fn note(report: &mut AuditReport, difference: Difference) {
    if report.differences.len() < DIFFERENCES_MAX {
        report.differences.push(difference);
    }
}
