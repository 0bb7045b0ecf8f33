//! What fuzzing found worth keeping (`tests/fuzz/corpus`) goes through every target as it did there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::path::Path;

#[path = "../../../tests/fuzz/targets/mod.rs"]
mod targets;

const FUZZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz");

/// An input as it is written: bytes that are no printable ASCII, and backslashes, as `\xNN`.
fn input(line: &str) -> Vec<u8> {
    let mut parts = line.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, plain) = part.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).unwrap());
        bytes.extend(plain.as_bytes());
    }
    bytes
}

#[test]
fn what_fuzzing_kept_is_as_it_should_be() {
    for (name, check) in targets::ALL {
        let corpus = fs::read_to_string(Path::new(FUZZ).join(format!("corpus/{name}.txt"))).unwrap();
        assert!(corpus.lines().count() > 10, "{name} has no corpus");
        for line in corpus.lines() {
            let input = input(line);
            if let Err(panic) = std::panic::catch_unwind(|| check(&input)) {
                eprintln!("{name}: {line}");
                std::panic::resume_unwind(panic);
            }
        }
    }
}

#[test]
fn every_target_is_a_binary() {
    let mut binaries: Vec<String> = fs::read_dir(Path::new(FUZZ).join("src/bin"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    binaries.sort();
    assert_eq!(binaries, targets::ALL.map(|(name, _)| name));
}

#[test]
fn inputs_are_read_as_they_are_written() {
    assert_eq!(input(r#"a"\x5c\x00b\xff"#), b"a\"\\\0b\xff");
    assert_eq!(input(""), b"");
}
