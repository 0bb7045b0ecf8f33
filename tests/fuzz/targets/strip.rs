//! A stream cut anywhere loses the same bytes, never gains any, and keeps what is no usage.

use tollgate_core::traffic::UsageStripper;

fn stripped<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let (mut stripper, mut out) = (UsageStripper::default(), Vec::new());
    pieces.for_each(|piece| stripper.feed(piece, &mut out));
    stripper.finish(&mut out);
    out
}

pub fn check(bytes: &[u8]) {
    let [cut, body @ ..] = bytes else { return };
    let whole = stripped([body].into_iter());
    assert_eq!(whole, stripped(body.chunks(usize::from(*cut).max(1))));
    let mut left = body.iter();
    assert!(
        whole.iter().all(|byte| left.any(|other| other == byte)),
        "only what came is passed on, in its order"
    );
    if !body.windows(7).any(|word| word == b"\"usage\"") {
        assert_eq!(whole, body);
    }
}
