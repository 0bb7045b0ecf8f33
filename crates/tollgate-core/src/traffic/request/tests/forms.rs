//! The forms that only some dialects have: prompts and media in other places, several prompts, calls of tools.

use super::*;

const TEXT: &str = "Tell me about the history of the Hanseatic League, in detail.";

#[test]
fn text_counts_wherever_each_dialect_has_it() {
    let expected = tokens(TEXT);
    let block = json!([{"text": TEXT}]);
    for (dialect, body, messages) in [
        (Dialect::OpenAiCompletions, json!({"prompt": TEXT}), 0),
        (Dialect::OpenAiCompletions, json!({"prompt": [TEXT]}), 0),
        (Dialect::OpenAiResponses, json!({"input": TEXT}), 0),
        (Dialect::OpenAiResponses, json!({"instructions": TEXT}), 0),
        (Dialect::OpenAiResponses, json!({"input": [{"role": "user", "content": TEXT}]}), 1),
        (
            Dialect::OpenAiResponses,
            json!({"input": [{"role": "user", "content": [{"type": "input_text", "text": TEXT}]}]}),
            1,
        ),
        (Dialect::OpenAiResponses, json!({"input": [{"type": "function_call_output", "output": TEXT}]}), 1),
        (Dialect::OpenAiEmbeddings, json!({"input": [TEXT]}), 0),
        (Dialect::Gemini, json!({"contents": [{"role": "user", "parts": block}]}), 1),
        (Dialect::Gemini, json!({"contents": {"parts": {"text": TEXT}}}), 1),
        (Dialect::Gemini, json!({"system_instruction": {"parts": block}}), 1),
        (Dialect::Gemini, json!({"requests": [{"content": {"parts": block}}]}), 1),
        (Dialect::BedrockConverse, json!({"messages": [{"role": "user", "content": block}]}), 1),
        (Dialect::BedrockConverse, json!({"system": block}), 0),
        (
            Dialect::BedrockConverse,
            json!({"messages": [{"content": [{"toolResult": {"toolUseId": "x", "content": block}}]}]}),
            1,
        ),
        (Dialect::BedrockInvoke, json!({"messages": [{"role": "user", "content": block}]}), 1),
        (Dialect::BedrockInvoke, json!({"prompt": TEXT}), 0),
        (Dialect::BedrockInvoke, json!({"inputText": TEXT}), 0),
        (Dialect::Cohere, json!({"messages": [{"role": "user", "content": TEXT}]}), 1),
        (Dialect::Cohere, json!({"texts": [TEXT]}), 0),
        (Dialect::Cohere, json!({"message": TEXT}), 0),
        (Dialect::Mistral, json!({"messages": [{"role": "user", "content": TEXT}]}), 1),
        (Dialect::Mistral, json!({"prompt": TEXT}), 0),
        (Dialect::Ollama, json!({"messages": [{"role": "user", "content": TEXT}]}), 1),
        (Dialect::Ollama, json!({"prompt": TEXT}), 0),
        (Dialect::Ollama, json!({"input": [TEXT]}), 0),
        (Dialect::Tgi, json!({"inputs": TEXT}), 0),
        (Dialect::LlamaCpp, json!({"prompt": TEXT}), 0),
        (Dialect::LlamaCpp, json!({"prompt": [TEXT]}), 0),
    ] {
        assert_eq!(estimate(dialect, &body), expected + messages * TOKENS_PER_MESSAGE, "{body}");
    }
}

#[test]
fn media_count_flat_wherever_each_dialect_has_them() {
    let data = "iVBORw0KGgoAAAANSUhEUgAA".repeat(2_000);
    let bytes = json!({"format": "png", "source": {"bytes": data}});
    for (dialect, body, messages) in [
        (
            Dialect::OpenAiResponses,
            json!({"input": [{"content": [{"type": "input_image", "image_url": data}]}]}),
            1,
        ),
        (
            Dialect::Gemini,
            json!({"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": data}}]}]}),
            1,
        ),
        (Dialect::BedrockConverse, json!({"messages": [{"content": [{"image": bytes}]}]}), 1),
        (Dialect::Ollama, json!({"images": [data]}), 0),
        (Dialect::Cohere, json!({"images": [data]}), 0),
        (Dialect::Mistral, json!({"messages": [{"content": [{"type": "image_url", "image_url": data}]}]}), 1),
    ] {
        assert_eq!(
            estimate(dialect, &body),
            TOKENS_PER_MEDIUM + messages * TOKENS_PER_MESSAGE,
            "{dialect:?}"
        );
    }
}

#[test]
fn each_prompt_of_a_list_gets_its_answers() {
    let choices =
        |body: Value| inspect_request(Dialect::OpenAiCompletions, body.to_string().as_bytes()).choices;
    assert_eq!(choices(json!({"prompt": "a"})), 1);
    assert_eq!(choices(json!({"prompt": ["a", "b", "c"], "n": 2})), 6);
    assert_eq!(choices(json!({"prompt": ["a"], "n": 2, "best_of": 5})), 5);
    assert_eq!(choices(json!({"prompt": [1, 2, 3]})), 1, "numbers are one prompt");
    assert_eq!(choices(json!({"prompt": [[1, 2], [3]]})), 2);
}

#[test]
fn a_batch_is_all_of_its_requests() {
    let request = |model: &str, cap: u64, text: &str| {
        json!({"custom_id": "a", "params": {"model": model, "max_tokens": cap, "system": text,
            "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]}})
    };
    let words = "some words that are read for each of the requests ".repeat(10);
    let facts = |requests: &[Value]| {
        let body = json!({"requests": requests}).to_string();
        inspect_request(Dialect::AnthropicBatches, body.as_bytes())
    };
    let one = facts(&[request("claude-a", 100, &words)]);
    assert_eq!((one.model.as_deref(), one.output_cap, one.choices), (Some("claude-a"), Some(100), 1));
    assert!(one.input_estimate.0 > 180, "{one:?}");
    let (dear, cheap) = (request("claude-a", 900, &words), request("claude-a", 10, &words));
    let three = facts(&[cheap.clone(), dear.clone(), cheap.clone()]);
    assert_eq!((three.output_cap, three.choices), (Some(900), 3));
    assert!(three.input_estimate.0 > 5 * one.input_estimate.0 / 2);
    let mixed = facts(&[dear, request("claude-b", 10, "x")]);
    assert_eq!(mixed.model.as_deref(), Some(SEVERAL_MODELS));
    // An id is not for the model, and a batch without requests still costs something.
    assert_eq!(facts(&[]).input_estimate.0, 1);
    // A picture is one, whatever its size.
    let image = json!({"type": "image", "source": {"type": "base64", "data": "iVBORw0KGgo".repeat(1000)}});
    let seen =
        facts(&[json!({"params": {"model": "m", "messages": [{"role": "user", "content": [image]}]}})]);
    assert!(seen.input_estimate.0 < 2 * TOKENS_PER_MEDIUM, "{seen:?}");
}

#[test]
fn a_stream_is_what_the_dialect_gives_unasked() {
    let streams = |body: &str| inspect_request(Dialect::Ollama, body.as_bytes()).stream;
    assert!(streams("{}") && streams(r#"{"stream":true}"#));
    assert!(!streams(r#"{"stream":false}"#));
}

#[test]
fn no_limit_of_output_is_no_cap() {
    let endless = inspect_request(Dialect::Ollama, br#"{"options":{"num_predict":-1}}"#);
    assert_eq!(endless.output_cap, None);
}

fn tool(dialect: Dialect, body: &str) -> (Option<String>, u64) {
    let facts = inspect_request(dialect, body.as_bytes());
    (facts.tool, facts.choices)
}

#[test]
fn the_tool_is_told_by_the_call_of_it() {
    let call = |method: &str, name: &str| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"name": name, "arguments": {"name": "decoy"}}});
    for dialect in [Dialect::Mcp, Dialect::Generic] {
        let search = call("tools/call", "search");
        assert_eq!(tool(dialect, &search.to_string()), (Some("search".into()), 1));
        assert_eq!(tool(dialect, &call("prompts/get", "search").to_string()).0, None);
        assert_eq!(tool(dialect, &call("tools/callx", "search").to_string()).0, None);
        let batch = json!([call("initialize", "x"), search, search]);
        assert_eq!(tool(dialect, &batch.to_string()), (Some("search".into()), 2));
        let mixed = json!([search, call("tools/call", "dear")]);
        assert_eq!(tool(dialect, &mixed.to_string()), (Some(SEVERAL_TOOLS.into()), 2));
        let reordered = r#"{"params":{"arguments":{},"name":"s\u0065arch"},"method":"tools\/call"}"#;
        assert_eq!(tool(dialect, reordered).0.as_deref(), Some("search"));
        let repeated =
            r#"{"method":"ping","params":{"name":"cheap"},"method":"tools/call","params":{"name":"dear"}}"#;
        assert_eq!(tool(dialect, repeated).0.as_deref(), Some("dear"));
        let emptied = r#"{"method":"tools/call","params":{"name":"cheap"},"params":{}}"#;
        assert_eq!(tool(dialect, emptied).0.as_deref(), Some(""));
    }
    assert_eq!(tool(Dialect::OpenAiChat, &call("tools/call", "search").to_string()).0, None);
}

#[test]
fn the_id_of_a_call_is_told_as_json() {
    let id = |body: &str| inspect_request(Dialect::Mcp, body.as_bytes()).call_id;
    assert_eq!(id(r#"{"id":7,"method":"tools/call"}"#).as_deref(), Some("7"));
    assert_eq!(id(r#"{"id":"a\"b\u00e9"}"#).as_deref(), Some("\"a\\\"bé\""));
    assert_eq!(id(r#"{"id":7,"id":"x"}"#).as_deref(), Some("\"x\""));
    for none in ["{}", r#"{"id":null}"#, r#"{"id":-1}"#, r#"{"id":{}}"#, r#"[{"id":1},{"id":2}]"#] {
        assert_eq!(id(none), None, "{none}");
    }
    let long = |bytes: usize| id(&json!({"id": "x".repeat(bytes)}).to_string());
    assert!(long(128).is_some() && long(129).is_none());
}

#[test]
fn the_sample_of_a_call_uses_no_tokens() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/mcp-tools-call.request.json");
    let facts = inspect_request(Dialect::Mcp, &std::fs::read(path).unwrap());
    assert_eq!(facts.tool.as_deref(), Some("search_docs"));
    assert_eq!((facts.input_estimate, facts.output_cap, facts.malformed), (TokenCount(0), Some(0), false));
}

#[test]
fn what_is_no_chat_counts_as_text_on_a_path_nobody_knows() {
    // The places of JSON-RPC are no hiding place.
    let body = json!({"method": TEXT, "params": {"name": TEXT, "other": TEXT}});
    // Each is rounded up alone, and their sum once.
    let about = |texts: u64| texts * (tokens(TEXT) - 1) + 1..=texts * tokens(TEXT);
    assert!(about(3).contains(&estimate(Dialect::Generic, &body)));
    assert!(about(2).contains(&estimate(Dialect::Generic, &json!([TEXT, {"x": TEXT}]))));
}
