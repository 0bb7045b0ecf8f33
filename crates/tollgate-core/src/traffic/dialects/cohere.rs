//! Cohere's chat, embeddings and reranking, in their second version and their first.
//!
//! Source: `cohere` 7.3.1 for Python (`types/usage.py`, `types/usage_tokens.py`). `tokens` are what the model worked on,
//! `billed_units` leave out the prompt's template; where both are given, `tokens` count. All numbers are floats.

use super::super::dialect::Dialect;
use super::super::endpoint::Route;
use super::super::fields::{Counter, RequestField as Ask, ResponseField as Got};
use super::super::json::Place;
use super::Spec;
use super::openai_chat::{MEDIUM, TEXT, count};

pub static SPEC: Spec = Spec::new(Dialect::Cohere, "cohere", "cohere", &REQUEST, &RESPONSE).at(&[
    Route::new("/v2/chat", "cohere"),
    Route::new("/v2/embed", "cohere").streaming(false),
    Route::new("/v2/rerank", "cohere").streaming(false),
    Route::new("/v1/chat", "cohere"),
    Route::new("/v1/embed", "cohere").streaming(false),
    Route::new("/v1/rerank", "cohere").streaming(false),
]);

static REQUEST: Place<Ask> = Place::object(&[
    ("model", Place::value(Ask::Model)),
    ("messages", Place::array(&MESSAGE).rest(Ask::Text)),
    ("documents", Place::all_and_keys(Ask::Structure)),
    ("max_tokens", Place::value(Ask::OutputCap(0))),
    ("stream", Place::value(Ask::Stream)),
    ("tools", Place::all_and_keys(Ask::Structure)),
    ("response_format", Place::all_and_keys(Ask::Structure)),
    // Embeddings and reranking.
    ("texts", Place::all(Ask::Text)),
    ("images", Place::all(Ask::Media)),
    ("inputs", Place::array(&INPUT)),
    ("query", Place::value(Ask::Text)),
    // The first version's chat.
    ("message", Place::value(Ask::Text)),
    ("preamble", Place::value(Ask::Text)),
    ("chat_history", Place::array(&HISTORY)),
]);

static MESSAGE: Place<Ask> = Place::object(&[
    ("role", Place::value(Ask::Form)),
    ("tool_call_id", Place::value(Ask::Form)),
    ("content", Place::array(&PART)),
])
.filling(Ask::Message);

static INPUT: Place<Ask> = Place::object(&[("content", Place::array(&PART).rest(Ask::Text))]);

static PART: Place<Ask> = Place::object(&[
    ("type", Place::value(Ask::Form)),
    ("image_url", Place::object(&[("url", MEDIUM), ("detail", Place::value(Ask::Form))]).filling(Ask::Media)),
]);

static HISTORY: Place<Ask> =
    Place::object(&[("role", Place::value(Ask::Form))]).filling(Ask::Message).rest(Ask::Text);

/// A whole answer, or an event of a stream.
static RESPONSE: Place<Got> = Place::object(&[
    ("type", Place::value(Got::Type)),
    ("event_type", Place::value(Got::Type)),
    ("error", Place::value(Got::Error)),
    ("message", MESSAGE_ANSWER),
    ("delta", Place::object(&[("message", DELTA), ("usage", USAGE), ("error", Place::value(Got::Error))])),
    ("usage", USAGE),
    ("embeddings", Place::value(Got::Vectors)),
    ("results", Place::value(Got::Vectors)),
    // Of the first version, whose streams are lines.
    ("is_finished", Place::value(Got::End)),
    ("text", TEXT),
    ("meta", USAGE),
    // The last event of the first version repeats the whole answer.
    ("response", Place::object(&[("meta", USAGE)])),
]);

const MESSAGE_ANSWER: Place<Got> = Place::object(&[
    ("content", Place::array(&BLOCK)),
    ("tool_plan", TEXT),
    ("tool_calls", Place::array(&TOOL_CALL)),
]);

const DELTA: Place<Got> = Place::object(&[
    ("content", Place::object(&[("text", TEXT), ("thinking", TEXT)])),
    ("tool_plan", TEXT),
    ("tool_calls", TOOL_CALL),
]);

const BLOCK: Place<Got> = Place::object(&[("text", TEXT), ("thinking", TEXT)]);
const TOOL_CALL: Place<Got> = Place::object(&[("function", Place::all(Got::Text))]);

const USAGE: Place<Got> = Place::object(&[
    (
        "tokens",
        Place::object(&[("input_tokens", count(Counter::Input)), ("output_tokens", count(Counter::Output))]),
    ),
    (
        "billed_units",
        Place::object(&[
            ("input_tokens", Place::value(Got::CountElse(Counter::Input))),
            ("output_tokens", Place::value(Got::CountElse(Counter::Output))),
        ]),
    ),
    ("cached_tokens", count(Counter::CacheReadWithin)),
]);
