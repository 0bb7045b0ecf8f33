//! Global quotas: several Envoys with several workers each, and the ledger's own step between them.

use std::collections::BTreeMap;

use tollgate_wire::{Grant, LeaseAsk, QuotaName};

use super::*;
use crate::lease::ledger::{self, LeaseRow, Peers, QuotaRow};
use crate::limiter::{Answer, Asked, Say};

/// The ledger's rows.
#[derive(Default)]
struct Books {
    quotas: BTreeMap<QuotaName, (QuotaRow, BTreeMap<String, LeaseRow>)>,
}

impl Books {
    fn step(&mut self, asked: &LeaseAsk, now: Now) -> Grant {
        let (quota, leases) = self.quotas.entry(asked.quota.clone()).or_insert_with(|| {
            let row = QuotaRow { limit: asked.limit, end_ms: asked.quota.end_ms, ..QuotaRow::default() };
            (row, BTreeMap::new())
        });
        let others = leases.iter().filter(|(life, _)| **life != asked.lease).map(|(_, row)| row);
        let rate = others.clone().map(|row| row.rate).sum();
        let peers = Peers { active: others.count() as u32, rate };
        let lease = leases.entry(asked.lease.clone()).or_default();
        let grant = ledger::step(quota, lease, &asked.ask, &peers, now.wall_ms());
        assert!(ledger::books_agree(quota, leases.values()), "{:?}", asked.quota);
        grant
    }

    fn settled(&self) -> u64 {
        self.quotas.values().map(|(quota, _)| quota.settled).sum()
    }

    fn granted(&self) -> u64 {
        self.quotas.values().flat_map(|(_, leases)| leases.values()).map(|lease| lease.granted).sum()
    }

    fn held(&self) -> u64 {
        self.quotas.values().map(|(quota, _)| quota.held).sum()
    }
}

fn global(limits: serde_json::Value) -> Policy {
    Policy::from_json(json!({"limits": limits, "ledger": {"cluster": "c"}})).unwrap()
}

fn team_quota(amount: u64) -> serde_json::Value {
    json!({
        "name": "team", "meter": "output_tokens", "key": ["team"], "global": {},
        "quota": {"amount": amount, "per": "day"},
    })
}

fn of_team() -> Attributes<'static> {
    Attributes { team: "search", ..alice() }
}

fn of_lease(asked: &Asked) -> &LeaseAsk {
    match &asked.say {
        Say::Lease(ask) => ask,
        Say::Share(ask) => panic!("{ask:?}"),
    }
}

/// Says all there is to say to the ledger, and hears its answers.
fn talk(worker: &mut Limiter, policy: &Policy, store: &Store, books: &mut Books, now: Now) -> usize {
    let asks = worker.asks();
    for asked in &asks {
        let grant = books.step(of_lease(asked), now);
        worker.leased(policy, store, now, asked, Answer::Lease(&grant)).unwrap();
    }
    asks.len()
}

fn settle(worker: &mut Limiter, policy: &Policy, store: &Store, now: Now, admission: Admission, used: u64) {
    let actual = Amounts { output: TokenCount(used), ..Amounts::default() };
    worker.settle(policy, store, now, admission.reservation, &actual).unwrap();
}

#[test]
fn the_first_request_waits_for_a_lease_and_those_after_it_do_not() {
    let policy = global(json!([team_quota(1000)]));
    let (store, mut books) = (Store::default(), Books::default());
    let mut workers = [worker(&policy, &store, 1, at(0)), worker(&policy, &store, 2, at(0))];
    let first = refused(workers[0].admit(&policy, &store, at(0), &of_team(), &tokens(10, 10)));
    assert_eq!((first.why, first.queueable), (Why::Unleased, true));
    // The other worker's request waits for the same answer, in the same line.
    let second = refused(workers[1].admit(&policy, &store, at(0), &of_team(), &tokens(10, 10)));
    assert_eq!((second.why, second.account), (Why::Unleased, first.account));
    assert!(workers[1].asks().is_empty(), "one asks for both");
    let asks = workers[0].asks();
    let [asked] = asks.as_slice() else { panic!("{asks:?}") };
    assert_eq!(asked.line(), first.account);
    assert_eq!(of_lease(asked).limit, 1000);
    let key: Vec<_> = of_lease(asked).quota.key.iter().collect();
    assert_eq!(key, [(&"team".to_owned(), &"search".to_owned())]);
    let grant = books.step(of_lease(asked), at(0));
    workers[0].leased(&policy, &store, at(0), asked, Answer::Lease(&grant)).unwrap();
    for worker in &mut workers {
        let admission = admitted(worker.admit(&policy, &store, at(0), &of_team(), &tokens(10, 10)));
        settle(worker, &policy, &store, at(0), admission, 4);
    }
    for second in 1..9 {
        workers[0].look_after_leases(&policy, &store, at(second)).unwrap();
        talk(&mut workers[0], &policy, &store, &mut books, at(second));
    }
    assert_eq!(books.settled(), 8, "what was used is told");
}

#[test]
fn what_other_limits_refuse_asks_for_no_lease() {
    let busy = json!({"name": "busy", "concurrency": 1});
    let policy = global(json!([team_quota(1000), busy]));
    let (store, mut books) = (Store::default(), Books::default());
    let mut worker = worker(&policy, &store, 1, at(0));
    let unleased = refused(worker.admit(&policy, &store, at(0), &of_team(), &tokens(10, 10)));
    assert_eq!(unleased.why, Why::Unleased);
    assert_eq!(talk(&mut worker, &policy, &store, &mut books, at(0)), 1);
    let held = admitted(worker.admit(&policy, &store, at(0), &of_team(), &tokens(10, 10)));
    talk(&mut worker, &policy, &store, &mut books, at(0));
    let too_much = worker.admit(&policy, &store, at(0), &of_team(), &tokens(900, 900));
    assert_eq!(refused(too_much).why, Why::Busy, "the limit that has no lease to wait for is told");
    assert!(worker.asks().is_empty());
    settle(&mut worker, &policy, &store, at(0), held, 10);
}

#[test]
fn a_quota_that_is_used_up_refuses_at_once_and_names_its_reset() {
    let policy = global(json!([team_quota(25)]));
    let (store, mut books) = (Store::default(), Books::default());
    let mut worker = worker(&policy, &store, 1, at(0));
    let mut admitted_units = 0;
    for _ in 0..10 {
        match worker.admit(&policy, &store, at(0), &of_team(), &tokens(10, 10)).unwrap() {
            Decision::Admit(admission) => {
                admitted_units += 10;
                settle(&mut worker, &policy, &store, at(0), admission, 10);
            }
            Decision::Refuse(refusal) => {
                assert!(matches!(refusal.why, Why::Unleased | Why::Exhausted), "{refusal:?}");
            }
        }
        talk(&mut worker, &policy, &store, &mut books, at(0));
    }
    assert_eq!(admitted_units, 20);
    let last = refused(worker.admit(&policy, &store, at(0), &of_team(), &tokens(10, 10)));
    assert_eq!((last.why, last.remaining, last.most), (Why::Exhausted, 5, 25));
    assert_eq!(last.wait_ns, Some(at(0).until_day_ends()));
    let large = refused(worker.admit(&policy, &store, at(0), &of_team(), &tokens(26, 26)));
    assert_eq!(large.why, Why::TooLarge);
}

impl Now {
    fn until_day_ends(self) -> u64 {
        let day = 86_400_000_000_000;
        day - self.wall.0 % day
    }
}

#[test]
fn a_ledger_that_is_away_refuses_or_gives_the_allowance() {
    let mut limit = team_quota(1000);
    for (terms, passed) in [
        (json!({"wait_ms": 300}), 0),
        (json!({"wait_ms": 300, "allowance": 30}), 3),
        (json!({"wait_ms": 300, "allowance": 30, "funded": true}), 0),
    ] {
        limit["global"] = terms;
        let policy = global(json!([limit]));
        let store = Store::default();
        let mut worker = worker(&policy, &store, 1, at(0));
        assert_eq!(
            refused(worker.admit(&policy, &store, at(0), &of_team(), &tokens(10, 10))).why,
            Why::Unleased
        );
        let asks = worker.asks();
        worker.leased(&policy, &store, at(1), &asks[0], Answer::None).unwrap();
        let decide = |worker: &mut Limiter| worker.admit(&policy, &store, at(2), &of_team(), &tokens(10, 10));
        let mut held = Vec::new();
        while let Decision::Admit(admission) = decide(&mut worker).unwrap() {
            held.push(admission);
        }
        // A funded one has been set aside from a lease, and there never was any.
        assert_eq!(held.len(), passed, "{limit}");
        assert_eq!(refused(decide(&mut worker)).why, Why::Unreachable);
        for admission in held {
            settle(&mut worker, &policy, &store, at(2), admission, 10);
        }
        // It is asked until it answers, and is told what passed without it.
        worker.look_after_leases(&policy, &store, at(4)).unwrap();
        let asks: Vec<Asked> = worker.asks();
        assert_eq!(asks.last().map(|asked| of_lease(asked).ask.overrun), Some(passed as u64 * 10));
    }
}

#[test]
fn a_request_that_has_waited_its_time_takes_the_allowance_whenever_the_ledger_was_asked() {
    let mut limit = team_quota(1000);
    limit["global"] = json!({"wait_ms": 300, "allowance": 10});
    let policy = global(json!([limit]));
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    let request = of_team();
    assert_eq!(refused(worker.admit(&policy, &store, at(0), &request, &tokens(10, 10))).why, Why::Unleased);
    let last = |worker: &mut Limiter| worker.admit_last(&policy, &store, at(0), &request, &tokens(10, 10));
    let admission = admitted(last(&mut worker));
    assert_eq!(refused(last(&mut worker)).why, Why::Unreachable);
    settle(&mut worker, &policy, &store, at(0), admission, 10);
}

#[test]
fn whom_a_limit_would_not_stop_does_not_wait_for_a_lease() {
    for (action, overrun) in [("warn", 10), ("shadow", 0)] {
        let mut limit = team_quota(1000);
        limit["action"] = action.into();
        let policy = global(json!([limit]));
        let (store, mut books) = (Store::default(), Books::default());
        let mut worker = worker(&policy, &store, 1, at(0));
        let admission = admitted(worker.admit(&policy, &store, at(0), &of_team(), &tokens(10, 10)));
        assert!(
            admission.exceeded.is_empty() && admission.shadowed.is_empty(),
            "nothing is known to be over"
        );
        settle(&mut worker, &policy, &store, at(0), admission, 10);
        assert_eq!(talk(&mut worker, &policy, &store, &mut books, at(0)), 1, "it is asked for");
        let next = admitted(worker.admit(&policy, &store, at(0), &of_team(), &tokens(10, 10)));
        settle(&mut worker, &policy, &store, at(0), next, 10);
        for second in 1..10 {
            worker.look_after_leases(&policy, &store, at(second)).unwrap();
            talk(&mut worker, &policy, &store, &mut books, at(second));
        }
        let rows: Vec<_> = books.quotas.values().map(|(quota, _)| (quota.settled, quota.overrun)).collect();
        assert_eq!(rows, [(10, overrun)]);
    }
}

#[test]
fn the_next_window_has_its_lease_before_it_begins_and_the_last_gives_back_what_is_left() {
    let policy = global(json!([team_quota(1000)]));
    let (store, mut books) = (Store::default(), Books::default());
    let mut worker = worker(&policy, &store, 1, at(0));
    let until_end = at(0).until_day_ends() / 1_000_000_000;
    let _ = refused(worker.admit(&policy, &store, at(until_end - 31), &of_team(), &tokens(10, 10)));
    talk(&mut worker, &policy, &store, &mut books, at(until_end - 31));
    let mut long = None;
    for second in until_end - 30..until_end {
        let mut decide = || worker.admit(&policy, &store, at(second), &of_team(), &tokens(10, 10));
        let admission = match decide().unwrap() {
            Decision::Admit(admission) => admission,
            Decision::Refuse(refusal) => {
                assert_eq!(refusal.why, Why::Unleased);
                talk(&mut worker, &policy, &store, &mut books, at(second));
                admitted(worker.admit(&policy, &store, at(second), &of_team(), &tokens(10, 10)))
            }
        };
        match long {
            None => long = Some(admission),
            Some(_) => settle(&mut worker, &policy, &store, at(second), admission, 10),
        }
        worker.look_after_leases(&policy, &store, at(second)).unwrap();
        talk(&mut worker, &policy, &store, &mut books, at(second));
    }
    assert_eq!(books.quotas.len(), 2, "the next window's lease was asked for");
    let first = admitted(worker.admit(&policy, &store, at(until_end), &of_team(), &tokens(10, 10)));
    settle(&mut worker, &policy, &store, at(until_end), first, 10);
    // A request of the old window is settled in it.
    settle(&mut worker, &policy, &store, at(until_end + 1), long.unwrap(), 7);
    for second in until_end..until_end + 100 {
        worker.look_after_leases(&policy, &store, at(second)).unwrap();
        talk(&mut worker, &policy, &store, &mut books, at(second));
    }
    let rows: Vec<_> = books.quotas.values().map(|(quota, _)| (quota.settled, quota.held)).collect();
    assert_eq!(rows, [(29 * 10 + 7, 0), (10, 0)]);
}

#[test]
fn what_a_lost_worker_leased_is_found_by_another() {
    let policy = global(json!([team_quota(1000)]));
    let (store, mut books) = (Store::default(), Books::default());
    {
        let mut lost = worker(&policy, &store, 1, at(0));
        let _ = refused(lost.admit(&policy, &store, at(0), &of_team(), &tokens(100, 100)));
        talk(&mut lost, &policy, &store, &mut books, at(0));
        let admission = admitted(lost.admit(&policy, &store, at(0), &of_team(), &tokens(100, 100)));
        settle(&mut lost, &policy, &store, at(0), admission, 60);
        let in_flight = admitted(lost.admit(&policy, &store, at(0), &of_team(), &tokens(40, 40)));
        drop(in_flight);
    }
    let mut other = worker(&policy, &store, 2, at(1));
    for second in 1..2000 {
        other.look_after_leases(&policy, &store, at(second)).unwrap();
        other.beat(&store, at(second)).unwrap();
        talk(&mut other, &policy, &store, &mut books, at(second));
    }
    assert_eq!((books.settled(), books.held()), (100, 0), "what it held in flight counts as used");
}

#[test]
fn two_quotas_take_a_request_or_none_does() {
    let own = json!({
        "name": "own", "meter": "output_tokens", "global": {}, "quota": {"amount": 50, "per": "month"},
    });
    let policy = global(json!([team_quota(1000), own]));
    let (store, mut books) = (Store::default(), Books::default());
    let mut worker = worker(&policy, &store, 1, at(0));
    let mut admitted_units = 0;
    for _ in 0..20 {
        if let Decision::Admit(admission) =
            worker.admit(&policy, &store, at(0), &of_team(), &tokens(10, 10)).unwrap()
        {
            admitted_units += 10;
            settle(&mut worker, &policy, &store, at(0), admission, 10);
        }
        talk(&mut worker, &policy, &store, &mut books, at(0));
    }
    assert_eq!(admitted_units, 50);
    for second in 1..100 {
        worker.look_after_leases(&policy, &store, at(second)).unwrap();
        talk(&mut worker, &policy, &store, &mut books, at(second));
    }
    let rows: Vec<_> = books.quotas.values().map(|(quota, _)| (quota.settled, quota.held)).collect();
    assert_eq!(rows, [(50, 0), (50, 0)], "neither is charged for what the other refused");
}

/// What an event of the simulation does.
#[derive(Clone, Copy, Debug)]
enum Event {
    Admit {
        envoy: usize,
        worker: usize,
        units: u64,
    },
    Settle {
        at: usize,
        part: u64,
    },
    Tick {
        envoy: usize,
        worker: usize,
    },
    /// The ledger's answer is lost, or comes after others.
    Hear {
        at: usize,
        lost: bool,
        twice: bool,
    },
    /// A worker's VM is gone, and another begins.
    Trap {
        envoy: usize,
        worker: usize,
    },
    Wait {
        ms: u64,
    },
}

fn event() -> impl Strategy<Value = Event> {
    let (envoy, worker) = (0..2usize, 0..2usize);
    prop_oneof![
        6 => (envoy.clone(), worker.clone(), 1..40u64)
            .prop_map(|(envoy, worker, units)| Event::Admit { envoy, worker, units }),
        4 => (any::<usize>(), 0..130u64).prop_map(|(at, part)| Event::Settle { at, part }),
        3 => (envoy.clone(), worker.clone()).prop_map(|(envoy, worker)| Event::Tick { envoy, worker }),
        5 => (any::<usize>(), prop::bool::weighted(0.2), prop::bool::weighted(0.2))
            .prop_map(|(at, lost, twice)| Event::Hear { at, lost, twice }),
        1 => (envoy, worker).prop_map(|(envoy, worker)| Event::Trap { envoy, worker }),
        4 => prop_oneof![1..50u64, 500..3000u64, 11_000..12_000u64].prop_map(|ms| Event::Wait { ms }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever is lost, late or repeated, and whoever dies: no more is let through than the quota has, and in the end the
    /// books have all that was used, and nothing more than what died. Only what answers granted that were lost may stay
    /// held: a late repetition is answered when its holder has nothing more to ask.
    #[test]
    fn a_quota_of_several_envoys_is_never_overspent(
        amount in 20u64..400, events in prop::collection::vec(event(), 1..250),
    ) {
        let policy = global(json!([team_quota(amount)]));
        let (stores, mut books) = ([Store::default(), Store::default()], Books::default());
        stores.iter().for_each(|store| store.lose_every.set(7));
        let (mut owner, mut ms) = (0, 0);
        let now = |ms: u64| Now {
            mono_ns: 1_000_000_000_000 + ms * 1_000_000,
            wall: UnixNanos(START * 1_000_000_000 + ms * 1_000_000),
        };
        let mut join = |store: &Store, ms: u64| {
            owner += 1;
            Limiter::join(&policy, store, [7; 24], Owner(owner), now(ms)).unwrap()
        };
        let mut workers: Vec<Vec<Limiter>> =
            stores.iter().map(|store| vec![join(store, 0), join(store, 0)]).collect();
        let mut held: Vec<(usize, usize, Reservation, u64)> = Vec::new();
        let mut said: Vec<(usize, Asked)> = Vec::new();
        // What was let through, at most; what is known to have been used.
        let (mut used, mut dead, mut overrun, mut unheard) = (0u64, 0u64, 0u64, 0u64);
        for event in events {
            match event {
                Event::Admit { envoy, worker, units } => {
                    let limiter = &mut workers[envoy][worker];
                    let decision =
                        limiter.admit(&policy, &stores[envoy], now(ms), &of_team(), &tokens(units, units));
                    if let Decision::Admit(admission) = decision.unwrap() {
                        held.push((envoy, worker, admission.reservation, units));
                    }
                }
                Event::Settle { at, part } if !held.is_empty() => {
                    let (envoy, worker, reservation, units) = held.swap_remove(at % held.len());
                    let actual = units * part / 100;
                    used += actual;
                    overrun += actual.saturating_sub(units);
                    let amounts = Amounts { output: TokenCount(actual), ..Amounts::default() };
                    let limiter = &mut workers[envoy][worker];
                    limiter.settle(&policy, &stores[envoy], now(ms), reservation, &amounts).unwrap();
                }
                Event::Tick { envoy, worker } => {
                    let limiter = &mut workers[envoy][worker];
                    limiter.look_after_leases(&policy, &stores[envoy], now(ms)).unwrap();
                    limiter.beat(&stores[envoy], now(ms)).unwrap();
                }
                Event::Hear { at, lost, twice } if !said.is_empty() => {
                    let (envoy, asked) = said.swap_remove(at % said.len());
                    let before = books.granted();
                    let grant = books.step(of_lease(&asked), now(ms));
                    unheard += if lost { books.granted() - before } else { 0 };
                    let grant = if twice { books.step(of_lease(&asked), now(ms)) } else { grant };
                    let grant = if lost { Answer::None } else { Answer::Lease(&grant) };
                    workers[envoy][0].leased(&policy, &stores[envoy], now(ms), &asked, grant).unwrap();
                    if twice {
                        said.push((envoy, asked));
                    }
                }
                Event::Trap { envoy, worker } => {
                    workers[envoy][worker] = join(&stores[envoy], ms);
                    held.retain(|(at, of, _, units)| {
                        let gone = (*at, *of) == (envoy, worker);
                        dead += if gone { *units } else { 0 };
                        !gone
                    });
                }
                Event::Wait { ms: more } => {
                    ms += more;
                    // Twice: each also has to learn of the others.
                    for (store, all) in stores.iter().zip(&mut workers) {
                        for _ in 0..2 {
                            all.iter_mut().for_each(|limiter| limiter.beat(store, now(ms)).unwrap());
                        }
                    }
                }
                Event::Settle { .. } | Event::Hear { .. } => {}
            }
            for (envoy, all) in workers.iter_mut().enumerate() {
                for limiter in all {
                    said.extend(limiter.asks().into_iter().map(|asked| (envoy, asked)));
                }
            }
            let in_flight: u64 = held.iter().map(|(_, _, _, units)| units).sum();
            prop_assert!(used + in_flight <= amount + overrun, "{used} used, {in_flight} in flight of {amount}");
        }
        for (envoy, worker, reservation, units) in held {
            used += units;
            let amounts = Amounts { output: TokenCount(units), ..Amounts::default() };
            let limiter = &mut workers[envoy][worker];
            limiter.settle(&policy, &stores[envoy], now(ms), reservation, &amounts).unwrap();
        }
        // Long enough to find what only lost workers knew of.
        for second in 0..1200 {
            let now = now(ms + second * 1000);
            for (envoy, all) in workers.iter_mut().enumerate() {
                let Some(limiter) = all.first_mut() else { continue };
                limiter.beat(&stores[envoy], now).unwrap();
                limiter.look_after_leases(&policy, &stores[envoy], now).unwrap();
                talk(limiter, &policy, &stores[envoy], &mut books, now);
            }
        }
        let booked: u64 = books.quotas.values().map(|(quota, _)| quota.settled + quota.overrun).sum();
        prop_assert!(books.held() <= unheard, "leases at rest give back what they have");
        prop_assert!((used..=used + dead).contains(&booked), "{booked} booked, {used} used, {dead} died");
    }
}

#[test]
fn two_quotas_of_one_consumer_are_asked_for_together() {
    let own = |name: &str, per: &str| json!({"name": name, "meter": "output_tokens", "global": {}, "quota": {"amount": 1000, "per": per}});
    let policy = global(json!([own("day", "day"), own("month", "month")]));
    let (store, mut books) = (Store::default(), Books::default());
    let mut worker = worker(&policy, &store, 1, at(0));
    let first = refused(worker.admit(&policy, &store, at(0), &alice(), &tokens(10, 10)));
    assert_eq!(first.why, Why::Unleased);
    assert_eq!(talk(&mut worker, &policy, &store, &mut books, at(0)), 2);
    let admission = admitted(worker.admit(&policy, &store, at(0), &alice(), &tokens(10, 10)));
    settle(&mut worker, &policy, &store, at(0), admission, 10);
}
