//! Text Generation Inference's own format: `POST /generate`, `/generate_stream`, and `/`, which a route has to name.
//!
//! Source: TGI's OpenAPI document. There is no model in the request. Tokens are told with `details: true`, in the
//! last event of a stream, or in headers.

use super::super::dialect::Dialect;
use super::super::endpoint::Route;
use super::super::fields::{Counter, RequestField as Ask, ResponseField as Got};
use super::super::json::Place;
use super::Spec;
use super::openai_chat::{TEXT, count};

pub static SPEC: Spec = Spec {
    headers: &[("x-prompt-tokens", Counter::Input), ("x-generated-tokens", Counter::Output)],
    ..Spec::new(Dialect::Tgi, "tgi", "tgi", &REQUEST, &RESPONSE).at(&[
        Route::new("/generate", "tgi").streaming(false),
        Route::new("/generate_stream", "tgi").streaming(true),
    ])
};

static REQUEST: Place<Ask> = Place::object(&[
    ("inputs", Place::all(Ask::Text)),
    (
        "parameters",
        Place::object(&[
            ("max_new_tokens", Place::value(Ask::OutputCap(0))),
            ("best_of", Place::value(Ask::Choices(0))),
            ("grammar", Place::all_and_keys(Ask::Structure)),
        ]),
    ),
    ("stream", Place::value(Ask::Stream)),
]);

/// A whole answer, an event of a stream, or an array of answers.
static RESPONSE: Place<Got> = Place::object(ANSWER).or_array(&ANSWER_ITEM);
static ANSWER_ITEM: Place<Got> = Place::object(WHOLE);

/// An event has one token, the last one the whole text as well.
const ANSWER: &[(&str, Place<Got>)] = &[
    ("token", Place::object(&[("text", TEXT)])),
    ("generated_text", Place::value(Got::WholeText)),
    ("error", Place::value(Got::Error)),
    ("details", DETAILS),
];

const WHOLE: &[(&str, Place<Got>)] = &[("generated_text", TEXT), ("details", DETAILS)];

const DETAILS: Place<Got> =
    Place::object(&[("generated_tokens", count(Counter::Output)), ("input_length", count(Counter::Input))]);
