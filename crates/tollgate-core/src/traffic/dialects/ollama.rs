//! Ollama's chat, generation and embeddings: `POST /api/chat`, `/api/generate`, `/api/embed`.
//!
//! Sources: `ollama` 0.6.3 for Python; Ollama's `docs/api.md`. A request that says nothing about streaming gets a stream:
//! one JSON document a line, the counters in the last. The prompt's counter is missing when a cache served it. An error
//! in mid-stream is a line of its own.

use super::super::dialect::Dialect;
use super::super::endpoint::Route;
use super::super::fields::{Counter, RequestField as Ask, ResponseField as Got};
use super::super::json::Place;
use super::Spec;
use super::openai_chat::{TEXT, count};

pub static SPEC: Spec = Spec {
    streams_by_default: true,
    ..Spec::new(Dialect::Ollama, "ollama", "ollama", &REQUEST, &RESPONSE).at(&[
        Route::new("/api/chat", "ollama"),
        Route::new("/api/generate", "ollama"),
        Route::new("/api/embed", "ollama").streaming(false),
        Route::new("/api/embeddings", "ollama").streaming(false),
    ])
};

static REQUEST: Place<Ask> = Place::object(&[
    ("model", Place::value(Ask::Model)),
    ("messages", Place::array(&MESSAGE)),
    ("prompt", Place::value(Ask::Text)),
    ("suffix", Place::value(Ask::Text)),
    ("system", Place::value(Ask::Text)),
    ("images", Place::all(Ask::Media)),
    ("input", Place::all(Ask::Text)),
    ("context", Place::all(Ask::Text)),
    ("options", Place::object(&[("num_predict", Place::value(Ask::OutputCap(0)))])),
    ("stream", Place::value(Ask::Stream)),
    ("tools", Place::all_and_keys(Ask::Structure)),
    ("format", Place::all_and_keys(Ask::Structure)),
]);

static MESSAGE: Place<Ask> = Place::object(&[
    ("role", Place::value(Ask::Form)),
    ("content", Place::value(Ask::Text)),
    ("thinking", Place::value(Ask::Text)),
    ("images", Place::all(Ask::Media)),
    ("tool_calls", Place::all_and_keys(Ask::Structure)),
])
.filling(Ask::Message);

/// A whole answer, or a line of a stream.
static RESPONSE: Place<Got> = Place::object(&[
    ("model", Place::value(Got::Model)),
    ("error", Place::value(Got::Error)),
    ("message", ANSWER),
    ("response", TEXT),
    ("thinking", TEXT),
    ("embedding", Place::value(Got::Vectors)),
    ("embeddings", Place::value(Got::Vectors)),
    ("done", Place::value(Got::End)),
    ("prompt_eval_count", count(Counter::Input)),
    ("eval_count", count(Counter::Output)),
]);

const ANSWER: Place<Got> = Place::object(&[
    ("content", TEXT),
    ("thinking", TEXT),
    ("tool_calls", Place::all_and_keys(Got::Structure)),
]);
