//! Inside a JSON string: the run of bytes that mean themselves, and the escapes that don't.

const EVERY_BYTE: u64 = u64::MAX / 255;
const HIGH_BITS: u64 = EVERY_BYTE * 0x80;
/// Bytes below a space must be escaped in a JSON string.
const FIRST_PRINTABLE: u8 = b' ';

/// The number of leading bytes that are neither a quote nor a backslash nor a control character.
///
/// Eight bytes at a time: prompts are long, and nearly all of their bytes end nothing.
pub fn plain_run(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut run = 0;
    for word in words {
        let ends = ends_in(u64::from_le_bytes(*word));
        if ends != 0 {
            return run + (ends.trailing_zeros() / 8) as usize;
        }
        run += 8;
    }
    run + tail.iter().position(|byte| ends_text(*byte)).unwrap_or(tail.len())
}

const fn ends_text(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < FIRST_PRINTABLE
}

/// Marks the first byte of the word that ends text, in that byte's high bit. Bits above the first may be wrong: a
/// borrow spreads upwards only.
const fn ends_in(word: u64) -> u64 {
    let quote = word ^ (EVERY_BYTE * b'"' as u64);
    let backslash = word ^ (EVERY_BYTE * b'\\' as u64);
    let is_quote = quote.wrapping_sub(EVERY_BYTE) & !quote;
    let is_backslash = backslash.wrapping_sub(EVERY_BYTE) & !backslash;
    let is_control = word.wrapping_sub(EVERY_BYTE * FIRST_PRINTABLE as u64) & !word;
    (is_quote | is_backslash | is_control) & HIGH_BITS
}

/// What a one-letter escape stands for; `u` is not one of them.
pub const fn unescape(byte: u8) -> Option<u8> {
    Some(match byte {
        b'"' | b'\\' | b'/' => byte,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return None,
    })
}

/// Puts UTF-16 code units from `\u` escapes together to characters.
#[derive(Clone, Copy, Debug)]
pub struct Units {
    /// Digits of the escape being read, and how many.
    unit: u32,
    digits: u8,
    /// The first half of a pair whose second half has not come yet.
    high: Option<u32>,
}

impl Units {
    /// Between escapes.
    pub const NONE: Self = Self { unit: 0, digits: 0, high: None };

    /// Starts over at a string's first byte or after an escape that went wrong.
    pub fn reset(&mut self) {
        *self = Self::NONE;
    }

    /// Takes one hexadecimal digit. `Ok(true)` after the fourth: then ask [`Units::complete`].
    pub fn push(&mut self, byte: u8) -> Result<bool, NotHex> {
        let digit = char::from(byte).to_digit(16).ok_or(NotHex)?;
        self.unit = self.unit * 16 + digit;
        self.digits += 1;
        Ok(self.digits == 4)
    }

    /// The characters that the unit completes: none while a pair is half, two when the half before it stays alone.
    pub fn complete(&mut self) -> (Option<char>, Option<char>) {
        let unit = core::mem::take(&mut self.unit);
        self.digits = 0;
        match (self.high.take(), unit) {
            (None, 0xD800..=0xDBFF) => {
                self.high = Some(unit);
                (None, None)
            }
            (Some(_), 0xD800..=0xDBFF) => {
                self.high = Some(unit);
                (Some(char::REPLACEMENT_CHARACTER), None)
            }
            (Some(high), 0xDC00..=0xDFFF) => {
                (char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + (unit - 0xDC00)), None)
            }
            (alone, unit) => {
                let scalar = char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
                (alone.map(|_| char::REPLACEMENT_CHARACTER), Some(scalar))
            }
        }
    }

    /// The replacement for a half pair when something else than its second half follows.
    pub fn abandon(&mut self) -> Option<char> {
        self.high.take().map(|_| char::REPLACEMENT_CHARACTER)
    }
}

/// A byte that is no hexadecimal digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotHex;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_run_ends_where_a_plain_loop_ends(bytes: Vec<u8>, from in 0usize..16) {
            let bytes = bytes.get(from..).unwrap_or_default();
            let expected = bytes.iter().take_while(|byte| !ends_text(**byte)).count();
            prop_assert_eq!(plain_run(bytes), expected);
        }

        #[test]
        fn one_end_in_plain_text_is_found_at_any_place(length in 0usize..64, end in prop::sample::select(vec![b'"', b'\\', 0, 31])) {
            let mut bytes = vec![0xFF; length];
            bytes.push(end);
            bytes.extend([b' ', b'!', b'#', 0x80]);
            prop_assert_eq!(plain_run(&bytes), length);
        }
    }

    #[test]
    fn halves_of_pairs_meet_or_are_replaced() {
        let read = |text: &str| {
            let mut units = Units::NONE;
            let mut out = String::new();
            for byte in text.bytes() {
                if units.push(byte) == Ok(true) {
                    let (first, second) = units.complete();
                    out.extend(first);
                    out.extend(second);
                }
            }
            out.extend(units.abandon());
            out
        };
        assert_eq!(read("00e9"), "é");
        assert_eq!(read("D83Dde00"), "😀");
        assert_eq!(read("D83D"), "\u{FFFD}");
        assert_eq!(read("de00"), "\u{FFFD}");
        assert_eq!(read("D83D0041"), "\u{FFFD}A");
        assert_eq!(read("D83DD83Dde00"), "\u{FFFD}😀");
    }
}
