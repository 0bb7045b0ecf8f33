//! The JSON documents of an answer: one, one after the other, or one for each event or frame.

use super::super::base64::Decoder;
use super::super::dialects::{Payload, Spec};
use super::super::event_stream::{Frames, Headers};
use super::super::fields::ResponseField;
use super::super::json::{Event, Place, Scanner, Visitor};
use super::super::sse::Lines;
use super::super::usage::Counters;
use super::facts::Facts;

/// Ends OpenAI's streams, in place of a document.
const DONE: &[u8] = b"[DONE]";

#[derive(Clone, Debug)]
pub(super) struct Documents {
    scanner: Scanner<ResponseField>,
    data: Data,
    pub facts: Facts,
    envelope: Option<Envelope>,
    /// The counters before the frame being read, in case its checksum is wrong.
    before_frame: Counters,
    broken: bool,
}

/// What the data of the current event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Data {
    /// So many of its bytes are those of [`DONE`], and no others came.
    Marker(usize),
    Document,
}

impl Documents {
    pub fn new(spec: &'static Spec) -> Self {
        Self {
            scanner: Scanner::new(spec.response),
            data: Data::Marker(0),
            facts: Facts::new(),
            envelope: (spec.frames == Some(Payload::Envelope)).then(Envelope::new),
            before_frame: Counters::default(),
            broken: false,
        }
    }

    /// The last document is complete.
    pub fn is_done(&self) -> bool {
        self.scanner.is_done()
    }

    /// The frames could not be trusted to their end.
    pub const fn is_broken(&self) -> bool {
        self.broken
    }

    /// Takes documents that follow each other.
    pub fn feed_all(&mut self, mut bytes: &[u8]) {
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
        match self.data {
            Data::Marker(_) => self.data = Data::Marker(0),
            // A sender that leaves out the empty line between events.
            Data::Document if self.scanner.is_done() => {
                self.scanner.reset();
                self.data = Data::Marker(0);
            }
            Data::Document => {
                self.scanner.feed(b"\n", &mut self.facts);
            }
        }
    }

    fn data(&mut self, mut piece: &[u8]) {
        if let Data::Marker(seen) = self.data {
            let expected = DONE.get(seen..).unwrap_or_default();
            let same = piece.iter().zip(expected).take_while(|(byte, expected)| byte == expected).count();
            piece = piece.split_at_checked(same).map_or(piece, |(_, rest)| rest);
            self.facts.ended |= same > 0 && same == expected.len();
            if piece.is_empty() || seen + same == DONE.len() {
                self.data = Data::Marker(seen + same);
                return;
            }
            self.data = Data::Document;
            self.scanner.feed(DONE.get(..seen + same).unwrap_or_default(), &mut self.facts);
        }
        self.scanner.feed(piece, &mut self.facts);
    }

    fn event_ends(&mut self, name: &[u8]) {
        self.facts.event(name);
        self.scanner.reset();
        self.data = Data::Marker(0);
    }
}

impl Frames for Documents {
    fn payload_starts(&mut self) {
        self.before_frame = self.facts.last;
        self.scanner.reset();
        if let Some(envelope) = &mut self.envelope {
            envelope.outer.reset();
        }
    }

    fn payload(&mut self, piece: &[u8]) {
        match &mut self.envelope {
            Some(envelope) => {
                let Envelope { outer, decoder } = envelope;
                let mut letter = Letter { decoder, scanner: &mut self.scanner, facts: &mut self.facts };
                outer.feed(piece, &mut letter);
            }
            None => {
                self.scanner.feed(piece, &mut self.facts);
            }
        }
    }

    fn frame_ends(&mut self, frame: &Headers) {
        self.facts.event(frame.event.whole().unwrap_or_default());
        self.facts.error |= frame.error;
    }

    fn broken(&mut self) {
        self.facts.last = self.before_frame;
        self.broken = true;
    }
}

/// A document that holds another: `{"bytes": "<base64>", "p": "<padding>"}`.
#[derive(Clone, Debug)]
struct Envelope {
    outer: Scanner<Bytes>,
    decoder: Decoder,
}

/// The member that holds the document.
#[derive(Clone, Copy, Debug)]
struct Bytes;

static ENVELOPE: Place<Bytes> = Place::object(&[("bytes", Place::value(Bytes))]);

impl Envelope {
    fn new() -> Self {
        Self { outer: Scanner::new(&ENVELOPE), decoder: Decoder::default() }
    }
}

/// An envelope being opened.
struct Letter<'a> {
    decoder: &'a mut Decoder,
    scanner: &'a mut Scanner<ResponseField>,
    facts: &'a mut Facts,
}

impl Visitor<Bytes> for Letter<'_> {
    fn visit(&mut self, Bytes: Bytes, event: Event<'_>) {
        match event {
            Event::TextStart => {
                self.decoder.reset();
                self.scanner.reset();
            }
            Event::Text(piece) => {
                let Self { decoder, scanner, facts } = self;
                decoder.feed(piece, |decoded| {
                    scanner.feed(decoded, *facts);
                });
            }
            _ => {}
        }
    }
}
