//! Events say the same whatever ends their lines, with and without a space after the colon, and however they are cut.

use tollgate_core::traffic::{Dialect, Observed, ResponseParser};
use tollgate_wire::TokenCount;

fn read(dialect: Dialect, data: &[u8], end: &str, space: &str, piece: usize) -> Observed {
    let mut body = Vec::new();
    for event in data.split(|byte| *byte == 0xFF) {
        for (at, line) in event.split(|byte| *byte == 0xFE).enumerate() {
            let name: &[u8] = if at == 0 && line.starts_with(b"event:") { b"" } else { b"data:" };
            body.extend(name);
            body.extend(if name.is_empty() { b"" } else { space.as_bytes() });
            body.extend(line.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
            body.extend(end.as_bytes());
        }
        body.extend(end.as_bytes());
    }
    let mut parser = ResponseParser::new(dialect);
    body.chunks(piece).for_each(|piece| parser.feed(piece));
    // How long the forms are differs, and with it what is estimated by size.
    Observed { body_bytes: 0, output_estimate: TokenCount(0), ..parser.observed() }
}

pub fn check(bytes: &[u8]) {
    let [dialect, cut, data @ ..] = bytes else { return };
    let dialects: Vec<Dialect> = Dialect::all().collect();
    let dialect = dialects[usize::from(*dialect) % dialects.len()];
    // What does not begin like an event is no stream.
    let data = [b"{}\xFF".as_slice(), data].concat();
    let whole = read(dialect, &data, "\n", " ", usize::MAX);
    let piece = usize::from(*cut).max(1);
    for (end, space) in [("\n", " "), ("\r\n", " "), ("\r", " "), ("\n", ""), ("\r\n", "")] {
        // Without the space that may be there, a line must not begin with one.
        if space.is_empty() && data.windows(2).any(|pair| pair[0] >= 0xFE && pair[1].is_ascii_whitespace()) {
            continue;
        }
        assert_eq!(whole, read(dialect, &data, end, space, piece), "{dialect:?} {end:?} {space:?}");
    }
}
