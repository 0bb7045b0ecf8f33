//! The waiting room: order, fairness, bounds, and that nothing is left behind.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn bounds() -> Bounds {
    Bounds {
        length: 1000,
        per_consumer: 1000,
        bytes: 1_000_000,
        wait_ns: 600 * SECOND,
        promote_ns: 300 * SECOND,
    }
}

fn place(consumer: u64, priority: u8) -> Place {
    Place { account: 7, consumer, priority }
}

/// Serves everybody in line, in the room's order.
fn serve_all(room: &mut Room, now_ns: u64) -> Vec<u32> {
    std::iter::from_fn(|| {
        let next = room.next(7, now_ns)?;
        room.leave(next, true);
        Some(next.0)
    })
    .collect()
}

#[test]
fn the_important_go_first_and_consumers_take_turns() {
    let mut room = Room::new(bounds());
    for (ticket, consumer, priority) in
        [(1, 1, 1), (2, 1, 1), (3, 1, 1), (4, 2, 1), (5, 3, 5), (6, 3, 5), (7, 2, 1), (8, 4, 5)]
    {
        room.queue(
            Ticket(ticket),
            place(consumer, priority),
            1,
            ticket.into(),
            (SECOND, room.bounds.wait_ns),
        )
        .unwrap();
    }
    assert_eq!(serve_all(&mut room, 100), [5, 8, 6, 1, 4, 2, 7, 3]);
    assert!(room.is_empty() && room.next_due_ns().is_none());
}

#[test]
fn whoever_has_waited_long_enough_goes_before_all() {
    let mut room = Room::new(bounds());
    room.queue(Ticket(1), place(1, 1), 1, 0, (SECOND, room.bounds.wait_ns)).unwrap();
    room.queue(Ticket(2), place(2, 9), 1, 1, (SECOND, room.bounds.wait_ns)).unwrap();
    assert_eq!(room.next(7, 300 * SECOND - 1), Some(Ticket(2)));
    assert_eq!(room.rank(7, 300 * SECOND - 1), Some(Rank { level: 9, since_ns: 1 }));
    assert_eq!(room.next(7, 300 * SECOND), Some(Ticket(1)));
    assert_eq!(room.rank(7, 300 * SECOND), Some(Rank { level: PROMOTED, since_ns: 0 }));
}

#[test]
fn an_account_is_looked_at_when_somebody_is_promoted() {
    let mut room = Room::new(Bounds { promote_ns: 100, ..bounds() });
    room.queue(Ticket(1), place(1, 1), 1, 10, (SECOND, room.bounds.wait_ns)).unwrap();
    assert_eq!(room.due(110), Some(Due::Look(7)));
    room.look_by(7, SECOND, 110);
    assert_eq!(room.next_due_ns(), Some(SECOND));
}

#[test]
fn every_bound_holds_at_it_and_one_past_it() {
    let small = Bounds { length: 3, per_consumer: 2, bytes: 10, ..bounds() };
    let mut room = Room::new(small);
    room.queue(Ticket(1), place(1, 1), 5, 0, (0, room.bounds.wait_ns)).unwrap();
    assert_eq!(
        room.queue(Ticket(1), place(2, 1), 0, 0, (0, room.bounds.wait_ns)),
        Err(Full),
        "a ticket waits once"
    );
    assert_eq!(room.queue(Ticket(2), place(1, 1), 6, 0, (0, room.bounds.wait_ns)), Err(Full), "bytes");
    room.pace(Ticket(2), 1, 5, 0).unwrap();
    assert_eq!(room.pace(Ticket(3), 1, 0, 0), Err(Full), "one consumer's own");
    room.pace(Ticket(3), 2, 0, 0).unwrap();
    assert_eq!(room.queue(Ticket(4), place(3, 1), 0, 0, (0, room.bounds.wait_ns)), Err(Full), "all together");
    room.leave(Ticket(1), false);
    room.queue(Ticket(4), place(1, 1), 5, 0, (0, room.bounds.wait_ns)).unwrap();
}

#[test]
fn each_goes_when_it_was_told_to_and_late_ones_are_given_up() {
    let mut room = Room::new(Bounds { wait_ns: 2 * SECOND, ..bounds() });
    room.pace(Ticket(1), 1, 1, 30).unwrap();
    room.pace(Ticket(2), 1, 1, 20).unwrap();
    room.queue(Ticket(3), place(1, 1), 1, 0, (25, room.bounds.wait_ns)).unwrap();
    assert_eq!((room.next_due_ns(), room.due(19)), (Some(20), None));
    assert_eq!(room.due(25), Some(Due::Go(Ticket(2))));
    assert_eq!(room.due(25), Some(Due::Look(7)));
    assert_eq!(room.due(25), None);
    room.look_by(7, 5 * SECOND, 25);
    assert_eq!(room.due(30), Some(Due::Go(Ticket(1))));
    assert_eq!(room.next_due_ns(), Some(25 + POLL_NS), "nobody waits for a bell alone");
    assert_eq!(room.due(25 + POLL_NS), Some(Due::Look(7)));
    room.look_by(7, 2 * SECOND - 1, 25 + POLL_NS);
    assert_eq!(room.due(2 * SECOND), Some(Due::Look(7)));
    assert_eq!(room.due(2 * SECOND), Some(Due::Late(Ticket(3), 7)));
    assert!(room.is_empty() && room.next_due_ns().is_none());
}

#[test]
fn a_request_that_another_account_stops_keeps_the_time_it_has_waited() {
    let mut room = Room::new(bounds());
    room.queue(Ticket(1), place(1, 1), 1, 0, (SECOND, room.bounds.wait_ns)).unwrap();
    room.move_to(Ticket(1), 8, 10, (SECOND, room.bounds.wait_ns));
    assert_eq!((room.next(7, 10), room.next(8, 10)), (None, Some(Ticket(1))));
    assert_eq!(room.rank(8, 10), Some(Rank { level: 1, since_ns: 0 }));
    assert_eq!(room.leave(Ticket(1), true), Some(Some(Place { account: 8, ..place(1, 1) })));
    assert_eq!((room.leave(Ticket(1), true), room.next_due_ns()), (None, None));
}

/// What happens in the simulation.
#[derive(Clone, Debug)]
enum Event {
    /// A request of this consumer and priority for one of two accounts.
    Come { consumer: u64, priority: u8, account: u64, bytes: u64 },
    /// One that is told when to go on.
    Pace { consumer: u64, in_ns: u64 },
    /// The request so many places from the oldest goes away.
    Go { at: usize },
    /// An account has room for one.
    Free { account: u64 },
    /// The head of one account finds that the other stops it.
    Move { account: u64 },
    /// Time passes.
    Pass { ns: u64 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0u64..4, 0u8..3, 0u64..2, 0u64..30)
            .prop_map(|(consumer, priority, account, bytes)| Event::Come { consumer, priority, account, bytes }),
        1 => (0u64..4, 0u64..100).prop_map(|(consumer, in_ns)| Event::Pace { consumer, in_ns }),
        1 => (0usize..8).prop_map(|at| Event::Go { at }),
        3 => (0u64..2).prop_map(|account| Event::Free { account }),
        1 => (0u64..2).prop_map(|account| Event::Move { account }),
        2 => (1u64..60).prop_map(|ns| Event::Pass { ns }),
    ]
}

/// A request as a plain list would keep it.
#[derive(Clone, Copy, Debug)]
struct Kept {
    ticket: Ticket,
    consumer: u64,
    place: Option<Place>,
    bytes: u64,
    entered_ns: u64,
    alarm_ns: u64,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens: bounds hold, the head is of the highest priority or promoted, a consumer's own order is kept,
    /// nobody stays past its time, and nothing is left behind.
    #[test]
    fn the_room_is_what_a_plain_list_would_be(events in proptest::collection::vec(event(), 1..120)) {
        let bounds = Bounds { length: 12, per_consumer: 5, bytes: 150, wait_ns: 200, promote_ns: 90 };
        let mut room = Room::new(bounds);
        let mut kept: VecDeque<Kept> = VecDeque::new();
        let (mut now_ns, mut ticket) = (0, 0);
        for event in events {
            match event {
                Event::Come { consumer, priority, account, bytes } => {
                    ticket += 1;
                    let place = Place { account, consumer, priority };
                    let taken = room.queue(Ticket(ticket), place, bytes, now_ns, (now_ns + 10, room.bounds.wait_ns)).is_ok();
                    let fits = fits(&kept, &bounds, consumer, bytes);
                    prop_assert_eq!(taken, fits);
                    if taken {
                        let (ticket, alarm_ns) = (Ticket(ticket), now_ns + bounds.wait_ns);
                        let place = Some(place);
                        kept.push_back(Kept { ticket, consumer, place, bytes, entered_ns: now_ns, alarm_ns });
                    }
                }
                Event::Pace { consumer, in_ns } => {
                    ticket += 1;
                    let taken = room.pace(Ticket(ticket), consumer, 1, now_ns + in_ns).is_ok();
                    prop_assert_eq!(taken, fits(&kept, &bounds, consumer, 1));
                    if taken {
                        let (ticket, alarm_ns) = (Ticket(ticket), now_ns + in_ns);
                        let (place, entered_ns) = (None, now_ns);
                        kept.push_back(Kept { ticket, consumer, place, bytes: 1, entered_ns, alarm_ns });
                    }
                }
                Event::Go { at } => {
                    if let Some(gone) = kept.remove(at) {
                        prop_assert_eq!(room.leave(gone.ticket, false), Some(gone.place));
                    }
                }
                Event::Free { account } => {
                    let head = room.next(account, now_ns);
                    check_head(&kept, account, head, now_ns, &bounds)?;
                    if let Some(head) = head {
                        prop_assert!(room.leave(head, true).is_some());
                        kept.retain(|one| one.ticket != head);
                    }
                }
                Event::Move { account } => {
                    if let Some(head) = room.next(account, now_ns) {
                        room.move_to(head, 1 - account, now_ns, (now_ns + 10, room.bounds.wait_ns));
                        for one in kept.iter_mut().filter(|one| one.ticket == head) {
                            one.place = one.place.map(|place| Place { account: 1 - account, ..place });
                        }
                    }
                }
                Event::Pass { ns } => {
                    now_ns += ns;
                    while let Some(due) = room.due(now_ns) {
                        match due {
                            Due::Look(account) => {
                                prop_assert!(room.next(account, now_ns).is_some());
                                room.look_by(account, now_ns + 10, now_ns);
                            }
                            Due::Go(ticket) | Due::Late(ticket, _) => {
                                let at = kept.iter().position(|one| one.ticket == ticket).unwrap();
                                let one = kept.remove(at).unwrap();
                                prop_assert!(one.alarm_ns <= now_ns);
                                prop_assert_eq!(one.place.map(|place| Due::Late(ticket, place.account)).unwrap_or(Due::Go(ticket)), due);
                            }
                        }
                    }
                    prop_assert!(kept.iter().all(|one| one.alarm_ns > now_ns));
                }
            }
            prop_assert_eq!(room.len(), kept.len());
            prop_assert_eq!(room.in_line(), kept.iter().filter(|one| one.place.is_some()).count());
        }
        for one in kept {
            prop_assert!(room.leave(one.ticket, false).is_some());
        }
        prop_assert!(room.is_empty() && room.next_due_ns().is_none() && room.rank(0, now_ns).is_none());
    }

    /// Between two of one consumer's, everybody else of its priority who waits is served.
    #[test]
    fn no_consumer_is_served_twice_before_the_others(counts in proptest::collection::vec(1usize..10, 2..6)) {
        let mut room = Room::new(bounds());
        let mut ticket = 0;
        let mut owner = Vec::new();
        for (consumer, count) in counts.iter().enumerate() {
            for _ in 0..*count {
                room.queue(Ticket(ticket), place(consumer as u64, 1), 0, 0, (0, room.bounds.wait_ns)).unwrap();
                owner.push(consumer);
                ticket += 1;
            }
        }
        let served: Vec<usize> = serve_all(&mut room, 1).iter().map(|at| owner[*at as usize]).collect();
        for consumer in 0..counts.len() {
            let turns: Vec<usize> =
                served.iter().enumerate().filter(|(_, other)| **other == consumer).map(|(at, _)| at).collect();
            for pair in turns.windows(2) {
                let between = &served[pair[0] + 1..pair[1]];
                let waiting = (0..counts.len()).filter(|other| {
                    *other != consumer && served[pair[1]..].contains(other)
                });
                for other in waiting {
                    prop_assert!(between.contains(&other), "{other} waits, {consumer} goes twice");
                }
            }
        }
    }

    /// Under a flood of the important, the unimportant are served once they have waited their time.
    #[test]
    fn nobody_starves(flood in 1u64..5, serves in 1u64..3) {
        let mut room = Room::new(Bounds { promote_ns: 100, wait_ns: 100_000, ..bounds() });
        room.queue(Ticket(0), place(99, 0), 0, 0, (0, room.bounds.wait_ns)).unwrap();
        let mut ticket = 1;
        let mut now_ns = 0;
        while room.rank(7, now_ns).is_some() && now_ns < 1000 {
            for consumer in 0..flood {
                if room.queue(Ticket(ticket), place(consumer, 9), 0, now_ns, (0, room.bounds.wait_ns)).is_ok() {
                    ticket += 1;
                }
            }
            for _ in 0..serves {
                if let Some(next) = room.next(7, now_ns) {
                    room.leave(next, true);
                    if next == Ticket(0) {
                        prop_assert!(now_ns <= 101);
                        return Ok(());
                    }
                }
            }
            now_ns += 1;
        }
        prop_assert!(false, "the first request was never served");
    }
}

fn fits(kept: &VecDeque<Kept>, bounds: &Bounds, consumer: u64, bytes: u64) -> bool {
    let own = kept.iter().filter(|one| one.consumer == consumer);
    let held: u64 = kept.iter().map(|one| one.bytes).sum();
    kept.len() < bounds.length && own.count() < bounds.per_consumer && held + bytes <= bounds.bytes
}

fn check_head(
    kept: &VecDeque<Kept>,
    account: u64,
    head: Option<Ticket>,
    now_ns: u64,
    bounds: &Bounds,
) -> Result<(), TestCaseError> {
    let here: Vec<&Kept> =
        kept.iter().filter(|one| one.place.is_some_and(|place| place.account == account)).collect();
    let Some(oldest) = here.iter().min_by_key(|one| (one.entered_ns, one.ticket)) else {
        prop_assert_eq!(head, None);
        return Ok(());
    };
    let head = here.iter().find(|one| Some(one.ticket) == head).unwrap();
    if now_ns - oldest.entered_ns >= bounds.promote_ns {
        prop_assert_eq!(head.ticket, oldest.ticket);
        return Ok(());
    }
    let (mine, highest) = (head.place.unwrap(), here.iter().map(|one| one.place.unwrap().priority).max());
    prop_assert_eq!(Some(mine.priority), highest);
    Ok(())
}
