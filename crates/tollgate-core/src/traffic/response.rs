//! Reads an answer as it passes: whatever it is, in whatever pieces, in a few kilobytes of memory.

mod documents;
mod facts;
mod reader;

use std::io::Write as _;

use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use tollgate_wire::TokenCount;

use super::dialect::Dialect;
use super::usage::Observed;
use reader::Reader;

/// Compressed prose takes about two bytes for what is a token.
const COMPRESSED_BYTES_PER_TOKEN: u64 = 2;
/// What a compressed answer may become; beyond it is counted by its size. Twice the largest answers known: what is
/// larger was made to keep a worker busy.
const DECODED_BYTES_MAX: u64 = 128 << 20;

/// Follows an answer and tells at any time what it used.
///
/// What is compressed with gzip or deflate is decoded beside the stream, in 32 KiB pieces.
pub struct ResponseParser {
    body: Body,
    body_bytes: u64,
    /// The body can't be read: it counts by its size.
    unread: bool,
}

enum Body {
    Plain(Reader),
    /// Not yet known whether with zlib's header, as RFC 9110 says, or without, as some servers do.
    Deflate(Reader),
    Zlib(Box<ZlibDecoder<Reader>>),
    RawDeflate(Box<DeflateDecoder<Reader>>),
    Gzip(Box<MultiGzDecoder<Reader>>),
    /// While a decoder is being made.
    Nothing,
}

impl core::fmt::Debug for ResponseParser {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("ResponseParser").field("body_bytes", &self.body_bytes).finish_non_exhaustive()
    }
}

impl ResponseParser {
    /// A parser before the first byte of an answer.
    pub fn new(dialect: Dialect) -> Self {
        Self { body: Body::Plain(Reader::new(dialect)), body_bytes: 0, unread: false }
    }

    /// The same for an answer whose `content-encoding` is this.
    pub fn encoded(dialect: Dialect, encoding: &str) -> Self {
        let reader = Reader::new(dialect);
        let body = match encoding.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => return Self::new(dialect),
            "gzip" | "x-gzip" => Body::Gzip(Box::new(MultiGzDecoder::new(reader))),
            "deflate" => Body::Deflate(reader),
            _ => return Self { unread: true, ..Self::new(dialect) },
        };
        Self { body, body_bytes: 0, unread: false }
    }

    /// True when the body is encoded in a way that nobody here undoes, or is broken: it counts by its size.
    pub const fn is_unread(&self) -> bool {
        self.unread
    }

    /// Takes a response header: one of [`Dialect::usage_headers`] holds a counter.
    pub fn header(&mut self, name: &str, value: &str) {
        if let Some(reader) = self.body.reader_mut() {
            reader.header(name, value);
        }
    }

    /// Takes the next bytes of the body.
    pub fn feed(&mut self, chunk: &[u8]) {
        self.body_bytes = self.body_bytes.saturating_add(chunk.len() as u64);
        if self.unread || chunk.is_empty() {
            return;
        }
        if let (Body::Deflate(_), Some(first)) = (&self.body, chunk.first()) {
            self.body = core::mem::replace(&mut self.body, Body::Nothing).with_header(*first);
        }
        if self.body.decode(chunk).is_err() {
            // What follows the end is nobody's.
            self.unread = !self.body.reader().is_some_and(|reader| reader.observed().finished);
        }
    }

    /// Bytes of body that have come.
    pub const fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// True once the answer is known to come in events or frames.
    pub fn is_stream(&self) -> bool {
        self.body.reader().is_some_and(Reader::is_stream)
    }

    /// The output so far, as reported and by the text that passed: what [`ResponseParser::observed`] says of it.
    pub fn output(&self) -> (Option<u64>, TokenCount) {
        let reader = self.body.reader();
        let read = reader.map(Reader::output_estimate).unwrap_or_default();
        (reader.and_then(Reader::output_reported), self.by_size_at_least(read))
    }

    fn by_size_at_least(&self, read: TokenCount) -> TokenCount {
        let by_size = TokenCount(self.body_bytes.div_ceil(COMPRESSED_BYTES_PER_TOKEN));
        if self.unread { read.max(by_size) } else { read }
    }

    /// What was seen so far: the final word after the last byte, and the best there is after an abort.
    pub fn observed(&self) -> Observed {
        let read = self.body.reader().map(Reader::observed).unwrap_or_default();
        let output_estimate = self.by_size_at_least(read.output_estimate);
        Observed { output_estimate, body_bytes: read.body_bytes.max(self.body_bytes), ..read }
    }
}

impl Body {
    /// Chooses by the first byte: zlib's has the method in its lower half, which a raw stream of prose never has.
    fn with_header(self, first: u8) -> Self {
        const DEFLATE: u8 = 8;
        match self {
            Self::Deflate(reader) if first & 0x0F == DEFLATE => {
                Self::Zlib(Box::new(ZlibDecoder::new(reader)))
            }
            Self::Deflate(reader) => Self::RawDeflate(Box::new(DeflateDecoder::new(reader))),
            other => other,
        }
    }

    /// Decodes and reads; what was decoded is read at once, because a stream may stop here.
    fn decode(&mut self, chunk: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(reader) => {
                reader.feed(chunk);
                Ok(())
            }
            Self::Gzip(decoder) => decoder.write_all(chunk).and_then(|()| decoder.flush()),
            Self::Zlib(decoder) => decoder.write_all(chunk).and_then(|()| decoder.flush()),
            Self::RawDeflate(decoder) => decoder.write_all(chunk).and_then(|()| decoder.flush()),
            Self::Deflate(_) | Self::Nothing => Ok(()),
        }
    }

    fn reader(&self) -> Option<&Reader> {
        match self {
            Self::Plain(reader) | Self::Deflate(reader) => Some(reader),
            Self::Gzip(decoder) => Some(decoder.get_ref()),
            Self::Zlib(decoder) => Some(decoder.get_ref()),
            Self::RawDeflate(decoder) => Some(decoder.get_ref()),
            Self::Nothing => None,
        }
    }

    fn reader_mut(&mut self) -> Option<&mut Reader> {
        match self {
            Self::Plain(reader) | Self::Deflate(reader) => Some(reader),
            Self::Gzip(decoder) => Some(decoder.get_mut()),
            Self::Zlib(decoder) => Some(decoder.get_mut()),
            Self::RawDeflate(decoder) => Some(decoder.get_mut()),
            Self::Nothing => None,
        }
    }
}

/// Where a decoder writes.
impl std::io::Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.body_bytes() > DECODED_BYTES_MAX {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.feed(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
