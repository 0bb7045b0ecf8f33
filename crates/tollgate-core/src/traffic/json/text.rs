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

/// Text that was passed over.
pub struct Passed {
    /// Bytes of JSON.
    pub bytes: usize,
    /// Bytes of the text that they are.
    pub means: u64,
}

/// Passes over at most so many bytes of a string: plain ones and whole escapes, up to anything else.
pub fn pass_over(bytes: &[u8], most: usize) -> Passed {
    let bytes = bytes.get(..most).unwrap_or(bytes);
    let (mut rest, mut means) = (bytes, 0);
    loop {
        let plain = plain_run(rest);
        means += plain as u64;
        rest = rest.get(plain..).unwrap_or_default();
        rest = match rest {
            [b'\\', b'u', a, b, c, d, after @ ..]
                if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) =>
            {
                means += utf8_bytes(*a, *b, *c);
                after
            }
            [b'\\', letter, after @ ..] if unescape(*letter).is_some() => {
                means += 1;
                after
            }
            _ => return Passed { bytes: bytes.len() - rest.len(), means },
        };
    }
}

/// How long the character is whose escape has these digits first; each half of a pair is half of four bytes.
const fn utf8_bytes(first: u8, second: u8, third: u8) -> u64 {
    match (first, second) {
        (b'0', b'0') if third < b'8' => 1,
        (b'0', b'0'..=b'7') | (b'd' | b'D', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F') => 2,
        _ => 3,
    }
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

    /// The second half of a pair may come.
    pub const fn has_half(&self) -> bool {
        self.high.is_some()
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
    fn what_is_passed_over_means_what_it_would_have_been_read_as() {
        let text = "plain \\n\\\"\\/ \\u0041\\u00e9\\u20AC\\ud83d\\uDE00 é😀";
        let means: String = serde_json::from_str(&format!("\"{text}\"")).unwrap();
        let passed = pass_over(format!("{text}\" rest").as_bytes(), usize::MAX);
        assert_eq!((passed.bytes, passed.means), (text.len(), means.len() as u64));
        for (text, bytes) in
            [("ab\\", 2), ("ab\\u12", 2), ("ab\\u12g4", 2), ("ab\\x", 2), ("ab\tc", 2), ("", 0)]
        {
            assert_eq!(pass_over(text.as_bytes(), usize::MAX).bytes, bytes, "{text}");
        }
        assert_eq!(pass_over(b"abcdefghijkl", 10).bytes, 10);
        assert_eq!(pass_over(b"abcdefghi\\n", 10).bytes, 9);
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
