//! Reads an answer as it passes: whatever it is, in whatever pieces, in a few hundred bytes of memory.

use tollgate_wire::TokenCount;

use super::dialect::Dialect;
use super::fields::ResponseField as Field;
use super::json::{Event, Scanner, Visitor};
use super::meter::Meter;
use super::request::MODEL_BYTES_MAX;
use super::short::Short;
use super::sse::{EVENT_BYTES_MAX, Lines, Splitter};
use super::usage::{Counters, Observed};

/// Ends OpenAI's streams, in place of a document.
const DONE: &[u8] = b"[DONE]";
/// Answers past this many bytes of text are estimated from samples.
const TEXT_BYTES_EXPECTED: u64 = 64 * 1024;
/// An answer of unknown form counts by its size, as prose would.
const BYTES_PER_TOKEN: u64 = 4;
/// Compressed prose takes about two bytes for what is a token.
const COMPRESSED_BYTES_PER_TOKEN: u64 = 2;

/// Follows an answer and tells at any time what it used.
///
/// Whether the answer is JSON or a stream of events is told by its first byte, because content types lie. What is
/// neither is counted by size only.
#[derive(Clone, Debug)]
pub struct ResponseParser {
    dialect: Dialect,
    format: Format,
    splitter: Splitter,
    documents: Documents,
    body_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Unknown,
    Json,
    Events,
    Opaque,
}

impl ResponseParser {
    /// A parser before the first byte of an answer.
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            format: Format::Unknown,
            splitter: Splitter::new(),
            documents: Documents {
                scanner: Scanner::new(dialect.spec().response),
                payload: Payload::Marker(0),
                facts: Facts::new(),
            },
            body_bytes: 0,
        }
    }

    /// Takes the next bytes of the body.
    pub fn feed(&mut self, mut chunk: &[u8]) {
        self.body_bytes = self.body_bytes.saturating_add(chunk.len() as u64);
        if self.format == Format::Unknown {
            let Some(start) = chunk.iter().position(|byte| !comes_before(*byte)) else { return };
            chunk = chunk.split_at_checked(start).map_or(chunk, |(_, rest)| rest);
            self.format = chunk.first().map_or(Format::Unknown, |byte| format(*byte));
        }
        match self.format {
            Format::Json => self.documents.feed_all(chunk),
            Format::Events => self.splitter.feed(chunk, &mut self.documents),
            Format::Opaque | Format::Unknown => {}
        }
    }

    /// What was seen so far: the final word after the last byte, and the best there is after an abort.
    pub fn observed(&self) -> Observed {
        let facts = &self.documents.facts;
        let last = facts.last.usage();
        let estimate = match (self.format, self.dialect) {
            (Format::Opaque, _) => TokenCount(self.body_bytes.div_ceil(COMPRESSED_BYTES_PER_TOKEN)),
            (_, Dialect::Generic) => TokenCount(self.body_bytes.div_ceil(BYTES_PER_TOKEN)),
            _ => facts.text.tokens(),
        };
        let name = || String::from_utf8_lossy(facts.model.kept()).into_owned();
        Observed {
            usage: last.or_at_start(facts.start.usage()),
            reported: last.output.is_some(),
            output_estimate: estimate,
            body_bytes: self.body_bytes,
            error: facts.error,
            finished: match self.format {
                Format::Json => self.documents.scanner.is_done(),
                _ => facts.ended,
            },
            model: (!facts.model.kept().is_empty()).then(name),
        }
    }
}

/// White space and the byte order mark.
const fn comes_before(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0xEF | 0xBB | 0xBF)
}

/// Events begin with a field's name or a comment; compressed data and markup with neither.
const fn format(byte: u8) -> Format {
    match byte {
        b'{' | b'[' => Format::Json,
        b':' | b'a'..=b'z' | b'A'..=b'Z' => Format::Events,
        _ => Format::Opaque,
    }
}

/// The JSON documents of an answer: one, one for each event, or one after the other.
#[derive(Clone, Debug)]
struct Documents {
    scanner: Scanner<Field>,
    payload: Payload,
    facts: Facts,
}

/// What the data of the current event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Payload {
    /// So many of its bytes are those of [`DONE`], and no others came.
    Marker(usize),
    Document,
}

impl Documents {
    fn feed_all(&mut self, mut bytes: &[u8]) {
        loop {
            bytes = self.scanner.feed(bytes, &mut self.facts).trim_ascii_start();
            if bytes.is_empty() {
                return;
            }
            self.scanner.reset();
        }
    }
}

impl Lines for Documents {
    fn data_starts(&mut self) {
        match self.payload {
            Payload::Marker(_) => self.payload = Payload::Marker(0),
            // A sender that leaves out the empty line between events.
            Payload::Document if self.scanner.is_done() => {
                self.scanner.reset();
                self.payload = Payload::Marker(0);
            }
            Payload::Document => {
                self.scanner.feed(b"\n", &mut self.facts);
            }
        }
    }

    fn data(&mut self, mut piece: &[u8]) {
        if let Payload::Marker(seen) = self.payload {
            let expected = DONE.get(seen..).unwrap_or_default();
            let same = piece.iter().zip(expected).take_while(|(byte, expected)| byte == expected).count();
            piece = piece.split_at_checked(same).map_or(piece, |(_, rest)| rest);
            self.facts.ended |= same > 0 && same == expected.len();
            if piece.is_empty() || seen + same == DONE.len() {
                self.payload = Payload::Marker(seen + same);
                return;
            }
            self.payload = Payload::Document;
            self.scanner.feed(DONE.get(..seen + same).unwrap_or_default(), &mut self.facts);
        }
        self.scanner.feed(piece, &mut self.facts);
    }

    fn event_ends(&mut self, name: &[u8]) {
        self.facts.event(name);
        self.scanner.reset();
        self.payload = Payload::Marker(0);
    }
}

/// What the documents told.
#[derive(Clone, Debug)]
struct Facts {
    start: Counters,
    last: Counters,
    text: Meter,
    model: Short<MODEL_BYTES_MAX>,
    kind: Short<EVENT_BYTES_MAX>,
    error: bool,
    ended: bool,
}

impl Facts {
    fn new() -> Self {
        Self {
            start: Counters::default(),
            last: Counters::default(),
            text: Meter::new(TEXT_BYTES_EXPECTED),
            model: Short::new(),
            kind: Short::new(),
            error: false,
            ended: false,
        }
    }

    /// An event by its name or its type: servers send either or both.
    fn event(&mut self, name: &[u8]) {
        match name {
            b"message_stop" | b"response.completed" | b"response.incomplete" => self.ended = true,
            b"response.failed" => {
                self.ended = true;
                self.error = true;
            }
            b"error" => self.error = true,
            _ => {}
        }
    }

    fn text(&mut self, event: Event<'_>) {
        match event {
            // Texts follow each other without a cut: a stream breaks words anywhere.
            Event::Text(piece) | Event::Key(piece) => self.text.feed(piece),
            Event::Number(_) | Event::Bool(_) => self.text.add(1),
            _ => {}
        }
    }
}

impl Visitor<Field> for Facts {
    fn visit(&mut self, field: Field, event: Event<'_>) {
        match (field, event) {
            (Field::Text | Field::Structure, event) => self.text(event),
            (Field::Model, Event::TextStart) => self.model.clear(),
            (Field::Model, Event::Text(piece)) => self.model.extend(piece),
            (Field::Type, Event::TextStart) => self.kind.clear(),
            (Field::Type, Event::Text(piece)) => self.kind.extend(piece),
            (Field::Type, Event::TextEnd) => {
                let kind = self.kind;
                self.event(kind.whole().unwrap_or_default());
            }
            (Field::Error, Event::Object | Event::Text(_)) => self.error = true,
            (Field::Count(counter), Event::Number(number)) => {
                if let Some(amount) = number.amount() {
                    self.last.set(counter, amount);
                }
            }
            (Field::CountAtStart(counter), Event::Number(number)) => {
                if let Some(amount) = number.amount() {
                    self.start.set(counter, amount);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
