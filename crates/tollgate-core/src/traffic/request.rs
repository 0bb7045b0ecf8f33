//! What a request asks for: read once, before the model sees it.

mod calls;

use tollgate_wire::TokenCount;

use super::dialect::Dialect;
use super::fields::{CAP_NAMES_MAX, CHOICES_NAMES_MAX, RequestField as Field};
use super::json::{Event, Scanner, Visitor};
use super::meter::Meter;
use super::short::Short;
pub use calls::SEVERAL_TOOLS;
use calls::{Called, Calls};

/// Longer model names are kept to this length; no price list has one.
pub const MODEL_BYTES_MAX: usize = 128;
/// Stands for the model of a batch that is for several: a cheap one must not stand for a dear one.
const SEVERAL_MODELS: &str = "several";
/// What a chat template adds to each message: role and separators, three to four tokens in the templates known.
const TOKENS_PER_MESSAGE: u64 = 4;
/// An image, sound or document, whatever its size, unless the configuration says otherwise: providers charge by resolution,
/// length or pages, which encoded bytes do not show. The settlement knows better.
const TOKENS_PER_MEDIUM: u64 = 1_000;
/// A body that can't be read as text in JSON counts by its size, as prose would.
const BYTES_PER_TOKEN: u64 = 4;
/// A text of one byte and one token.
const ONE_TOKEN: &[u8] = b"0";
/// A string of an unknown format that is shorter than this is text, whatever it looks like.
const ENCODED_BYTES_MIN: usize = 512;

/// What was found in a request's body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFacts {
    /// The model asked for; at most the first [`MODEL_BYTES_MAX`] bytes of its name.
    pub model: Option<String>,
    /// The most output tokens for each choice. Where several names for it are given, the largest: which one binds is
    /// up to the server.
    pub output_cap: Option<u64>,
    /// How many answers are asked for, at least one: for each of several prompts, and each call of a batch.
    pub choices: u64,
    /// Whether the answer shall come as a stream.
    pub stream: bool,
    /// The request has `stream_options`, whatever they are.
    pub has_stream_options: bool,
    /// Whether the client asked an OpenAI-like server to end the stream with the usage.
    pub include_usage: bool,
    /// The tool that a JSON-RPC request calls, or [`SEVERAL_TOOLS`]; at most the first [`MODEL_BYTES_MAX`] bytes.
    pub tool: Option<String>,
    /// The id of a JSON-RPC request, as JSON: a string or a whole number, which a refusal has to repeat.
    pub call_id: Option<String>,
    /// Input tokens, estimated from the text, the number of messages and of media. Never zero where a model is asked.
    pub input_estimate: TokenCount,
    /// Words of the text.
    pub input_words: u64,
    /// Bytes of the body.
    pub body_bytes: u64,
    /// The body is not one JSON value: no server is known to accept it, but the facts are those that one would read.
    pub malformed: bool,
}

/// Reads a request's body, in one pass. Never fails: what can't be read is estimated by its size.
///
/// The last of repeated keys counts. Amounts that are no integers are rounded up, too large ones saturate, negative
/// ones are as if absent.
pub fn inspect_request(dialect: Dialect, body: &[u8]) -> RequestFacts {
    inspect_with(dialect, body, TOKENS_PER_MEDIUM)
}

/// The same, where an image, sound or document counts as so many tokens.
pub(super) fn inspect_with(dialect: Dialect, body: &[u8], media_tokens: u64) -> RequestFacts {
    let mut scanner = Scanner::new(dialect.spec().request);
    let mut reading = Reading { media_tokens, ..Reading::new(dialect, body.len() as u64) };
    let mut rest = scanner.feed(body, &mut reading);
    if !scanner.is_done() {
        // A number or a word at the root ends where the body does.
        rest = scanner.feed(b" ", &mut reading);
    }
    let malformed = scanner.is_malformed() || !scanner.is_done() || !rest.trim_ascii().is_empty();
    reading.facts(malformed, body.len() as u64)
}

impl RequestFacts {
    /// Of a body that is not read, so many bytes long.
    pub(super) fn unread(dialect: Dialect, bytes: u64) -> Self {
        let mut facts = Reading::new(dialect, 0).facts(true, bytes);
        facts.malformed = false;
        facts
    }

    /// More of a body that is not read has come: so many bytes in all.
    pub fn is_at_least(&mut self, bytes: u64) {
        self.input_estimate.0 = self.input_estimate.0.max(bytes.div_ceil(BYTES_PER_TOKEN));
        self.body_bytes = self.body_bytes.max(bytes);
    }
}

/// The facts while they are being read.
struct Reading {
    uses_model: bool,
    model: Short<MODEL_BYTES_MAX>,
    has_model: bool,
    /// The first model of several requests.
    first_model: Option<Short<MODEL_BYTES_MAX>>,
    several_models: bool,
    caps: [Option<u64>; CAP_NAMES_MAX],
    choices: [Option<u64>; CHOICES_NAMES_MAX],
    prompts: u64,
    calls: Calls,
    stream: bool,
    has_stream_options: bool,
    include_usage: bool,
    meter: Meter,
    media_tokens: u64,
    string: Content,
}

/// What the string being read is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// Nothing of it came yet.
    Undecided,
    Text,
    Encoded,
}

impl Reading {
    fn new(dialect: Dialect, body_bytes: u64) -> Self {
        let spec = dialect.spec();
        Self {
            uses_model: spec.uses_model,
            model: Short::new(),
            has_model: false,
            first_model: None,
            several_models: false,
            caps: [None; CAP_NAMES_MAX],
            choices: [None; CHOICES_NAMES_MAX],
            prompts: 0,
            calls: Calls::default(),
            stream: spec.streams_by_default,
            has_stream_options: false,
            include_usage: false,
            meter: Meter::of_prompt(body_bytes),
            media_tokens: TOKENS_PER_MEDIUM,
            string: Content::Undecided,
        }
    }

    fn facts(self, malformed: bool, body_bytes: u64) -> RequestFacts {
        let by_size = if malformed { body_bytes.div_ceil(BYTES_PER_TOKEN) } else { 0 };
        let name = || match self.several_models {
            true => SEVERAL_MODELS.to_owned(),
            false => String::from_utf8_lossy(self.model.kept()).into_owned(),
        };
        let choices = self.choices.into_iter().flatten().max().unwrap_or(1).max(1);
        let Called { calls, tool, id } = self.calls.ended();
        let (output_cap, input) = match self.uses_model {
            true => (self.caps.into_iter().flatten().max(), self.meter.tokens().0.max(by_size).max(1)),
            false => (Some(0), 0),
        };
        RequestFacts {
            model: self.has_model.then(name),
            output_cap,
            choices: choices.saturating_mul(self.prompts.max(1)).saturating_mul(calls.max(1)),
            stream: self.stream,
            has_stream_options: self.has_stream_options,
            include_usage: self.include_usage,
            tool,
            call_id: id,
            input_estimate: TokenCount(input),
            input_words: self.meter.words(),
            body_bytes,
            malformed,
        }
    }

    fn text(&mut self, event: Event<'_>) {
        match event {
            Event::Text(piece) => self.meter.feed(piece),
            Event::Passed(bytes) => self.meter.pass(bytes),
            Event::TextEnd => self.meter.cut(),
            Event::Key(key) => {
                self.meter.feed(key);
                self.meter.cut();
            }
            Event::Number(_) | Event::Bool(_) => self.meter.add(1),
            Event::TextStart | Event::Object | Event::Array | Event::Null => {}
        }
    }

    /// A medium counts once. What is plainly text all the same, as in a document of plain text, counts as that too.
    fn medium(&mut self, event: Event<'_>) {
        match event {
            Event::TextStart => self.meter.add(self.media_tokens),
            Event::Text(piece) if looks_like_text(piece) => self.meter.feed(piece),
            Event::TextEnd => self.meter.cut(),
            _ => {}
        }
    }

    /// A string of a format that is not known is encoded media if it begins like that.
    fn unknown(&mut self, event: Event<'_>) {
        match event {
            Event::TextStart => self.string = Content::Undecided,
            Event::Text(piece) if self.string == Content::Undecided => {
                let encoded = piece.starts_with(b"data:")
                    || (piece.len() >= ENCODED_BYTES_MIN && !looks_like_text(piece));
                self.string = if encoded { Content::Encoded } else { Content::Text };
                if encoded {
                    self.meter.add(self.media_tokens);
                } else {
                    self.text(event);
                }
            }
            Event::Text(piece) if self.string == Content::Encoded && !looks_like_text(piece) => {}
            _ => self.text(event),
        }
    }
}

impl Visitor<Field> for Reading {
    fn visit(&mut self, field: Field, event: Event<'_>) {
        match field {
            Field::Model => match event {
                Event::Text(piece) => self.model.extend(piece),
                Event::TextEnd => {}
                start => {
                    self.model.clear();
                    self.has_model = matches!(start, Event::TextStart);
                }
            },
            Field::ModelOfMany => {
                self.visit(Field::Model, event);
                if matches!(event, Event::TextEnd) {
                    let first = self.first_model.get_or_insert(self.model);
                    self.several_models |= first.kept() != self.model.kept();
                }
            }
            Field::CapOfMany => {
                if let Some(cap) = self.caps.first_mut() {
                    *cap = (*cap).max(amount(event));
                }
            }
            Field::OutputCap(name) => {
                if let Some(cap) = self.caps.get_mut(name) {
                    *cap = amount(event);
                }
            }
            Field::Choices(name) => {
                if let Some(choices) = self.choices.get_mut(name) {
                    *choices = amount(event);
                }
            }
            Field::Prompt => {
                let starts = matches!(event, Event::TextStart | Event::Array | Event::Object);
                self.prompts = self.prompts.saturating_add(u64::from(starts));
                self.text(event);
            }
            Field::Call | Field::CallId | Field::Method | Field::Tool => {
                self.calls.visit(field, event);
                self.unknown(event);
            }
            Field::Stream => self.stream = matches!(event, Event::Bool(true)),
            Field::StreamOptions => {
                self.has_stream_options = true;
                self.include_usage = false;
            }
            Field::IncludeUsage => self.include_usage = matches!(event, Event::Bool(true)),
            Field::Message => match event {
                Event::Object => self.meter.add(TOKENS_PER_MESSAGE),
                _ => self.unknown(event),
            },
            // A number is a token in lists of text; in what has a structure it is sampled like the rest of it.
            Field::Structure if matches!(event, Event::Number(_) | Event::Bool(_)) => {
                self.meter.feed(ONE_TOKEN);
                self.meter.cut();
            }
            Field::Text | Field::Structure => self.text(event),
            Field::Media => self.medium(event),
            Field::Unknown => self.unknown(event),
            Field::Form => {}
        }
    }

    fn may_pass(&self, field: Field) -> u64 {
        match field {
            Field::Text | Field::Structure | Field::Prompt => self.meter.may_pass(),
            Field::Unknown | Field::Message if self.string == Content::Text => self.meter.may_pass(),
            _ => 0,
        }
    }
}

fn amount(event: Event<'_>) -> Option<u64> {
    match event {
        Event::Number(number) => number.amount(),
        _ => None,
    }
}

/// Looks at a few places of a piece for what base64 and links don't have: spaces, or letters outside ASCII. Short
/// pieces are the line breaks of encoded data.
fn looks_like_text(piece: &[u8]) -> bool {
    const PIECE_BYTES_MIN: usize = 16;
    const PLACES: usize = 16;
    const PLACE_BYTES: usize = 32;
    if piece.len() < PIECE_BYTES_MIN {
        return false;
    }
    let stride = (piece.len() / PLACES).max(PLACE_BYTES);
    let is_text = |byte: &u8| *byte <= b' ' || *byte >= 0x80;
    piece.chunks(stride).any(|place| place.iter().take(PLACE_BYTES).any(is_text))
}

#[cfg(test)]
mod tests;
