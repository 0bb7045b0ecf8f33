//! How a client's limits stand, in the headers of the IETF's draft and of the client's own API.
//!
//! Sources: draft-ietf-httpapi-ratelimit-headers-10; the rate-limit headers of OpenAI, Anthropic and Mistral as recorded
//! from their endpoints.

use crate::limiter::{Admission, Status};
use crate::policy::{Kind, LimitId, Meter, Policy};
use crate::time::{NANOS_PER_SECOND, Now};

use super::shapes::Shape;
use super::words::{duration, instant, number, push_number};

type Headers = Vec<(&'static str, String)>;

/// Everything that a response tells about an admitted request: how its limits stand, and what to be warned of.
pub fn announce(policy: &Policy, shape: Shape, admission: &Admission, now: Now) -> Headers {
    let mut headers = Vec::with_capacity(9);
    standing(policy, shape, &admission.statuses, now, &mut headers);
    if let Some(warnings) = warnings(policy, admission) {
        headers.push(("x-tollgate-warning", warnings));
    }
    headers
}

/// `day;used=80; Approaching the limit.`, one for each threshold passed and each limit exceeded.
fn warnings(policy: &Policy, admission: &Admission) -> Option<String> {
    let name = |limit: LimitId| policy.limit(limit).map_or("", |limit| limit.name.as_str());
    let passed = admission
        .warnings
        .iter()
        .map(|(limit, percent)| format!("{};used={percent}; {}", name(*limit), policy.messages.approaching));
    let exceeded = admission
        .exceeded
        .iter()
        .map(|limit| format!("{};exceeded; {}", name(*limit), policy.messages.quota_exceeded));
    let all: Vec<String> = passed.chain(exceeded).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// Appends the headers that tell how the limits stand.
pub fn standing(policy: &Policy, shape: Shape, statuses: &[Status], now: Now, headers: &mut Headers) {
    if policy.headers.ratelimit {
        ratelimit(policy, statuses, headers);
    }
    if policy.headers.dialect {
        let tightest = |meter: Meter| tightest(policy, statuses, meter, None);
        let a_minute = |meter: Meter| tightest_of_a_minute(policy, statuses, meter);
        match shape {
            Shape::OpenAi => openai(tightest(Meter::Requests), tightest(Meter::Tokens), headers),
            Shape::Anthropic => {
                ANTHROPIC.iter().for_each(|(meter, names)| anthropic(names, tightest(*meter), now, headers));
            }
            Shape::Mistral => mistral(a_minute(Meter::Requests), a_minute(Meter::Tokens), headers),
            _ => {}
        }
    }
}

/// `RateLimit-Policy: "day";q=50;w=86400` and `RateLimit: "day";r=49;t=3600`, one item a limit with a window.
fn ratelimit(policy: &Policy, statuses: &[Status], headers: &mut Headers) {
    let mut policies = String::with_capacity(48 * statuses.len());
    let mut state = String::with_capacity(40 * statuses.len());
    for status in statuses {
        let Some(limit) = policy.limit(status.limit) else { continue };
        if matches!(limit.kind, Kind::PerRequest(_) | Kind::Memory(_)) {
            continue;
        }
        item(&mut policies, &limit.name, ";q=", status.most);
        if let Some(window_s) = limit.kind.window_s() {
            policies.push_str(";w=");
            push_number(&mut policies, window_s);
        }
        if matches!(limit.kind, Kind::Concurrency(_)) {
            policies.push_str(";qu=\"concurrent-requests\"");
        }
        if limit.meter != Meter::Requests {
            policies.push_str(";tollgate-unit=\"");
            policies.push_str(limit.meter.unit());
            policies.push('"');
        }
        item(&mut state, &limit.name, ";r=", status.remaining);
        if status.reset_ns > 0 {
            state.push_str(";t=");
            push_number(&mut state, status.reset_ns.div_ceil(NANOS_PER_SECOND));
        }
    }
    if !policies.is_empty() {
        headers.push(("ratelimit-policy", policies));
        headers.push(("ratelimit", state));
    }
}

/// `"name";key=number`, with what separates it from the item before.
fn item(list: &mut String, name: &str, key: &str, amount: u64) {
    list.push_str(if list.is_empty() { "\"" } else { ", \"" });
    list.push_str(name);
    list.push('"');
    list.push_str(key);
    push_number(list, amount);
}

type Found = Option<Status>;

/// The limit of a meter with the smallest share left; with a period, only of rates of that period.
fn tightest(policy: &Policy, statuses: &[Status], meter: Meter, window_s: Option<u64>) -> Found {
    statuses
        .iter()
        .filter_map(|status| Some((policy.limit(status.limit)?, *status)))
        .filter(|(limit, _)| limit.meter == meter)
        .filter(|(limit, _)| match &limit.kind {
            Kind::Rate(_) | Kind::Window(_) => window_s.is_none() || limit.kind.window_s() == window_s,
            Kind::Quota { .. } => window_s.is_none(),
            _ => false,
        })
        .map(|(_, status)| status)
        .min_by(|x, y| {
            let share =
                |status: &Status, other: &Status| u128::from(status.remaining) * u128::from(other.most);
            share(x, y).cmp(&share(y, x))
        })
}

fn tightest_of_a_minute(policy: &Policy, statuses: &[Status], meter: Meter) -> Found {
    tightest(policy, statuses, meter, Some(60))
}

fn openai(requests: Found, tokens: Found, headers: &mut Headers) {
    let names = [
        ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
        ("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ];
    for ((limit_name, remaining, reset), found) in names.into_iter().zip([requests, tokens]) {
        if let Some(status) = found {
            headers.push((limit_name, number(status.most)));
            headers.push((remaining, number(status.remaining)));
            headers.push((reset, duration(status.reset_ns)));
        }
    }
}

/// Limit, remaining and reset of each meter that Anthropic tells about.
const ANTHROPIC: [(Meter, [&str; 3]); 4] = [
    (
        Meter::Requests,
        [
            "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ],
    ),
    (
        Meter::Tokens,
        [
            "anthropic-ratelimit-tokens-limit",
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
        ],
    ),
    (
        Meter::InputTokens,
        [
            "anthropic-ratelimit-input-tokens-limit",
            "anthropic-ratelimit-input-tokens-remaining",
            "anthropic-ratelimit-input-tokens-reset",
        ],
    ),
    (
        Meter::OutputTokens,
        [
            "anthropic-ratelimit-output-tokens-limit",
            "anthropic-ratelimit-output-tokens-remaining",
            "anthropic-ratelimit-output-tokens-reset",
        ],
    ),
];

fn anthropic(names: &[&'static str; 3], found: Found, now: Now, headers: &mut Headers) {
    let [limit_name, remaining, reset] = *names;
    if let Some(status) = found {
        headers.push((limit_name, number(status.most)));
        headers.push((remaining, number(status.remaining)));
        headers.push((reset, instant(now, status.reset_ns)));
    }
}

/// Mistral tells of minutes only, and not when they end.
fn mistral(requests: Found, tokens: Found, headers: &mut Headers) {
    let names = [
        ("x-ratelimit-limit-req-minute", "x-ratelimit-remaining-req-minute"),
        ("x-ratelimit-limit-tokens-minute", "x-ratelimit-remaining-tokens-minute"),
    ];
    for ((limit_name, remaining), found) in names.into_iter().zip([requests, tokens]) {
        if let Some(status) = found {
            headers.push((limit_name, number(status.most)));
            headers.push((remaining, number(status.remaining)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tollgate_wire::UnixNanos;

    fn policy() -> Policy {
        let limit = |name: &str, meter: &str, amount: u32| json!({"name": name, "meter": meter, "rate": {"amount": amount, "per": "minute"}});
        Policy::from_json(json!({
            "limits": [limit("rpm", "requests", 3), limit("tpm", "tokens", 40000), limit("itpm", "input_tokens", 9000)],
        }))
        .unwrap()
    }

    fn now() -> Now {
        Now { mono_ns: 0, wall: UnixNanos(1_795_305_600 * NANOS_PER_SECOND) }
    }

    const STATUSES: [Status; 3] = [
        Status { limit: LimitId(0), most: 3, remaining: 2, reset_ns: 20 * NANOS_PER_SECOND },
        Status { limit: LimitId(1), most: 40_000, remaining: 39_000, reset_ns: 1_500_000_000 },
        Status { limit: LimitId(2), most: 9_000, remaining: 9_000, reset_ns: 0 },
    ];

    fn told(shape: Shape) -> Vec<String> {
        let mut headers = Vec::new();
        standing(&policy(), shape, &STATUSES, now(), &mut headers);
        headers.iter().map(|(name, value)| format!("{name}: {value}")).collect()
    }

    #[test]
    fn limits_stand_in_the_headers_of_the_draft() {
        assert_eq!(
            told(Shape::Problem),
            [
                "ratelimit-policy: \"rpm\";q=3;w=60, \"tpm\";q=40000;w=60;tollgate-unit=\"tokens\", \
                 \"itpm\";q=9000;w=60;tollgate-unit=\"input-tokens\"",
                "ratelimit: \"rpm\";r=2;t=20, \"tpm\";r=39000;t=2, \"itpm\";r=9000",
            ]
        );
    }

    #[test]
    fn limits_stand_in_the_headers_of_the_api_as_well() {
        assert_eq!(
            told(Shape::OpenAi)[2..],
            [
                "x-ratelimit-limit-requests: 3",
                "x-ratelimit-remaining-requests: 2",
                "x-ratelimit-reset-requests: 20s",
                "x-ratelimit-limit-tokens: 40000",
                "x-ratelimit-remaining-tokens: 39000",
                "x-ratelimit-reset-tokens: 1.5s",
            ]
        );
        let anthropic = told(Shape::Anthropic);
        assert_eq!(anthropic[4], "anthropic-ratelimit-requests-reset: 2026-11-22T00:00:20Z");
        assert_eq!(
            anthropic[8..10],
            [
                "anthropic-ratelimit-input-tokens-limit: 9000",
                "anthropic-ratelimit-input-tokens-remaining: 9000"
            ]
        );
        assert_eq!(
            told(Shape::Mistral)[2..],
            [
                "x-ratelimit-limit-req-minute: 3",
                "x-ratelimit-remaining-req-minute: 2",
                "x-ratelimit-limit-tokens-minute: 40000",
                "x-ratelimit-remaining-tokens-minute: 39000",
            ]
        );
    }

    #[test]
    fn no_shape_but_openais_and_mistrals_has_the_headers_that_cohere_reads_as_a_date() {
        for shape in Shape::ALL {
            let has = told(shape).iter().any(|header| header.starts_with("x-ratelimit"));
            assert_eq!(has, matches!(shape, Shape::OpenAi | Shape::Mistral), "{shape:?}");
        }
    }

    #[test]
    fn all_warnings_stand_in_one_header() {
        let admission = Admission {
            warnings: vec![(LimitId(0), 80), (LimitId(1), 90)],
            exceeded: vec![LimitId(2)],
            ..Admission::default()
        };
        let headers = announce(&policy(), Shape::Problem, &admission, now());
        assert_eq!(
            headers,
            [(
                "x-tollgate-warning",
                "rpm;used=80; Approaching the limit., tpm;used=90; Approaching the limit., \
             itpm;exceeded; Quota exceeded. Upgrade your plan or wait for the reset."
                    .to_owned()
            )]
        );
        assert!(announce(&policy(), Shape::Problem, &Admission::default(), now()).is_empty());
    }
}
