//! Nothing that passes is kept: the memory held while bodies are read has a bound that does not depend on them.
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use tollgate_core::traffic::{Dialect, Observed, ResponseParser, UsageStripper, inspect_request};

/// Counts what is allocated now, and the most that ever was.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a proxy hands over at a time.
const CHUNK: usize = 64 << 10;
const LARGE: usize = 50 << 20;
const LINE: usize = 20 << 20;

/// What a reader may hold: its own state and the windows of a decoder.
const HELD_MAX: usize = 128 << 10;

/// The most that was held while this ran, beyond what was held before.
fn held_by<T>(run: impl FnOnce() -> T) -> (usize, T) {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = run();
    (PEAK.load(Ordering::Relaxed).saturating_sub(before), result)
}

/// The beginning, then so many bytes of this again and again, then the end, in chunks that are made before.
fn pieces(start: &[u8], again: &[u8], bytes: usize, end: &[u8]) -> (Vec<u8>, Vec<u8>, usize, Vec<u8>) {
    let chunk = again.repeat(CHUNK / again.len());
    let times = bytes / chunk.len();
    (start.to_vec(), chunk, times, end.to_vec())
}

fn read(dialect: Dialect, encoding: &str, body: &(Vec<u8>, Vec<u8>, usize, Vec<u8>)) -> (usize, Observed) {
    let (start, chunk, times, end) = body;
    held_by(|| {
        let mut parser = ResponseParser::encoded(dialect, encoding);
        parser.feed(start);
        (0..*times).for_each(|_| parser.feed(chunk));
        parser.feed(end);
        parser.observed()
    })
}

/// One test, because the count is the process's.
#[test]
fn no_body_is_held() {
    answers();
    compressed();
    frames();
    stripped();
    requests();
}

fn answers() {
    let usage = br#""}}],"usage":{"prompt_tokens":9,"completion_tokens":70000,"total_tokens":70009}}"#;
    let text = b"some words, \\n and more of them. ";
    let event = b"data: {\"choices\":[{\"delta\":{\"content\":\" word\"}}]}\n\n";
    let last = b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":70000}}\n\ndata: [DONE]\n\n";
    let line = b"{\"message\":{\"content\":\" word\"},\"done\":false}\n";
    let done = b"{\"done\":true,\"prompt_eval_count\":9,\"eval_count\":70000}\n";
    let item = b"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\" word\"}]}}]},";
    let total = b"{\"usageMetadata\":{\"promptTokenCount\":9,\"candidatesTokenCount\":70000}}]";
    let head = br#"{"choices":[{"message":{"content":""#.as_slice();
    let one_line = [b"data: ".as_slice(), head].concat();
    let line_end = [usage.as_slice(), b"\n\ndata: [DONE]\n\n"].concat();
    for (name, dialect, body) in [
        ("JSON", Dialect::OpenAiChat, pieces(head, text, LARGE, usage)),
        ("events", Dialect::OpenAiChat, pieces(b"", event, LARGE, last)),
        ("one line of an event", Dialect::OpenAiChat, pieces(&one_line, text, LINE, &line_end)),
        ("lines", Dialect::Ollama, pieces(b"", line, LARGE, done)),
        ("array", Dialect::Gemini, pieces(b"[", item, LARGE, total)),
    ] {
        let (held, seen) = read(dialect, "", &body);
        assert!(held <= HELD_MAX, "{name}: {held}");
        assert_eq!((seen.usage.input, seen.usage.output), (Some(9), Some(70_000)), "{name}");
    }
    // What is nothing that is known, and what never ends.
    for (name, body) in [
        ("bytes", pieces(b"\x01", b"\x02\xFF", LARGE, b"")),
        ("depth", pieces(b"", b"[", LARGE, b"")),
        ("a key without end", pieces(b"{\"", b"k", LARGE, b"")),
        ("a field's name without end", pieces(b"data:{}\n", b"x", LARGE, b"")),
        ("empty lines", pieces(b"data:{}\n", b"\r\n", LARGE, b"")),
    ] {
        let (held, seen) = read(Dialect::OpenAiChat, "", &body);
        assert!(held <= HELD_MAX && !seen.reported, "{name}: {held}");
    }
}

/// A small body that becomes a large one.
fn compressed() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let event = b"data: {\"choices\":[{\"delta\":{\"content\":\" word\"}}]}\n\n".repeat(1000);
    (0..LARGE / event.len()).for_each(|_| encoder.write_all(&event).unwrap());
    encoder.write_all(b"data: {\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":70000}}\n\n").unwrap();
    let body = (encoder.finish().unwrap(), Vec::new(), 0, Vec::new());
    let (held, seen) = read(Dialect::OpenAiChat, "gzip", &body);
    assert!(held <= HELD_MAX, "{held}");
    assert_eq!(seen.usage.output, Some(70_000));
}

/// Frames as large as they may be, with what they hold in base64.
fn frames() {
    let head = br#"{"bytes":""#.as_slice();
    let payload = [head, &b"eyJhIjoxfQ==".repeat(1 << 20), b"\"}"].concat();
    let mut frame = Vec::new();
    let headers =
        [b"\x0b:event-type\x07\x00\x05chunk".as_slice(), b"\x0d:message-type\x07\x00\x05event"].concat();
    frame.extend(((16 + headers.len() + payload.len()) as u32).to_be_bytes());
    frame.extend((headers.len() as u32).to_be_bytes());
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame.extend(headers);
    frame.extend(payload);
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    let (held, _) = held_by(|| {
        let mut parser = ResponseParser::new(Dialect::BedrockInvoke);
        (0..LARGE / frame.len()).for_each(|_| frame.chunks(CHUNK).for_each(|chunk| parser.feed(chunk)));
        parser.observed()
    });
    assert!(held <= HELD_MAX, "{held}");
}

fn stripped() {
    let event = b"data: {\"choices\":[{\"delta\":{\"content\":\" word\"}}],\"usage\":null}\n\n";
    let one_line = b"data: {\"choices\":[{\"delta\":{\"content\":\"";
    for (name, body) in [
        ("events", pieces(b"", event, LARGE, b"data: {\"choices\":[],\"usage\":{}}\n\n")),
        ("one line", pieces(one_line, b"some words ", LINE, b"\"}}]}\n\n")),
    ] {
        let (start, chunk, times, end) = &body;
        let mut out = Vec::with_capacity(2 * CHUNK);
        let (held, ()) = held_by(|| {
            let mut stripper = UsageStripper::default();
            let mut pass = |piece: &[u8]| {
                out.clear();
                stripper.feed(piece, &mut out);
            };
            pass(start);
            (0..*times).for_each(|_| pass(chunk));
            pass(end);
        });
        assert!(held <= HELD_MAX, "{name}: {held}");
    }
}

fn requests() {
    let text = "some words, \\n and more of them. ".repeat(LARGE / 33);
    for body in [
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}]}}"#),
        format!(
            r#"{{"model":"m","messages":[{}{{}}]}}"#,
            r#"{"role":"user","content":"words"},"#.repeat(LARGE / 33)
        ),
        format!(r#"{{"{text}":1}}"#),
    ] {
        let (held, facts) = held_by(|| inspect_request(Dialect::OpenAiChat, body.as_bytes()));
        assert!(held <= HELD_MAX, "{held}");
        assert!(facts.input_estimate.0 >= 1);
    }
}
