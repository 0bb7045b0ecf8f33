//! llama.cpp's own format: `POST /completion` and `/infill`.
//!
//! Source: `tools/server/README.md` of llama.cpp. A stream is one of events; counters are in the last, and running totals
//! in the others. `tokens_evaluated` is the whole prompt, of which `timings.cache_n` came from the cache.

use super::super::dialect::Dialect;
use super::super::endpoint::Route;
use super::super::fields::{Counter, RequestField as Ask, ResponseField as Got};
use super::super::json::Place;
use super::Spec;
use super::openai_chat::{TEXT, count};

pub static SPEC: Spec = Spec::new(Dialect::LlamaCpp, "llama_cpp", "llama_cpp", &REQUEST, &RESPONSE)
    .at(&[Route::new("/completion", "llama_cpp"), Route::new("/infill", "llama_cpp")]);

static REQUEST: Place<Ask> = Place::object(&[
    ("model", Place::value(Ask::Model)),
    ("prompt", Place::array(&PROMPT).filling(Ask::Text)),
    ("input_prefix", Place::value(Ask::Text)),
    ("input_suffix", Place::value(Ask::Text)),
    ("input_extra", Place::all(Ask::Text)),
    ("n_predict", Place::value(Ask::OutputCap(0))),
    ("max_tokens", Place::value(Ask::OutputCap(1))),
    ("n", Place::value(Ask::Choices(0))),
    ("n_cmpl", Place::value(Ask::Choices(1))),
    ("stream", Place::value(Ask::Stream)),
    ("json_schema", Place::all_and_keys(Ask::Structure)),
    ("grammar", Place::value(Ask::Text)),
]);

/// Text, tokens, or both with media.
static PROMPT: Place<Ask> =
    Place::object(&[("multimodal_data", Place::all(Ask::Media))]).filling(Ask::Prompt).rest(Ask::Text);

/// A whole answer, or an event of a stream; an array of answers for a list of prompts.
static RESPONSE: Place<Got> = Place::object(ANSWER).or_array(&ANSWER_ITEM);
static ANSWER_ITEM: Place<Got> = Place::object(ANSWERS);

const ANSWER: &[(&str, Place<Got>)] = &[
    ("model", Place::value(Got::Model)),
    ("error", Place::value(Got::Error)),
    ("content", TEXT),
    ("reasoning_content", TEXT),
    ("stop", Place::value(Got::End)),
    ("tokens_evaluated", count(Counter::Input)),
    ("tokens_predicted", count(Counter::Output)),
    ("timings", Place::object(&[("cache_n", count(Counter::CacheReadWithin))])),
];

const ANSWERS: &[(&str, Place<Got>)] = &[
    ("model", Place::value(Got::Model)),
    ("content", TEXT),
    ("tokens_evaluated", Place::value(Got::Add(Counter::Input))),
    ("tokens_predicted", Place::value(Got::Add(Counter::Output))),
    ("timings", Place::object(&[("cache_n", Place::value(Got::Add(Counter::CacheReadWithin)))])),
];
