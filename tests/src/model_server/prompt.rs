//! A request's body, read as far as the model server needs it.

use serde_json::Value;

use super::text::tokens;

/// The API a request speaks, by its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `POST .../v1/chat/completions`
    OpenAi,
    /// `POST .../v1/messages`
    Anthropic,
}

impl Dialect {
    /// The dialect of a path, whatever stands before it.
    pub fn of_path(path: &str) -> Option<Self> {
        if path.ends_with("/v1/chat/completions") {
            Some(Self::OpenAi)
        } else if path.ends_with("/v1/messages") {
            Some(Self::Anthropic)
        } else {
            None
        }
    }
}

/// What of the request decides the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prompt {
    /// The model asked for.
    pub model: String,
    /// Tokens of the messages' text.
    pub tokens: u64,
    /// The most output tokens the client wants, per choice.
    pub output_cap: Option<u64>,
    /// Number of answers (OpenAI's `n`).
    pub choices: u64,
    /// The answer is to be streamed.
    pub stream: bool,
    /// OpenAI: the usage is wanted at the end of the stream.
    pub include_usage: bool,
    /// OpenAI: chunks are padded against traffic analysis unless the client objects.
    pub obfuscation: bool,
}

impl Prompt {
    /// Reads a body; the error is the provider's message.
    pub fn parse(dialect: Dialect, body: &[u8]) -> Result<Self, String> {
        let body: Value = serde_json::from_slice(body).map_err(|error| format!("invalid JSON: {error}"))?;
        let model = body["model"].as_str().ok_or("you must provide a model parameter")?.to_owned();
        let messages = body["messages"].as_array().ok_or("missing required parameter: 'messages'")?;
        let mut count: u64 = messages.iter().map(|message| text_tokens(&message["content"])).sum();
        let output_cap = match dialect {
            Dialect::OpenAi => body["max_completion_tokens"].as_u64().or_else(|| body["max_tokens"].as_u64()),
            Dialect::Anthropic => {
                count += text_tokens(&body["system"]);
                Some(body["max_tokens"].as_u64().ok_or("max_tokens: Field required")?)
            }
        };
        let options = &body["stream_options"];
        Ok(Self {
            model,
            tokens: count,
            output_cap,
            choices: body["n"].as_u64().filter(|_| dialect == Dialect::OpenAi).unwrap_or(1).clamp(1, 16),
            stream: body["stream"].as_bool().unwrap_or_default(),
            include_usage: options["include_usage"].as_bool().unwrap_or_default(),
            obfuscation: options["include_obfuscation"].as_bool().unwrap_or(true),
        })
    }
}

/// Tokens of a content: a string, or a list of parts of which those of type `text` count.
fn text_tokens(content: &Value) -> u64 {
    match content {
        Value::String(text) => tokens(text),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).map(tokens).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_of_messages_counts() {
        let body = br#"{"model":"m","n":2,"max_tokens":9,"max_completion_tokens":5,"stream":true,
            "stream_options":{"include_usage":true},"messages":[{"role":"developer","content":"be brief"},
            {"role":"user","content":[{"type":"text","text":"one two three"},
            {"type":"image_url","image_url":{"url":"data:,x y z"}}]}]}"#;
        let prompt = Prompt::parse(Dialect::OpenAi, body).unwrap();
        assert_eq!((prompt.tokens, prompt.output_cap, prompt.choices), (5, Some(5), 2));
        assert!(prompt.stream && prompt.include_usage && prompt.obfuscation);
    }

    #[test]
    fn anthropic_counts_the_system_prompt_and_requires_a_cap() {
        let body = br#"{"model":"m","max_tokens":3,"system":[{"type":"text","text":"a b"}],
            "messages":[{"role":"user","content":"c"}]}"#;
        assert_eq!(Prompt::parse(Dialect::Anthropic, body).unwrap().tokens, 3);
        let uncapped = br#"{"model":"m","messages":[]}"#;
        assert!(Prompt::parse(Dialect::Anthropic, uncapped).unwrap_err().contains("max_tokens"));
    }

    #[test]
    fn the_end_of_the_path_is_the_dialect() {
        assert_eq!(Dialect::of_path("/team/v1/chat/completions"), Some(Dialect::OpenAi));
        assert_eq!(Dialect::of_path("/v1/messages"), Some(Dialect::Anthropic));
        assert_eq!(Dialect::of_path("/v1/messages/count_tokens"), None);
    }
}
