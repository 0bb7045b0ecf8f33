use proptest::prelude::*;

use super::*;

fn stripped(stream: &[u8], pieces: impl Iterator<Item = usize>) -> String {
    let (mut stripper, mut out) = (UsageStripper::default(), Vec::new());
    let mut rest = stream;
    for piece in pieces {
        let (bytes, after) = rest.split_at(piece.clamp(1, rest.len().max(1)).min(rest.len()));
        stripper.feed(bytes, &mut out);
        rest = after;
    }
    stripper.feed(rest, &mut out);
    stripper.finish(&mut out);
    String::from_utf8(out).unwrap()
}

fn whole(stream: &str) -> String {
    stripped(stream.as_bytes(), core::iter::empty())
}

const USAGE: &str =
    r#"{"prompt_tokens":9,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":0}}"#;

/// A chunk as servers write it, with and without what is asked for.
#[derive(Clone, Debug)]
struct Chunk {
    /// Members before and after the place of the usage.
    before: Vec<String>,
    after: Vec<String>,
    space: &'static str,
}

impl Chunk {
    fn text(&self, usage: Option<&str>) -> String {
        let usage = usage.map(|usage| format!("\"usage\":{}{usage}", self.space));
        let members: Vec<String> =
            self.before.iter().cloned().chain(usage).chain(self.after.iter().cloned()).collect();
        format!("data:{}{{{}}}", self.space, members.join(&format!(",{}", self.space)))
    }
}

fn chunk() -> impl Strategy<Value = Chunk> {
    let member = prop_oneof![
        Just(r#""id":"chatcmpl-1""#.to_owned()),
        Just(r#""service_tier":null"#.to_owned()),
        Just(r#""created":1795305601"#.to_owned()),
        Just(r#""usages":null"#.to_owned()),
        Just(r#""obfuscation":"aB3,\"usage\":null\\""#.to_owned()),
        Just(r#""x":{"usage":null,"choices":[],"y":[{"usage":null}]}"#.to_owned()),
    ];
    let delta = "[ -~é🚦]{0,20}".prop_map(|text| {
        format!(
            r#""choices":[{{"index":0,"delta":{{"content":{}}},"usage":null}}]"#,
            serde_json::Value::from(text)
        )
    });
    let list = || prop::collection::vec(member.clone(), 0..3);
    (list(), delta, list(), any::<bool>(), any::<bool>()).prop_map(
        |(mut before, delta, mut after, late, spaced)| {
            if late {
                after.push(delta)
            } else {
                before.push(delta)
            }
            Chunk { before, after, space: if spaced { " " } else { "" } }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_client_gets_what_it_would_have_got(
        chunks in prop::collection::vec(chunk(), 0..5),
        end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        pieces in prop::collection::vec(1usize..40, 0..200),
    ) {
        let event = |text: &str| format!("{text}{end}{end}");
        let mut with = event(": ping");
        let mut without = with.clone();
        for chunk in &chunks {
            with += &event(&chunk.text(Some("null")));
            without += &event(&chunk.text(None));
        }
        with += &event(&format!("data: {{\"id\":\"c\",\"choices\":[],\"usage\":{USAGE}}}"));
        let done = event("data: [DONE]");
        let (with, without) = (with + &done, without + &done);
        prop_assert_eq!(&stripped(with.as_bytes(), pieces.iter().copied()), &without);
        prop_assert_eq!(&stripped(without.as_bytes(), pieces.iter().copied()), &without);
    }

    #[test]
    fn any_bytes_pass_without_fault(bytes: Vec<u8>, start in prop::sample::select(vec!["", "data: {", "data: {\"usage\":", "data: {\"a\":1,"]), pieces in prop::collection::vec(1usize..9, 0..50)) {
        let bytes = [start.as_bytes(), &bytes].concat();
        let run = |mut pieces: Vec<usize>| {
            let (mut stripper, mut out) = (UsageStripper::default(), Vec::new());
            pieces.push(bytes.len());
            let mut rest = bytes.as_slice();
            for piece in pieces {
                let (part, after) = rest.split_at(piece.min(rest.len()));
                stripper.feed(part, &mut out);
                rest = after;
            }
            stripper.finish(&mut out);
            out
        };
        prop_assert_eq!(run(pieces), run(Vec::new()));
    }
}

#[test]
fn the_samples_become_each_other() {
    let sample = |name: &str| {
        std::fs::read_to_string(format!("{}/tests/samples/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    let with = sample("openai-chat.stream-usage.response.sse");
    let stripped_whole = whole(&with);
    assert!(
        !stripped_whole.contains("usage") && stripped_whole.ends_with("data: [DONE]\n\n"),
        "{stripped_whole}"
    );
    let events = |text: &str| text.matches("data: ").count();
    assert_eq!(events(&stripped_whole), events(&with) - 1);
    for at in 0..=with.len() {
        assert_eq!(stripped(with.as_bytes(), core::iter::once(at)), stripped_whole, "cut at {at}");
    }
    for untouched in [
        "openai-chat.stream-nousage.response.sse",
        "mistral-chat.stream.response.sse",
        "anthropic-messages.stream.response.sse",
        "openai-chat.response.json",
    ] {
        assert_eq!(whole(&sample(untouched)), sample(untouched));
    }
}

#[test]
fn what_only_looks_like_the_extra_chunk_stays() {
    for event in [
        // Azure begins with what its filters say of the prompt.
        "data: {\"choices\":[],\"prompt_filter_results\":[{\"usage\":{}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{}}],\"usage\":{\"prompt_tokens\":1}}\n\n",
        "data: {\"usage\":{\"prompt_tokens\":1},\"choices\":[{}]}\n\n",
        "data: {\"usage\":{\"prompt_tokens\":1}}\n\n",
        "data: {\"choices\":[],\"usage\":5}\n\n",
        "data: {\"choices\":[],\"usage\":{}\n\n",
        "data: {\"choices\":[],\"usage\":{}} x\n\n",
        "data: {\"choices\":[],\ndata: \"usage\":{}}\n\n",
        "event: usage\ndata: {\"choices\":[],\"usage\":{}}\n\n",
        "data: {\"usage\":nul\n\n",
        "data: {\"us\\u0061ge\":null}\n\n",
        "dat\n\n",
        "data\n\n",
        "\n\n\n",
        "",
    ] {
        assert_eq!(whole(event), event);
    }
}

#[test]
fn the_extra_chunk_goes_in_any_order_and_without_its_last_line() {
    for event in [
        format!("data: {{\"usage\":{USAGE},\"choices\":[ ]}}\n\n"),
        format!("data:{{ \"a\" : [1] , \"usage\" : {USAGE} , \"choices\" : [] }} \n\n"),
        format!("data: {{\"choices\":[],\"usage\":{USAGE}}}"),
        format!("data: {{\"choices\":[],\"usage\":{USAGE}}}\n"),
    ] {
        assert_eq!(whole(&event), "", "{event}");
    }
    assert_eq!(whole("data: {\"usage\":null , \"a\":1}\n\n"), "data: {\"a\":1}\n\n");
    assert_eq!(whole("data: {\"usage\":null}\n\n"), "data: {}\n\n");
}

#[test]
fn no_more_is_held_than_shows_what_an_event_is() {
    let (mut stripper, mut out) = (UsageStripper::default(), Vec::new());
    let mut feed = |text: &str| {
        stripper.feed(text.as_bytes(), &mut out);
        String::from_utf8(core::mem::take(&mut out)).unwrap()
    };
    assert_eq!(feed("data: {\"id\":\"c\",\"choices\":["), "");
    assert_eq!(feed("{\"del"), "data: {\"id\":\"c\",\"choices\":[{\"del");
    assert_eq!(feed("ta\":{\"content\":\"wo"), "ta\":{\"content\":\"wo");
    assert_eq!(feed("rds\"}}]"), "rds\"}}]");
    assert_eq!(feed(",\"usage\""), "");
    assert_eq!(feed(":nul"), "");
    assert_eq!(feed("l"), "");
    assert_eq!(feed(",\"o"), "");
    assert_eq!(feed("bf\":1}\n"), ",\"obf\":1}\n");
    assert_eq!(feed("\n"), "\n");
    assert_eq!(feed(": ping\n"), ": ping\n");
    assert_eq!(feed("data: [DO"), "data: [DO");
}

#[test]
fn an_event_that_is_too_long_to_be_held_passes() {
    let event = |bytes: usize| {
        let start = "data: {\"choices\":[],\"pad\":\"";
        let end = format!("\",\"usage\":{USAGE}}}\n");
        format!("{start}{}{end}\n", "x".repeat(bytes - start.len() - end.len()))
    };
    assert_eq!(whole(&event(HELD_BYTES_MAX)), "");
    assert_eq!(whole(&event(HELD_BYTES_MAX + 1)), event(HELD_BYTES_MAX + 1));
}
