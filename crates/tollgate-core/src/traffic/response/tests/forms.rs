//! The forms that only some dialects have: frames, envelopes, arrays, lines, headers, and what is very long.

use super::*;

const CLAUDE_EVENTS: [&str; 5] = [
    r#"{"type":"message_start","message":{"model":"claude-haiku-4-5","usage":{"input_tokens":21,"cache_read_input_tokens":1024,"cache_creation_input_tokens":188,"output_tokens":1}}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"The toll gate opens. \"usage\":{\"output_tokens\":9}"}}"#,
    r#"{"type":"ping"}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":55,"output_tokens_details":{"thinking_tokens":40}}}"#,
    r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":21,"outputTokenCount":55,"invocationLatency":1,"firstByteLatency":1,"cacheReadInputTokenCount":1024,"cacheWriteInputTokenCount":188}}"#,
];

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = ALPHABET[bits >> (18 - 6 * place) & 63] as char;
            out.push(if place <= three.len() { letter } else { '=' });
        }
    }
    out
}

fn enveloped(events: &[&str]) -> Vec<u8> {
    let payload = |text: &&str| json!({"p": "abcdefgh", "bytes": base64(text.as_bytes())}).to_string();
    events.iter().flat_map(|text| event("chunk", &payload(text))).collect()
}

fn invoke(body: &[u8]) -> Observed {
    read(Dialect::BedrockInvoke, &[body])
}

#[test]
fn events_in_envelopes_are_read_however_they_are_cut() {
    let body = enveloped(&CLAUDE_EVENTS);
    let whole = invoke(&body);
    assert_eq!(totals(&whole.usage), Some([1233, 55, 1024, 188, 40]));
    assert!(whole.reported && whole.finished && !whole.error);
    assert_eq!(whole.model.as_deref(), Some("claude-haiku-4-5"));
    assert!(whole.output_estimate.0 >= 8, "{:?}", whole.output_estimate);
    for at in 0..=body.len() {
        assert_eq!(read(Dialect::BedrockInvoke, &[&body[..at], &body[at..]]), whole, "cut at {at}");
    }
    assert_eq!(read(Dialect::BedrockInvoke, &body.chunks(1).collect::<Vec<_>>()), whole);
}

#[test]
fn every_vendor_behind_bedrock_tells_its_usage_by_the_metrics_or_its_own_names() {
    let metrics = r#"{"amazon-bedrock-invocationMetrics":{"inputTokenCount":9,"outputTokenCount":4}}"#;
    let llama =
        r#"{"generation":"words","prompt_token_count":9,"generation_token_count":4,"stop_reason":"stop"}"#;
    let titan = r#"{"outputText":"words","inputTextTokenCount":9,"totalOutputTextTokenCount":4}"#;
    let nova = r#"{"metadata":{"usage":{"inputTokens":9,"outputTokens":4}}}"#;
    for text in [metrics, llama, titan, nova] {
        assert_eq!(totals(&invoke(&enveloped(&[text])).usage), Some([9, 4, 0, 0, 0]), "{text}");
    }
    for body in [
        llama,
        r#"{"inputTextTokenCount":9,"results":[{"tokenCount":4,"outputText":"words"}]}"#,
        r#"{"output":{"message":{"content":[{"text":"words"}]}},"usage":{"inputTokens":9,"outputTokens":4}}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}"#,
    ] {
        assert_eq!(totals(&invoke(body.as_bytes()).usage), Some([9, 4, 0, 0, 0]), "{body}");
    }
}

#[test]
fn headers_tell_what_the_body_does_not() {
    let with_headers = |dialect: Dialect, headers: &[(&str, &str)], body: &str| {
        let mut parser = ResponseParser::new(dialect);
        headers.iter().for_each(|(name, value)| parser.header(name, value));
        parser.feed(body.as_bytes());
        parser.observed()
    };
    let headers = [("x-amzn-bedrock-input-token-count", "12"), ("x-amzn-bedrock-output-token-count", "30")];
    let mistral = with_headers(Dialect::BedrockInvoke, &headers, r#"{"outputs":[{"text":"Hi."}]}"#);
    assert_eq!((totals(&mistral.usage), mistral.reported), (Some([12, 30, 0, 0, 0]), true));
    let claude = r#"{"usage":{"input_tokens":12,"cache_read_input_tokens":7,"output_tokens":31}}"#;
    let both = with_headers(Dialect::BedrockInvoke, &headers, claude);
    assert_eq!(totals(&both.usage), Some([19, 31, 7, 0, 0]), "the body knows more");
    let tgi = [("x-prompt-tokens", "4"), ("x-generated-tokens", "2")];
    let tgi = with_headers(Dialect::Tgi, &tgi, r#"{"generated_text":"a"}"#);
    assert_eq!((totals(&tgi.usage), tgi.reported), (Some([4, 2, 0, 0, 0]), true));
    let foreign = with_headers(Dialect::OpenAiChat, &headers, "{}");
    assert_eq!((foreign.usage, foreign.reported), (Usage::default(), false));
    let wrong = with_headers(Dialect::BedrockInvoke, &[("x-amzn-bedrock-output-token-count", "-3")], "{}");
    assert!(!wrong.reported);
}

#[test]
fn of_a_frame_that_was_changed_nothing_counts() {
    let metadata = |output: u64| {
        event("metadata", &json!({"usage": {"inputTokens": 12, "outputTokens": output}}).to_string())
    };
    let mut changed = metadata(3);
    let at = changed.len() - 10;
    changed[at] ^= 1;
    let observed = read(Dialect::BedrockConverse, &[&metadata(30), &changed, &metadata(1)]);
    assert_eq!(totals(&observed.usage), Some([12, 30, 0, 0, 0]));
    assert_eq!(observed.output_estimate.0, observed.body_bytes.div_ceil(4));
    let alone = read(Dialect::BedrockConverse, &[&changed]);
    assert!(!alone.reported && !alone.finished && alone.output_estimate.0 > 0);
}

#[test]
fn a_streamed_array_is_read_like_a_stream_of_events() {
    let part = |text: &str, usage: Value| json!({"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}}], "usageMetadata": usage});
    let first = part("A", json!({"promptTokenCount": 310, "totalTokenCount": 310}));
    let mut last = part(
        " boat.",
        json!({"promptTokenCount": 310, "candidatesTokenCount": 40, "thoughtsTokenCount": 80, "totalTokenCount": 430}),
    );
    last["candidates"][0]["finishReason"] = "STOP".into();
    let body = format!("[{first}\n,\r\n{last}\n]\n");
    let whole = read(Dialect::Gemini, &[body.as_bytes()]);
    assert_eq!((totals(&whole.usage), whole.finished), (Some([310, 120, 0, 0, 80]), true));
    for at in 0..=body.len() {
        assert_eq!(read(Dialect::Gemini, &[&body.as_bytes()[..at], &body.as_bytes()[at..]]), whole, "{at}");
    }
    let cut = read(Dialect::Gemini, &[format!("[{first}\n,").as_bytes()]);
    assert!(!cut.finished);
}

#[test]
fn vectors_are_no_output() {
    for (dialect, body, expected, reported) in [
        (Dialect::Ollama, r#"{"embeddings":[[0.1]],"prompt_eval_count":8}"#, Some([8, 0, 0, 0, 0]), true),
        (
            Dialect::Cohere,
            r#"{"embeddings":{"float":[[0.1]]},"meta":{"billed_units":{"input_tokens":5.0}}}"#,
            Some([5, 0, 0, 0, 0]),
            true,
        ),
        (
            Dialect::Gemini,
            r#"{"predictions":[{"embeddings":{"statistics":{"token_count":3},"values":[1]}},{"embeddings":{"statistics":{"token_count":4}}}]}"#,
            Some([7, 0, 0, 0, 0]),
            true,
        ),
        (Dialect::Gemini, r#"{"embedding":{"values":[0.1]}}"#, None, false),
    ] {
        let observed = read(dialect, &[body.as_bytes()]);
        assert_eq!((totals(&observed.usage), observed.reported), (expected, reported), "{body}");
        assert_eq!((observed.usage.output, observed.finished), (Some(0), true), "{body}");
    }
}

#[test]
fn an_answer_that_is_fetched_later_is_told_from_an_empty_one() {
    let batch = r#"{"id":"msgbatch_1","type":"message_batch","processing_status":"in_progress"}"#;
    let batch = read(Dialect::AnthropicBatches, &[batch.as_bytes()]);
    assert!(batch.deferred && batch.finished && !batch.reported);
    let deferred = |body: &str| read(Dialect::OpenAiResponses, &[body.as_bytes()]).deferred;
    assert!(deferred(r#"{"status":"queued","output":[],"usage":null}"#));
    assert!(deferred(r#"{"status":"completed","status":"in_progress"}"#));
    assert!(!deferred(r#"{"status":"completed","output":[],"usage":{"output_tokens":0}}"#));
    assert!(!deferred("data: {\"type\":\"response.created\",\"response\":{\"status\":\"in_progress\"}}\n\n"));
}

#[test]
fn what_a_server_leaves_out_stays_missing() {
    let cached = r#"{"model":"m","response":"words","done":true,"eval_count":282}"#;
    let observed = read(Dialect::Ollama, &[cached.as_bytes()]);
    assert_eq!((observed.usage.total_input(), observed.usage.output), (None, Some(282)));
    let billed = r#"{"usage":{"billed_units":{"input_tokens":5,"output_tokens":9}}}"#;
    assert_eq!(totals(&read(Dialect::Cohere, &[billed.as_bytes()]).usage), Some([5, 9, 0, 0, 0]));
}

#[test]
fn each_native_format_tells_its_text_and_its_end() {
    for (dialect, parts, end) in [
        (
            Dialect::Ollama,
            r#"{"message":{"content":"some words of an answer "},"done":false}"#,
            r#"{"message":{"content":""},"done":true}"#,
        ),
        (Dialect::Ollama, r#"{"response":"some words of an answer ","done":false}"#, r#"{"done":true}"#),
        (
            Dialect::LlamaCpp,
            "data: {\"content\":\"some words of an answer \",\"stop\":false,\"tokens_predicted\":5}\n\n",
            "data: {\"content\":\"\",\"stop\":true,\"tokens_evaluated\":9,\"tokens_predicted\":50,\"timings\":{\"cache_n\":4}}\n\n",
        ),
        (
            Dialect::Tgi,
            "data: {\"token\":{\"text\":\"some words of an answer \"},\"generated_text\":null}\n\n",
            "data: {\"token\":{\"text\":\"\"},\"generated_text\":\"some words of an answer, all of it\"}\n\n",
        ),
        (
            Dialect::Cohere,
            "data: {\"type\":\"content-delta\",\"delta\":{\"message\":{\"content\":{\"text\":\"some words of an answer \"}}}}\n\n",
            "event: message-end\ndata: {\"delta\":{}}\n\n",
        ),
        (
            Dialect::Cohere,
            "{\"is_finished\":false,\"event_type\":\"text-generation\",\"text\":\"some words of an answer \"}\n",
            "{\"is_finished\":true,\"event_type\":\"stream-end\",\"response\":{\"text\":\"some words of an answer, all of it\"}}\n",
        ),
        (
            Dialect::OpenAiResponses,
            "data: {\"type\":\"response.output_text.delta\",\"delta\":\"some words of an answer \"}\n\n",
            "data: {\"type\":\"response.completed\",\"response\":{\"output\":[{\"content\":[{\"text\":\"all of it\"}]}]}}\n\n",
        ),
        (
            Dialect::Gemini,
            "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"some words of an answer \"}]}}]}\r\n\r\n",
            "data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\r\n\r\n",
        ),
    ] {
        let started = parts.repeat(10);
        let observed = read(dialect, &[started.as_bytes()]);
        assert!((45..=60).contains(&observed.output_estimate.0), "{parts}: {:?}", observed.output_estimate);
        assert!(!observed.finished && !observed.error, "{parts}");
        let ended = read(dialect, &[started.as_bytes(), end.as_bytes()]);
        assert_eq!(ended.output_estimate, observed.output_estimate, "what is repeated counts once: {end}");
        assert!(ended.finished, "{end}");
    }
    let whole = r#"{"generated_text":"some words of an answer"}"#;
    assert!(read(Dialect::Tgi, &[whole.as_bytes()]).output_estimate.0 >= 5);
}

#[test]
fn errors_inside_a_good_status_are_seen_in_every_dialect() {
    let exception = frame(
        &[(":exception-type", "throttlingException"), (":message-type", "exception")],
        br#"{"message":"Too many tokens"}"#,
    );
    for (dialect, body) in [
        (Dialect::BedrockConverse, exception.as_slice()),
        (Dialect::BedrockInvoke, exception.as_slice()),
        (Dialect::Gemini, br#"[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}]"#),
        (Dialect::Gemini, b"data: {\"error\":{\"code\":503}}\r\n\r\n"),
        (
            Dialect::Ollama,
            b"{\"message\":{\"content\":\"a\"},\"done\":false}\n{\"error\":\"out of memory\"}\n",
        ),
        (Dialect::Cohere, b"data: {\"type\":\"message-end\",\"delta\":{\"error\":\"failed\"}}\n\n"),
        (Dialect::Tgi, b"data:{\"error\":\"overloaded\",\"error_type\":\"overloaded\"}\n\n"),
        (Dialect::LlamaCpp, b"data: {\"error\":{\"code\":500}}\n\n"),
        (Dialect::Mistral, b"data: {\"error\":{\"message\":\"m\"}}\n\n"),
        (Dialect::OpenAiCompletions, b"data: {\"error\":{\"message\":\"m\"}}\n\n"),
        (Dialect::OpenAiEmbeddings, b"{\"error\":{\"message\":\"m\"}}"),
        (Dialect::OpenAiResponses, b"event: response.failed\ndata: {}\n\n"),
        (Dialect::OpenAiResponses, b"data: {\"type\":\"error\",\"message\":\"m\"}\n\n"),
        (Dialect::Mcp, b"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32602}}"),
    ] {
        assert!(read(dialect, &[body]).error, "{dialect:?}: {}", String::from_utf8_lossy(body));
    }
}

#[test]
fn what_no_model_answers_uses_no_tokens() {
    let body = std::fs::read(format!("{SAMPLES}/mcp-tools-call.response.sse")).unwrap();
    let observed = read(Dialect::Mcp, &[&body]);
    assert_eq!((totals(&observed.usage), observed.reported), (Some([0; 5]), true));
}

#[test]
fn memory_does_not_grow_with_lines_or_strings() {
    // The parser has no heap at all; its size is the bound.
    assert!(size_of::<ResponseParser>() <= 3072, "{}", size_of::<ResponseParser>());
    let mut parser = ResponseParser::new(Dialect::OpenAiChat);
    parser.feed(b"data: {\"choices\":[{\"delta\":{\"content\":\"");
    // A line of 20 MB.
    (0..20_000).for_each(|_| parser.feed(&[b'a'; 1024]));
    parser.feed(b"\"}}],\"usage\":{\"completion_tokens\":77}}\n\n");
    assert_eq!(parser.observed().usage.output, Some(77));
}

#[test]
fn fifty_megabytes_are_read_to_their_last_member() {
    let piece = "0.123456789,".repeat(5_000);
    for (dialect, start, end) in [
        (
            Dialect::OpenAiEmbeddings,
            "{\"data\":[{\"embedding\":[",
            "0]}],\"usage\":{\"prompt_tokens\":9,\"total_tokens\":9}}",
        ),
        (
            Dialect::OpenAiResponses,
            "data: {\"type\":\"response.completed\",\"response\":{\"output\":[",
            "0],\"usage\":{\"input_tokens\":9,\"output_tokens\":0}}}\n\n",
        ),
        (Dialect::Ollama, "{\"embeddings\":[[", "0]],\"prompt_eval_count\":9}"),
    ] {
        let mut parser = ResponseParser::new(dialect);
        parser.feed(start.as_bytes());
        (0..50_000_000 / piece.len() + 1).for_each(|_| parser.feed(piece.as_bytes()));
        parser.feed(end.as_bytes());
        let observed = parser.observed();
        assert!(observed.body_bytes > 50_000_000);
        assert_eq!(
            (totals(&observed.usage), observed.finished),
            (Some([9, 0, 0, 0, 0]), true),
            "{dialect:?}"
        );
    }
}
