//! OpenAI's chat completions: `POST /v1/chat/completions`.
//!
//! Sources: `openai` 3.54.0 for Python (`types/chat/completion_create_params.py`, `types/completion_usage.py`), and what
//! vLLM, llama.cpp and DeepSeek do differently. `prompt_tokens` includes the cached tokens and those written to a
//! cache, `completion_tokens` includes reasoning. A stream has its usage in an extra chunk without choices, in the last
//! chunk with choices, or as running totals in every chunk: whichever comes last counts.

use super::super::dialect::Dialect;
use super::super::endpoint::Route;
use super::super::fields::{Counter, RequestField as Ask, ResponseField as Got};
use super::super::json::Place;
use super::Spec;

pub static SPEC: Spec = Spec {
    asks_usage: true,
    ..Spec::new(Dialect::OpenAiChat, "openai_chat", "openai", &REQUEST, &RESPONSE).at(&[
        Route::new("/chat/completions", "openai"),
        Route::of_model("/openai/deployments/", "/chat/completions", "azure"),
        // A batch of files, which says nothing of its requests, is not of this format; stopping one is in all.
        Route::of_model("/batches/", "/cancel", "openai").free(),
    ])
};

pub static REQUEST: Place<Ask> = Place::object(&[
    ("model", Place::value(Ask::Model)),
    ("messages", Place::array(&MESSAGE).rest(Ask::Text)),
    ("max_completion_tokens", Place::value(Ask::OutputCap(0))),
    ("max_tokens", Place::value(Ask::OutputCap(1))),
    ("n", Place::value(Ask::Choices(0))),
    ("stream", Place::value(Ask::Stream)),
    ("stream_options", STREAM_OPTIONS),
    ("tools", Place::all_and_keys(Ask::Structure)),
    ("functions", Place::all_and_keys(Ask::Structure)),
    ("response_format", Place::all_and_keys(Ask::Structure)),
    ("prediction", Place::all(Ask::Text)),
    ("prompt", Place::all(Ask::Text)),
]);

pub const STREAM_OPTIONS: Place<Ask> =
    Place::object(&[("include_usage", Place::value(Ask::IncludeUsage))]).filling(Ask::StreamOptions);

static MESSAGE: Place<Ask> =
    Place::object(&[("role", Place::value(Ask::Form)), ("content", Place::array(&PART))])
        .filling(Ask::Message);

static PART: Place<Ask> = Place::object(&[
    ("type", Place::value(Ask::Form)),
    ("image_url", Place::object(&[("url", MEDIUM), ("detail", Place::value(Ask::Form))]).filling(Ask::Media)),
    ("input_audio", Place::object(&[("data", MEDIUM), ("format", Place::value(Ask::Form))])),
    ("file", Place::object(&[("file_data", MEDIUM), ("file_id", MEDIUM)])),
]);

pub const MEDIUM: Place<Ask> = Place::value(Ask::Media);

pub static RESPONSE: Place<Got> = Place::object(&[
    ("model", Place::value(Got::Model)),
    ("error", Place::value(Got::Error)),
    ("choices", Place::array(&CHOICE)),
    ("usage", USAGE),
    // Groq's older streams.
    ("x_groq", Place::object(&[("usage", USAGE)])),
]);

pub static CHOICE: Place<Got> = Place::object(&[("delta", ANSWER), ("message", ANSWER), ("text", TEXT)]);

const ANSWER: Place<Got> = Place::object(&[
    ("content", Place::array(&ANSWER_PART).rest(Got::Text)),
    ("refusal", TEXT),
    ("reasoning_content", TEXT),
    ("reasoning", TEXT),
    ("tool_calls", Place::array(&TOOL_CALL)),
    ("function_call", Place::all(Got::Text)),
]);

const ANSWER_PART: Place<Got> = Place::object(&[("type", Place::value(Got::Form))]);

const TOOL_CALL: Place<Got> =
    Place::object(&[("function", Place::all(Got::Text)), ("custom", Place::all(Got::Text))]);

pub const TEXT: Place<Got> = Place::value(Got::Text);

/// Under the names of chat completions and, for servers that use them here, those of responses.
pub const USAGE: Place<Got> = Place::object(&[
    ("prompt_tokens", count(Counter::Input)),
    ("completion_tokens", count(Counter::Output)),
    ("total_tokens", count(Counter::Total)),
    ("prompt_tokens_details", INPUT_DETAILS),
    ("completion_tokens_details", OUTPUT_DETAILS),
    // DeepSeek's name for cached tokens.
    ("prompt_cache_hit_tokens", count(Counter::CacheReadWithin)),
    ("input_tokens", count(Counter::Input)),
    ("output_tokens", count(Counter::Output)),
    ("input_tokens_details", INPUT_DETAILS),
    ("output_tokens_details", OUTPUT_DETAILS),
]);

pub const INPUT_DETAILS: Place<Got> = Place::object(&[
    ("cached_tokens", count(Counter::CacheReadWithin)),
    ("cache_write_tokens", count(Counter::CacheWriteWithin)),
]);

pub const OUTPUT_DETAILS: Place<Got> = Place::object(&[("reasoning_tokens", count(Counter::Reasoning))]);

pub const fn count(counter: Counter) -> Place<Got> {
    Place::value(Got::Count(counter))
}
