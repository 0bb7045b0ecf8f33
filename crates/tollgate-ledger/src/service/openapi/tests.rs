//! The descriptions and what really goes over the wire.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};
use tollgate_wire::{
    Ask, Balance, Claim, ConsumerStanding, ConsumerStatus, Credits, Decisions, EnforcementSwitch, Grant,
    LeaseAsk, LeaseGrant, LimitForNow, MemoryInUse, NanoUsd, OpeningPage, OpeningRequest, Outcome, QuotaName,
    RateName, Share, ShareAsk, ShareGrant, SwitchesState, SyncRequest, SyncResponse, Tally, TierForNow,
    TokenCount, Warning, WindowRange,
};

use super::decisions::*;
use super::leases::*;
use super::shares::*;
use super::sync::*;
use utoipa::ToSchema;

fn properties<T: ToSchema>() -> BTreeSet<String> {
    let schema = serde_json::to_value(T::schema()).unwrap();
    schema["properties"].as_object().unwrap().keys().cloned().collect()
}

fn fields(value: impl Serialize) -> BTreeSet<String> {
    serde_json::to_value(value).unwrap().as_object().unwrap().keys().cloned().collect()
}

fn full_tally() -> Tally {
    let name = || "x".to_owned();
    Tally {
        id: name(),
        at_ms: 1,
        consumer: name(),
        team: name(),
        project: name(),
        tier: name(),
        route: name(),
        policy: name(),
        action: name(),
        workflow: name(),
        provider: name(),
        model: name(),
        tool: name(),
        interface: name(),
        region: name(),
        status: 200,
        outcome: Outcome::Ok,
        refused_by: name(),
        requests: 2,
        input: TokenCount(1),
        cache_read: TokenCount(1),
        cache_write: TokenCount(1),
        output: TokenCount(1),
        reasoning: TokenCount(1),
        cost_nusd: NanoUsd(1),
        credits: Credits(1),
        price_version: 1,
        unknown_price: true,
        exempt: true,
        warnings: vec![Warning { limit: name(), percent: 80 }],
    }
}

fn full_balance() -> Balance {
    let names: Vec<(String, Value)> =
        properties::<BalanceDoc>().into_iter().map(|n| (n, json!("x"))).collect();
    let mut balance = serde_json::Map::from_iter(names);
    for number in ["window", "requests", "input", "output", "cost_nusd", "credits"] {
        balance.insert(number.into(), json!(1));
    }
    serde_json::from_value(balance.into()).unwrap()
}

fn full_decisions() -> Decisions {
    let standing = ConsumerStanding {
        id: "x".into(),
        tier: Some("x".into()),
        tier_for_now: Some(TierForNow { tier: "x".into(), until_ms: 1 }),
        limits_for_now: vec![LimitForNow { limit: "x".into(), percent: 1, until_ms: 1 }],
        status: ConsumerStatus::Grace,
        reason: "x".into(),
        status_until_ms: Some(1),
        exempt: true,
        exempt_until_ms: Some(1),
        resets: 1,
        burst_resets: 1,
    };
    Decisions {
        revision: 1,
        consumers: vec![standing],
        switches: Some(SwitchesState { enforcement: Some(EnforcementSwitch::On), burst_resets: 1 }),
        memory: vec![MemoryInUse { model: "x".into(), ram_mb: 1, ssd_mb: 1 }],
        more: true,
    }
}

fn full_share() -> (ShareAsk, ShareGrant) {
    let rate = RateName {
        limit: "x".into(),
        policy: "x".into(),
        meter: "x".into(),
        key: [("x".to_owned(), "x".to_owned())].into(),
        resets: 1,
    };
    let claim = Claim { seq: 1, holding: 1, returned: 1, demand: 1, need: 1, short: true, leave: true };
    let share = Share { share: 1, level: 1, more: true, ttl_ms: 1, again_ms: 1 };
    (
        ShareAsk { rate, holder: "x".into(), fill_ms: 1, claim },
        ShareGrant { holder: "x".into(), seq: 1, share },
    )
}

fn full_ask() -> LeaseAsk {
    let quota = QuotaName {
        limit: "x".into(),
        policy: "x".into(),
        meter: "x".into(),
        key: [("x".into(), "x".into())].into(),
        start_ms: 0,
        end_ms: 1,
    };
    LeaseAsk { quota, lease: "x".into(), limit: 1, ask: Ask::default() }
}

#[test]
fn the_document_describes_the_fields_that_go_over_the_wire() {
    let windows = vec![WindowRange { start_ms: 0, end_ms: 1 }];
    let page = OpeningPage { balances: vec![], next: Some("x".into()) };
    let opening = OpeningRequest { windows, after: Some("x".into()) };
    assert_eq!(properties::<TallyDoc>(), fields(full_tally()));
    assert_eq!(properties::<WarningDoc>(), fields(&full_tally().warnings[0]));
    assert_eq!(properties::<BalanceDoc>(), fields(full_balance()));
    assert_eq!(properties::<WindowRangeDoc>(), fields(opening.windows[0]));
    assert_eq!(properties::<OpeningRequestDoc>(), fields(&opening));
    assert_eq!(properties::<OpeningPageDoc>(), fields(&page));
    let decisions = full_decisions();
    assert_eq!(properties::<DecisionsDoc>(), fields(&decisions));
    assert_eq!(properties::<ConsumerStandingDoc>(), fields(&decisions.consumers[0]));
    assert_eq!(properties::<TierForNowDoc>(), fields(&decisions.consumers[0].tier_for_now));
    assert_eq!(properties::<LimitForNowDoc>(), fields(&decisions.consumers[0].limits_for_now[0]));
    assert_eq!(properties::<SwitchesStateDoc>(), fields(decisions.switches));
    assert_eq!(properties::<MemoryInUseDoc>(), fields(&decisions.memory[0]));
    let (ask, grant) = (full_ask(), LeaseGrant { lease: "x".into(), grant: Grant::default() });
    assert_eq!(properties::<LeaseAskDoc>(), fields(&ask));
    assert_eq!(properties::<QuotaNameDoc>(), fields(&ask.quota));
    assert_eq!(properties::<AskDoc>(), fields(ask.ask));
    assert_eq!(properties::<LeaseGrantDoc>(), fields(&grant));
    assert_eq!(properties::<GrantDoc>(), fields(grant.grant));
    let (share_ask, share_grant) = full_share();
    assert_eq!(properties::<ShareAskDoc>(), fields(&share_ask));
    assert_eq!(properties::<RateNameDoc>(), fields(&share_ask.rate));
    assert_eq!(properties::<ClaimDoc>(), fields(share_ask.claim));
    assert_eq!(properties::<ShareGrantDoc>(), fields(&share_grant));
    assert_eq!(properties::<ShareDoc>(), fields(share_grant.share));
    let response = SyncResponse {
        version: 1,
        acked_seq: 1,
        opening: Some(page),
        leases: vec![grant],
        shares: vec![share_grant],
        decisions: Some(decisions),
    };
    assert_eq!(properties::<SyncResponseDoc>(), fields(response));
    let request = SyncRequest {
        version: 1,
        process: "x".into(),
        worker: "x".into(),
        node: "x".into(),
        seq: 1,
        tallies: vec![full_tally()],
        opening: Some(opening),
        leases: vec![ask],
        shares: vec![share_ask],
        known_revision: Some(1),
    };
    assert_eq!(properties::<SyncRequestDoc>(), fields(request));
}
