//! The end of a stream that a limit ends in the middle: its last event, which tells why in the shape of its own API.
//!
//! Its status was sent long ago, so the clients' only way to know is the event by which their API reports an error that
//! comes late. OpenAI's, Anthropic's, Google's, Ollama's and AWS's libraries raise it.

use serde_json::{Value, json};

use crate::limiter::Refusal;
use crate::policy::{Attributes, Policy};
use crate::traffic::{Dialect, Form};

use super::fault::Fault;
use super::{Asker, Rejection, Shape};

/// The exception of AWS's event streams for a limit; there is none for a quota.
const EXCEPTION: &str = "throttlingException";

/// What is appended to a stream of this form that a limit has no more room for. `jitter` as for [`super::refuse`].
pub fn cut(
    policy: &Policy,
    dialect: Dialect,
    request: &Attributes<'_>,
    refusal: &Refusal,
    form: Form,
    jitter: u64,
) -> Vec<u8> {
    let asker = Asker::from(Some(dialect));
    let mut fault = Fault::new(policy, asker, request, Rejection::Limit(refusal), jitter);
    fault.message = format!("{} {}", policy.messages.ended, fault.message);
    let body = asker.shape.body(&fault);
    match form {
        Form::Events => event(dialect, &fault, body).into_bytes(),
        Form::Lines => format!("{body}\n").into_bytes(),
        Form::Array => format!(",\n{body}]\n").into_bytes(),
        Form::Frames => frame(&body.to_string()),
    }
}

/// A server-sent event. Chat completions and Gemini have no names for theirs.
fn event(dialect: Dialect, fault: &Fault<'_>, body: Value) -> String {
    match (dialect, Shape::of(Some(dialect))) {
        (Dialect::OpenAiResponses, _) => {
            let Value::Object(mut members) = body else { return String::new() };
            let of_error = |name: &str| members.get("error").and_then(|error| error.get(name)).cloned();
            let (code, message) = (of_error("code"), of_error("message"));
            // As the API has it; the libraries raise what has a member `error`, and only hand on the rest.
            members.insert("type".into(), "error".into());
            members.insert("code".into(), code.unwrap_or_default());
            members.insert("message".into(), message.unwrap_or_default());
            members.insert("param".into(), Value::Null);
            format!("event: error\ndata: {}\n\n", Value::Object(members))
        }
        (_, Shape::Cohere) => {
            let delta = json!({"finish_reason": "ERROR", "error": fault.message});
            format!("event: message-end\ndata: {}\n\n", json!({"type": "message-end", "delta": delta}))
        }
        (_, Shape::Anthropic | Shape::Problem) => format!("event: error\ndata: {body}\n\n"),
        _ => format!("data: {body}\n\n"),
    }
}

/// A frame of AWS's event stream: lengths, their checksum, headers, payload, checksum of all (`traffic::event_stream`).
fn frame(payload: &str) -> Vec<u8> {
    const STRING: u8 = 7;
    let mut headers = Vec::with_capacity(128);
    for (name, value) in [
        (":exception-type", EXCEPTION),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ] {
        headers.push(name.len() as u8);
        headers.extend_from_slice(name.as_bytes());
        headers.push(STRING);
        headers.extend_from_slice(&(value.len() as u16).to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let length = 16 + headers.len() + payload.len();
    let mut frame = Vec::with_capacity(length);
    frame.extend_from_slice(&(length as u32).to_be_bytes());
    frame.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(&headers);
    frame.extend_from_slice(payload.as_bytes());
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limiter::Why;
    use crate::policy::LimitId;
    use crate::traffic::{Boundaries, ResponseParser};

    fn policy() -> Policy {
        let limit =
            json!({"name": "tokens-per-day", "meter": "tokens", "quota": {"amount": 1000, "per": "day"}});
        Policy::from_json(json!({"limits": [limit]})).unwrap()
    }

    fn written(dialect: Dialect, form: Form) -> Vec<u8> {
        let refusal = Refusal {
            limit: LimitId(0),
            why: Why::Exhausted,
            wait_ns: Some(3_600_000_000_000),
            requested: 16,
            most: 1000,
            remaining: 3,
            reset_ns: 3_600_000_000_000,
            account: 1,
            queueable: false,
        };
        cut(&policy(), dialect, &Attributes::default(), &refusal, form, 0)
    }

    fn text(dialect: Dialect, form: Form) -> String {
        String::from_utf8(written(dialect, form)).unwrap()
    }

    fn document(text: &str) -> Value {
        let data = text.split_once("data: ").map_or(text, |(_, data)| data);
        serde_json::from_str(data.trim().trim_start_matches(',').trim_end_matches(']')).unwrap()
    }

    #[test]
    fn each_api_reads_its_own_last_event() {
        let chat = text(Dialect::OpenAiChat, Form::Events);
        assert!(chat.starts_with("data: {\"error\":") && chat.ends_with("}\n\n"), "{chat}");
        assert_eq!(document(&chat)["error"]["code"], "insufficient_quota");
        let responses = text(Dialect::OpenAiResponses, Form::Events);
        assert!(responses.starts_with("event: error\n"));
        let event = document(&responses);
        assert_eq!((&event["type"], &event["code"]), (&json!("error"), &json!("insufficient_quota")));
        assert_eq!(event["message"], event["error"]["message"]);
        let claude = text(Dialect::AnthropicMessages, Form::Events);
        assert!(claude.starts_with("event: error\ndata: {"), "{claude}");
        assert_eq!(document(&claude)["error"]["type"], "rate_limit_error");
        let gemini = text(Dialect::Gemini, Form::Events);
        assert!(gemini.starts_with("data: {\"error\":"), "google-genai looks for just that: {gemini}");
        let array = text(Dialect::Gemini, Form::Array);
        let whole: Value = serde_json::from_str(&format!("[{{\"candidates\":[]}}{array}")).unwrap();
        assert_eq!(whole[1]["error"]["status"], "RESOURCE_EXHAUSTED");
        let cohere = document(&text(Dialect::Cohere, Form::Events));
        assert_eq!(cohere["delta"]["finish_reason"], "ERROR");
        let ollama = text(Dialect::Ollama, Form::Lines);
        assert!(ollama.ends_with("}\n") && document(&ollama)["error"].is_string());
        let said = document(&ollama)["error"].as_str().unwrap().to_owned();
        assert!(said.starts_with("The answer was ended before it was complete. Quota exceeded."), "{said}");
        assert!(said.contains("tokens-per-day") && said.contains("997 tokens of 1000 tokens used"), "{said}");
    }

    #[test]
    fn what_is_appended_is_whole_and_reads_as_an_error() {
        for dialect in Dialect::all().filter(|dialect| dialect.uses_model()) {
            for (form, before) in
                [(Form::Events, "data: {}\n\n"), (Form::Lines, "{}\n"), (Form::Array, "[{}")]
            {
                let mut parser = ResponseParser::new(dialect);
                parser.feed(before.as_bytes());
                let appended = written(dialect, form);
                parser.feed(&appended);
                let text = String::from_utf8(appended).unwrap();
                // What has a member `error` is seen as one; Mistral's and problem documents have none.
                if form != Form::Array && document(&text).get("error").is_some() {
                    assert!(parser.observed().error, "{dialect:?} {form:?}");
                }
            }
        }
        let mut boundaries = Boundaries::new(Dialect::BedrockConverse);
        let frame = written(Dialect::BedrockConverse, Form::Frames);
        assert_eq!(boundaries.next(&frame), (frame.len(), true));
        let mut parser = ResponseParser::new(Dialect::BedrockConverse);
        parser.feed(&frame);
        assert!(parser.observed().error, "its checksums are right, and it is an exception");
    }
}
