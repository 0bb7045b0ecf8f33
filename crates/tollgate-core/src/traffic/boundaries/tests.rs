//! Boundaries are where they are, however the bytes come.

use proptest::prelude::*;

use super::*;

/// The pieces between boundaries, of a body that comes in these pieces; the last is what no boundary ends.
fn pieces<'a>(dialect: Dialect, body: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Option<Form>) {
    let mut boundaries = Boundaries::new(dialect);
    let mut all = vec![Vec::new()];
    for mut chunk in body {
        while !chunk.is_empty() {
            let (length, ends) = boundaries.next(chunk);
            all.last_mut().unwrap().extend_from_slice(&chunk[..length]);
            if ends {
                all.push(Vec::new());
            }
            chunk = &chunk[length..];
        }
    }
    (all, boundaries.form())
}

fn texts(dialect: Dialect, body: &str) -> Vec<String> {
    let (all, _) = pieces(dialect, [body.as_bytes()]);
    all.into_iter().map(|piece| String::from_utf8(piece).unwrap()).collect()
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let total = 16 + payload.len() as u32;
    [&total.to_be_bytes()[..], &[0; 8], payload, &[0; 4]].concat()
}

#[test]
fn events_end_with_an_empty_line_whatever_ends_lines() {
    let chat = Dialect::OpenAiChat;
    assert_eq!(texts(chat, "data: 1\n\n: x\n\ndata: 2\n"), ["data: 1\n\n", ": x\n\n", "data: 2\n"]);
    assert_eq!(texts(chat, "data: 1\r\n\r\ndata: 2\r\n\r\n"), ["data: 1\r\n\r\n", "data: 2\r\n\r\n", ""]);
    assert_eq!(texts(chat, "data: 1\r\rdata: 2\r"), ["data: 1\r\r", "data: 2\r"]);
    assert_eq!(pieces(chat, [b"data".as_slice()]).1, Some(Form::Events));
}

#[test]
fn a_line_is_one_document_however_it_is_written() {
    let lines = "{\"a\":\"}\\\"\"}\n{\n \"b\": [\n1]}\r\n{\"c\"";
    assert_eq!(texts(Dialect::Ollama, lines), ["{\"a\":\"}\\\"\"}\n", "{\n \"b\": [\n1]}\r\n", "{\"c\""]);
    assert_eq!(pieces(Dialect::Ollama, [b" {".as_slice()]).1, Some(Form::Lines));
    assert_eq!(
        texts(Dialect::OpenAiChat, "{\"choices\":[]}"),
        ["{\"choices\":[]}"],
        "one document has no end before its own"
    );
}

#[test]
fn an_arrays_elements_are_told_apart() {
    let array = "[{\"a\":[{}]}\n,\r\n{\"b\":\"]\"}]\n";
    assert_eq!(texts(Dialect::Gemini, array), ["[{\"a\":[{}]}", "\n,\r\n{\"b\":\"]\"}", "]\n"]);
    assert_eq!(pieces(Dialect::Gemini, [b"[".as_slice()]).1, Some(Form::Array));
}

#[test]
fn frames_are_as_long_as_they_say_and_too_short_ones_are_none() {
    let body = [frame(b"{}"), frame(b""), frame(&[7; 300])].concat();
    let (all, form) = pieces(Dialect::BedrockConverse, [body.as_slice()]);
    assert_eq!(
        (all.iter().map(Vec::len).collect::<Vec<_>>(), form),
        (vec![18, 16, 316, 0], Some(Form::Frames))
    );
    let short = [&[0, 0, 0, 7, 0, 0, 0][..], &[0; 40]].concat();
    let (all, form) = pieces(Dialect::BedrockConverse, [short.as_slice()]);
    assert_eq!((all.len(), form), (1, None));
    assert_eq!(pieces(Dialect::OpenAiChat, [body.as_slice()]).1, None, "who has no frames sends none");
}

proptest! {
    #[test]
    fn boundaries_do_not_depend_on_how_the_bytes_come(
        body in prop_oneof![
            "(data: [a-z]{0,9}(\n|\r\n)){1,4}(\n|\r\n|\n\n)?".prop_map(String::into_bytes),
            "(\\{\"a\":\"[a-z\\\\\"]{0,4}\"\\}(\n|\r\n)){1,4}".prop_map(String::into_bytes),
            prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..5)
                .prop_map(|all| all.iter().flat_map(|payload| frame(payload)).collect()),
            prop::collection::vec(any::<u8>(), 0..60),
        ],
        size in 1usize..9,
    ) {
        for dialect in [Dialect::OpenAiChat, Dialect::Ollama, Dialect::BedrockInvoke] {
            let whole = pieces(dialect, [body.as_slice()]);
            let cut = pieces(dialect, body.chunks(size));
            prop_assert_eq!(whole.1, cut.1);
            // An LF that comes late belongs to the CR it follows.
            let joined = |all: &[Vec<u8>]| all.concat();
            prop_assert_eq!(joined(&whole.0), body.clone());
            prop_assert_eq!(joined(&cut.0), body.clone());
            prop_assert_eq!(whole.0.len(), cut.0.len());
        }
    }
}
