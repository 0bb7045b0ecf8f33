//! Token bucket as GCRA: one theoretical arrival time (TAT) per bucket, exact in integers.
//!
//! The generic cell rate algorithm (ITU-T I.371) keeps the time at which a bucket will be full again. The road not
//! taken is a level and a timestamp: two integers, and a rounding error at each refill. Time is counted in *ticks*
//! chosen per rate so that both a unit and a nanosecond are whole numbers of them, hence nothing is ever rounded
//! while counting; only answers to people (wait, remaining) are, in the safe direction.

/// A rate, reduced: one unit is `ticks_per_unit` ticks long, a nanosecond `ticks_per_ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    amount: u64,
    burst: u64,
    period_ns: u64,
    ticks_per_unit: u64,
    ticks_per_ns: u32,
    /// Ticks of the burst.
    depth: u128,
}

/// A bucket's state. The default is a full bucket: at rest it needs no memory at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Whole nanoseconds of the TAT, on the monotonic clock.
    pub tat_ns: u64,
    /// The rest of the TAT in ticks, less than a nanosecond's worth.
    pub tat_ticks: u32,
}

/// Why units were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// They will fit after this many nanoseconds, provided nobody else takes from the bucket.
    Wait(u64),
    /// More than the bucket can ever hold.
    Never,
}

impl Rate {
    /// `amount` units per `period_ns`, at most `burst` at once.
    ///
    /// None when a number is zero, or when the reduced rate has more than 2^32 ticks per nanosecond (no rate a
    /// person writes: 0.000001 dollars is a whole number of nano-dollars with many factors of ten).
    pub fn new(amount: u64, period_ns: u64, burst: u64) -> Option<Self> {
        if amount == 0 || period_ns == 0 || burst == 0 {
            return None;
        }
        let divisor = gcd(amount, period_ns);
        let ticks_per_ns = u32::try_from(amount / divisor).ok()?;
        let ticks_per_unit = period_ns / divisor;
        let depth = u128::from(burst) * u128::from(ticks_per_unit);
        Some(Self { amount, burst, period_ns, ticks_per_unit, ticks_per_ns, depth })
    }

    /// So many millionths of the rate and of its burst, which need not be whole units: as long to fill as the whole one.
    /// What can't be counted is rounded down. None for a share of nothing.
    pub fn share(&self, millionths: u32) -> Option<Self> {
        let (per_ns, per_unit) = (
            u128::from(self.ticks_per_ns) * u128::from(millionths),
            u128::from(self.ticks_per_unit) * 1_000_000,
        );
        let bits = |number: u128| u128::BITS - number.leading_zeros();
        let shift = bits(per_ns).saturating_sub(u32::BITS).max(bits(per_unit).saturating_sub(u64::BITS - 1));
        let ticks_per_ns = u32::try_from(per_ns >> shift).ok().filter(|ticks| *ticks > 0)?;
        let ticks_per_unit = u64::try_from(per_unit.div_ceil(1 << shift)).ok()?;
        let part = |units: u64| u64::try_from(u128::from(units) * u128::from(millionths) / 1_000_000).ok();
        let whole = u128::from(self.burst) * u128::from(ticks_per_unit);
        let depth = whole.checked_mul(millionths.into())? / 1_000_000;
        let (amount, burst) = (part(self.amount)?, part(self.burst)?);
        Some(Self { amount, burst, period_ns: self.period_ns, ticks_per_unit, ticks_per_ns, depth })
    }

    /// Nanoseconds in which an empty bucket is full again, rounded up.
    pub fn fill_ns(&self) -> u64 {
        self.nanos_up(self.depth)
    }

    /// So many percent of the rate, exactly, and of its burst, which is no less than one unit; None as for [`Rate::new`].
    pub fn scaled(&self, percent: u32) -> Option<Self> {
        let burst = super::percent_of(self.burst, percent);
        Self::new(self.amount.checked_mul(u64::from(percent))?, self.period_ns.checked_mul(100)?, burst)
    }

    /// Units per period.
    pub const fn amount(&self) -> u64 {
        self.amount
    }

    /// Most units at once.
    pub const fn burst(&self) -> u64 {
        self.burst
    }

    /// The period in nanoseconds.
    pub const fn period_ns(&self) -> u64 {
        self.period_ns
    }

    fn ticks(&self, units: u64) -> u128 {
        u128::from(units) * u128::from(self.ticks_per_unit)
    }

    fn at(&self, ns: u64) -> u128 {
        u128::from(ns) * u128::from(self.ticks_per_ns)
    }

    fn nanos_up(&self, ticks: u128) -> u64 {
        u64::try_from(ticks.div_ceil(u128::from(self.ticks_per_ns))).unwrap_or(u64::MAX)
    }
}

impl Bucket {
    /// True when the bucket is full: forgetting it changes nothing.
    pub const fn at_rest(&self, mono_ns: u64) -> bool {
        self.tat_ns < mono_ns || (self.tat_ns == mono_ns && self.tat_ticks == 0)
    }

    /// Takes `units`, all or nothing.
    ///
    /// # Errors
    /// [`Short`] when they do not fit now; the bucket is unchanged.
    pub fn take(&mut self, rate: &Rate, mono_ns: u64, units: u64) -> Result<(), Short> {
        self.book(rate, mono_ns, units, 0).map(|_| ())
    }

    /// Takes `units` now or at the first moment they fit, at most `wait_ns_max` from now, and tells how many
    /// nanoseconds that is. Whoever books later goes later: the bucket itself is the queue.
    ///
    /// # Errors
    /// [`Short`] when the wait would be longer; the bucket is unchanged.
    pub fn book(&mut self, rate: &Rate, mono_ns: u64, units: u64, wait_ns_max: u64) -> Result<u64, Short> {
        if rate.ticks(units) > rate.depth {
            return Err(Short::Never);
        }
        let after = self.tat(rate).max(rate.at(mono_ns)) + rate.ticks(units);
        let wait_ns = rate.nanos_up(after.saturating_sub(rate.at(mono_ns) + rate.depth));
        if wait_ns > wait_ns_max {
            return Err(Short::Wait(wait_ns));
        }
        self.set(rate, after);
        Ok(wait_ns)
    }

    /// Charges `units` whatever the level: the bucket may go into debt, and refuses until that is paid off.
    pub fn charge(&mut self, rate: &Rate, mono_ns: u64, units: u64) {
        let after = self.tat(rate).max(rate.at(mono_ns)) + rate.ticks(units);
        self.set(rate, after);
    }

    /// Gives `units` back. What would overfill the bucket is lost.
    pub fn refund(&mut self, rate: &Rate, units: u64) {
        let after = self.tat(rate).saturating_sub(rate.ticks(units));
        self.set(rate, after);
    }

    /// Units that could be taken now, rounded down.
    pub fn remaining(&self, rate: &Rate, mono_ns: u64) -> u64 {
        let owed = self.tat(rate).saturating_sub(rate.at(mono_ns));
        let free = rate.depth.saturating_sub(owed);
        u64::try_from(free / u128::from(rate.ticks_per_unit)).unwrap_or(u64::MAX)
    }

    /// Nanoseconds until the bucket is full again, rounded up.
    pub fn full_in_ns(&self, rate: &Rate, mono_ns: u64) -> u64 {
        rate.nanos_up(self.tat(rate).saturating_sub(rate.at(mono_ns)))
    }

    /// Nanoseconds until `units` could be taken, rounded up; 0 when they can be now.
    pub fn ready_in_ns(&self, rate: &Rate, mono_ns: u64, units: u64) -> u64 {
        let after = self.tat(rate).max(rate.at(mono_ns)) + rate.ticks(units).min(rate.depth);
        rate.nanos_up(after.saturating_sub(rate.at(mono_ns) + rate.depth))
    }

    /// A bucket that will be full after so many nanoseconds.
    pub const fn full_after(mono_ns: u64, owed_ns: u64) -> Self {
        Self { tat_ns: mono_ns.saturating_add(owed_ns), tat_ticks: 0 }
    }

    fn tat(&self, rate: &Rate) -> u128 {
        // A changed rate may leave more ticks than it has in a nanosecond: they count as just less than one.
        rate.at(self.tat_ns) + u128::from(self.tat_ticks.min(rate.ticks_per_ns - 1))
    }

    fn set(&mut self, rate: &Rate, ticks: u128) {
        let per_ns = u128::from(rate.ticks_per_ns);
        self.tat_ns = u64::try_from(ticks / per_ns).unwrap_or(u64::MAX);
        self.tat_ticks = (ticks % per_ns) as u32;
    }
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: u64 = 60_000_000_000;

    #[test]
    fn the_burst_is_exact_for_a_rate_that_does_not_divide_the_period() {
        let rate = Rate::new(7, MINUTE, 7).unwrap();
        let mut bucket = Bucket::default();
        for _ in 0..7 {
            assert_eq!(bucket.take(&rate, 5, 1), Ok(()));
        }
        assert_eq!(bucket.take(&rate, 5, 1), Err(Short::Wait(8_571_428_572)));
        assert_eq!(bucket.remaining(&rate, 5), 0);
        assert_eq!(bucket.take(&rate, 5 + 8_571_428_571, 1), Err(Short::Wait(1)));
        assert_eq!(bucket.take(&rate, 5 + 8_571_428_572, 1), Ok(()));
    }

    #[test]
    fn more_than_the_burst_never_fits() {
        let rate = Rate::new(10, MINUTE, 10).unwrap();
        assert_eq!(Bucket::default().take(&rate, 0, 11), Err(Short::Never));
    }

    #[test]
    fn a_rate_that_is_no_rate_is_refused() {
        assert_eq!(Rate::new(0, MINUTE, 1), None);
        assert_eq!(Rate::new(1, 0, 1), None);
        assert_eq!(Rate::new(1, MINUTE, 0), None);
        assert_eq!(Rate::new(u64::MAX, 1_000_000_007, 1), None);
    }

    #[test]
    fn debt_is_paid_off_before_anything_passes() {
        let rate = Rate::new(60, MINUTE, 60).unwrap();
        let mut bucket = Bucket::default();
        bucket.charge(&rate, 0, 90);
        assert_eq!(bucket.remaining(&rate, 0), 0);
        assert_eq!(bucket.take(&rate, 0, 1), Err(Short::Wait(31_000_000_000)));
        bucket.refund(&rate, 31);
        assert_eq!(bucket.take(&rate, 0, 1), Ok(()));
    }

    #[test]
    fn who_books_later_goes_later_and_nobody_waits_longer_than_allowed() {
        let rate = Rate::new(60, MINUTE, 2).unwrap();
        let mut bucket = Bucket::default();
        let waits: Vec<_> = (0..5).map(|_| bucket.book(&rate, 7, 1, 2_000_000_000)).collect();
        assert_eq!(
            waits,
            [Ok(0), Ok(0), Ok(1_000_000_000), Ok(2_000_000_000), Err(Short::Wait(3_000_000_000))]
        );
        assert_eq!(bucket.book(&rate, 8, 1, 2_000_000_000), Err(Short::Wait(2_999_999_999)));
        assert_eq!(bucket.book(&rate, 1_000_000_007, 1, 2_000_000_000), Ok(2_000_000_000));
        assert_eq!(bucket.book(&rate, 7, 3, u64::MAX), Err(Short::Never));
    }

    proptest! {
        /// What any interval of length t admits is at most burst + amount * t / period, checked without rounding.
        #[test]
        fn no_interval_admits_more_than_burst_plus_rate(
            amount in 1u64..10_000, burst in 1u64..500,
            steps in prop::collection::vec((0u64..2_000_000_000, 0u64..600), 1..80),
        ) {
            let rate = Rate::new(amount, MINUTE, burst).unwrap();
            let mut bucket = Bucket::default();
            let (mut now, mut taken) = (0u64, Vec::new());
            for (pause, units) in steps {
                now += pause;
                if bucket.take(&rate, now, units).is_ok() {
                    taken.push((now, units));
                }
            }
            for (first, (start, _)) in taken.iter().enumerate() {
                let mut sum = 0u128;
                for (at, units) in taken.iter().skip(first) {
                    sum += u128::from(*units);
                    let earned = u128::from(amount) * u128::from(at - start);
                    prop_assert!((sum - u128::from(burst).min(sum)) * u128::from(MINUTE) <= earned);
                }
            }
        }

        /// A refusal tells the exact wait: it fits then, and not a nanosecond earlier.
        #[test]
        fn the_wait_is_exact(amount in 1u64..1_000_000, burst in 1u64..1000, drain in 0u64..1000, units in 1u64..1000) {
            let rate = Rate::new(amount, MINUTE, burst).unwrap();
            let mut bucket = Bucket::default();
            bucket.charge(&rate, 1000, drain);
            match bucket.take(&rate, 1000, units) {
                Err(Short::Wait(wait)) => {
                    let mut early = bucket;
                    prop_assert!(early.take(&rate, 1000 + wait - 1, units).is_err());
                    prop_assert_eq!(bucket.ready_in_ns(&rate, 1000, units), wait);
                    prop_assert!(bucket.take(&rate, 1000 + wait, units).is_ok());
                }
                Err(Short::Never) => prop_assert!(units > burst),
                Ok(()) => prop_assert!(units + drain <= burst),
            }
        }

        /// Taking and giving back leaves no trace, whatever the rate.
        #[test]
        fn a_refund_is_exact(amount in 1u64..1_000_000_000, units in 1u64..1000, used in 1u64..1000) {
            let rate = Rate::new(amount, MINUTE, 100_000).unwrap();
            let mut bucket = Bucket::default();
            bucket.charge(&rate, 7, used);
            let before = bucket;
            bucket.charge(&rate, 7, units);
            bucket.refund(&rate, units);
            prop_assert_eq!(bucket, before);
        }
    }
}
