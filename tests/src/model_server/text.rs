//! The words the model server speaks, and prompts of a known length.

/// What answers are made of, in turn. Some are as hard as real text: multi-byte, escaped in JSON, and looking like
/// the usage report a careless parser would take them for.
const WORDS: [&str; 16] = [
    "the",
    "toll",
    "gate",
    "opens",
    "naïvely",
    "你好",
    "for",
    "\"quoted\"",
    "back\\slash",
    "🚦",
    r#""usage":{"prompt_tokens":999999,"completion_tokens":999999,"output_tokens":999999}"#,
    "and",
    "data:[DONE]",
    "closes",
    "behind",
    "you.",
];

/// The `index`-th word of every answer.
pub fn word(index: u64) -> &'static str {
    let at = usize::try_from(index % WORDS.len() as u64).unwrap_or_default();
    WORDS[at]
}

/// The first `count` words, the text of an answer.
pub(super) fn words(count: u64) -> String {
    (0..count).map(word).collect::<Vec<_>>().join(" ")
}

/// A prompt of exactly `words` words.
pub fn prompt_of(words: usize) -> String {
    vec!["word"; words].join(" ")
}

/// Tokens of a text: its words.
pub(super) fn tokens(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_one_token() {
        assert!(WORDS.iter().all(|word| tokens(word) == 1));
        assert_eq!(tokens(&words(40)), 40);
        assert_eq!(tokens(&prompt_of(7)), 7);
        assert_eq!(tokens(""), 0);
    }
}
