//! What can be said of a POST to an endpoint whose format is not known: the names that most formats share.
//!
//! Every string of the request counts as text, wherever it is. The usage is read under the names of OpenAI's chat
//! completions, its responses and embeddings, and Anthropic's messages; which of them a server means is told by the
//! names of its cache counters.

use super::dialect::{Dialect, Spec};
use super::fields::{Counter, RequestField as Ask, ResponseField as Got};
use super::json::Rule;
use super::json::Step::{Item, Key};

pub(super) static SPEC: Spec =
    Spec { dialect: Dialect::Generic, provider: "", path: "", request: &REQUEST, response: &RESPONSE };

static REQUEST: [Rule<Ask>; 15] = [
    Rule::at(&[Key("model")], Ask::Model),
    Rule::at(&[Key("max_completion_tokens")], Ask::OutputCap(0)),
    Rule::at(&[Key("max_tokens")], Ask::OutputCap(1)),
    Rule::at(&[Key("max_output_tokens")], Ask::OutputCap(2)),
    // Gemini, Bedrock, Ollama.
    Rule::at(&[Key("generationConfig"), Key("maxOutputTokens")], Ask::OutputCap(3)),
    Rule::at(&[Key("inferenceConfig"), Key("maxTokens")], Ask::OutputCap(4)),
    Rule::at(&[Key("options"), Key("num_predict")], Ask::OutputCap(5)),
    Rule::at(&[Key("n")], Ask::Choices),
    Rule::at(&[Key("stream")], Ask::Stream),
    Rule::at(&[Key("stream_options")], Ask::StreamOptions),
    Rule::at(&[Key("stream_options"), Key("include_usage")], Ask::IncludeUsage),
    Rule::at(&[Key("messages"), Item], Ask::Message),
    Rule::at(&[Key("input"), Item], Ask::Message),
    Rule::within_and_keys(&[Key("tools")], Ask::Structure),
    Rule::within(&[], Ask::Unknown),
];

static RESPONSE: [Rule<Got>; 28] = [
    Rule::at(&[Key("model")], Got::Model),
    Rule::at(&[Key("type")], Got::Type),
    Rule::at(&[Key("error")], Got::Error),
    Rule::at(&[Key("usage"), Key("prompt_tokens")], Got::Count(Counter::Input)),
    Rule::at(&[Key("usage"), Key("completion_tokens")], Got::Count(Counter::Output)),
    Rule::at(&[Key("usage"), Key("input_tokens")], Got::Count(Counter::Input)),
    Rule::at(&[Key("usage"), Key("output_tokens")], Got::Count(Counter::Output)),
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
    Rule::at(
        &[Key("usage"), Key("output_tokens_details"), Key("thinking_tokens")],
        Got::Count(Counter::Reasoning),
    ),
    Rule::at(&[Key("usage"), Key("prompt_cache_hit_tokens")], Got::Count(Counter::CacheReadWithin)),
    Rule::at(&[Key("usage"), Key("cache_read_input_tokens")], Got::Count(Counter::CacheRead)),
    Rule::at(&[Key("usage"), Key("cache_creation_input_tokens")], Got::Count(Counter::CacheWrite)),
    Rule::at(
        &[Key("usage"), Key("cache_creation"), Key("ephemeral_5m_input_tokens")],
        Got::Count(Counter::CacheWriteShort),
    ),
    Rule::at(
        &[Key("usage"), Key("cache_creation"), Key("ephemeral_1h_input_tokens")],
        Got::Count(Counter::CacheWriteLong),
    ),
    // The last event of OpenAI's responses repeats the whole answer.
    Rule::at(&[Key("response"), Key("model")], Got::Model),
    Rule::at(&[Key("response"), Key("error")], Got::Error),
    Rule::at(&[Key("response"), Key("usage"), Key("input_tokens")], Got::Count(Counter::Input)),
    Rule::at(&[Key("response"), Key("usage"), Key("output_tokens")], Got::Count(Counter::Output)),
    Rule::at(&[Key("response"), Key("usage"), Key("total_tokens")], Got::Count(Counter::Total)),
    Rule::at(
        &[Key("response"), Key("usage"), Key("input_tokens_details"), Key("cached_tokens")],
        Got::Count(Counter::CacheReadWithin),
    ),
    Rule::at(
        &[Key("response"), Key("usage"), Key("input_tokens_details"), Key("cache_write_tokens")],
        Got::Count(Counter::CacheWriteWithin),
    ),
    Rule::at(
        &[Key("response"), Key("usage"), Key("output_tokens_details"), Key("reasoning_tokens")],
        Got::Count(Counter::Reasoning),
    ),
];
