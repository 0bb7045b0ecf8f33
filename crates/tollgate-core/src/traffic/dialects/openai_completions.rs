//! OpenAI's completions: `POST /v1/completions`.
//!
//! Sources: `openai` 3.54.0 for Python (`types/completion_create_params.py`, `types/completion.py`). `best_of` answers are
//! generated and billed, `n` of them returned. A list of prompts gets so many answers for each.

use super::super::dialect::Dialect;
use super::super::endpoint::Route;
use super::super::fields::RequestField as Ask;
use super::super::json::Place;
use super::Spec;
use super::openai_chat::{RESPONSE, STREAM_OPTIONS};

pub static SPEC: Spec = Spec {
    asks_usage: true,
    ..Spec::new(Dialect::OpenAiCompletions, "openai_completions", "openai", &REQUEST, &RESPONSE).at(&[
        Route::new("/completions", "openai"),
        Route::of_model("/openai/deployments/", "/completions", "azure"),
    ])
};

static REQUEST: Place<Ask> = Place::object(&[
    ("model", Place::value(Ask::Model)),
    ("prompt", Place::array(&PROMPT).filling(Ask::Text)),
    ("suffix", Place::value(Ask::Text)),
    ("max_tokens", Place::value(Ask::OutputCap(0))),
    ("max_completion_tokens", Place::value(Ask::OutputCap(1))),
    ("n", Place::value(Ask::Choices(0))),
    ("best_of", Place::value(Ask::Choices(1))),
    ("stream", Place::value(Ask::Stream)),
    ("stream_options", STREAM_OPTIONS),
]);

/// Text, or a list of tokens. A list of numbers is one prompt.
static PROMPT: Place<Ask> = Place::value(Ask::Prompt).rest(Ask::Text);
