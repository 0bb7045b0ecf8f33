//! AWS Bedrock's envelope for the formats of its vendors: `POST /model/{model}/invoke` and `invoke-with-response-stream`.
//!
//! Sources: `botocore` (`data/bedrock-runtime/2023-09-30/service-2.json`), `litellm` 1.109.1 (`llms/bedrock/chat`). The body
//! is the vendor's without model and stream. The usage is in response headers, in the vendor's own place, or in the
//! last event of a stream as `amazon-bedrock-invocationMetrics`, whose input leaves out what caches served. An event of
//! a stream comes as base64 in JSON in a frame.

use super::super::dialect::Dialect;
use super::super::endpoint::Route;
use super::super::fields::{Counter, RequestField as Ask, ResponseField as Got};
use super::super::json::Place;
use super::anthropic_messages::{BLOCK, MESSAGE, PART, USAGE_AT_START};
use super::openai_chat::{CHOICE, INPUT_DETAILS, OUTPUT_DETAILS, TEXT, count};
use super::{Payload, Spec, bedrock_converse};

pub static SPEC: Spec = Spec {
    frames: Some(Payload::Envelope),
    headers: &[
        ("x-amzn-bedrock-input-token-count", Counter::Input),
        ("x-amzn-bedrock-output-token-count", Counter::Output),
        ("x-amzn-bedrock-cache-read-input-token-count", Counter::CacheRead),
        ("x-amzn-bedrock-cache-write-input-token-count", Counter::CacheWrite),
    ],
    ..Spec::new(Dialect::BedrockInvoke, "bedrock_invoke", "bedrock", &REQUEST, &RESPONSE).at(&[
        Route::of_model("/model/", "/invoke", "bedrock").streaming(false),
        Route::of_model("/model/", "/invoke-with-response-stream", "bedrock").streaming(true),
    ])
};

/// Anthropic's, Llama's, Titan's, Nova's, Mistral's and Cohere's names; any other string counts as what it looks like.
static REQUEST: Place<Ask> = Place::object(&[
    ("anthropic_version", Place::value(Ask::Form)),
    ("messages", Place::array(&MESSAGE).rest(Ask::Text)),
    ("system", Place::array(&PART).rest(Ask::Text)),
    ("tools", Place::all_and_keys(Ask::Structure)),
    ("max_tokens", Place::value(Ask::OutputCap(0))),
    ("max_tokens_to_sample", Place::value(Ask::OutputCap(1))),
    ("max_gen_len", Place::value(Ask::OutputCap(2))),
    ("maxTokens", Place::value(Ask::OutputCap(3))),
    ("textGenerationConfig", Place::object(&[("maxTokenCount", Place::value(Ask::OutputCap(4)))])),
    (
        "inferenceConfig",
        Place::object(&[
            ("maxTokens", Place::value(Ask::OutputCap(5))),
            ("max_new_tokens", Place::value(Ask::OutputCap(6))),
        ]),
    ),
    ("max_completion_tokens", Place::value(Ask::OutputCap(7))),
    ("num_generations", Place::value(Ask::Choices(0))),
])
.rest(Ask::Unknown);

/// A whole answer, or an event of a stream, of whatever vendor.
static RESPONSE: Place<Got> = Place::object(&[
    ("type", Place::value(Got::Type)),
    ("error", Place::value(Got::Error)),
    ("model", Place::value(Got::Model)),
    ("content", Place::array(&BLOCK)),
    ("content_block", super::anthropic_messages::BLOCK_START),
    ("delta", super::anthropic_messages::DELTA),
    ("usage", USAGE),
    ("message", Place::object(&[("model", Place::value(Got::Model)), ("usage", USAGE_AT_START)])),
    // Llama.
    ("generation", TEXT),
    ("prompt_token_count", count(Counter::Input)),
    ("generation_token_count", count(Counter::Output)),
    // Titan.
    ("results", Place::array(&TITAN)),
    ("outputText", TEXT),
    ("inputTextTokenCount", count(Counter::Input)),
    ("totalOutputTextTokenCount", count(Counter::Output)),
    ("embedding", Place::value(Got::Vectors)),
    ("embeddings", Place::value(Got::Vectors)),
    // Nova, whose events are those of converse by their names.
    ("output", NOVA),
    ("contentBlockDelta", Place::object(&[("delta", Place::object(&[("text", TEXT)]))])),
    ("metadata", Place::object(&[("usage", bedrock_converse::USAGE)])),
    // Mistral, Cohere, and those that speak like OpenAI.
    ("outputs", Place::array(&TEXT_ITEM)),
    ("generations", Place::array(&TEXT_ITEM)),
    ("text", TEXT),
    ("choices", Place::array(&CHOICE)),
    ("amazon-bedrock-invocationMetrics", METRICS),
]);

static TITAN: Place<Got> = Place::object(&[("outputText", TEXT), ("tokenCount", count(Counter::Output))]);
static TEXT_ITEM: Place<Got> = Place::object(&[("text", TEXT)]);
const NOVA_BLOCK: Place<Got> = Place::object(&[("text", TEXT)]);
const NOVA: Place<Got> =
    Place::object(&[("message", Place::object(&[("content", Place::array(&NOVA_BLOCK))]))]);

const METRICS: Place<Got> = Place::object(&[
    ("inputTokenCount", count(Counter::Input)),
    ("outputTokenCount", count(Counter::Output)),
    ("cacheReadInputTokenCount", count(Counter::CacheRead)),
    ("cacheWriteInputTokenCount", count(Counter::CacheWrite)),
])
.filling(Got::End);

/// Under the names of Anthropic, OpenAI and Nova.
const USAGE: Place<Got> = Place::object(&[
    ("input_tokens", count(Counter::Input)),
    ("cache_read_input_tokens", count(Counter::CacheRead)),
    ("cache_creation_input_tokens", count(Counter::CacheWrite)),
    ("cache_creation", super::anthropic_messages::CACHE_CREATION),
    ("output_tokens", count(Counter::Output)),
    ("output_tokens_details", Place::object(&[("thinking_tokens", count(Counter::Reasoning))])),
    ("prompt_tokens", count(Counter::Input)),
    ("completion_tokens", count(Counter::Output)),
    ("prompt_tokens_details", INPUT_DETAILS),
    ("completion_tokens_details", OUTPUT_DETAILS),
    ("inputTokens", count(Counter::Input)),
    ("outputTokens", count(Counter::Output)),
    ("cacheReadInputTokens", count(Counter::CacheRead)),
    ("cacheWriteInputTokens", count(Counter::CacheWrite)),
    ("cacheReadInputTokenCount", count(Counter::CacheRead)),
    ("cacheWriteInputTokenCount", count(Counter::CacheWrite)),
]);
