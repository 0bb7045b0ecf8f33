//! OpenAI's chat completions: `POST /v1/chat/completions`.
//!
//! Sources: `openai` 3.54.0 for Python (`types/chat/completion_create_params.py`, `types/completion_usage.py`), and what
//! vLLM, llama.cpp and DeepSeek do differently. `prompt_tokens` includes the cached tokens and those written to a
//! cache, `completion_tokens` includes reasoning. A stream has its usage in an extra chunk without choices, in the last
//! chunk with choices, or as running totals in every chunk: whichever comes last counts.

use super::dialect::{Dialect, Spec};
use super::fields::{Counter, RequestField as Ask, ResponseField as Got};
use super::json::Rule;
use super::json::Step::{Item, Key};

pub(super) static SPEC: Spec = Spec {
    dialect: Dialect::OpenAiChat,
    provider: "openai",
    path: "/chat/completions",
    request: &REQUEST,
    response: &RESPONSE,
};

static REQUEST: [Rule<Ask>; 22] = [
    Rule::at(&[Key("model")], Ask::Model),
    Rule::at(&[Key("max_completion_tokens")], Ask::OutputCap(0)),
    Rule::at(&[Key("max_tokens")], Ask::OutputCap(1)),
    Rule::at(&[Key("n")], Ask::Choices),
    Rule::at(&[Key("stream")], Ask::Stream),
    Rule::at(&[Key("stream_options")], Ask::StreamOptions),
    Rule::at(&[Key("stream_options"), Key("include_usage")], Ask::IncludeUsage),
    Rule::at(&[Key("messages"), Item], Ask::Message),
    Rule::at(&[Key("messages"), Item, Key("role")], Ask::Form),
    Rule::at(&[Key("messages"), Item, Key("content"), Item, Key("type")], Ask::Form),
    Rule::at(&[Key("messages"), Item, Key("content"), Item, Key("image_url")], Ask::Media),
    Rule::at(&[Key("messages"), Item, Key("content"), Item, Key("image_url"), Key("url")], Ask::Media),
    Rule::at(&[Key("messages"), Item, Key("content"), Item, Key("image_url"), Key("detail")], Ask::Form),
    Rule::at(&[Key("messages"), Item, Key("content"), Item, Key("input_audio"), Key("data")], Ask::Media),
    Rule::at(&[Key("messages"), Item, Key("content"), Item, Key("file"), Key("file_data")], Ask::Media),
    Rule::at(&[Key("messages"), Item, Key("content"), Item, Key("file"), Key("file_id")], Ask::Media),
    Rule::within(&[Key("messages")], Ask::Text),
    Rule::within_and_keys(&[Key("tools")], Ask::Structure),
    Rule::within_and_keys(&[Key("functions")], Ask::Structure),
    Rule::within_and_keys(&[Key("response_format")], Ask::Structure),
    Rule::within(&[Key("prediction")], Ask::Text),
    Rule::within(&[Key("prompt")], Ask::Text),
];

static RESPONSE: [Rule<Got>; 31] = [
    Rule::at(&[Key("model")], Got::Model),
    Rule::at(&[Key("error")], Got::Error),
    // A chunk of a stream.
    Rule::at(&[Key("choices"), Item, Key("delta"), Key("content"), Item, Key("type")], Got::Form),
    Rule::within(&[Key("choices"), Item, Key("delta"), Key("content")], Got::Text),
    Rule::at(&[Key("choices"), Item, Key("delta"), Key("refusal")], Got::Text),
    Rule::at(&[Key("choices"), Item, Key("delta"), Key("reasoning_content")], Got::Text),
    Rule::at(&[Key("choices"), Item, Key("delta"), Key("reasoning")], Got::Text),
    Rule::within(&[Key("choices"), Item, Key("delta"), Key("tool_calls"), Item, Key("function")], Got::Text),
    Rule::within(&[Key("choices"), Item, Key("delta"), Key("tool_calls"), Item, Key("custom")], Got::Text),
    Rule::within(&[Key("choices"), Item, Key("delta"), Key("function_call")], Got::Text),
    // A whole answer.
    Rule::at(&[Key("choices"), Item, Key("message"), Key("content"), Item, Key("type")], Got::Form),
    Rule::within(&[Key("choices"), Item, Key("message"), Key("content")], Got::Text),
    Rule::at(&[Key("choices"), Item, Key("message"), Key("refusal")], Got::Text),
    Rule::at(&[Key("choices"), Item, Key("message"), Key("reasoning_content")], Got::Text),
    Rule::at(&[Key("choices"), Item, Key("message"), Key("reasoning")], Got::Text),
    Rule::within(
        &[Key("choices"), Item, Key("message"), Key("tool_calls"), Item, Key("function")],
        Got::Text,
    ),
    Rule::within(&[Key("choices"), Item, Key("message"), Key("tool_calls"), Item, Key("custom")], Got::Text),
    Rule::within(&[Key("choices"), Item, Key("message"), Key("function_call")], Got::Text),
    Rule::at(&[Key("choices"), Item, Key("text")], Got::Text),
    // Usage.
    Rule::at(&[Key("usage"), Key("prompt_tokens")], Got::Count(Counter::Input)),
    Rule::at(&[Key("usage"), Key("completion_tokens")], Got::Count(Counter::Output)),
    Rule::at(&[Key("usage"), Key("total_tokens")], Got::Count(Counter::Total)),
    Rule::at(
        &[Key("usage"), Key("prompt_tokens_details"), Key("cached_tokens")],
        Got::Count(Counter::CacheReadWithin),
    ),
    Rule::at(
        &[Key("usage"), Key("prompt_tokens_details"), Key("cache_write_tokens")],
        Got::Count(Counter::CacheWriteWithin),
    ),
    Rule::at(
        &[Key("usage"), Key("completion_tokens_details"), Key("reasoning_tokens")],
        Got::Count(Counter::Reasoning),
    ),
    // DeepSeek's name for cached tokens.
    Rule::at(&[Key("usage"), Key("prompt_cache_hit_tokens")], Got::Count(Counter::CacheReadWithin)),
    // Servers that speak the newer names on the older endpoint.
    Rule::at(&[Key("usage"), Key("input_tokens")], Got::Count(Counter::Input)),
    Rule::at(&[Key("usage"), Key("output_tokens")], Got::Count(Counter::Output)),
    Rule::at(
        &[Key("usage"), Key("input_tokens_details"), Key("cached_tokens")],
        Got::Count(Counter::CacheReadWithin),
    ),
    Rule::at(
        &[Key("usage"), Key("input_tokens_details"), Key("cache_write_tokens")],
        Got::Count(Counter::CacheWriteWithin),
    ),
    Rule::at(
        &[Key("usage"), Key("output_tokens_details"), Key("reasoning_tokens")],
        Got::Count(Counter::Reasoning),
    ),
];
