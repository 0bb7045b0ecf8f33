//! The units everything is counted in: integers with a name, saturating arithmetic.

use core::ops::{Add, AddAssign, Sub, SubAssign};

use serde::{Deserialize, Serialize};

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// Nothing of it.
            pub const ZERO: Self = Self(0);

            /// True when there is none.
            pub const fn is_zero(&self) -> bool {
                self.0 == 0
            }
        }

        impl Add for $name {
            type Output = Self;
            /// Saturates at the largest value.
            fn add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }

        impl Sub for $name {
            type Output = Self;
            /// Saturates at zero.
            fn sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }

        impl SubAssign for $name {
            fn sub_assign(&mut self, other: Self) {
                *self = *self - other;
            }
        }

        impl core::iter::Sum for $name {
            fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
                all.fold(Self::ZERO, Add::add)
            }
        }
    };
}

unit! {
    /// LLM tokens.
    TokenCount
}

unit! {
    /// Money: 10^-9 US dollars. The range is 0 to about 18.4 billion dollars.
    NanoUsd
}

unit! {
    /// Tollgate's own cost unit, held in millionths of a credit.
    Credits
}

unit! {
    /// Wall-clock time: nanoseconds since 1970-01-01T00:00:00Z, good until the year 2554.
    UnixNanos
}

impl NanoUsd {
    /// One US dollar.
    pub const DOLLAR: Self = Self(1_000_000_000);
}

impl core::fmt::Display for NanoUsd {
    /// Dollars with nine decimals, exact: `0.000012345`.
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(out, "{}.{:09}", self.0 / Self::DOLLAR.0, self.0 % Self::DOLLAR.0)
    }
}

impl UnixNanos {
    /// Whole milliseconds since the epoch, rounded down.
    pub const fn millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> u64 {
        self.0 / 1_000_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(TokenCount(3) - TokenCount(5), TokenCount::ZERO);
        assert_eq!(NanoUsd(u64::MAX) + NanoUsd(1), NanoUsd(u64::MAX));
    }

    #[test]
    fn money_prints_exactly() {
        assert_eq!(NanoUsd(12_345).to_string(), "0.000012345");
        assert_eq!(NanoUsd(5_250_000_000).to_string(), "5.250000000");
    }
}
