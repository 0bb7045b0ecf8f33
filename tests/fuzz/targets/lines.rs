//! Documents one after the other say the same in lines, with white space between them, and however they are cut.

use serde_json::Value;
use tollgate_core::traffic::{Dialect, Observed, ResponseParser};
use tollgate_wire::TokenCount;

fn read(dialect: Dialect, body: &[u8], piece: usize) -> Observed {
    let mut parser = ResponseParser::new(dialect);
    body.chunks(piece).for_each(|piece| parser.feed(piece));
    // How long the forms are differs, and with it what is estimated by size.
    Observed { body_bytes: 0, output_estimate: TokenCount(0), ..parser.observed() }
}

pub fn check(bytes: &[u8]) {
    let [cut, body @ ..] = bytes else { return };
    let piece = usize::from(*cut).max(1);
    let documents: Vec<String> = body
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok().filter(Value::is_object))
        .map(|document| document.to_string())
        .collect();
    for dialect in [Dialect::Ollama, Dialect::Gemini, Dialect::Generic] {
        let lines = read(dialect, documents.join("\n").as_bytes(), usize::MAX);
        assert_eq!(lines, read(dialect, documents.join(" \r\n\t").as_bytes(), piece));
        let array = |separator: &str| format!("[{}]", documents.join(separator)).into_bytes();
        assert_eq!(read(dialect, &array(","), usize::MAX), read(dialect, &array("\r\n,\n"), piece));
    }
    for dialect in Dialect::all() {
        assert_eq!(read(dialect, body, usize::MAX), read(dialect, body, piece));
    }
}
