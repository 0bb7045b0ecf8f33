//! OpenAI's embeddings: `POST /v1/embeddings`.
//!
//! Source: `openai` 3.54.0 for Python (`types/embedding_create_params.py`, `types/create_embedding_response.py`). The usage
//! is the last member of the answer, after vectors that may be megabytes.

use super::super::dialect::Dialect;
use super::super::endpoint::Route;
use super::super::fields::{RequestField as Ask, ResponseField as Got};
use super::super::json::Place;
use super::Spec;
use super::openai_chat::USAGE;

pub static SPEC: Spec =
    Spec::new(Dialect::OpenAiEmbeddings, "openai_embeddings", "openai", &REQUEST, &RESPONSE).at(&[
        Route::new("/embeddings", "openai"),
        Route::of_model("/openai/deployments/", "/embeddings", "azure"),
    ]);

static REQUEST: Place<Ask> =
    Place::object(&[("model", Place::value(Ask::Model)), ("input", Place::all(Ask::Text))]);

static RESPONSE: Place<Got> = Place::object(&[
    ("model", Place::value(Got::Model)),
    ("error", Place::value(Got::Error)),
    ("data", Place::value(Got::Vectors)),
    ("usage", USAGE),
]);
