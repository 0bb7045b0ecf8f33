//! Which API a request speaks, by its path, and what the path alone tells.

/// An API of the model server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `POST .../chat/completions`
    OpenAi,
    /// `POST .../completions`
    Completions,
    /// `POST .../responses`
    Responses,
    /// `POST .../embeddings`
    Embeddings,
    /// `POST .../v1/messages`, and `:rawPredict` and `:streamRawPredict` of Vertex
    Anthropic,
    /// `POST .../{model}:generateContent` and `:streamGenerateContent`
    Gemini,
    /// `POST .../model/{model}/converse` and `converse-stream`
    Converse,
    /// `POST .../model/{model}/invoke` and `invoke-with-response-stream`, with Anthropic's bodies
    Invoke,
    /// `POST .../v1/messages/batches`
    Batches,
    /// `POST .../batches/{batch}/cancel`
    Cancel,
    /// `POST .../v2/chat`
    Cohere,
    /// `POST .../fim/completions`, and `.../chat/completions` for a model of Mistral's or below `/mistral/`
    Mistral,
    /// `POST .../api/chat`
    Ollama,
    /// `POST .../generate` and `generate_stream`
    Tgi,
    /// `POST .../completion`
    LlamaCpp,
    /// `POST .../mcp`
    Mcp,
}

/// What a path tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The API.
    pub dialect: Dialect,
    /// The model, where it is in the path.
    pub model: Option<String>,
    /// Whether the answer is a stream, where the path tells.
    pub stream: Option<bool>,
    /// A stream of Gemini's is one array, and not one of events.
    pub array: bool,
}

impl Endpoint {
    /// The API of a path and its query, whatever stands before it.
    pub fn of(path: &str) -> Option<Self> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let plain = |dialect| Some(Self { dialect, model: None, stream: None, array: false });
        if path.contains("/batches/") && path.ends_with("/cancel") {
            return plain(Dialect::Cancel);
        }
        if path.ends_with("/mistral/v1/chat/completions") {
            return plain(Dialect::Mistral);
        }
        for (end, dialect) in [
            ("/fim/completions", Dialect::Mistral),
            ("/chat/completions", Dialect::OpenAi),
            ("/completions", Dialect::Completions),
            ("/responses", Dialect::Responses),
            ("/embeddings", Dialect::Embeddings),
            ("/v1/messages", Dialect::Anthropic),
            ("/v1/messages/batches", Dialect::Batches),
            ("/v2/chat", Dialect::Cohere),
            ("/api/chat", Dialect::Ollama),
            ("/completion", Dialect::LlamaCpp),
            ("/mcp", Dialect::Mcp),
        ] {
            if path.ends_with(end) {
                return plain(dialect);
            }
        }
        for (end, dialect, stream) in [
            (":generateContent", Dialect::Gemini, false),
            (":streamGenerateContent", Dialect::Gemini, true),
            (":rawPredict", Dialect::Anthropic, false),
            (":streamRawPredict", Dialect::Anthropic, true),
            ("/converse", Dialect::Converse, false),
            ("/converse-stream", Dialect::Converse, true),
            ("/invoke", Dialect::Invoke, false),
            ("/invoke-with-response-stream", Dialect::Invoke, true),
            ("/generate", Dialect::Tgi, false),
            ("/generate_stream", Dialect::Tgi, true),
        ] {
            if let Some(front) = path.strip_suffix(end) {
                let model = front.rsplit('/').next().unwrap_or_default().replace("%3A", ":");
                let model = if dialect == Dialect::Tgi { "tgi".to_owned() } else { model };
                let array = dialect == Dialect::Gemini && !query.contains("alt=sse");
                return Some(Self { dialect, model: Some(model), stream: Some(stream), array });
            }
        }
        None
    }

    /// The same for a body with this model: Mistral's own are known by their names where its API looks like OpenAI's.
    pub fn for_model(self, model: &str) -> Self {
        let mistral = self.dialect == Dialect::OpenAi && model.contains("stral");
        Self { dialect: if mistral { Dialect::Mistral } else { self.dialect }, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_path_is_the_dialect() {
        let dialect = |path| Endpoint::of(path).map(|endpoint| endpoint.dialect);
        assert_eq!(dialect("/team/v1/chat/completions"), Some(Dialect::OpenAi));
        assert_eq!(dialect("/v1/messages?beta=true"), Some(Dialect::Anthropic));
        assert_eq!(dialect("/v1/messages/count_tokens"), None);
        let bedrock = Endpoint::of("/model/amazon.nova-pro-v1%3A0/converse-stream").unwrap();
        assert_eq!((bedrock.model.as_deref(), bedrock.stream), (Some("amazon.nova-pro-v1:0"), Some(true)));
        assert!(Endpoint::of("/v1/models/g:streamGenerateContent").unwrap().array);
        assert!(!Endpoint::of("/v1/models/g:streamGenerateContent?alt=sse").unwrap().array);
    }
}
