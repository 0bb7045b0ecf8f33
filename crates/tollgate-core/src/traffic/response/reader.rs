//! Reads an answer that is not compressed, whatever its form.

use tollgate_wire::TokenCount;

use super::super::dialect::Dialect;
use super::super::event_stream;
use super::super::sse;
use super::super::usage::Observed;
use super::documents::Documents;

/// An answer of unknown form counts by its size, as prose would.
const BYTES_PER_TOKEN: u64 = 4;

/// The reader between two bytes.
///
/// Whether the answer is JSON, a stream of events or of frames is told by its first byte, because content types lie.
/// What is nothing of these is counted by size only.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    dialect: Dialect,
    format: Format,
    documents: Documents,
    body_bytes: u64,
}

#[derive(Clone, Debug)]
enum Format {
    Unknown,
    /// One document, or one after the other.
    Json,
    Events(sse::Splitter),
    Frames(event_stream::Splitter),
    Opaque,
}

impl Reader {
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, format: Format::Unknown, documents: Documents::new(dialect.spec()), body_bytes: 0 }
    }

    pub const fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    pub fn header(&mut self, name: &str, value: &str) {
        let headers = self.dialect.spec().headers;
        if let Some((_, counter)) = headers.iter().find(|(known, _)| *known == name)
            && let Ok(amount) = value.trim().parse()
        {
            self.documents.facts.otherwise.set(*counter, amount);
        }
    }

    pub fn feed(&mut self, mut chunk: &[u8]) {
        self.body_bytes = self.body_bytes.saturating_add(chunk.len() as u64);
        if matches!(self.format, Format::Unknown) {
            let Some(start) = chunk.iter().position(|byte| !comes_before(*byte)) else { return };
            chunk = chunk.split_at_checked(start).map_or(chunk, |(_, rest)| rest);
            let framed = self.dialect.spec().frames.is_some();
            self.format = chunk.first().map_or(Format::Unknown, |byte| format(*byte, framed));
        }
        match &mut self.format {
            Format::Json => self.documents.feed_all(chunk),
            Format::Events(splitter) => splitter.feed(chunk, &mut self.documents),
            Format::Frames(splitter) => splitter.feed(chunk, &mut self.documents),
            Format::Opaque | Format::Unknown => {}
        }
    }

    /// True for events and frames, which are streams whatever was asked for.
    pub const fn is_stream(&self) -> bool {
        matches!(self.format, Format::Events(_) | Format::Frames(_))
    }

    pub fn output_estimate(&self) -> TokenCount {
        let by_size = |bytes_per_token| TokenCount(self.body_bytes.div_ceil(bytes_per_token));
        match &self.format {
            Format::Opaque => by_size(super::COMPRESSED_BYTES_PER_TOKEN),
            _ if self.dialect == Dialect::Generic || self.documents.is_broken() => by_size(BYTES_PER_TOKEN),
            _ => self.documents.facts.text.tokens(),
        }
    }

    /// The output reported so far.
    pub fn output_reported(&self) -> Option<u64> {
        self.documents.facts.usage(self.dialect.uses_model()).0.output
    }

    pub fn observed(&self) -> Observed {
        let facts = &self.documents.facts;
        let (usage, reported) = facts.usage(self.dialect.uses_model());
        Observed {
            usage,
            reported,
            output_estimate: self.output_estimate(),
            output_words: facts.text.words(),
            body_bytes: self.body_bytes,
            error: facts.error,
            deferred: facts.deferred,
            finished: facts.ended
                || matches!(self.format, Format::Json) && self.documents.is_done() && !facts.goes_on,
            model: facts.model(),
        }
    }
}

/// White space and the byte order mark.
const fn comes_before(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0xEF | 0xBB | 0xBF)
}

/// Events begin with a field's name or a comment, frames with a length below 32 MiB; compressed data and markup with
/// nothing of these.
fn format(byte: u8, framed: bool) -> Format {
    match byte {
        b'{' | b'[' => Format::Json,
        b':' | b'a'..=b'z' | b'A'..=b'Z' => Format::Events(sse::Splitter::new()),
        0 | 1 if framed => Format::Frames(event_stream::Splitter::new()),
        _ => Format::Opaque,
    }
}
