//! What is read of a request is what serde_json reads of it, wherever serde_json reads anything.

use serde_json::Value;
use tollgate_core::traffic::{Dialect, ask_usage, inspect_request};

pub fn check(body: &[u8]) {
    let facts = inspect_request(Dialect::OpenAiChat, body);
    assert!(facts.input_estimate.0 >= 1 && facts.choices >= 1);
    for dialect in Dialect::all() {
        let facts = inspect_request(dialect, body);
        assert!(facts.input_estimate.0 >= 1 || !dialect.uses_model());
        let asks = matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiCompletions);
        if asks && let Some(asking) = ask_usage(&facts, body) {
            let asking = inspect_request(dialect, &asking);
            assert!(asking.include_usage && !asking.malformed);
            assert_eq!((asking.model, asking.output_cap), (facts.model, facts.output_cap));
        }
    }
    // The last of repeated keys counts, here as there.
    let Ok(Value::Object(value)) = serde_json::from_slice(body) else { return };
    assert!(!facts.malformed);
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let short = |name: &str| name.len() <= tollgate_core::traffic::request::MODEL_BYTES_MAX;
    if text("model").is_none_or(short) {
        assert_eq!(facts.model.as_deref(), text("model"));
    }
    assert_eq!(facts.stream, value.get("stream") == Some(&Value::Bool(true)));
    if let Some(n) = value.get("n").and_then(Value::as_u64) {
        assert_eq!(facts.choices, n.max(1));
    }
}
