//! The tallies that the benchmarks enter: wide keys, the same in every run.

#![allow(dead_code, reason = "each benchmark uses its own part")]

use tollgate_wire::{NanoUsd, Tally, TokenCount};

/// 2026-11-23T12:00:00Z.
pub const NOON_MS: u64 = 1_795_435_200_000;

/// A small generator of its own: the same run every time.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Zipf with exponent 1: the inverse of its (continuous) distribution.
    fn zipf(&mut self, count: u64) -> u64 {
        let unit = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        (((count as f64 + 1.0).ln() * unit).exp() - 1.0) as u64
    }
}

/// A tally of one of so many consumers, of 12 models and 4 actions.
pub fn tally(random: &mut Random, number: u64, consumers: u64) -> Tally {
    let consumer = random.zipf(consumers);
    let at_ms = NOON_MS + number / 25;
    let input = 200 + random.below(4000);
    let output = 20 + random.below(900);
    let (low, middle) = (random.next(), random.next());
    Tally {
        id: format!(
            "{:08x}-{:04x}-7{:03x}-8{:03x}-{:012x}",
            at_ms >> 16,
            at_ms & 0xffff,
            middle & 0xfff,
            (middle >> 12) & 0xfff,
            low & 0xffff_ffff_ffff
        ),
        at_ms,
        consumer: format!("consumer-{consumer:05}"),
        team: format!("team-{}", consumer % 40),
        tier: ["free", "pro", "enterprise"][(consumer % 3) as usize].into(),
        route: "models".into(),
        action: ["", "translate", "summarize", "chat"][random.below(4) as usize].into(),
        provider: "openai".into(),
        model: format!("gpt-5.{}-mini", random.below(12)),
        status: 200,
        requests: 1,
        input: TokenCount(input),
        cache_read: TokenCount(input / 2),
        output: TokenCount(output),
        cost_nusd: NanoUsd(input * 750 + output * 4500),
        price_version: 1,
        ..Tally::default()
    }
}

/// A part of sorted figures: 0.5 for the median.
pub fn part(sorted: &[f64], share: f64) -> f64 {
    sorted.get(((sorted.len().max(1) - 1) as f64 * share) as usize).copied().unwrap_or_default()
}
