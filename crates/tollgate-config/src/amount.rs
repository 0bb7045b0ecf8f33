//! A number in a configuration, exact: YAML and protobuf give floats, a person writes decimals.

use core::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A non-negative decimal with at most nine decimals, held in billionths: 0 to about 18.4 billion.
///
/// A number with a fraction (0.25) is read to the nearest billionth; a string ("0.25") exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount {
    billionths: u64,
}

const ONE: u64 = 1_000_000_000;

impl Amount {
    /// The number in units of 10^-`decimals`; None when it is not whole in that unit.
    pub fn scaled(self, decimals: u32) -> Option<u64> {
        let divisor = ONE.checked_div(10u64.checked_pow(decimals)?)?;
        (divisor > 0 && self.billionths.is_multiple_of(divisor)).then(|| self.billionths / divisor)
    }

    fn from_float(value: f64) -> Option<Self> {
        let billionths = (value * ONE as f64).round();
        (value.is_finite() && value >= 0.0 && billionths <= (1u64 << 63) as f64)
            .then_some(Self { billionths: billionths as u64 })
    }

    fn from_whole(value: u64) -> Option<Self> {
        value.checked_mul(ONE).map(|billionths| Self { billionths })
    }

    fn from_text(text: &str) -> Option<Self> {
        let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || fraction.len() > 9 || !digits(whole) || !digits(fraction) {
            return None;
        }
        let fraction: u64 = format!("{fraction:0<9}").parse().ok()?;
        let whole: u64 = whole.parse().ok()?;
        let billionths = whole.checked_mul(ONE)?.checked_add(fraction)?;
        Some(Self { billionths })
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reading;

        impl Visitor<'_> for Reading {
            type Value = Amount;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a number of at least 0 with at most 9 decimals")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Amount, E> {
                Amount::from_whole(value).ok_or_else(|| E::custom("the number is too large"))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Amount, E> {
                u64::try_from(value)
                    .map_err(|_| E::custom("the number must not be negative"))
                    .and_then(|value| self.visit_u64(value))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Amount, E> {
                Amount::from_float(value)
                    .ok_or_else(|| E::custom("the number must be at least 0 and not too large"))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Amount, E> {
                Amount::from_text(value).ok_or_else(|| E::invalid_value(de::Unexpected::Str(value), &self))
            }
        }

        from.deserialize_any(Reading)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Amount {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A number of at least 0 with at most 9 decimals; as a string it is read exactly.",
            "oneOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]{1,9})?$"}
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Amount, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn decimals_are_exact_however_they_are_written() {
        for text in ["0.25", "\"0.25\"", "\"0.250000000\""] {
            assert_eq!(read(text).unwrap().scaled(9), Some(250_000_000), "{text}");
        }
        assert_eq!(read("40000").unwrap().scaled(0), Some(40_000));
        assert_eq!(read("40000.0").unwrap().scaled(0), Some(40_000));
        assert_eq!(read("0.1").unwrap().scaled(6), Some(100_000));
    }

    #[test]
    fn what_is_not_whole_in_a_unit_is_not_rounded() {
        assert_eq!(read("2.5").unwrap().scaled(0), None);
        assert_eq!(read("\"0.000000001\"").unwrap().scaled(6), None);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "-1",
            "-0.5",
            "\"\"",
            "\".5\"",
            "\"1e3\"",
            "\"0.0000000001\"",
            "1e300",
            "\"99999999999999\"",
            "null",
            "[]",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
