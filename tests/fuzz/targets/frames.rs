//! Frames of AWS's event stream whose checksums are right are read alike however they are cut, and a broken one ends the
//! reading without a fault.

use tollgate_core::traffic::{Dialect, ResponseParser};

const KINDS: [&str; 4] = ["contentBlockDelta", "metadata", "chunk", "messageStop"];

/// A frame with an event type, a further header of some value type, and a payload.
fn frame(kind: &str, value_type: u8, payload: &[u8]) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in [(":event-type", kind), (":message-type", "event")] {
        headers.push(name.len() as u8);
        headers.extend(name.as_bytes());
        headers.push(7);
        headers.extend((value.len() as u16).to_be_bytes());
        headers.extend(value.as_bytes());
    }
    headers.extend([1, b'x', value_type]);
    headers.extend(vec![0; [0, 0, 1, 2, 4, 8, 2, 2, 8, 16][usize::from(value_type)]]);
    let mut frame = Vec::new();
    frame.extend(((16 + headers.len() + payload.len()) as u32).to_be_bytes());
    frame.extend((headers.len() as u32).to_be_bytes());
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame.extend(headers);
    frame.extend(payload);
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame
}

fn read(dialect: Dialect, body: &[u8], piece: usize) -> tollgate_core::traffic::Observed {
    let mut parser = ResponseParser::new(dialect);
    body.chunks(piece).for_each(|piece| parser.feed(piece));
    parser.observed()
}

pub fn check(bytes: &[u8]) {
    let [cut, kinds, broken, rest @ ..] = bytes else { return };
    let mut body = Vec::new();
    for (at, payload) in rest.split(|byte| *byte == 0xFF).enumerate() {
        let kind = KINDS[(usize::from(*kinds) + at) % KINDS.len()];
        body.extend(frame(kind, (kinds / 4).wrapping_add(at as u8) % 10, payload));
    }
    for dialect in [Dialect::BedrockConverse, Dialect::BedrockInvoke] {
        let whole = read(dialect, &body, body.len());
        assert_eq!(whole, read(dialect, &body, usize::from(*cut).max(1)));
        assert_eq!(whole.body_bytes, body.len() as u64);
        let mut body = body.clone();
        let at = usize::from(*broken) * 7 % body.len();
        body[at] ^= 1 << (broken % 8);
        assert_eq!(read(dialect, &body, body.len()), read(dialect, &body, usize::from(*cut).max(1)));
    }
}
