//! Base64 (RFC 4648, section 4) undone as it comes, in any pieces.

/// The decoder between two characters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decoder {
    bits: u32,
    count: u32,
}

/// Bytes decoded at a time, before they are handed on.
const PIECE_BYTES: usize = 256;

impl Decoder {
    /// Gets ready for another text.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Decodes the next characters. Padding and whatever is not of the alphabet is passed over.
    pub fn feed(&mut self, text: &[u8], mut decoded: impl FnMut(&[u8])) {
        let mut piece = [0; PIECE_BYTES];
        // Four characters are three bytes, and up to three may be waiting.
        for text in text.chunks(PIECE_BYTES) {
            let mut length = 0;
            for value in text.iter().filter_map(|character| value(*character)) {
                self.bits = self.bits << 6 | value;
                self.count += 6;
                if self.count >= 8 {
                    self.count -= 8;
                    if let Some(slot) = piece.get_mut(length) {
                        *slot = (self.bits >> self.count & 0xFF) as u8;
                        length += 1;
                    }
                }
            }
            decoded(piece.get(..length).unwrap_or_default());
        }
    }
}

const fn value(character: u8) -> Option<u32> {
    Some(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    } as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str, piece: usize) -> String {
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        text.as_bytes().chunks(piece).for_each(|piece| decoder.feed(piece, |bytes| out.extend(bytes)));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_examples_of_the_standard_are_decoded_in_any_pieces() {
        for (text, expected) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
        ] {
            for piece in [1, 2, 3, 100] {
                assert_eq!(decoded(text, piece), expected, "{text} {piece}");
            }
        }
    }

    #[test]
    fn long_texts_are_decoded_whole() {
        for length in [PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 10_000] {
            let text = "Zm9v".repeat(length);
            for piece in [1, 255, 257, text.len()] {
                assert_eq!(decoded(&text, piece), "foo".repeat(length));
            }
        }
    }
}
