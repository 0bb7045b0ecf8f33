//! Whole days of traffic, seeded: for every kind of limit, and for mixes of five, nobody ever gets more than a limit
//! promises, also where streams take more as they go; who asks for half as much again gets nearly all of it; and crashes,
//! clocks that step and lost swaps change neither, nor do they leave anything behind.

use jiff::{Timestamp, ToSpan};

use super::*;
use crate::limit::{Rate, Span};
use crate::limiter::decision::Held;
use crate::policy::{Kind, Meter};

const SECOND: u64 = 1_000_000_000;
const CONSUMERS: [&str; 3] = ["ada", "bob", "eve"];

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }
}

/// The kinds, each with an amount a few minutes of traffic exceed. Tokens are output tokens.
fn kinds() -> Vec<serde_json::Value> {
    let quota = |per: serde_json::Value, zone: &str| json!({"meter": "tokens", "quota": {"amount": 3000, "per": per, "zone": zone}});
    vec![
        json!({"meter": "tokens", "rate": {"amount": 600, "per": "minute", "burst": 100}}),
        json!({"meter": "requests", "rate": {"amount": 7, "per": "second", "burst": 3}}),
        json!({"meter": "requests", "rate": {"amount": 90, "per": "minute"}, "action": "throttle", "max_wait_ms": 3000}),
        json!({"meter": "tokens", "window": {"amount": 700, "per": "minute"}}),
        json!({"meter": "requests", "window": {"amount": 9, "per": "second"}}),
        json!({"meter": "requests", "window": {"amount": 500, "per": "hour"}}),
        quota(json!("hour"), "Asia/Kathmandu"),
        quota(json!("day"), "Europe/Berlin"),
        quota(json!("week"), "America/New_York"),
        quota(json!("month"), "UTC"),
        quota(json!({"every": {"days": 3, "from": "2026-01-01"}}), "Europe/Berlin"),
        // So large that corrections wait, until half of them is used.
        json!({"meter": "tokens", "quota": {"amount": 16_000, "per": "day", "zone": "Europe/Berlin"}}),
        json!({"meter": "tokens", "rate": {"amount": 16_000, "per": "hour", "burst": 16_000}}),
        json!({"meter": "tokens", "window": {"amount": 16_000, "per": "day"}}),
        json!({"concurrency": 4}),
    ]
}

/// One admitted request, as the books below see it.
struct Entry {
    consumer: usize,
    /// When it went on, on the monotonic clock.
    at_ns: u64,
    /// What a rate took of it.
    expected: u64,
    /// What everything else holds of it, or it used.
    tokens: u64,
    held: Vec<(LimitId, u32)>,
    /// It is not a request but what a stream took on top, of each limit.
    more: Option<Vec<(LimitId, u64)>>,
}

struct Flight {
    entry: usize,
    owner: u32,
    ends_ns: u64,
    actual: u64,
    statuses: Vec<Status>,
    reservation: Reservation,
}

struct World {
    policy: Policy,
    store: Store,
    workers: Vec<Limiter>,
    owners: Vec<u32>,
    next_owner: u32,
    mono_ns: u64,
    start_s: u64,
    skew_s: i64,
    beat_s: u64,
    book: Vec<Entry>,
    flying: Vec<Flight>,
    dice: Dice,
}

impl World {
    fn new(limits: &[serde_json::Value], keys: &[&[&str]], start: &str, seed: u64) -> Self {
        let named = limits.iter().enumerate().map(|(at, limit)| {
            let mut limit = limit.clone();
            limit["name"] = format!("l{at}").into();
            limit["key"] = json!(keys[at % keys.len()]);
            if limit["meter"] == "tokens" {
                limit["mid_stream"] = "end".into();
            }
            limit
        });
        let tighten = json!({"above": 90, "below": 60, "limits": 30});
        let policy = Policy::from_json(json!({
            "limits": named.collect::<Vec<_>>(), "load": {"capacity": 1, "tighten": tighten},
        }));
        let policy = policy.unwrap();
        let store = Store::default();
        let mut dice = Dice(seed);
        store.lose_every.set(2 + dice.below(7) as u32);
        let start_s = start.parse::<Timestamp>().unwrap().as_second() as u64;
        let mut world = Self {
            policy,
            store,
            workers: Vec::new(),
            owners: vec![1, 2, 3, 4],
            next_owner: 5,
            mono_ns: (1_000_000 + dice.below(100_000)) * SECOND + dice.below(SECOND),
            start_s,
            skew_s: 0,
            beat_s: 0,
            book: Vec::new(),
            flying: Vec::new(),
            dice,
        };
        let now = world.now();
        world.workers = (1..=4).map(|owner| worker(&world.policy, &world.store, owner, now)).collect();
        world
    }

    fn now(&self) -> Now {
        let wall_s = self.start_s.saturating_add_signed(self.skew_s);
        Now { mono_ns: self.mono_ns, wall: UnixNanos(wall_s * SECOND + self.mono_ns % SECOND) }
    }

    fn pass(&mut self, ns: u64) {
        let before_s = self.mono_ns / SECOND;
        self.mono_ns += ns;
        self.start_s += self.mono_ns / SECOND - before_s;
        if self.mono_ns / SECOND != self.beat_s {
            self.beat_s = self.mono_ns / SECOND;
            let now = self.now();
            for worker in &mut self.workers {
                while worker.beat(&self.store, now).is_err() {}
                while worker.flush(&self.policy, &self.store, now).is_err() {}
            }
        }
        let due: Vec<usize> =
            (0..self.flying.len()).rev().filter(|at| self.flying[*at].ends_ns <= self.mono_ns).collect();
        for at in due {
            let flight = self.flying.swap_remove(at);
            self.land(flight);
        }
    }

    fn land(&mut self, flight: Flight) {
        let Some(index) = self.owners.iter().position(|owner| *owner == flight.owner) else { return };
        let now = self.now();
        let mut rest = Some(flight.reservation);
        while let Some(reservation) = rest.take() {
            let actual = tokens(0, flight.actual).bound;
            let worker = &mut self.workers[index];
            let settled =
                worker.settle_later(&self.policy, &self.store, now, reservation, &flight.statuses, &actual);
            if let Err((again, _)) = settled {
                rest = Some(again);
            }
        }
        let entry = &mut self.book[flight.entry];
        entry.tokens = entry.tokens.min(flight.actual);
    }

    /// One of the streams outgrows what it has reserved, and uses all it is given.
    fn grow(&mut self) {
        if self.flying.is_empty() {
            return;
        }
        let (at, by) = (self.dice.below(self.flying.len() as u64) as usize, 1 + self.dice.below(80));
        let (now, flight) = (self.now(), &mut self.flying[at]);
        let Some(index) = self.owners.iter().position(|owner| *owner == flight.owner) else { return };
        let before = flight.reservation.held.clone();
        let needs = tokens(0, flight.actual + by).bound;
        let worker = &mut self.workers[index];
        let taken = worker.top_up(&self.policy, &self.store, now, &mut flight.reservation, &needs, true);
        let after = &flight.reservation.held;
        let Ok(TopUp::Taken(beyond)) = taken else {
            assert_eq!(&before, after, "nothing was taken");
            return;
        };
        assert!(beyond.is_empty());
        flight.actual += by;
        let on_top = |(before, after): (&Held, &Held)| (after.limit, after.total() - before.total());
        let more = Some(before.iter().zip(after).map(on_top).collect());
        let held = after.iter().map(|held| (held.limit, held.window)).collect();
        let consumer = self.book[flight.entry].consumer;
        self.book.push(Entry { consumer, at_ns: self.mono_ns, expected: 0, tokens: 0, held, more });
    }

    /// Offers a request; true when it was let through.
    fn offer(&mut self, consumer: usize, expected: u64, more: u64, lasts_ns: u64) -> bool {
        let index = self.dice.below(4) as usize;
        let request = Attributes { consumer: CONSUMERS[consumer], model: "m", ..Attributes::default() };
        let demand = tokens(expected, expected + more);
        let now = self.now();
        let decision = self.workers[index].admit(&self.policy, &self.store, now, &request, &demand);
        let Ok(Decision::Admit(admission)) = decision else { return false };
        let at_ns = self.mono_ns + admission.delay_ns;
        let held = admission.reservation.held.iter().map(|held| (held.limit, held.window)).collect();
        let (tokens, more) = (expected + more, None);
        self.book.push(Entry { consumer, at_ns, expected, tokens, held, more });
        self.flying.push(Flight {
            entry: self.book.len() - 1,
            owner: self.owners[index],
            ends_ns: at_ns + lasts_ns,
            actual: expected,
            statuses: admission.statuses,
            reservation: admission.reservation,
        });
        true
    }

    fn crash(&mut self) {
        let index = self.dice.below(4) as usize;
        self.owners[index] = self.next_owner;
        self.workers[index] = worker(&self.policy, &self.store, self.next_owner, self.now());
        self.next_owner += 1;
    }

    /// One worker hears before the others that limits are tightened or relaxed.
    fn flap(&mut self) {
        let (index, tight) = (self.dice.below(4) as usize, self.dice.below(2) == 0);
        self.workers[index].tighten(tight);
    }

    /// What each limit promises, checked in the books alone.
    fn assert_nothing_was_exceeded(&self, seed: u64) {
        for (at, limit) in self.policy.limits().iter().enumerate() {
            let of = |consumer: Option<usize>| -> Vec<(u64, u64, u32)> {
                let mine = |entry: &&Entry| consumer.is_none_or(|consumer| entry.consumer == consumer);
                let units = |entry: &Entry| match (&entry.more, limit.meter, &limit.kind) {
                    (Some(more), ..) => {
                        more.iter().find(|(id, _)| usize::from(id.0) == at).map_or(0, |(_, units)| *units)
                    }
                    (None, Meter::Requests, _) => 1,
                    (None, _, Kind::Rate(_)) => entry.expected,
                    _ => entry.tokens,
                };
                let window = |entry: &Entry| {
                    entry.held.iter().find(|(id, _)| usize::from(id.0) == at).map_or(0, |held| held.1)
                };
                self.book
                    .iter()
                    .filter(mine)
                    .map(|entry| (entry.at_ns, units(entry), window(entry)))
                    .collect()
            };
            let groups =
                if limit.key().is_empty() { vec![None] } else { (0..CONSUMERS.len()).map(Some).collect() };
            for group in groups {
                let mut taken = of(group);
                taken.sort_unstable();
                match &limit.kind {
                    Kind::Rate(rate) => assert_conforms(&taken, rate, seed),
                    Kind::Window(span) => assert_slides(&taken, span, seed),
                    Kind::Quota { limit, .. } => {
                        let mut sums: HashMap<u32, u64> = HashMap::new();
                        for (_, units, window) in taken {
                            *sums.entry(window).or_default() += units;
                        }
                        assert!(sums.values().all(|sum| sum <= limit), "seed {seed}: {sums:?} of {limit}");
                    }
                    _ => {}
                }
            }
        }
    }

    fn assert_concurrency(&self, most: usize, seed: u64) {
        for consumer in 0..CONSUMERS.len() {
            let live = |flight: &&Flight| {
                self.owners.contains(&flight.owner) && self.book[flight.entry].consumer == consumer
            };
            let count = self.flying.iter().filter(live).count();
            assert!(count <= most, "seed {seed}: {count} in flight");
        }
    }
}

/// In any interval, no more than the burst and what the rate adds.
fn assert_conforms(taken: &[(u64, u64, u32)], rate: &Rate, seed: u64) {
    // The virtual scheduling form of the same promise (ITU-T I.371), in 128 bits and without rounding.
    let (amount, period, burst) =
        (u128::from(rate.amount()), u128::from(rate.period_ns()), u128::from(rate.burst()));
    let mut full_at = 0u128;
    for (at_ns, units, _) in taken {
        let at = u128::from(*at_ns) * amount;
        full_at = full_at.max(at) + u128::from(*units) * period;
        // A wait is told in whole nanoseconds, rounded up.
        assert!(full_at <= at + burst * period, "seed {seed}: a rate was exceeded at {at_ns}");
    }
}

/// In any interval of the window's length, no more than its amount.
fn assert_slides(taken: &[(u64, u64, u32)], span: &Span, seed: u64) {
    let period_ns = u64::from(span.period_s()) * SECOND;
    let (mut first, mut sum) = (0, 0);
    for (at_ns, units, _) in taken {
        sum += units;
        while taken[first].0 + period_ns <= *at_ns {
            sum -= taken[first].1;
            first += 1;
        }
        assert!(sum <= span.amount(), "seed {seed}: {sum} in a window of {}", span.amount());
    }
}

/// A day's disorder: bursts and lulls, crashes, clocks that step by up to an hour, lost swaps, limits that tighten and
/// relax in one worker after the other.
fn disorder(world: &mut World, moves: usize, seed: u64) {
    for _ in 0..moves {
        match world.dice.below(40) {
            0 => world.crash(),
            1 => world.skew_s = world.dice.below(7200) as i64 - 3600,
            2 => world.pass(1),
            13 => world.flap(),
            14..=19 => world.grow(),
            3..=12 => {
                let long = world.dice.below(8) == 0;
                let mut left = world.dice.below(if long { 3000 * SECOND } else { 3 * SECOND });
                // A worker may be busy for some seconds, and is not dead for it.
                while left > 0 {
                    let step = left.min(8 * SECOND);
                    world.pass(step);
                    left -= step;
                }
            }
            _ => {
                let (consumer, expected) = (world.dice.below(3) as usize, 1 + world.dice.below(60));
                let (more, lasts) = (world.dice.below(60), world.dice.below(90 * SECOND));
                world.offer(consumer, expected, more, lasts);
            }
        }
        world.assert_concurrency(4, seed);
    }
}

/// Once all that flies has landed or expired, everything is free again.
fn assert_nothing_leaked(world: &mut World, seed: u64) {
    while !world.flying.is_empty() {
        world.pass(SECOND);
    }
    for _ in 0..20 {
        world.pass(SECOND);
    }
    world.workers.iter_mut().for_each(|worker| worker.tighten(false));
    // Six weeks later every window has ended.
    world.mono_ns += 45 * 86_400 * SECOND;
    world.start_s += 45 * 86_400;
    world.pass(SECOND);
    let seen = world.book.len();
    for consumer in 0..CONSUMERS.len() {
        assert!(world.offer(consumer, 1, 0, SECOND), "seed {seed}: something leaked");
    }
    assert_eq!(world.book.len(), seen + CONSUMERS.len());
}

#[test]
fn no_kind_of_limit_is_ever_exceeded_whatever_happens() {
    for (at, kind) in kinds().into_iter().enumerate() {
        for seed in 0..12 {
            let key: &[&str] = if seed % 2 == 0 { &["consumer"] } else { &[] };
            let limits = [kind.clone(), json!({"concurrency": 4})];
            let seed = seed + 100 * at as u64;
            let mut world = World::new(&limits, &[key, &["consumer"]], "2026-03-28T20:00:00Z", seed);
            disorder(&mut world, 1500, seed);
            world.assert_nothing_was_exceeded(seed);
            assert_nothing_leaked(&mut world, seed);
        }
    }
}

#[test]
fn no_mix_of_five_limits_is_ever_exceeded_whatever_happens() {
    for seed in 10_000..10_060 {
        let mut dice = Dice(seed);
        let all = kinds();
        // Requests that wait go on later than other limits counted them: paces are simulated by themselves.
        let unpaced: Vec<_> = all.into_iter().filter(|kind| kind["action"] != "throttle").collect();
        let mut limits: Vec<_> =
            (0..4).map(|_| unpaced[dice.below(unpaced.len() as u64) as usize].clone()).collect();
        limits.push(json!({"concurrency": 4}));
        let keys: [&[&str]; 5] = [&["consumer"], &[], &["consumer", "model"], &["model"], &["consumer"]];
        let start = if seed % 2 == 0 { "2026-03-28T20:00:00Z" } else { "2026-10-24T20:00:00Z" };
        let mut world = World::new(&limits, &keys[..4], start, seed);
        disorder(&mut world, 1500, seed);
        world.assert_nothing_was_exceeded(seed);
        assert_nothing_leaked(&mut world, seed);
    }
}

/// Offers half as much again as a limit allows, for so long, and returns what was let through, in requests.
fn overload(kind: serde_json::Value, per_second: f64, seconds: u64, seed: u64) -> (World, u64) {
    let mut world = World::new(&[kind], &[&["consumer"]], "2026-03-29T00:00:00Z", seed);
    let count = ask_for_half_as_much_again(&mut world, per_second, seconds);
    world.assert_nothing_was_exceeded(seed);
    (world, count)
}

/// No interval of the window's length has more than its amount.
fn assert_within(taken: &[(u64, u64, u32)], span: &Span, seed: u64) {
    let (mut first, mut sum) = (0, 0);
    for (at_ns, units, _) in taken {
        sum += units;
        while taken[first].0 + u64::from(span.period_s()) * SECOND <= *at_ns {
            sum -= taken[first].1;
            first += 1;
        }
        assert!(sum <= span.amount(), "seed {seed}: {sum} of {} until {at_ns}", span.amount());
    }
}

fn ask_for_half_as_much_again(world: &mut World, per_second: f64, seconds: u64) -> u64 {
    let gap = (SECOND as f64 / (per_second * 1.5)) as u64;
    let end = world.mono_ns + seconds * SECOND;
    let mut count = 0;
    while world.mono_ns < end {
        let pause = gap / 2 + world.dice.below(gap);
        world.pass(pause);
        count += u64::from(world.offer(0, 10, 5, SECOND));
    }
    count
}

#[test]
fn while_models_are_strained_a_part_of_each_limit_is_never_exceeded_and_nearly_all_of_it_is_given() {
    let cases = [
        json!({"meter": "requests", "rate": {"amount": 600, "per": "minute", "burst": 50}}),
        json!({"meter": "tokens", "rate": {"amount": 6000, "per": "minute", "burst": 500}}),
        json!({"meter": "requests", "rate": {"amount": 600, "per": "minute", "burst": 50}, "action": "throttle"}),
        json!({"meter": "requests", "window": {"amount": 600, "per": "minute"}}),
        json!({"meter": "tokens", "window": {"amount": 6000, "per": "minute"}}),
    ];
    for kind in cases {
        for seed in 0..6 {
            let kinds = [kind.clone()];
            let mut world = World::new(&kinds, &[&["consumer"]], "2026-03-29T00:00:00Z", seed);
            world.workers.iter_mut().for_each(|worker| worker.tighten(true));
            let count = ask_for_half_as_much_again(&mut world, 3.0, 600);
            let limit = &world.policy.limits()[0];
            let units = |entry: &Entry| if limit.meter == Meter::Requests { 1 } else { entry.expected };
            let mut taken: Vec<_> = world.book.iter().map(|entry| (entry.at_ns, units(entry), 0)).collect();
            taken.sort_unstable();
            match &limit.kind {
                Kind::Rate(rate) => assert_conforms(&taken, limit.rate_when(true, rate), seed),
                Kind::Window(span) => assert_within(&taken, limit.window_when(true, span), seed),
                other => panic!("{other:?} is not tightened"),
            }
            let share = count as f64 / (3.0 * 600.0);
            // Two counters forget a little late.
            let least = if matches!(limit.kind, Kind::Window(_)) { 0.97 } else { 0.98 };
            assert!(share >= least, "{kind}, seed {seed}: {share}");
        }
    }
}

#[test]
fn who_asks_for_half_as_much_again_gets_nearly_all_of_a_rate_or_a_window() {
    let cases = [
        (json!({"meter": "requests", "rate": {"amount": 600, "per": "minute", "burst": 50}}), 10.0),
        (json!({"meter": "tokens", "rate": {"amount": 6000, "per": "minute", "burst": 500}}), 10.0),
        (
            json!({"meter": "requests", "rate": {"amount": 600, "per": "minute", "burst": 50}, "action": "throttle"}),
            10.0,
        ),
        (json!({"meter": "requests", "window": {"amount": 600, "per": "minute"}}), 10.0),
        (json!({"meter": "tokens", "window": {"amount": 6000, "per": "minute"}}), 10.0),
        (json!({"meter": "requests", "window": {"amount": 2000, "per": "hour"}}), 2000.0 / 3600.0),
    ];
    for (kind, per_second) in cases {
        for seed in 0..6 {
            let hourly = kind["window"]["per"] == "hour";
            let seconds = if hourly { 6 * 3600 } else { 600 };
            let (_, count) = overload(kind.clone(), per_second, seconds, seed);
            let share = count as f64 / (per_second * seconds as f64);
            assert!(share >= 0.98, "{kind}, seed {seed}: {share}");
        }
    }
}

#[test]
fn who_asks_for_half_as_much_again_gets_all_of_every_quota_over_the_change_of_clocks() {
    let zone = crate::zones::zone("Europe/Berlin").unwrap();
    let hours =
        json!({"meter": "requests", "quota": {"amount": 200, "per": "hour", "zone": "Europe/Berlin"}});
    let days = json!({"meter": "tokens", "quota": {"amount": 20_000, "per": "day", "zone": "Europe/Berlin"}});
    for (kind, per_second, days) in [(hours, 200.0 / 3600.0, 1), (days, 2000.0 / 82_000.0, 3)] {
        let (world, _) = overload(kind.clone(), per_second, days * 86_400, days);
        // Counted by the calendar on the wall, not by what the limiter calls a window.
        let mut sums: HashMap<String, u64> = HashMap::new();
        let began_ns = world.mono_ns;
        for entry in &world.book {
            let ago = i64::try_from((began_ns - entry.at_ns) / SECOND).unwrap();
            let at = Timestamp::from_second(world.start_s as i64).unwrap() - ago.seconds();
            let (local, offset) = (zone.to_datetime(at), zone.to_offset(at));
            let hour = format!("{} {} {offset}", local.date(), local.hour());
            let units = if days == 1 { 1 } else { entry.tokens };
            *sums.entry(if days == 1 { hour } else { local.date().to_string() }).or_default() += units;
        }
        let most = if days == 1 { 200 } else { 20_000 };
        assert!(sums.values().all(|sum| *sum <= most), "{sums:?}");
        let full = sums.values().filter(|sum| **sum * 100 >= most * 98).count();
        assert!(full + 2 >= sums.len(), "all but the first and the last are full: {sums:?}");
    }
}
