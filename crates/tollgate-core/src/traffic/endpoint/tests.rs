use super::*;

fn dialect(path: &str) -> Option<Dialect> {
    Endpoint::detect("POST", path, None).map(|endpoint| endpoint.dialect)
}

fn is_free(path: &str) -> bool {
    Endpoint::detect("POST", path, None).unwrap().free
}

#[test]
fn endpoints_are_known_by_their_last_segments() {
    use Dialect::*;
    for (path, expected) in [
        ("/v1/chat/completions", OpenAiChat),
        ("/v1/chat/completions/", OpenAiChat),
        ("/v1/chat/completions//", OpenAiChat),
        ("/v1/chat/completions?x=1", OpenAiChat),
        ("/v1/ch%61t/completions", OpenAiChat),
        ("/expensive/v1/chat/completions", OpenAiChat),
        ("/openai/deployments/x/chat/completions?api-version=2026-10-01", OpenAiChat),
        ("/v1/completions", OpenAiCompletions),
        ("/openai/deployments/x/completions", OpenAiCompletions),
        ("/v1/responses", OpenAiResponses),
        ("/openai/v1/responses", OpenAiResponses),
        ("/v1/responses/compact", OpenAiResponses),
        ("/v1/embeddings", OpenAiEmbeddings),
        ("/openai/deployments/x/embeddings", OpenAiEmbeddings),
        ("/v1/embeddings?path=/v1/chat/completions", OpenAiEmbeddings),
        ("/v1/messages", AnthropicMessages),
        ("/anthropic/v1/messages?beta=true", AnthropicMessages),
        ("/v1/projects/p/locations/l/publishers/anthropic/models/m:streamRawPredict", AnthropicMessages),
        ("/v1beta/models/gemini-3.8-flash:generateContent", Gemini),
        ("/v1beta/models/gemini-3.8-flash%3AgenerateContent", Gemini),
        ("/v1/projects/p/locations/l/publishers/google/models/m:streamGenerateContent?alt=sse", Gemini),
        ("/v1beta/tunedModels/t:generateContent", Gemini),
        ("/v1beta/models/embed:batchEmbedContents", Gemini),
        ("/model/us.amazon.nova-pro-v1%3A0/converse", BedrockConverse),
        ("/model/m/converse-stream", BedrockConverse),
        ("/model/m/invoke", BedrockInvoke),
        ("/model/m/invoke-with-response-stream", BedrockInvoke),
        ("/v2/chat", Cohere),
        ("/v2/embed", Cohere),
        ("/v1/rerank", Cohere),
        ("/v1/fim/completions", Mistral),
        ("/v1/agents/completions", Mistral),
        ("/api/chat", Ollama),
        ("/api/generate", Ollama),
        ("/api/embeddings", Ollama),
        ("/generate", Tgi),
        ("/generate_stream", Tgi),
        ("/completion", LlamaCpp),
        ("/infill", LlamaCpp),
        ("/mcp", Mcp),
        ("/tools/mcp/", Mcp),
        ("/v1/messages/batches", AnthropicBatches),
        ("/v1/messages/batches?beta=true", AnthropicBatches),
        ("/v1/batches", Generic),
        ("/v1/files", Generic),
        ("/v1/threads/t/messages", Generic),
        ("/v1/notchat/incompletions", Generic),
        ("/v1/images/generations", Generic),
        ("/model//converse", Generic),
        (":generateContent", Generic),
        ("/v1beta/models/:generateContent", Generic),
        ("", Generic),
    ] {
        assert_eq!(dialect(path), Some(expected), "{path}");
        assert!(!is_free(path), "{path}");
    }
}

#[test]
fn only_requests_that_use_tokens_are_counted() {
    for method in ["GET", "HEAD", "OPTIONS", "DELETE", "PUT", "post", ""] {
        assert_eq!(Endpoint::detect(method, "/v1/chat/completions", None), None, "{method}");
    }
    for path in [
        "/v1/messages/count_tokens",
        "/v1/messages/count_tokens?beta=true",
        "/a/b.c/v1/messages/count_tokens/",
        "/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict",
        "/v1beta/models/gemini-3.8-flash:countTokens",
        "/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/count-tokens",
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.x/count-tokens",
        "/v1/responses/input_tokens",
        "/v1/messages/batches/msgbatch_1/cancel",
        "/v1/messages/batches/msgbatch_1/cancel?beta=true",
        "/v1/batches/batch_1/cancel",
        "/openai/batches/batch_1/cancel?api-version=2026-10-01",
        "/v1/responses/resp_1/cancel",
        "/v1beta/batches/1a2b:cancel",
    ] {
        assert!(is_free(path), "{path}");
    }
}

#[test]
fn a_path_that_only_looks_free_is_counted() {
    for path in [
        "/v1/messages/x/../../v1/messages/count_tokens",
        "/v1/chat/completions;/v1/messages/count_tokens",
        "/v1/chat/completions%3f/v1/messages/count_tokens",
        "/v1/chat/completions%00/v1/messages/count_tokens",
        "/v1/chat/completions//v1/messages/count_tokens",
        "/v1/chat/completions\\/v1/messages/count_tokens",
        "/v1/chat/completions?/v1/messages/count_tokens",
        "/v1/chat/completions#/v1/messages/count_tokens",
        "/model/m%2F..%2Fx/count-tokens",
        "/model/m%3b/count-tokens",
        "/v1beta/models/m%23:countTokens",
        "/model/m/count-tokens/..",
        "/v1/messages/batches/cancel",
        "/v1/messages/batches/x/../cancel",
        "/v1/chat/completions%3f/v1/batches/b/cancel",
        "/v1/chat/completions?/v1/batches/b/cancel",
        "/v1/cancel",
        "/v1/messages/count_token%73",
    ] {
        assert!(!is_free(path), "{path}");
    }
}

#[test]
fn what_only_the_path_tells_is_read_from_it() {
    for (path, provider, model, stream) in [
        ("/v1/chat/completions", "openai", None, None),
        ("/openai/deployments/our-gpt/chat/completions", "azure", Some("our-gpt"), None),
        ("/openai/v1/chat/completions", "openai", None, None),
        (
            "/v1/projects/p/locations/l/publishers/anthropic/models/claude-haiku-4-5@20251001:rawPredict",
            "vertex",
            Some("claude-haiku-4-5@20251001"),
            Some(false),
        ),
        ("/v1/models/gemini-3.8-flash:streamGenerateContent", "google", Some("gemini-3.8-flash"), Some(true)),
        (
            "/v1/projects/p/locations/l/publishers/google/models/g:generateContent",
            "vertex",
            Some("g"),
            Some(false),
        ),
        ("/model/amazon.nova-pro-v1%3A0/invoke", "bedrock", Some("amazon.nova-pro-v1:0"), Some(false)),
        (
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123%3Ainference-profile%2Fus.amazon.nova-pro-v1%3A0/converse-stream",
            "bedrock",
            Some("us.amazon.nova-pro-v1:0"),
            Some(true),
        ),
        ("/generate_stream", "tgi", None, Some(true)),
        ("/v9/anything", "", None, None),
    ] {
        let endpoint = Endpoint::detect("POST", path, None).unwrap();
        assert_eq!(
            (endpoint.provider, endpoint.model.as_deref(), endpoint.stream),
            (provider, model, stream),
            "{path}"
        );
    }
}

#[test]
fn the_paths_model_is_the_one_that_counts() {
    let endpoint = Endpoint::detect("POST", "/openai/deployments/dear/chat/completions", None).unwrap();
    assert_eq!(endpoint.inspect(br#"{"model":"cheap"}"#, 0).model.as_deref(), Some("dear"));
    let endpoint = Endpoint::detect("POST", "/v1beta/models/g:streamGenerateContent", None).unwrap();
    assert!(endpoint.inspect(br#"{"stream":false}"#, 0).stream);
}

#[test]
fn the_configuration_knows_better_than_the_path() {
    let configured = |path, dialect| Endpoint::detect("POST", path, Some(dialect));
    let mistral = configured("/v1/chat/completions", Dialect::Mistral).unwrap();
    assert_eq!((mistral.dialect, mistral.provider), (Dialect::Mistral, "mistral"));
    let tgi = configured("/", Dialect::Tgi).unwrap();
    assert_eq!((tgi.dialect, tgi.stream), (Dialect::Tgi, None));
    let azure = configured("/openai/deployments/d/chat/completions", Dialect::OpenAiChat).unwrap();
    assert_eq!((azure.provider, azure.model.as_deref()), ("azure", Some("d")));
    assert!(configured("/v1/messages/count_tokens", Dialect::AnthropicMessages).unwrap().free);
    assert!(!configured("/v1/messages/count_tokens", Dialect::OpenAiChat).unwrap().free);
}

#[test]
fn usage_is_asked_only_where_the_server_knows_the_option_and_nothing_is_signed() {
    let may = |path, dialect, authorization| {
        Endpoint::detect("POST", path, dialect).unwrap().may_ask_usage(authorization)
    };
    let bearer = "Bearer AWS4-HMAC-SHA256";
    for path in [
        "/v1/chat/completions",
        "/v1/completions",
        "/openai/deployments/d/chat/completions?api-version=2024-10-21",
        "/openai/deployments/d/chat/completions?api-version=2026-01-01-preview",
    ] {
        assert!(may(path, None, bearer), "{path}");
        assert!(!may(path, None, "AWS4-HMAC-SHA256 Credential=x"), "{path}");
        assert!(!may(path, Some(Dialect::Mistral), bearer), "{path}");
    }
    for path in [
        "/openai/deployments/d/chat/completions?api-version=2024-06-01",
        "/v1/chat/completions?X-Amz-Signature=x",
        "/v1/responses",
        "/v1/messages",
        "/v1/fim/completions",
        "/model/m/converse-stream",
        "/api/chat",
    ] {
        assert!(!may(path, None, bearer), "{path}");
    }
    assert!(may("/anything", Some(Dialect::OpenAiChat), ""));
}

#[test]
fn a_body_that_is_not_read_is_estimated_by_its_size() {
    let endpoint = Endpoint::detect("POST", "/v1beta/models/g:streamGenerateContent", None).unwrap();
    let mut facts = endpoint.estimate(4001);
    assert_eq!((facts.input_estimate.0, facts.model.as_deref(), facts.stream), (1001, Some("g"), true));
    assert_eq!((facts.output_cap, facts.choices, facts.malformed), (None, 1, false));
    facts.is_at_least(4000);
    assert_eq!(facts.input_estimate.0, 1001);
    facts.is_at_least(8001);
    assert_eq!(facts.input_estimate.0, 2001);
}

#[test]
fn a_call_in_headers_is_read_where_the_version_has_them() {
    let mcp = Endpoint::detect("POST", "/mcp", None).unwrap();
    let tool = |version, method, name| mcp.call_in_headers(version, method, name).map(|facts| facts.tool);
    assert_eq!(tool("2026-07-28", "tools/call", "search"), Some(Some("search".to_owned())));
    assert_eq!(tool("2027-01-01", "prompts/get", "search"), Some(None));
    assert_eq!(tool("2025-11-25", "tools/call", "search"), None);
    assert_eq!(tool("", "tools/call", "search"), None);
    assert_eq!(tool("2026-07-28", "", "search"), None);
    assert_eq!(tool("2026-07-28", "tools/call", "=?base64?w6k=?="), None);
    let chat = Endpoint::detect("POST", "/v1/chat/completions", None).unwrap();
    assert_eq!(chat.call_in_headers("2026-07-28", "tools/call", "search"), None);
}
