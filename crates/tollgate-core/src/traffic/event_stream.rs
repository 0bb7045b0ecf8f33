//! AWS's event stream (`application/vnd.amazon.eventstream`), taken apart as the bytes come.
//!
//! A frame is its length and that of its headers (u32 each, big endian), a CRC-32 of those, headers (name, type, value),
//! a payload, and a CRC-32 of all before. Nothing of a payload is kept: it is handed on in the pieces it comes in, and
//! the checksum at its end says whether that was right.

use crc32fast::Hasher;

use super::short::Short;

/// Bytes of a header's name that can matter: `:exception-type` is the longest.
const NAME_BYTES_MAX: usize = 16;
/// Bytes of a header's value that can matter: `messageStart` and `exception` are names, others don't.
pub const VALUE_BYTES_MAX: usize = 24;
/// What AWS allows: 16 MiB of payload, 128 KiB of headers. A longer frame is none.
const FRAME_BYTES_MAX: u32 = (16 << 20) + (128 << 10) + OVERHEAD_BYTES;
/// Prelude with its checksum, and the last checksum.
const OVERHEAD_BYTES: u32 = 16;
const PRELUDE_BYTES: usize = 8;
const CHECKSUM_BYTES: u32 = 4;

/// Receives the parts of frames.
pub trait Frames {
    /// A payload begins.
    fn payload_starts(&mut self);
    /// A piece of the payload.
    fn payload(&mut self, piece: &[u8]);
    /// The frame has ended, and its checksum is right.
    fn frame_ends(&mut self, frame: &Headers);
    /// The bytes are no frames, or have been changed on their way: nothing of the last payload counts, nor anything after.
    fn broken(&mut self);
}

/// What a frame's headers say.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    /// `:event-type` or `:exception-type`.
    pub event: Short<VALUE_BYTES_MAX>,
    /// `:message-type` is not `event`: the frame tells an error.
    pub error: bool,
}

/// The splitter between two bytes.
#[derive(Clone, Debug)]
pub struct Splitter {
    state: State,
    /// Bytes of the state's part that are still to come.
    left: u32,
    headers_left: u32,
    payload_left: u32,
    prelude: Short<PRELUDE_BYTES>,
    number: u32,
    name: Short<NAME_BYTES_MAX>,
    value: Short<VALUE_BYTES_MAX>,
    headers: Headers,
    checksum: Hasher,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Prelude,
    PreludeChecksum,
    NameLength,
    Name,
    Type,
    ValueLength,
    Value,
    Payload,
    Checksum,
    Broken,
}

impl Splitter {
    pub fn new() -> Self {
        Self {
            state: State::Prelude,
            left: PRELUDE_BYTES as u32,
            headers_left: 0,
            payload_left: 0,
            prelude: Short::new(),
            number: 0,
            name: Short::new(),
            value: Short::new(),
            headers: Headers::default(),
            checksum: Hasher::new(),
        }
    }

    pub fn feed(&mut self, mut bytes: &[u8], frames: &mut impl Frames) {
        while !bytes.is_empty() && self.state != State::Broken {
            let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            let (part, rest) = bytes.split_at_checked(most).unwrap_or((bytes, &[]));
            bytes = rest;
            self.left -= part.len() as u32;
            if self.state != State::Checksum {
                self.checksum.update(part);
            }
            if self.in_headers() {
                self.headers_left -= part.len() as u32;
            }
            self.take(part, frames);
            // Parts without bytes end at once.
            while self.left == 0 && self.state != State::Broken {
                self.part_ends(frames);
            }
        }
    }

    const fn in_headers(&self) -> bool {
        use State::{Name, NameLength, Type, Value, ValueLength};
        matches!(self.state, NameLength | Name | Type | ValueLength | Value)
    }

    fn take(&mut self, part: &[u8], frames: &mut impl Frames) {
        match self.state {
            State::Prelude => self.prelude.extend(part),
            State::PreludeChecksum
            | State::NameLength
            | State::Type
            | State::ValueLength
            | State::Checksum => {
                self.number = part.iter().fold(self.number, |number, byte| number << 8 | u32::from(*byte));
            }
            State::Name => self.name.extend(part),
            State::Value => self.value.extend(part),
            State::Payload => frames.payload(part),
            State::Broken => {}
        }
    }

    fn part_ends(&mut self, frames: &mut impl Frames) {
        let number = core::mem::take(&mut self.number);
        match self.state {
            State::Prelude => self.prelude_ends(frames),
            State::PreludeChecksum if number != self.prelude_checksum() => self.breaks(frames),
            State::PreludeChecksum => self.next_header(frames),
            State::NameLength => {
                self.name.clear();
                self.header_part(State::Name, number, frames);
            }
            State::Name => self.header_part(State::Type, 1, frames),
            State::Type => {
                self.value.clear();
                match value_bytes(number) {
                    Some(bytes) => self.header_part(State::Value, bytes, frames),
                    None if matches!(number, 6 | 7) => self.header_part(State::ValueLength, 2, frames),
                    None => self.breaks(frames),
                }
            }
            State::ValueLength => self.header_part(State::Value, number, frames),
            State::Value => {
                self.header_ends();
                self.next_header(frames);
            }
            State::Payload => self.begin(State::Checksum, CHECKSUM_BYTES),
            State::Checksum if number != self.checksum.clone().finalize() => self.breaks(frames),
            State::Checksum => {
                frames.frame_ends(&self.headers);
                *self = Self::new();
            }
            State::Broken => {}
        }
    }

    fn begin(&mut self, state: State, bytes: u32) {
        self.state = state;
        self.left = bytes;
    }

    /// Begins a part of a header, which must fit.
    fn header_part(&mut self, state: State, bytes: u32, frames: &mut impl Frames) {
        if bytes > self.headers_left {
            return self.breaks(frames);
        }
        self.begin(state, bytes);
    }

    fn next_header(&mut self, frames: &mut impl Frames) {
        if self.headers_left > 0 {
            self.begin(State::NameLength, 1);
        } else {
            frames.payload_starts();
            self.begin(State::Payload, self.payload_left);
        }
    }

    fn prelude_ends(&mut self, frames: &mut impl Frames) {
        let [a, b, c, d, e, f, g, h] = self.prelude.kept() else { return self.breaks(frames) };
        let (total, headers) = (u32::from_be_bytes([*a, *b, *c, *d]), u32::from_be_bytes([*e, *f, *g, *h]));
        let payload = total.checked_sub(OVERHEAD_BYTES).and_then(|bytes| bytes.checked_sub(headers));
        match payload.filter(|_| total <= FRAME_BYTES_MAX) {
            Some(payload) => {
                self.headers_left = headers;
                self.payload_left = payload;
                self.begin(State::PreludeChecksum, CHECKSUM_BYTES);
            }
            None => self.breaks(frames),
        }
    }

    fn prelude_checksum(&self) -> u32 {
        crc32fast::hash(self.prelude.kept())
    }

    fn header_ends(&mut self) {
        match self.name.whole() {
            Some(b":event-type" | b":exception-type" | b":error-code") => self.headers.event = self.value,
            Some(b":message-type") => self.headers.error = self.value.whole() != Some(b"event"),
            _ => {}
        }
    }

    fn breaks(&mut self, frames: &mut impl Frames) {
        self.state = State::Broken;
        frames.broken();
    }
}

/// The length of a value of this type, where that is fixed.
const fn value_bytes(kind: u32) -> Option<u32> {
    Some(match kind {
        0 | 1 => 0,
        2 => 1,
        3 => 2,
        4 => 4,
        5 | 8 => 8,
        9 => 16,
        _ => return None,
    })
}

#[cfg(test)]
pub mod tests;
