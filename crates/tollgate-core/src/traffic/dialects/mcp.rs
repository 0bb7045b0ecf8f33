//! The Model Context Protocol over HTTP: `POST .../mcp`, JSON-RPC 2.0, answered by JSON or a stream of events.
//!
//! Sources: the specification's revisions 2025-03-26, which may batch calls in an array, to 2026-07-28; `mcp` 2.3.0 for
//! Python. What matters is which tool is called; a server of tools is no model, so no tokens are counted. Headers that a
//! client sets don't make a request one of these: on the path of a model they would be a way around all limits.

use super::super::dialect::Dialect;
use super::super::endpoint::Route;
use super::super::fields::{RequestField as Ask, ResponseField as Got};
use super::super::json::Place;
use super::Spec;

pub static SPEC: Spec = Spec {
    uses_model: false,
    ..Spec::new(Dialect::Mcp, "mcp", "", &REQUEST, &RESPONSE).at(&[Route::new("/mcp", "")])
};

static REQUEST: Place<Ask> = Place::object(CALL).filling(Ask::Call).or_array(&ITEM);
static ITEM: Place<Ask> = Place::object(CALL).filling(Ask::Call);

pub const CALL: &[(&str, Place<Ask>)] =
    &[("id", Place::value(Ask::CallId)), ("method", Place::value(Ask::Method)), ("params", PARAMS)];
pub const PARAMS: Place<Ask> = Place::object(&[("name", Place::value(Ask::Tool))]).filling(Ask::Tool);

static RESPONSE: Place<Got> = Place::object(&[("error", Place::value(Got::Error))]);
