//! Inside a string: the pieces that it is handed on in.

use super::text::{plain_run, unescape};
use super::{Event, Scanner, State, Use, Visitor};

impl<F: Copy + 'static> Scanner<F> {
    /// Inside a string: plain bytes up to whatever ends them.
    pub(super) fn text<'a>(
        &mut self,
        bytes: &'a [u8],
        purpose: Use,
        visitor: &mut impl Visitor<F>,
    ) -> &'a [u8] {
        if purpose == Use::Wanted
            && let Some(rest) = self.pass_wanted(bytes, visitor)
        {
            return rest;
        }
        let (plain, rest) = bytes.split_at_checked(plain_run(bytes)).unwrap_or((bytes, &[]));
        if !plain.is_empty() {
            self.emit(plain, purpose, visitor);
        }
        let Some((&end, rest)) = rest.split_first() else { return rest };
        match end {
            b'"' => {
                self.abandon_half(purpose, visitor);
                match purpose {
                    Use::Key => self.key_ended(visitor),
                    Use::Wanted | Use::Nothing => {
                        self.tell(Event::TextEnd, visitor);
                        self.value_ended();
                    }
                }
            }
            b'\\' => self.state = State::Escape(purpose),
            control => {
                self.malformed = true;
                self.emit(&[control], purpose, visitor);
            }
        }
        rest
    }

    pub(super) fn escape(&mut self, byte: u8, purpose: Use, visitor: &mut impl Visitor<F>) {
        if byte == b'u' {
            self.state = State::Unicode(purpose);
            return;
        }
        let character = unescape(byte).unwrap_or_else(|| {
            self.malformed = true;
            byte
        });
        self.emit(&[character], purpose, visitor);
        self.state = State::Text(purpose);
    }

    /// Hands on a piece of the string being read.
    pub(super) fn emit(&mut self, piece: &[u8], purpose: Use, visitor: &mut impl Visitor<F>) {
        self.abandon_half(purpose, visitor);
        self.emit_as_it_is(piece, purpose, visitor);
    }

    pub(super) fn emit_char(&mut self, character: Option<char>, purpose: Use, visitor: &mut impl Visitor<F>) {
        if let Some(character) = character {
            let mut utf8 = [0; 4];
            self.emit_as_it_is(character.encode_utf8(&mut utf8).as_bytes(), purpose, visitor);
        }
    }

    pub(super) fn emit_as_it_is(&mut self, piece: &[u8], purpose: Use, visitor: &mut impl Visitor<F>) {
        match purpose {
            Use::Key => self.key.extend(piece),
            Use::Wanted => self.tell(Event::Text(piece), visitor),
            Use::Nothing => {}
        }
    }

    /// The first half of a surrogate pair that nothing completes any more becomes a replacement character.
    pub(super) fn abandon_half(&mut self, purpose: Use, visitor: &mut impl Visitor<F>) {
        let alone = self.units.abandon();
        self.emit_char(alone, purpose, visitor);
    }
}
