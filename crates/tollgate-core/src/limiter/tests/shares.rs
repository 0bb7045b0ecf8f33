//! Rates of all Envoys: several Envoys, and the ledger's book between them.

use std::collections::BTreeMap;

use tollgate_wire::{RateName, Share, ShareAsk};

use super::*;
use crate::limiter::{Answer, Asked, Say};
use crate::share::ledger::Book;

#[derive(Default)]
struct Books(BTreeMap<RateName, Book>);

impl Books {
    fn step(&mut self, ask: &ShareAsk, now: Now) -> Option<Share> {
        let book = self.0.entry(ask.rate.clone()).or_insert_with(|| Book::new(now.wall_ms()));
        book.step(&ask.holder, &ask.claim, ask.fill_ms, now.wall_ms())
    }
}

struct Envoy {
    store: Store,
    worker: Limiter,
}

impl Envoy {
    fn new(policy: &Policy, owner: u32) -> Self {
        let store = Store::default();
        let worker = worker(policy, &store, owner, at(0));
        Self { store, worker }
    }

    fn ask(&mut self, policy: &Policy, now: Now, request: &Attributes<'_>) -> Result<Admission, Refusal> {
        match self.worker.admit(policy, &self.store, now, request, &tokens(1, 1)).unwrap() {
            Decision::Admit(admission) => Ok(admission),
            Decision::Refuse(refusal) => Err(refusal),
        }
    }

    /// Says all there is to say to the ledger, and hears its answers.
    fn talk(&mut self, policy: &Policy, books: &mut Books, now: Now) -> usize {
        self.worker.look_after_leases(policy, &self.store, now).unwrap();
        let asks = self.worker.asks();
        for asked in &asks {
            let share = books.step(of_share(asked), now);
            let answer = share.as_ref().map_or(Answer::None, Answer::Share);
            self.worker.leased(policy, &self.store, now, asked, answer).unwrap();
        }
        asks.len()
    }
}

fn of_share(asked: &Asked) -> &ShareAsk {
    match &asked.say {
        Say::Share(ask) => ask,
        Say::Lease(ask) => panic!("{ask:?}"),
    }
}

fn policy(limits: serde_json::Value) -> Policy {
    Policy::from_json(json!({"limits": limits, "ledger": {"cluster": "c"}})).unwrap()
}

fn rate(amount: u64) -> serde_json::Value {
    let rate = json!({"amount": amount, "per": "minute"});
    json!({"name": "r", "meter": "requests", "key": ["consumer"], "global": {}, "rate": rate})
}

#[test]
fn the_first_request_waits_for_a_share_and_those_after_it_do_not() {
    let (policy, mut books) = (policy(json!([rate(60)])), Books::default());
    let mut envoy = Envoy::new(&policy, 1);
    let first = envoy.ask(&policy, at(0), &alice()).unwrap_err();
    assert_eq!((first.why, first.queueable), (Why::Unleased, true));
    let asks = envoy.worker.asks();
    let [asked] = asks.as_slice() else { panic!("{asks:?}") };
    assert_eq!(asked.line(), first.account);
    assert!(asked.is_waited_for());
    let ask = of_share(asked);
    assert_eq!((ask.rate.limit.as_str(), ask.rate.meter.as_str(), ask.fill_ms), ("r", "requests", 60_000));
    assert_eq!(ask.rate.key.get("consumer").map(String::as_str), Some("alice"));
    let share = books.step(ask, at(0)).unwrap();
    envoy.worker.leased(&policy, &envoy.store, at(0), asked, Answer::Share(&share)).unwrap();
    let passed = (0..100).take_while(|_| envoy.ask(&policy, at(0), &alice()).is_ok()).count();
    assert_eq!(passed, 60);
    assert_eq!(envoy.ask(&policy, at(0), &alice()).unwrap_err().why, Why::Exhausted);
    assert!(envoy.worker.asks().is_empty(), "it has all there is");
}

#[test]
fn two_envoys_together_let_no_more_through_than_one() {
    let (policy, mut books) = (policy(json!([rate(60)])), Books::default());
    let mut envoys = [Envoy::new(&policy, 1), Envoy::new(&policy, 2)];
    let mut passed = [0, 0];
    for second in 0..60 {
        for (envoy, passed) in envoys.iter_mut().zip(&mut passed) {
            for _ in 0..5 {
                *passed += u32::from(envoy.ask(&policy, at(second), &alice()).is_ok());
                envoy.talk(&policy, &mut books, at(second));
            }
        }
    }
    let all: u32 = passed.iter().sum();
    assert!((100..=119).contains(&all), "burst and a minute's rate: {passed:?}");
    assert!(passed[1] >= 20, "{passed:?}");
}

#[test]
fn what_is_not_used_comes_back_and_other_limits_take_nothing_while_it_waits() {
    let tokens = json!({"name": "t", "meter": "output_tokens", "key": ["consumer"], "global": {},
        "rate": {"amount": 100, "per": "hour"}});
    let day =
        json!({"name": "q", "meter": "requests", "key": ["team"], "quota": {"amount": 2, "per": "day"}});
    let (policy, mut books) = (policy(json!([day, tokens])), Books::default());
    let mut envoy = Envoy::new(&policy, 1);
    assert_eq!(envoy.ask(&policy, at(0), &alice()).unwrap_err().why, Why::Unleased);
    assert_eq!(envoy.talk(&policy, &mut books, at(0)), 1);
    for _ in 0..2 {
        let admission = envoy.ask(&policy, at(0), &alice()).unwrap();
        let actual = Amounts { output: TokenCount(50), ..Amounts::default() };
        envoy.worker.settle(&policy, &envoy.store, at(0), admission.reservation, &actual).unwrap();
    }
    assert_eq!(envoy.ask(&policy, at(0), &alice()).unwrap_err().why, Why::Exhausted);
}

#[test]
fn an_operators_reset_is_another_bucket() {
    let (policy, mut books) = (policy(json!([rate(3)])), Books::default());
    let mut envoy = Envoy::new(&policy, 1);
    let all = |envoy: &mut Envoy, books: &mut Books, request: &Attributes<'_>| {
        (0..20)
            .filter(|_| {
                let passed = envoy.ask(&policy, at(0), request).is_ok();
                envoy.talk(&policy, books, at(0));
                passed
            })
            .count()
    };
    assert_eq!(all(&mut envoy, &mut books, &alice()), 3);
    let mut again = alice();
    again.resets.bursts = 1;
    assert_eq!(all(&mut envoy, &mut books, &again), 3);
    assert_eq!(books.0.len(), 2);
}
