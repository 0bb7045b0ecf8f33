//! Anthropic's messages: `POST /v1/messages`, and the same at Vertex, with the model in the path.
//!
//! Sources: `anthropic` 2.12.0 for Python (`types/usage.py`, `types/raw_message_delta_event.py`). `input_tokens` leaves
//! out what caches served; thinking is within `output_tokens`. A stream tells the input in `message_start` and running
//! totals in `message_delta`, where compatible servers may have put the input instead.

use super::super::dialect::Dialect;
use super::super::endpoint::Route;
use super::super::fields::{Counter, RequestField as Ask, ResponseField as Got};
use super::super::json::Place;
use super::Spec;
use super::openai_chat::{TEXT, count};

pub static SPEC: Spec =
    Spec::new(Dialect::AnthropicMessages, "anthropic_messages", "anthropic", &REQUEST, &RESPONSE).at(&[
        Route::new("/v1/messages", "anthropic"),
        Route::new("/v1/messages/count_tokens", "anthropic").free(),
        Route::of_model("/publishers/anthropic/models/", ":rawPredict", "vertex").streaming(false),
        Route::of_model("/publishers/anthropic/models/", ":streamRawPredict", "vertex").streaming(true),
        Route::new("/publishers/anthropic/models/count-tokens:rawPredict", "vertex").free(),
    ]);

static REQUEST: Place<Ask> = Place::object(&[
    ("model", Place::value(Ask::Model)),
    ("messages", Place::array(&MESSAGE).rest(Ask::Text)),
    ("max_tokens", Place::value(Ask::OutputCap(0))),
    ("stream", Place::value(Ask::Stream)),
    ("system", Place::array(&PART).rest(Ask::Text)),
    ("tools", Place::all_and_keys(Ask::Structure)),
    ("output_config", Place::all_and_keys(Ask::Structure)),
]);

pub static MESSAGE: Place<Ask> =
    Place::object(&[("role", Place::value(Ask::Form)), ("content", Place::array(&PART))])
        .filling(Ask::Message);

pub static PART: Place<Ask> = Place::object(&[
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

pub static BLOCK: Place<Got> = Place::object(&[
    ("text", TEXT),
    ("thinking", TEXT),
    ("name", TEXT),
    ("input", Place::all_and_keys(Got::Structure)),
]);

/// The input of a tool follows in deltas.
pub const BLOCK_START: Place<Got> = Place::object(&[("text", TEXT), ("thinking", TEXT), ("name", TEXT)]);

pub const DELTA: Place<Got> = Place::object(&[("text", TEXT), ("thinking", TEXT), ("partial_json", TEXT)]);

const USAGE: Place<Got> = Place::object(&[
    ("input_tokens", count(Counter::Input)),
    ("cache_read_input_tokens", count(Counter::CacheRead)),
    ("cache_creation_input_tokens", count(Counter::CacheWrite)),
    ("cache_creation", CACHE_CREATION),
    ("output_tokens", count(Counter::Output)),
    ("output_tokens_details", Place::object(&[("thinking_tokens", count(Counter::Reasoning))])),
]);

pub const CACHE_CREATION: Place<Got> = Place::object(&[
    ("ephemeral_5m_input_tokens", count(Counter::CacheWriteShort)),
    ("ephemeral_1h_input_tokens", count(Counter::CacheWriteLong)),
]);

/// In `message_start`, before there is output.
pub const USAGE_AT_START: Place<Got> = Place::object(&[
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

const fn count_at_start(counter: Counter) -> Place<Got> {
    Place::value(Got::CountAtStart(counter))
}
