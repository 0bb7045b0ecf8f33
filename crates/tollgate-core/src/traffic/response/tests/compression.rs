//! Answers that come compressed although nobody asked for it.

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use std::io::Write as _;

use super::*;

fn compressed(encoding: &str, body: &[u8]) -> Vec<u8> {
    let level = Compression::default();
    match encoding {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), level);
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        _ => {
            let mut encoder = DeflateEncoder::new(Vec::new(), level);
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
    }
}

fn decoded(encoding: &str, pieces: &[&[u8]]) -> Observed {
    let mut parser = ResponseParser::encoded(Dialect::OpenAiChat, encoding);
    pieces.iter().for_each(|piece| parser.feed(piece));
    assert!(!parser.is_unread());
    parser.observed()
}

#[test]
fn gzip_and_deflate_are_decoded_however_they_are_cut() {
    let body = std::fs::read(format!("{SAMPLES}/openai-chat.stream-usage.response.sse")).unwrap();
    let plain = read(Dialect::OpenAiChat, &[&body]);
    for (encoding, form) in [("gzip", "gzip"), ("X-Gzip", "gzip"), ("deflate", "deflate"), ("deflate", "raw")]
    {
        let bytes = compressed(form, &body);
        let whole = decoded(encoding, &[&bytes]);
        assert_eq!((&whole.usage, whole.reported, whole.finished), (&plain.usage, true, true), "{form}");
        assert_eq!(whole.output_estimate, plain.output_estimate);
        for at in 0..=bytes.len() {
            assert_eq!(decoded(encoding, &[&bytes[..at], &bytes[at..]]), whole, "{form} cut at {at}");
        }
        assert_eq!(decoded(encoding, &bytes.chunks(1).collect::<Vec<_>>()), whole, "{form}");
    }
}

#[test]
fn what_was_flushed_is_read_before_the_end() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(b"data: {\"choices\":[],\"usage\":{\"completion_tokens\":7}}\n\n").unwrap();
    encoder.flush().unwrap();
    let so_far = encoder.get_ref().clone();
    assert_eq!(decoded("gzip", &[&so_far]).usage.output, Some(7));
}

#[test]
fn other_encodings_and_broken_ones_count_by_their_size() {
    let bytes = compressed("gzip", "words of an answer ".repeat(100).as_bytes());
    for encoding in ["br", "zstd", "gzip, br", "unheard-of"] {
        let mut parser = ResponseParser::encoded(Dialect::OpenAiChat, encoding);
        parser.feed(b"[1234567");
        assert!(parser.is_unread(), "{encoding}");
        assert_eq!((parser.observed().output_estimate.0, parser.observed().body_bytes), (4, 8));
    }
    let mut broken = ResponseParser::encoded(Dialect::OpenAiChat, "gzip");
    broken.feed(&bytes[..12]);
    broken.feed(&[0xFF; 1000]);
    assert!(broken.is_unread() && broken.observed().output_estimate.0 >= 506);
    let plain = ResponseParser::encoded(Dialect::OpenAiChat, "identity");
    assert!(!plain.is_unread());
}

#[test]
fn a_small_answer_can_not_become_an_endless_one() {
    // A thousandth of what it becomes.
    let zeros = vec![b' '; 1 << 20];
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    (0..DECODED_BYTES_MAX / zeros.len() as u64 + 2).for_each(|_| encoder.write_all(&zeros).unwrap());
    let bomb = encoder.finish().unwrap();
    let mut parser = ResponseParser::encoded(Dialect::OpenAiChat, "gzip");
    parser.feed(&bomb);
    assert!(parser.is_unread());
    assert!(parser.observed().body_bytes <= DECODED_BYTES_MAX + (1 << 16));
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_without_fault(bytes: Vec<u8>, start in 0usize..20) {
        let good = compressed("gzip", b"data: {}\n\n");
        let bytes = [&good[..start], &bytes].concat();
        for encoding in ["gzip", "deflate"] {
            let mut parser = ResponseParser::encoded(Dialect::OpenAiChat, encoding);
            parser.feed(&bytes);
            prop_assert!(parser.observed().body_bytes >= bytes.len() as u64);
        }
    }
}
