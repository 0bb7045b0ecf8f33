use serde_json::{Value, json};
use tollgate_wire::{Credits, NanoUsd, Outcome, TokenCount};

use super::*;
use crate::hash::HashKey;
use crate::traffic::{Observed, RequestFacts, Usage};

fn policy(more: Value) -> Policy {
    let mut all = json!({
        "prices": {"overrides": {"m": {"input": 1, "output": 10, "cached_input": 0.1}}},
        "actions": {"translate": {"credits": 5, "per": "1000 tokens"}},
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
        all.extend(more);
    }
    Policy::from_json(all).unwrap()
}

fn facts(cap: Option<u64>) -> RequestFacts {
    RequestFacts {
        model: Some("m".into()),
        output_cap: cap,
        choices: 1,
        input_estimate: TokenCount(100),
        input_words: 80,
        body_bytes: 500,
        ..RequestFacts::default()
    }
}

fn calibration() -> Calibration {
    Calibration::new(HashKey::new([1; 16]))
}

fn request<'a>(action: &'a str, workflow: &'a str) -> Attributes<'a> {
    Attributes { model: "m", tier: "pro", region: "eu", action, workflow, ..Attributes::default() }
}

fn demand(policy: &Policy, request: Attributes<'_>, facts: &RequestFacts) -> Demand {
    let job = Job { policy, request, facts: Some(facts), uses_model: true };
    job.demand(&Predictor::default(), &calibration()).unwrap()
}

fn charged_under(policy: &Policy, seen: &Observed, ending: Ending) -> Charged {
    let facts = facts(None);
    let job = Job { policy, request: request("", ""), facts: Some(&facts), uses_model: true };
    let demand = job.demand(&Predictor::default(), &calibration()).unwrap();
    job.charge(&demand, &[], &calibration(), seen, ending, 0)
}

fn charged(seen: &Observed, ending: Ending) -> Charged {
    charged_under(&policy(json!({})), seen, ending)
}

const WHOLE: Ending = Ending { status: 200, complete: true, cut: false };
const CUT: Ending = Ending { status: 200, complete: false, cut: false };

/// An answer of which text for so many tokens passed.
fn text(tokens: u64) -> Observed {
    Observed { output_estimate: TokenCount(tokens), body_bytes: 40, ..Observed::default() }
}

#[test]
fn a_cap_bounds_what_is_held_and_what_is_expected() {
    let policy = policy(json!({}));
    let capped = demand(&policy, request("translate", ""), &facts(Some(50)));
    assert_eq!((capped.expected.output, capped.bound.output), (TokenCount(50), TokenCount(50)));
    assert_eq!(capped.bound.cost, NanoUsd(100 * 1000 + 50 * 10_000));
    assert_eq!(capped.bound.credits, Credits(750_000));
    let open = demand(&policy, request("", ""), &facts(None));
    assert_eq!((open.expected.output, open.bound.output), (TokenCount(256), TokenCount(4096)));
}

#[test]
fn what_the_provider_reports_is_what_is_charged() {
    let usage = Usage {
        input: Some(86),
        cache_read: Some(1920),
        output: Some(300),
        reasoning: Some(192),
        ..Usage::default()
    };
    let seen = Observed { usage, reported: true, body_bytes: 9, finished: true, ..Observed::default() };
    let charged = charged(&seen, WHOLE);
    assert_eq!(charged.amounts.cost, NanoUsd(86 * 1000 + 1920 * 100 + 300 * 10_000));
    assert_eq!((charged.outcome, charged.cause), (Outcome::Ok, Cause::Reported));
    assert_eq!(charged.amounts.input, TokenCount(2006));
}

#[test]
fn what_a_cache_keeps_for_an_hour_is_charged_as_that() {
    let policy = policy(
        json!({"prices": {"overrides": {"m": {"input": 1, "output": 10, "cache_write": 2, "cache_write_1h": 3}}}}),
    );
    let usage = Usage {
        input: Some(0),
        cache_write: Some(100),
        cache_write_1h: Some(40),
        output: Some(0),
        ..Usage::default()
    };
    let seen = Observed { usage, reported: true, body_bytes: 9, finished: true, ..Observed::default() };
    let charged = charged_under(&policy, &seen, WHOLE);
    assert_eq!(charged.amounts.cost, NanoUsd(60 * 2000 + 40 * 3000));
    assert_eq!((charged.tokens.cache_write, charged.amounts.input), (100, TokenCount(100)));
}

#[test]
fn an_upstream_error_costs_nothing_unless_the_policy_says_so() {
    let failed = Ending { status: 500, complete: true, cut: false };
    let refunded = charged(&Observed::default(), failed);
    assert_eq!((refunded.outcome, refunded.cause), (Outcome::Error, Cause::UpstreamError));
    assert_eq!(refunded.amounts, Amounts::default());
    let policy = policy(json!({"charging": {"on_upstream_error": "input"}}));
    let billed = charged_under(&policy, &Observed::default(), failed);
    assert_eq!((billed.outcome, billed.tokens.input, billed.tokens.output), (Outcome::Error, 100, 0));
    // An answer that is nothing but an error is one whatever its status.
    let only = Observed { error: true, body_bytes: 40, ..Observed::default() };
    assert_eq!(charged(&only, WHOLE).cause, Cause::UpstreamError);
}

#[test]
fn an_abort_is_never_free() {
    let nothing = charged(&Observed::default(), Ending { status: 0, complete: false, cut: false });
    assert_eq!((nothing.outcome, nothing.tokens.input, nothing.tokens.output), (Outcome::Aborted, 100, 256));
    let partly = charged(&text(7), CUT);
    assert_eq!((partly.outcome, partly.tokens.input, partly.tokens.output), (Outcome::Aborted, 100, 7));
    let policy = policy(json!({"charging": {"on_abort": "reserved"}}));
    let strict = charged_under(&policy, &text(7), CUT);
    assert_eq!((strict.cause, strict.tokens.output), (Cause::Aborted, 4096));
    let longer = charged_under(&policy, &text(5000), CUT);
    assert_eq!(longer.tokens.output, 5000);
}

#[test]
fn a_report_before_the_end_is_a_running_total_that_the_text_may_exceed() {
    let usage = Usage { input: Some(90), output: Some(10), ..Usage::default() };
    let seen = Observed { usage, reported: true, ..text(12) };
    let cut = charged(&seen, CUT);
    assert_eq!((cut.outcome, cut.tokens.input, cut.tokens.output), (Outcome::Aborted, 90, 12));
    let whole = charged(&seen, WHOLE);
    assert_eq!((whole.outcome, whole.tokens.output), (Outcome::Ok, 10));
}

#[test]
fn an_error_in_an_answer_that_had_begun_charges_what_passed() {
    let seen = Observed { error: true, ..text(7) };
    let charged_then = charged(&seen, WHOLE);
    assert_eq!((charged_then.cause, charged_then.outcome), (Cause::ErrorInAnswer, Outcome::Estimated));
    assert_eq!((charged_then.tokens.input, charged_then.tokens.output), (100, 7));
    let policy = policy(json!({"charging": {"on_error_in_answer": "reserved"}}));
    assert_eq!(charged_under(&policy, &seen, CUT).tokens.output, 4096);
}

#[test]
fn an_answer_without_usage_is_estimated_and_an_explicit_zero_is_not() {
    let seen = Observed { finished: true, ..text(7) };
    let estimated = charged(&seen, WHOLE);
    assert_eq!((estimated.outcome, estimated.cause), (Outcome::Estimated, Cause::NoUsage));
    let usage = Usage { input: Some(0), output: Some(0), ..Usage::default() };
    let zero = Observed { usage, reported: true, ..seen.clone() };
    assert_eq!(charged(&zero, WHOLE).amounts, Amounts::default());
    let policy = policy(json!({"charging": {"without_usage": "reserved"}}));
    assert_eq!(charged_under(&policy, &seen, WHOLE).tokens.output, 4096);
}

#[test]
fn input_that_is_not_reported_is_not_free() {
    let usage = Usage { output: Some(9), ..Usage::default() };
    let seen = Observed { usage, reported: true, finished: true, ..text(40) };
    let charged = charged(&seen, WHOLE);
    assert_eq!((charged.tokens.input, charged.tokens.output), (100, 9));
    assert_eq!(charged.outcome, Outcome::Estimated);
}

#[test]
fn a_model_without_a_price_costs_the_ceiling_or_is_refused() {
    let ceiling = policy(json!({}));
    let facts = facts(None);
    let request = Attributes { model: "nobody-knows-it", ..Attributes::default() };
    let job = Job { policy: &ceiling, request, facts: Some(&facts), uses_model: true };
    let rate = job.rate(None).unwrap();
    let million = TokenClasses { output: 1_000_000, ..TokenClasses::default() };
    assert!(rate.unknown && rate.cost(&million) >= NanoUsd(10 * NanoUsd::DOLLAR.0));
    let strict = policy(json!({"prices": {"unknown": "refuse"}}));
    assert_eq!(Job { policy: &strict, ..job }.demand(&Predictor::default(), &calibration()), Err(Unpriced));
    // A request that no model answers has no price, and needs none.
    assert_eq!(
        Job { policy: &strict, uses_model: false, ..job }.rate(None).unwrap().cost(&million),
        NanoUsd(0)
    );
}

#[test]
fn rules_change_the_price_for_whom_they_are_about() {
    let policy = policy(json!({"prices": {
        "version": 7,
        "overrides": {"m": {"input": 1, "output": 10}},
        "rules": [
            {"when": {"tier": ["pro"], "model": ["m*"], "region": ["us"]}, "price": {"input": 3, "output": 0}},
            {"when": {"tier": ["pro"]}, "percent": 80},
            {"percent": 200},
        ],
    }}));
    assert_eq!(policy.prices.version(), 7);
    let facts = facts(None);
    let cost = |request: Attributes<'_>| {
        let job = Job { policy: &policy, request, facts: Some(&facts), uses_model: true };
        job.rate(Some(&[])).unwrap().cost(&TokenClasses { input: 10, output: 1, ..TokenClasses::default() })
    };
    let pro = request("", "");
    assert_eq!(cost(pro), NanoUsd(16_000));
    assert_eq!(cost(Attributes { region: "us", ..pro }), NanoUsd(30_000));
    assert_eq!(cost(Attributes { tier: "free", ..pro }), NanoUsd(40_000));
}

#[test]
fn a_volume_changes_the_price_once_it_is_passed() {
    let policy = policy(json!({
        "limits": [{"name": "month", "meter": "tokens", "quota": {"amount": 1000, "per": "month"}}],
        "prices": {
            "overrides": {"m": {"input": 1, "output": 10}},
            "volume": [
                {"quota": "month", "above": 500, "percent": 50},
                {"quota": "month", "above": 100, "percent": 90},
                {"quota": "month", "above": 900, "percent": 150},
            ],
        },
    }));
    let facts = facts(None);
    let job = Job { policy: &policy, request: request("", ""), facts: Some(&facts), uses_model: true };
    let million = TokenClasses { input: 1_000_000, ..TokenClasses::default() };
    let at = |used: u64| {
        let status =
            Status { limit: crate::policy::LimitId(0), most: 1000, remaining: 1000 - used, reset_ns: 0 };
        job.rate(Some(&[status])).unwrap().cost(&million).0 / 10_000_000
    };
    assert_eq!([at(0), at(100), at(101), at(501), at(901)], [100, 100, 90, 50, 150]);
    // Before the volume is known, the dearest is reserved.
    assert_eq!(job.rate(None).unwrap().cost(&million).0 / 10_000_000, 150);
}

#[test]
fn credits_follow_the_step_then_the_action_then_the_cost() {
    let policy = policy(json!({
        "actions": {"translate": {"credits": 5, "per": "1000 words"}, "upload": {"credits": 1, "per": "1 MB"},
                    "run": {"credits": 2, "per": "second"}},
        "workflows": {"report": {"steps": {"translate": {"credits": 3, "per": "request"}}}},
        "credits": {"usd": 0.01},
    }));
    let facts = facts(Some(10));
    let usage = Usage { input: Some(100), output: Some(10), ..Usage::default() };
    let seen = Observed { usage, reported: true, output_words: 20, body_bytes: 500, ..text(10) };
    let credits = |action, workflow| {
        let job = Job {
            policy: &policy,
            request: request(action, workflow),
            facts: Some(&facts),
            uses_model: true,
        };
        let demand = job.demand(&Predictor::default(), &calibration()).unwrap();
        job.charge(&demand, &[], &calibration(), &seen, WHOLE, 1500).amounts.credits.0
    };
    assert_eq!(credits("translate", ""), 500_000);
    assert_eq!(credits("upload", ""), 1_000);
    assert_eq!(credits("run", ""), 3_000_000);
    assert_eq!(credits("translate", "report"), 3_000_000);
    // A step the workflow does not list costs what the action does.
    assert_eq!(credits("upload", "report"), 1_000);
    // 200 micro-dollars at a cent a credit.
    assert_eq!(credits("", ""), 20_000);
}

#[test]
fn words_of_a_body_that_was_not_read_are_not_free() {
    let policy = policy(json!({"actions": {"translate": {"credits": 1, "per": "word"}}}));
    let facts = RequestFacts { input_words: 0, ..facts(Some(10)) };
    let job =
        Job { policy: &policy, request: request("translate", ""), facts: Some(&facts), uses_model: true };
    let charged = job.charge(&Demand::default(), &[], &calibration(), &text(4), WHOLE, 0);
    assert_eq!(charged.amounts.credits, Credits(75_000_000));
}

#[test]
fn an_action_costs_credits_where_no_body_is_read() {
    let policy = policy(json!({"actions": {"ping": {"credits": 1, "per": "request"}}}));
    let job = Job { policy: &policy, request: request("ping", ""), facts: None, uses_model: false };
    let demand = job.demand(&Predictor::default(), &calibration()).unwrap();
    assert_eq!(demand.bound.credits, Credits(1_000_000));
    let charge = |ending| job.charge(&demand, &[], &calibration(), &Observed::default(), ending, 0);
    let served = charge(WHOLE);
    assert_eq!(
        (served.amounts.credits, served.outcome, served.cause),
        (Credits(1_000_000), Outcome::Ok, Cause::Unread)
    );
    let failed = charge(Ending { status: 503, complete: true, cut: false });
    assert_eq!((failed.amounts.credits, failed.outcome), (Credits(0), Outcome::Error));
}

#[test]
fn all_names_of_a_model_learn_together() {
    let policy = policy(json!({}));
    let facts = RequestFacts { input_estimate: TokenCount(1000), ..facts(None) };
    let (mut predictor, mut calibration) = (Predictor::default(), calibration());
    let job = |model| {
        let request = Attributes { model, ..Attributes::default() };
        Job { policy: &policy, request, facts: Some(&facts), uses_model: true }
    };
    let usage = Usage { input: Some(1500), output: Some(9), ..Usage::default() };
    let seen = Observed { usage, reported: true, finished: true, ..text(9) };
    let demand = Demand::default();
    for _ in 0..50 {
        let charged = job("m-2026-01-01").charge(&demand, &[], &calibration, &seen, WHOLE, 0);
        job("m-2026-01-01").learn(&charged, &mut predictor, &mut calibration);
    }
    let next = job("m").demand(&predictor, &calibration).unwrap();
    assert_eq!(next.expected.output, TokenCount(9));
    assert!((1450..=1500).contains(&next.expected.input.0), "{next:?}");
}
