use proptest::prelude::*;

use super::*;

#[derive(Default)]
struct Seen(Vec<String>);

impl Frames for Seen {
    fn payload_starts(&mut self) {
        self.0.push(String::new());
    }
    fn payload(&mut self, piece: &[u8]) {
        self.0.last_mut().unwrap().push_str(&String::from_utf8_lossy(piece));
    }
    fn frame_ends(&mut self, frame: &Headers) {
        let error = if frame.error { "!" } else { "" };
        self.0.push(format!("<{}{error}>", String::from_utf8_lossy(frame.event.kept())));
    }
    fn broken(&mut self) {
        self.0.push("broken".to_owned());
    }
}

fn seen(bytes: &[u8], piece: usize) -> String {
    let (mut splitter, mut seen) = (Splitter::new(), Seen::default());
    bytes.chunks(piece).for_each(|piece| splitter.feed(piece, &mut seen));
    seen.0.join("|")
}

/// A frame with headers of type 7, text.
pub fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for (name, value) in headers {
        encoded.push(name.len() as u8);
        encoded.extend(name.as_bytes());
        encoded.push(7);
        encoded.extend((value.len() as u16).to_be_bytes());
        encoded.extend(value.as_bytes());
    }
    raw_frame(&encoded, payload)
}

/// An event as the runtime of Bedrock sends it.
pub fn event(kind: &str, payload: &str) -> Vec<u8> {
    let headers = [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")];
    frame(&headers, payload.as_bytes())
}

fn raw_frame(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let total = (headers.len() + payload.len()) as u32 + OVERHEAD_BYTES;
    let mut frame = Vec::new();
    frame.extend(total.to_be_bytes());
    frame.extend((headers.len() as u32).to_be_bytes());
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame.extend(headers);
    frame.extend(payload);
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame
}

#[test]
fn frames_are_split_in_any_pieces() {
    let exception = [(":exception-type", "throttlingException"), (":message-type", "exception")];
    let bytes = [
        event("messageStart", "{\"a\":1}"),
        frame(&[], b""),
        frame(&exception, b"{}"),
        event("metadata", &"x".repeat(5000)),
    ]
    .concat();
    let expected =
        format!("{{\"a\":1}}|<messageStart>||<>|{{}}|<throttlingException!>|{}|<metadata>", "x".repeat(5000));
    for piece in [1, 2, 3, 7, 64, 4096, bytes.len()] {
        assert_eq!(seen(&bytes, piece), expected, "{piece}");
    }
}

#[test]
fn headers_of_any_type_are_passed_over() {
    let mut headers = Vec::new();
    for (kind, value) in [
        (0, &[][..]),
        (1, &[]),
        (2, &[1]),
        (3, &[1; 2]),
        (4, &[1; 4]),
        (5, &[1; 8]),
        (6, &[0, 2, 9, 9]),
        (8, &[1; 8]),
        (9, &[1; 16]),
        (7, b"\x00\x05event"),
    ] {
        headers.extend([1, b'n', kind]);
        headers.extend(value);
    }
    headers.extend(*b"\x0b:event-type\x07\x00\x04last");
    assert_eq!(seen(&raw_frame(&headers, b"p"), 1), "p|<last>");
    assert_eq!(seen(&raw_frame(b"\x01n\x0a", b"p"), 100), "broken");
}

#[test]
fn a_changed_byte_is_noticed_wherever_it_is() {
    let good = event("metadata", "{\"usage\":{}}");
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        let seen = seen(&[bad, good.clone()].concat(), 5);
        // A frame that got longer waits for its end in vain.
        assert!(seen.ends_with("broken") || !seen.contains('<'), "{at}: {seen}");
    }
}

#[test]
fn a_frame_has_a_bound() {
    let prelude = |total: u32, headers: u32| {
        let mut bytes = [total.to_be_bytes(), headers.to_be_bytes()].concat();
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        bytes
    };
    assert_eq!(seen(&prelude(FRAME_BYTES_MAX, 0), 100), "");
    assert_eq!(seen(&prelude(FRAME_BYTES_MAX + 1, 0), 100), "broken");
    assert_eq!(seen(&prelude(OVERHEAD_BYTES, 0), 100), "");
    assert_eq!(seen(&prelude(OVERHEAD_BYTES - 1, 0), 100), "broken");
    assert_eq!(seen(&prelude(OVERHEAD_BYTES, 1), 100), "broken");
    // A header that does not fit the headers.
    let long = [prelude(100, 3), vec![9]].concat();
    assert_eq!(seen(&long, 100), "broken");
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_fault(bytes: Vec<u8>, piece in 1usize..64) {
        seen(&bytes, piece);
        let framed = frame(&[(":event-type", "x")], &bytes);
        prop_assert!(seen(&framed, piece).ends_with("|<x>"));
    }
}
