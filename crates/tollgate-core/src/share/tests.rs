//! Several holders and one book, with messages that are lost, late, repeated and out of order, and holders that crash.

use proptest::prelude::*;
use tollgate_wire::{Claim, Share, UnixNanos, WHOLE};

use super::holder::{Holder, Lack};
use super::ledger::Book;
use crate::lease::{Terms, Unreachable};
use crate::limit::{Rate, Reader, Writer};
use crate::time::Now;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const CLOSED: Terms = Terms { wait_ms: 300, unreachable: Unreachable::Closed };

fn at(ns: u64) -> Now {
    Now { mono_ns: ns, wall: UnixNanos(ns) }
}

/// A message under way: to the ledger or back.
#[derive(Clone)]
struct Message {
    arrives_ns: u64,
    from: usize,
    life: u64,
    sent_ms: u64,
    seq: u32,
    what: What,
}

#[derive(Clone)]
enum What {
    Claim(Claim),
    Share(Share),
}

/// How messages fare: each is late by up to `late_ms`, and one in so many is lost or comes twice. 0: none.
#[derive(Clone, Copy, Debug)]
struct Net {
    late_ms: u64,
    lost: u64,
    twice: u64,
}

const CALM: Net = Net { late_ms: 2, lost: 0, twice: 0 };

struct World {
    rate: Rate,
    now_ns: u64,
    holders: Vec<Holder>,
    book: Book,
    net: Net,
    seed: u64,
    lives: u64,
    under_way: Vec<Message>,
    /// What was let through: when, and how much.
    passed: Vec<(u64, u64)>,
    /// How many claims were made.
    claims: u64,
}

impl World {
    fn new(rate: Rate, holders: usize, net: Net, seed: u64) -> Self {
        let start_ns = 1_000 * SECOND;
        let holders: Vec<Holder> = (1..=holders as u64).map(Holder::new).collect();
        Self {
            rate,
            now_ns: start_ns,
            lives: holders.len() as u64,
            holders,
            book: Book::new(start_ns / MS),
            net,
            seed,
            under_way: Vec::new(),
            passed: Vec::new(),
            claims: 0,
        }
    }

    /// SplitMix64.
    fn random(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }

    fn send(&mut self, message: Message) {
        if self.net.lost > 0 && self.random(self.net.lost) == 0 {
            return;
        }
        let times = if self.net.twice > 0 && self.random(self.net.twice) == 0 { 2 } else { 1 };
        for _ in 0..times {
            let late_ns = self.random(self.net.late_ms * MS);
            self.under_way.push(Message { arrives_ns: self.now_ns + late_ns, ..message.clone() });
        }
    }

    fn speak(&mut self, who: usize) {
        let (now, rate) = (at(self.now_ns), self.rate);
        let Some(holder) = self.holders.get_mut(who) else { return };
        if holder.is_due(now.mono_ms()) {
            let claim = holder.claim(now, &rate);
            self.claims += 1;
            let (life, sent_ms) = (holder.life(), now.mono_ms());
            let what = What::Claim(claim);
            self.send(Message { arrives_ns: 0, from: who, life, sent_ms, seq: claim.seq, what });
        }
    }

    fn deliver(&mut self) {
        let now_ns = self.now_ns;
        let due: Vec<Message> =
            self.under_way.extract_if(.., |message| message.arrives_ns <= now_ns).collect();
        for message in due {
            match message.what {
                What::Claim(claim) => {
                    let fill_ms = self.rate.fill_ns() / MS;
                    let life = message.life.to_string();
                    let share = self.book.step(&life, &claim, fill_ms, now_ns / MS);
                    let Some(share) = share else { continue };
                    self.send(Message { what: What::Share(share), ..message });
                }
                What::Share(share) => {
                    let rate = self.rate;
                    if let Some(holder) = self.holders.get_mut(message.from)
                        && holder.life() == message.life
                    {
                        holder.answered(at(now_ns), &rate, (message.seq, message.sent_ms), &share);
                    }
                }
            }
        }
    }

    fn ask(&mut self, who: usize, amount: u64) -> Result<u64, Lack> {
        let (now, rate) = (at(self.now_ns), self.rate);
        let Some(holder) = self.holders.get_mut(who) else { return Err(Lack::Never) };
        let booked = holder.book(now, &rate, (amount, 0), &CLOSED, false);
        if booked.is_ok() {
            self.passed.push((self.now_ns, amount));
        }
        // Through bytes, as it stands in shared data.
        let mut bytes = Vec::new();
        holder.write(&mut Writer(&mut bytes));
        assert_eq!(Holder::read(&mut Reader(&bytes)).as_ref(), Some(&*holder));
        self.speak(who);
        booked
    }

    /// Each holder gets requests of one unit with its chance in a thousand a millisecond.
    fn run(&mut self, ms: u64, chances: &[u64]) -> Vec<u64> {
        let mut passed = vec![0; chances.len()];
        for _ in 0..ms {
            self.now_ns += MS;
            self.deliver();
            for (who, chance) in chances.iter().enumerate() {
                if self.random(1000) < *chance && self.ask(who, 1).is_ok() {
                    passed[who] += 1;
                }
                self.speak(who);
            }
        }
        passed
    }

    fn crash(&mut self, who: usize) {
        self.lives += 1;
        self.holders[who] = Holder::new(self.lives);
    }

    /// In no span more passed than the burst and what the rate gives in it.
    fn assert_kept(&self) {
        let (burst, amount) = (u128::from(self.rate.burst()), u128::from(self.rate.amount()));
        let period = u128::from(self.rate.period_ns());
        // A bucket that fills at the rate and is drained by what passed is never overdrawn: the same for all spans at once.
        let (mut level, mut last) = (burst * period, self.passed.first().map_or(0, |(ns, _)| *ns));
        for (ns, units) in &self.passed {
            level = (level + amount * u128::from(ns - last)).min(burst * period);
            last = *ns;
            let taken = u128::from(*units) * period;
            assert!(taken <= level, "too much passed at {ns}: {:?}", self.passed.len());
            level -= taken;
        }
    }
}

fn rate(amount: u64, burst: u64) -> Rate {
    Rate::new(amount, SECOND, burst).unwrap()
}

#[test]
fn one_envoy_gets_the_whole_burst_and_the_whole_rate() {
    let mut world = World::new(rate(100, 200), 1, CALM, 1);
    let passed = world.run(1_000, &[1000]);
    assert!((290..=300).contains(&passed[0]), "{passed:?}");
    let passed = world.run(10_000, &[1000]);
    assert!((985..=1000).contains(&passed[0]), "{passed:?}");
    world.assert_kept();
}

#[test]
fn envoys_that_want_too_much_share_it_evenly() {
    let mut world = World::new(rate(100, 100), 4, CALM, 2);
    world.run(5_000, &[800; 4]);
    let passed = world.run(20_000, &[800; 4]);
    let all: u64 = passed.iter().sum();
    assert!((1900..=2000).contains(&all), "{passed:?}");
    assert!(passed.iter().all(|passed| (400..=600).contains(passed)), "{passed:?}");
    world.assert_kept();
}

#[test]
fn who_wants_little_gets_it_beside_who_wants_all() {
    let mut world = World::new(rate(100, 100), 3, CALM, 3);
    world.run(5_000, &[20, 900, 10]);
    let passed = world.run(20_000, &[20, 900, 10]);
    assert!(passed[0] >= 350 && passed[2] >= 150, "{passed:?}");
    assert!(passed.iter().sum::<u64>() >= 1600, "{passed:?}");
    world.assert_kept();
}

#[test]
fn who_goes_elsewhere_finds_the_rate_there() {
    let mut world = World::new(rate(100, 50), 2, CALM, 4);
    world.run(10_000, &[700, 0]);
    let first = world.run(3_000, &[0, 700]);
    assert!(first[1] >= 140, "{first:?}");
    let later = world.run(10_000, &[0, 700]);
    assert!(later[1] >= 850, "{later:?}");
    world.assert_kept();
}

#[test]
fn a_request_of_the_whole_burst_passes_beside_others_sooner_or_later() {
    let mut world = World::new(rate(100, 100), 3, CALM, 5);
    world.run(3_000, &[20, 20, 20]);
    let mut waited_ms = 0;
    while world.ask(0, 90).is_err() {
        world.run(100, &[0, 20, 20]);
        waited_ms += 100;
        assert!(waited_ms < 20_000, "{:?}", world.book);
    }
    world.assert_kept();
}

#[test]
fn an_idle_envoy_gives_its_part_back_and_is_silent() {
    let mut world = World::new(rate(100, 100), 2, CALM, 6);
    world.run(2_000, &[100, 100]);
    world.run(8_000, &[0, 0]);
    assert_eq!(world.book.given(), (0, 0));
    let claims = world.claims;
    world.run(8_000, &[0, 0]);
    assert_eq!(world.claims, claims);
    assert!(world.holders.iter().all(|holder| holder.at_rest(world.now_ns)));
}

#[test]
fn claims_are_about_one_a_second() {
    let mut world = World::new(rate(100, 100), 3, CALM, 7);
    world.run(5_000, &[300, 300, 300]);
    let before = world.claims;
    world.run(20_000, &[300, 300, 300]);
    let each = (world.claims - before) / 3;
    assert!((15..=45).contains(&each), "{each}");
}

#[test]
fn without_the_ledger_the_share_is_used_until_its_time_is_over() {
    let mut world = World::new(rate(100, 100), 1, CALM, 8);
    world.run(3_000, &[500]);
    world.net.lost = 1;
    let passed = world.run(8_000, &[500]);
    assert!(passed[0] >= 700, "{passed:?}");
    world.run(4_000, &[500]);
    assert_eq!(world.ask(0, 1), Err(Lack::Unreachable));
    world.net.lost = 0;
    world.run(4_000, &[500]);
    assert!(world.run(1_000, &[500])[0] >= 85);
    world.assert_kept();
}

#[test]
fn without_the_ledger_an_allowance_is_used_at_its_own_rate() {
    let terms = Terms { wait_ms: 300, unreachable: Unreachable::Allow { units: 10, funded: false } };
    let (rate, mut holder, mut passed) = (rate(100, 100), Holder::new(1), Vec::new());
    for ms in 1..=10_300u64 {
        let now = at(ms * MS);
        if holder.book(now, &rate, (1, 0), &terms, false).is_ok() {
            passed.push(ms);
        }
        if holder.is_due(now.mono_ms()) {
            let claim = holder.claim(now, &rate);
            assert_eq!(claim.holding, 0);
            holder.failed(now.mono_ms(), claim.seq);
        }
    }
    assert!(passed.first() >= Some(&300));
    assert!((105..=111).contains(&passed.len()), "{}", passed.len());
    let claim = holder.claim(at(10_400 * MS), &rate);
    let share = Share { share: WHOLE / 2, level: 0, more: false, ttl_ms: 10_000, again_ms: 1000 };
    holder.answered(at(10_401 * MS), &rate, (claim.seq, 10_400), &share);
    assert_eq!(holder.standing(at(10_401 * MS), &rate).0, 0);
    assert_eq!(holder.standing(at(10_601 * MS), &rate).0, 10);
}

#[test]
fn more_than_the_whole_burst_never_passes() {
    let mut world = World::new(rate(100, 100), 1, CALM, 9);
    assert_eq!(world.ask(0, 101), Err(Lack::Never));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever becomes of messages and of holders.
    #[test]
    fn no_span_sees_more_than_burst_and_rate(
        amount in 1u64..400, burst in 1u64..300, seed in any::<u64>(),
        holders in 1usize..6,
        (late_ms, lost, twice) in (1u64..12_000, 0u64..6, 0u64..6),
        steps in prop::collection::vec((1u64..6_000, prop::collection::vec(0u64..1000, 6), 0usize..12), 1..8),
    ) {
        let mut world = World::new(rate(amount, burst), holders, Net { late_ms, lost, twice }, seed);
        for (ms, chances, crash) in steps {
            world.run(ms, &chances[..holders]);
            if crash < holders {
                world.crash(crash);
            }
            // An amount of several units now and then.
            let large = 1 + world.random(burst);
            let _ = world.ask(crash % holders, large);
        }
        world.assert_kept();
        prop_assert!(world.book.given().0 <= WHOLE);
    }

    #[test]
    fn any_bytes_are_a_share_or_none(bytes in prop::collection::vec(any::<u8>(), 0..90)) {
        let _ = Holder::read(&mut Reader(&bytes));
    }
}
