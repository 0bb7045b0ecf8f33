//! What a configuration may say, and where it is told to be wrong.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::config::{self, Dimension, Enforcement};
use super::{Attributes, Kind, LimitId, Policy, Reads};

fn problem(value: Value) -> String {
    Policy::from_json(value).unwrap_err().to_string()
}

fn limit(extra: Value) -> Value {
    let mut limit = json!({"name": "l"});
    limit.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    json!({"limits": [limit]})
}

#[test]
fn every_mistake_names_its_field() {
    let cases = [
        (json!({"limit": []}), "limit: unknown field `limit`"),
        (
            json!({"tiers": {"free": {"limits": [{"name": "l", "metre": "requests"}]}}}),
            "tiers.free.limits[0].metre: unknown field `metre`",
        ),
        (json!({"limits": "all"}), "limits: invalid type: string \"all\""),
        (limit(json!({"meter": "requests"})), "limits[0]: exactly one of"),
        (limit(json!({"meter": "requests", "concurrency": 1})), "limits[0].meter: a concurrency limit"),
        (limit(json!({"concurrency": 0})), "limits[0].concurrency: 0 would refuse everything"),
        (
            limit(json!({"rate": {"amount": 1, "per": "minute"}})),
            "limits[0].meter: what the limit counts is missing",
        ),
        (
            limit(json!({"meter": "requests", "rate": {"amount": 1, "per": "fortnight"}})),
            "limits[0].rate.per: unknown variant `fortnight`",
        ),
        (
            limit(json!({"meter": "requests", "rate": {"amount": 0, "per": "minute"}})),
            "limits[0].rate.amount: 0 would",
        ),
        (
            limit(json!({"meter": "requests", "rate": {"amount": 1.5, "per": "minute"}})),
            "limits[0].rate.amount: more than 0 decimals",
        ),
        (
            limit(json!({"meter": "requests", "rate": {"amount": -1, "per": "minute"}})),
            "limits[0].rate.amount: the number must not be negative",
        ),
        (limit(json!({"meter": "requests", "per_request": 1})), "limits[0].per_request: one request"),
        (
            limit(json!({"meter": "tokens", "quota": {"amount": 1, "per": "day", "zone": "Mars/Olympus"}})),
            "limits[0].quota.zone: `Mars/Olympus` is not",
        ),
        (
            limit(json!({"meter": "tokens", "quota": {"amount": 1, "per": "day", "reset_at": "25:00"}})),
            "limits[0].quota.reset_at: `25:00`",
        ),
        (
            limit(json!({"concurrency": 1, "key": ["model", "model"]})),
            "limits[0].key: an attribute is named twice",
        ),
        (limit(json!({"concurrency": 1, "when": {"model": ["g*t"]}})), "limits[0].when.model: a star"),
        (limit(json!({"concurrency": 1, "when": {"model": []}})), "limits[0].when.model: no value"),
        (
            limit(json!({"concurrency": 1, "action": "throttle"})),
            "limits[0].action: only a `rate` can be throttled",
        ),
        (
            limit(json!({"meter": "tokens", "per_request": 1, "action": "queue"})),
            "limits[0].action: a request that is too large",
        ),
        (limit(json!({"concurrency": 1, "max_wait_ms": 1})), "limits[0].max_wait_ms: only for"),
        (
            limit(
                json!({"meter": "requests", "rate": {"amount": 1, "per": "second"}, "action": "throttle", "max_wait_ms": 600_001}),
            ),
            "limits[0].max_wait_ms: not from 1 to 600000",
        ),
        (limit(json!({"concurrency": 1, "grace_s": 86_401})), "limits[0].grace_s: more than"),
        (limit(json!({"meter": "tokens", "per_request": 1, "grace_s": 1})), "limits[0].grace_s: one request"),
        (
            limit(json!({"meter": "tokens", "window": {"amount": 1, "per": "week"}})),
            "limits[0].window.per: unknown variant `week`",
        ),
        (
            limit(json!({"meter": "tokens", "window": {"amount": 0, "per": "day"}})),
            "limits[0].window.amount: 0 would",
        ),
        (
            limit(json!({"meter": "tokens", "quota": {"amount": 1, "per": "hour", "reset_at": "01:00"}})),
            "limits[0].quota.reset_at: an hour begins at a minute",
        ),
        (
            limit(
                json!({"meter": "tokens", "quota": {"amount": 1, "per": {"every": {"days": 0, "from": "2026-01-01"}}}}),
            ),
            "limits[0].quota.per.every.days: not from 1 to 3660",
        ),
        (
            limit(
                json!({"meter": "tokens", "quota": {"amount": 1, "per": {"every": {"days": 3660, "from": "May"}}}}),
            ),
            "limits[0].quota.per.every.from: `May` is not a date",
        ),
        (
            limit(
                json!({"meter": "tokens", "rate": {"amount": 1, "per": "hour", "allowance": {"amount": 0}}}),
            ),
            "limits[0].rate.allowance.amount: 0 would",
        ),
        (limit(json!({"meter": "tokens", "memory_mb": 1})), "limits[0].meter: `memory_mb` is of"),
        (
            limit(json!({"meter": "ram", "quota": {"amount": 1, "per": "day"}})),
            "limits[0].meter: `ram` and `ssd` are for",
        ),
        (limit(json!({"meter": "ram", "memory_mb": 0})), "limits[0].memory_mb: 0 would"),
        (
            limit(json!({"meter": "ram", "memory_mb": 1, "key": ["consumer"]})),
            "limits[0].key: a server's memory",
        ),
        (limit(json!({"concurrency": 1, "when": {"model": ["!g*t"]}})), "limits[0].when.model: a star"),
        (json!({"name": "a b"}), "name: `a b` is not a name"),
        (json!({"tiers": {"free": {}}}), "identity.default_tier: missing"),
        (
            json!({"tiers": {"free": {}}, "identity": {"default_tier": "pro"}}),
            "identity.default_tier: there is no tier `pro`",
        ),
        (
            json!({"identity": {"keys": [{"sha256": "abc", "consumer": "x"}]}}),
            "identity.keys[0].sha256: not 64",
        ),
        (json!({"identity": {"tier": [{"api_key": {}}]}}), "identity.tier[0]: an api_key"),
        (
            json!({"identity": {"consumer": [{"cookie": "x"}]}}),
            "identity.consumer[0]: unknown variant `cookie`",
        ),
        (json!({"identity": {"roles": [{"api_key": {}}]}}), "identity.roles[0]: an api_key"),
        (
            json!({"identity": {"consumer": [{"certificate": "serial"}]}}),
            "identity.consumer[0].certificate: unknown",
        ),
        (
            json!({"identity": {"strip_headers": ["x-ok", "content-length"]}}),
            "identity.strip_headers[1]: `content",
        ),
        (json!({"identity": {"strip_headers": [":path"]}}), "identity.strip_headers[0]: `:path`"),
        (json!({"identity": {"trusted_hops": 256}}), "identity.trusted_hops: invalid value"),
        (
            json!({"enforcement": "maybe"}),
            "enforcement: invalid value: string \"maybe\", expected `on`, `shadow`",
        ),
        (
            json!({"access": {"exempt": {"roles": ["admin"]}}}),
            "access.exempt.roles: no role would ever be known",
        ),
        (
            json!({"access": {"suspended": {"x": "why"}, "exempt": {"consumers": ["x"]}}}),
            "access.exempt.consumers[0]: `x` is suspended",
        ),
        (json!({"access": {"suspended": {"x": "y".repeat(501)}}}), "access.suspended.x: more than 500 bytes"),
        (json!({"": 1}), ".: unknown field ``"),
        (json!({"load": {}}), "load: neither `capacity` nor"),
        (json!({"load": {"capacity": 0}}), "load.capacity: 0 would"),
        (json!({"load": {"capacity": 1, "shed_above": 101}}), "load.shed_above: not from 1 to 100"),
        (
            json!({"load": {"utilization": ["cpu_utilization"], "tighten": {"above": 50, "below": 60, "factor": 50}}}),
            "load.tighten.below: more than",
        ),
        (
            json!({"load": {"capacity": 9, "tighten": {"above": 90, "below": 60, "factor": 50}}}),
            "load.tighten: `utilization` is missing",
        ),
        (
            json!({"load": {"capacity": 9, "tighten": {"above": 90, "below": 60, "limits": 0}}}),
            "load.tighten.limits: not from 1 to 100",
        ),
        (
            json!({"load": {"capacity": 9, "tighten": {"above": 9, "below": 6, "relax_after_ms": 3_600_001}}}),
            "load.tighten.relax_after_ms: more than 3600000",
        ),
        (
            json!({"tiers": {"t": {"load_action": "queue"}}, "identity": {"default_tier": "t"}}),
            "tiers.t.load_action: there is no `load`",
        ),
        (
            json!({
                "limits": [{"name": "l", "meter": "requests", "rate": {"amount": 4294967291u32, "per": "second"}}],
                "load": {"capacity": 9, "tighten": {"above": 90, "below": 60, "limits": 99}},
            }),
            "limits[0].rate.amount: too fine a rate to tighten",
        ),
        (json!({"queue": {"length": 0}}), "queue.length: not from 1 to 100000"),
        (json!({"queue": {"max_wait_ms": 3_600_001}}), "queue.max_wait_ms: not from 1 to 3600000"),
        (json!({"default_policy": "p"}), "default_policy: there is no policy `p`"),
        (
            json!({"tiers": {"t": {"models": []}}, "identity": {"default_tier": "t"}}),
            "tiers.t.models: an empty list",
        ),
        (
            json!({"tiers": {"t": {"tools": ["a*b"]}}, "identity": {"default_tier": "t"}}),
            "tiers.t.tools[0]: a star",
        ),
        (json!({"warnings": {"thresholds": [80, 101]}}), "warnings.thresholds[1]: not from 1 to 100"),
        (
            json!({"reservation": {"expected_output_tokens": 0}}),
            "reservation.expected_output_tokens: not from",
        ),
        (json!({"reservation": {"mid_stream": "stop"}}), "reservation.mid_stream: unknown variant `stop`"),
        (
            json!({"limits": [{"name": "l", "concurrency": 1, "global": {}}], "ledger": {"cluster": "c"}}),
            "limits[0].global: only a `quota` or a `rate` can be global",
        ),
        (
            json!({"limits": [{"name": "l", "meter": "requests", "rate": {"amount": 1, "per": "hour", "allowance": {"amount": 5}}, "global": {}}], "ledger": {"cluster": "c"}}),
            "limits[0].global: a global rate can't have an `allowance`, which each Envoy counts by itself",
        ),
        (
            json!({"limits": [{"name": "l", "meter": "requests", "rate": {"amount": 1, "per": "hour"}, "global": {"allowance": 1, "funded": true}}], "ledger": {"cluster": "c"}}),
            "limits[0].global.funded: nothing of a rate can be set aside",
        ),
        (
            json!({"limits": [{"name": "l", "meter": "requests", "quota": {"amount": 1, "per": "day"}, "global": {}}]}),
            "limits[0].global: a global limit is divided by a ledger: there is no `ledger` section",
        ),
        (
            json!({"limits": [{"name": "l", "meter": "requests", "quota": {"amount": 1, "per": "day"}, "global": {"wait_ms": 0}}], "ledger": {"cluster": "c"}}),
            "limits[0].global.wait_ms: not from 1 to 10000",
        ),
        (
            json!({"limits": [{"name": "l", "meter": "requests", "quota": {"amount": 1, "per": "day"}, "global": {"wait_ms": 10001}}], "ledger": {"cluster": "c"}}),
            "limits[0].global.wait_ms: not from 1 to 10000",
        ),
        (
            json!({"limits": [{"name": "l", "meter": "requests", "quota": {"amount": 1, "per": "day"}, "global": {"funded": true}}], "ledger": {"cluster": "c"}}),
            "limits[0].global.funded: there is no `allowance` to fund",
        ),
        (
            json!({"limits": [{"name": "l", "meter": "requests", "quota": {"amount": 1, "per": "day"}, "global": {"allowance": 0.5}}], "ledger": {"cluster": "c"}}),
            "limits[0].global.allowance: more than 0 decimals",
        ),
        (
            json!({"limits": [{"name": "l", "concurrency": 1, "mid_stream": "end"}]}),
            "limits[0].mid_stream: no stream outgrows this limit",
        ),
        (
            json!({"limits": [{"name": "l", "meter": "input_tokens", "rate": {"amount": 1, "per": "hour"}, "mid_stream": "finish"}]}),
            "limits[0].mid_stream: no stream outgrows this limit",
        ),
        (
            json!({"limits": [{"name": "l", "meter": "cost", "rate": {"amount": 1, "per": "hour"}, "action": "warn", "mid_stream": "end"}]}),
            "limits[0].mid_stream: a limit that refuses nothing ends nothing",
        ),
        (json!({"state": {"expected_keys": 4_000_000_000u32}}), "state.expected_keys: more than"),
        (json!({"ledger": {"cluster": ""}}), "ledger.cluster: empty"),
        (json!({"ledger": {"cluster": "l", "flush_interval_ms": 1}}), "ledger.flush_interval_ms: not from"),
        (json!({"actions": {"a": {"credits": 1, "per": "moon"}}}), "actions.a.per: not"),
        (json!({"prices": {"overrides": {"m": {"input": 1}}}}), "prices.overrides.m: missing field `output`"),
    ];
    let mut wrong = Vec::new();
    for (value, expected) in cases {
        let told = problem(value.clone());
        if !told.starts_with(expected) {
            wrong.push(format!("{value}\n  told: {told}\n  want: {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn two_limits_whose_balances_would_collide_are_refused() {
    let limit = json!({"name": "l", "concurrency": 1});
    assert!(problem(json!({"limits": [limit, limit]})).starts_with("limits[1].name: another limit"));
    let tiers = json!({"free": {"limits": [limit]}, "pro": {"limits": [limit]}});
    let identity = json!({"default_tier": "free"});
    assert!(
        Policy::from_json(json!({"tiers": tiers, "identity": identity})).is_ok(),
        "tiers share names on purpose"
    );
    let both = json!({"tiers": tiers, "identity": identity, "limits": [limit]});
    assert!(problem(both).starts_with("limits[0].name: another limit"));
}

/// The names of the limits that bind a request for a model, in a policy whose limits have these conditions on it.
fn binding(conditions: &[&[&str]], model: &str) -> Vec<usize> {
    let limit = |(at, when): (usize, &&[&str])| {
        let when = if when.is_empty() { json!({}) } else { json!({"model": when, "tier": ["*"]}) };
        json!({"name": format!("l{at}"), "concurrency": 1, "when": when})
    };
    let limits: Vec<Value> = conditions.iter().enumerate().map(limit).collect();
    let policy = Policy::from_json(json!({"limits": limits})).unwrap();
    let mut ids = Vec::new();
    policy.matching(&Attributes { model, ..Attributes::default() }, &mut ids);
    ids.into_iter().map(|id| usize::from(id.0)).collect()
}

#[test]
fn conditions_name_values_prefixes_any_and_all_but() {
    let conditions: [&[&str]; 8] = [
        &[],
        &["gpt-5"],
        &["gpt-*"],
        &["gpt-5", "gpt-*", "g*"],
        &["*"],
        &["!gpt-5"],
        &["gpt-*", "!gpt-5"],
        &["!gpt-*", "!o*"],
    ];
    assert_eq!(binding(&conditions, "gpt-5"), [0, 1, 2, 3, 4]);
    assert_eq!(binding(&conditions, "gpt-6"), [0, 2, 3, 4, 5, 6]);
    assert_eq!(binding(&conditions, "o3"), [0, 4, 5]);
    assert_eq!(binding(&conditions, "claude"), [0, 4, 5, 7]);
    assert_eq!(binding(&conditions, ""), [0, 4, 5, 7]);
    assert_eq!(binding(&conditions, "gp\u{e9}"), [0, 3, 4, 5, 7]);
}

proptest! {
    /// The index finds what asking every limit would find, in the same order.
    #[test]
    fn an_index_finds_what_asking_each_limit_would(
        conditions in prop::collection::vec(prop::collection::vec("!?[ab]{0,3}[*]?", 0..4), 1..40),
        model in "[ab]{0,4}",
    ) {
        let texts: Vec<Vec<&str>> =
            conditions.iter().map(|values| values.iter().map(String::as_str).collect()).collect();
        let applies = |values: &&Vec<&str>| {
            let one = |text: &str| match text.strip_suffix('*') {
                Some(prefix) => model.starts_with(prefix),
                None => model == text,
            };
            let (none, any): (Vec<&str>, Vec<&str>) = values.iter().partition(|text| text.starts_with('!'));
            !none.iter().any(|text| one(&text[1..])) && (any.is_empty() || any.iter().any(|text| one(text)))
        };
        let expected: Vec<usize> = texts.iter().enumerate().filter(|(_, values)| applies(values)).map(|(at, _)| at).collect();
        let slices: Vec<&[&str]> = texts.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(binding(&slices, &model), expected);
    }
}

fn tiers() -> Policy {
    Policy::from_json(json!({
        "identity": {"default_tier": "free"},
        "tiers": {
            "free": {"limits": [{"name": "rpm", "meter": "requests", "rate": {"amount": 3, "per": "minute", "burst": 5}}]},
            "unlimited": {},
        },
        "limits": [
            {"name": "gpt", "meter": "cost", "quota": {"amount": 1.5, "per": "month"}, "key": ["model", "consumer"], "when": {"model": ["gpt-*"]}},
        ],
        "policies": {"slow": {"limits": [{"name": "slow", "concurrency": 1}]}},
    }))
    .unwrap()
}

#[test]
fn all_limits_that_match_bind() {
    let policy = tiers();
    let matching = |tier, model, route| {
        let mut ids = Vec::new();
        policy.matching(&Attributes { tier, model, policy: route, ..Attributes::default() }, &mut ids);
        ids.iter().map(|id| policy.limit(*id).unwrap().name.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(matching("free", "gpt-5", "slow"), ["rpm", "slow", "gpt"]);
    assert_eq!(matching("free", "o3", ""), ["rpm"]);
    assert_eq!(matching("unlimited", "o3", "nowhere"), [""; 0]);
}

#[test]
fn amounts_are_counted_in_the_meters_smallest_unit() {
    let policy = tiers();
    assert_eq!(policy.limit(LimitId(0)).unwrap().most(), 5);
    let gpt = policy.limits().iter().find(|limit| limit.name == "gpt").unwrap();
    assert!(matches!(gpt.kind, Kind::Quota { limit: 1_500_000_000, .. }));
    assert_eq!(gpt.key(), [Dimension::Consumer, Dimension::Model]);
}

#[test]
fn only_what_is_needed_is_read() {
    let reads = |value| Policy::from_json(value).unwrap().reads();
    let requests = json!({"name": "l", "meter": "requests", "rate": {"amount": 1, "per": "second"}});
    assert_eq!(reads(json!({"limits": [requests]})), Reads::default());
    let for_the_books = reads(json!({"limits": [requests], "ledger": {"cluster": "l"}}));
    assert!(for_the_books.body && for_the_books.route_metadata && !for_the_books.route);
    assert!(reads(limit(json!({"concurrency": 1, "key": ["model"]}))).body);
    assert!(reads(limit(json!({"concurrency": 1, "key": ["route"]}))).route);
    assert!(reads(limit(json!({"concurrency": 1, "when": {"workflow": ["w"]}}))).route_metadata);
    assert!(tiers().reads().route_metadata);
}

#[test]
fn slots_follow_the_expected_number_of_keys() {
    let slots = |keys: u32| Policy::from_json(json!({"state": {"expected_keys": keys}})).unwrap().slots;
    assert_eq!((slots(1), slots(32_768), slots(32_769), slots(1_000_000)), (16, 2048, 4096, 65_536));
}

#[test]
fn what_envoy_hands_over_is_the_same_as_json() {
    let error = Policy::from_bytes(br#"{"limits": [{"name": "l"}]}"#).unwrap_err();
    assert!(error.to_string().starts_with("limits[0]: exactly one of"));
    assert!(Policy::from_bytes(b"").is_ok());
}

#[test]
fn the_switch_for_all_is_read_whatever_a_yaml_reader_makes_of_on_and_off() {
    let read = |value: Value| Policy::from_json(json!({"enforcement": value})).unwrap().enforcement;
    assert_eq!([read(json!("on")), read(json!(true))], [Enforcement::On; 2]);
    assert_eq!([read(json!("off")), read(json!(false))], [Enforcement::Off; 2]);
    assert_eq!(read(json!("shadow")), Enforcement::Shadow);
}

#[test]
fn streams_are_ended_where_a_limit_says_so_or_all_do_and_never_where_nothing_is_refused() {
    let rate = |name: &str, meter: &str, more: serde_json::Value| {
        let mut limit = json!({"name": name, "meter": meter, "rate": {"amount": 9, "per": "hour"}});
        more.as_object().unwrap().iter().for_each(|(key, value)| limit[key] = value.clone());
        limit
    };
    let limits = json!([
        rate("as_told", "tokens", json!({})),
        rate("own", "cost", json!({"mid_stream": "off"})),
        rate("warns", "tokens", json!({"action": "warn"})),
        rate("requests", "requests", json!({})),
        rate("input", "input_tokens", json!({})),
        {"name": "in_flight", "concurrency": 1},
    ]);
    let of = |reservation: serde_json::Value| -> Vec<config::MidStream> {
        let policy = Policy::from_json(json!({"limits": limits, "reservation": reservation})).unwrap();
        policy.limits().iter().map(|limit| limit.mid_stream).collect()
    };
    use config::MidStream::{End, Finish, Off};
    assert_eq!(of(json!({})), [Finish, Off, Finish, Off, Off, Off]);
    assert_eq!(of(json!({"mid_stream": "end"})), [End, Off, Finish, Off, Off, Off]);
    assert_eq!(of(json!({"mid_stream": "off"})), [Off, Off, Off, Off, Off, Off]);
}
