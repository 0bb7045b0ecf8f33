//! How far estimates of input are off, by the kind of text: `make accuracy`, which makes the corpus first.
//!
//! Each text is put into a chat and estimated as a request is. What real tokenizers make of it stands in the corpus. The
//! error of a class is the mean of its texts' absolute errors; the overall one is the mean of the classes'. Estimates are
//! fitted to one vocabulary; what is off for others the limiter learns per model from the usage that providers report. The
//! second table is of that: the first half of each class's texts is learned from as the limiter does it, and the error is
//! that of the other half.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_core::billing::{Calibration, Observation};
use tollgate_core::hash::HashKey;
use tollgate_core::traffic::{Dialect, RequestFacts, inspect_request};

/// What the estimates are held to: the mean absolute error over all classes, for the vocabulary they were fitted to.
const ERROR_MAX: f64 = 0.06;
const FITTED_TO: &str = "o200k";

/// What a chat adds to its one message.
const TOKENS_AROUND: u64 = 4;

#[derive(Deserialize)]
struct Text {
    kind: String,
    class: String,
    tokens: BTreeMap<String, u64>,
    text: String,
}

/// Estimate over true count, of each text.
#[derive(Default)]
struct Ratios(Vec<f64>);

impl Ratios {
    fn mean(&self) -> f64 {
        mean(self.0.iter().copied())
    }

    fn error(&self) -> f64 {
        mean(self.0.iter().map(|ratio| (ratio - 1.0).abs()))
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len().max(1) as f64;
    values.sum::<f64>() / count
}

/// By tokenizer, of the texts of a class.
type Class = BTreeMap<String, Ratios>;

fn main() -> ExitCode {
    let target = std::env::var("CARGO_TARGET_DIR")
        .map_or_else(|_| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target")), PathBuf::from);
    let Ok(corpus) = std::fs::read_to_string(target.join("accuracy/corpus.jsonl")) else {
        println!("accuracy: there is no corpus; `make accuracy` makes one");
        return ExitCode::SUCCESS;
    };
    let texts: Vec<Text> = corpus.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (prompts, worst) = table("prompts of 4,000 characters", &texts, "prompt");
    let (long, _) = table("prompts of 100,000 characters and more, read in samples", &texts, "long");
    let calibrated = calibrated(&texts);
    let path = target.join("bench/estimates.json");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let figures = json!({"prompts": prompts, "long": long, "calibrated": calibrated});
    std::fs::write(&path, serde_json::to_string_pretty(&figures).unwrap()).unwrap();
    println!("written to {}", path.display());
    if worst > ERROR_MAX {
        println!("accuracy: {:.1} % is more than {:.0} %", worst * 100.0, ERROR_MAX * 100.0);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn facts(text: &str) -> RequestFacts {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": text}]}).to_string();
    inspect_request(Dialect::OpenAiChat, body.as_bytes())
}

fn estimate(text: &str) -> u64 {
    facts(text).input_estimate.0.saturating_sub(TOKENS_AROUND)
}

/// Classes with fewer texts say nothing about what was learned from half of them.
const TEXTS_MIN: usize = 8;

/// What models get that are asked in other ways.
const WESTERN: [&str; 8] =
    ["English", "German", "French", "Spanish", "Italian", "Portuguese", "Markdown", "JSON, indented"];
const CODE: [&str; 6] = ["English", "Python", "Rust", "TypeScript", "JavaScript", "Markdown"];

/// Prints the errors before and after calibration, for models that get texts of each class alone, of all, and of some.
fn calibrated(texts: &[Text]) -> Value {
    let mut classes: BTreeMap<&str, Vec<&Text>> = BTreeMap::new();
    for text in texts.iter().filter(|text| text.kind == "prompt") {
        classes.entry(&text.class).or_default().push(text);
    }
    classes.retain(|_, texts| texts.len() >= TEXTS_MIN);
    let of = |names: &[&str]| -> Vec<Vec<&Text>> {
        names
            .iter()
            .map(|name| classes.get(name).unwrap_or_else(|| panic!("no class {name}")).clone())
            .collect()
    };
    let mixes = [
        ("each class alone", classes.values().map(|texts| vec![texts.clone()]).collect::<Vec<_>>()),
        ("code and English", vec![of(&CODE)]),
        ("Western languages", vec![of(&WESTERN)]),
        ("all classes", vec![classes.values().cloned().collect()]),
    ];
    println!(
        "\ncalibration: mean absolute error of {} classes, before and after it was learned\n",
        classes.len()
    );
    print!("{:<22}", "what a model gets");
    let tokenizers: Vec<&String> = texts[0].tokens.keys().collect();
    tokenizers.iter().for_each(|name| print!("{name:>20}"));
    println!();
    let mut figures = BTreeMap::new();
    for (name, models) in mixes {
        print!("{name:<22}");
        for tokenizer in &tokenizers {
            let errors = models.iter().flat_map(|mix| learned(mix, tokenizer)).collect::<Vec<_>>();
            let before = mean(errors.iter().map(|(before, _)| *before));
            let after = mean(errors.iter().map(|(_, after)| *after));
            print!("{:>8.1} -> {:>4.1} %", before * 100.0, after * 100.0);
            figures.insert(format!("{name}: {tokenizer}"), json!({"before": before, "after": after}));
        }
        println!();
    }
    json!(figures)
}

/// The errors of a model's classes in the second half of their texts, before and after the first half was learned from,
/// a text of each class in turn.
fn learned(classes: &[Vec<&Text>], tokenizer: &str) -> Vec<(f64, f64)> {
    let mut calibration = Calibration::new(HashKey::new([7; 16]));
    let most = classes.iter().map(Vec::len).max().unwrap_or_default();
    let half = |texts: &Vec<&Text>| texts.len() / 2;
    for at in 0..most / 2 {
        for text in classes.iter().filter(|texts| at < half(texts)).map(|texts| texts[at]) {
            if let Some(seen) = Observation::of(&facts(&text.text), text.tokens[tokenizer] + TOKENS_AROUND) {
                calibration.learn("m", seen);
            }
        }
    }
    let error = |text: &Text, factor: &dyn Fn(u64) -> u64| {
        let all = factor(facts(&text.text).input_estimate.0).saturating_sub(TOKENS_AROUND);
        (all as f64 / text.tokens[tokenizer] as f64 - 1.0).abs()
    };
    let of_class = |texts: &Vec<&Text>| {
        let scored = &texts[half(texts)..];
        let before = mean(scored.iter().map(|text| error(text, &|estimate| estimate)));
        let after = mean(scored.iter().map(|text| error(text, &|estimate| calibration.apply("m", estimate))));
        (before, after)
    };
    classes.iter().map(of_class).collect()
}

/// Prints the texts of a kind by class; gives the figures, and the overall error with what the estimates were fitted to.
fn table(title: &str, texts: &[Text], kind: &str) -> (Value, f64) {
    let mut classes: BTreeMap<&str, Class> = BTreeMap::new();
    for text in texts.iter().filter(|text| text.kind == kind) {
        let estimate = estimate(&text.text) as f64;
        let class = classes.entry(&text.class).or_default();
        for (tokenizer, count) in &text.tokens {
            class.entry(tokenizer.clone()).or_default().0.push(estimate / *count as f64);
        }
    }
    let tokenizers: Vec<String> = classes.values().next().unwrap().keys().cloned().collect();
    println!("\n{title}: mean of estimate / true, and mean absolute error\n");
    print!("{:<22}{:>6}", "", "texts");
    tokenizers.iter().for_each(|name| print!("{name:>16}"));
    println!();
    for (name, class) in &classes {
        print!("{name:<22}{:>6}", class[&tokenizers[0]].0.len());
        for ratios in class.values() {
            print!("{:>8.2}{:>6.1} %", ratios.mean(), ratios.error() * 100.0);
        }
        println!();
    }
    print!("{:<28}", "all classes");
    let mut overall = BTreeMap::new();
    for tokenizer in &tokenizers {
        let error = mean(classes.values().map(|class| class[tokenizer].error()));
        print!("{:>14.1} %", error * 100.0);
        overall.insert(tokenizer.clone(), error);
    }
    println!();
    let by_class: BTreeMap<_, _> = classes
        .iter()
        .map(|(name, class)| {
            let figures: BTreeMap<_, _> = class
                .iter()
                .map(|(tokenizer, ratios)| {
                    (tokenizer, json!({"ratio": ratios.mean(), "error": ratios.error()}))
                })
                .collect();
            (name, figures)
        })
        .collect();
    let fitted = overall[FITTED_TO];
    (json!({"classes": by_class, "overall": overall}), fitted)
}
