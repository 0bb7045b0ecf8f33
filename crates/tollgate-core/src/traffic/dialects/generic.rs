//! What can be said of a POST to an endpoint whose format is not known: the names that most formats share.
//!
//! Every string of the request counts as text, wherever it is. The usage is read under the names of OpenAI's chat
//! completions, its responses and embeddings, and Anthropic's messages; which of them a server means is told by the
//! names of its cache counters.

use super::super::dialect::Dialect;
use super::super::fields::{Counter, RequestField as Ask, ResponseField as Got};
use super::super::json::Place;
use super::Spec;
use super::anthropic_messages::CACHE_CREATION;
use super::mcp;
use super::openai_chat::{INPUT_DETAILS, STREAM_OPTIONS, count};

pub static SPEC: Spec = Spec::new(Dialect::Generic, "generic", "", &REQUEST, &RESPONSE);

static REQUEST: Place<Ask> = Place::object(MEMBERS).or_array(&ITEM).rest(Ask::Unknown);

/// A batch of JSON-RPC, on a path that nobody said is one of tools.
static ITEM: Place<Ask> = Place::object(mcp::CALL).filling(Ask::Call);

const MEMBERS: &[(&str, Place<Ask>)] = &[
    ("model", Place::value(Ask::Model)),
    ("max_completion_tokens", Place::value(Ask::OutputCap(0))),
    ("max_tokens", Place::value(Ask::OutputCap(1))),
    ("max_output_tokens", Place::value(Ask::OutputCap(2))),
    // Gemini, Bedrock, Ollama.
    ("generationConfig", Place::object(&[("maxOutputTokens", Place::value(Ask::OutputCap(3)))])),
    ("inferenceConfig", Place::object(&[("maxTokens", Place::value(Ask::OutputCap(4)))])),
    ("options", Place::object(&[("num_predict", Place::value(Ask::OutputCap(5)))])),
    ("n", Place::value(Ask::Choices(0))),
    ("stream", Place::value(Ask::Stream)),
    ("stream_options", STREAM_OPTIONS),
    ("messages", Place::array(&MESSAGE)),
    ("input", Place::array(&MESSAGE)),
    ("tools", Place::all_and_keys(Ask::Structure)),
    ("method", Place::value(Ask::Method)),
    ("params", mcp::PARAMS),
];

static MESSAGE: Place<Ask> = Place::value(Ask::Message);

static RESPONSE: Place<Got> = Place::object(&[
    ("model", Place::value(Got::Model)),
    ("type", Place::value(Got::Type)),
    ("error", Place::value(Got::Error)),
    ("usage", USAGE),
    // The last event of OpenAI's responses repeats the whole answer.
    (
        "response",
        Place::object(&[
            ("model", Place::value(Got::Model)),
            ("error", Place::value(Got::Error)),
            ("usage", USAGE),
        ]),
    ),
]);

const USAGE: Place<Got> = Place::object(&[
    ("prompt_tokens", count(Counter::Input)),
    ("completion_tokens", count(Counter::Output)),
    ("input_tokens", count(Counter::Input)),
    ("output_tokens", count(Counter::Output)),
    ("total_tokens", count(Counter::Total)),
    ("prompt_tokens_details", INPUT_DETAILS),
    ("input_tokens_details", INPUT_DETAILS),
    ("completion_tokens_details", OUTPUT_DETAILS),
    ("output_tokens_details", OUTPUT_DETAILS),
    ("prompt_cache_hit_tokens", count(Counter::CacheReadWithin)),
    ("cache_read_input_tokens", count(Counter::CacheRead)),
    ("cache_creation_input_tokens", count(Counter::CacheWrite)),
    ("cache_creation", CACHE_CREATION),
]);

const OUTPUT_DETAILS: Place<Got> = Place::object(&[
    ("reasoning_tokens", count(Counter::Reasoning)),
    ("thinking_tokens", count(Counter::Reasoning)),
]);
