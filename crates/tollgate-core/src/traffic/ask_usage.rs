//! Asks for the usage of a stream where the client did not: OpenAI's `stream_options.include_usage`.
//!
//! Without it a stream of OpenAI's chat or completions says nothing about its usage. What the server then sends in
//! addition is taken out again by [`super::strip_usage`]. A request is edited as little as possible, and where it is
//! not clear how, not at all: then the stream is estimated.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::request::RequestFacts;

/// The request with the usage asked for, or `None` where that is not needed or not possible.
///
/// The caller has made sure that the server takes the option ([`super::Endpoint::may_ask_usage`]), and sets the
/// request's `content-length`.
pub fn ask_usage(facts: &RequestFacts, body: &[u8]) -> Option<Vec<u8>> {
    let refuses = facts.model.as_deref().is_none_or(refuses_options);
    if !facts.stream || facts.include_usage || facts.malformed || refuses {
        return None;
    }
    if facts.has_stream_options { change(body) } else { add(body) }
}

/// Mistral's models, whoever serves them: their servers have refused `stream_options`. Their names end in `stral` or
/// `xtral` before a number; a name that only looks like one is not asked, which does no harm.
fn refuses_options(model: &str) -> bool {
    let model = model.to_ascii_lowercase();
    model.contains("stral") || model.contains("xtral")
}

/// A member more at the object's end: it can't be empty, there is `stream` in it.
fn add(body: &[u8]) -> Option<Vec<u8>> {
    const MEMBER: &[u8] = br#","stream_options":{"include_usage":true}"#;
    let end = body.trim_ascii_end().len().checked_sub(1)?;
    let (object, close) = body.split_at_checked(end)?;
    (close.first() == Some(&b'}')).then(|| [object, MEMBER, close].concat())
}

/// The options that there are, with one more. Those of other kinds are the client's.
fn change(body: &[u8]) -> Option<Vec<u8>> {
    #[derive(serde::Deserialize)]
    struct Options<'b> {
        #[serde(borrow)]
        stream_options: &'b RawValue,
    }
    // A member that is repeated is refused here, and what is not UTF-8.
    let options: Options<'_> = serde_json::from_slice(body).ok()?;
    let old = options.stream_options.get();
    // Each as it is written: numbers too large for a float are left as they are.
    let mut new: BTreeMap<String, &RawValue> = match old {
        "null" => BTreeMap::new(),
        _ => serde_json::from_str(old).ok()?,
    };
    // vLLM's running totals come with every chunk: they could not be told from what the client wants.
    if new.contains_key("continuous_usage_stats") {
        return None;
    }
    new.insert("include_usage".into(), serde_json::from_str("true").ok()?);
    let start = (old.as_ptr() as usize).checked_sub(body.as_ptr() as usize)?;
    let before = body.get(..start)?;
    let after = body.get(start.checked_add(old.len())?..)?;
    Some([before, serde_json::to_string(&new).ok()?.as_bytes(), after].concat())
}

#[cfg(test)]
mod tests {
    use super::super::{Dialect, inspect_request};
    use super::*;

    fn asked(body: &str) -> Option<String> {
        let facts = inspect_request(Dialect::OpenAiChat, body.as_bytes());
        ask_usage(&facts, body.as_bytes()).map(|body| String::from_utf8(body).unwrap())
    }

    #[test]
    fn a_stream_is_asked_for_its_usage() {
        for (body, expected) in [
            (
                r#"{"model":"m","stream":true}"#,
                r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
            ),
            (
                " { \"stream\" : true ,\"model\":\"m\"\n} \n",
                " { \"stream\" : true ,\"model\":\"m\"\n,\"stream_options\":{\"include_usage\":true}} \n",
            ),
            (
                r#"{"stream_options": null,"model":"m","stream":true}"#,
                r#"{"stream_options": {"include_usage":true},"model":"m","stream":true}"#,
            ),
            (
                r#"{"model":"m","stream_options":{"include_obfuscation":false, "include_usage":false},"stream":true}"#,
                r#"{"model":"m","stream_options":{"include_obfuscation":false,"include_usage":true},"stream":true}"#,
            ),
            (
                r#"{"model":"m","stream_options":{"x":99999999999999999999999},"stream":true}"#,
                r#"{"model":"m","stream_options":{"include_usage":true,"x":99999999999999999999999},"stream":true}"#,
            ),
            (
                r#"{"model":"m","stream":true,"messages":[{"content":"\"stream_options\":{}"}]}"#,
                r#"{"model":"m","stream":true,"messages":[{"content":"\"stream_options\":{}"}],"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"model":"m","stream":true,"stream\u005foptions":{}}"#,
                r#"{"model":"m","stream":true,"stream\u005foptions":{"include_usage":true}}"#,
            ),
        ] {
            assert_eq!(asked(body).as_deref(), Some(expected), "{body}");
            let facts = inspect_request(Dialect::OpenAiChat, expected.as_bytes());
            assert!(facts.include_usage && facts.stream && !facts.malformed);
        }
    }

    #[test]
    fn a_request_stays_as_it_is_where_nothing_is_to_be_asked() {
        for body in [
            r#"{"model":"m"}"#,
            r#"{"model":"m","stream":false}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
            r#"{"model":"m","stream":true,"stream_options":{},"stream_options":{}}"#,
            r#"{"model":"m","stream":true,"stream_options":{"continuous_usage_stats":true}}"#,
            r#"{"model":"m","stream":true,"stream_options":[]}"#,
            r#"{"model":"m","stream":true,"stream_options":"yes"}"#,
            r#"{"model":"m","stream":true,}"#,
            r#"{"model":"m","stream":true}{}"#,
            r#"{"model":"m","stream":true"#,
            r#"{"stream":true}"#,
            r#"{"model":"mistral-large-latest","stream":true}"#,
            r#"{"model":"open-mixtral-8x22b","stream":true}"#,
            r#"{"model":"mistralai/Pixtral-12B","stream":true}"#,
            r#"{"model":"Codestral-2","stream":true}"#,
            "",
        ] {
            assert_eq!(asked(body), None, "{body}");
        }
    }
}
