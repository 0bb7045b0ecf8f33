//! A JSON scanner that is pushed bytes, in any pieces, and reports only what stands at wanted places.
//!
//! It keeps no text: a string is handed on in the pieces it comes in, so that memory is the same few hundred bytes for
//! any document. The road not taken is a parser that builds values: bodies are megabytes, the facts wanted are ten.
//!
//! It reads what RFC 8259 allows and does not stop at what it forbids: a byte out of place marks the document as
//! malformed and is passed over, because an upstream may be more lenient than the grammar, and whoever stops at the
//! first fault can be made to miss what follows it. Inside containers that nothing wanted is in, only brackets and
//! strings are followed. Repeated keys are reported each time: who keeps the last keeps what most servers keep.

mod number;
mod pass;
mod places;
mod strings;
mod text;

pub use number::Number;
#[cfg(test)]
pub use places::is_within_bounds;
pub use places::{KEY_BYTES_MAX, LEVELS_MAX, Place};
pub(super) use text::plain_run;

use super::short::Short;
use places::Here;
use text::Units;

/// Containers that may be open in a part that is wanted; what is deeper is passed over. As deep as `serde_json` goes.
pub const DEPTH_MAX: usize = 128;
/// The longest bare word is `false`; one byte more tells it from a longer one.
const WORD_BYTES_MAX: usize = 6;

/// Something at a wanted place.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// An object begins.
    Object,
    /// An array begins.
    Array,
    /// A string begins.
    TextStart,
    /// The next piece of the string, unescaped. A piece may end inside a character.
    Text(&'a [u8]),
    /// What comes next, which nobody had to see: so many bytes of text, unescaped.
    Passed(u64),
    /// The string ends.
    TextEnd,
    /// A number.
    Number(Number),
    /// `true` or `false`.
    Bool(bool),
    /// `null`, or a word that JSON doesn't have.
    Null,
    /// A key of an object inside a place whose keys are wanted; at most its first [`KEY_BYTES_MAX`] bytes.
    Key(&'a [u8]),
}

/// Receives what stands at the wanted places.
pub trait Visitor<F> {
    /// Something stands at the place of `field`.
    fn visit(&mut self, field: F, event: Event<'_>);

    /// Of how many bytes that come next in the string of `field` only the number need be told, by [`Event::Passed`]. Where
    /// a field is wanted whole, with its keys, they may be those of keys and of several strings; a number, `true` and
    /// `false` are a byte each.
    fn may_pass(&self, _field: F) -> u64 {
        0
    }
}

/// The scanner between two bytes.
#[derive(Clone, Debug)]
pub struct Scanner<F: 'static> {
    state: State,
    /// Containers open now, which is also the number of steps from the root to the value being read.
    depth: usize,
    /// One bit for each open container, the innermost lowest: set for an object.
    objects: u128,
    /// Where each open container is in the tree of wanted places, after the root. Below the tree's leaves that no longer
    /// changes, so the last entry serves for all containers that are deeper.
    open: [Here<F>; LEVELS_MAX + 2],
    /// Where the value being read is, and the field it fills.
    here: Here<F>,
    field: Option<F>,
    /// Containers open inside the one being passed over.
    passed_depth: u64,
    key: Short<KEY_BYTES_MAX>,
    word: Short<WORD_BYTES_MAX>,
    number: Number,
    units: Units,
    malformed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A value must come.
    Value,
    /// After `[`: a value or the end.
    FirstItem,
    /// After `{`: a key or the end.
    FirstKey,
    /// After a comma in an object.
    NextKey,
    Colon,
    /// After a value: a comma or the container's end.
    Comma,
    Number,
    Word,
    Text(Use),
    Escape(Use),
    Unicode(Use),
    /// Inside a container that holds nothing wanted.
    Passing,
    PassingText,
    PassingEscape,
    /// The root's value is complete.
    Done,
}

/// What becomes of the string being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Key,
    Wanted,
    Nothing,
}

impl<F: Copy + 'static> Scanner<F> {
    /// A scanner before the first byte of a document.
    pub const fn new(wanted: &'static Place<F>) -> Self {
        Self {
            state: State::Value,
            depth: 0,
            objects: 0,
            open: [Here::root(wanted); LEVELS_MAX + 2],
            here: Here::root(wanted),
            field: None,
            passed_depth: 0,
            key: Short::new(),
            word: Short::new(),
            number: Number::NONE,
            units: Units::NONE,
            malformed: false,
        }
    }

    /// Gets ready for another document.
    pub fn reset(&mut self) {
        self.state = State::Value;
        self.depth = 0;
        self.here = self.open_here(0);
        self.malformed = false;
    }

    /// True once a whole value was read.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// True when a byte stood where JSON allows none, or containers were nested deeper than [`DEPTH_MAX`]. False is no
    /// promise: what is passed over is not checked.
    pub const fn is_malformed(&self) -> bool {
        self.malformed
    }

    /// Reads the next bytes of the document, and gives back what follows its end.
    pub fn feed<'a>(&mut self, mut bytes: &'a [u8], visitor: &mut impl Visitor<F>) -> &'a [u8] {
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = match self.state {
                State::Done => return bytes,
                State::Text(purpose) => self.text(bytes, purpose, visitor),
                State::Passing => self.pass(bytes),
                State::PassingText => self.pass_text(bytes),
                State::PassingEscape => {
                    self.state = State::PassingText;
                    rest
                }
                State::Escape(purpose) => {
                    self.escape(byte, purpose, visitor);
                    rest
                }
                State::Unicode(purpose) => match self.units.push(byte) {
                    Ok(complete) => {
                        if complete {
                            let (first, second) = self.units.complete();
                            self.emit_char(first, purpose, visitor);
                            self.emit_char(second, purpose, visitor);
                            self.state = State::Text(purpose);
                        }
                        rest
                    }
                    Err(text::NotHex) => {
                        self.malformed = true;
                        self.units.reset();
                        self.state = State::Text(purpose);
                        bytes
                    }
                },
                State::Number | State::Word => self.bare(bytes, visitor),
                _ => {
                    self.structure(byte, visitor);
                    if byte == b',' { self.pass_members(rest, visitor) } else { rest }
                }
            };
        }
        bytes
    }

    /// A byte between values.
    fn structure(&mut self, byte: u8, visitor: &mut impl Visitor<F>) {
        match (self.state, byte) {
            (_, b' ' | b'\t' | b'\n' | b'\r') => {}
            (State::Value | State::FirstItem, b'"') => {
                self.arrive();
                self.units.reset();
                self.state = State::Text(if self.field.is_some() { Use::Wanted } else { Use::Nothing });
                self.tell(Event::TextStart, visitor);
            }
            (State::Value | State::FirstItem, b'{') => self.open(true, visitor),
            (State::Value | State::FirstItem, b'[') => self.open(false, visitor),
            (State::Value | State::FirstItem, b'-' | b'0'..=b'9') => {
                self.arrive();
                self.number = Number::NONE;
                self.number.push(byte);
                self.state = State::Number;
            }
            (State::Value | State::FirstItem, b'a'..=b'z' | b'A'..=b'Z') => {
                self.arrive();
                self.word.clear();
                self.word.push(byte);
                self.state = State::Word;
            }
            (State::FirstKey | State::NextKey, b'"') => {
                self.key.clear();
                self.units.reset();
                self.state = State::Text(Use::Key);
            }
            (State::Colon, b':') => self.state = State::Value,
            (State::Comma, b',') if self.in_object() => self.state = State::NextKey,
            (State::Comma, b',') => self.state = State::Value,
            (state, b'}' | b']') => {
                let expected = match state {
                    State::Comma => true,
                    State::FirstKey => byte == b'}',
                    State::FirstItem => byte == b']',
                    _ => false,
                };
                self.malformed |= !expected || self.in_object() != (byte == b'}');
                self.close();
            }
            _ => self.malformed = true,
        }
    }

    const fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    /// Where the open container of this depth is; the root for depth 0.
    fn open_here(&self, depth: usize) -> Here<F> {
        let [root, ..] = &self.open;
        *self.open.get(depth.min(LEVELS_MAX + 1)).unwrap_or(root)
    }

    /// Finds out which field the value that begins now fills. The values of an object were placed by their key.
    fn arrive(&mut self) {
        if self.depth > 0 && !self.in_object() {
            self.here = self.open_here(self.depth).item();
        }
        self.field = self.here.field();
    }

    fn tell(&self, event: Event<'_>, visitor: &mut impl Visitor<F>) {
        if let Some(field) = self.field {
            visitor.visit(field, event);
        }
    }

    fn open(&mut self, object: bool, visitor: &mut impl Visitor<F>) {
        self.arrive();
        self.tell(if object { Event::Object } else { Event::Array }, visitor);
        let too_deep = self.depth == DEPTH_MAX;
        self.malformed |= too_deep;
        if too_deep || self.here.is_leaf() {
            self.passed_depth = 0;
            self.state = State::Passing;
            return;
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(object);
        if let Some(open) = self.open.get_mut(self.depth) {
            *open = self.here;
        }
        self.state = if object { State::FirstKey } else { State::FirstItem };
    }

    fn close(&mut self) {
        if self.depth > 0 {
            self.depth -= 1;
            self.objects >>= 1;
            self.value_ended();
        }
    }

    fn value_ended(&mut self) {
        self.state = if self.depth == 0 { State::Done } else { State::Comma };
    }

    fn key_ended(&mut self, visitor: &mut impl Visitor<F>) {
        let object = self.open_here(self.depth);
        if let Some(field) = object.key_field() {
            visitor.visit(field, Event::Key(self.key.kept()));
        }
        self.here = object.member(self.key.whole());
        self.state = State::Colon;
    }

    /// A number or a word: up to the first byte that can belong to neither, which is left for what follows.
    fn bare<'a>(&mut self, bytes: &'a [u8], visitor: &mut impl Visitor<F>) -> &'a [u8] {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let length = bytes.iter().position(|byte| !is_part(byte));
        let (part, rest) = bytes.split_at_checked(length.unwrap_or(bytes.len())).unwrap_or((bytes, &[]));
        if self.state == State::Number {
            part.iter().for_each(|byte| self.number.push(*byte));
        } else {
            self.word.extend(part);
        }
        if length.is_some() {
            let event = self.bare_value();
            self.tell(event, visitor);
            self.value_ended();
        }
        rest
    }

    fn bare_value(&mut self) -> Event<'static> {
        if self.state == State::Number {
            self.malformed |= !self.number.is_valid();
            return Event::Number(self.number);
        }
        match self.word.whole() {
            Some(b"true") => Event::Bool(true),
            Some(b"false") => Event::Bool(false),
            Some(b"null") => Event::Null,
            _ => {
                self.malformed = true;
                Event::Null
            }
        }
    }
}

#[cfg(test)]
mod tests;
