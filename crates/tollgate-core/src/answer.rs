//! What a client reads: refusals in the shape of its own API, and how its limits stand.
//!
//! Sources: OpenAI's and Anthropic's error bodies and rate-limit headers as their own clients parse them;
//! draft-ietf-httpapi-ratelimit-headers-10 for `RateLimit` and `RateLimit-Policy`; RFC 9457 for problem documents.

use core::fmt::Write as _;

use jiff::Timestamp;
use serde_json::json;

use crate::limiter::{Refusal, Status, Why};
use crate::policy::{Attributes, Kind, Limit, Meter, Policy};
use crate::time::{NANOS_PER_SECOND, Now};
use crate::traffic::Dialect;

/// Waits longer than this are not worth a client's while: the official clients either sleep for days or give up.
const WAIT_WORTH_NS: u64 = 60 * NANOS_PER_SECOND;

/// The largest `retry-after` in seconds: clients turn it into milliseconds in 31 bits.
const RETRY_AFTER_S_MAX: u64 = 2_147_483;

/// A response instead of the upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

/// Why a request is answered without its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection<'a> {
    /// A limit binds.
    Limit(&'a Refusal),
    /// Nobody to charge.
    Unidentified,
    /// The model has no price.
    UnknownModel(&'a str),
    /// No decision was reached.
    Undecided,
}

/// Writes the answer. `jitter` is any number: it spreads the waits of clients that were refused together by up to a
/// tenth, because they all sleep exactly what they are told.
pub fn refuse(
    policy: &Policy,
    dialect: Option<Dialect>,
    request: &Attributes<'_>,
    rejection: Rejection<'_>,
    now: Now,
    jitter: u64,
) -> Answer {
    let (status, message, kind) = match rejection {
        Rejection::Limit(refusal) => {
            let limit = policy.limit(refusal.limit);
            let meter = limit.map_or(Meter::Requests, |limit| limit.meter);
            (
                429,
                explain(policy, request, refusal, limit),
                if meter == Meter::Requests { "requests" } else { "tokens" },
            )
        }
        Rejection::Unidentified => {
            (401, "No consumer could be identified from this request.".into(), "authentication")
        }
        Rejection::UnknownModel(model) => {
            (400, format!("The model `{model}` has no price and is not allowed."), "model")
        }
        Rejection::Undecided => (503, "The limits could not be checked. Try again.".into(), "unavailable"),
    };
    let lasting =
        matches!(rejection, Rejection::Limit(refusal) if refusal.wait_ns.is_none_or(|ns| ns > WAIT_WORTH_NS));
    let mut headers = Vec::with_capacity(12);
    headers.push(("content-type", content_type(dialect).into()));
    if let Rejection::Limit(refusal) = rejection {
        retry(refusal, jitter, &mut headers);
        if let Some(limit) = policy.limit(refusal.limit) {
            headers.push(("x-tollgate-limit", limit.name.clone()));
            let status =
                Status { limit: refusal.limit, remaining: refusal.remaining, reset_ns: refusal.reset_ns };
            standing(policy, dialect, &[status], now, &mut headers);
        }
    } else if matches!(rejection, Rejection::Undecided) {
        headers.push(("retry-after", "1".into()));
    }
    let names: Vec<&str> = match rejection {
        Rejection::Limit(refusal) => {
            policy.limit(refusal.limit).map(|limit| limit.name.as_str()).into_iter().collect()
        }
        _ => Vec::new(),
    };
    Answer { status, headers, body: body(dialect, status, &message, kind, lasting, &names) }
}

fn content_type(dialect: Option<Dialect>) -> &'static str {
    match dialect {
        Some(Dialect::OpenAiChat | Dialect::AnthropicMessages) => "application/json",
        _ => "application/problem+json",
    }
}

fn body(
    dialect: Option<Dialect>,
    status: u16,
    message: &str,
    kind: &str,
    lasting: bool,
    names: &[&str],
) -> String {
    let document = match dialect {
        Some(Dialect::OpenAiChat) => {
            let (kind, code) = match (status, lasting) {
                (429, true) => ("insufficient_quota", "insufficient_quota"),
                (429, false) => (kind, "rate_limit_exceeded"),
                (401, _) => ("invalid_request_error", "invalid_api_key"),
                (400, _) => ("invalid_request_error", "model_not_found"),
                _ => ("server_error", "unavailable"),
            };
            json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
        }
        Some(Dialect::AnthropicMessages) => {
            let kind = match status {
                429 => "rate_limit_error",
                401 => "authentication_error",
                400 => "invalid_request_error",
                _ => "overloaded_error",
            };
            json!({"type": "error", "error": {"type": kind, "message": message}})
        }
        _ if status == 429 => json!({
            "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
            "title": "Request cannot be satisfied as assigned quota has been exceeded",
            "status": status, "detail": message, "violated-policies": names,
        }),
        _ => json!({"type": "about:blank", "status": status, "detail": message}),
    };
    document.to_string()
}

/// The reason, the limit, its use, the reset time and, for tiers that have one, the upgrade hint.
fn explain(policy: &Policy, request: &Attributes<'_>, refusal: &Refusal, limit: Option<&Limit>) -> String {
    let Some(limit) = limit else {
        return policy.messages.quota_exceeded.clone();
    };
    let mut text = match (refusal.why, &limit.kind) {
        (Why::Busy, _) => format!("Too many requests in flight (limit {}).", refusal.most),
        (Why::TooLarge, _) => {
            let (asked, most) = (amount(limit.meter, refusal.requested), amount(limit.meter, refusal.most));
            format!("The request needs {asked}, more than the limit of {most}. Waiting will not help.")
        }
        (Why::Exhausted, Kind::Quota { .. }) => policy.messages.quota_exceeded.clone(),
        (Why::Exhausted, _) => "Rate limit reached.".into(),
    };
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
    if let Some(hint) = policy.tier(request.tier).and_then(|tier| tier.upgrade_hint.as_ref()) {
        let _ = write!(text, " {hint}");
    }
    text
}

fn amount(meter: Meter, units: u64) -> String {
    match meter {
        Meter::Cost => format!("${}", tollgate_wire::NanoUsd(units)),
        Meter::Credits => format!("{}.{:06} credits", units / 1_000_000, units % 1_000_000),
        Meter::Requests => units.to_string(),
        _ => format!("{units} tokens"),
    }
}

fn retry(refusal: &Refusal, jitter: u64, headers: &mut Vec<(&'static str, String)>) {
    let Some(ns) = refusal.wait_ns else {
        headers.push(("x-should-retry", "false".into()));
        return;
    };
    // Clients that retry at once on 0 exist, hence at least one; the jitter only ever lengthens the wait.
    let wait_ms = ns.div_ceil(1_000_000).max(1);
    let wait_ms = wait_ms.saturating_add(jitter % (wait_ms / 10).clamp(1, 5_000));
    let wait_s = wait_ms.div_ceil(1000);
    if ns > WAIT_WORTH_NS {
        headers.push(("x-should-retry", "false".into()));
        if wait_s < RETRY_AFTER_S_MAX {
            headers.push(("retry-after", wait_s.to_string()));
        }
        return;
    }
    headers.push(("retry-after", wait_s.to_string()));
    headers.push(("retry-after-ms", wait_ms.to_string()));
    headers.push(("x-should-retry", "true".into()));
}

/// Appends the headers that tell how the limits stand.
pub fn standing(
    policy: &Policy,
    dialect: Option<Dialect>,
    statuses: &[Status],
    now: Now,
    headers: &mut Vec<(&'static str, String)>,
) {
    if policy.headers.ratelimit {
        ratelimit(policy, statuses, headers);
    }
    if policy.headers.dialect {
        let requests = tightest(policy, statuses, |meter| meter == Meter::Requests);
        let tokens = tightest(policy, statuses, |meter| meter == Meter::Tokens);
        match dialect {
            Some(Dialect::OpenAiChat) => openai(requests, tokens, headers),
            Some(Dialect::AnthropicMessages) => anthropic(requests, tokens, now, headers),
            _ => {}
        }
    }
}

/// `RateLimit-Policy: "day";q=50;w=86400` and `RateLimit: "day";r=49;t=3600`, one item a limit with a window.
fn ratelimit(policy: &Policy, statuses: &[Status], headers: &mut Vec<(&'static str, String)>) {
    let mut policies = String::with_capacity(48 * statuses.len());
    let mut state = String::with_capacity(40 * statuses.len());
    for status in statuses {
        let Some(limit) = policy.limit(status.limit) else { continue };
        let separator = if policies.is_empty() { "" } else { ", " };
        let seconds = status.reset_ns.div_ceil(NANOS_PER_SECOND);
        let (quota, unit) = (limit.most(), limit.meter.unit());
        let _ = match &limit.kind {
            Kind::Rate(rate) => {
                write!(
                    policies,
                    "{separator}\"{}\";q={quota};w={}",
                    limit.name,
                    (rate.period_ns() / NANOS_PER_SECOND).max(1)
                )
            }
            Kind::Quota { .. } => write!(policies, "{separator}\"{}\";q={quota}", limit.name),
            Kind::Concurrency(_) => {
                write!(policies, "{separator}\"{}\";q={quota};qu=\"concurrent-requests\"", limit.name)
            }
            Kind::PerRequest(_) => continue,
        };
        if limit.meter != Meter::Requests {
            let _ = write!(policies, ";tollgate-unit=\"{unit}\"");
        }
        let _ = write!(state, "{separator}\"{}\";r={}", limit.name, status.remaining);
        if seconds > 0 {
            let _ = write!(state, ";t={seconds}");
        }
    }
    if !policies.is_empty() {
        headers.push(("ratelimit-policy", policies));
        headers.push(("ratelimit", state));
    }
}

/// The limit of a meter with the smallest share left.
fn tightest<'p>(
    policy: &'p Policy,
    statuses: &[Status],
    counts: impl Fn(Meter) -> bool,
) -> Option<(&'p Limit, Status)> {
    statuses
        .iter()
        .filter_map(|status| Some((policy.limit(status.limit)?, *status)))
        .filter(|(limit, _)| counts(limit.meter) && matches!(limit.kind, Kind::Rate(_) | Kind::Quota { .. }))
        .min_by(|(a, x), (b, y)| {
            let share =
                |status: &Status, other: &Limit| u128::from(status.remaining) * u128::from(other.most());
            share(x, b).cmp(&share(y, a))
        })
}

fn openai(
    requests: Option<(&Limit, Status)>,
    tokens: Option<(&Limit, Status)>,
    headers: &mut Vec<(&'static str, String)>,
) {
    let names = [
        ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
        ("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ];
    for ((limit_name, remaining, reset), found) in names.into_iter().zip([requests, tokens]) {
        if let Some((limit, status)) = found {
            headers.push((limit_name, limit.most().to_string()));
            headers.push((remaining, status.remaining.to_string()));
            headers.push((reset, duration(status.reset_ns)));
        }
    }
}

fn anthropic(
    requests: Option<(&Limit, Status)>,
    tokens: Option<(&Limit, Status)>,
    now: Now,
    headers: &mut Vec<(&'static str, String)>,
) {
    let names = [
        (
            "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ),
        (
            "anthropic-ratelimit-tokens-limit",
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
        ),
    ];
    for ((limit_name, remaining, reset), found) in names.into_iter().zip([requests, tokens]) {
        if let Some((limit, status)) = found {
            headers.push((limit_name, limit.most().to_string()));
            headers.push((remaining, status.remaining.to_string()));
            headers.push((reset, instant(now, status.reset_ns)));
        }
    }
}

/// RFC 3339 in whole seconds, rounded up.
fn instant(now: Now, in_ns: u64) -> String {
    let seconds = now.wall.0.saturating_add(in_ns).div_ceil(NANOS_PER_SECOND);
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map(|at| at.to_string()).unwrap_or_default()
}

/// A duration as OpenAI's headers write it: `120ms`, `3.89s`, `6m0s`, `1h0m0s`.
fn duration(ns: u64) -> String {
    let ms = ns.div_ceil(1_000_000);
    let (hours, minutes, rest) = (ms / 3_600_000, ms / 60_000 % 60, ms % 60_000);
    let seconds = match rest % 1000 {
        0 => format!("{}s", rest / 1000),
        fraction => format!("{}.{}s", rest / 1000, format!("{fraction:03}").trim_end_matches('0')),
    };
    match (hours, minutes) {
        (0, 0) if ms < 1000 && ms > 0 => format!("{ms}ms"),
        (0, 0) => seconds,
        (0, _) => format!("{minutes}m{seconds}"),
        _ => format!("{hours}h{minutes}m{seconds}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::LimitId;
    use serde_json::Value;
    use tollgate_wire::UnixNanos;

    fn policy() -> Policy {
        Policy::from_json(json!({
            "identity": {"default_tier": "free"},
            "tiers": {"free": {"upgrade_hint": "Buy more.", "limits": [
                {"name": "rpm", "meter": "requests", "rate": {"amount": 3, "per": "minute"}},
                {"name": "tpm", "meter": "tokens", "rate": {"amount": 40000, "per": "minute"}},
                {"name": "day", "meter": "cost", "quota": {"amount": 0.25, "per": "day"}},
            ]}},
        }))
        .unwrap()
    }

    fn now() -> Now {
        Now { mono_ns: 0, wall: UnixNanos(1_795_305_600 * NANOS_PER_SECOND) }
    }

    fn refusal(limit: u16, wait_ns: Option<u64>) -> Refusal {
        let why = if wait_ns.is_some() { Why::Exhausted } else { Why::TooLarge };
        Refusal {
            queueable: false,
            limit: LimitId(limit),
            why,
            wait_ns,
            requested: 1,
            most: 3,
            remaining: 0,
            reset_ns: 60 * NANOS_PER_SECOND,
        }
    }

    fn answer(dialect: Option<Dialect>, refusal: Refusal) -> (Answer, Value) {
        let request = Attributes { tier: "free", ..Attributes::default() };
        let answer = refuse(&policy(), dialect, &request, Rejection::Limit(&refusal), now(), 0);
        let body = serde_json::from_str(&answer.body).unwrap();
        (answer, body)
    }

    fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
        answer.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_short_wait_is_told_in_both_units_and_never_as_zero() {
        let (short, body) = answer(Some(Dialect::OpenAiChat), refusal(0, Some(3_890_000_000)));
        assert_eq!(
            (header(&short, "retry-after"), header(&short, "retry-after-ms")),
            (Some("4"), Some("3890"))
        );
        assert_eq!(
            (&body["error"]["type"], &body["error"]["code"]),
            (&json!("requests"), &json!("rate_limit_exceeded"))
        );
        let message = body["error"]["message"].as_str().unwrap();
        assert!(
            message.contains("rpm") && message.contains("3.89s") && message.ends_with("Buy more."),
            "{message}"
        );
        let (least, _) = answer(Some(Dialect::OpenAiChat), refusal(0, Some(1)));
        assert_eq!((header(&least, "retry-after"), header(&least, "retry-after-ms")), (Some("1"), Some("1")));
    }

    #[test]
    fn a_wait_that_is_not_worth_it_is_not_encouraged() {
        let (long, body) = answer(Some(Dialect::OpenAiChat), refusal(2, Some(3600 * NANOS_PER_SECOND)));
        assert_eq!(
            (header(&long, "x-should-retry"), header(&long, "retry-after")),
            (Some("false"), Some("3600"))
        );
        assert_eq!(header(&long, "retry-after-ms"), None);
        assert_eq!(body["error"]["code"], "insufficient_quota");
        let (never, _) = answer(Some(Dialect::AnthropicMessages), refusal(2, None));
        assert_eq!((header(&never, "x-should-retry"), header(&never, "retry-after")), (Some("false"), None));
    }

    #[test]
    fn each_api_gets_its_own_error() {
        let (_, anthropic) = answer(Some(Dialect::AnthropicMessages), refusal(1, Some(1)));
        assert_eq!(
            (&anthropic["type"], &anthropic["error"]["type"]),
            (&json!("error"), &json!("rate_limit_error"))
        );
        let (problem, body) = answer(None, refusal(0, Some(1)));
        assert_eq!(header(&problem, "content-type"), Some("application/problem+json"));
        assert_eq!(body["violated-policies"], json!(["rpm"]));
    }

    #[test]
    fn limits_stand_in_the_headers_of_the_draft_and_of_the_api() {
        let statuses = [
            Status { limit: LimitId(0), remaining: 2, reset_ns: 20 * NANOS_PER_SECOND },
            Status { limit: LimitId(1), remaining: 39_000, reset_ns: 1_500_000_000 },
        ];
        let mut headers = Vec::new();
        standing(&policy(), Some(Dialect::OpenAiChat), &statuses, now(), &mut headers);
        let all: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(
            all,
            [
                "ratelimit-policy: \"rpm\";q=3;w=60, \"tpm\";q=40000;w=60;tollgate-unit=\"tokens\"",
                "ratelimit: \"rpm\";r=2;t=20, \"tpm\";r=39000;t=2",
                "x-ratelimit-limit-requests: 3",
                "x-ratelimit-remaining-requests: 2",
                "x-ratelimit-reset-requests: 20s",
                "x-ratelimit-limit-tokens: 40000",
                "x-ratelimit-remaining-tokens: 39000",
                "x-ratelimit-reset-tokens: 1.5s",
            ]
        );
        headers.clear();
        standing(&policy(), Some(Dialect::AnthropicMessages), &statuses, now(), &mut headers);
        assert!(
            headers.contains(&("anthropic-ratelimit-requests-reset", "2026-11-22T00:00:20Z".into())),
            "{headers:?}"
        );
    }

    #[test]
    fn durations_read_as_openai_writes_them() {
        let cases = [(0, "0s"), (120, "120ms"), (3890, "3.89s"), (360_000, "6m0s"), (3_600_000, "1h0m0s")];
        for (ms, text) in cases {
            assert_eq!(duration(ms * 1_000_000), text);
        }
    }
}
