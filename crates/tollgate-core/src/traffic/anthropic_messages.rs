//! Anthropic's messages: `POST /v1/messages`.
//!
//! Sources: `anthropic` 2.12.0 for Python (`types/usage.py`, `types/raw_message_delta_event.py`). `input_tokens` leaves
//! out what caches served; thinking is within `output_tokens`. A stream tells the input in `message_start` and running
//! totals in `message_delta`, where compatible servers may have put the input instead.

use super::dialect::{Dialect, Spec};
use super::fields::{Counter, RequestField as Ask, ResponseField as Got};
use super::json::Place;

pub(super) static SPEC: Spec = Spec {
    dialect: Dialect::AnthropicMessages,
    provider: "anthropic",
    path: "/v1/messages",
    request: &REQUEST,
    response: &RESPONSE,
};

static REQUEST: Place<Ask> = Place::object(&[
    ("model", Place::value(Ask::Model)),
    ("messages", Place::array(&MESSAGE).rest(Ask::Text)),
    ("max_tokens", Place::value(Ask::OutputCap(0))),
    ("stream", Place::value(Ask::Stream)),
    ("system", Place::array(&PART).rest(Ask::Text)),
    ("tools", Place::all_and_keys(Ask::Structure)),
    ("output_config", Place::all_and_keys(Ask::Structure)),
]);

static MESSAGE: Place<Ask> =
    Place::object(&[("role", Place::value(Ask::Form)), ("content", Place::array(&PART))])
        .filling(Ask::Message);

static PART: Place<Ask> = Place::object(&[
    ("type", Place::value(Ask::Form)),
    ("cache_control", Place::all(Ask::Form)),
    ("id", Place::value(Ask::Form)),
    ("tool_use_id", Place::value(Ask::Form)),
    // What the server added to earlier thinking, encrypted: it is not read as text.
    ("signature", Place::value(Ask::Form)),
    ("data", Place::value(Ask::Form)),
    ("source", SOURCE),
    ("input", Place::all_and_keys(Ask::Structure)),
    // What a tool returned.
    ("content", Place::array(&RESULT_PART)),
]);

static RESULT_PART: Place<Ask> = Place::object(&[("type", Place::value(Ask::Form)), ("source", SOURCE)]);

const SOURCE: Place<Ask> = Place::object(&[
    ("type", Place::value(Ask::Form)),
    ("media_type", Place::value(Ask::Form)),
    ("data", Place::value(Ask::Media)),
    ("url", Place::value(Ask::Media)),
    ("file_id", Place::value(Ask::Media)),
]);

/// A whole answer, or an event of a stream.
static RESPONSE: Place<Got> = Place::object(&[
    ("type", Place::value(Got::Type)),
    ("error", Place::value(Got::Error)),
    ("model", Place::value(Got::Model)),
    ("content", Place::array(&BLOCK)),
    ("content_block", BLOCK_START),
    ("delta", DELTA),
    ("usage", USAGE),
    ("message", Place::object(&[("model", Place::value(Got::Model)), ("usage", USAGE_AT_START)])),
]);

static BLOCK: Place<Got> = Place::object(&[
    ("text", TEXT),
    ("thinking", TEXT),
    ("name", TEXT),
    ("input", Place::all_and_keys(Got::Structure)),
]);

/// The input of a tool follows in deltas.
const BLOCK_START: Place<Got> = Place::object(&[("text", TEXT), ("thinking", TEXT), ("name", TEXT)]);

const DELTA: Place<Got> = Place::object(&[("text", TEXT), ("thinking", TEXT), ("partial_json", TEXT)]);

const TEXT: Place<Got> = Place::value(Got::Text);

const USAGE: Place<Got> = Place::object(&[
    ("input_tokens", count(Counter::Input)),
    ("cache_read_input_tokens", count(Counter::CacheRead)),
    ("cache_creation_input_tokens", count(Counter::CacheWrite)),
    ("cache_creation", CACHE_CREATION),
    ("output_tokens", count(Counter::Output)),
    ("output_tokens_details", Place::object(&[("thinking_tokens", count(Counter::Reasoning))])),
]);

pub(super) const CACHE_CREATION: Place<Got> = Place::object(&[
    ("ephemeral_5m_input_tokens", count(Counter::CacheWriteShort)),
    ("ephemeral_1h_input_tokens", count(Counter::CacheWriteLong)),
]);

/// In `message_start`, before there is output.
const USAGE_AT_START: Place<Got> = Place::object(&[
    ("input_tokens", count_at_start(Counter::Input)),
    ("cache_read_input_tokens", count_at_start(Counter::CacheRead)),
    ("cache_creation_input_tokens", count_at_start(Counter::CacheWrite)),
    (
        "cache_creation",
        Place::object(&[
            ("ephemeral_5m_input_tokens", count_at_start(Counter::CacheWriteShort)),
            ("ephemeral_1h_input_tokens", count_at_start(Counter::CacheWriteLong)),
        ]),
    ),
    ("output_tokens", count_at_start(Counter::Output)),
    ("output_tokens_details", Place::object(&[("thinking_tokens", count_at_start(Counter::Reasoning))])),
]);

const fn count(counter: Counter) -> Place<Got> {
    Place::value(Got::Count(counter))
}

const fn count_at_start(counter: Counter) -> Place<Got> {
    Place::value(Got::CountAtStart(counter))
}
