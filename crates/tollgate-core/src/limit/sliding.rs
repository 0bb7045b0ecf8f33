//! Sliding window: at most so many units in *any* interval of a given length, from two counters.
//!
//! The usual two-counter window weighs the previous counter by the part of it that still overlaps, as if its units had
//! come evenly. Where they came late it admits nearly twice the limit; here nothing may. So each counter carries its
//! *edge*, an upper bound of how late its units came: the units that came after the part `p` of its window are fewer
//! than `edge - amount * p`. Units that came evenly or all at once expire as they do in a log of requests; others a little
//! later than they could, never earlier. The road not taken is that log: its size is up to the client.

/// A sliding window's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    amount: u64,
    period_s: u32,
}

/// What one aligned window has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Units taken.
    pub units: u64,
    /// Most of `amount * p + units taken at p or later`, over all p at which any were taken.
    pub edge: u64,
    /// When the last were taken, in 2^-24 of the window, rounded up.
    pub last: u32,
}

/// A sliding window's state. The default is an empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sliding {
    /// Length of the window in seconds; 0: nothing was ever taken.
    pub period_s: u32,
    /// Which aligned window [`Sliding::now`] is about, counted from the start of the monotonic clock.
    pub index: u32,
    /// This aligned window.
    pub now: Part,
    /// The one before.
    pub before: Part,
    /// The amount of the limit that the edges are of; 0: of whatever the limit is.
    pub amount: u64,
}

const PHASES: u64 = 1 << 24;
const NANOS: u64 = crate::time::NANOS_PER_SECOND;

impl Span {
    /// `amount` units in any `period_s` seconds; None when a number is zero.
    pub const fn new(amount: u64, period_s: u32) -> Option<Self> {
        if amount == 0 || period_s == 0 {
            return None;
        }
        Some(Self { amount, period_s })
    }

    /// So many percent of it, and no less than one unit.
    pub fn scaled(self, percent: u32) -> Self {
        Self { amount: super::percent_of(self.amount, percent), ..self }
    }

    /// Most units in the window.
    pub const fn amount(&self) -> u64 {
        self.amount
    }

    /// Length of the window in seconds.
    pub const fn period_s(&self) -> u32 {
        self.period_s
    }

    const fn period_ns(&self) -> u64 {
        self.period_s as u64 * NANOS
    }
}

/// `a * b / c`, rounded down; c is not zero.
fn scale(a: u64, b: u64, c: u64) -> u64 {
    u64::try_from(u128::from(a) * u128::from(b) / u128::from(c)).unwrap_or(u64::MAX)
}

/// `a * b / c`, rounded up; c is not zero.
fn scale_up(a: u64, b: u64, c: u64) -> u64 {
    u64::try_from((u128::from(a) * u128::from(b)).div_ceil(u128::from(c))).unwrap_or(u64::MAX)
}

impl Part {
    fn take(&mut self, span: &Span, offset_ns: u64, units: u64) {
        if units == 0 {
            return;
        }
        let here = scale_up(span.amount, offset_ns, span.period_ns());
        self.units = self.units.saturating_add(units);
        self.edge = self.edge.max(here).saturating_add(units);
        self.last = self.last.max(scale_up(offset_ns, PHASES, span.period_ns()) as u32);
    }

    /// Its edge under another amount. What came at `p` or later is no more than `units`, and less than `edge - from * p`:
    /// the new edge is the most of `to * p` and that, which is where both are equal, or at the last.
    fn convert(&mut self, from: u64, to: u64) {
        if self.units == 0 {
            return;
        }
        let last = u64::from(self.last);
        let equal = scale_up(self.edge.saturating_sub(self.units), PHASES, from.max(1)).min(last);
        let late = self.units.min(self.edge.saturating_sub(scale(from, last, PHASES)));
        let at_equal = scale_up(to, equal, PHASES).saturating_add(self.units);
        let at_last = scale_up(to, last, PHASES).saturating_add(late);
        self.edge = at_equal.max(at_last);
    }

    fn give_back(&mut self, units: u64) {
        self.units = self.units.saturating_sub(units);
        if self.units == 0 {
            *self = Self::default();
        }
    }

    /// Units that still count, a window's length and `offset_ns` after this part began.
    fn left(&self, span: &Span, offset_ns: u64) -> u64 {
        if scale(offset_ns, PHASES, span.period_ns()) >= u64::from(self.last) {
            return 0;
        }
        let gone = scale(span.amount, offset_ns, span.period_ns());
        self.units.min(self.edge.saturating_sub(gone.saturating_add(1)))
    }

    /// The first offset at which no more than `units` of it are [`Part::left`]; the window's length at the latest.
    fn offset_with(&self, span: &Span, units: u64) -> u64 {
        if self.units <= units {
            return 0;
        }
        let gone = self.edge.saturating_sub(units.saturating_add(1));
        let by_edge = scale_up(gone, span.period_ns(), span.amount);
        by_edge.min(self.last_ns(span)).min(span.period_ns())
    }

    fn last_ns(&self, span: &Span) -> u64 {
        scale_up(u64::from(self.last), span.period_ns(), PHASES)
    }
}

impl Sliding {
    /// True when nothing it has seen counts any more.
    pub const fn at_rest(&self, mono_ns: u64) -> bool {
        let ends = (self.index as u64 + 2).saturating_mul(self.period_s as u64).saturating_mul(NANOS);
        (self.now.units == 0 && self.before.units == 0) || ends <= mono_ns
    }

    /// Brings it to the present and returns how far into its aligned window that is, in nanoseconds.
    ///
    /// A worker whose clock reading is a moment older than the state counts as being at the window's start. Where the
    /// amount is another, what was taken stays taken and expires as that amount has it; where the length is, all that
    /// counted before counts as taken now.
    pub fn advance(&mut self, span: &Span, mono_ns: u64) -> u64 {
        let index = (mono_ns / span.period_ns()) as u32;
        let offset_ns = mono_ns % span.period_ns();
        if self.amount != span.amount {
            if self.amount != 0 {
                self.now.convert(self.amount, span.amount);
                self.before.convert(self.amount, span.amount);
            }
            self.amount = span.amount;
        }
        if self.period_s != span.period_s {
            let units =
                if self.at_rest(mono_ns) { 0 } else { self.now.units.saturating_add(self.before.units) };
            *self = Self { period_s: span.period_s, index, amount: span.amount, ..Self::default() };
            self.now.take(span, offset_ns, units);
        }
        match index.checked_sub(self.index) {
            None => return 0,
            Some(0) => {}
            Some(passed) => {
                let before = if passed == 1 { self.now } else { Part::default() };
                *self = Self { index, now: Part::default(), before, ..*self };
            }
        }
        offset_ns
    }

    /// Takes `units`, all or nothing, where `beside` are held that count as long as they are. [`Sliding::advance`] first.
    ///
    /// # Errors
    /// Nanoseconds until they fit, provided nobody else takes any; None when they never do beside those. Nothing is
    /// taken.
    pub fn take(&mut self, span: &Span, offset_ns: u64, units: u64, beside: u64) -> Result<(), Option<u64>> {
        let room = span.amount.checked_sub(units).and_then(|room| room.checked_sub(beside));
        let Some(room) = room else { return Err(None) };
        if self.now.units.saturating_add(self.before.left(span, offset_ns)) <= room {
            self.charge(span, offset_ns, units);
            return Ok(());
        }
        let fits_at = match room.checked_sub(self.now.units) {
            Some(others) => self.before.offset_with(span, others),
            None => span.period_ns() + self.now.offset_with(span, room),
        };
        Err(Some(fits_at.saturating_sub(offset_ns)))
    }

    /// Takes `units` whether they fit or not.
    pub fn charge(&mut self, span: &Span, offset_ns: u64, units: u64) {
        self.now.take(span, offset_ns, units);
    }

    /// Gives back units that were taken in the aligned window `index`; what has expired since is not given back.
    pub fn refund(&mut self, index: u32, units: u64) {
        if index == self.index {
            self.now.give_back(units);
        } else if index.checked_add(1) == Some(self.index) {
            self.before.give_back(units);
        }
    }

    /// Units that could be taken now.
    pub fn remaining(&self, span: &Span, offset_ns: u64) -> u64 {
        let counts = self.now.units.saturating_add(self.before.left(span, offset_ns));
        span.amount.saturating_sub(counts)
    }

    /// Nanoseconds until nothing that was taken counts any more.
    pub fn empty_in_ns(&self, span: &Span, offset_ns: u64) -> u64 {
        let at = if self.now.units > 0 {
            span.period_ns() + self.now.last_ns(span)
        } else if self.before.left(span, offset_ns) > 0 {
            self.before.last_ns(span)
        } else {
            0
        };
        at.saturating_sub(offset_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn take(state: &mut Sliding, span: &Span, mono_ns: u64, units: u64) -> Result<(), Option<u64>> {
        let offset_ns = state.advance(span, mono_ns);
        state.take(span, offset_ns, units, 0)
    }

    #[test]
    fn the_limit_is_exact_wherever_the_window_begins_and_is_whole_again_after_its_length() {
        let span = Span::new(5, 60).unwrap();
        for start in [0, 1, 30, 45, 59] {
            let at = (600 + start) * NANOS;
            let mut state = Sliding::default();
            for _ in 0..5 {
                assert_eq!(take(&mut state, &span, at, 1), Ok(()));
            }
            let Err(Some(wait)) = take(&mut state, &span, at, 1) else { panic!("a sixth at {start}") };
            // The time of the last is kept in 2^-24 of the window: 4 us of a minute.
            assert!((60 * NANOS..60 * NANOS + 4000).contains(&wait), "{start}: {wait}");
            assert!(take(&mut state, &span, at + 60 * NANOS - 1, 1).is_err());
            for _ in 0..5 {
                assert_eq!(take(&mut state, &span, at + wait, 1), Ok(()), "{start}");
            }
        }
    }

    #[test]
    fn a_burst_at_the_end_of_an_aligned_window_still_counts_in_the_next() {
        let span = Span::new(100, 60).unwrap();
        let mut state = Sliding::default();
        assert_eq!(take(&mut state, &span, 119 * NANOS, 100), Ok(()));
        for seconds in 120..179 {
            assert!(take(&mut state, &span, seconds * NANOS, 1).is_err(), "{seconds}");
        }
        assert_eq!(take(&mut state, &span, 179 * NANOS + 4000, 100), Ok(()));
    }

    #[test]
    fn an_even_stream_at_the_limit_is_never_refused() {
        let span = Span::new(60, 60).unwrap();
        let mut state = Sliding::default();
        for second in 0..600 {
            assert_eq!(take(&mut state, &span, second * NANOS, 1), Ok(()), "{second}");
        }
    }

    #[test]
    fn what_is_given_back_leaves_no_trace_and_what_expired_is_not_given_back() {
        let span = Span::new(10, 60).unwrap();
        let mut state = Sliding::default();
        take(&mut state, &span, 100 * NANOS, 10).unwrap();
        let taken_in = state.index;
        state.refund(taken_in, 10);
        assert_eq!(state.remaining(&span, 0), 10);
        take(&mut state, &span, 110 * NANOS, 10).unwrap();
        state.advance(&span, 130 * NANOS);
        state.refund(taken_in, 4);
        assert_eq!(take(&mut state, &span, 130 * NANOS, 4), Ok(()));
        state.advance(&span, 400 * NANOS);
        state.refund(taken_in, 6);
        assert_eq!(state.remaining(&span, 0), 10);
        assert_eq!(take(&mut state, &span, 400 * NANOS, 11), Err(None));
    }

    #[test]
    fn another_length_of_the_window_keeps_what_was_taken() {
        let (minute, hour) = (Span::new(10, 60).unwrap(), Span::new(10, 3600).unwrap());
        let mut state = Sliding::default();
        take(&mut state, &minute, 7000 * NANOS, 7).unwrap();
        assert!(take(&mut state, &hour, 7001 * NANOS, 4).is_err());
        assert_eq!(take(&mut state, &hour, 7001 * NANOS, 3), Ok(()));
        assert!(take(&mut state, &minute, 7002 * NANOS, 1).is_err());
        assert_eq!(take(&mut state, &minute, 7063 * NANOS, 10), Ok(()));
    }

    #[test]
    fn at_rest_means_that_forgetting_it_changes_nothing() {
        let span = Span::new(10, 60).unwrap();
        let mut state = Sliding::default();
        assert!(state.at_rest(0));
        take(&mut state, &span, 60 * NANOS, 1).unwrap();
        assert!(!state.at_rest(180 * NANOS - 1) && state.at_rest(180 * NANOS));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        /// No interval of the window's length ever sees more than the limit, whatever comes when, and whatever is given
        /// back or taken late. The wait that is told is enough, and a nanosecond less is not.
        #[test]
        fn no_interval_of_the_windows_length_sees_more_than_the_limit(
            amount in 1u64..200,
            moves in prop::collection::vec((0u64..40_000_000_000, 1u64..120, 0u8..8), 1..120),
        ) {
            let span = Span::new(amount, 60).unwrap();
            let mut state = Sliding::default();
            let mut now = 0u64;
            let mut taken: Vec<(u64, u32, u64)> = Vec::new();
            for (pause, units, what) in moves {
                now += pause >> (what * 3);
                let offset_ns = state.advance(&span, now);
                match state.take(&span, offset_ns, units, 0) {
                    Ok(()) => taken.push((now, state.index, units)),
                    Err(None) => prop_assert!(units > amount),
                    Err(Some(wait)) => {
                        let mut later = state;
                        prop_assert!(take(&mut later, &span, now + wait, units).is_ok());
                        let mut early = state;
                        prop_assert!(take(&mut early, &span, now + wait - 1, units).is_err());
                    }
                }
                if what == 0 && let Some((_, index, units)) = taken.last_mut() {
                    let part = *units / 2;
                    state.refund(*index, part);
                    *units -= part;
                }
                let sum: u64 = taken.iter().filter(|(at, ..)| at + 60 * NANOS > now).map(|(.., units)| units).sum();
                prop_assert!(sum <= amount, "{sum} of {amount}");
            }
        }
    }

    /// Takes one unit at a time as long as any fits, under the limit as it is at each moment.
    fn flood(whole: &Span, tight: &Span, moments: impl Iterator<Item = (u64, bool)>) -> Vec<(u64, bool)> {
        let mut state = Sliding::default();
        let mut taken = Vec::new();
        for (at_ns, is_tight) in moments {
            let span = if is_tight { tight } else { whole };
            if take(&mut state, span, at_ns, 1).is_ok() {
                taken.push((at_ns, is_tight));
            }
        }
        taken
    }

    /// Most units in any interval of the length that ends within these.
    fn most(taken: &[u64], period_ns: u64) -> usize {
        let ends = taken.iter().enumerate();
        ends.map(|(at, end)| taken[..=at].iter().filter(|begin| **begin + period_ns > *end).count())
            .max()
            .unwrap_or(0)
    }

    #[test]
    fn a_tightened_window_gives_nearly_all_of_its_part() {
        let whole = Span::new(200, 60).unwrap();
        let tight = whole.scaled(50);
        // One and a half times what there is, evenly; tightened for ten windows, after two whole ones.
        let moments = (0..3600u64).map(|at| (at * 200_000_000, at > 600));
        let taken = flood(&whole, &tight, moments);
        let steady = taken.iter().filter(|(at_ns, _)| *at_ns > 240 * NANOS).count();
        let ideal = (720 - 240) * 100 / 60;
        assert!(steady * 100 >= ideal * 98, "{steady} of {ideal}");
    }

    proptest! {
        /// However often the amount changes: no interval has more than the larger amount, and none that lies within a time of one
        /// amount has more than that.
        #[test]
        fn no_change_of_the_amount_exceeds_what_holds(
            amount in 2u64..60, percent in 1u32..300,
            stretches in prop::collection::vec((1u64..200, any::<bool>(), 50u64..2000), 1..12),
        ) {
            let whole = Span::new(amount, 10).unwrap();
            let other = whole.scaled(percent);
            let period_ns = 10 * NANOS;
            let mut moments = Vec::new();
            let mut stretched: Vec<(u64, u64, bool)> = Vec::new();
            let mut at_ns = 0;
            for (count, is_other, step_ms) in stretches {
                let from = at_ns;
                for _ in 0..count {
                    moments.push((at_ns, is_other));
                    at_ns += step_ms * 1_000_000;
                }
                match stretched.last_mut() {
                    Some((_, end, before)) if is_other == *before => *end = at_ns,
                    _ => stretched.push((from, at_ns, is_other)),
                }
            }
            let taken = flood(&whole, &other, moments.into_iter());
            let all: Vec<u64> = taken.iter().map(|(at_ns, _)| *at_ns).collect();
            prop_assert!(most(&all, period_ns) as u64 <= amount.max(other.amount()));
            for (from, to, is_other) in stretched {
                let within: Vec<u64> =
                    all.iter().copied().filter(|at_ns| (from..to).contains(at_ns)).collect();
                let span = if is_other { &other } else { &whole };
                prop_assert!(most(&within, period_ns) as u64 <= span.amount(), "{from}..{to}");
            }
        }
    }
}
