//! What the parts of a text cost.

/// What each feature of a text costs, in 1/256 of a token.
pub(super) struct Weights {
    pub word: u64,
    pub letters_past_4: u64,
    pub letters_past_10: u64,
    pub glued_word: u64,
    pub glued_letter: u64,
    pub capital: u64,
    pub digit_group: u64,
    /// A space belongs to the word after it, but to no number.
    pub space_before_digits: u64,
    pub punctuation_run: u64,
    pub punctuation_by_digits: u64,
    pub punctuation_more: u64,
    pub newline_run: u64,
    /// One token with the signs before it.
    pub newline_run_after_signs: u64,
    pub space_run: u64,
    /// Letters past Latin-1, as Polish, Czech and Turkish have them.
    pub latin_extended_letter: u64,
    pub alphabet_word: u64,
    pub greek_letter: u64,
    pub hebrew_letter: u64,
    pub semitic_letter: u64,
    pub indic_letter: u64,
    pub thai_letter: u64,
    pub east_asian_run: u64,
    pub ideograph: u64,
    pub kana: u64,
    pub hangul: u64,
    pub symbol: u64,
    pub astral: u64,
    pub blob_byte: u64,
    /// Base64 has capitals, hex has fewer kinds of characters and longer tokens.
    pub blob_byte_with_capitals: u64,
}

impl Weights {
    /// A word by itself of so many letters.
    #[inline(always)]
    pub fn word_of(&self, letters: u64) -> u64 {
        self.word
            + self.letters_past_4 * letters.saturating_sub(4)
            + self.letters_past_10 * letters.saturating_sub(10)
    }
}

pub(super) const O200K: Weights = Weights {
    word: 208,
    letters_past_4: 41,
    letters_past_10: 76,
    glued_word: 72,
    glued_letter: 26,
    capital: 65,
    digit_group: 264,
    space_before_digits: 299,
    punctuation_run: 149,
    punctuation_by_digits: 253,
    punctuation_more: 45,
    newline_run: 356,
    newline_run_after_signs: 306,
    space_run: 153,
    latin_extended_letter: 282,
    alphabet_word: 465,
    greek_letter: 17,
    hebrew_letter: 117,
    semitic_letter: 92,
    indic_letter: 89,
    thai_letter: 107,
    east_asian_run: 368,
    ideograph: 153,
    kana: 131,
    hangul: 17,
    symbol: 109,
    astral: 77,
    blob_byte: 146,
    blob_byte_with_capitals: 171,
};
