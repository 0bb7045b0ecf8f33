//! Gemini's content generation and embeddings, by Google's API and by Vertex.
//!
//! Source: `google-genai` 3.4.0 for Python (`types.py`). The model and whether it streams are in the path only. Names are
//! in camel case; servers take snake case as well (protobuf's JSON). Prompt tokens include the cached ones; thoughts
//! are beside the candidates' tokens, and what the server's tools read is beside the prompt's. A stream is one of
//! events with `alt=sse`, else one array; counters are running totals in every part of it.

use super::super::dialect::Dialect;
use super::super::endpoint::Route;
use super::super::fields::{Counter, RequestField as Ask, ResponseField as Got};
use super::super::json::Place;
use super::Spec;
use super::openai_chat::{TEXT, count};

pub static SPEC: Spec = Spec::new(Dialect::Gemini, "gemini", "google", &REQUEST, &RESPONSE).at(&[
    Route::of_model("", ":generateContent", "google").streaming(false),
    Route::of_model("", ":streamGenerateContent", "google").streaming(true),
    Route::of_model("", ":embedContent", "google").streaming(false),
    Route::of_model("", ":batchEmbedContents", "google").streaming(false),
    Route::of_model("", ":countTokens", "google").free(),
    Route::of_model("/batches/", ":cancel", "google").free(),
    Route::of_model("/publishers/google/models/", ":generateContent", "vertex").streaming(false),
    Route::of_model("/publishers/google/models/", ":streamGenerateContent", "vertex").streaming(true),
    Route::of_model("/publishers/google/models/", ":predict", "vertex").streaming(false),
    Route::of_model("/publishers/google/models/", ":embedContent", "vertex").streaming(false),
]);

static REQUEST: Place<Ask> = Place::object(&[
    ("contents", CONTENTS),
    ("content", CONTENT),
    ("systemInstruction", CONTENT),
    ("system_instruction", CONTENT),
    ("generationConfig", CONFIG),
    ("generation_config", CONFIG),
    ("tools", Place::all_and_keys(Ask::Structure)),
    // A batch of embeddings.
    ("requests", Place::array(&EMBED)),
    ("instances", Place::all(Ask::Text)),
]);

static EMBED: Place<Ask> = Place::object(&[("content", CONTENT)]);

/// A list, or one.
const CONTENTS: Place<Ask> = CONTENT.or_array(&CONTENT);

const CONTENT: Place<Ask> = Place::object(&[
    ("role", Place::value(Ask::Form)),
    ("parts", Place::object(PART_MEMBERS).or_array(&PART).rest(Ask::Text)),
])
.filling(Ask::Message);

const PART: Place<Ask> = Place::object(PART_MEMBERS);

const PART_MEMBERS: &[(&str, Place<Ask>)] = &[
    ("inlineData", DATA),
    ("inline_data", DATA),
    ("fileData", DATA),
    ("file_data", DATA),
    ("thoughtSignature", Place::value(Ask::Form)),
    ("thought_signature", Place::value(Ask::Form)),
    ("functionCall", Place::all_and_keys(Ask::Structure)),
    ("function_call", Place::all_and_keys(Ask::Structure)),
    ("functionResponse", Place::all_and_keys(Ask::Structure)),
    ("function_response", Place::all_and_keys(Ask::Structure)),
];

const DATA: Place<Ask> = Place::object(&[
    ("data", Place::value(Ask::Media)),
    ("fileUri", Place::value(Ask::Media)),
    ("file_uri", Place::value(Ask::Media)),
    ("mimeType", Place::value(Ask::Form)),
    ("mime_type", Place::value(Ask::Form)),
]);

const CONFIG: Place<Ask> = Place::object(&[
    ("maxOutputTokens", Place::value(Ask::OutputCap(0))),
    ("max_output_tokens", Place::value(Ask::OutputCap(1))),
    ("candidateCount", Place::value(Ask::Choices(0))),
    ("candidate_count", Place::value(Ask::Choices(1))),
    ("responseSchema", Place::all_and_keys(Ask::Structure)),
    ("responseJsonSchema", Place::all_and_keys(Ask::Structure)),
]);

/// A whole answer, a part of a stream, or an array of those.
static RESPONSE: Place<Got> = Place::object(ANSWER).or_array(&ANSWER_ITEM);
static ANSWER_ITEM: Place<Got> = Place::object(ANSWER);

const ANSWER: &[(&str, Place<Got>)] = &[
    ("modelVersion", Place::value(Got::Model)),
    ("error", Place::value(Got::Error)),
    ("candidates", Place::array(&CANDIDATE)),
    ("embedding", Place::value(Got::Vectors)),
    ("embeddings", Place::value(Got::Vectors)),
    ("predictions", Place::array(&PREDICTION).filling(Got::Vectors)),
    ("usageMetadata", USAGE),
];

static CANDIDATE: Place<Got> = Place::object(&[
    ("content", Place::object(&[("parts", Place::array(&ANSWER_PART))])),
    ("finishReason", Place::value(Got::End)),
]);

static ANSWER_PART: Place<Got> = Place::object(&[
    ("text", TEXT),
    ("functionCall", Place::all_and_keys(Got::Structure)),
    ("executableCode", Place::object(&[("code", TEXT)])),
    ("codeExecutionResult", Place::object(&[("output", TEXT)])),
]);

const USAGE: Place<Got> = Place::object(&[
    ("promptTokenCount", count(Counter::Input)),
    ("toolUsePromptTokenCount", count(Counter::InputOfTools)),
    ("cachedContentTokenCount", count(Counter::CacheReadWithin)),
    ("candidatesTokenCount", count(Counter::Output)),
    ("thoughtsTokenCount", count(Counter::ReasoningBeside)),
    ("totalTokenCount", count(Counter::Total)),
]);

/// Vertex counts the tokens of each embedded text.
static PREDICTION: Place<Got> = Place::object(&[(
    "embeddings",
    Place::object(&[(
        "statistics",
        Place::object(&[("token_count", Place::value(Got::Add(Counter::Input)))]),
    )]),
)]);
