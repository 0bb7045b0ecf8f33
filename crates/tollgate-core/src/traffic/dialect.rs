//! Which wire format a request speaks, told from its method and path.

use super::fields::{RequestField, ResponseField};
use super::json::Place;
use super::{anthropic_messages, generic, openai_chat};

/// A wire format of model endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `POST .../chat/completions`, by OpenAI and the many that speak like it (Azure, vLLM, llama.cpp, Mistral).
    OpenAiChat,
    /// `POST .../v1/messages`, by Anthropic.
    AnthropicMessages,
    /// Any other POST: counted, with what can be found without knowing the format.
    Generic,
}

/// All that distinguishes one dialect from another.
pub(super) struct Spec {
    pub dialect: Dialect,
    /// The provider that this format is native to; empty for none.
    pub provider: &'static str,
    /// The path's last segments.
    pub path: &'static str,
    pub request: &'static Place<RequestField>,
    pub response: &'static Place<ResponseField>,
}

/// A new dialect is a file with its [`Spec`] and a line here.
static DIALECTS: [&Spec; 2] = [&openai_chat::SPEC, &anthropic_messages::SPEC];

/// Counts tokens without using any, and costs nothing.
const FREE_PATH: &str = "/v1/messages/count_tokens";

impl Dialect {
    /// The dialect of a request, or `None` for what is not counted: anything but a POST, and Anthropic's free counting
    /// of tokens. `path` may hold a query, and anything before the segments that name the endpoint.
    pub fn detect(method: &str, path: &str) -> Option<Self> {
        if method != "POST" {
            return None;
        }
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.ends_with(FREE_PATH) && is_plain(path) {
            return None;
        }
        let known = DIALECTS.iter().find(|spec| path.ends_with(spec.path));
        Some(known.map_or(Self::Generic, |spec| spec.dialect))
    }

    /// The provider that the format is native to: `openai`, `anthropic`, or empty for [`Dialect::Generic`].
    pub fn provider(self) -> &'static str {
        self.spec().provider
    }

    pub(super) fn spec(self) -> &'static Spec {
        DIALECTS.iter().find(|spec| spec.dialect == self).copied().unwrap_or(&generic::SPEC)
    }
}

/// True for a path that every server reads alike. A path that some server resolves to another (dot segments, escapes,
/// `;` parameters, empty segments) must not pass as the free one: it would be a way around all limits.
fn is_plain(path: &str) -> bool {
    path.strip_prefix('/').unwrap_or(path).split('/').all(|segment| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        !segment.is_empty() && segment.bytes().all(allowed) && !segment.bytes().all(|byte| byte == b'.')
    })
}

#[cfg(test)]
mod tests {
    use super::super::json::is_within_bounds;
    use super::*;

    #[test]
    fn endpoints_are_known_by_their_last_segments() {
        for (path, expected) in [
            ("/v1/chat/completions", Dialect::OpenAiChat),
            ("/v1/chat/completions/", Dialect::OpenAiChat),
            ("/v1/chat/completions?x=1", Dialect::OpenAiChat),
            ("/expensive/v1/chat/completions", Dialect::OpenAiChat),
            ("/openai/deployments/x/chat/completions?api-version=2026-10-01", Dialect::OpenAiChat),
            ("/v1/messages", Dialect::AnthropicMessages),
            ("/anthropic/v1/messages?beta=true", Dialect::AnthropicMessages),
            ("/v1/messages/batches", Dialect::Generic),
            ("/v1/threads/t/messages", Dialect::Generic),
            ("/v1/notchat/completions", Dialect::Generic),
            ("/v1/embeddings?path=/v1/chat/completions", Dialect::Generic),
            ("/mcp", Dialect::Generic),
            ("", Dialect::Generic),
        ] {
            assert_eq!(Dialect::detect("POST", path), Some(expected), "{path}");
        }
    }

    #[test]
    fn only_requests_that_use_tokens_are_counted() {
        for method in ["GET", "HEAD", "OPTIONS", "DELETE", "PUT", "post", ""] {
            assert_eq!(Dialect::detect(method, "/v1/chat/completions"), None, "{method}");
        }
        for path in [
            "/v1/messages/count_tokens",
            "/v1/messages/count_tokens?beta=true",
            "/a/b.c/v1/messages/count_tokens/",
        ] {
            assert_eq!(Dialect::detect("POST", path), None, "{path}");
        }
    }

    #[test]
    fn a_path_that_only_looks_free_is_counted() {
        for path in [
            "/v1/messages/x/../../v1/messages/count_tokens",
            "/v1/chat/completions;/v1/messages/count_tokens",
            "/v1/chat/completions%3f/v1/messages/count_tokens",
            "/v1/chat/completions//v1/messages/count_tokens",
            "/v1/chat/completions\\/v1/messages/count_tokens",
            "/v1/chat/completions?/v1/messages/count_tokens",
            "/v1/chat/completions#/v1/messages/count_tokens",
        ] {
            assert!(Dialect::detect("POST", path).is_some(), "{path}");
        }
    }

    #[test]
    fn every_dialect_keeps_the_scanners_bounds() {
        for spec in DIALECTS.iter().chain([&&generic::SPEC]) {
            assert!(is_within_bounds(spec.request) && is_within_bounds(spec.response), "{:?}", spec.dialect);
            assert_eq!(spec.dialect.spec().dialect, spec.dialect);
        }
        assert_eq!(
            [Dialect::OpenAiChat, Dialect::AnthropicMessages, Dialect::Generic].map(Dialect::provider),
            ["openai", "anthropic", ""]
        );
    }
}
