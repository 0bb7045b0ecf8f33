//! The value of a JWT's claim, as Envoy hands it to a filter: its type is lost on the way.
//!
//! `jwt_authn` puts the payload into dynamic metadata, whose values arrive without a tag: a string as its bytes, a
//! number as eight bytes (a little-endian double), a boolean as one byte, a list as the ABI's pairs with empty values.
//! Text holds no control character, and doubles of whole numbers below 2^51 are never text without one, so they can be
//! told apart.

/// Most elements of a list that are looked at: a token with more is no list of tiers or roles.
const ELEMENTS_MAX: usize = 64;

/// The values of a claim: one, or those of a list. What can't be read is left out.
pub(super) fn values(bytes: &[u8]) -> Vec<String> {
    match scalar(bytes) {
        Some(value) => vec![value],
        None => list(bytes).unwrap_or_default(),
    }
}

fn scalar(bytes: &[u8]) -> Option<String> {
    let text = core::str::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control));
    match (text, bytes) {
        (Some(text), _) => Some(text.into()),
        (None, [0]) => Some("false".into()),
        (None, [1]) => Some("true".into()),
        (None, bytes) => {
            let number = f64::from_le_bytes(bytes.try_into().ok()?);
            number.is_finite().then(|| number.to_string())
        }
    }
}

/// Count, then the lengths of each key and value, then each text with a NUL; all numbers are little-endian u32.
fn list(bytes: &[u8]) -> Option<Vec<String>> {
    let count = word(bytes, 0)?;
    let mut texts = count.checked_mul(8)?.checked_add(4)?;
    let mut values = Vec::new();
    for index in 0..count.min(ELEMENTS_MAX) {
        let lengths = 4 + 8 * index;
        let (key, value) = (word(bytes, lengths)?, word(bytes, lengths + 4)?);
        if value != 0 {
            // An object, not a list: its keys are nobody's name.
            return None;
        }
        let end = texts.checked_add(key)?;
        values.extend(scalar(bytes.get(texts..end)?));
        texts = end.checked_add(2)?;
    }
    Some(values)
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(|four| u32::from_le_bytes(four) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A list as Envoy writes it.
    fn pairs(all: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut out = (all.len() as u32).to_le_bytes().to_vec();
        for (key, value) in all {
            out.extend((key.len() as u32).to_le_bytes());
            out.extend((value.len() as u32).to_le_bytes());
        }
        for text in all.iter().flat_map(|(key, value)| [key, value]) {
            out.extend_from_slice(text);
            out.push(0);
        }
        out
    }

    #[test]
    fn every_type_of_a_claim_is_read() {
        assert_eq!(values(b"alice"), ["alice"]);
        assert_eq!(values(b"alice-01"), ["alice-01"], "eight letters are no number");
        assert_eq!(values("\u{17c}aneta".as_bytes()), ["\u{17c}aneta"]);
        assert_eq!(values(&42f64.to_le_bytes()), ["42"]);
        assert_eq!(values(&1_795_305_600_123f64.to_le_bytes()), ["1795305600123"]);
        assert_eq!(values(&0.5f64.to_le_bytes()), ["0.5"]);
        assert_eq!((values(&[1]), values(&[0])), (vec!["true".to_owned()], vec!["false".to_owned()]));
        let list = pairs(&[(b"admin", b""), (&7f64.to_le_bytes(), b""), (b"ops", b"")]);
        assert_eq!(values(&list), ["admin", "7", "ops"]);
        assert_eq!(values(&pairs(&[])), [""; 0]);
        assert_eq!(values(&pairs(&[(b"key", b"value")])), [""; 0], "an object");
        assert_eq!(values(&f64::NAN.to_le_bytes()), [""; 0]);
    }

    #[test]
    fn a_list_is_read_up_to_its_bound() {
        let all = |count| values(&pairs(&vec![(b"x".as_slice(), b"".as_slice()); count])).len();
        assert_eq!((all(ELEMENTS_MAX), all(ELEMENTS_MAX + 1)), (ELEMENTS_MAX, ELEMENTS_MAX));
    }

    proptest! {
        #[test]
        fn a_whole_number_is_never_taken_for_text(number in 0u64..1 << 51) {
            prop_assert_eq!(values(&(number as f64).to_le_bytes()), [number.to_string()]);
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(values(&bytes).len() <= ELEMENTS_MAX);
        }

        #[test]
        fn a_list_gives_back_its_texts(texts in proptest::collection::vec("[a-z]{1,12}", 1..8)) {
            let all: Vec<(&[u8], &[u8])> = texts.iter().map(|text| (text.as_bytes(), b"".as_slice())).collect();
            prop_assert_eq!(values(&pairs(&all)), texts);
        }
    }
}
