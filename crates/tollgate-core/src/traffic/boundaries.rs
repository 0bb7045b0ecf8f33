//! Where a stream may be ended: between two events, lines, elements or frames, whatever pieces they come in.

use super::dialect::Dialect;
use super::sse::line_run;

/// Frames of AWS are no shorter: two lengths and two checksums.
const FRAME_BYTES_MIN: u32 = 16;

/// The form of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Server-sent events.
    Events,
    /// JSON documents, one a line.
    Lines,
    /// The elements of one JSON array.
    Array,
    /// Frames of AWS's event stream.
    Frames,
}

/// Follows a stream from one boundary to the next.
#[derive(Clone, Debug)]
pub struct Boundaries {
    framed: bool,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing has come.
    Start,
    Events(Line),
    Json(Nesting),
    Frames(Frame),
    /// Nothing that can be ended in good order.
    Opaque,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    is_empty: bool,
    /// The last byte was CR: an LF now belongs to it.
    after_cr: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    /// Bytes of its length that have come.
    read: u32,
    length: u32,
    /// Bytes that are still to come.
    left: u32,
}

/// How deep in a document a byte is.
#[derive(Clone, Copy, Debug, Default)]
struct Nesting {
    depth: u32,
    array: bool,
    in_string: bool,
    escaped: bool,
}

impl Boundaries {
    /// Before the first byte of an answer.
    pub fn new(dialect: Dialect) -> Self {
        Self { framed: dialect.spec().frames.is_some(), state: State::Start }
    }

    /// The form, once the first byte has told it; None for what can't be ended in good order.
    pub const fn form(&self) -> Option<Form> {
        match self.state {
            State::Events(_) => Some(Form::Events),
            State::Json(Nesting { array: true, .. }) => Some(Form::Array),
            State::Json(_) => Some(Form::Lines),
            State::Frames(_) => Some(Form::Frames),
            State::Start | State::Opaque => None,
        }
    }

    /// Takes bytes up to the next boundary. Returns how many, and whether there is one behind them.
    pub fn next(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut start = 0;
        while let (State::Start, Some(byte)) = (self.state, bytes.get(start)) {
            self.begins_with(*byte);
            start += usize::from(matches!(self.state, State::Start));
        }
        let rest = bytes.get(start..).unwrap_or_default();
        let end = match &mut self.state {
            State::Start | State::Opaque => None,
            State::Events(line) => line.end_of_event(rest),
            State::Json(nesting) => rest.iter().position(|byte| nesting.ends_with(*byte)).map(|at| at + 1),
            State::Frames(frame) => frame.end(rest),
        };
        if matches!(self.state, State::Frames(Frame { read: 4, length: ..FRAME_BYTES_MIN, .. })) {
            self.state = State::Opaque;
        }
        match end {
            Some(end) => (start + end, true),
            None => (bytes.len(), false),
        }
    }

    /// As the reader of answers tells their forms.
    fn begins_with(&mut self, byte: u8) {
        self.state = match byte {
            b' ' | b'\t' | b'\n' | b'\r' | 0xEF | 0xBB | 0xBF => return,
            b'{' | b'[' => State::Json(Nesting { array: byte == b'[', ..Nesting::default() }),
            b':' | b'a'..=b'z' | b'A'..=b'Z' => State::Events(Line { is_empty: true, after_cr: false }),
            0 | 1 if self.framed => State::Frames(Frame::default()),
            _ => State::Opaque,
        };
    }
}

impl Line {
    /// The number of bytes up to the end of an event: an empty line.
    fn end_of_event(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            let run = line_run(bytes.get(at..)?);
            if run > 0 {
                (self.is_empty, self.after_cr) = (false, false);
                at += run;
            }
            let byte = bytes.get(at)?;
            at += 1;
            if core::mem::take(&mut self.after_cr) && *byte == b'\n' {
                continue;
            }
            let ends = core::mem::replace(&mut self.is_empty, true);
            self.after_cr = *byte == b'\r';
            if !ends {
                continue;
            }
            // The LF of a CRLF goes with it, if it is here.
            if self.after_cr && bytes.get(at) == Some(&b'\n') {
                self.after_cr = false;
                at += 1;
            }
            return Some(at);
        }
    }
}

impl Frame {
    /// The number of bytes up to the end of the frame.
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while self.read < 4 {
            self.length = self.length << 8 | u32::from(*bytes.get(at)?);
            self.read += 1;
            at += 1;
            self.left = self.length.saturating_sub(4);
        }
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let here = left.min(bytes.len() - at);
        self.left -= here as u32;
        if here < left || self.length < FRAME_BYTES_MIN {
            return None;
        }
        *self = Self::default();
        Some(at + here)
    }
}

impl Nesting {
    /// Takes a byte; true when a document or an element ends with it.
    const fn ends_with(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.array && self.depth == 1;
            }
            b'\n' => return !self.array && self.depth == 0,
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests;
