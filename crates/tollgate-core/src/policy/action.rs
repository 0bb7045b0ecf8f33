//! What actions cost in credits, and what a credit is worth.

use tollgate_wire::{Credits, NanoUsd};

/// What was done for a request, in every unit that an action may be priced by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Input and output tokens.
    pub tokens: u64,
    /// Words of the request and the answer.
    pub words: u64,
    /// Bytes of both bodies.
    pub bytes: u64,
    /// From the decision to the end, in milliseconds; 0 before the end.
    pub elapsed_ms: u64,
}

/// What an action is priced by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// The request itself, whatever its size.
    Request,
    /// Tokens.
    Token,
    /// Words: what stands between white space, and each ideograph or kana.
    Word,
    /// Bytes.
    Byte,
    /// Milliseconds.
    Millisecond,
}

impl Unit {
    /// True when the bodies must be read to count it.
    pub(super) const fn reads_body(self) -> bool {
        matches!(self, Self::Token | Self::Word | Self::Byte)
    }
}

/// What an action costs: so many credits per so many units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionPrice {
    /// Millionths of a credit.
    pub(super) credits_millionths: u64,
    /// Units, at least 1.
    pub(super) per: u64,
    pub(super) unit: Unit,
}

impl ActionPrice {
    /// Credits for this work in millionths, rounded up once. Saturates.
    pub fn credits(&self, work: &Work) -> u64 {
        let units = match self.unit {
            Unit::Request => 1,
            Unit::Token => work.tokens,
            Unit::Word => work.words,
            Unit::Byte => work.bytes,
            Unit::Millisecond => work.elapsed_ms,
        };
        let exact = u128::from(units) * u128::from(self.credits_millionths);
        u64::try_from(exact.div_ceil(u128::from(self.per.max(1)))).unwrap_or(u64::MAX)
    }
}

/// What one credit is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreditValue(pub(super) NanoUsd);

impl CreditValue {
    /// The credits that an amount of money is, rounded up to a millionth. Saturates.
    pub fn credits(&self, cost: NanoUsd) -> Credits {
        let exact = u128::from(cost.0) * 1_000_000;
        Credits(u64::try_from(exact.div_ceil(u128::from(self.0.0.max(1)))).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WORK: Work = Work { tokens: 250, words: 200, bytes: 1_500_000, elapsed_ms: 2_500 };

    fn price(per: u64, unit: Unit) -> ActionPrice {
        ActionPrice { credits_millionths: 5_000_000, per, unit }
    }

    #[test]
    fn each_unit_counts_its_own() {
        for (per, unit, millionths) in [
            (1, Unit::Request, 5_000_000),
            (1_000, Unit::Token, 1_250_000),
            (1_000, Unit::Word, 1_000_000),
            (1_000_000, Unit::Byte, 7_500_000),
            (1_000, Unit::Millisecond, 12_500_000),
        ] {
            assert_eq!(price(per, unit).credits(&WORK), millionths, "{unit:?}");
        }
    }

    #[test]
    fn a_fraction_of_a_millionth_is_rounded_up_once() {
        let third = ActionPrice { credits_millionths: 1, per: 3, unit: Unit::Token };
        let of = |tokens| third.credits(&Work { tokens, ..Work::default() });
        assert_eq!([of(0), of(1), of(3), of(4)], [0, 1, 1, 2]);
        // A credit worth a cent: one nano-dollar is 0.0000001 credits.
        let cent = CreditValue(NanoUsd(10_000_000));
        assert_eq!([cent.credits(NanoUsd(0)), cent.credits(NanoUsd(1))], [Credits(0), Credits(1)]);
        assert_eq!(cent.credits(NanoUsd(NanoUsd::DOLLAR.0)), Credits(100_000_000));
    }

    proptest! {
        #[test]
        fn more_work_never_costs_less_and_nothing_overflows(
            a: u64, b: u64, credits_millionths: u64, per in 1u64.., value: u64,
        ) {
            let price = ActionPrice { credits_millionths, per, unit: Unit::Byte };
            let of = |bytes| price.credits(&Work { bytes, ..Work::default() });
            prop_assert!(of(a.min(b)) <= of(a.max(b)));
            // Two requests never cost less than one of both, and at most one millionth more.
            let (apart, together) = (of(a).saturating_add(of(b)), of(a.saturating_add(b)));
            prop_assert!(together <= apart);
            let value = CreditValue(NanoUsd(value));
            prop_assert!(value.credits(NanoUsd(a.min(b))) <= value.credits(NanoUsd(a.max(b))));
        }
    }
}
