//! A request's body, read as far as the model server needs it.

use serde_json::Value;

use super::endpoint::{Dialect, Endpoint};
use super::text::tokens;

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
    pub fn of(endpoint: &Endpoint, body: &Value) -> Result<Self, String> {
        let model = endpoint.model.as_deref().or_else(|| body["model"].as_str());
        let model = match endpoint.dialect {
            Dialect::LlamaCpp | Dialect::Mcp => model.unwrap_or("local"),
            _ => model.ok_or("you must provide a model parameter")?,
        };
        let options = &body["stream_options"];
        if endpoint.dialect == Dialect::Mistral && !options.is_null() {
            return Err("Extra inputs are not permitted: stream_options".to_owned());
        }
        let streams_unasked = endpoint.dialect == Dialect::Ollama;
        Ok(Self {
            model: model.to_owned(),
            tokens: text_of(endpoint.dialect, body)?,
            output_cap: cap_of(endpoint.dialect, body)?,
            choices: match endpoint.dialect {
                Dialect::OpenAi | Dialect::Completions => body["n"].as_u64().unwrap_or(1).clamp(1, 16),
                _ => 1,
            },
            stream: endpoint.stream.unwrap_or(body["stream"].as_bool().unwrap_or(streams_unasked)),
            include_usage: options["include_usage"].as_bool().unwrap_or_default(),
            obfuscation: options["include_obfuscation"].as_bool().unwrap_or(true),
        })
    }
}

/// Tokens of the prompt.
fn text_of(dialect: Dialect, body: &Value) -> Result<u64, String> {
    let messages = |list: &Value, content: &str| -> Result<u64, String> {
        let list = list.as_array().ok_or("missing required parameter: 'messages'")?;
        Ok(list.iter().map(|message| text_tokens(&message[content])).sum())
    };
    Ok(match dialect {
        Dialect::Anthropic | Dialect::Invoke => {
            messages(&body["messages"], "content")? + text_tokens(&body["system"])
        }
        Dialect::OpenAi | Dialect::Cohere | Dialect::Ollama | Dialect::Converse => {
            messages(&body["messages"], "content")?
        }
        Dialect::Mistral if body["messages"].is_array() => messages(&body["messages"], "content")?,
        Dialect::Gemini => messages(&body["contents"], "parts")?,
        Dialect::Responses if body["input"].is_array() => messages(&body["input"], "content")?,
        Dialect::Responses | Dialect::Embeddings => text_tokens(&body["input"]),
        Dialect::Completions | Dialect::Mistral | Dialect::LlamaCpp => text_tokens(&body["prompt"]),
        Dialect::Tgi => text_tokens(&body["inputs"]),
        Dialect::Mcp | Dialect::Batches | Dialect::Cancel => 0,
    })
}

/// The most output tokens that are wanted.
fn cap_of(dialect: Dialect, body: &Value) -> Result<Option<u64>, String> {
    Ok(match dialect {
        Dialect::OpenAi => body["max_completion_tokens"].as_u64().or_else(|| body["max_tokens"].as_u64()),
        Dialect::Anthropic | Dialect::Invoke => {
            Some(body["max_tokens"].as_u64().ok_or("max_tokens: Field required")?)
        }
        Dialect::Responses => body["max_output_tokens"].as_u64(),
        Dialect::Gemini => body["generationConfig"]["maxOutputTokens"].as_u64(),
        Dialect::Converse => body["inferenceConfig"]["maxTokens"].as_u64(),
        Dialect::Ollama => body["options"]["num_predict"].as_u64(),
        Dialect::Tgi => body["parameters"]["max_new_tokens"].as_u64(),
        Dialect::LlamaCpp => body["n_predict"].as_u64(),
        Dialect::Embeddings | Dialect::Mcp | Dialect::Batches | Dialect::Cancel => Some(0),
        Dialect::Completions | Dialect::Cohere | Dialect::Mistral => body["max_tokens"].as_u64(),
    })
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

    fn parse(path: &str, body: &[u8]) -> Result<Prompt, String> {
        Prompt::of(&Endpoint::of(path).unwrap(), &serde_json::from_slice(body).unwrap())
    }

    #[test]
    fn only_the_text_of_messages_counts() {
        let body = br#"{"model":"m","n":2,"max_tokens":9,"max_completion_tokens":5,"stream":true,
            "stream_options":{"include_usage":true},"messages":[{"role":"developer","content":"be brief"},
            {"role":"user","content":[{"type":"text","text":"one two three"},
            {"type":"image_url","image_url":{"url":"data:,x y z"}}]}]}"#;
        let prompt = parse("/v1/chat/completions", body).unwrap();
        assert_eq!((prompt.tokens, prompt.output_cap, prompt.choices), (5, Some(5), 2));
        assert!(prompt.stream && prompt.include_usage && prompt.obfuscation);
    }

    #[test]
    fn mistral_refuses_options_of_streams() {
        let body = br#"{"model":"m","messages":[{"content":"a b"}],"stream":true}"#;
        assert_eq!(parse("/mistral/v1/chat/completions", body).unwrap().tokens, 2);
        let asked = br#"{"model":"m","messages":[],"stream_options":{"include_usage":true}}"#;
        assert!(parse("/mistral/v1/chat/completions", asked).unwrap_err().contains("stream_options"));
    }

    #[test]
    fn anthropic_counts_the_system_prompt_and_requires_a_cap() {
        let body = br#"{"model":"m","max_tokens":3,"system":[{"type":"text","text":"a b"}],
            "messages":[{"role":"user","content":"c"}]}"#;
        assert_eq!(parse("/v1/messages", body).unwrap().tokens, 3);
        let uncapped = br#"{"model":"m","messages":[]}"#;
        assert!(parse("/v1/messages", uncapped).unwrap_err().contains("max_tokens"));
    }
}
