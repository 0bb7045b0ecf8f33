//! The wire formats of model endpoints.

use super::dialects::{self, Spec};

/// A wire format of model endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `POST .../chat/completions`, by OpenAI and the many that speak like it (Azure, vLLM, llama.cpp, TGI, DeepSeek).
    OpenAiChat,
    /// `POST .../completions`, by OpenAI and the many that speak like it.
    OpenAiCompletions,
    /// `POST .../responses`, by OpenAI.
    OpenAiResponses,
    /// `POST .../embeddings`, by OpenAI and the many that speak like it.
    OpenAiEmbeddings,
    /// `POST .../v1/messages`, by Anthropic, and by Vertex as `...:rawPredict` and `...:streamRawPredict`.
    AnthropicMessages,
    /// `POST .../v1/messages/batches`, by Anthropic: many messages, answered later.
    AnthropicBatches,
    /// `POST .../{model}:generateContent` and its like, by Gemini and Vertex.
    Gemini,
    /// `POST .../model/{model}/converse` and `converse-stream`, by AWS.
    BedrockConverse,
    /// `POST .../model/{model}/invoke` and `invoke-with-response-stream`, by AWS: the vendor's format in an envelope.
    BedrockInvoke,
    /// `POST .../v2/chat`, `embed` and `rerank`, and their first version, by Cohere.
    Cohere,
    /// OpenAI's chat as Mistral speaks it: nothing may be added to requests.
    Mistral,
    /// `POST .../api/chat`, `generate` and `embed`, by Ollama.
    Ollama,
    /// `POST .../generate` and `generate_stream`, by TGI.
    Tgi,
    /// `POST .../completion` and `infill`, by llama.cpp.
    LlamaCpp,
    /// `POST .../mcp`: JSON-RPC to a server of tools.
    Mcp,
    /// Any other POST: counted, with what can be found without knowing the format.
    Generic,
}

impl Dialect {
    /// Every dialect.
    pub fn all() -> impl Iterator<Item = Self> {
        dialects::ALL.iter().map(|spec| spec.dialect)
    }

    /// The dialect of this name, as a route's metadata gives it: `openai_chat`, `mistral`.
    pub fn named(name: &str) -> Option<Self> {
        dialects::ALL.iter().find(|spec| spec.name == name).map(|spec| spec.dialect)
    }

    /// The name for [`Dialect::named`].
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// The provider that the format is native to, as `openai`; empty where there is none.
    pub fn provider(self) -> &'static str {
        self.spec().provider
    }

    /// False for what no model answers: it uses no tokens, and there is no price to look up.
    pub fn uses_model(self) -> bool {
        self.spec().uses_model
    }

    /// Response headers that [`super::ResponseParser::header`] reads.
    pub fn usage_headers(self) -> impl Iterator<Item = &'static str> {
        self.spec().headers.iter().map(|(name, _)| *name)
    }

    pub(super) fn spec(self) -> &'static Spec {
        dialects::ALL.iter().find(|spec| spec.dialect == self).copied().unwrap_or(dialects::UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_dialects() {
        for spec in dialects::ALL {
            assert_eq!(Dialect::named(spec.name), Some(spec.dialect));
            assert_eq!((spec.dialect.name(), spec.dialect.provider()), (spec.name, spec.provider));
        }
        assert_eq!(Dialect::named("OpenAiChat"), None);
        assert_eq!(Dialect::named(""), None);
    }
}
