//! Server-sent events, split into their fields as the bytes come (WHATWG HTML, section 9.2.6).
//!
//! Lines end in LF, CR or CRLF, and may be of any length: the value of `data` is handed on in the pieces it comes in.

use super::short::Short;

/// Bytes of a field's name that can matter: `event` is the longest.
const NAME_BYTES_MAX: usize = 6;
/// Bytes of an event's name that can matter: `response.incomplete` is the longest.
pub const EVENT_BYTES_MAX: usize = 20;

/// Receives the fields of events.
pub trait Lines {
    /// A line with data begins: the first of an event, or one more.
    fn data_starts(&mut self);
    /// A piece of the line.
    fn data(&mut self, piece: &[u8]);
    /// The event has ended; its name, if it had one that fits.
    fn event_ends(&mut self, name: &[u8]);
}

/// The splitter between two bytes.
#[derive(Clone, Debug)]
pub struct Splitter {
    state: State,
    /// The last byte was CR: an LF now belongs to it.
    after_cr: bool,
    name: Short<NAME_BYTES_MAX>,
    event: Short<EVENT_BYTES_MAX>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the field's name; an empty one so far means that the line may be empty.
    Name,
    /// After the colon: one space may follow.
    DataSpace,
    Data,
    EventSpace,
    Event,
    /// The rest of the line is of no interest.
    Other,
}

impl Splitter {
    pub const fn new() -> Self {
        Self { state: State::Name, after_cr: false, name: Short::new(), event: Short::new() }
    }

    pub fn feed(&mut self, mut bytes: &[u8], lines: &mut impl Lines) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if core::mem::take(&mut self.after_cr) && byte == b'\n' {
                bytes = rest;
                continue;
            }
            if matches!(byte, b'\n' | b'\r') {
                self.after_cr = byte == b'\r';
                self.line_ends(lines);
                bytes = rest;
                continue;
            }
            bytes = match self.state {
                State::Name => {
                    self.name_byte(byte, lines);
                    rest
                }
                State::DataSpace => {
                    self.state = State::Data;
                    if byte == b' ' { rest } else { bytes }
                }
                State::EventSpace => {
                    self.state = State::Event;
                    if byte == b' ' { rest } else { bytes }
                }
                State::Data | State::Event | State::Other => self.value(bytes, lines),
            };
        }
    }

    fn name_byte(&mut self, byte: u8, lines: &mut impl Lines) {
        if byte != b':' {
            self.name.push(byte);
            return;
        }
        self.state = match self.name.whole() {
            Some(b"data") => {
                lines.data_starts();
                State::DataSpace
            }
            Some(b"event") => {
                self.event.clear();
                State::EventSpace
            }
            _ => State::Other,
        };
    }

    /// The rest of the line, as far as it is there.
    fn value<'a>(&mut self, bytes: &'a [u8], lines: &mut impl Lines) -> &'a [u8] {
        let end = line_run(bytes);
        let (piece, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
        match self.state {
            State::Data => lines.data(piece),
            State::Event => self.event.extend(piece),
            _ => {}
        }
        rest
    }

    fn line_ends(&mut self, lines: &mut impl Lines) {
        if self.state == State::Name && self.name.kept().is_empty() {
            lines.event_ends(self.event.whole().unwrap_or_default());
            self.event.clear();
        }
        self.state = State::Name;
        self.name.clear();
    }
}

/// The number of leading bytes that end no line.
pub fn line_run(bytes: &[u8]) -> usize {
    const EVERY_BYTE: u64 = u64::MAX / 255;
    let has_zero = |word: u64| word.wrapping_sub(EVERY_BYTE) & !word & (EVERY_BYTE * 0x80);
    let (words, tail) = bytes.as_chunks::<8>();
    let mut run = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let ends = has_zero(word ^ (EVERY_BYTE * u64::from(b'\n')))
            | has_zero(word ^ (EVERY_BYTE * u64::from(b'\r')));
        if ends != 0 {
            return run + (ends.trailing_zeros() / 8) as usize;
        }
        run += 8;
    }
    run + tail.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(tail.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(Vec<String>);

    impl Lines for Seen {
        fn data_starts(&mut self) {
            self.0.push(String::new());
        }
        fn data(&mut self, piece: &[u8]) {
            self.0.last_mut().unwrap().push_str(std::str::from_utf8(piece).unwrap());
        }
        fn event_ends(&mut self, name: &[u8]) {
            self.0.push(format!("<{}>", String::from_utf8_lossy(name)));
        }
    }

    fn seen(text: &str, piece: usize) -> String {
        let (mut splitter, mut seen) = (Splitter::new(), Seen::default());
        text.as_bytes().chunks(piece).for_each(|piece| splitter.feed(piece, &mut seen));
        seen.0.join("|")
    }

    #[test]
    fn fields_are_split_by_any_line_end_and_in_any_pieces() {
        let text = "event: ping\ndata: one\ndata:two\ndata\n: data: no\nid: 7\n\ndata:  x: y\n\n";
        for ending in ["\n", "\r", "\r\n"] {
            for piece in [1, 2, 3, 7, 1000] {
                let text = text.replace('\n', ending);
                assert_eq!(seen(&text, piece), "one|two|<ping>| x: y|<>", "{ending:?} {piece}");
            }
        }
    }

    #[test]
    fn an_event_without_its_empty_line_has_not_ended() {
        assert_eq!(seen("data: one\ndata: tw", 100), "one|tw");
    }

    #[test]
    fn names_longer_than_those_known_are_others() {
        assert_eq!(seen("dataset: no\neventual: no\nevent: message_stop_or_so_and_so\n\n", 100), "<>");
        assert_eq!(seen("event: message_stop\n\n", 100), "<message_stop>");
    }

    #[test]
    fn lines_end_at_the_first_end() {
        for length in 0..40 {
            for end in *b"\n\r" {
                let mut line = vec![b'\x0b'; length];
                line.extend([end, b'x', b'\n']);
                assert_eq!(line_run(&line), length);
                assert_eq!(line_run(&line[..length]), length);
            }
        }
    }
}
