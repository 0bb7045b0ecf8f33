//! The wire formats, one file each, and the table of them.

mod anthropic_batches;
mod anthropic_messages;
mod bedrock_converse;
mod bedrock_invoke;
mod cohere;
mod gemini;
mod generic;
mod llama_cpp;
mod mcp;
mod mistral;
mod ollama;
mod openai_chat;
mod openai_completions;
mod openai_embeddings;
mod openai_responses;
mod tgi;

use super::dialect::Dialect;
use super::endpoint::Route;
use super::fields::{Counter, RequestField, ResponseField};
use super::json::Place;

/// What is in a frame of AWS's event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    /// A document.
    Document,
    /// A document as base64 in the member `bytes` of another.
    Envelope,
}

/// All that distinguishes one dialect from another.
pub(super) struct Spec {
    pub dialect: Dialect,
    /// Its name in a route's metadata.
    pub name: &'static str,
    /// The provider that the format is native to; empty for none.
    pub provider: &'static str,
    /// Where requests of this dialect go.
    pub routes: &'static [Route],
    pub request: &'static Place<RequestField>,
    pub response: &'static Place<ResponseField>,
    /// Whether a request that says nothing about it gets a stream.
    pub streams_by_default: bool,
    /// `stream_options.include_usage` is part of it.
    pub asks_usage: bool,
    /// What streams in frames of AWS hold, where they come like that.
    pub frames: Option<Payload>,
    /// Response headers that hold counters.
    pub headers: &'static [(&'static str, Counter)],
    /// Whether a model is used: if not, no tokens are.
    pub uses_model: bool,
}

impl Spec {
    /// What most dialects have in common.
    const fn new(
        dialect: Dialect,
        name: &'static str,
        provider: &'static str,
        request: &'static Place<RequestField>,
        response: &'static Place<ResponseField>,
    ) -> Self {
        Self {
            dialect,
            name,
            provider,
            routes: &[],
            request,
            response,
            streams_by_default: false,
            asks_usage: false,
            frames: None,
            headers: &[],
            uses_model: true,
        }
    }

    const fn at(self, routes: &'static [Route]) -> Self {
        Self { routes, ..self }
    }
}

/// A new dialect is a file with its [`Spec`] and a line here.
pub(super) static ALL: [&Spec; 16] = [
    &openai_chat::SPEC,
    &openai_completions::SPEC,
    &openai_responses::SPEC,
    &openai_embeddings::SPEC,
    &anthropic_messages::SPEC,
    &anthropic_batches::SPEC,
    &gemini::SPEC,
    &bedrock_converse::SPEC,
    &bedrock_invoke::SPEC,
    &cohere::SPEC,
    &mistral::SPEC,
    &ollama::SPEC,
    &tgi::SPEC,
    &llama_cpp::SPEC,
    &mcp::SPEC,
    &generic::SPEC,
];

/// What is said of requests whose format is not known.
pub(super) static UNKNOWN: &Spec = &generic::SPEC;

#[cfg(test)]
mod tests {
    use super::super::json::is_within_bounds;
    use super::*;

    #[test]
    fn every_dialect_keeps_the_scanners_bounds() {
        for spec in ALL {
            assert!(is_within_bounds(spec.request) && is_within_bounds(spec.response), "{}", spec.name);
        }
    }

    #[test]
    fn no_two_dialects_share_a_name_or_a_route() {
        let mut names: Vec<&str> = ALL.iter().map(|spec| spec.name).collect();
        let mut routes: Vec<_> =
            ALL.iter().flat_map(|spec| spec.routes).map(|route| route.literals()).collect();
        let (all_names, all_routes) = (names.len(), routes.len());
        names.sort_unstable();
        names.dedup();
        routes.sort_unstable();
        routes.dedup();
        assert_eq!((names.len(), routes.len()), (all_names, all_routes));
    }
}
