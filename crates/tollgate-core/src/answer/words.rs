//! The sentences of a refusal, and amounts and times as people read them.

use core::fmt::Write as _;

use jiff::Timestamp;
use tollgate_wire::NanoUsd;

use crate::limiter::{Refusal, Why};
use crate::policy::{Attributes, Kind, Limit, Meter, Policy};
use crate::time::{NANOS_PER_SECOND, Now};

use super::Rejection;

/// Names that a client sent are told back no longer than this.
const NAME_CHARS_MAX: usize = 128;

/// The configured sentence, and what it is about.
pub(super) fn message(policy: &Policy, request: &Attributes<'_>, rejection: Rejection<'_>) -> String {
    let words = &policy.messages;
    match rejection {
        Rejection::Limit(refusal) => limit(policy, request, refusal),
        Rejection::Unidentified => words.unidentified.clone(),
        Rejection::Suspended("") => words.suspended.clone(),
        Rejection::Suspended(reason) => format!("{} Reason: {reason}", words.suspended),
        Rejection::NotEntitled { what, name } => {
            with_hint(policy, request, format!("{} The {what} is `{}`.", words.not_entitled, short(name)))
        }
        Rejection::UnknownModel(model) => format!("{} The model is `{}`.", words.unknown_model, short(model)),
        Rejection::BodyTooLarge(most) => format!("{} The most is {most} bytes.", words.body_too_large),
        Rejection::Shed(_) => words.overloaded.clone(),
        Rejection::Undecided => words.undecided.clone(),
    }
}

/// The reason, the limit, its use, the reset time and, for tiers that have one, the upgrade hint.
fn limit(policy: &Policy, request: &Attributes<'_>, refusal: &Refusal) -> String {
    let words = &policy.messages;
    let Some(limit) = policy.limit(refusal.limit) else {
        return words.quota_exceeded.clone();
    };
    let mut text = lead(policy, refusal, limit).to_owned();
    let used = refusal.most.saturating_sub(refusal.remaining);
    let _ = write!(
        text,
        " Limit {}: {} of {} used, {} requested.",
        limit.name,
        amount(limit.meter, used),
        amount(limit.meter, refusal.most),
        amount(limit.meter, refusal.requested)
    );
    if let (Some(ns), true) = (refusal.wait_ns, refusal.why == Why::Exhausted) {
        let _ = write!(text, " Please try again in {}.", duration(ns));
    }
    with_hint(policy, request, text)
}

fn lead<'p>(policy: &'p Policy, refusal: &Refusal, limit: &Limit) -> &'p str {
    let words = &policy.messages;
    match (refusal.why, &limit.kind) {
        (Why::Busy, _) => &words.busy,
        (Why::Unleased | Why::Unreachable, _) => &words.undecided,
        (Why::TooLarge, _) => &words.too_large,
        (Why::Exhausted, Kind::Quota { .. }) => &words.quota_exceeded,
        (Why::Exhausted, _) => &words.rate_limited,
    }
}

fn with_hint(policy: &Policy, request: &Attributes<'_>, mut text: String) -> String {
    if let Some(hint) = policy.tier(request.tier).and_then(|tier| tier.upgrade_hint.as_ref()) {
        let _ = write!(text, " {hint}");
    }
    text
}

fn short(name: &str) -> &str {
    name.char_indices().nth(NAME_CHARS_MAX).and_then(|(at, _)| name.get(..at)).unwrap_or(name)
}

fn amount(meter: Meter, units: u64) -> String {
    match meter {
        Meter::Cost => format!("${}", NanoUsd(units)),
        Meter::Credits => format!("{}.{:06} credits", units / 1_000_000, units % 1_000_000),
        Meter::Requests => units.to_string(),
        Meter::Ram | Meter::Ssd => format!("{units} MB"),
        _ => format!("{units} tokens"),
    }
}

/// RFC 3339 in whole seconds, rounded up.
pub(super) fn instant(now: Now, in_ns: u64) -> String {
    let seconds = now.wall.0.saturating_add(in_ns).div_ceil(NANOS_PER_SECOND);
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map(|at| at.to_string()).unwrap_or_default()
}

/// A duration as OpenAI's headers write it: `120ms`, `3.89s`, `6m0s`, `1h0m0s`.
pub(super) fn duration(ns: u64) -> String {
    let ms = ns.div_ceil(1_000_000);
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let mut text = String::with_capacity(16);
    if (1..1000).contains(&ms) {
        push_number(&mut text, ms);
        text.push_str("ms");
        return text;
    }
    if hours > 0 {
        push_number(&mut text, hours);
        text.push('h');
    }
    if hours > 0 || minutes > 0 {
        push_number(&mut text, minutes);
        text.push('m');
    }
    push_number(&mut text, seconds);
    let fraction = ms % 1000;
    if fraction > 0 {
        // Three digits with their leading zeros, behind the 1 that keeps them; trailing ones are left out.
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(1000 + fraction);
        text.push('.');
        text.push_str(digits.get(1..).unwrap_or_default().trim_end_matches('0'));
    }
    text.push('s');
    text
}

/// Appends a number. Answers are written on every request's way, and formatting is a third of what that costs.
pub(super) fn push_number(text: &mut String, number: u64) {
    text.push_str(itoa::Buffer::new().format(number));
}

/// A number as a text.
pub(super) fn number(number: u64) -> String {
    itoa::Buffer::new().format(number).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_openai_writes_them() {
        let cases = [
            (0, "0s"),
            (120, "120ms"),
            (3890, "3.89s"),
            (360_000, "6m0s"),
            (3_600_000, "1h0m0s"),
            (1_015, "1.015s"),
            (62_110, "1m2.11s"),
            (1, "1ms"),
        ];
        for (ms, text) in cases {
            assert_eq!(duration(ms * 1_000_000), text);
        }
    }

    #[test]
    fn a_name_that_a_client_made_up_is_told_back_shortened() {
        assert_eq!(short("gpt"), "gpt");
        let long = "é".repeat(NAME_CHARS_MAX);
        assert_eq!(short(&long), long);
        assert_eq!(short(&format!("{long}x")), long);
    }
}
