//! The members of a chunk's outermost object: which may have to go, and what they say of the event.

use super::super::json::plain_run;
use super::super::short::Short;

const NULL: &[u8] = b"null";
/// `choices` is the longest name that matters.
const KEY_BYTES_MAX: usize = 7;

/// What becomes of the bytes that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// They go the way of those before them.
    Goes,
    /// With them begins a member that may have to go.
    MayGo,
    /// The member that began stays.
    Stays,
    /// The member that began goes, with them.
    Gone,
    /// They go too: white space and the comma after the first member.
    GoesToo,
    /// The event has a choice: it is not the one to go.
    Choice,
    /// This is no object that can be followed.
    Broken,
}

/// The object between two bytes.
#[derive(Debug, Default)]
pub struct Members {
    state: State,
    /// Containers open inside the object.
    depth: u32,
    key: Short<KEY_BYTES_MAX>,
    /// No comma stands before the member being read.
    first: bool,
    no_choices: bool,
    usage: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Nothing,
    /// Before a key, or after a value.
    Between,
    Key,
    Colon,
    Value,
    /// So many bytes are those of `null`, at the place of the usage.
    Null(usize),
    /// After `[`, at the place of the choices.
    Choices,
    Bare,
    Text,
    Escape,
    /// In a container inside the object.
    Inside,
    InsideText,
    InsideEscape,
    /// After a first member that went: its comma goes too.
    Comma,
    /// And the white space after that.
    Space,
    Complete,
}

impl Members {
    /// After the object's brace.
    pub fn begin() -> Self {
        Self { state: State::Between, first: true, ..Self::default() }
    }

    /// The object is closed.
    pub const fn are_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }

    /// The object has a usage and an empty list of choices.
    pub const fn is_usage_alone(&self) -> bool {
        self.are_complete() && self.no_choices && self.usage
    }

    /// Reads some of the bytes, at least one: how many, and what becomes of them. There is no end of line in them up
    /// to the first that ends a line.
    pub fn read(&mut self, bytes: &[u8]) -> (usize, Step) {
        let Some(&byte) = bytes.first() else { return (0, Step::Goes) };
        match self.state {
            State::Text | State::InsideText => self.text(bytes),
            State::Inside => self.inside(bytes),
            State::Bare => self.bare(bytes),
            State::Key => self.key(bytes),
            _ => self.byte(byte),
        }
    }

    fn goes(&mut self, state: State) -> (usize, Step) {
        self.state = state;
        (1, Step::Goes)
    }

    fn byte(&mut self, byte: u8) -> (usize, Step) {
        let is_space = matches!(byte, b' ' | b'\t');
        match (self.state, byte) {
            (State::Comma | State::Space, _) if is_space => (1, Step::GoesToo),
            (State::Comma, b',') => {
                self.state = State::Space;
                (1, Step::GoesToo)
            }
            (State::Comma | State::Space, _) => {
                self.state = State::Between;
                (0, Step::Goes)
            }
            (State::Between | State::Colon | State::Value | State::Choices | State::Complete, _)
                if is_space =>
            {
                (1, Step::Goes)
            }
            (State::Between, b',') => {
                self.first = false;
                (1, Step::MayGo)
            }
            (State::Between, b'"') => {
                self.key.clear();
                self.state = State::Key;
                (1, if self.first { Step::MayGo } else { Step::Goes })
            }
            (State::Between, b'}') => {
                self.state = State::Complete;
                (1, Step::Stays)
            }
            (State::Colon, b':') => self.goes(State::Value),
            (State::Value, _) => self.value(byte),
            (State::Null(seen), _) => self.null(seen, byte),
            (State::Choices, b']') => {
                self.no_choices = true;
                self.goes(State::Between)
            }
            (State::Choices, _) => {
                self.depth = 1;
                self.state = State::Inside;
                (0, Step::Choice)
            }
            (State::Escape, _) => self.goes(State::Text),
            (State::InsideEscape, _) => self.goes(State::InsideText),
            _ => (0, Step::Broken),
        }
    }

    fn value(&mut self, byte: u8) -> (usize, Step) {
        match (self.key.whole(), byte) {
            (Some(b"usage"), b'n') => return self.goes(State::Null(1)),
            (Some(b"choices"), b'[') => return self.goes(State::Choices),
            (key, b'{' | b'[') => {
                self.usage |= key == Some(b"usage");
                self.depth = 1;
                self.state = State::Inside;
            }
            (_, b'"') => self.state = State::Text,
            _ => self.state = State::Bare,
        }
        (1, Step::Stays)
    }

    fn null(&mut self, seen: usize, byte: u8) -> (usize, Step) {
        if NULL.get(seen) != Some(&byte) {
            self.state = State::Bare;
            return (0, Step::Stays);
        }
        if seen + 1 < NULL.len() {
            return self.goes(State::Null(seen + 1));
        }
        self.state = if self.first { State::Comma } else { State::Between };
        (1, Step::Gone)
    }

    fn key(&mut self, bytes: &[u8]) -> (usize, Step) {
        let run = plain_run(bytes);
        self.key.extend(bytes.get(..run).unwrap_or_default());
        match bytes.get(run) {
            Some(b'"') => {
                self.state = State::Colon;
                let wanted = matches!(self.key.whole(), Some(b"usage"));
                (run + 1, if wanted { Step::Goes } else { Step::Stays })
            }
            // No server escapes the letters of a name that matters.
            Some(_) if run == 0 => (0, Step::Broken),
            _ => (run, Step::Goes),
        }
    }

    fn text(&mut self, bytes: &[u8]) -> (usize, Step) {
        let inside = self.state == State::InsideText;
        let run = plain_run(bytes);
        match bytes.get(run) {
            Some(b'"') => {
                self.state = if inside { State::Inside } else { State::Between };
                (run + 1, Step::Goes)
            }
            Some(b'\\') => {
                self.state = if inside { State::InsideEscape } else { State::Escape };
                (run + 1, Step::Goes)
            }
            Some(_) if run == 0 => (0, Step::Broken),
            _ => (run, Step::Goes),
        }
    }

    fn inside(&mut self, bytes: &[u8]) -> (usize, Step) {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        self.state = State::Between;
                        return (at + 1, Step::Goes);
                    }
                }
                b'"' => {
                    self.state = State::InsideText;
                    return (at + 1, Step::Goes);
                }
                b'\n' | b'\r' if at == 0 => return (0, Step::Broken),
                b'\n' | b'\r' => return (at, Step::Goes),
                _ => {}
            }
        }
        (bytes.len(), Step::Goes)
    }

    fn bare(&mut self, bytes: &[u8]) -> (usize, Step) {
        let ends = |byte: &u8| matches!(byte, b',' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
        let run = bytes.iter().position(ends).unwrap_or(bytes.len());
        if run < bytes.len() {
            self.state = State::Between;
        }
        (run, Step::Goes)
    }
}
