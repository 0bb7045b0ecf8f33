//! An estimate does not depend on how the text is cut, and is bounded by the text.

use tollgate_core::traffic::Estimator;

pub fn check(bytes: &[u8]) {
    let [cut, text @ ..] = bytes else { return };
    let mut whole = Estimator::new();
    whole.feed(text);
    let mut pieces = Estimator::new();
    text.chunks(usize::from(*cut).max(1)).for_each(|piece| pieces.feed(piece));
    let tokens = whole.finish().0;
    assert_eq!(tokens, pieces.finish().0);
    // No weight is as much as four tokens a byte.
    assert!(tokens <= 4 * text.len() as u64 + 4);
}
