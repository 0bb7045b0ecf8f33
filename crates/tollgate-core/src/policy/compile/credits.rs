//! Credits: units that are known, amounts that are whole millionths.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use tollgate_wire::NanoUsd;

use super::super::config::{self, Config};
use super::super::{ActionPrice, CreditValue, Unit};
use super::{Outcome, name, refuse};

pub(super) fn actions(config: &Config) -> Outcome<HashMap<String, ActionPrice>> {
    prices(&config.actions, "actions")
}

pub(super) fn workflows(config: &Config) -> Outcome<HashMap<String, HashMap<String, ActionPrice>>> {
    let mut workflows = HashMap::new();
    for (workflow, raw) in &config.workflows {
        let path = format!("workflows.{workflow}");
        name(&path, workflow)?;
        if raw.steps.is_empty() {
            return refuse(format!("{path}.steps"), "empty: the workflow costs nothing of its own");
        }
        workflows.insert(workflow.clone(), prices(&raw.steps, &format!("{path}.steps"))?);
    }
    Ok(workflows)
}

pub(super) fn value(raw: &config::CreditsConfig) -> Outcome<Option<CreditValue>> {
    let Some(usd) = raw.usd else { return Ok(None) };
    match usd.scaled(9) {
        None | Some(0) => refuse("credits.usd", "0: requests would cost credits without end"),
        Some(nano_usd) => Ok(Some(CreditValue(NanoUsd(nano_usd)))),
    }
}

fn prices(raw: &BTreeMap<String, config::Action>, path: &str) -> Outcome<HashMap<String, ActionPrice>> {
    let mut all = HashMap::new();
    for (action, raw) in raw {
        let path = format!("{path}.{action}");
        name(&path, action)?;
        let Some(credits_millionths) = raw.credits.scaled(6) else {
            return refuse(format!("{path}.credits"), "more than 6 decimals");
        };
        let Some((per, unit)) = unit(&raw.per) else {
            return refuse(
                format!("{path}.per"),
                "not `request`, `token`, `word`, `byte`, `KB`, `MB`, `GB` or `second`, with a number from 1 before it or not",
            );
        };
        all.insert(action.clone(), ActionPrice { credits_millionths, per, unit });
    }
    Ok(all)
}

/// `1000 words` is a thousand of [`Unit::Word`]. Kilo is a thousand, as in the units of data transfer.
fn unit(text: &str) -> Option<(u64, Unit)> {
    let (count, unit) = text.split_once(' ').unwrap_or(("1", text));
    let count: u64 = count.parse().ok()?;
    let (unit, size) = match unit {
        "request" | "requests" => (Unit::Request, 1),
        "token" | "tokens" => (Unit::Token, 1),
        "word" | "words" => (Unit::Word, 1),
        "byte" | "bytes" => (Unit::Byte, 1),
        "KB" => (Unit::Byte, 1_000),
        "MB" => (Unit::Byte, 1_000_000),
        "GB" => (Unit::Byte, 1_000_000_000),
        "second" | "seconds" => (Unit::Millisecond, 1_000),
        _ => return None,
    };
    let per = count.checked_mul(size)?;
    (per > 0).then_some((per, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_with_and_without_a_number() {
        for (text, expected) in [
            ("request", (1, Unit::Request)),
            ("1000 tokens", (1000, Unit::Token)),
            ("1000 words", (1000, Unit::Word)),
            ("512 bytes", (512, Unit::Byte)),
            ("1 MB", (1_000_000, Unit::Byte)),
            ("MB", (1_000_000, Unit::Byte)),
            ("second", (1000, Unit::Millisecond)),
            ("60 seconds", (60_000, Unit::Millisecond)),
        ] {
            assert_eq!(unit(text), Some(expected), "{text}");
        }
        for text in ["", "moon", "0 tokens", "-1 tokens", "1.5 MB", "1000  words", "99999999999 GB", "1000"] {
            assert_eq!(unit(text), None, "{text}");
        }
    }
}
