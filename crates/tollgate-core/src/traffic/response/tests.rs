use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::dialects;
use super::super::event_stream::tests::{event, frame};
use super::super::event_stream::{Frames, Headers, Splitter};
use super::super::meter::Meter;
use super::super::usage::Usage;
use super::*;

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples");

fn read(dialect: Dialect, pieces: &[&[u8]]) -> Observed {
    let mut parser = ResponseParser::new(dialect);
    pieces.iter().for_each(|piece| parser.feed(piece));
    parser.observed()
}

fn chat(body: &str) -> Observed {
    read(Dialect::OpenAiChat, &[body.as_bytes()])
}

fn messages(body: &str) -> Observed {
    read(Dialect::AnthropicMessages, &[body.as_bytes()])
}

/// Total input, output, cache reads, cache writes and reasoning that a sample reports.
type Expected = Option<[u64; 5]>;

/// Every sample of an answer: its file, the dialects that it can be read in, its bytes and what it reports.
fn samples() -> Vec<(String, Vec<Dialect>, Vec<u8>, Expected)> {
    let index = std::fs::read_to_string(format!("{SAMPLES}/INDEX.json")).unwrap();
    let index: Value = serde_json::from_str(&index).unwrap();
    let mut samples = Vec::new();
    for entry in index["files"].as_array().unwrap() {
        let file = entry["file"].as_str().unwrap();
        if !file.contains(".response.") {
            continue;
        }
        let dialects = match file.split(['-', '.']).next().unwrap() {
            "openai" if file.contains("responses") => vec![Dialect::OpenAiResponses, Dialect::Generic],
            "openai" if file.contains("embeddings") => vec![Dialect::OpenAiEmbeddings, Dialect::Generic],
            "openai" => vec![Dialect::OpenAiChat, Dialect::OpenAiCompletions, Dialect::Generic],
            "mistral" => vec![Dialect::Mistral, Dialect::OpenAiChat, Dialect::Generic],
            "anthropic" if file.ends_with("json") => {
                vec![Dialect::AnthropicMessages, Dialect::BedrockInvoke, Dialect::Generic]
            }
            "anthropic" => vec![Dialect::AnthropicMessages],
            "gemini" => vec![Dialect::Gemini],
            "bedrock" => vec![Dialect::BedrockConverse],
            "cohere" => vec![Dialect::Cohere],
            "ollama" => vec![Dialect::Ollama],
            "tgi" => vec![Dialect::Tgi],
            // No tokens at all, and nothing that tells an end.
            "mcp" => continue,
            other => panic!("{other} has no dialect"),
        };
        let names = ["input", "output", "cache_read", "cache_write", "reasoning"];
        let expect = entry.get("expect").map(|expect| names.map(|name| expect[name].as_u64().unwrap()));
        samples.push((
            file.to_owned(),
            dialects,
            std::fs::read(format!("{SAMPLES}/{file}")).unwrap(),
            expect,
        ));
    }
    assert_eq!(samples.len(), 19);
    samples
}

fn totals(usage: &Usage) -> Option<[u64; 5]> {
    let or_none = |count: Option<u64>| count.unwrap_or(0);
    Some([
        usage.total_input()?,
        or_none(usage.output),
        or_none(usage.cache_read),
        or_none(usage.cache_write),
        or_none(usage.reasoning),
    ])
}

#[test]
fn every_sample_yields_its_usage_however_it_is_cut() {
    for (file, dialects, body, expect) in samples() {
        for dialect in dialects {
            let whole = read(dialect, &[&body]);
            assert_eq!(totals(&whole.usage), expect, "{file}");
            assert_eq!(whole.reported, expect.is_some(), "{file}");
            assert!(whole.finished && !whole.error && whole.body_bytes == body.len() as u64, "{file}");
            for at in 0..=body.len() {
                assert_eq!(read(dialect, &[&body[..at], &body[at..]]), whole, "{file} cut at {at}");
            }
            let bytes: Vec<&[u8]> = body.chunks(1).collect();
            assert_eq!(read(dialect, &bytes), whole, "{file} byte by byte");
        }
    }
}

#[test]
fn every_sample_reads_alike_with_any_line_ends() {
    for (file, dialects, body, _) in samples().into_iter().filter(|(file, ..)| file.ends_with(".sse")) {
        let text = String::from_utf8(body).unwrap().replace("\r\n", "\n");
        for dialect in dialects {
            let whole = read(dialect, &[text.as_bytes()]);
            for other in
                [text.replace('\n', "\r\n"), text.replace('\n', "\r"), text.replace("data: ", "data:")]
            {
                let read = read(dialect, &[format!("\u{FEFF}: comment\n\n{other}").as_bytes()]);
                assert_eq!(
                    (read.usage, read.finished, read.model),
                    (whole.usage, true, whole.model.clone()),
                    "{file}"
                );
            }
        }
    }
}

/// The same value with the members of its objects in another order.
fn shuffled(value: &Value, seed: u64) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            let turn = seed as usize % members.len().max(1);
            members.rotate_left(turn);
            if seed.is_multiple_of(2) {
                members.reverse();
            }
            let text = |(key, value): (&String, &Value)| {
                format!("{} \n:\t{}", Value::String(key.clone()), shuffled(value, seed / 3))
            };
            format!("{{ {} }}", members.into_iter().map(text).collect::<Vec<_>>().join(" ,\r\n "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(|item| shuffled(item, seed / 3)).collect::<Vec<_>>().join(" , "))
        }
        scalar => scalar.to_string(),
    }
}

/// A sample whose documents are written in another way.
fn rewritten(file: &str, body: &[u8], seed: u64) -> Vec<u8> {
    let document = |text: &str| shuffled(&serde_json::from_str(text).unwrap(), seed);
    if file.ends_with(".eventstream") {
        return frames(body).iter().flat_map(|(kind, payload)| event(kind, &document(payload))).collect();
    }
    let text = std::str::from_utf8(body).unwrap();
    if file.ends_with(".json") {
        return document(text).into_bytes();
    }
    if file.ends_with(".ndjson") {
        return text.lines().map(|line| document(line) + "\n").collect::<String>().into_bytes();
    }
    let line = |line: &str| match line.strip_prefix("data: ") {
        // Several lines of data are one document.
        Some(data) if data != "[DONE]" => {
            format!("data:{}", document(data).replace("\r\n", "\r\ndata: ").replace(" \n", " \ndata:"))
        }
        _ => line.to_owned(),
    };
    (text.lines().map(line).collect::<Vec<_>>().join("\n") + "\n").into_bytes()
}

/// The events and payloads of frames.
fn frames(body: &[u8]) -> Vec<(String, String)> {
    struct Collected(Vec<(String, String)>);
    impl Frames for Collected {
        fn payload_starts(&mut self) {
            self.0.push(Default::default());
        }
        fn payload(&mut self, piece: &[u8]) {
            self.0.last_mut().unwrap().1.push_str(std::str::from_utf8(piece).unwrap());
        }
        fn frame_ends(&mut self, frame: &Headers) {
            self.0.last_mut().unwrap().0 = String::from_utf8(frame.event.kept().to_vec()).unwrap();
        }
        fn broken(&mut self) {
            panic!("a frame is broken");
        }
    }
    let mut collected = Collected(Vec::new());
    Splitter::new().feed(body, &mut collected);
    collected.0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn samples_cut_anywhere_often_are_the_same(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        for (file, dialects, body, _) in samples() {
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
            at.extend([0, body.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
            for dialect in dialects {
                prop_assert_eq!(read(dialect, &pieces), read(dialect, &[&body]), "{}", file);
            }
        }
    }

    #[test]
    fn samples_with_reordered_keys_are_the_same(seed: u64) {
        for (file, dialects, body, expect) in samples() {
            let rewritten = rewritten(&file, &body, seed);
            for dialect in dialects {
                let observed = read(dialect, &[&rewritten]);
                prop_assert_eq!(totals(&observed.usage), expect, "{}", String::from_utf8_lossy(&rewritten));
                prop_assert!(observed.finished);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_fault(body: Vec<u8>, start in prop::sample::select(vec!["", "{", "[", "data: {", "event: error\ndata", "\0\0\0"])) {
        let body = [start.as_bytes(), &body].concat();
        for dialect in dialects::ALL.iter().map(|spec| spec.dialect) {
            let whole = read(dialect, &[&body]);
            prop_assert_eq!(whole.body_bytes, body.len() as u64);
            prop_assert_eq!(read(dialect, &body.chunks(1).collect::<Vec<_>>()), whole);
        }
    }

    #[test]
    fn usage_is_found_by_place_among_any_values(
        noise in prop::collection::btree_map("[a-z_]{1,8}|model|error|choices", any_value(), 0..5),
        prompt in 0u64..1_000_000, cached in 0u64..1000, output in 0u64..1_000_000,
    ) {
        let mut body = json!({"noise": noise});
        noise.iter().for_each(|(key, value)| body[key] = value.clone());
        body["usage"] = json!({
            "noise": noise, "prompt_tokens": prompt, "completion_tokens": output,
            "prompt_tokens_details": {"cached_tokens": cached},
        });
        let observed = chat(&body.to_string());
        prop_assert_eq!(observed.usage.input, Some(prompt.saturating_sub(cached)));
        prop_assert_eq!((observed.usage.cache_read, observed.usage.output), (Some(cached), Some(output)));
        prop_assert_eq!(observed.model.as_deref(), body["model"].as_str().filter(|name| !name.is_empty()));
        prop_assert_eq!(observed.error, body["error"].is_object() || body["error"].as_str().is_some_and(|text| !text.is_empty()));
        prop_assert!(observed.finished);
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i32>().prop_map(|number| json!(number)),
        "[ -~]{0,12}|\\PC{0,12}|[\\x00-\\x20\"\\\\]{0,8}".prop_map(Value::String),
    ];
    scalar.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map("usage|prompt_tokens|completion_tokens|model|.{0,4}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

#[test]
fn the_last_usage_counts_and_null_erases_nothing() {
    let observed = chat(concat!(
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1}}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"b\"}}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\n",
        "data: {\"choices\":[],\"usage\":null}\n\ndata: {\"usage\":{\"completion_tokens\":null}}\n\n",
    ));
    assert_eq!((observed.usage.input, observed.usage.output), (Some(9), Some(2)));
    assert!(observed.reported && !observed.finished);
    let repeated =
        chat(r#"{"usage":{"completion_tokens":1,"completion_tokens":7},"usage":{"completion_tokens":8}}"#);
    assert_eq!(repeated.usage.output, Some(8));
}

#[test]
fn words_in_the_answer_are_not_usage() {
    let decoy = r#"{"choices":[{"message":{"content":"\"usage\":{\"completion_tokens\":999}","usage":{"completion_tokens":9}}}],"x":{"usage":{"completion_tokens":9}},"usage":{"completion_tokens":5}}"#;
    assert_eq!(chat(decoy).usage.output, Some(5));
    let none = r#"{"choices":[{"message":{"content":"\"usage\":{\"completion_tokens\":999}"}}],"x":[{"usage":{"completion_tokens":9}}]}"#;
    assert_eq!(chat(none).usage, Usage::default());
    assert!(!chat(none).reported);
}

#[test]
fn an_answer_cut_short_is_estimated_from_its_text() {
    let start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude-haiku-5-5\",\"usage\":{\"input_tokens\":50,\"output_tokens\":1}}}\n\n";
    let delta = "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"several words of text \"}}\n\n";
    let observed = messages(&(start.to_owned() + &delta.repeat(10)));
    assert_eq!((observed.usage.input, observed.usage.output), (Some(50), Some(1)));
    assert!(!observed.reported && !observed.finished);
    assert!((35..=60).contains(&observed.output_estimate.0), "{:?}", observed.output_estimate);
    assert_eq!(observed.model.as_deref(), Some("claude-haiku-5-5"));
    let end = "data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":44}}\n\n";
    let observed = messages(&(start.to_owned() + &delta.repeat(10) + end));
    assert_eq!((observed.usage.output, observed.reported, observed.finished), (Some(44), true, false));
    // A number that may go on is not known yet.
    assert!(!messages(r#"{"usage":{"output_tokens":44"#).reported);
}

#[test]
fn input_told_at_the_end_only_is_found() {
    let observed = messages(concat!(
        "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":0,\"output_tokens\":0}}}\n\n",
        "data: {\"type\":\"message_delta\",\"usage\":{\"input_tokens\":31,\"cache_read_input_tokens\":7,\"output_tokens\":4}}\n\n",
    ));
    assert_eq!(
        observed.usage,
        Usage { input: Some(31), cache_read: Some(7), output: Some(4), ..Usage::default() }
    );
}

#[test]
fn all_that_the_model_wrote_is_estimated() {
    let words = "some words that the model has written for this test";
    let expected = {
        let mut meter = Meter::of_prompt(0);
        meter.feed(words.as_bytes());
        meter.tokens()
    };
    for (dialect, body) in [
        (Dialect::OpenAiChat, json!({"choices": [{"message": {"content": words}}]})),
        (Dialect::OpenAiChat, json!({"choices": [{"message": {"reasoning_content": words}}]})),
        (
            Dialect::OpenAiChat,
            json!({"choices": [{"message": {"tool_calls": [{"function": {"arguments": words}}]}}]}),
        ),
        (
            Dialect::OpenAiChat,
            json!({"choices": [{"delta": {"tool_calls": [{"function": {"arguments": words}}]}}]}),
        ),
        (
            Dialect::OpenAiChat,
            json!({"choices": [{"delta": {"content": [{"type": "text", "text": words}]}}]}),
        ),
        (Dialect::OpenAiChat, json!({"choices": [{"text": words}]})),
        (Dialect::AnthropicMessages, json!({"content": [{"type": "text", "text": words}]})),
        (
            Dialect::AnthropicMessages,
            json!({"content": [{"type": "thinking", "thinking": words, "signature": words}]}),
        ),
        (Dialect::AnthropicMessages, json!({"content": [{"input": [words]}]})),
        (Dialect::AnthropicMessages, json!({"delta": {"type": "input_json_delta", "partial_json": words}})),
    ] {
        let text = body.to_string();
        assert_eq!(read(dialect, &[text.as_bytes()]).output_estimate, expected, "{body}");
        let event = format!("data: {text}\n\n");
        assert_eq!(read(dialect, &[event.as_bytes()]).output_estimate, expected, "{body}");
    }
}

#[test]
fn errors_inside_a_good_status_are_seen() {
    for (dialect, body) in [
        (Dialect::OpenAiChat, "data: {\"error\":{\"message\":\"overloaded\"}}\n\n"),
        (Dialect::OpenAiChat, "{\"error\":\"out of memory\"}"),
        (Dialect::AnthropicMessages, "event: error\ndata: {\"error\":{\"type\":\"overloaded_error\"}}\n\n"),
        (Dialect::AnthropicMessages, "data: {\"type\":\"error\"}\n\n"),
        (Dialect::AnthropicMessages, "event: error\ndata: {}\n\n"),
        (Dialect::Generic, "data: {\"type\":\"response.failed\"}\n\n"),
    ] {
        assert!(read(dialect, &[body.as_bytes()]).error, "{body}");
    }
    for body in ["{\"error\":null}", "{\"error\":\"\"}", "{\"a\":{\"error\":{}}}", "{\"text\":\"error\"}"] {
        assert!(!chat(body).error, "{body}");
    }
}

#[test]
fn the_end_is_seen_where_it_is_told() {
    for body in
        ["data: [DONE]\n\n", "data:[DONE]\n", "data: [DONE]", "{}", "[]", " \r\n{\"a\":[{}]} \n", "{}\n{}\n"]
    {
        assert!(chat(body).finished, "{body}");
    }
    for body in
        ["", "data: [DONE", "data: [\"DONE]\"]\n\n", ": [DONE]\n\n", "{", "{}\n{", "data: {}\n\n", "DONE"]
    {
        assert!(!chat(body).finished, "{body}");
    }
    assert!(messages("data: {\"type\":\"message_stop\"}\n\n").finished);
    assert!(messages("event: message_stop\ndata: {}\n\n").finished);
    assert!(!messages("data: {\"delta\":{\"type\":\"message_stop\"}}\n\n").finished);
}

#[test]
fn streams_that_bend_the_rules_are_read() {
    let usage = |body: &str| chat(body).usage.output;
    // No empty line between events; no last line end; data over several lines; an array.
    assert_eq!(
        usage("data: {\"a\":1}\ndata: {\"usage\":{\"completion_tokens\":3}}\ndata: [DONE]\n"),
        Some(3)
    );
    assert_eq!(usage("data: {\"usage\":{\"completion_tokens\":3}}"), Some(3));
    assert_eq!(usage("data: {\"usage\":\ndata: {\"completion_tokens\":3\ndata: }}\n\n"), Some(3));
    assert_eq!(usage("data: []\n\ndata: {\"usage\":{\"completion_tokens\":3}}\n\n"), Some(3));
    assert_eq!(usage("data: not json {\n\ndata: {\"usage\":{\"completion_tokens\":3}}\n\n"), Some(3));
    assert_eq!(usage("data: {\"a\":\"cut\n\ndata: {\"usage\":{\"completion_tokens\":3}}\n\n"), Some(3));
    assert_eq!(usage("{\"a\":1}\n{\"usage\":{\"completion_tokens\":3}}\n"), Some(3));
}

#[test]
fn what_is_neither_json_nor_events_counts_by_its_size() {
    let gzip = [&[0x1F, 0x8B, 8, 0], &[0x80; 997][..]].concat();
    for dialect in dialects::ALL.iter().filter(|spec| spec.uses_model).map(|spec| spec.dialect) {
        let observed = read(dialect, &[&gzip]);
        assert_eq!((observed.body_bytes, observed.output_estimate), (1001, TokenCount(501)));
        assert_eq!((observed.reported, observed.finished, observed.model), (false, false, None));
    }
    assert_eq!(read(Dialect::Generic, &[b"{\"a\":\"bcdef\"}"]).output_estimate, TokenCount(4));
}

mod compression;
mod forms;
