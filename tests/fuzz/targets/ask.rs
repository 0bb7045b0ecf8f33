//! A request that is asked for its usage is the same request but for that.

use serde_json::Value;
use tollgate_core::traffic::{Dialect, ask_usage, inspect_request};

pub fn check(body: &[u8]) {
    let facts = inspect_request(Dialect::OpenAiChat, body);
    let Some(asked) = ask_usage(&facts, body) else { return };
    let Ok(mut before) = serde_json::from_slice::<Value>(body) else { return };
    let after: Value = serde_json::from_slice(&asked).expect("JSON stays JSON");
    before["stream_options"]["include_usage"] = Value::Bool(true);
    assert_eq!(after, before);
    let facts = inspect_request(Dialect::OpenAiChat, &asked);
    assert!(facts.include_usage && facts.stream);
    assert!(ask_usage(&facts, &asked).is_none(), "nobody is asked twice");
}
