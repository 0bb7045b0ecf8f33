//! The limiter against a store of its own: exactness at each limit, all or nothing, lost swaps, dead workers.

mod actions;
mod changes;
mod kinds;
mod later;
mod leases;
mod overrides;
mod resets;
mod shares;
mod simulation;
mod tightening;
mod top_ups;

use std::cell::{Cell as StdCell, RefCell};
use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::json;
use tollgate_wire::{Balance, NanoUsd, TokenCount, UnixNanos};

use super::*;
use crate::policy::Attributes;
use crate::store::{StoreError, Version};

/// Shared data as Envoy has it: a version per value; some swaps are lost to a worker that did nothing.
#[derive(Default)]
struct Store {
    values: RefCell<HashMap<Slot, (Vec<u8>, u32)>>,
    /// Every n-th swap is lost; 0: none.
    lose_every: StdCell<u32>,
    swaps: StdCell<u32>,
}

impl SharedStore for Store {
    fn load(&self, slot: Slot, into: &mut Vec<u8>) -> Result<Expected, StoreError> {
        into.clear();
        match self.values.borrow().get(&slot) {
            Some((value, version)) => {
                into.extend_from_slice(value);
                Ok(Expected::Version(Version(*version)))
            }
            None => Ok(Expected::Absent),
        }
    }

    fn swap(&self, slot: Slot, value: &[u8], expected: Expected) -> Result<Swap, StoreError> {
        self.swaps.set(self.swaps.get() + 1);
        let mut values = self.values.borrow_mut();
        let version = values.get(&slot).map(|(_, version)| *version);
        let lost = self.lose_every.get() != 0 && self.swaps.get().is_multiple_of(self.lose_every.get());
        if lost && let Some((_, version)) = values.get_mut(&slot) {
            *version += 1;
            return Ok(Swap::Lost);
        }
        let as_expected = match expected {
            Expected::Absent => version.is_none(),
            Expected::Version(seen) => version == Some(seen.0),
        };
        if as_expected {
            values.insert(slot, (value.to_vec(), version.unwrap_or(0) + 1));
        }
        Ok(if as_expected { Swap::Done } else { Swap::Lost })
    }
}

const START: u64 = 1_795_305_600;

fn at(seconds: u64) -> Now {
    Now { mono_ns: (1000 + seconds) * 1_000_000_000, wall: UnixNanos((START + seconds) * 1_000_000_000) }
}

fn policy(limits: serde_json::Value) -> Policy {
    Policy::from_json(json!({"limits": limits})).unwrap()
}

fn worker(policy: &Policy, store: &Store, owner: u32, now: Now) -> Limiter {
    Limiter::join(policy, store, [7; 24], Owner(owner), now).unwrap()
}

fn alice() -> Attributes<'static> {
    Attributes { consumer: "alice", model: "m", ..Attributes::default() }
}

fn tokens(expected: u64, bound: u64) -> Demand {
    let of =
        |output| Amounts { output: TokenCount(output), cost: NanoUsd(output * 10), ..Amounts::default() };
    Demand { expected: of(expected), bound: of(bound) }
}

fn admitted(decision: Result<Decision, Undecided>) -> Admission {
    match decision.unwrap() {
        Decision::Admit(admission) => admission,
        Decision::Refuse(refusal) => panic!("refused: {refusal:?}"),
    }
}

fn refused(decision: Result<Decision, Undecided>) -> Refusal {
    match decision.unwrap() {
        Decision::Refuse(refusal) => refusal,
        Decision::Admit(admission) => panic!("admitted: {admission:?}"),
    }
}

#[test]
fn each_kind_of_limit_admits_exactly_its_amount() {
    let kinds = [
        json!([{"name": "l", "meter": "requests", "rate": {"amount": 3, "per": "minute"}}]),
        json!([{"name": "l", "meter": "requests", "quota": {"amount": 3, "per": "day"}}]),
        json!([{"name": "l", "meter": "requests", "quota": {"amount": 3, "per": "month"}}]),
        json!([{"name": "l", "meter": "tokens", "rate": {"amount": 30, "per": "minute"}}]),
        json!([{"name": "l", "meter": "output_tokens", "quota": {"amount": 30, "per": "day"}}]),
        json!([{"name": "l", "meter": "cost", "quota": {"amount": "0.0000003", "per": "day"}}]),
        json!([{"name": "l", "concurrency": 3}]),
    ];
    for kind in kinds {
        for key in [json!(["consumer"]), json!([]), json!(["consumer", "model"]), json!(["model"])] {
            let mut limits = kind.clone();
            limits[0]["key"] = key;
            let policy = policy(limits.clone());
            let store = Store::default();
            let mut workers = [worker(&policy, &store, 1, at(0)), worker(&policy, &store, 2, at(0))];
            for n in 0..3 {
                let admission =
                    admitted(workers[n % 2].admit(&policy, &store, at(1), &alice(), &tokens(10, 10)));
                assert_eq!(
                    admission.statuses[0].remaining
                        / if limits[0]["meter"] == "cost" {
                            100
                        } else if limits[0]["meter"] == "tokens" || limits[0]["meter"] == "output_tokens" {
                            10
                        } else {
                            1
                        },
                    2 - n as u64,
                    "{limits}"
                );
            }
            for worker in &mut workers {
                let refusal = refused(worker.admit(&policy, &store, at(1), &alice(), &tokens(10, 10)));
                assert_eq!((refusal.remaining, refusal.why != Why::TooLarge), (0, true), "{limits}");
            }
        }
    }
}

#[test]
fn a_per_request_limit_lets_its_amount_through_and_nothing_larger() {
    let policy = policy(json!([{"name": "l", "meter": "output_tokens", "per_request": 100}]));
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    let _ = admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(1, 100)));
    let refusal = refused(worker.admit(&policy, &store, at(1), &alice(), &tokens(1, 101)));
    assert_eq!((refusal.why, refusal.wait_ns), (Why::TooLarge, None));
}

#[test]
fn a_request_refused_by_one_limit_has_consumed_nothing_of_the_others() {
    let policy = policy(json!([
        {"name": "mine", "meter": "requests", "quota": {"amount": 10, "per": "day"}},
        {"name": "all", "meter": "requests", "quota": {"amount": 2, "per": "day"}, "key": []},
        {"name": "model", "concurrency": 9, "key": ["model"]},
    ]));
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    for _ in 0..2 {
        let _ = admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(1, 1)));
    }
    let before = store.values.borrow().clone();
    for _ in 0..5 {
        let refusal = refused(worker.admit(&policy, &store, at(2), &alice(), &tokens(1, 1)));
        assert_eq!(policy.limit(refusal.limit).unwrap().name, "all");
    }
    assert_eq!(*store.values.borrow(), before);
}

#[test]
fn settling_gives_back_the_difference_and_charges_what_was_longer() {
    let policy = policy(json!([
        {"name": "day", "meter": "tokens", "quota": {"amount": 1000, "per": "day"}},
        {"name": "minute", "meter": "tokens", "rate": {"amount": 1000, "per": "minute"}},
        {"name": "slots", "concurrency": 1},
    ]));
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    let first = admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(100, 900)));
    assert_eq!(first.statuses.iter().map(|status| status.remaining).collect::<Vec<_>>(), [100, 900, 0]);
    worker.settle(&policy, &store, at(1), first.reservation, &tokens(0, 50).bound).unwrap();
    let second = admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(100, 900)));
    assert_eq!(second.statuses.iter().map(|status| status.remaining).collect::<Vec<_>>(), [50, 850, 0]);
    worker.settle(&policy, &store, at(1), second.reservation, &tokens(0, 2000).bound).unwrap();
    let refusal = refused(worker.admit(&policy, &store, at(1), &alice(), &tokens(1, 1)));
    assert_eq!((policy.limit(refusal.limit).unwrap().name.as_str(), refusal.remaining), ("day", 0));
}

#[test]
fn a_worker_that_died_frees_its_slot_and_pays_for_what_it_held() {
    let policy = policy(json!([
        {"name": "slots", "concurrency": 1},
        {"name": "day", "meter": "tokens", "quota": {"amount": 100, "per": "day"}},
    ]));
    let store = Store::default();
    let mut dead = worker(&policy, &store, 1, at(0));
    let mut alive = worker(&policy, &store, 2, at(0));
    let lost = admitted(dead.admit(&policy, &store, at(1), &alice(), &tokens(1, 60)));
    alive.beat(&store, at(9)).unwrap();
    assert_eq!(refused(alive.admit(&policy, &store, at(9), &alice(), &tokens(1, 10))).why, Why::Busy);
    alive.beat(&store, at(12)).unwrap();
    let admission = admitted(alive.admit(&policy, &store, at(12), &alice(), &tokens(1, 10)));
    assert_eq!(admission.statuses[1].remaining, 30, "60 held by the dead are used, 10 are held");
    // It was not dead but slow: what it settles late is not charged twice.
    dead.settle(&policy, &store, at(13), lost.reservation, &tokens(0, 20).bound).unwrap();
    alive.settle(&policy, &store, at(13), admission.reservation, &tokens(0, 10).bound).unwrap();
    let last = admitted(alive.admit(&policy, &store, at(13), &alice(), &tokens(1, 70)));
    assert_eq!(last.statuses[1].remaining, 0);
}

#[test]
fn a_worker_that_joined_a_moment_ago_is_not_taken_for_dead() {
    let policy = policy(json!([{"name": "slots", "concurrency": 1}]));
    let store = Store::default();
    let mut old = worker(&policy, &store, 1, at(0));
    let mut new = worker(&policy, &store, 2, at(5));
    let _held = admitted(new.admit(&policy, &store, at(5), &alice(), &tokens(1, 1)));
    assert_eq!(refused(old.admit(&policy, &store, at(5), &alice(), &tokens(1, 1))).why, Why::Busy);
}

#[test]
fn thresholds_are_told_once_per_window() {
    let policy = policy(json!([{"name": "day", "meter": "requests", "quota": {"amount": 20, "per": "day"}}]));
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    let told = |worker: &mut Limiter, now| -> Vec<(usize, u8)> {
        (1..=20)
            .flat_map(|n| {
                let admission = admitted(worker.admit(&policy, &store, now, &alice(), &tokens(1, 1)));
                admission.warnings.into_iter().map(move |(_, percent)| (n, percent))
            })
            .collect()
    };
    assert_eq!(told(&mut worker, at(1)), [(16, 80), (18, 90), (19, 95)]);
    assert_eq!(told(&mut worker, at(86_400)), [(16, 80), (18, 90), (19, 95)]);
}

#[test]
fn a_limit_that_only_warns_lets_through_and_counts() {
    let policy = policy(
        json!([{"name": "day", "meter": "requests", "quota": {"amount": 1, "per": "day"}, "action": "warn"}]),
    );
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    assert!(admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(1, 1))).exceeded.is_empty());
    assert_eq!(
        admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(1, 1))).exceeded,
        [LimitId(0)]
    );
}

#[test]
fn a_clock_that_steps_back_over_a_reset_opens_no_second_window() {
    let policy = policy(json!([{"name": "day", "meter": "requests", "quota": {"amount": 2, "per": "day"}}]));
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    let midnight = 86_400 - START % 86_400;
    for _ in 0..2 {
        let _ = admitted(worker.admit(&policy, &store, at(midnight + 5), &alice(), &tokens(1, 1)));
    }
    let back = Now { mono_ns: at(midnight + 6).mono_ns, wall: at(midnight - 3600).wall };
    let _ = refused(worker.admit(&policy, &store, back, &alice(), &tokens(1, 1)));
    let _ = refused(worker.admit(&policy, &store, at(midnight + 7), &alice(), &tokens(1, 1)));
}

#[test]
fn late_settlements_belong_to_the_window_they_were_admitted_in() {
    let policy = policy(json!([{"name": "day", "meter": "tokens", "quota": {"amount": 100, "per": "day"}}]));
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    let late = admitted(worker.admit(&policy, &store, at(0), &alice(), &tokens(1, 80)));
    let today = admitted(worker.admit(&policy, &store, at(86_400), &alice(), &tokens(1, 50)));
    worker.settle(&policy, &store, at(86_401), late.reservation, &tokens(0, 80).bound).unwrap();
    worker.settle(&policy, &store, at(86_401), today.reservation, &tokens(0, 50).bound).unwrap();
    assert_eq!(
        admitted(worker.admit(&policy, &store, at(86_402), &alice(), &tokens(1, 50))).statuses[0].remaining,
        0
    );
}

#[test]
fn restored_balances_count_in_their_window_only() {
    let policy = policy(json!([
        {"name": "day", "meter": "tokens", "quota": {"amount": 100, "per": "day"}},
        {"name": "requests", "meter": "requests", "quota": {"amount": 10, "per": "day"}},
        {"name": "month", "meter": "tokens", "quota": {"amount": 1000, "per": "month"}},
    ]));
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    let day = policy.window(0, at(0).wall_s());
    let balance =
        Balance { consumer: "alice".into(), requests: 4, output: TokenCount(30), ..Balance::default() };
    worker.restore(&policy, &store, at(0), &balance, day.start_s).unwrap();
    let admission = admitted(worker.admit(&policy, &store, at(0), &alice(), &tokens(1, 10)));
    assert_eq!(admission.statuses.iter().map(|status| status.remaining).collect::<Vec<_>>(), [60, 5, 990]);
}

#[test]
fn a_balance_counts_where_limits_are_keyed_by_any_of_its_names() {
    for name in ["tool", "workflow", "interface", "region"] {
        let limit =
            json!({"name": "day", "meter": "requests", "quota": {"amount": 9, "per": "day"}, "key": [name]});
        let (policy, store) = (policy(json!([limit])), Store::default());
        let mut worker = worker(&policy, &store, 1, at(0));
        let balance = json!({"window": 0, "consumer": "alice", name: "x",
            "requests": 4, "input": 0, "output": 0, "cost_nusd": 0, "credits": 0});
        let balance: Balance = serde_json::from_value(balance).unwrap();
        let day = policy.window(0, at(0).wall_s());
        worker.restore(&policy, &store, at(0), &balance, day.start_s).unwrap();
        let mut left = |tool, workflow, interface, region| {
            let request = Attributes { tool, workflow, interface, region, ..alice() };
            admitted(worker.admit(&policy, &store, at(0), &request, &tokens(1, 1))).statuses[0].remaining
        };
        assert_eq!((left("x", "x", "x", "x"), left("y", "y", "y", "y")), (4, 8), "{name}");
    }
}

#[test]
fn giving_up_has_a_name_and_takes_nothing() {
    let policy = policy(json!([{"name": "day", "meter": "requests", "quota": {"amount": 1, "per": "day"}}]));
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    worker.prepare(&store).unwrap();
    store.lose_every.set(1);
    assert_eq!(worker.admit(&policy, &store, at(1), &alice(), &tokens(1, 1)), Err(Undecided::Contention));
    store.lose_every.set(0);
    let _ = admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(1, 1)));
}

/// A request in flight: its worker's owner, its consumer, its bound, each quota's window, what it holds.
type Flight = (u32, u8, u64, [(Option<u8>, u32); 2], Reservation);

/// One move of the simulation.
#[derive(Clone, Debug)]
enum Move {
    Admit { worker: usize, consumer: u8, expected: u64, bound: u64 },
    Settle { which: usize, share: u64 },
    Crash { worker: usize },
    Pass { millis: u64 },
    Step { seconds: i64 },
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        6 => (0usize..4, 0u8..3, 1u64..60, 0u64..60).prop_map(|(worker, consumer, expected, more)| Move::Admit {
            worker, consumer, expected, bound: expected + more }),
        5 => (any::<usize>(), 0u64..=100).prop_map(|(which, share)| Move::Settle { which, share }),
        1 => (0usize..4).prop_map(|worker| Move::Crash { worker }),
        3 => (0u64..30_000).prop_map(|millis| Move::Pass { millis }),
        1 => (-3600i64..3600).prop_map(|seconds| Move::Step { seconds }),
    ];
    prop::collection::vec(one, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// N workers on one store, swaps lost at random, crashes, clocks that step: no quota is ever exceeded by what was
    /// settled and held in the window it was admitted in, no concurrency limit by requests of live workers, and once
    /// everything is settled nothing is held any more.
    #[test]
    fn nobody_gets_more_than_a_limit(moves in moves(), lose_every in 2u32..9) {
        let policy = policy(json!([
            {"name": "day", "meter": "tokens", "quota": {"amount": 300, "per": "day"}},
            {"name": "all", "meter": "tokens", "quota": {"amount": 500, "per": "day"}, "key": []},
            {"name": "slots", "concurrency": 2},
            {"name": "model", "concurrency": 5, "key": ["model"]},
            {"name": "rate", "meter": "tokens", "rate": {"amount": 600, "per": "minute"}},
        ]));
        let store = Store::default();
        store.lose_every.set(lose_every);
        let (mut mono_ms, mut skew_s) = (0u64, 0i64);
        let now = |mono_ms: u64, skew_s: i64| Now {
            mono_ns: (1_000_000 + mono_ms) * 1_000_000,
            wall: UnixNanos(((START as i64 * 1000) + mono_ms as i64 + skew_s * 1000) as u64 * 1_000_000),
        };
        let mut workers: Vec<Limiter> = (1..=4).map(|n| worker(&policy, &store, n, now(0, 0))).collect();
        let mut next_owner = 5;
        let names = ["a", "b", "c"];
        let mut flying: Vec<Flight> = Vec::new();
        let mut owners: Vec<u32> = vec![1, 2, 3, 4];
        let mut spent: HashMap<(Option<u8>, u32), u64> = HashMap::new();
        for step in moves {
            match step {
                Move::Admit { worker, consumer, expected, bound } => {
                    let request = Attributes { consumer: names[consumer as usize], model: "m", ..Attributes::default() };
                    let at = now(mono_ms, skew_s);
                    let demand = tokens(expected, bound);
                    if let Ok(Decision::Admit(admission)) = workers[worker].admit(&policy, &store, at, &request, &demand) {
                        let window = |id| {
                            let held = admission.reservation.held.iter().find(|held| held.limit == LimitId(id));
                            held.unwrap().window
                        };
                        let windows = [(Some(consumer), window(0)), (None, window(1))];
                        for quota in windows {
                            *spent.entry(quota).or_default() += bound;
                        }
                        flying.push((owners[worker], consumer, bound, windows, admission.reservation));
                    }
                }
                Move::Settle { which, share } => if !flying.is_empty() {
                    let (owner, _, bound, windows, reservation) = flying.remove(which % flying.len());
                    let used = bound * share / 100;
                    if let Some(index) = owners.iter().position(|live| *live == owner) {
                        let mut rest = Some(reservation);
                        while let Some(reservation) = rest.take() {
                            if let Err((again, _)) = workers[index].settle(&policy, &store, now(mono_ms, skew_s), reservation, &tokens(0, used).bound) {
                                rest = Some(again);
                            }
                        }
                        for quota in windows {
                            *spent.get_mut(&quota).unwrap() -= bound - used;
                        }
                    }
                },
                Move::Crash { worker: index } => {
                    owners[index] = next_owner;
                    workers[index] = worker(&policy, &store, next_owner, now(mono_ms, skew_s));
                    next_owner += 1;
                }
                Move::Pass { millis } => {
                    // Workers tick every second.
                    let mut left = millis;
                    while left > 0 {
                        let by = left.min(1000);
                        left -= by;
                        mono_ms += by;
                        for worker in &mut workers {
                            while worker.beat(&store, now(mono_ms, skew_s)).is_err() {}
                        }
                    }
                }
                Move::Step { seconds } => skew_s = (skew_s + seconds).clamp(-3600, 3600),
            }
            for ((who, window), units) in &spent {
                let limit = if who.is_some() { 300 } else { 500 };
                prop_assert!(*units <= limit, "{who:?} in {window}: {units}");
            }
            for consumer in 0..3 {
                let live = flying.iter().filter(|(owner, who, ..)| *who == consumer && owners.contains(owner)).count();
                prop_assert!(live <= 2, "{live} in flight");
            }
            prop_assert!(flying.iter().filter(|(owner, ..)| owners.contains(owner)).count() <= 5);
        }
        for (owner, _, bound, _, reservation) in flying {
            if let Some(index) = owners.iter().position(|live| *live == owner) {
                let mut rest = Some(reservation);
                while let Some(reservation) = rest.take() {
                    if let Err((again, _)) = workers[index].settle(&policy, &store, now(mono_ms, skew_s), reservation, &tokens(0, bound).bound) {
                        rest = Some(again);
                    }
                }
            }
        }
        // What the crashed held expires; after that every slot is free again.
        mono_ms += 20_000;
        for worker in &mut workers {
            while worker.beat(&store, now(mono_ms, skew_s)).is_err() {}
        }
        store.lose_every.set(0);
        let tomorrow = now(mono_ms, skew_s + 2 * 86_400);
        for name in names {
            let request = Attributes { consumer: name, model: "m", ..Attributes::default() };
            for _ in 0..2 {
                let admission = admitted(workers[0].admit(&policy, &store, tomorrow, &request, &tokens(0, 0)));
                workers[0].settle(&policy, &store, tomorrow, admission.reservation, &Amounts::default()).unwrap();
            }
        }
    }
}

#[test]
fn restored_balances_bind_as_if_the_process_had_never_ended() {
    let policy = policy(json!([
        {"name": "daily", "meter": "requests", "quota": {"amount": 5, "per": "day"}},
        {"name": "monthly", "meter": "output_tokens", "quota": {"amount": 1000, "per": "month"}},
    ]));
    let store = Store::default();
    let mut restoring = worker(&policy, &store, 1, at(0));
    let mut serving = worker(&policy, &store, 2, at(0));
    let balance =
        Balance { consumer: "alice".into(), requests: 3, output: TokenCount(600), ..Balance::default() };
    for window in policy.open_windows(at(0).wall_s()) {
        restoring.restore(&policy, &store, at(0), &balance, window.start_s).unwrap();
    }
    assert_eq!(refused(serving.admit(&policy, &store, at(1), &alice(), &tokens(401, 401))).remaining, 400);
    for _ in 0..2 {
        let admission = admitted(serving.admit(&policy, &store, at(1), &alice(), &tokens(200, 200)));
        serving.settle(&policy, &store, at(1), admission.reservation, &tokens(0, 200).bound).unwrap();
    }
    let _ = refused(serving.admit(&policy, &store, at(1), &alice(), &tokens(200, 200)));
}
