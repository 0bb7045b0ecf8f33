//! The error shapes of the APIs that clients speak. A shape is one file, and a line in each table here.

mod anthropic;
mod bedrock;
mod cohere;
mod gemini;
mod json_rpc;
mod mistral;
mod ollama;
mod openai;
mod problem;
mod tgi;

use serde_json::Value;

use crate::traffic::Dialect;

use super::fault::{Class, Fault};

/// Whose error shape an answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// OpenAI's, and that of the many that speak like it: Azure, vLLM, llama.cpp.
    OpenAi,
    /// Anthropic's.
    Anthropic,
    /// Google's, for Gemini and Vertex.
    Gemini,
    /// AWS's, for Bedrock.
    Bedrock,
    /// Cohere's.
    Cohere,
    /// Mistral's.
    Mistral,
    /// Ollama's.
    Ollama,
    /// That of Hugging Face's text generation inference.
    Tgi,
    /// JSON-RPC 2.0, for MCP.
    JsonRpc,
    /// A problem document (RFC 9457), for everything else.
    Problem,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::OpenAi,
        Self::Anthropic,
        Self::Gemini,
        Self::Bedrock,
        Self::Cohere,
        Self::Mistral,
        Self::Ollama,
        Self::Tgi,
        Self::JsonRpc,
        Self::Problem,
    ];

    /// The shape that clients of a dialect understand.
    pub const fn of(dialect: Option<Dialect>) -> Self {
        use Dialect::*;
        match dialect {
            Some(OpenAiChat | OpenAiCompletions | OpenAiResponses | OpenAiEmbeddings | LlamaCpp) => {
                Self::OpenAi
            }
            Some(AnthropicMessages | AnthropicBatches) => Self::Anthropic,
            Some(Dialect::Gemini) => Self::Gemini,
            Some(BedrockConverse | BedrockInvoke) => Self::Bedrock,
            Some(Dialect::Cohere) => Self::Cohere,
            Some(Dialect::Mistral) => Self::Mistral,
            Some(Dialect::Ollama) => Self::Ollama,
            Some(Dialect::Tgi) => Self::Tgi,
            Some(Mcp) => Self::JsonRpc,
            Some(Generic) | None => Self::Problem,
        }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Problem => "application/problem+json",
            _ => "application/json",
        }
    }

    /// The status: HTTP's own, unless the API has another for it.
    pub(super) const fn status(self, class: Class) -> u16 {
        match self {
            Self::Anthropic => anthropic::status(class),
            _ => class.status(),
        }
    }

    pub(super) fn add_headers(self, fault: &Fault<'_>, headers: &mut Vec<(&'static str, String)>) {
        if self == Self::Bedrock {
            headers.push(("x-amzn-errortype", bedrock::kind(fault.class).into()));
        }
    }

    pub(super) fn body(self, fault: &Fault<'_>) -> Value {
        match self {
            Self::OpenAi => openai::body(fault),
            Self::Anthropic => anthropic::body(fault),
            Self::Gemini => gemini::body(fault),
            Self::Bedrock => bedrock::body(fault),
            Self::Cohere => cohere::body(fault),
            Self::Mistral => mistral::body(fault),
            Self::Ollama => ollama::body(fault),
            Self::Tgi => tgi::body(fault),
            Self::JsonRpc => json_rpc::body(fault),
            Self::Problem => problem::body(fault),
        }
    }
}
