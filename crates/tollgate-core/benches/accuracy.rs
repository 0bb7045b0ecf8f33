//! How far estimates of input are off, by the kind of text: `make accuracy`, which makes the corpus first.
//!
//! Each text is put into a chat and estimated as a request is. What real tokenizers make of it stands in the corpus. The
//! error of a class is the mean of its texts' absolute errors; the overall one is the mean of the classes'. Estimates are
//! fitted to one vocabulary; what is off for others the limiter learns per model from the usage that providers report.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_core::traffic::{Dialect, inspect_request};

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
    let (prompts, worst) = table("prompts of 4,000 characters, read whole", &texts, "prompt");
    let (long, _) = table("prompts of 100,000 characters and more, read in samples", &texts, "long");
    let path = target.join("bench/estimates.json");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let figures = json!({"prompts": prompts, "long": long});
    std::fs::write(&path, serde_json::to_string_pretty(&figures).unwrap()).unwrap();
    println!("written to {}", path.display());
    if worst > ERROR_MAX {
        println!("accuracy: {:.1} % is more than {:.0} %", worst * 100.0, ERROR_MAX * 100.0);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn estimate(text: &str) -> u64 {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": text}]}).to_string();
    inspect_request(Dialect::OpenAiChat, body.as_bytes()).input_estimate.0.saturating_sub(TOKENS_AROUND)
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
