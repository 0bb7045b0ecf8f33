use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::dialects;
use super::super::estimate::Estimator;
use super::*;

fn chat(body: &str) -> RequestFacts {
    inspect_request(Dialect::OpenAiChat, body.as_bytes())
}

fn estimate(dialect: Dialect, body: &Value) -> u64 {
    let facts = inspect_request(dialect, body.to_string().as_bytes());
    assert!(!facts.malformed);
    facts.input_estimate.0
}

fn tokens(text: &str) -> u64 {
    let mut estimator = Estimator::new();
    estimator.feed(text.as_bytes());
    estimator.finish().0
}

#[test]
fn the_facts_of_a_chat_request_are_found() {
    let facts = chat(
        r#" {"messages":[{"role":"user","content":"Hi"}],"stream":true,"model":"gpt-5","n":2,
            "stream_options":{"include_usage":true},"max_completion_tokens":64} "#,
    );
    assert_eq!(
        facts,
        RequestFacts {
            model: Some("gpt-5".to_owned()),
            output_cap: Some(64),
            choices: 2,
            stream: true,
            has_stream_options: true,
            include_usage: true,
            tool: None,
            call_id: None,
            input_estimate: TokenCount(5),
            input_words: 1,
            body_bytes: facts.body_bytes,
            malformed: false,
        }
    );
}

#[test]
fn an_empty_request_asks_for_one_answer_and_is_not_free() {
    let nothing = RequestFacts {
        model: None,
        output_cap: None,
        choices: 1,
        stream: false,
        has_stream_options: false,
        include_usage: false,
        tool: None,
        call_id: None,
        input_estimate: TokenCount(1),
        input_words: 0,
        body_bytes: 0,
        malformed: false,
    };
    for dialect in [Dialect::OpenAiChat, Dialect::AnthropicMessages] {
        for body in ["{}", "12"] {
            let facts = inspect_request(dialect, body.as_bytes());
            assert_eq!(facts, RequestFacts { body_bytes: 2, ..nothing.clone() });
        }
        assert_eq!(inspect_request(dialect, b""), RequestFacts { malformed: true, ..nothing.clone() });
    }
}

#[test]
fn names_are_matched_by_place_and_after_unescaping() {
    let facts = chat(
        r#"{"tools":[{"model":"decoy","max_tokens":1}],"metadata":{"model":"decoy","n":9,"stream":true},
            "mod\u0065l":"gpt\u002d5","max_toke\u006es":7,
            "messages":[{"content":"\"model\":\"decoy\",\"max_tokens\":1}"}]}"#,
    );
    assert_eq!((facts.model.as_deref(), facts.output_cap), (Some("gpt-5"), Some(7)));
    assert_eq!((facts.choices, facts.stream, facts.malformed), (1, false, false));
}

#[test]
fn the_last_of_repeated_keys_counts() {
    let facts = chat(
        r#"{"model":"cheap","max_tokens":1,"n":1,"stream":true,"stream_options":{"include_usage":true},
            "model":"dear","max_tokens":900,"n":3,"stream":false,"stream_options":{}}"#,
    );
    assert_eq!(facts.model.as_deref(), Some("dear"));
    assert_eq!((facts.output_cap, facts.choices), (Some(900), 3));
    assert!(!facts.stream && !facts.include_usage);
    let nothing = chat(r#"{"model":"cheap","max_tokens":1,"model":null,"max_tokens":null}"#);
    assert_eq!((nothing.model, nothing.output_cap), (None, None));
}

#[test]
fn odd_amounts_are_read_so_that_no_server_gives_more() {
    for (text, expected) in [
        ("1e3", Some(1000)),
        ("64.0", Some(64)),
        ("63.2", Some(64)),
        ("0", Some(0)),
        ("-1", None),
        ("null", None),
        ("\"64\"", None),
        ("[64]", None),
        ("99999999999999999999999", Some(u64::MAX)),
    ] {
        assert_eq!(chat(&format!(r#"{{"max_tokens":{text}}}"#)).output_cap, expected, "{text}");
    }
    for (text, expected) in [("0", 1), ("-3", 1), ("2.5", 3), ("null", 1), ("1e99", u64::MAX)] {
        assert_eq!(chat(&format!(r#"{{"n":{text}}}"#)).choices, expected, "{text}");
    }
    let both = chat(r#"{"max_completion_tokens":1,"max_tokens":5000}"#);
    assert_eq!(both.output_cap, Some(5000), "an older server obeys the older name");
}

#[test]
fn a_fault_is_marked_and_what_follows_it_still_read() {
    for body in [
        r#"{"temperature":NaN,"model":"dear","max_tokens":9}"#,
        r#"{"a":1,,"model":"dear","max_tokens":9}"#,
        r#"{"a":01,"model":"dear","max_tokens":9}"#,
        r#"{"a":"\x","model":"dear","max_tokens":9}"#,
        r#"{"b":[1,2},"model":"dear","max_tokens":9}"#,
        "{\"messages\":\"\n\",\"model\":\"dear\",\"max_tokens\":9}",
        r#"{"model":"dear","max_tokens":9,}"#,
        r#"{"model":"dear","max_tokens":9}}"#,
        r#"{"model":"dear","max_tokens":9}{"model":"cheap"}"#,
        r#"{"model":"dear","max_tokens":9"#,
        r#"{"model":"dear","max_tokens":9,"messages":[{"content":"#,
    ] {
        let facts = chat(body);
        assert_eq!(facts.model.as_deref(), Some("dear"), "{body}");
        // What is passed over is not checked: a wrong bracket there goes unnoticed.
        assert_eq!(facts.malformed, !body.contains("[1,2}"), "{body}");
        let unfinished = body.ends_with(|end: char| end.is_ascii_digit());
        assert!(facts.output_cap == Some(9) || unfinished, "{body}");
    }
}

#[test]
fn what_is_not_json_counts_by_its_size() {
    for dialect in dialects::ALL.iter().filter(|spec| spec.uses_model).map(|spec| spec.dialect) {
        let facts = inspect_request(dialect, &[b'-'; 4001]);
        assert!(facts.malformed);
        assert_eq!(facts.input_estimate, TokenCount(1001));
    }
    let hidden = format!("{}\"{}", "[".repeat(500), "word ".repeat(1000));
    assert!(chat(&hidden).input_estimate.0 >= 1250);
}

#[test]
fn nesting_too_deep_is_passed_over_and_what_follows_is_read() {
    let deep = format!(r#"{{"messages":{}{},"model":"dear"}}"#, "[".repeat(5000), "]".repeat(5000));
    let facts = chat(&deep);
    assert_eq!((facts.model.as_deref(), facts.malformed), (Some("dear"), true));
}

#[test]
fn text_counts_wherever_it_stands_in_the_prompt() {
    let text = "Tell me about the history of the Hanseatic League, in detail.";
    let expected = tokens(text);
    for (dialect, body) in [
        (Dialect::OpenAiChat, json!({"messages": [{"role": "user", "content": text}]})),
        (
            Dialect::OpenAiChat,
            json!({"messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]}),
        ),
        (Dialect::AnthropicMessages, json!({"messages": [{"role": "user", "content": text}]})),
        (Dialect::AnthropicMessages, json!({"messages": [{"content": [{"type": "text", "text": text}]}]})),
    ] {
        assert_eq!(estimate(dialect, &body), expected + TOKENS_PER_MESSAGE, "{body}");
    }
    assert_eq!(estimate(Dialect::AnthropicMessages, &json!({"system": text})), expected);
    assert_eq!(
        estimate(Dialect::AnthropicMessages, &json!({"system": [{"type": "text", "text": text}]})),
        expected
    );
    assert_eq!(estimate(Dialect::OpenAiChat, &json!({"prompt": [text]})), expected);
    assert_eq!(estimate(Dialect::Generic, &json!({"anything": {"at": [text]}})), expected);
    assert_eq!(estimate(Dialect::OpenAiChat, &json!({"metadata": {"note": text}})), 1);
}

#[test]
fn escapes_are_undone_before_counting() {
    let text = "Съешь же ещё этих мягких французских булок — 你好, \"世界\"\n😀";
    let plain = json!({"messages": [{"content": text}]}).to_string();
    let escaped: String = plain
        .chars()
        .map(|character| match character {
            '\0'..='\x7F' => character.to_string(),
            wide => wide.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
        })
        .collect();
    let of_size = |body_bytes: u64, text: &str| RequestFacts { body_bytes, ..chat(text) };
    assert_eq!(of_size(0, &escaped), of_size(0, &plain));
    assert_eq!(chat(&plain).input_estimate.0, tokens(text) + TOKENS_PER_MESSAGE);
}

#[test]
fn keys_count_in_tool_schemas_only() {
    let keys = json!({"properties": {"departure_airport": {}, "arrival_airport": {}}});
    let tools = estimate(Dialect::OpenAiChat, &json!({"tools": [keys]}));
    assert!(tools >= tokens("departure_airport") + tokens("arrival_airport"));
    assert_eq!(estimate(Dialect::OpenAiChat, &json!({"metadata": [keys]})), 1);
    let input = json!({"messages": [{"content": [{"type": "tool_use", "input": keys}]}]});
    assert!(estimate(Dialect::AnthropicMessages, &input) > tools);
}

#[test]
fn media_count_flat_whatever_their_size() {
    let data = "iVBORw0KGgoAAAANSUhEUgAA".repeat(20_000);
    let url = format!("data:image/png;base64,{data}");
    let flat = TOKENS_PER_MEDIUM + TOKENS_PER_MESSAGE;
    let one = |part: Value| json!({"messages": [{"content": [part]}]});
    for (dialect, part) in [
        (Dialect::OpenAiChat, json!({"type": "image_url", "image_url": {"url": url, "detail": "high"}})),
        (Dialect::OpenAiChat, json!({"type": "image_url", "image_url": url})),
        (
            Dialect::OpenAiChat,
            json!({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}),
        ),
        (Dialect::OpenAiChat, json!({"type": "input_audio", "input_audio": {"data": data}})),
        (Dialect::AnthropicMessages, json!({"type": "image", "source": {"data": data}})),
        (Dialect::AnthropicMessages, json!({"type": "tool_result", "content": [{"source": {"data": data}}]})),
    ] {
        assert_eq!(estimate(dialect, &one(part.clone())), flat, "{dialect:?}");
    }
    // An endpoint that is not known: by the look of it.
    for string in [&url, &data] {
        assert_eq!(estimate(Dialect::Generic, &json!({"image": string})), TOKENS_PER_MEDIUM);
    }
    let broken_lines = data.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line) + "\n");
    let source = json!({"source": {"data": broken_lines.collect::<String>()}});
    assert_eq!(estimate(Dialect::AnthropicMessages, &one(source)), flat);
}

#[test]
fn text_in_the_place_of_media_still_counts() {
    let text = "It was the best of times, it was the worst of times. ".repeat(100);
    let source = json!({"type": "text", "media_type": "text/plain", "data": text});
    let document = json!({"messages": [{"content": [{"type": "document", "source": source}]}]});
    assert!(estimate(Dialect::AnthropicMessages, &document) > TOKENS_PER_MEDIUM + tokens(&text));
    // And what only begins like an image is text where text is expected.
    let part = json!({"type": "text", "text": format!("data:image/png;base64,{text}")});
    let body = json!({"messages": [{"content": [part]}]});
    assert!(estimate(Dialect::OpenAiChat, &body) >= tokens(&text));
}

#[test]
fn lists_of_tokens_count_their_elements() {
    assert_eq!(estimate(Dialect::Generic, &json!({"input": [1, 2, 3, 4]})), 4);
    assert_eq!(estimate(Dialect::Generic, &json!({"input": [[1, 2], [3]]})), 3);
    assert_eq!(estimate(Dialect::OpenAiChat, &json!({"prompt": [[1, 2], [3]]})), 3);
}

#[test]
fn unknown_endpoints_are_searched_for_the_usual_names() {
    for (body, cap) in [
        (json!({"model": "m", "max_output_tokens": 5}), 5),
        (json!({"model": "m", "max_tokens": 6, "max_output_tokens": 5}), 6),
        (json!({"model": "m", "generationConfig": {"maxOutputTokens": 7}}), 7),
        (json!({"model": "m", "inferenceConfig": {"maxTokens": 8}}), 8),
        (json!({"model": "m", "options": {"num_predict": 9}}), 9),
    ] {
        let facts = inspect_request(Dialect::Generic, body.to_string().as_bytes());
        assert_eq!((facts.model.as_deref(), facts.output_cap), (Some("m"), Some(cap)));
    }
}

#[test]
fn a_model_name_has_a_bound() {
    let facts = chat(&json!({"model": "é".repeat(100)}).to_string());
    assert_eq!(facts.model.map(|name| name.len()), Some(MODEL_BYTES_MAX));
    assert_eq!(chat(r#"{"model":""}"#).model.as_deref(), Some(""));
}

/// What a straightforward reader finds at the root of an object.
fn expected(body: &Value) -> (Option<String>, Option<u64>, u64, bool, bool) {
    let amount = |value: &Value| {
        let exact = value.as_u64();
        exact.or_else(|| value.as_f64().filter(|amount| *amount >= 0.0).map(|amount| amount.ceil() as u64))
    };
    let model = body["model"].as_str().map(str::to_owned);
    let cap = amount(&body["max_tokens"]).max(amount(&body["max_completion_tokens"]));
    let choices = amount(&body["n"]).unwrap_or(1).max(1);
    let include_usage = body["stream_options"]["include_usage"] == true;
    (model, cap, choices, body["stream"] == true, include_usage)
}

fn found(facts: RequestFacts) -> (Option<String>, Option<u64>, u64, bool, bool) {
    (facts.model, facts.output_cap, facts.choices, facts.stream, facts.include_usage)
}

#[test]
fn every_sample_is_read_like_serde_json_reads_it() {
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples");
    let mut count = 0;
    for entry in std::fs::read_dir(samples).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.ends_with("request.json") {
            continue;
        }
        let (dialect, cap_at) = match name.split_at(name.find(".").unwrap()).0 {
            "anthropic-messages" => (Dialect::AnthropicMessages, "/max_tokens"),
            "bedrock-converse" => (Dialect::BedrockConverse, "/inferenceConfig/maxTokens"),
            "bedrock-invoke-anthropic" => (Dialect::BedrockInvoke, "/max_tokens"),
            "cohere-chat-v2" => (Dialect::Cohere, "/max_tokens"),
            "gemini-generateContent" => (Dialect::Gemini, "/generationConfig/maxOutputTokens"),
            "mcp-tools-call" => continue,
            "mistral-chat" => (Dialect::Mistral, "/max_tokens"),
            "ollama-chat" => (Dialect::Ollama, "/options/num_predict"),
            "openai-chat" => (Dialect::OpenAiChat, ""),
            "openai-completions" => (Dialect::OpenAiCompletions, ""),
            "openai-embeddings" => (Dialect::OpenAiEmbeddings, ""),
            "openai-responses" => (Dialect::OpenAiResponses, "/max_output_tokens"),
            "tgi-generate" => (Dialect::Tgi, "/parameters/max_new_tokens"),
            other => panic!("{other} has no dialect"),
        };
        let body: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for text in [body.to_string(), serde_json::to_string_pretty(&body).unwrap()] {
            let facts = inspect_request(dialect, text.as_bytes());
            let (model, mut cap, mut choices, mut stream, include_usage) = expected(&body);
            cap = cap.max(body.pointer(cap_at).and_then(Value::as_u64));
            choices *= body["prompt"].as_array().map_or(1, |prompts| prompts.len() as u64);
            stream |= dialect == Dialect::Ollama;
            assert!(!facts.malformed && facts.input_estimate.0 > 1, "{name}");
            assert_eq!(found(facts), (model, cap, choices, stream, include_usage), "{name}");
        }
        count += 1;
    }
    assert_eq!(count, 13);
}

fn any_value() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        prop::sample::select(vec![
            "model",
            "max_tokens",
            "max_completion_tokens",
            "n",
            "stream",
            "stream_options",
            "include_usage",
            "messages",
            "content",
            "role",
            "type",
            "text",
            "image_url",
            "url",
            "tools",
            "prompt",
        ])
        .prop_map(str::to_owned),
        ".{0,6}",
    ];
    let number = prop_oneof![
        any::<u32>().prop_map(|number| json!(number)),
        (-1_000_000..1_000_000).prop_map(|eighths| json!(f64::from(eighths) / 8.0)),
        (-5i64..50).prop_map(|number| json!(number)),
    ];
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number,
        "[ -~]{0,12}|\\PC{0,12}|[\\x00-\\x20\"\\\\]{0,8}".prop_map(Value::String),
    ];
    scalar.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::btree_map(key.clone(), inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Writes a value with white space and escapes that another writer might choose.
fn written(value: &Value, seed: u64) -> String {
    let mut state = seed;
    let plain = serde_json::to_string_pretty(value).unwrap();
    let mut in_string = false;
    let mut escaped = false;
    let mut out = String::new();
    for character in plain.chars() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let chosen = (state >> 33).is_multiple_of(4);
        let special = matches!(character, '"' | '\\' | '0'..='9' | 'a'..='f') || escaped;
        if in_string && !special && chosen {
            character
                .encode_utf16(&mut [0; 2])
                .iter()
                .for_each(|unit| out.push_str(&format!("\\u{unit:04X}")));
        } else if !in_string && character == ':' && chosen {
            out.push_str("\t:\r\n");
        } else {
            out.push(character);
        }
        in_string ^= character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_scanner_finds_what_serde_json_finds(value in any_value(), seed: u64) {
        let text = written(&value, seed);
        prop_assert_eq!(&serde_json::from_str::<Value>(&text).unwrap(), &value);
        let facts = chat(&text);
        prop_assert!(!facts.malformed, "{}", text);
        let compact = chat(&value.to_string());
        prop_assert_eq!(&facts, &RequestFacts { body_bytes: facts.body_bytes, ..compact });
        prop_assert_eq!(found(facts), expected(&value));
    }

    #[test]
    fn long_lists_of_tools_are_estimated_alike_in_one_piece_and_in_many(
        tools in prop::collection::vec(any_value(), 1..20), repeats in 1usize..60, piece in 1usize..40,
    ) {
        let body = json!({"messages": [{"role": "user", "content": "Hi"}], "tools": vec![tools; repeats], "n": 3});
        let body = serde_json::to_string_pretty(&body).unwrap();
        let mut scanner = Scanner::new(Dialect::OpenAiChat.spec().request);
        let mut reading = Reading::new(Dialect::OpenAiChat, body.len() as u64);
        body.as_bytes().chunks(piece).for_each(|piece| {
            scanner.feed(piece, &mut reading);
        });
        prop_assert_eq!(reading.facts(false, body.len() as u64), chat(&body));
    }

    #[test]
    fn any_bytes_are_read_without_fault(body: Vec<u8>) {
        for spec in dialects::ALL {
            let facts = inspect_request(spec.dialect, &body);
            prop_assert!(facts.input_estimate.0 > 0 || !spec.uses_model);
            prop_assert!(facts.choices > 0);
            if serde_json::from_slice::<Value>(&body).is_ok() {
                prop_assert!(!facts.malformed);
            }
        }
    }

    #[test]
    fn json_with_a_byte_changed_is_read_without_fault(value in any_value(), at: prop::sample::Index, byte: u8) {
        let mut body = value.to_string().into_bytes();
        let at = at.index(body.len());
        body[at] = byte;
        let facts = inspect_request(Dialect::OpenAiChat, &body);
        if let Ok(value) = serde_json::from_slice::<Value>(&body) {
            prop_assert!(!facts.malformed);
            prop_assert_eq!(found(facts), expected(&value));
        }
    }
}

mod forms;
