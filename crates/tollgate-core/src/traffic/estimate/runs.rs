//! Runs of one kind of character, and what each costs when it ends.

use super::Estimator;
use super::weights::O200K;

/// What the current run is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    Nothing,
    Letters,
    Digits,
    Punctuation,
    Newlines,
    Spaces,
    /// Cyrillic, Greek, Hangul: a script with words, charged by the word.
    Alphabet,
    /// Ideographs and kana: charged by the character, with a start.
    EastAsian,
    /// Charged by the character only.
    Other,
}

impl Estimator {
    #[inline(always)]
    pub(super) fn extend(&mut self, run: Run) {
        if self.run != run {
            self.start(run);
        }
        self.length += 1;
    }

    #[inline(always)]
    pub(super) fn start_letters(&mut self) {
        self.start_glued_to_digits(Run::Letters);
    }

    /// What stands before a number is no part of it: neither a space nor, as before a word it may be, a sign.
    #[inline(always)]
    pub(super) fn before_digits(&mut self) {
        match self.run {
            Run::Spaces if self.length == 1 => self.cost += O200K.space_before_digits,
            Run::Punctuation => self.glued = true,
            _ => {}
        }
    }

    #[inline(always)]
    pub(super) fn start_glued_to_digits(&mut self, run: Run) {
        let glued = self.run == Run::Digits;
        self.start(run);
        self.glued = glued;
    }

    #[inline(always)]
    pub(super) fn start(&mut self, run: Run) {
        self.end_run();
        self.run = run;
        self.glued = false;
    }

    #[inline(always)]
    pub(super) fn end_run(&mut self) {
        let (weights, length) = (&O200K, self.length);
        let past = |letters: u64| length.saturating_sub(letters);
        self.cost += match self.run {
            Run::Letters if self.capitals == length && length >= 2 => weights.capital * length,
            Run::Letters if self.glued => weights.glued_word + weights.glued_letter * length,
            Run::Letters => weights.word_of(length),
            Run::Digits => weights.digit_group * length.div_ceil(3),
            Run::Punctuation => {
                let first = if self.glued { weights.punctuation_by_digits } else { weights.punctuation_run };
                first + weights.punctuation_more * past(1)
            }
            Run::Newlines if self.glued => weights.newline_run_after_signs,
            Run::Newlines => weights.newline_run,
            // One space belongs to the word after it.
            Run::Spaces if length > 1 => weights.space_run,
            Run::Alphabet => weights.alphabet_word,
            Run::EastAsian => weights.east_asian_run,
            Run::Spaces | Run::Other | Run::Nothing => 0,
        };
        self.length = 0;
        self.capitals = 0;
    }
}
