use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Writes down all that it is told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    events: Vec<String>,
    text: Vec<u8>,
}

impl Visitor<&'static str> for Seen {
    fn visit(&mut self, field: &'static str, event: Event<'_>) {
        let told = match event {
            Event::Object => "{".to_owned(),
            Event::Array => "[".to_owned(),
            Event::TextStart => return self.text.clear(),
            Event::Text(piece) => return self.text.extend(piece),
            Event::Passed(_) => return,
            Event::TextEnd => format!("{:?}", String::from_utf8_lossy(&self.text)),
            Event::Number(number) => format!("{:?}", number.amount()),
            Event::Bool(value) => value.to_string(),
            Event::Null => "null".to_owned(),
            Event::Key(key) => format!("{:?}:", String::from_utf8_lossy(key)),
        };
        self.events.push(format!("{field}{told}"));
    }
}

fn scan(wanted: &'static Place<&'static str>, pieces: &[&[u8]]) -> (Vec<String>, bool, bool) {
    let (mut scanner, mut seen) = (Scanner::new(wanted), Seen::default());
    for piece in pieces {
        let rest = scanner.feed(piece, &mut seen);
        assert!(rest.is_empty() || scanner.is_done());
    }
    (seen.events, scanner.is_done(), scanner.is_malformed())
}

fn told(wanted: &'static Place<&'static str>, text: &str) -> String {
    let (events, done, malformed) = scan(wanted, &[text.as_bytes()]);
    assert!(done && !malformed, "{text}");
    events.join(" ")
}

static EVERYTHING: Place<&str> = Place::all_and_keys("");

#[test]
fn values_are_told_at_their_places_only() {
    static TREE: Place<&str> = Place::object(&[
        ("a", Place::value("a ")),
        ("b", Place::object(&[("a", Place::value("b.a ")), ("c", Place::array(&ITEM))])),
        ("", Place::value("empty ")),
    ]);
    static ITEM: Place<&str> = Place::object(&[("a", Place::value("b.c[].a "))]);
    assert_eq!(
        told(&TREE, r#"{"a":1,"x":{"a":2},"b":{"a":"s","x":[{"a":3}],"c":[{"a":4},[{"a":5}],{"a":6}]}}"#),
        "a Some(1) b.a \"s\" b.c[].a Some(4) b.c[].a Some(6)"
    );
    assert_eq!(told(&TREE, r#"[{"a":1}]"#), "");
    assert_eq!(told(&TREE, r#"{"a":{"a":1},"b":[{"a":1}],"a":[1],"b.a":2}"#), "a { a [");
    assert_eq!(told(&TREE, r#"{"":1,"aa":2,"A":3,"a ":4}"#), "empty Some(1)");
    let long = format!(r#"{{"{}":1,"a":2}}"#, "a".repeat(10_000));
    assert_eq!(told(&TREE, &long), "a Some(2)");
}

#[test]
fn the_rest_is_what_a_tree_does_not_list() {
    static TREE: Place<&str> = Place::object(&[
        ("a", Place::value("a ")),
        ("b", Place::object(&[("a", Place::value("b.a ")), ("keys", Place::all_and_keys("keys "))])),
    ])
    .rest("rest ");
    assert_eq!(
        told(&TREE, r#"{"a":1,"b":{"a":2,"b":3},"c":[{"a":4}]}"#),
        "rest { a Some(1) rest { b.a Some(2) rest Some(3) rest [ rest { rest Some(4)"
    );
    assert_eq!(
        told(&TREE, r#"{"b":{"keys":{"a":[{"b":1}]}}}"#),
        "rest { rest { keys { keys \"a\": keys [ keys { keys \"b\": keys Some(1)"
    );
}

#[test]
fn a_tree_may_be_as_deep_as_the_bound_and_what_is_deeper_is_not_taken_for_it() {
    static DEEP: Place<&str> = Place::array(&DEEP_2);
    static DEEP_2: Place<&str> = Place::array(&DEEP_3);
    static DEEP_3: Place<&str> = Place::array(&DEEP_4);
    static DEEP_4: Place<&str> = Place::array(&DEEP_5);
    static DEEP_5: Place<&str> = Place::array(&DEEP_6);
    static DEEP_6: Place<&str> = Place::array(&DEEP_7);
    static DEEP_7: Place<&str> = Place::array(&DEEP_8);
    static DEEP_8: Place<&str> = Place::array(&LEAF).rest("rest ");
    static LEAF: Place<&str> = Place::value("leaf ");
    assert!(is_within_bounds(&DEEP));
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(told(&DEEP, &nested(LEVELS_MAX)), "rest [ leaf Some(1)");
    assert_eq!(told(&DEEP, &nested(LEVELS_MAX + 1)), "rest [ leaf [ rest Some(1)");
    assert_eq!(told(&DEEP, &nested(LEVELS_MAX + 3)), "rest [ leaf [ rest [ rest [ rest Some(1)");
    static TOO_DEEP: Place<&str> = Place::array(&DEEP);
    assert!(!is_within_bounds(&TOO_DEEP));
}

#[test]
fn nesting_is_followed_to_its_bound_and_passed_over_after_it() {
    let nested = |depth: usize| format!("[{}1{},2]", "[".repeat(depth - 1), "]".repeat(depth - 1));
    let (events, done, malformed) = scan(&EVERYTHING, &[nested(DEPTH_MAX).as_bytes()]);
    assert!(done && !malformed && events.contains(&"Some(1)".to_owned()));
    let (events, done, malformed) = scan(&EVERYTHING, &[nested(DEPTH_MAX + 1).as_bytes()]);
    assert!(done && malformed && !events.contains(&"Some(1)".to_owned()));
    assert_eq!(events.last().map(String::as_str), Some("Some(2)"));
}

#[test]
fn strings_are_unescaped_as_they_are_written() {
    for (text, expected) in [
        (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
        (r#""\u0041\u00e9\u20AC\ud83d\uDE00""#, "Aé€😀"),
        (r#""\ud83d""#, "\u{FFFD}"),
        (r#""\ud83dx\ude00y""#, "\u{FFFD}x\u{FFFD}y"),
        (r#""\ud83d\n\ud83d\ud83d\ude00""#, "\u{FFFD}\n\u{FFFD}😀"),
        ("\"é😀\"", "é😀"),
        (r#""""#, ""),
    ] {
        assert_eq!(told(&EVERYTHING, text), format!("{expected:?}"), "{text}");
    }
}

#[test]
fn faults_are_marked() {
    for text in [
        "{,}",
        "[,]",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "[1 2]",
        "[1}",
        "{\"a\":1]",
        "[01]",
        "[1.]",
        "[+1]",
        "[nul]",
        "[True]",
        "[nullx]",
        "[NaN]",
        "[\"\\x\"]",
        "[\"\\u12g4\"]",
        "[\"\t\"]",
        "[1]]",
        "]",
        "[\u{0}]",
        "['a']",
        "[/* */]",
        "{\"a\":1 \"b\":2}",
        "{1:2}",
        "[:]",
    ] {
        assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
        let (mut scanner, mut seen) = (Scanner::new(&EVERYTHING), Seen::default());
        let rest = scanner.feed(text.as_bytes(), &mut seen);
        assert!(scanner.is_malformed() || !rest.is_empty(), "{text}");
    }
}

#[test]
fn the_end_of_the_document_is_told() {
    let (mut scanner, mut seen) = (Scanner::new(&EVERYTHING), Seen::default());
    assert!(scanner.feed(b" {\"a\":", &mut seen).is_empty() && !scanner.is_done());
    assert_eq!(scanner.feed(b"[]} {\"b\":1}", &mut seen), b" {\"b\":1}");
    assert!(scanner.is_done());
    scanner.reset();
    assert!(scanner.feed(b"12", &mut seen).is_empty() && !scanner.is_done());
    assert_eq!(scanner.feed(b" ", &mut seen), b" ");
    assert_eq!(seen.events.join(" "), "{ \"a\": [ Some(12)");
}

/// What a scanner that wants everything tells of a value.
fn flat(value: &Value, events: &mut Vec<String>) {
    events.push(match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => format!("{:?}", number.as_u64()),
        Value::String(text) => format!("{text:?}"),
        Value::Array(_) => "[".to_owned(),
        Value::Object(_) => "{".to_owned(),
    });
    match value {
        Value::Array(items) => items.iter().for_each(|item| flat(item, events)),
        Value::Object(members) => members.iter().for_each(|(key, value)| {
            events.push(format!("{:?}:", key));
            flat(value, events);
        }),
        _ => {}
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[ -~]{0,40}".prop_map(Value::from),
    ];
    scalar.prop_recursive(12, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".{0,10}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn all_of_a_document_is_told_in_order_however_it_is_cut(
        value in any_value(), pretty: bool, cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let text = text.unwrap() + " ";
        let mut expected = Vec::new();
        flat(&value, &mut expected);
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).collect();
        at.extend([0, text.len() - 1]);
        at.sort_unstable();
        let mut pieces: Vec<&[u8]> = at.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
        pieces.push(b" ");
        let (events, done, malformed) = scan(&EVERYTHING, &pieces);
        prop_assert!(done && !malformed);
        prop_assert_eq!(events, expected);
    }

    #[test]
    fn a_document_is_faulty_where_serde_json_says_so(value in any_value(), at: prop::sample::Index, byte: u8) {
        let mut text = value.to_string().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        let (mut scanner, mut seen) = (Scanner::new(&EVERYTHING), Seen::default());
        let mut rest = scanner.feed(&text, &mut seen);
        if !scanner.is_done() {
            rest = scanner.feed(b" ", &mut seen);
        }
        let accepted = scanner.is_done() && !scanner.is_malformed() && rest.trim_ascii().is_empty();
        let allowed = serde_json::from_slice::<Value>(&text).is_ok();
        // Encodings, escapes where nothing is wanted and amounts too large for a float are not checked.
        let exponent = text.windows(2).any(|pair| pair[0].is_ascii_digit() && matches!(pair[1], b'e' | b'E'));
        let unchecked = std::str::from_utf8(&text).is_err() || text.contains(&b'\\') || exponent;
        prop_assert!(accepted == allowed || (accepted && unchecked), "{}", String::from_utf8_lossy(&text));
    }
}

/// Counts the text of what is wanted whole, and how often it is told of some.
#[derive(Debug, Default)]
struct Counted {
    bytes: u64,
    told: u64,
    may_pass: u64,
}

impl Visitor<&'static str> for Counted {
    fn visit(&mut self, _: &'static str, event: Event<'_>) {
        self.told += 1;
        self.bytes += match event {
            Event::Text(piece) | Event::Key(piece) => piece.len() as u64,
            Event::Passed(bytes) => bytes,
            Event::Number(_) | Event::Bool(_) => 1,
            Event::Object | Event::Array | Event::TextStart | Event::TextEnd | Event::Null => 0,
        };
    }

    fn may_pass(&self, _: &'static str) -> u64 {
        self.may_pass
    }
}

fn counted(body: &str, piece: usize, may_pass: u64) -> Counted {
    static TREE: Place<&str> =
        Place::object(&[("tools", Place::all_and_keys("")), ("end", Place::value(""))]);
    let (mut scanner, mut counted) = (Scanner::new(&TREE), Counted { may_pass, ..Counted::default() });
    for piece in body.as_bytes().chunks(piece) {
        scanner.feed(piece, &mut counted);
    }
    assert!(scanner.is_done() && !scanner.is_malformed(), "{body}");
    counted
}

#[test]
fn members_that_nobody_has_to_see_are_passed_over_many_at_a_time() {
    let tool = r#"{"name":"find","n":[1,-2.5,true,null,{}],"a":{"\"":"}],\\","b":[["x\u00e9"],[]]}}, "#;
    let body = format!(r#"{{"tools":[{}{{}}],"end":"of it"}}"#, tool.repeat(100));
    let slow = counted(&body, usize::MAX, 0);
    for piece in [1, 7, 100, usize::MAX] {
        for may_pass in [0, 127, 128, 300, 1_000_000] {
            assert_eq!(counted(&body, piece, may_pass).bytes, slow.bytes, "{piece} {may_pass}");
        }
    }
    assert!(counted(&body, usize::MAX, 300).told * 10 < slow.told);
    // Much that is no text is no reason to look at it again and again.
    let nested = format!("{}{}{}", r#"{"":["#.repeat(50), " ".repeat(10_000), "]}".repeat(50));
    let body = format!(r#"{{"tools":[1,{nested}],"end":0}}"#);
    assert_eq!(counted(&body, usize::MAX, 1_000).bytes, 2);
}

#[test]
fn what_is_passed_over_ends_with_what_is_wanted_whole() {
    let words = r#""word","#.repeat(60);
    let body = format!(r#"{{"tools":[{words}1],"x":{{"y":[{words}1]}},"end":"of it"}}"#);
    assert_eq!(counted(&body, usize::MAX, 128).bytes, 60 * 4 + 1 + 5);
    let deep = format!(r#"{{"tools":[0,{}1{}],"end":0}}"#, "[0,".repeat(120), "]".repeat(120));
    assert_eq!(counted(&deep, usize::MAX, 1_000_000).bytes, 1 + 120 + 1 + 1);
}
