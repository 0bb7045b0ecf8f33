//! AWS Bedrock's own format: `POST /model/{model}/converse` and `converse-stream`.
//!
//! Source: `botocore` (`data/bedrock-runtime/2023-09-30/service-2.json`). `inputTokens` leaves out what caches served. A
//! stream comes in frames; the last holds the usage. Errors in it are frames too.

use super::super::dialect::Dialect;
use super::super::endpoint::Route;
use super::super::fields::{Counter, RequestField as Ask, ResponseField as Got};
use super::super::json::Place;
use super::openai_chat::{TEXT, count};
use super::{Payload, Spec};

pub static SPEC: Spec = Spec {
    frames: Some(Payload::Document),
    ..Spec::new(Dialect::BedrockConverse, "bedrock_converse", "bedrock", &REQUEST, &RESPONSE).at(&[
        Route::of_model("/model/", "/converse", "bedrock").streaming(false),
        Route::of_model("/model/", "/converse-stream", "bedrock").streaming(true),
        Route::of_model("/model/", "/count-tokens", "bedrock").free(),
    ])
};

static REQUEST: Place<Ask> = Place::object(&[
    ("messages", Place::array(&MESSAGE)),
    ("system", Place::array(&BLOCK)),
    ("inferenceConfig", Place::object(&[("maxTokens", Place::value(Ask::OutputCap(0)))])),
    ("toolConfig", Place::all_and_keys(Ask::Structure)),
    ("promptVariables", Place::all(Ask::Text)),
]);

static MESSAGE: Place<Ask> =
    Place::object(&[("role", Place::value(Ask::Form)), ("content", Place::array(&BLOCK).filling(Ask::Text))])
        .filling(Ask::Message);

static BLOCK: Place<Ask> = Place::object(&[
    ("text", Place::value(Ask::Text)),
    ("image", MEDIUM),
    ("document", MEDIUM),
    ("video", MEDIUM),
    ("audio", MEDIUM),
    (
        "toolUse",
        Place::object(&[("name", Place::value(Ask::Text)), ("input", Place::all_and_keys(Ask::Structure))]),
    ),
    ("toolResult", Place::object(&[("content", Place::array(&RESULT))])),
    ("guardContent", Place::all(Ask::Text)),
    (
        "reasoningContent",
        Place::object(&[("reasoningText", Place::object(&[("text", Place::value(Ask::Text))]))]),
    ),
]);

static RESULT: Place<Ask> = Place::object(&[
    ("text", Place::value(Ask::Text)),
    ("json", Place::all_and_keys(Ask::Structure)),
    ("image", Place::all(Ask::Unknown)),
    ("document", Place::all(Ask::Unknown)),
    ("video", Place::all(Ask::Unknown)),
]);

const MEDIUM: Place<Ask> = Place::object(&[(
    "source",
    Place::object(&[
        ("bytes", Place::value(Ask::Media)),
        ("text", Place::value(Ask::Text)),
        ("s3Location", Place::object(&[("uri", Place::value(Ask::Media))])),
    ]),
)]);

/// A whole answer, or the payload of a frame.
static RESPONSE: Place<Got> = Place::object(&[
    ("output", Place::object(&[("message", Place::object(&[("content", Place::array(&ANSWER))]))])),
    ("start", Place::object(&[("toolUse", Place::object(&[("name", TEXT)]))])),
    (
        "delta",
        Place::object(&[
            ("text", TEXT),
            ("toolUse", Place::object(&[("input", TEXT)])),
            ("reasoningContent", Place::object(&[("text", TEXT)])),
        ]),
    ),
    ("usage", USAGE),
]);

static ANSWER: Place<Got> = Place::object(&[
    ("text", TEXT),
    ("toolUse", Place::object(&[("name", TEXT), ("input", Place::all_and_keys(Got::Structure))])),
    ("reasoningContent", Place::object(&[("reasoningText", Place::object(&[("text", TEXT)]))])),
]);

pub const USAGE: Place<Got> = Place::object(&[
    ("inputTokens", count(Counter::Input)),
    ("outputTokens", count(Counter::Output)),
    ("totalTokens", count(Counter::Total)),
    ("cacheReadInputTokens", count(Counter::CacheRead)),
    ("cacheWriteInputTokens", count(Counter::CacheWrite)),
]);
