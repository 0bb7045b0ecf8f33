//! How fast a quota is reserved here: a sum that halves every eight seconds, in integers.
//!
//! Reservations and not what was used in the end: a burst shows at once and not when its first answers end, and what a
//! lease has to cover is reservations.

/// Half-life of what was reserved. Short enough to follow a burst, long enough to see through its pauses.
const HALF_MS: u64 = 8_192;

/// Mean age of what the sum remembers: the half-life divided by ln 2.
const MEAN_MS: u64 = 11_819;

/// The sum is kept in these parts of a unit: decay in small steps would otherwise round to nothing.
const PARTS: u64 = 1_024;

/// What is lost between two halvings is counted in 2^-24: a division of 128 bits would cost more than the rest.
const LOST_BITS: u32 = 24;

/// A rate estimate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pace {
    recent: u64,
    at_ms: u64,
}

impl Pace {
    /// Enters that so many units were reserved.
    pub fn take(&mut self, now_ms: u64, units: u64) {
        self.recent = self.recent_at(now_ms).saturating_add(units.saturating_mul(PARTS));
        self.at_ms = self.at_ms.max(now_ms);
    }

    /// Takes that back.
    pub fn take_back(&mut self, units: u64) {
        self.recent = self.recent.saturating_sub(units.saturating_mul(PARTS));
    }

    /// Units a second, lately. Rounded down: what trickles reads as nothing.
    pub fn per_second(&self, now_ms: u64) -> u64 {
        self.ahead(now_ms, 1000)
    }

    /// Units in so many milliseconds at the present rate.
    pub fn ahead(&self, now_ms: u64, span_ms: u64) -> u64 {
        mul_div(self.recent_at(now_ms), span_ms, MEAN_MS * PARTS)
    }

    fn recent_at(&self, now_ms: u64) -> u64 {
        let age = now_ms.saturating_sub(self.at_ms);
        let halves = u32::try_from(age / HALF_MS).unwrap_or(u32::MAX);
        let whole = self.recent.checked_shr(halves).unwrap_or(0);
        // 2^-x between two halvings as 1 - 0.6931 x + 0.1931 x^2: right at both ends and in slope at the first, at most
        // 0.8 % off.
        let x = age % HALF_MS;
        let lost = ((x * (6_931 * HALF_MS - 1_931 * x)) << LOST_BITS) / (10_000 * HALF_MS * HALF_MS);
        whole - ((u128::from(whole) * u128::from(lost)) >> LOST_BITS) as u64
    }

    pub(crate) const fn parts(&self) -> (u64, u64) {
        (self.recent, self.at_ms)
    }

    pub(crate) const fn of(recent: u64, at_ms: u64) -> Self {
        Self { recent, at_ms }
    }
}

/// `units` * `by` / `of` without overflow on the way, rounded down, saturating.
pub(crate) fn mul_div(units: u64, by: u64, of: u64) -> u64 {
    let exact = u128::from(units) * u128::from(by) / u128::from(of.max(1));
    u64::try_from(exact).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_reads_as_its_rate() {
        let mut pace = Pace::default();
        for tenth in 0..1200 {
            pace.take(tenth * 100, 50);
        }
        let rate = pace.per_second(119_900);
        assert!((490..=510).contains(&rate), "{rate}");
        assert_eq!(pace.ahead(119_900, 10_000) / 1000, rate / 100);
    }

    #[test]
    fn a_trickle_reads_as_its_rate_however_often_it_comes() {
        for (every_ms, rate) in [(100, 10), (20, 50), (1_000, 1)] {
            let mut pace = Pace::default();
            (0..100_000 / every_ms).for_each(|n| pace.take(n * every_ms, 1));
            let read = pace.ahead(100_000, 10_000);
            assert!((rate * 10 * 95 / 100..=rate * 10 * 105 / 100).contains(&read), "{rate}/s: {read}");
        }
    }

    #[test]
    fn silence_reads_as_less_and_less_and_then_nothing() {
        let mut pace = Pace::default();
        pace.take(0, 1_000_000);
        let rates: Vec<u64> = (0..400).map(|second| pace.per_second(second * 1000)).collect();
        assert!(rates.is_sorted_by(|a, b| a >= b));
        assert_eq!(rates.last(), Some(&0));
        assert_eq!(pace.per_second(u64::MAX), 0);
    }

    #[test]
    fn a_clock_that_steps_back_does_not_make_it_forget() {
        let mut pace = Pace::default();
        pace.take(10_000, 1000);
        let before = pace.per_second(10_000);
        pace.take(5_000, 0);
        assert_eq!(pace.per_second(10_000), before);
    }
}
