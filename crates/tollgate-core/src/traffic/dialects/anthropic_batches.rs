//! Anthropic's batches of messages: `POST /v1/messages/batches`. The answers are made later and fetched from a file.
//!
//! Sources: `anthropic` 2.12.0 for Python (`types/messages/batch_create_params.py`, `types/messages/message_batch.py`). Each
//! request of the batch counts as an answer that nobody waits for: the cap is the largest of any, and requests for more
//! than one model have no price of their own.

use super::super::dialect::Dialect;
use super::super::endpoint::Route;
use super::super::fields::{RequestField as Ask, ResponseField as Got};
use super::super::json::Place;
use super::Spec;

pub static SPEC: Spec =
    Spec::new(Dialect::AnthropicBatches, "anthropic_batches", "anthropic", &REQUEST, &RESPONSE).at(&[
        Route::new("/v1/messages/batches", "anthropic"),
        Route::of_model("/v1/messages/batches/", "/cancel", "anthropic").free(),
    ]);

static REQUEST: Place<Ask> = Place::object(&[("requests", Place::array(&ITEM))]);

static ITEM: Place<Ask> =
    Place::object(&[("params", Place::object(PARAMS).rest(Ask::Unknown))]).filling(Ask::Prompt);

const PARAMS: &[(&str, Place<Ask>)] = &[
    ("model", Place::value(Ask::ModelOfMany)),
    ("max_tokens", Place::value(Ask::CapOfMany)),
    ("messages", Place::array(&MESSAGE)),
];

static MESSAGE: Place<Ask> = Place::value(Ask::Message).rest(Ask::Unknown);

static RESPONSE: Place<Got> = Place::object(&[
    ("type", Place::value(Got::Type)),
    ("error", Place::value(Got::Error)),
    ("processing_status", Place::value(Got::Status)),
]);
