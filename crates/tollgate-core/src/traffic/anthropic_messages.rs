//! Anthropic's messages: `POST /v1/messages`.
//!
//! Sources: `anthropic` 2.12.0 for Python (`types/usage.py`, `types/raw_message_delta_event.py`). `input_tokens` leaves
//! out what caches served; thinking is within `output_tokens`. A stream tells the input in `message_start` and running
//! totals in `message_delta`, where compatible servers may have put the input instead.

use super::dialect::{Dialect, Spec};
use super::fields::{Counter, RequestField as Ask, ResponseField as Got};
use super::json::Rule;
use super::json::Step::{Item, Key};

pub(super) static SPEC: Spec = Spec {
    dialect: Dialect::AnthropicMessages,
    provider: "anthropic",
    path: "/v1/messages",
    request: &REQUEST,
    response: &RESPONSE,
};

static REQUEST: [Rule<Ask>; 22] = [
    Rule::at(&[Key("model")], Ask::Model),
    Rule::at(&[Key("max_tokens")], Ask::OutputCap(0)),
    Rule::at(&[Key("stream")], Ask::Stream),
    Rule::at(&[Key("messages"), Item], Ask::Message),
    Rule::at(&[Key("messages"), Item, Key("role")], Ask::Form),
    Rule::at(&[Key("messages"), Item, Key("content"), Item, Key("type")], Ask::Form),
    Rule::within(&[Key("messages"), Item, Key("content"), Item, Key("cache_control")], Ask::Form),
    Rule::at(&[Key("messages"), Item, Key("content"), Item, Key("id")], Ask::Form),
    Rule::at(&[Key("messages"), Item, Key("content"), Item, Key("tool_use_id")], Ask::Form),
    // What the server added to earlier thinking, encrypted: it is not read as text.
    Rule::at(&[Key("messages"), Item, Key("content"), Item, Key("signature")], Ask::Form),
    Rule::at(&[Key("messages"), Item, Key("content"), Item, Key("data")], Ask::Form),
    Rule::at(&[Key("messages"), Item, Key("content"), Item, Key("source"), Key("data")], Ask::Media),
    Rule::at(&[Key("messages"), Item, Key("content"), Item, Key("source"), Key("url")], Ask::Media),
    Rule::at(&[Key("messages"), Item, Key("content"), Item, Key("source"), Key("file_id")], Ask::Media),
    // Images that a tool returned.
    Rule::at(
        &[Key("messages"), Item, Key("content"), Item, Key("content"), Item, Key("source"), Key("data")],
        Ask::Media,
    ),
    Rule::at(
        &[Key("messages"), Item, Key("content"), Item, Key("content"), Item, Key("source"), Key("url")],
        Ask::Media,
    ),
    Rule::within_and_keys(&[Key("messages"), Item, Key("content"), Item, Key("input")], Ask::Structure),
    Rule::within(&[Key("messages")], Ask::Text),
    Rule::within(&[Key("system"), Item, Key("cache_control")], Ask::Form),
    Rule::at(&[Key("system"), Item, Key("type")], Ask::Form),
    Rule::within(&[Key("system")], Ask::Text),
    Rule::within_and_keys(&[Key("tools")], Ask::Structure),
];

static RESPONSE: [Rule<Got>; 28] = [
    Rule::at(&[Key("type")], Got::Type),
    Rule::at(&[Key("error")], Got::Error),
    Rule::at(&[Key("model")], Got::Model),
    Rule::at(&[Key("message"), Key("model")], Got::Model),
    // Events of a stream.
    Rule::at(&[Key("delta"), Key("text")], Got::Text),
    Rule::at(&[Key("delta"), Key("thinking")], Got::Text),
    Rule::at(&[Key("delta"), Key("partial_json")], Got::Text),
    Rule::at(&[Key("content_block"), Key("text")], Got::Text),
    Rule::at(&[Key("content_block"), Key("thinking")], Got::Text),
    Rule::at(&[Key("content_block"), Key("name")], Got::Text),
    // A whole answer.
    Rule::at(&[Key("content"), Item, Key("text")], Got::Text),
    Rule::at(&[Key("content"), Item, Key("thinking")], Got::Text),
    Rule::at(&[Key("content"), Item, Key("name")], Got::Text),
    Rule::within_and_keys(&[Key("content"), Item, Key("input")], Got::Structure),
    // Usage of a whole answer and of message_delta.
    Rule::at(&[Key("usage"), Key("input_tokens")], Got::Count(Counter::Input)),
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
    Rule::at(&[Key("usage"), Key("output_tokens")], Got::Count(Counter::Output)),
    Rule::at(
        &[Key("usage"), Key("output_tokens_details"), Key("thinking_tokens")],
        Got::Count(Counter::Reasoning),
    ),
    // Usage of message_start.
    Rule::at(&[Key("message"), Key("usage"), Key("input_tokens")], Got::CountAtStart(Counter::Input)),
    Rule::at(
        &[Key("message"), Key("usage"), Key("cache_read_input_tokens")],
        Got::CountAtStart(Counter::CacheRead),
    ),
    Rule::at(
        &[Key("message"), Key("usage"), Key("cache_creation_input_tokens")],
        Got::CountAtStart(Counter::CacheWrite),
    ),
    Rule::at(
        &[Key("message"), Key("usage"), Key("cache_creation"), Key("ephemeral_5m_input_tokens")],
        Got::CountAtStart(Counter::CacheWriteShort),
    ),
    Rule::at(
        &[Key("message"), Key("usage"), Key("cache_creation"), Key("ephemeral_1h_input_tokens")],
        Got::CountAtStart(Counter::CacheWriteLong),
    ),
    Rule::at(&[Key("message"), Key("usage"), Key("output_tokens")], Got::CountAtStart(Counter::Output)),
    Rule::at(
        &[Key("message"), Key("usage"), Key("output_tokens_details"), Key("thinking_tokens")],
        Got::CountAtStart(Counter::Reasoning),
    ),
];
