//! What need not be read: containers in which nothing is wanted, and what lies between two samples of a text.

use super::text::{Passed, pass_over, plain_run};
use super::{Event, Scanner, State, Visitor};

/// Fewer bytes are handed on rather than passed over: it costs the same.
const PASS_BYTES_MIN: u64 = 32;
/// The same for members, of which what is begun is read again.
const MEMBERS_BYTES_MIN: u64 = 128;
/// So many bytes of JSON are looked at for each byte of text that may be passed over: names, text and what is between.
const BYTES_PER_TEXT: u64 = 4;

impl<F: Copy + 'static> Scanner<F> {
    /// Inside a container without anything wanted: only what opens, closes and quotes matters.
    pub(super) fn pass<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b'"' => {
                    self.state = State::PassingText;
                    break;
                }
                b'{' | b'[' => self.passed_depth += 1,
                b'}' | b']' if self.passed_depth == 0 => {
                    self.value_ended();
                    break;
                }
                b'}' | b']' => self.passed_depth -= 1,
                _ => {}
            }
        }
        rest
    }

    pub(super) fn pass_text<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (_, rest) = bytes.split_at_checked(plain_run(bytes)).unwrap_or((bytes, &[]));
        let Some((&end, rest)) = rest.split_first() else { return rest };
        match end {
            b'"' => self.state = State::Passing,
            b'\\' => self.state = State::PassingEscape,
            _ => {}
        }
        rest
    }

    /// Passes over text that the visitor need not see, up to what is not plainly right: that is read as ever.
    pub(super) fn pass_wanted<'a>(
        &mut self,
        bytes: &'a [u8],
        visitor: &mut impl Visitor<F>,
    ) -> Option<&'a [u8]> {
        let field = self.field?;
        let most = visitor.may_pass(field);
        if most < PASS_BYTES_MIN || self.units.has_half() {
            return None;
        }
        let passed = pass_over(bytes, usize::try_from(most).unwrap_or(usize::MAX));
        if passed.bytes == 0 {
            return None;
        }
        visitor.visit(field, Event::Passed(passed.means));
        bytes.get(passed.bytes..)
    }

    /// Behind a comma among what is wanted whole, keys and all: passes over members, with whatever they hold, whose text
    /// the visitor need not see. It makes no difference but the time it takes; like what nobody wants, what is passed
    /// over is not checked.
    pub(super) fn pass_members<'a>(&self, bytes: &'a [u8], visitor: &mut impl Visitor<F>) -> &'a [u8] {
        let Some(field) = self.open_here(self.depth).key_field() else { return bytes };
        let most = visitor.may_pass(field);
        if most < MEMBERS_BYTES_MIN {
            return bytes;
        }
        let passed = members(bytes, most);
        if passed.bytes > 0 {
            visitor.visit(field, Event::Passed(passed.means));
        }
        bytes.get(passed.bytes..).unwrap_or_default()
    }
}

/// Whole members or items of an object or an array, each with the comma behind it, that have so much text at most.
fn members(bytes: &[u8], most: u64) -> Passed {
    let window = usize::try_from(most.saturating_mul(BYTES_PER_TEXT)).unwrap_or(usize::MAX);
    let mut rest = bytes.get(..window).unwrap_or(bytes);
    let end = rest.len();
    let mut passed = Passed { bytes: 0, means: 0 };
    let (mut means, mut open, mut bare_begins) = (0, 0_u64, true);
    while means <= most
        && let Some((&byte, after)) = rest.split_first()
    {
        rest = after;
        if byte <= b' ' {
            continue;
        }
        match byte {
            b'"' => {
                let text = pass_over(after, usize::MAX);
                means += text.means;
                let Some([b'"', after @ ..]) = after.get(text.bytes..) else { break };
                rest = after;
            }
            b'{' | b'[' => open += 1,
            b'}' | b']' if open == 0 => break,
            b'}' | b']' => open -= 1,
            b',' if open == 0 => passed = Passed { bytes: end - rest.len(), means },
            b',' | b':' => {}
            // A number or a word counts as a byte of text, but for `null`.
            _ => means += u64::from(bare_begins && byte != b'n'),
        }
        bare_begins = matches!(byte, b'[' | b',' | b':');
    }
    passed
}
