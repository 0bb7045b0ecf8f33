//! OpenAI's responses: `POST /v1/responses`.
//!
//! Sources: `openai` 3.54.0 for Python (`types/responses/response_create_params.py`, `response_usage.py`,
//! `response_stream_event.py`). A stream tells its usage in its last event, which repeats the whole answer: the text
//! is read from the deltas before it. With `background` there is no answer yet: it
//! is fetched later, by a request that nobody counts.

use super::super::dialect::Dialect;
use super::super::endpoint::Route;
use super::super::fields::{RequestField as Ask, ResponseField as Got};
use super::super::json::Place;
use super::Spec;
use super::openai_chat::{MEDIUM, TEXT, USAGE};

pub static SPEC: Spec =
    Spec::new(Dialect::OpenAiResponses, "openai_responses", "openai", &REQUEST, &RESPONSE).at(&[
        Route::new("/responses", "openai"),
        Route::new("/responses/compact", "openai"),
        Route::new("/responses/input_tokens", "openai").free(),
        Route::of_model("/responses/", "/cancel", "openai").free(),
    ]);

static REQUEST: Place<Ask> = Place::object(&[
    ("model", Place::value(Ask::Model)),
    ("instructions", Place::all(Ask::Text)),
    ("input", Place::array(&ITEM).filling(Ask::Text)),
    ("max_output_tokens", Place::value(Ask::OutputCap(0))),
    ("stream", Place::value(Ask::Stream)),
    ("tools", Place::all_and_keys(Ask::Structure)),
    ("text", Place::all_and_keys(Ask::Structure)),
    ("prompt", Place::object(&[("variables", Place::all(Ask::Text))])),
]);

/// A message, what a tool returned, or an earlier part of the answer.
static ITEM: Place<Ask> = Place::object(&[
    ("type", FORM),
    ("role", FORM),
    ("id", FORM),
    ("call_id", FORM),
    ("status", FORM),
    ("encrypted_content", FORM),
    ("content", Place::array(&PART)),
    ("output", Place::array(&PART)),
    ("image_url", MEDIUM),
    // What an image generator made.
    ("result", MEDIUM),
])
.filling(Ask::Message)
.rest(Ask::Text);

static PART: Place<Ask> = Place::object(&[
    ("type", FORM),
    ("detail", FORM),
    ("image_url", MEDIUM),
    ("file_data", MEDIUM),
    ("file_url", MEDIUM),
    ("file_id", MEDIUM),
    ("input_audio", Place::object(&[("data", MEDIUM), ("format", FORM)])),
]);

const FORM: Place<Ask> = Place::value(Ask::Form);

/// A whole answer, or an event of a stream.
static RESPONSE: Place<Got> = Place::object(&[
    ("model", Place::value(Got::Model)),
    ("type", Place::value(Got::Type)),
    ("error", Place::value(Got::Error)),
    ("status", Place::value(Got::Status)),
    ("delta", TEXT),
    ("output", Place::array(&OUTPUT)),
    ("usage", USAGE),
    (
        "response",
        Place::object(&[
            ("model", Place::value(Got::Model)),
            ("error", Place::value(Got::Error)),
            ("usage", USAGE),
        ]),
    ),
]);

static OUTPUT: Place<Got> = Place::object(&[
    ("content", Place::array(&OUTPUT_PART)),
    ("summary", Place::array(&OUTPUT_PART)),
    ("name", TEXT),
    ("arguments", TEXT),
    ("input", TEXT),
]);

static OUTPUT_PART: Place<Got> = Place::object(&[("text", TEXT), ("refusal", TEXT)]);
