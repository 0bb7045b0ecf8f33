//! Streams that outgrow their reservation: more of every limit or of none, settled exactly, once.

use super::*;

fn counts(kind: serde_json::Value, more: serde_json::Value) -> serde_json::Value {
    let mut limit = json!({"name": "l", "meter": "output_tokens", "mid_stream": "end"});
    for members in [kind, more] {
        members.as_object().unwrap().iter().for_each(|(key, value)| limit[key] = value.clone());
    }
    limit
}

/// A limit of 1,000 output tokens of each kind.
fn kinds() -> [serde_json::Value; 3] {
    [
        json!({"rate": {"amount": 1000, "per": "hour"}}),
        json!({"window": {"amount": 1000, "per": "hour"}}),
        json!({"quota": {"amount": 1000, "per": "month"}}),
    ]
}

fn needs(output: u64) -> Amounts {
    tokens(0, output).bound
}

/// What is left of each limit.
fn left(policy: &Policy, store: &Store, worker: &mut Limiter, now: Now) -> Vec<u64> {
    let looked = admitted(worker.admit(policy, store, now, &alice(), &tokens(0, 0)));
    worker.withdraw(policy, store, now, &looked.reservation).unwrap();
    looked.statuses.iter().map(|status| status.remaining).collect()
}

struct Stream<'a> {
    policy: &'a Policy,
    store: &'a Store,
    reservation: Reservation,
}

impl<'a> Stream<'a> {
    fn begin(policy: &'a Policy, store: &'a Store, worker: &mut Limiter, demand: Demand) -> Self {
        let reservation = admitted(worker.admit(policy, store, at(1), &alice(), &demand)).reservation;
        Self { policy, store, reservation }
    }

    fn grow(&mut self, worker: &mut Limiter, now: Now, output: u64) -> TopUp {
        self.try_to_grow(worker, now, output, true).unwrap()
    }

    fn try_to_grow(
        &mut self,
        worker: &mut Limiter,
        now: Now,
        output: u64,
        ends: bool,
    ) -> Result<TopUp, Undecided> {
        worker.top_up(self.policy, self.store, now, &mut self.reservation, &needs(output), ends)
    }

    fn end(self, worker: &mut Limiter, now: Now, output: u64) {
        worker.settle(self.policy, self.store, now, self.reservation, &needs(output)).unwrap();
    }
}

const TAKEN: TopUp = TopUp::Taken(Vec::new());

#[test]
fn a_stream_is_settled_at_what_it_used_however_often_it_took_more() {
    for kind in kinds() {
        let policy = policy(json!([counts(kind.clone(), json!({}))]));
        for (used, told) in [(700, 700), (300, 300), (10, 10), (0, 0), (900, 900)] {
            let store = Store::default();
            let mut worker = worker(&policy, &store, 1, at(0));
            let mut stream = Stream::begin(&policy, &store, &mut worker, tokens(20, 40));
            for output in [30, 100, 100, 90, 700] {
                assert_eq!(stream.grow(&mut worker, at(1), output), TAKEN);
            }
            assert_eq!(left(&policy, &store, &mut worker, at(1)), [300], "others see what it holds: {kind}");
            stream.end(&mut worker, at(1), used);
            assert_eq!(left(&policy, &store, &mut worker, at(1)), [1000 - told], "{kind}");
        }
    }
}

#[test]
fn every_limit_gives_more_or_none_does() {
    for (tight, roomy) in kinds().into_iter().zip([1, 2, 0].map(|at| kinds()[at].clone())) {
        for keys in [json!(["consumer"]), json!([]), json!(["model"])] {
            let policy = policy(json!([
                counts(roomy.clone(), json!({"name": "roomy"})),
                counts(tight.clone(), json!({"name": "tight", "key": keys})),
            ]));
            let store = Store::default();
            let mut worker = worker(&policy, &store, 1, at(0));
            let others = Attributes { consumer: "bob", ..alice() };
            if keys != json!(["consumer"]) {
                let admission = admitted(worker.admit(&policy, &store, at(1), &others, &tokens(400, 400)));
                worker.settle(&policy, &store, at(1), admission.reservation, &needs(400)).unwrap();
            }
            let mut stream = Stream::begin(&policy, &store, &mut worker, tokens(100, 100));
            let most = if keys == json!(["consumer"]) { 1000 } else { 600 };
            let before = left(&policy, &store, &mut worker, at(1));
            let TopUp::Exhausted(refusal) = stream.grow(&mut worker, at(1), most + 1) else {
                panic!("{tight} has more than there is")
            };
            assert_eq!((refusal.requested, refusal.why), (most - 99, Why::Exhausted));
            assert_eq!(left(&policy, &store, &mut worker, at(1)), before, "nothing was taken");
            assert_eq!(stream.grow(&mut worker, at(1), most), TAKEN, "the last one is there to be used");
            stream.end(&mut worker, at(1), most);
        }
    }
}

#[test]
fn limits_that_let_streams_finish_are_charged_at_once_and_end_nothing() {
    for kind in kinds() {
        let policy = policy(json!([
            counts(kind.clone(), json!({"mid_stream": "finish"})),
            {"name": "requests", "meter": "requests", "quota": {"amount": 9, "per": "day"}},
            {"name": "in-flight", "concurrency": 9},
            counts(json!({"rate": {"amount": 5000, "per": "hour"}}), json!({"name": "later", "mid_stream": "off"})),
        ]));
        let store = Store::default();
        let mut worker = worker(&policy, &store, 1, at(0));
        let mut stream = Stream::begin(&policy, &store, &mut worker, tokens(20, 40));
        assert_eq!(stream.grow(&mut worker, at(1), 900), TAKEN);
        assert_eq!(left(&policy, &store, &mut worker, at(1)), [100, 7, 7, 4980], "{kind}");
        assert_eq!(stream.grow(&mut worker, at(1), 1200), TopUp::Taken(vec![LimitId(0)]));
        stream.end(&mut worker, at(1), 1100);
        let refusal = refused(worker.admit(&policy, &store, at(1), &alice(), &tokens(1, 1)));
        assert_eq!((refusal.limit, refusal.remaining), (LimitId(0), 0), "{kind}");
    }
}

#[test]
fn where_nothing_is_enforced_no_limit_ends_a_stream() {
    let policy = policy(json!([counts(kinds()[2].clone(), json!({}))]));
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    let mut stream = Stream::begin(&policy, &store, &mut worker, tokens(20, 40));
    let taken = stream.try_to_grow(&mut worker, at(1), 1001, false);
    assert_eq!(taken, Ok(TopUp::Taken(vec![LimitId(0)])));
    stream.end(&mut worker, at(1), 1001);
}

#[test]
fn a_grace_lets_a_stream_go_on() {
    let policy = policy(json!([counts(kinds()[2].clone(), json!({"grace_s": 60}))]));
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    let mut stream = Stream::begin(&policy, &store, &mut worker, tokens(20, 40));
    assert_eq!(stream.grow(&mut worker, at(1), 1010), TAKEN);
    assert_eq!(stream.grow(&mut worker, at(50), 1020), TAKEN);
    assert!(matches!(stream.grow(&mut worker, at(62), 1030), TopUp::Exhausted(_)));
    stream.end(&mut worker, at(62), 1020);
}

#[test]
fn beyond_a_rate_a_stream_draws_from_the_burst_allowance_and_is_settled_there() {
    let rate = json!({"rate": {"amount": 100, "per": "hour", "allowance": {"amount": 50}}});
    let policy = policy(json!([counts(rate, json!({}))]));
    for (used, rate_left, spare_left) in [(140, 0, 10), (100, 0, 50), (70, 30, 50), (160, 0, 5)] {
        let store = Store::default();
        let mut worker = worker(&policy, &store, 1, at(0));
        let mut stream = Stream::begin(&policy, &store, &mut worker, tokens(90, 90));
        assert_eq!(stream.grow(&mut worker, at(1), 100), TAKEN);
        assert_eq!(stream.grow(&mut worker, at(1), 145), TAKEN);
        assert!(matches!(stream.grow(&mut worker, at(1), 151), TopUp::Exhausted(_)));
        stream.end(&mut worker, at(1), used);
        assert_eq!(left(&policy, &store, &mut worker, at(1)), [rate_left], "{used}");
        let refusal = worker.admit(&policy, &store, at(1), &alice(), &tokens(spare_left + 1, 0));
        assert_eq!(refused(refusal).why, Why::Exhausted, "{used}");
        let last = admitted(worker.admit(&policy, &store, at(1), &alice(), &tokens(spare_left, 0)));
        assert_eq!(last.bursts, [LimitId(0)], "{used}");
    }
}

#[test]
fn a_window_that_is_over_has_nothing_more_to_give_and_the_next_is_not_charged() {
    let policy = policy(json!([counts(json!({"quota": {"amount": 100, "per": "hour"}}), json!({}))]));
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    let mut stream = Stream::begin(&policy, &store, &mut worker, tokens(90, 90));
    let later = at(3601);
    worker.beat(&store, later).unwrap();
    assert_eq!(stream.grow(&mut worker, later, 5000), TAKEN);
    assert_eq!(left(&policy, &store, &mut worker, later), [100]);
    stream.end(&mut worker, later, 5000);
    assert_eq!(left(&policy, &store, &mut worker, later), [100]);
}

#[test]
fn what_a_full_slot_forgot_of_a_stream_is_held_again_and_charged_to_nobody_else() {
    let policy = policy(json!([counts(kinds()[2].clone(), json!({"key": []}))]));
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    let mut stream = Stream::begin(&policy, &store, &mut worker, tokens(300, 300));
    store.values.borrow_mut().retain(|slot, _| !matches!(slot, Slot::Accounts(_)));
    let other = Stream::begin(&policy, &store, &mut worker, tokens(200, 200));
    store.values.borrow_mut().retain(|slot, _| !matches!(slot, Slot::Accounts(_)));
    assert_eq!(stream.grow(&mut worker, at(1), 350), TAKEN);
    assert_eq!(left(&policy, &store, &mut worker, at(1)), [650]);
    stream.end(&mut worker, at(1), 350);
    assert_eq!(left(&policy, &store, &mut worker, at(1)), [650]);
    drop(other);
}

#[test]
fn giving_up_takes_nothing_and_changes_nothing() {
    let policy = policy(json!([
        counts(kinds()[0].clone(), json!({"name": "mine"})),
        counts(kinds()[2].clone(), json!({"name": "all", "key": []})),
    ]));
    let store = Store::default();
    let mut worker = worker(&policy, &store, 1, at(0));
    let mut stream = Stream::begin(&policy, &store, &mut worker, tokens(20, 40));
    let (before, reserved) = (left(&policy, &store, &mut worker, at(1)), stream.reservation.clone());
    store.lose_every.set(1);
    assert_eq!(stream.try_to_grow(&mut worker, at(1), 500, true), Err(Undecided::Contention));
    store.lose_every.set(0);
    assert_eq!(stream.reservation, reserved);
    assert_eq!(left(&policy, &store, &mut worker, at(1)), before);
    stream.end(&mut worker, at(1), 40);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever streams do, and whoever loses swaps, what is used and held never exceeds a limit, and in the end what was
    /// used is what is gone.
    #[test]
    fn no_limit_is_exceeded_and_all_is_settled_once(
        kind in 0usize..3, shared in any::<bool>(), lose_every in 2u32..9,
        moves in prop::collection::vec((0u8..8, 0usize..6, 1u64..160), 1..60),
    ) {
        let key = if shared { json!([]) } else { json!(["consumer"]) };
        let policy = policy(json!([
            counts(kinds()[kind].clone(), json!({"name": "first"})),
            counts(kinds()[2].clone(), json!({"name": "second", "key": key})),
        ]));
        let store = Store::default();
        store.lose_every.set(lose_every);
        let mut workers = [worker(&policy, &store, 1, at(0)), worker(&policy, &store, 2, at(0))];
        // Each with what it has used so far, which is what it has reserved at most, and its worker.
        let mut streams: Vec<(Reservation, u64, usize)> = Vec::new();
        let mut used = 0;
        for (what, which, units) in moves {
            match what {
                0..=2 => {
                    let at_worker = which % 2;
                    let decision = workers[at_worker].admit(&policy, &store, at(1), &alice(), &tokens(units, units));
                    if let Ok(Decision::Admit(admission)) = decision {
                        streams.push((admission.reservation, units, at_worker));
                    }
                }
                3..=6 if !streams.is_empty() => {
                    let index = which % streams.len();
                    let (reservation, so_far, worker) = &mut streams[index];
                    let wanted = needs(*so_far + units);
                    let before = reservation.clone();
                    match workers[*worker].top_up(&policy, &store, at(1), reservation, &wanted, true) {
                        Ok(TopUp::Taken(beyond)) => {
                            prop_assert!(beyond.is_empty());
                            *so_far += units;
                        }
                        Ok(TopUp::Exhausted(_)) | Err(_) => prop_assert_eq!(&before, reservation),
                    }
                }
                _ if !streams.is_empty() => {
                    let (reservation, so_far, worker) = streams.swap_remove(which % streams.len());
                    let really = so_far - units.min(so_far);
                    used += really;
                    let mut rest = Some(reservation);
                    while let Some(reservation) = rest.take() {
                        let settled =
                            workers[worker].settle(&policy, &store, at(1), reservation, &needs(really));
                        rest = settled.err().map(|(rest, _)| rest);
                    }
                }
                _ => {}
            }
            let reserved: u64 = streams.iter().map(|(_, reserved, _)| reserved).sum();
            prop_assert!(used + reserved <= 1000, "{used} used, {reserved} reserved");
            store.lose_every.set(0);
            let left = left(&policy, &store, &mut workers[0], at(1));
            store.lose_every.set(lose_every);
            prop_assert_eq!(left, vec![1000 - used - reserved; 2]);
        }
    }
}
