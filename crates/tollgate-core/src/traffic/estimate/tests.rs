use proptest::prelude::*;

use super::stretch::BLOB_BYTES_MIN;
use super::*;

fn estimate(text: &[u8]) -> u64 {
    let mut estimator = Estimator::new();
    estimator.feed(text);
    estimator.finish().0
}

/// Texts of every kind with their estimates.
const GOLDEN: [(&str, u64); 15] = [
    ("", 0),
    ("Hello, world!", 4),
    ("The quick brown fox jumps over the lazy dog, and unbelievably internationalisation happens.", 21),
    ("fn main() {\n    let httpServer2 = MAX_SIZE + 1024;\n}", 18),
    (r#"{"id":"a1","n":[1,22,333,4444]}"#, 18),
    ("2026-11-22T10:00:00Z INFO 12345 ms", 17),
    ("Съешь же ещё этих мягких французских булок", 13),
    ("我能吞下玻璃而不伤身体", 9),
    ("いろはにほへと ちりぬるを", 10),
    ("나는 유리를 먹을 수 있어요", 10),
    ("أنا قادر على أكل الزجاج", 7),
    ("Tôi có thể ăn thủy tinh", 7),
    ("😀 — “quoted”", 5),
    ("H4sIAAAAAAAAA71ZbW/bNhD+3l9BGB02YJ7e7ZzY", 27),
    ("d41d8cd98f00b204e9800998ecf8427e", 19),
];

#[test]
fn texts_of_every_kind_are_estimated_as_fitted() {
    for (text, expected) in GOLDEN {
        assert_eq!(estimate(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn encoded_data_is_told_from_long_words() {
    let cost = |text: &str| {
        let mut estimator = Estimator::new();
        estimator.feed(text.as_bytes());
        estimator.cost_256ths()
    };
    let hex = "d41d8cd98f00b204e9800998ecf8427e".repeat(4);
    let (at_the_bound, below_it) = (&hex[..BLOB_BYTES_MIN as usize], &hex[..BLOB_BYTES_MIN as usize - 1]);
    assert_eq!(cost(&hex), 128 * O200K.blob_byte);
    assert_eq!(cost(at_the_bound), 32 * O200K.blob_byte);
    assert_ne!(cost(below_it), 31 * O200K.blob_byte);
    assert!(cost(&"a".repeat(128)) < 128 * O200K.blob_byte);
    let base64 = "H4sIAAAAAAAAA71ZbW8bNxL+3l9BGB02YJ7e7ZzYjuMcDrjUd";
    assert_eq!(cost(base64), base64.len() as u64 * O200K.blob_byte_with_capitals);
    let name = "authenticateCognitoActionConditionalBehaviorEnumeration";
    assert!(cost(name) * 2 < name.len() as u64 * O200K.blob_byte);
    assert_eq!(cost(&"aB".repeat(20)), 40 * O200K.blob_byte_with_capitals);
}

#[test]
fn a_cut_separates_what_stands_on_both_sides() {
    let mut estimator = Estimator::new();
    estimator.feed("unbeliev".as_bytes());
    estimator.cut();
    estimator.feed("able".as_bytes());
    let mut apart = [Estimator::new(), Estimator::new()];
    apart[0].feed(b"unbeliev");
    apart[1].feed(b"able");
    assert_eq!(estimator.cost_256ths(), apart.iter().map(Estimator::cost_256ths).sum::<u64>());
}

#[test]
fn asking_for_the_estimate_changes_nothing() {
    let text = "Some text with 12 words, camelCase and 你好";
    let mut asked = Estimator::new();
    for byte in text.bytes() {
        asked.push(byte);
        asked.finish();
    }
    assert_eq!(asked.finish().0, estimate(text.as_bytes()));
}

proptest! {
    #[test]
    fn pieces_do_not_matter(
        text in "(\\PC|[a-z]{1,12}|[A-Z]{1,4}|[0-9]{1,6}|[a-zA-Z0-9+/]{30,40}|[ \n]){0,20}", at: prop::sample::Index,
    ) {
        let bytes = text.as_bytes();
        let (start, end) = bytes.split_at(at.index(bytes.len() + 1));
        let (mut halves, mut single) = (Estimator::new(), Estimator::new());
        halves.feed(start);
        halves.feed(end);
        bytes.iter().for_each(|byte| single.push(*byte));
        prop_assert_eq!(halves.cost_256ths(), single.cost_256ths());
        prop_assert_eq!(halves.finish().0, estimate(bytes));
    }

    #[test]
    fn no_text_has_more_tokens_than_a_few_per_byte(bytes: Vec<u8>) {
        prop_assert!(estimate(&bytes) <= bytes.len() as u64 * 2 + 1);
    }
}

#[test]
fn words_stand_between_white_space_and_ideographs_for_themselves() {
    for (text, words) in [
        ("", 0),
        (" \n ", 0),
        ("one", 1),
        ("Don't stop, e.g. at 3.14\nplease.\t", 6),
        ("naïve café", 2),
        ("привет мир", 2),
        ("漢字", 2),
        ("こんにちは", 5),
        ("a 漢字 b", 4),
    ] {
        let mut estimator = Estimator::new();
        text.bytes().for_each(|byte| estimator.feed(&[byte]));
        assert_eq!(estimator.words(), words, "{text}");
    }
}
