//! What a decision costs: admit and settle on a store in memory, one, five and eight limits, and five of which two are leased.
//!
//! Budget: 100 ns per limit check. The last figures are the bytes a key takes and the slowest of a hundred.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
// A benchmark measures time.
#![allow(clippy::disallowed_methods)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::json;
use tollgate_core::limit::Owner;
use tollgate_core::limiter::{Amounts, Answer, Decision, Demand, Limiter, Reservation};
use tollgate_core::policy::{Attributes, Policy};
use tollgate_core::store::{Expected, SharedStore, Slot, StoreError, Swap, Version};
use tollgate_core::time::Now;
use tollgate_wire::{Grant, NanoUsd, TokenCount, UnixNanos};

/// Slots in a vector: what Envoy's map costs is measured in Envoy.
struct Slots {
    accounts: RefCell<Vec<(Vec<u8>, u32)>>,
    others: RefCell<HashMap<Slot, (Vec<u8>, u32)>>,
}

impl Slots {
    fn new(count: u32) -> Self {
        Self { accounts: RefCell::new(vec![(Vec::new(), 1); count as usize]), others: RefCell::default() }
    }

    fn with<T>(&self, slot: Slot, act: impl FnOnce(&mut (Vec<u8>, u32)) -> T) -> T {
        match slot {
            Slot::Accounts(number) => act(&mut self.accounts.borrow_mut()[number as usize]),
            other => act(self.others.borrow_mut().entry(other).or_default()),
        }
    }
}

impl SharedStore for Slots {
    fn load(&self, slot: Slot, into: &mut Vec<u8>) -> Result<Expected, StoreError> {
        self.with(slot, |(value, version)| {
            into.clear();
            into.extend_from_slice(value);
            Ok(if *version == 0 { Expected::Absent } else { Expected::Version(Version(*version)) })
        })
    }

    fn swap(&self, slot: Slot, new: &[u8], _expected: Expected) -> Result<Swap, StoreError> {
        self.with(slot, |(value, version)| {
            value.clear();
            value.extend_from_slice(new);
            *version += 1;
            Ok(Swap::Done)
        })
    }
}

fn policy(limits: usize, leased: &[usize], keys: u32) -> Policy {
    let mut all = [
        json!({"name": "rpm", "meter": "requests", "rate": {"amount": 1_000_000, "per": "second", "burst": 1_000_000_000u64}}),
        json!({"name": "tpm", "meter": "tokens", "rate": {"amount": 1_000_000_000, "per": "second", "burst": 10_000_000_000u64}}),
        json!({"name": "day", "meter": "requests", "quota": {"amount": 10_000_000_000u64, "per": "day"}}),
        json!({"name": "cost", "meter": "cost", "quota": {"amount": 10_000_000_000u64, "per": "day"}}),
        json!({"name": "month", "meter": "cost", "quota": {"amount": 10_000_000_000u64, "per": "month"}}),
        json!({"name": "window", "meter": "requests", "window": {"amount": 10_000_000_000u64, "per": "hour"}}),
        json!({"name": "tokens", "meter": "tokens", "window": {"amount": 10_000_000_000u64, "per": "day"}}),
        json!({"name": "slots", "concurrency": 1_000_000_000u64}),
    ];
    leased.iter().for_each(|at| all[*at]["global"] = json!({}));
    let state = json!({"expected_keys": keys});
    let text = json!({"limits": all[..limits], "ledger": {"cluster": "c"}, "state": state});
    Policy::from_json(text).unwrap()
}

/// More than all requests together spend.
fn plenty() -> Grant {
    let units = 1 << 50;
    Grant {
        granted: units,
        keep: units,
        ttl_ms: u32::MAX,
        horizon_ms: 1000,
        limit: units,
        left: units,
        ..Grant::default()
    }
}

fn at(ns: u64) -> Now {
    Now { mono_ns: 1_000_000_000_000 + ns, wall: UnixNanos(1_795_305_600_000_000_000 + ns) }
}

fn demand() -> Demand {
    let of = |output| Amounts {
        input: TokenCount(100),
        output: TokenCount(output),
        cost: NanoUsd(output * 4500),
        ..Amounts::default()
    };
    Demand { expected: of(250), bound: of(4096) }
}

fn admit(c: &mut Criterion) {
    let mut group = c.benchmark_group("admit_and_settle");
    let sizes = [1u32, 10_000, 1_000_000];
    let local = [1, 5, 8].into_iter().flat_map(|limits| sizes.map(|keys| (limits, &[][..], keys)));
    for (limits, leased, keys) in local.chain([(5, &[][..], 1000), (5, &[2, 4][..], 1000)]) {
        let policy = policy(limits, leased, keys);
        let store = Slots::new(policy.slots);
        let mut limiter = Limiter::join(&policy, &store, [7; 24], Owner(1), at(0)).unwrap();
        let names: Vec<String> = (0..keys).map(|key| format!("consumer-{key}")).collect();
        let mut turn = 0usize;
        let mut once = |limiter: &mut Limiter| -> Reservation {
            turn = (turn + 7919) % names.len();
            let request = Attributes { consumer: &names[turn], model: "m", ..Attributes::default() };
            loop {
                let now = at(turn as u64);
                match limiter.admit(&policy, &store, now, &request, &demand()) {
                    Ok(Decision::Admit(admission)) => break admission.reservation,
                    Ok(Decision::Refuse(refusal)) if refusal.why.lacks_lease() => {
                        for asked in limiter.asks() {
                            let answer = Answer::Lease(&plenty());
                            limiter.leased(&policy, &store, now, &asked, answer).unwrap();
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
        };
        for _ in 0..keys {
            let reservation = once(&mut limiter);
            limiter.settle(&policy, &store, at(0), reservation, &demand().expected).unwrap();
        }
        let bytes: usize = store.accounts.borrow().iter().map(|(value, _)| value.len()).sum();
        let id = match leased.len() {
            0 => format!("{limits} limits, {keys} keys"),
            count => format!("{limits} limits, {count} of them leased, {keys} keys"),
        };
        eprintln!("{id}: {} bytes a key", bytes / keys as usize);
        let mut times: Vec<u64> = (0..100_000)
            .map(|_| {
                let began = Instant::now();
                let _ = black_box(once(&mut limiter));
                began.elapsed().as_nanos() as u64
            })
            .collect();
        times.sort_unstable();
        eprintln!("{id}: admit p50 {} ns, p99 {} ns", times[50_000], times[99_000]);
        group.throughput(Throughput::Elements(limits as u64));
        group.bench_function(BenchmarkId::new("both", &id), |b| {
            b.iter(|| {
                let reservation = once(&mut limiter);
                limiter.settle(&policy, &store, at(0), black_box(reservation), &demand().expected).unwrap();
            });
        });
        // Holds of one owner add up in one number, so that leaving them does not change what an admit costs.
        group.bench_function(BenchmarkId::new("admit", &id), |b| {
            b.iter_batched(|| (), |()| black_box(once(&mut limiter)), BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, admit);
criterion_main!(benches);
