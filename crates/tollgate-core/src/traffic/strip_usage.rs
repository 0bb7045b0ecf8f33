//! Takes out of a stream what the client did not ask for: the chunk with the usage, and `"usage":null` in the others.
//!
//! With `stream_options.include_usage` OpenAI's streams have one more event, without choices and with the usage, and
//! all others say that theirs is null. Everything else passes as it came, byte for byte. An event is held until its
//! first choice shows that it is another one, which is before the text in it; after that only what may become
//! `,"usage":null` is. The road not taken is to hold whole events, which keeps from the client what it could read.

mod members;

use super::sse::line_run;
use members::{Members, Step};

/// What an event may have before its choices, or instead of them. Longer ones pass.
const HELD_BYTES_MAX: usize = 8 * 1024;
const FIELD: &[u8] = b"data:";

/// Follows a stream and takes out the usage that a client did not ask for.
#[derive(Debug, Default)]
pub struct UsageStripper {
    line: Line,
    /// The last byte was CR: an LF now belongs to it, and shares its fate.
    after_cr: Option<Fate>,
    event: Event,
    members: Members,
    /// What is neither passed on nor taken out yet.
    held: Vec<u8>,
    /// Where in it a member begins that may have to go.
    cut: Option<usize>,
}

/// Where in a line the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// So many bytes are those of [`FIELD`].
    Name(usize),
    /// After the colon, before the document.
    Data,
    Document,
    /// A comment between events is nothing to wait for.
    Comment,
    Other,
}

impl Default for Line {
    fn default() -> Self {
        Self::Name(0)
    }
}

/// What becomes of a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Passed,
    Dropped,
    Undecided,
}

/// What is known of the event being read.
#[derive(Clone, Copy, Debug, Default)]
struct Event {
    /// It stays, whatever comes.
    stays: bool,
    has_data: bool,
}

impl UsageStripper {
    /// Takes the next bytes and appends to `out` what the client gets now.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some((&byte, rest)) = bytes.split_first() {
            let cr = self.after_cr.take();
            bytes = match (byte, cr) {
                (b'\n', Some(Fate::Dropped)) => rest,
                (b'\n', Some(Fate::Passed)) => {
                    out.push(byte);
                    rest
                }
                (b'\n', Some(Fate::Undecided)) => {
                    self.held.push(byte);
                    rest
                }
                (b'\n' | b'\r', _) => {
                    let fate = self.line_ends(byte, out);
                    self.after_cr = (byte == b'\r').then_some(fate);
                    rest
                }
                _ => self.step(byte, bytes, rest, out),
            };
            if self.held.len() > HELD_BYTES_MAX {
                self.cut = None;
                self.stays(out);
            }
        }
    }

    /// The stream has ended: appends to `out` what is left.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.is_extra() {
            self.held.clear();
        }
        out.append(&mut self.held);
    }

    /// The event is the one that was not asked for.
    const fn is_extra(&self) -> bool {
        !self.event.stays && self.members.is_usage_alone()
    }

    const fn is_holding(&self) -> bool {
        !self.event.stays || self.cut.is_some()
    }

    fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Fate {
        if self.is_holding() {
            self.held.extend_from_slice(bytes);
            return Fate::Undecided;
        }
        out.append(&mut self.held);
        out.extend_from_slice(bytes);
        Fate::Passed
    }

    fn stays(&mut self, out: &mut Vec<u8>) {
        self.event.stays = true;
        if !self.is_holding() {
            out.append(&mut self.held);
        }
    }

    /// Bytes before the end of a line. Gives back what is left of them.
    fn step<'a>(&mut self, byte: u8, bytes: &'a [u8], rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        match self.line {
            Line::Name(seen) if FIELD.get(seen) == Some(&byte) => {
                self.pass(&[byte], out);
                self.line = Line::Name(seen + 1);
                if seen + 1 == FIELD.len() {
                    self.line = if self.event.has_data { Line::Other } else { Line::Data };
                    self.event.has_data = true;
                }
            }
            Line::Name(0) if byte == b':' && self.held.is_empty() => {
                self.line = Line::Comment;
                out.push(byte);
            }
            Line::Data if byte == b' ' => {
                self.pass(&[byte], out);
            }
            Line::Data if byte == b'{' => {
                self.pass(&[byte], out);
                self.members = Members::begin();
                self.line = Line::Document;
            }
            Line::Name(_) | Line::Data => {
                self.line = Line::Other;
                self.stays(out);
                return bytes;
            }
            Line::Document => return self.document(bytes, out),
            Line::Comment | Line::Other => {
                let (part, rest) = bytes.split_at_checked(line_run(bytes)).unwrap_or((bytes, &[]));
                match self.line {
                    Line::Comment => out.extend_from_slice(part),
                    _ => {
                        self.stays(out);
                        self.pass(part, out);
                    }
                }
                return rest;
            }
        }
        rest
    }

    fn document<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let (length, step) = self.members.read(bytes);
        let (part, rest) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
        match step {
            Step::Goes => {
                self.pass(part, out);
            }
            Step::MayGo => {
                if self.event.stays {
                    out.append(&mut self.held);
                }
                self.cut = Some(self.held.len());
                self.pass(part, out);
            }
            Step::Stays => {
                self.cut = None;
                self.pass(part, out);
            }
            Step::Gone => {
                if let Some(from) = self.cut.take() {
                    self.held.truncate(from);
                }
            }
            Step::GoesToo => {}
            Step::Choice => {
                self.cut = None;
                self.stays(out);
                self.pass(part, out);
            }
            Step::Broken => {
                self.cut = None;
                self.line = Line::Other;
                self.stays(out);
            }
        }
        rest
    }

    fn line_ends(&mut self, byte: u8, out: &mut Vec<u8>) -> Fate {
        let line = core::mem::take(&mut self.line);
        match line {
            Line::Name(0) => return self.event_ends(byte, out),
            Line::Comment => {
                out.push(byte);
                return Fate::Passed;
            }
            Line::Document if self.members.are_complete() => {}
            Line::Name(_) | Line::Data | Line::Document | Line::Other => {
                self.cut = None;
                self.stays(out);
            }
        }
        self.pass(&[byte], out)
    }

    fn event_ends(&mut self, byte: u8, out: &mut Vec<u8>) -> Fate {
        let extra = self.is_extra();
        if extra {
            self.held.clear();
        } else {
            out.append(&mut self.held);
            out.push(byte);
        }
        self.cut = None;
        self.event = Event::default();
        self.members = Members::default();
        if extra { Fate::Dropped } else { Fate::Passed }
    }
}

#[cfg(test)]
mod tests;
