//! The holder by itself: what it admits, when it waits, what becomes of what is in flight.

use super::*;
use crate::lease::{Grant, LeaseStatus};

const CLOSED: Terms = Terms { wait_ms: 200, unreachable: Unreachable::Closed };
const ME: Owner = Owner(1);

fn allow(units: u64, funded: bool) -> Terms {
    Terms { wait_ms: 200, unreachable: Unreachable::Allow { units, funded } }
}

fn grant(granted: u64) -> Grant {
    Grant {
        granted,
        keep: granted,
        ttl_ms: 60_000,
        horizon_ms: 2_000,
        limit: 1_000,
        left: 500,
        ..Grant::default()
    }
}

/// A lease of so many units, granted at 1 s.
fn lease(units: u64, terms: &Terms) -> Holder {
    let mut holder = Holder::new(7);
    let ask = holder.ask(1_000, terms);
    holder.answered(1_000, 1_000, &ask, &grant(units), terms);
    holder
}

fn taken(admit: Admit) -> Hold {
    match admit {
        Admit::Taken(hold) => hold,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lease_admits_exactly_its_units_and_then_waits() {
    let mut holder = lease(10, &CLOSED);
    for _ in 0..2 {
        let _ = taken(holder.admit(1_001, ME, 5, &CLOSED));
    }
    assert_eq!(holder.admit(1_001, ME, 1, &CLOSED), Admit::Wait);
    assert!(holder.is_due(1_001, &CLOSED));
    let ask = holder.ask(1_001, &CLOSED);
    assert_eq!((ask.granted, ask.target, ask.need, ask.head), (10, 12, 1, 1));
    assert!(!holder.is_due(1_002, &CLOSED), "one asks for all");
}

#[test]
fn what_was_reserved_and_not_used_can_be_used_by_others() {
    let mut holder = lease(10, &CLOSED);
    let hold = taken(holder.admit(1_001, ME, 10, &CLOSED));
    holder.complete(ME, &hold, 3);
    assert_eq!((holder.available(), holder.spent()), (7, (3, 0)));
    assert!(holder.is_sound());
}

#[test]
fn an_answer_longer_than_its_hold_takes_the_rest_of_the_lease_and_then_overruns() {
    let mut holder = lease(10, &CLOSED);
    let hold = taken(holder.admit(1_001, ME, 4, &CLOSED));
    holder.complete(ME, &hold, 13);
    assert_eq!((holder.available(), holder.spent()), (0, (13, 3)));
}

#[test]
fn a_lease_is_not_spent_after_its_time() {
    let mut holder = lease(10, &CLOSED);
    let _ = taken(holder.admit(60_999, ME, 1, &CLOSED));
    assert_eq!(holder.admit(61_000, ME, 1, &CLOSED), Admit::Wait);
}

#[test]
fn what_was_denied_is_refused_without_asking_and_smaller_requests_still_ask() {
    let mut holder = lease(10, &CLOSED);
    assert_eq!(holder.admit(2_000, ME, 15, &CLOSED), Admit::Wait);
    let ask = holder.ask(2_000, &CLOSED);
    assert_eq!(ask.head, 5);
    holder.answered(2_010, 2_000, &ask, &Grant { denied: true, left: 4, ..grant(10) }, &CLOSED);
    assert_eq!(holder.admit(2_011, ME, 15, &CLOSED), Admit::Denied);
    assert_eq!(holder.admit(2_011, ME, 14, &CLOSED), Admit::Wait);
    assert_eq!(holder.admit(3_010, ME, 15, &CLOSED), Admit::Wait, "not for ever");
}

#[test]
fn without_an_answer_the_lease_is_spent_and_then_it_is_closed() {
    let mut holder = lease(10, &CLOSED);
    assert_eq!(holder.admit(2_000, ME, 11, &CLOSED), Admit::Wait);
    let ask = holder.ask(2_000, &CLOSED);
    assert_eq!(holder.admit(2_199, ME, 11, &CLOSED), Admit::Wait);
    assert_eq!(holder.admit(2_200, ME, 11, &CLOSED), Admit::Unreachable);
    let _ = taken(holder.admit(2_200, ME, 10, &CLOSED));
    assert!(holder.is_due(3_000, &CLOSED), "it asks on");
    holder.answered(3_000, 2_000, &ask, &grant(21), &CLOSED);
    let _ = taken(holder.admit(3_001, ME, 11, &CLOSED));
}

#[test]
fn a_funded_allowance_is_set_aside_and_never_overspends() {
    let terms = allow(4, true);
    let mut holder = lease(10, &terms);
    let _ = taken(holder.admit(1_001, ME, 6, &terms));
    assert_eq!(holder.admit(1_001, ME, 1, &terms), Admit::Wait, "the rest is set aside");
    let _ = holder.ask(1_001, &terms);
    for _ in 0..4 {
        let _ = taken(holder.admit(100_000, ME, 1, &terms));
    }
    assert_eq!(holder.admit(100_000, ME, 1, &terms), Admit::Unreachable);
    assert!(holder.is_sound());
    assert_eq!(holder.in_flight(), (10, 0));
}

#[test]
fn an_unfunded_allowance_is_bounded_over_the_window_and_counted() {
    let terms = allow(4, false);
    let mut holder = lease(0, &terms);
    for _ in 0..2 {
        let _ = holder.ask(2_000, &terms);
        let hold = taken(holder.admit(100_000, ME, 2, &terms));
        assert!(hold.beyond);
        assert_eq!(holder.admit(100_000, ME, 3, &terms), Admit::Unreachable);
        holder.complete(ME, &hold, 2);
        let ask = holder.ask(100_002, &terms);
        holder.answered(100_003, 100_002, &ask, &grant(0), &terms);
    }
    let _ = holder.ask(200_000, &terms);
    assert_eq!(holder.admit(300_000, ME, 1, &terms), Admit::Unreachable);
    assert_eq!(holder.spent(), (4, 4));
    assert!(!holder.at_rest(10_000_000), "the allowance is not forgotten");
}

#[test]
fn what_the_dead_held_is_spent_and_a_settlement_that_comes_after_all_adds_only_what_is_more() {
    let mut holder = lease(20, &CLOSED);
    let hold = taken(holder.admit(1_001, ME, 10, &CLOSED));
    holder.expire(|_| false);
    assert_eq!(holder.spent(), (10, 0));
    holder.complete(ME, &hold, 3);
    assert_eq!(holder.spent(), (10, 0), "counters only grow");
    holder.complete(ME, &hold, 12);
    assert_eq!(holder.spent(), (12, 0));
}

#[test]
fn a_hold_of_a_lost_lease_does_not_touch_the_next() {
    let mut lost = lease(10, &CLOSED);
    let hold = taken(lost.admit(1_001, ME, 10, &CLOSED));
    let mut next = Holder { life: 8, ..lease(10, &CLOSED) };
    let _ = taken(next.admit(1_001, ME, 5, &CLOSED));
    next.complete(ME, &hold, 10);
    next.undo(ME, &hold);
    assert_eq!((next.spent(), next.in_flight()), ((0, 0), (5, 0)));
}

#[test]
fn what_is_taken_back_was_never_taken() {
    for terms in [CLOSED, allow(3, false)] {
        let mut holder = lease(10, &terms);
        let hold = taken(holder.admit(1_001, ME, 10, &terms));
        holder.undo(ME, &hold);
        assert_eq!((holder.available(), holder.in_flight(), holder.spent()), (10, (0, 0), (0, 0)));
        assert_eq!(holder.pace.per_second(1_001), 0);
    }
}

#[test]
fn answers_in_any_order_and_twice_leave_the_same() {
    let mut holder = lease(0, &CLOSED);
    let _ = holder.admit(1_500, ME, 5, &CLOSED);
    let first = holder.ask(1_500, &CLOSED);
    let second = holder.ask(2_500, &CLOSED);
    holder.answered(2_600, 2_500, &second, &grant(9), &CLOSED);
    let after = (holder.granted, holder.deadline_ms);
    holder.answered(2_700, 1_500, &first, &grant(5), &CLOSED);
    holder.answered(2_800, 2_500, &second, &grant(9), &CLOSED);
    assert_eq!((holder.granted, holder.deadline_ms), after);
}

#[test]
fn more_than_may_be_kept_is_given_back_but_not_what_somebody_waits_for() {
    let mut holder = lease(100, &CLOSED);
    assert_eq!(holder.admit(1_001, ME, 120, &CLOSED), Admit::Wait);
    let ask = holder.ask(1_001, &CLOSED);
    holder.answered(1_002, 1_001, &ask, &Grant { keep: 10, ..grant(120) }, &CLOSED);
    assert_eq!(holder.available(), 120);
    let ask = holder.ask(1_003, &CLOSED);
    holder.answered(1_004, 1_003, &ask, &Grant { keep: 10, ..grant(120) }, &CLOSED);
    assert!(holder.available() <= 10, "{}", holder.available());
}

#[test]
fn an_idle_lease_and_one_of_an_ended_window_are_given_back_and_then_forgotten() {
    let mut holder = lease(100, &CLOSED);
    let hold = taken(holder.admit(1_001, ME, 10, &CLOSED));
    let late = 100_000;
    let ask = holder.ask(late, &CLOSED);
    assert_eq!(ask.returned, 90, "idle");
    holder.complete(ME, &hold, 5);
    let ended = Grant { status: LeaseStatus::Ended, ..grant(100) };
    holder.answered(late + 1, late, &ask, &ended, &CLOSED);
    assert_eq!((holder.available(), holder.returned), (0, 95));
    assert!(holder.is_due(late + 1_000, &CLOSED), "it is told");
    let ask = holder.ask(late + 1_000, &CLOSED);
    holder.answered(late + 1_001, late + 1_000, &ask, &ended, &CLOSED);
    assert!(!holder.at_rest(late + 1_001) && holder.at_rest(late + 1_000 + REST_MS));
}

#[test]
fn a_lease_asks_before_it_is_empty() {
    let mut holder = lease(92_000, &CLOSED);
    for second in 2..20 {
        let hold = taken(holder.admit(second * 1_000, ME, 5_000, &CLOSED));
        holder.complete(ME, &hold, 5_000);
    }
    assert!(holder.available() > 0 && holder.is_due(19_001, &CLOSED), "{}", holder.available());
    let ask = holder.ask(19_001, &CLOSED);
    assert!(ask.rate > 3_000 && ask.target > ask.granted, "{ask:?}");
}
