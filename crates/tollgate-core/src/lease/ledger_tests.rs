//! The ledger's step by itself, and random conversations with several holders.

use proptest::prelude::*;

use super::*;
use crate::lease::{Admit, Hold, Holder, Terms, Unreachable};
use crate::limit::Owner;

const NONE: Peers = Peers { active: 0, rate: 0 };

fn quota(limit: u64) -> QuotaRow {
    QuotaRow { limit, end_ms: 1_000_000_000, ..QuotaRow::default() }
}

fn need(granted: u64, units: u64) -> Ask {
    Ask { granted, target: granted + units, need: units, head: units, ..Ask::default() }
}

#[test]
fn a_repeated_message_changes_nothing() {
    let (mut quota, mut lease) = (quota(100), LeaseRow::default());
    let ask = Ask { spent: 0, ..need(0, 30) };
    let first = step(&mut quota, &mut lease, &ask, &NONE, 0);
    assert_eq!((first.granted, first.denied, quota.held), (30, false, 30));
    let again = step(&mut quota, &mut lease, &ask, &NONE, 0);
    assert_eq!((again.granted, again.denied, quota.held), (30, false, 30), "a lost reply is no refusal");
}

#[test]
fn a_single_request_is_served_while_there_is_enough_and_denied_otherwise() {
    let (mut quota, mut lease) = (quota(100), LeaseRow::default());
    assert_eq!(step(&mut quota, &mut lease, &need(0, 100), &NONE, 0).granted, 100);
    let mut other = LeaseRow::default();
    let grant = step(&mut quota, &mut other, &need(0, 1), &NONE, 0);
    assert_eq!((grant.granted, grant.denied), (0, true));
    assert!(books_agree(&quota, [&lease, &other]));
}

#[test]
fn grants_shrink_as_the_end_comes_near() {
    let mut quota = quota(1_000_000);
    let peers = Peers { active: 3, rate: 300 };
    let mut lease = LeaseRow::default();
    let mut last = u64::MAX;
    for _ in 0..20 {
        let ask = Ask { granted: lease.granted, target: u64::MAX, rate: 100, ..Ask::default() };
        let before = lease.granted;
        step(&mut quota, &mut lease, &ask, &peers, 0);
        let granted = lease.granted - before;
        assert!(granted <= last && granted <= quota.limit / 8);
        last = granted;
    }
    assert!(quota.left() > 0);
}

#[test]
fn units_come_back_by_return_only() {
    let (mut quota, mut lease) = (quota(100), LeaseRow::default());
    step(&mut quota, &mut lease, &need(0, 100), &NONE, 0);
    let late = 500_000_000;
    let mut other = LeaseRow::default();
    assert!(step(&mut quota, &mut other, &need(0, 1), &NONE, late).denied, "however long it was silent");
    let ask = Ask { granted: 100, spent: 40, returned: 60, target: 100, ..Ask::default() };
    step(&mut quota, &mut lease, &ask, &NONE, late);
    assert_eq!((quota.settled, quota.held, quota.left()), (40, 0, 60));
    assert!(!step(&mut quota, &mut other, &need(0, 60), &NONE, late).denied);
}

#[test]
fn a_lowered_limit_grants_nothing_and_recalls() {
    let (mut quota, mut lease) = (quota(100), LeaseRow::default());
    step(&mut quota, &mut lease, &need(0, 60), &NONE, 0);
    quota.limit = 50;
    let grant = step(&mut quota, &mut lease, &need(60, 1), &NONE, 0);
    assert_eq!((grant.granted, grant.denied, grant.status), (60, true, LeaseStatus::Exceeded));
    quota.limit = 61;
    assert_eq!(step(&mut quota, &mut lease, &need(60, 1), &NONE, 0).granted, 61, "raised again");
}

#[test]
fn an_ended_window_settles_and_does_not_grant() {
    let (mut quota, mut lease) = (quota(100), LeaseRow::default());
    step(&mut quota, &mut lease, &need(0, 60), &NONE, 0);
    let ask = Ask { granted: 60, spent: 20, target: 100, ..Ask::default() };
    let late = quota.end_ms + LATE_GRANT_MS;
    let grant = step(&mut quota, &mut lease, &ask, &NONE, late);
    assert_eq!((grant.granted, grant.status, quota.settled), (60, LeaseStatus::Ended, 20));
    assert_eq!(settle_rest(&mut quota, &mut lease), 40);
    assert_eq!((quota.settled, quota.held), (60, 0));
}

#[test]
fn overrun_is_made_good_by_granting_less() {
    let (mut quota, mut lease) = (quota(100), LeaseRow::default());
    let ask = Ask { overrun: 30, ..need(0, 80) };
    assert!(step(&mut quota, &mut lease, &ask, &NONE, 0).denied);
    assert_eq!((quota.overrun, quota.left()), (30, 70));
}

#[test]
fn a_holder_that_was_written_off_and_speaks_after_all_overran() {
    let (mut quota, mut lease) = (quota(100), LeaseRow::default());
    step(&mut quota, &mut lease, &need(0, 60), &NONE, 0);
    assert_eq!(write_off(&mut quota, &mut lease), 60);
    let ask = Ask { granted: 60, spent: 25, target: 60, ..Ask::default() };
    step(&mut quota, &mut lease, &ask, &NONE, 0);
    assert_eq!((quota.settled, quota.held, quota.overrun, quota.left()), (0, 0, 25, 75));
    step(&mut quota, &mut lease, &ask, &NONE, 0);
    assert_eq!(quota.overrun, 25, "once");
    assert!(books_agree(&quota, [&lease]));
}

#[test]
fn books_that_came_back_older_learn_again_what_was_granted() {
    let (mut quota, mut lease) = (quota(100), LeaseRow::default());
    let ask = Ask { granted: 60, spent: 20, target: 60, ..Ask::default() };
    step(&mut quota, &mut lease, &ask, &NONE, 0);
    assert_eq!((quota.settled, quota.held, lease.granted), (20, 40, 60));
    assert!(books_agree(&quota, [&lease]));
}

/// What may happen to one of three holders.
#[derive(Clone, Copy, Debug)]
enum Event {
    Admit(u64),
    Complete(u64),
    Send,
    Deliver(usize),
    Answer(usize),
    Crash,
}

fn event() -> impl Strategy<Value = (usize, Event)> {
    let what = prop_oneof![
        4 => (1..20u64).prop_map(Event::Admit),
        4 => (0..20u64).prop_map(Event::Complete),
        3 => Just(Event::Send),
        4 => any::<usize>().prop_map(Event::Deliver),
        4 => any::<usize>().prop_map(Event::Answer),
        1 => Just(Event::Crash),
    ];
    (0..3usize, what)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Messages are delivered in any order, any number of times or never; crashed holders stay crashed.
    #[test]
    fn nothing_is_spent_twice_whatever_the_order(
        events in proptest::collection::vec(event(), 0..400),
        limit in 0..300u64,
        unheard in 0..2u64,
    ) {
        let terms = Terms { wait_ms: 200, unreachable: Unreachable::Closed };
        let mut quota = quota(limit);
        let mut rows = Vec::new();
        let mut spent_before = 0;
        let mut live: Vec<(usize, Holder, Vec<Hold>)> = Vec::new();
        for life in 0..3 {
            rows.push(LeaseRow::default());
            live.push((life, Holder::new(life as u64), Vec::new()));
        }
        let mut asks: Vec<(usize, Ask)> = Vec::new();
        let mut grants: Vec<(usize, Ask, Grant)> = Vec::new();
        for (now_ms, (who, event)) in events.into_iter().enumerate() {
            let now_ms = 1 + now_ms as u64 * (1 + unheard * 300);
            let (life, holder, holds) = &mut live[who];
            match event {
                Event::Admit(amount) => {
                    if let Admit::Taken(hold) = holder.admit(now_ms, Owner(1), amount, &terms) {
                        holds.push(hold);
                    }
                }
                Event::Complete(used) => {
                    if let Some(hold) = holds.pop() {
                        holder.complete(Owner(1), &hold, used.min(hold.amount));
                    }
                }
                Event::Send => asks.push((*life, holder.ask(now_ms, &terms))),
                Event::Deliver(which) if !asks.is_empty() => {
                    let (life, ask) = asks[which % asks.len()];
                    let peers = Peers { active: 2, rate: 0 };
                    let grant = step(&mut quota, &mut rows[life], &ask, &peers, now_ms);
                    grants.push((life, ask, grant));
                }
                Event::Answer(which) if !grants.is_empty() => {
                    let (to, ask, grant) = grants[which % grants.len()];
                    if let Some((_, holder, _)) = live.iter_mut().find(|(life, ..)| *life == to) {
                        holder.answered(now_ms, now_ms, &ask, &grant, &terms);
                    }
                }
                Event::Crash => {
                    spent_before += holder.spent().0 + holder.in_flight().0;
                    let next = rows.len();
                    rows.push(LeaseRow::default());
                    live[who] = (next, Holder::new(next as u64), Vec::new());
                }
                Event::Deliver(_) | Event::Answer(_) => {}
            }
            prop_assert!(books_agree(&quota, &rows), "{quota:?} {rows:?}");
            let mut spent = spent_before;
            for (life, holder, _) in &live {
                prop_assert!(holder.is_sound() && holder.agrees_with(&rows[*life]), "{holder:?}");
                spent += holder.spent().0 + holder.in_flight().0;
            }
            prop_assert!(spent <= limit, "{spent} of {limit}");
        }
    }
}
