//! Characters outside ASCII, by their scripts.

use super::Estimator;
use super::runs::Run;
use super::weights::O200K;

/// A UTF-8 character of which some bytes are still to come.
#[derive(Clone, Copy, Debug)]
pub struct Wide {
    pub missing: u8,
    pub lead: u8,
    pub scalar: u32,
}

/// What a letter costs beside its word, by the first of its two bytes.
#[inline(always)]
const fn greek(first: u8) -> u64 {
    if first < 0xD0 { O200K.greek_letter } else { 0 }
}

impl Estimator {
    /// Takes whole characters that go on like the one before, in the scripts that much is written in.
    #[inline(always)]
    pub(super) fn rest_of_script<'a>(&mut self, mut text: &'a [u8]) -> &'a [u8] {
        const LATER: core::ops::RangeInclusive<u8> = 0x80..=0xBF;
        if self.wide.missing > 0 {
            return text;
        }
        loop {
            let (cost, word, rest) = match (self.run, text) {
                (Run::Alphabet, [first @ 0xCE..=0xD4, second, rest @ ..]) if LATER.contains(second) => {
                    (greek(*first), 0, rest)
                }
                (Run::Other, [0xD8..=0xDB, second, rest @ ..]) if LATER.contains(second) => {
                    (O200K.semitic_letter, 0, rest)
                }
                (Run::EastAsian, [0xE4..=0xE9, second, third, rest @ ..])
                    if LATER.contains(second) && LATER.contains(third) =>
                {
                    (O200K.ideograph, 1, rest)
                }
                (Run::EastAsian, [0xE3, 0x81..=0x83, third, rest @ ..]) if LATER.contains(third) => {
                    (O200K.kana, 1, rest)
                }
                (Run::Alphabet, [0xEB..=0xEC, second, third, rest @ ..])
                    if LATER.contains(second) && LATER.contains(third) =>
                {
                    (O200K.hangul, 0, rest)
                }
                _ => return text,
            };
            self.length += 1;
            self.cost += cost;
            self.words += word;
            text = rest;
        }
    }

    /// A byte of a character outside ASCII. Two-byte characters are known by their first byte, the others when whole.
    #[inline(always)]
    pub(super) fn wide(&mut self, byte: u8) {
        self.end_stretch();
        let continues = byte < 0xC0;
        if continues {
            if self.wide.missing == 0 {
                return;
            }
            self.wide.missing -= 1;
            self.wide.scalar = self.wide.scalar << 6 | u32::from(byte & 0x3F);
            if self.wide.missing == 0 && self.wide.lead >= 0xE0 {
                self.long_character();
            }
            return;
        }
        let missing = match byte {
            ..0xE0 => 1,
            0xE0..0xF0 => 2,
            _ => 3,
        };
        self.wide = Wide { missing, lead: byte, scalar: u32::from(byte & 0x0F) };
        match byte {
            0xC2 => self.extend(Run::Punctuation),
            0xC3..=0xCD => {
                self.extend_letters();
                self.cost += if byte == 0xC4 || byte == 0xC5 { O200K.latin_extended_letter } else { 0 };
            }
            0xCE..=0xD4 => {
                self.extend(Run::Alphabet);
                self.cost += greek(byte);
            }
            0xD5..=0xDF => {
                self.extend(Run::Other);
                self.cost += if byte <= 0xD7 { O200K.hebrew_letter } else { O200K.semitic_letter };
            }
            _ => {}
        }
    }

    #[inline(always)]
    pub(super) fn extend_letters(&mut self) {
        self.extend(Run::Letters);
        self.after_lower = true;
    }

    #[inline(always)]
    pub(super) fn long_character(&mut self) {
        if self.wide.lead >= 0xF0 {
            self.extend(Run::Other);
            self.cost += O200K.astral;
            return;
        }
        let (run, cost) = match self.wide.scalar {
            0x3040..0x3100 => (Run::EastAsian, O200K.kana),
            0x3400..0xA000 | 0xF900..0xFB00 => (Run::EastAsian, O200K.ideograph),
            0xAC00..0xD7B0 => (Run::Alphabet, O200K.hangul),
            0x0E00..0x0E80 => (Run::Other, O200K.thai_letter),
            0..0x1E00 => (Run::Other, O200K.indic_letter),
            // Latin with two marks, as Vietnamese has it.
            0x1E00..0x1F00 => {
                self.extend_letters();
                self.joins = true;
                return;
            }
            _ => (Run::Punctuation, O200K.symbol),
        };
        // The character that began the stretch is counted already.
        self.words += u64::from(run == Run::EastAsian && self.run == Run::EastAsian);
        self.extend(run);
        self.cost += cost;
    }
}
