//! A JSON number read digit by digit into a whole amount, without floats.

/// Decimal exponents past this are all the same to a `u64`: too large, or too small to be more than "above zero".
const EXPONENT_MAX: i32 = 100_000;

/// A number on its way: `mantissa * 10^scale`, with what RFC 8259 still allows next.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    negative: bool,
    mantissa: u128,
    /// Power of ten from the places of the digits alone.
    scale: i32,
    exponent: i32,
    exponent_negative: bool,
    /// A digit other than zero did not fit the mantissa.
    inexact: bool,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Start,
    Sign,
    Zero,
    Integer,
    Point,
    Fraction,
    ExponentMark,
    ExponentSign,
    Exponent,
    Broken,
}

impl Number {
    /// Before the first character.
    pub const NONE: Self = Self {
        negative: false,
        mantissa: 0,
        scale: 0,
        exponent: 0,
        exponent_negative: false,
        inexact: false,
        phase: Phase::Start,
    };

    /// Takes the next character of the number.
    pub fn push(&mut self, byte: u8) {
        self.phase = match (self.phase, byte) {
            (Phase::Start, b'-') => {
                self.negative = true;
                Phase::Sign
            }
            (Phase::Start | Phase::Sign, b'0') => Phase::Zero,
            (Phase::Start | Phase::Sign | Phase::Integer, b'0'..=b'9') => {
                self.digit(byte, 0);
                Phase::Integer
            }
            (Phase::Zero | Phase::Integer, b'.') => Phase::Point,
            (Phase::Point | Phase::Fraction, b'0'..=b'9') => {
                self.digit(byte, 1);
                Phase::Fraction
            }
            (Phase::Zero | Phase::Integer | Phase::Fraction, b'e' | b'E') => Phase::ExponentMark,
            (Phase::ExponentMark, b'+' | b'-') => {
                self.exponent_negative = byte == b'-';
                Phase::ExponentSign
            }
            (Phase::ExponentMark | Phase::ExponentSign | Phase::Exponent, b'0'..=b'9') => {
                let digit = i32::from(byte - b'0');
                self.exponent = (self.exponent * 10 + digit).min(EXPONENT_MAX);
                Phase::Exponent
            }
            _ => Phase::Broken,
        };
    }

    fn digit(&mut self, byte: u8, places: i32) {
        let digit = u128::from(byte - b'0');
        if self.mantissa <= (u128::MAX - 9) / 10 {
            self.mantissa = self.mantissa * 10 + digit;
            self.scale = self.scale.saturating_sub(places);
        } else {
            self.inexact |= digit != 0;
            self.scale = self.scale.saturating_add(1 - places);
        }
    }

    /// True when the characters so far are a whole number as RFC 8259 writes it.
    pub const fn is_valid(&self) -> bool {
        matches!(self.phase, Phase::Zero | Phase::Integer | Phase::Fraction | Phase::Exponent)
    }

    /// The amount: fractions are rounded up, what is too large is `u64::MAX`. A negative number is none.
    pub fn amount(&self) -> Option<u64> {
        if !self.is_valid() {
            return None;
        }
        if self.mantissa == 0 {
            return Some(0);
        }
        if self.negative {
            return None;
        }
        let exponent = if self.exponent_negative { -self.exponent } else { self.exponent };
        let power = exponent.saturating_add(self.scale);
        let amount = match 10u128.checked_pow(power.unsigned_abs()) {
            Some(factor) if power >= 0 => self.mantissa.saturating_mul(factor),
            None if power >= 0 => u128::MAX,
            Some(divisor) => {
                let exact = self.mantissa.is_multiple_of(divisor) && !self.inexact;
                self.mantissa / divisor + u128::from(!exact)
            }
            None => 1,
        };
        Some(u64::try_from(amount).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Option<u64> {
        let mut number = Number::NONE;
        text.bytes().for_each(|byte| number.push(byte));
        number.amount()
    }

    #[test]
    fn whole_numbers_are_themselves() {
        for (text, expected) in [
            ("0", 0),
            ("-0", 0),
            ("64", 64),
            ("64.0", 64),
            ("1e3", 1000),
            ("1E+3", 1000),
            ("2500e-2", 25),
            ("0.5e1", 5),
            ("18446744073709551615", u64::MAX),
            ("100000000000000000000e-2", 1_000_000_000_000_000_000),
        ] {
            assert_eq!(amount(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn fractions_round_up_and_never_to_nothing() {
        for (text, expected) in
            [("0.1", 1), ("63.2", 64), ("1e-400", 1), ("64.00000000000000000000000001", 65), ("1.5e1", 15)]
        {
            assert_eq!(amount(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn too_large_saturates() {
        for text in ["18446744073709551616", "1e20", "1e999999999999", "99999999999999999999999"] {
            assert_eq!(amount(text), Some(u64::MAX), "{text}");
        }
    }

    #[test]
    fn negative_and_malformed_are_none() {
        for text in ["-1", "-0.5", "-1e400", "", "-", "01", "1.", ".5", "1e", "1e+", "1x", "+1", "1e5.0"] {
            assert_eq!(amount(text), None, "{text}");
        }
    }
}
