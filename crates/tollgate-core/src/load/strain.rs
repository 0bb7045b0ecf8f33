//! Whether limits are tightened: at once when the models are strained, and relaxed only when they have been calm for a
//! while. All workers share one state, so that a limit is the same in each.
//!
//! The road not taken is a factor that follows the load: limits that move all the time can't be told to anybody.

use super::Policy;

/// Whether the models are strained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strain {
    /// Limits are as configured.
    #[default]
    Relaxed,
    /// Limits are tightened, and the load is not low enough to relax them.
    Strained,
    /// Limits are tightened; the load has been low since this moment of the monotonic clock, in nanoseconds.
    CalmSince(u64),
}

impl Strain {
    /// True when limits are tightened.
    pub const fn tightens(self) -> bool {
        !matches!(self, Self::Relaxed)
    }

    /// What becomes of it under this load, in thousandths.
    pub fn next(self, policy: &Policy, load: u32, now_ns: u64) -> Self {
        let Some(tighten) = &policy.tighten else { return Self::Relaxed };
        match self {
            Self::Relaxed if load <= tighten.above => Self::Relaxed,
            Self::Relaxed => Self::Strained,
            _ if load >= tighten.below => Self::Strained,
            Self::Strained => Self::CalmSince(now_ns),
            Self::CalmSince(since_ns) if now_ns.saturating_sub(since_ns) >= tighten.relax_after_ns => {
                Self::Relaxed
            }
            calm @ Self::CalmSince(_) => calm,
        }
    }

    /// As one number: 0, 1, or the moment.
    pub(super) const fn encode(self) -> u64 {
        match self {
            Self::Relaxed => 0,
            Self::Strained => 1,
            Self::CalmSince(since_ns) => {
                if since_ns > 1 {
                    since_ns
                } else {
                    2
                }
            }
        }
    }

    pub(super) const fn decode(number: u64) -> Self {
        match number {
            0 => Self::Relaxed,
            1 => Self::Strained,
            since_ns => Self::CalmSince(since_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::policy;
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn it_tightens_at_once_and_relaxes_after_a_time_of_calm() {
        let policy = policy();
        let mut strain = Strain::default();
        for (second, load, tightens) in [
            (1, 900, false),
            (2, 901, true),
            (3, 600, true),
            (4, 599, true),
            (8, 599, true),
            (9, 599, false),
            (10, 900, false),
        ] {
            strain = strain.next(&policy, load, second * SECOND);
            assert_eq!(strain.tightens(), tightens, "second {second}");
        }
    }

    #[test]
    fn a_load_that_flaps_keeps_limits_tight_and_does_not_flap_them() {
        let policy = policy();
        let mut strain = Strain::default();
        let mut changes = 0;
        for tenth in 0..600 {
            let load = if tenth % 20 < 10 { 950 } else { 100 };
            let next = strain.next(&policy, load, tenth * SECOND / 10);
            changes += u32::from(next.tightens() != strain.tightens());
            strain = next;
        }
        assert_eq!((changes, strain.tightens()), (1, true));
    }

    #[test]
    fn without_anything_to_tighten_it_stays_relaxed() {
        let policy = Policy { tighten: None, ..policy() };
        assert_eq!(Strain::Strained.next(&policy, 2000, 1), Strain::Relaxed);
    }

    proptest! {
        #[test]
        fn limits_relax_no_sooner_than_the_time_after_the_last_load(
            loads in proptest::collection::vec((0u64..3 * SECOND, 0u32..1200), 1..200)
        ) {
            let policy = policy();
            let (mut strain, mut now, mut loaded) = (Strain::default(), 10u64, 0u64);
            for (pause, load) in loads {
                now += pause;
                let next = strain.next(&policy, load, now);
                loaded = if load >= 600 { now } else { loaded };
                if strain.tightens() && !next.tightens() {
                    prop_assert!(load < 600 && now - loaded >= 5 * SECOND);
                }
                prop_assert!(load <= 900 || next.tightens());
                prop_assert_eq!(Strain::decode(next.encode()), next);
                strain = next;
            }
        }
    }
}
