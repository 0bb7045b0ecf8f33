//! What a byte is, told by tables and eight at a time.

/// What an ASCII byte is; the first four kinds are those that encoded data is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Lower,
    Upper,
    Digit,
    Joiner,
    Newline,
    Space,
    Punctuation,
    /// Part of a character outside ASCII.
    Wide,
}

pub static KINDS: [Kind; 256] = kinds();

const fn kinds() -> [Kind; 256] {
    let mut kinds = [Kind::Punctuation; 256];
    let mut rest: &mut [Kind] = &mut kinds;
    let mut byte = 0;
    while let Some((kind, after)) = rest.split_first_mut() {
        *kind = match byte {
            b'a'..=b'z' => Kind::Lower,
            b'A'..=b'Z' => Kind::Upper,
            b'0'..=b'9' => Kind::Digit,
            b'+' | b'/' | b'=' | b'_' | b'-' => Kind::Joiner,
            b'\n' | b'\r' => Kind::Newline,
            b' ' | b'\t' => Kind::Space,
            0x80.. => Kind::Wide,
            _ => Kind::Punctuation,
        };
        rest = after;
        byte = byte.wrapping_add(1);
    }
    kinds
}

/// How many lower-case letters there are at the beginning, eight at a time.
#[inline(always)]
pub fn lower_run(text: &[u8]) -> usize {
    let mut run = 0;
    let mut rest = text;
    while let Some((eight, after)) = rest.split_first_chunk::<8>() {
        let others = not_lower(u64::from_le_bytes(*eight));
        if others != 0 {
            return run + (others.trailing_zeros() / 8) as usize;
        }
        run += 8;
        rest = after;
    }
    run + rest.iter().position(|byte| !byte.is_ascii_lowercase()).unwrap_or(rest.len())
}

/// Marks the bytes that are no lower-case letters, in their high bits.
const fn not_lower(eight: u64) -> u64 {
    const EVERY_BYTE: u64 = u64::MAX / 255;
    const HIGH_BITS: u64 = EVERY_BYTE * 0x80;
    let low = eight & !HIGH_BITS;
    let from_a = low + EVERY_BYTE * (0x80 - b'a' as u64);
    let past_z = low + EVERY_BYTE * (0x7F - b'z' as u64);
    (!from_a | past_z | eight) & HIGH_BITS
}
