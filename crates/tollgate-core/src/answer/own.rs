//! What a caller is told that asks how it stands: its tier, and its limits with what is left of them.

use serde::Serialize;

use crate::limiter::Status;
use crate::policy::{Attributes, Kind, Limit, Policy};
use crate::time::NANOS_PER_SECOND;

#[derive(Serialize)]
struct Own<'a> {
    consumer: &'a str,
    tier: &'a str,
    limits: Vec<Standing<'a>>,
}

#[derive(Serialize)]
struct Standing<'a> {
    limit: &'a str,
    kind: &'static str,
    unit: &'static str,
    /// Units there are at most: of a rate its burst.
    most: u64,
    remaining: u64,
    /// Seconds until it is whole again.
    reset_s: u64,
    /// The period of a rate, the length of a sliding window.
    #[serde(skip_serializing_if = "Option::is_none")]
    window_s: Option<u64>,
    /// It is one for all Envoys, and stands as this one last heard.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    global: bool,
}

/// The answer's body, JSON: `{"consumer": "alice", "tier": "pro", "limits": [{"limit": "rpm", "kind": "rate", "unit":
/// "requests", "most": 60, "remaining": 59, "reset_s": 1, "window_s": 60}]}`. Of memory there is nothing to tell: it is no
/// consumer's.
pub fn own(policy: &Policy, request: &Attributes<'_>, statuses: &[Status]) -> String {
    let limits = statuses
        .iter()
        .filter_map(|status| Some((policy.limit(status.limit)?, status)))
        .filter(|(limit, _)| !matches!(limit.kind, Kind::Memory(_)))
        .map(|(limit, status)| standing(limit, status))
        .collect();
    let own = Own { consumer: request.consumer, tier: request.tier, limits };
    // Plain data with text keys: writing it does not fail.
    serde_json::to_string(&own).unwrap_or_default()
}

fn standing<'a>(limit: &'a Limit, status: &Status) -> Standing<'a> {
    Standing {
        limit: &limit.name,
        kind: limit.kind.label(),
        unit: limit.meter.unit(),
        most: status.most,
        remaining: status.remaining,
        reset_s: status.reset_ns.div_ceil(NANOS_PER_SECOND),
        window_s: limit.kind.window_s(),
        global: limit.global.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::LimitId;
    use serde_json::{Value, json};

    #[test]
    fn every_limit_is_told_with_its_unit_and_what_is_left() {
        let policy = Policy::from_json(json!({"limits": [
            {"name": "rpm", "meter": "requests", "rate": {"amount": 60, "per": "minute"}},
            {"name": "day", "meter": "cost", "quota": {"amount": 1, "per": "day"}},
            {"name": "ram", "memory_mb": 5, "meter": "ram", "key": ["model"]},
        ]}))
        .unwrap();
        let status = |at, most, remaining| Status { limit: LimitId(at), most, remaining, reset_ns: 1 };
        let request = Attributes { consumer: "alice", tier: "pro", ..Attributes::default() };
        let told = own(&policy, &request, &[status(0, 60, 7), status(1, 1_000_000_000, 5), status(2, 5, 5)]);
        let expected = json!({"consumer": "alice", "tier": "pro", "limits": [
            {"limit": "rpm", "kind": "rate", "unit": "requests", "most": 60, "remaining": 7, "reset_s": 1, "window_s": 60},
            {"limit": "day", "kind": "quota", "unit": "nano-usd", "most": 1_000_000_000, "remaining": 5, "reset_s": 1},
        ]});
        assert_eq!(serde_json::from_str::<Value>(&told).unwrap(), expected);
    }
}
