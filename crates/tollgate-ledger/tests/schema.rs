//! The published schema is that of the types, and every example in the repository is valid by it and by the filter's code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::process::Command;

use jsonschema::Validator;
use serde_json::{Value, json};
use tollgate_core::policy::Policy;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn published() -> Value {
    serde_json::from_str(&std::fs::read_to_string(root().join("config/schema.json")).unwrap()).unwrap()
}

fn validator() -> Validator {
    jsonschema::validator_for(&published()).unwrap()
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|why| panic!("{why}\n{text}"))
}

/// The configurations of all Tollgate filters in an Envoy configuration or a part of one.
fn filters(document: &Value, found: &mut Vec<Value>) {
    match document {
        Value::Object(map) => {
            let ours = map.get("root_id").is_some_and(|id| id == "tollgate");
            if let (true, Some(value)) = (ours, map.get("configuration").and_then(|it| it.get("value"))) {
                found.push(value.clone());
            }
            map.values().for_each(|value| filters(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| filters(value, found)),
        _ => {}
    }
}

/// Files with this ending, in a folder and those in it.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path, ending));
        } else if path.extension().is_some_and(|it| it == ending) {
            all.push(path);
        }
    }
    all.sort();
    all
}

/// Every configuration in the repository that people may copy, and where it stands.
fn examples() -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let mut add = |place: &str, text: &str, is_policy: bool| {
        let document = yaml(text);
        let mut found = Vec::new();
        filters(&document, &mut found);
        if is_policy {
            found.push(document);
        }
        all.extend(found.into_iter().map(|value| (place.to_owned(), value)));
    };
    for path in files(&root().join("config"), "yaml") {
        add(&path.display().to_string(), &std::fs::read_to_string(&path).unwrap(), true);
    }
    for path in files(&root().join("envoy"), "yaml") {
        let text = std::fs::read_to_string(&path).unwrap();
        if text.contains("root_id: tollgate") {
            add(&path.display().to_string(), &text, false);
        }
    }
    for name in ["README.md", "ARCHITECTURE.md"] {
        let text = std::fs::read_to_string(root().join(name)).unwrap();
        let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        blocks.for_each(|block| add(name, block, false));
    }
    all
}

#[test]
fn the_published_schema_is_the_one_of_the_types() {
    let printed = Command::new(env!("CARGO_BIN_EXE_tollgate")).arg("schema").output().unwrap();
    let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(printed, published(), "run: target/release/tollgate schema > config/schema.json");
}

#[test]
fn every_example_is_valid_by_the_schema_and_by_the_filters_code() {
    let validator = validator();
    let examples = examples();
    assert!(examples.len() >= 3, "README, config and envoy have one each at least");
    for (place, value) in examples {
        let faults: Vec<String> = validator.iter_errors(&value).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{place}: {faults:?}");
        Policy::from_json(value).unwrap_or_else(|error| panic!("{place}: {error}"));
    }
}

#[test]
fn the_schema_refuses_what_nobody_knows() {
    let validator = validator();
    assert!(validator.is_valid(&json!({"identity": {"consumer": [{"header": "x-user"}]}})));
    for wrong in [
        json!({"surprise": 1}),
        json!({"tiers": {"free": {"limits": [{"name": "a", "meter": "requests", "surprise": 1}]}}}),
        json!({"tiers": {"free": {"limits": [{"meter": "requests"}]}}}),
        json!({"prices": {"unknown": "guess"}}),
    ] {
        assert!(!validator.is_valid(&wrong), "{wrong}");
    }
}
