//! A reading somebody reports: a model server's memory.

/// A reading older than this says nothing any more. A server whose requests are all refused for its memory reports
/// none, and would be refused for ever.
pub const READING_S_MAX: u32 = 30;

/// A reading is forgotten, and its peak with it, this long after the last report.
const REMEMBERED_S: u32 = 3600;

/// The last reading and the highest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauge {
    /// Last reading, in megabytes.
    pub used: u64,
    /// Highest reading, in megabytes, since the first or since an hour without any.
    pub peak: u64,
    /// Monotonic second of the last; 0: there was none.
    pub read_s: u32,
}

impl Gauge {
    /// Enters a reading.
    pub fn report(&mut self, used: u64, mono_s: u32) {
        *self = Self { used, peak: self.peak.max(used), read_s: mono_s.max(1) };
    }

    /// The reading, while it is fresh; 0 afterwards.
    pub const fn reading(&self, mono_s: u32) -> u64 {
        if self.read_s == 0 || mono_s.saturating_sub(self.read_s) > READING_S_MAX { 0 } else { self.used }
    }

    /// True when there was no reading in so many seconds.
    pub const fn is_older(&self, mono_s: u32, age_s: u32) -> bool {
        self.read_s == 0 || mono_s.saturating_sub(self.read_s) >= age_s
    }

    /// True when it says nothing any more.
    pub const fn at_rest(&self, mono_s: u32) -> bool {
        self.read_s == 0 || mono_s.saturating_sub(self.read_s) > REMEMBERED_S
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_grows_stale_and_its_peak_stays_a_while() {
        let mut gauge = Gauge::default();
        gauge.report(900, 100);
        gauge.report(700, 110);
        assert_eq!((gauge.reading(140), gauge.reading(141), gauge.peak), (700, 0, 900));
        assert!(!gauge.at_rest(110 + REMEMBERED_S) && gauge.at_rest(111 + REMEMBERED_S));
    }
}
