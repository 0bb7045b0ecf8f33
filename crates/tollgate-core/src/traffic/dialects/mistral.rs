//! Mistral's chat, completions in the middle, and agents: OpenAI's formats with names of its own.
//!
//! Source: `mistralai` 3.7.0 for Python. The usage is always in the last chunk that has choices. `stream_options` was
//! refused, so nothing is ever added to a request. `POST /v1/chat/completions` looks like OpenAI's: a route to
//! Mistral says `dialect: mistral` in its metadata.

use super::super::dialect::Dialect;
use super::super::endpoint::Route;
use super::super::fields::{RequestField as Ask, ResponseField as Got};
use super::super::json::Place;
use super::Spec;
use super::openai_chat::{CHOICE, USAGE};

pub static SPEC: Spec = Spec::new(Dialect::Mistral, "mistral", "mistral", &REQUEST, &RESPONSE)
    .at(&[Route::new("/fim/completions", "mistral"), Route::new("/agents/completions", "mistral")]);

static REQUEST: Place<Ask> = Place::object(&[
    ("model", Place::value(Ask::Model)),
    ("agent_id", Place::value(Ask::Model)),
    ("messages", Place::array(&MESSAGE).rest(Ask::Text)),
    ("prompt", Place::all(Ask::Text)),
    ("suffix", Place::all(Ask::Text)),
    // Embeddings.
    ("input", Place::all(Ask::Text)),
    ("max_tokens", Place::value(Ask::OutputCap(0))),
    ("n", Place::value(Ask::Choices(0))),
    ("stream", Place::value(Ask::Stream)),
    ("tools", Place::all_and_keys(Ask::Structure)),
    ("response_format", Place::all_and_keys(Ask::Structure)),
    ("prediction", Place::all(Ask::Text)),
]);

static MESSAGE: Place<Ask> =
    Place::object(&[("role", FORM), ("tool_call_id", FORM), ("content", Place::array(&PART))])
        .filling(Ask::Message);

/// Links stand where OpenAI has objects.
static PART: Place<Ask> = Place::object(&[
    ("type", FORM),
    ("image_url", Place::object(&[("url", MEDIUM), ("detail", FORM)]).filling(Ask::Media)),
    ("document_url", MEDIUM),
    ("input_audio", MEDIUM),
    ("file_id", MEDIUM),
]);

const FORM: Place<Ask> = Place::value(Ask::Form);
const MEDIUM: Place<Ask> = Place::value(Ask::Media);

static RESPONSE: Place<Got> = Place::object(&[
    ("model", Place::value(Got::Model)),
    ("error", Place::value(Got::Error)),
    ("choices", Place::array(&CHOICE)),
    ("data", Place::value(Got::Vectors)),
    ("usage", USAGE),
]);
