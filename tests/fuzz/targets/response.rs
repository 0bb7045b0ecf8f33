//! An answer cut anywhere is the same answer; whole JSON has the usage that serde_json reads.

use serde_json::Value;
use tollgate_core::traffic::{Dialect, ResponseParser};

/// What is compressed is read without fault, whatever it is.
fn decode(dialect: Dialect, body: &[u8]) {
    for encoding in ["gzip", "deflate", "br"] {
        let mut parser = ResponseParser::encoded(dialect, encoding);
        parser.feed(body);
        assert!(parser.observed().body_bytes >= body.len() as u64);
    }
}

pub fn check(bytes: &[u8]) {
    let [cut, body @ ..] = bytes else { return };
    for dialect in Dialect::all() {
        let mut whole = ResponseParser::new(dialect);
        whole.feed(body);
        let whole = whole.observed();
        let mut pieces = ResponseParser::new(dialect);
        body.chunks(usize::from(*cut).max(1)).for_each(|piece| pieces.feed(piece));
        assert_eq!(format!("{whole:?}"), format!("{:?}", pieces.observed()));
        if dialect == Dialect::OpenAiChat {
            decode(dialect, body);
        }
        if dialect == Dialect::OpenAiChat
            && let Ok(value @ Value::Object(_)) = serde_json::from_slice::<Value>(body)
        {
            let usage = |name: &str| value["usage"][name].as_u64();
            if let (Some(prompt), Some(completion)) = (usage("prompt_tokens"), usage("completion_tokens"))
                && value["usage"].as_object().is_some_and(|usage| usage.len() == 2)
            {
                assert_eq!((whole.usage.input, whole.usage.output), (Some(prompt), Some(completion)));
            }
        }
    }
}
