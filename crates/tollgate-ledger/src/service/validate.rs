//! What a batch must be like to be entered. Checked once, here; a batch is entered whole or refused whole.
//!
//! The bounds are far above what a filter sends. They keep a broken or hostile sender from filling the database with
//! what can't be reported on, or from moving sums out of their range.

mod asks;
mod leases;
mod shares;

use axum::http::StatusCode;
use tollgate_wire::{OpeningRequest, PROTOCOL_VERSION, SyncRequest, Tally};

use super::problem::Problem;
use crate::calendar::{DAY_MS, Month};

/// Tallies in a batch: more of the smallest don't fit into the largest body.
pub const TALLIES_MAX: usize = 4096;

/// Bytes of a name in a tally: consumer, model, route and the like.
pub const NAME_BYTES_MAX: usize = 512;

/// Bytes of an identity of a process, worker or node.
pub const IDENTITY_BYTES_MAX: usize = 128;

/// Warnings in a tally: several limits may pass several thresholds at once.
pub const WARNINGS_MAX: usize = 64;

/// Tokens of one class in a tally, a merged one included.
pub const TOKENS_MAX: u64 = 1_000_000_000_000;

/// Nano-dollars or micro-credits in a tally: a million dollars. Several million such tallies a month fit a sum.
pub const COST_MAX: u64 = 1_000_000_000_000_000;

/// How far a sender's clock may be ahead of the ledger's.
pub const AHEAD_MS_MAX: u64 = DAY_MS;

/// Windows in an opening request: the days and months of every zone that a policy could name.
pub const WINDOWS_MAX: usize = 64;

/// Refuses what can't be entered.
pub(super) fn check(request: &SyncRequest, now_ms: u64, oldest_kept: Month) -> Result<(), Problem> {
    for (field, identity) in [("process", &request.process), ("worker", &request.worker)] {
        if identity.is_empty() || identity.len() > IDENTITY_BYTES_MAX {
            return Err(request_problem(field, format!("is 1 to {IDENTITY_BYTES_MAX} bytes")));
        }
    }
    if request.node.len() > IDENTITY_BYTES_MAX {
        return Err(request_problem("node", format!("is at most {IDENTITY_BYTES_MAX} bytes")));
    }
    if request.seq > i64::MAX as u64 {
        return Err(request_problem("seq", format!("is at most {}", i64::MAX)));
    }
    if request.seq == 0 && !request.tallies.is_empty() {
        return Err(request_problem("seq", "is 1 or more with tallies"));
    }
    if request.tallies.len() > TALLIES_MAX {
        return Err(request_problem("tallies", format!("is at most {TALLIES_MAX}")));
    }
    if let Some(opening) = &request.opening {
        check_opening(opening)?;
    }
    leases::check(&request.leases).map_err(|problem| request_problem("leases", problem))?;
    shares::check(&request.shares).map_err(|problem| request_problem("shares", problem))?;
    let bounds = Bounds { from_ms: oldest_kept.start_ms(), to_ms: now_ms.saturating_add(AHEAD_MS_MAX) };
    for (index, tally) in request.tallies.iter().enumerate() {
        bounds.check(tally).map_err(|(field, problem)| tally_problem(index, field, &problem))?;
    }
    Ok(())
}

/// The versions, when they differ.
pub(super) fn version_problem(theirs: u64) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "/problems/version",
        "The versions don't fit",
        format!(
            "the sender speaks version {theirs} of the protocol, this ledger speaks version {PROTOCOL_VERSION}"
        ),
    )
}

fn check_opening(opening: &OpeningRequest) -> Result<(), Problem> {
    if opening.windows.len() > WINDOWS_MAX {
        return Err(request_problem("opening.windows", format!("is at most {WINDOWS_MAX}")));
    }
    if opening.windows.iter().any(|window| window.start_ms >= window.end_ms) {
        return Err(request_problem("opening.windows", "ends after it starts"));
    }
    Ok(())
}

/// When a tally may have happened.
struct Bounds {
    from_ms: u64,
    to_ms: u64,
}

impl Bounds {
    fn check(&self, tally: &Tally) -> Result<(), (&'static str, String)> {
        if !is_guid(&tally.id) {
            return Err(("id", "is a UUID: 36 characters, lower-case hexadecimal".into()));
        }
        if tally.at_ms > self.to_ms {
            return Err(("at_ms", "is more than a day ahead of the ledger's clock".into()));
        }
        if tally.at_ms < self.from_ms {
            return Err(("at_ms", "is before the months that are kept".into()));
        }
        if tally.requests == 0 {
            return Err(("requests", "is 1 or more".into()));
        }
        if tally.status > 999 {
            return Err(("status", "is an HTTP status or 0".into()));
        }
        check_names(tally)?;
        check_amounts(tally)
    }
}

fn check_names(tally: &Tally) -> Result<(), (&'static str, String)> {
    let names = [
        ("consumer", &tally.consumer),
        ("team", &tally.team),
        ("project", &tally.project),
        ("tier", &tally.tier),
        ("route", &tally.route),
        ("policy", &tally.policy),
        ("action", &tally.action),
        ("workflow", &tally.workflow),
        ("provider", &tally.provider),
        ("model", &tally.model),
        ("tool", &tally.tool),
        ("interface", &tally.interface),
        ("region", &tally.region),
        ("refused_by", &tally.refused_by),
    ];
    for (field, name) in names {
        check_name(field, name)?;
    }
    if tally.warnings.len() > WARNINGS_MAX {
        return Err(("warnings", format!("is at most {WARNINGS_MAX}")));
    }
    for warning in &tally.warnings {
        check_name("warnings", &warning.limit)?;
        if !(1..=100).contains(&warning.percent) {
            return Err(("warnings", "is 1 to 100 percent".into()));
        }
    }
    Ok(())
}

fn check_name(field: &'static str, name: &str) -> Result<(), (&'static str, String)> {
    if name.len() > NAME_BYTES_MAX {
        return Err((field, format!("is at most {NAME_BYTES_MAX} bytes")));
    }
    // PostgreSQL has no text with it, so the books have none.
    if name.contains('\0') {
        return Err((field, "has no NUL character".into()));
    }
    Ok(())
}

fn check_amounts(tally: &Tally) -> Result<(), (&'static str, String)> {
    let amounts = [
        ("input", tally.input.0, TOKENS_MAX),
        ("cache_read", tally.cache_read.0, TOKENS_MAX),
        ("cache_write", tally.cache_write.0, TOKENS_MAX),
        ("output", tally.output.0, TOKENS_MAX),
        ("reasoning", tally.reasoning.0, TOKENS_MAX),
        ("cost_nusd", tally.cost_nusd.0, COST_MAX),
        ("credits", tally.credits.0, COST_MAX),
    ];
    match amounts.into_iter().find(|(_, amount, most)| amount > most) {
        Some((field, _, most)) => Err((field, format!("is at most {most}"))),
        None => Ok(()),
    }
}

/// One GUID has one spelling, or it would be entered twice.
fn is_guid(id: &str) -> bool {
    id.len() == 36
        && id.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        })
}

fn request_problem(field: &'static str, problem: impl AsRef<str>) -> Problem {
    let detail = format!("{field} {}", problem.as_ref());
    let title = "The request can't be entered";
    Problem {
        field: Some(field),
        ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid-request", title, detail)
    }
}

fn tally_problem(index: usize, field: &'static str, problem: &str) -> Problem {
    let detail = format!("tallies[{index}].{field} {problem}");
    let title = "A tally can't be entered";
    Problem {
        index: Some(index),
        field: Some(field),
        ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid-tally", title, detail)
    }
}

#[cfg(test)]
mod tests {
    use tollgate_wire::{NanoUsd, TokenCount, Warning, WindowRange};

    use super::*;

    const NOW_MS: u64 = 1_795_305_600_000;

    fn tally() -> Tally {
        Tally {
            id: "01900000-0000-7000-8000-000000000001".into(),
            at_ms: NOW_MS,
            requests: 1,
            ..Tally::default()
        }
    }

    fn request(tallies: Vec<Tally>) -> SyncRequest {
        SyncRequest {
            version: PROTOCOL_VERSION,
            process: "p".into(),
            worker: "w".into(),
            node: "n".into(),
            seq: 1,
            tallies,
            opening: None,
            leases: vec![],
            shares: Vec::new(),
            known_revision: None,
        }
    }

    fn refused(request: &SyncRequest) -> Option<(Option<usize>, &'static str)> {
        let oldest_kept = Month::of(NOW_MS).back(13);
        check(request, NOW_MS, oldest_kept).err().map(|problem| (problem.index, problem.field.unwrap()))
    }

    fn with(change: impl FnOnce(&mut Tally)) -> Option<(Option<usize>, &'static str)> {
        let mut second = tally();
        change(&mut second);
        refused(&request(vec![tally(), second]))
    }

    #[test]
    fn what_is_at_the_bound_passes_and_one_past_it_does_not() {
        let oldest = Month::of(NOW_MS).back(13).start_ms();
        assert_eq!(with(|t| t.at_ms = NOW_MS + AHEAD_MS_MAX), None);
        assert_eq!(with(|t| t.at_ms = NOW_MS + AHEAD_MS_MAX + 1), Some((Some(1), "at_ms")));
        assert_eq!(with(|t| t.at_ms = oldest), None);
        assert_eq!(with(|t| t.at_ms = oldest - 1), Some((Some(1), "at_ms")));
        assert_eq!(with(|t| t.consumer = "x".repeat(NAME_BYTES_MAX)), None);
        assert_eq!(with(|t| t.consumer = "x".repeat(NAME_BYTES_MAX + 1)), Some((Some(1), "consumer")));
        assert_eq!(with(|t| t.tool = "x".repeat(NAME_BYTES_MAX)), None);
        assert_eq!(with(|t| t.tool = "x".repeat(NAME_BYTES_MAX + 1)), Some((Some(1), "tool")));
        assert_eq!(with(|t| t.interface = "x".repeat(NAME_BYTES_MAX + 1)), Some((Some(1), "interface")));
        assert_eq!(with(|t| t.region = "x".repeat(NAME_BYTES_MAX + 1)), Some((Some(1), "region")));
        assert_eq!(with(|t| t.input = TokenCount(TOKENS_MAX)), None);
        assert_eq!(with(|t| t.input = TokenCount(TOKENS_MAX + 1)), Some((Some(1), "input")));
        assert_eq!(with(|t| t.cost_nusd = NanoUsd(COST_MAX)), None);
        assert_eq!(with(|t| t.cost_nusd = NanoUsd(COST_MAX + 1)), Some((Some(1), "cost_nusd")));
        assert_eq!(with(|t| t.requests = 0), Some((Some(1), "requests")));
        assert_eq!(with(|t| t.status = 1000), Some((Some(1), "status")));
        let warning = |percent| Warning { limit: "l".into(), percent };
        assert_eq!(with(|t| t.warnings = vec![warning(100); WARNINGS_MAX]), None);
        assert_eq!(with(|t| t.warnings = vec![warning(100); WARNINGS_MAX + 1]), Some((Some(1), "warnings")));
        assert_eq!(with(|t| t.warnings = vec![warning(101)]), Some((Some(1), "warnings")));
        assert_eq!(refused(&request(vec![tally(); TALLIES_MAX])), None);
        assert_eq!(refused(&request(vec![tally(); TALLIES_MAX + 1])), Some((None, "tallies")));
    }

    #[test]
    fn a_guid_has_one_spelling() {
        assert_eq!(with(|t| t.id = "short".into()), Some((Some(1), "id")));
        assert_eq!(with(|t| t.id = t.id.to_uppercase().replace('1', "A")), Some((Some(1), "id")));
        assert_eq!(with(|t| t.id = t.id.replace('-', "0")), Some((Some(1), "id")));
    }

    #[test]
    fn a_name_has_no_nul() {
        assert_eq!(with(|t| t.model = "a\0b".into()), Some((Some(1), "model")));
    }

    #[test]
    fn a_request_names_its_sender_and_numbers_its_tallies() {
        assert_eq!(
            refused(&SyncRequest { process: String::new(), ..request(vec![]) }),
            Some((None, "process"))
        );
        let long = "w".repeat(IDENTITY_BYTES_MAX + 1);
        assert_eq!(refused(&SyncRequest { worker: long, ..request(vec![]) }), Some((None, "worker")));
        assert_eq!(refused(&SyncRequest { seq: 0, ..request(vec![]) }), None);
        assert_eq!(refused(&SyncRequest { seq: 0, ..request(vec![tally()]) }), Some((None, "seq")));
    }

    #[test]
    fn the_windows_of_an_opening_have_a_length() {
        let opening =
            |end_ms| Some(OpeningRequest { windows: vec![WindowRange { start_ms: 5, end_ms }], after: None });
        assert_eq!(refused(&SyncRequest { opening: opening(6), ..request(vec![]) }), None);
        let empty = SyncRequest { opening: opening(5), ..request(vec![]) };
        assert_eq!(refused(&empty), Some((None, "opening.windows")));
        let windows = |count| vec![WindowRange { start_ms: 5, end_ms: 6 }; count];
        let many = |count| SyncRequest {
            opening: Some(OpeningRequest { windows: windows(count), after: None }),
            ..request(vec![])
        };
        assert_eq!(refused(&many(WINDOWS_MAX)), None);
        assert_eq!(refused(&many(WINDOWS_MAX + 1)), Some((None, "opening.windows")));
    }
}
