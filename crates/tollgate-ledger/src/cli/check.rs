//! `tollgate check`: says before a deployment what the filter would say at its start, with the same code.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tollgate_core::policy::{Policy, config::ConfigError};

use super::{Answer, Ended, filters};

/// Largest file in bytes. An Envoy configuration with hundreds of listeners is below it.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

pub(super) fn check(files: &[PathBuf], out: &mut dyn Write) -> Answer {
    let mut worst = Ended::Well;
    for file in files {
        let ended = match read(file) {
            Ok(document) => report(file, &document, out)?,
            Err(why) => {
                eprintln!("tollgate: {}: {why}", file.display());
                Ended::Failed
            }
        };
        worst = match (worst, ended) {
            (Ended::Failed, _) | (_, Ended::Failed) => Ended::Failed,
            (Ended::Found, _) | (_, Ended::Found) => Ended::Found,
            _ => Ended::Well,
        };
    }
    Ok(worst)
}

fn read(file: &Path) -> Result<Value, String> {
    let size = std::fs::metadata(file).map_err(|why| why.to_string())?.len();
    if size > FILE_BYTES_MAX {
        return Err(format!("is larger than {FILE_BYTES_MAX} bytes"));
    }
    let text = std::fs::read_to_string(file).map_err(|why| why.to_string())?;
    parse(&text)
}

/// JSON is tried first: its errors are plainer, and its numbers need no guessing.
fn parse(text: &str) -> Result<Value, String> {
    if text.trim_start().starts_with('{')
        && let Ok(value) = serde_json::from_str(text)
    {
        return Ok(value);
    }
    serde_saphyr::from_str(text).map_err(|why| format!("is neither YAML nor JSON: {why}"))
}

/// The configurations of the filters in a file, each of which must be valid.
pub(super) fn policies(file: &Path) -> Result<Vec<Value>, String> {
    let name = file.display();
    let document = read(file).map_err(|why| format!("{name}: {why}"))?;
    let found = match filters::is_envoy(&document) {
        true => filters::find(&document).into_iter().map(|filter| filter.configuration).collect(),
        false => Ok(vec![document]),
    };
    let found = found.map_err(|why| format!("{name}: {why}"))?;
    for configuration in &found {
        compile(configuration.clone()).map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(found)
}

fn report(file: &Path, document: &Value, out: &mut dyn Write) -> std::io::Result<Ended> {
    let name = file.display();
    if !filters::is_envoy(document) {
        return match compile(document.clone()) {
            Ok(()) => writeln!(out, "{name}: ok").map(|()| Ended::Well),
            Err(why) => writeln!(out, "{name}: {why}").map(|()| Ended::Found),
        };
    }
    let found = filters::find(document);
    if found.is_empty() {
        eprintln!("tollgate: {name}: no Tollgate filter in it");
        return Ok(Ended::Failed);
    }
    let mut ended = Ended::Well;
    for filter in found {
        if let Err(why) = filter.configuration.and_then(compile) {
            writeln!(out, "{name}: {}: {why}", filter.path)?;
            ended = Ended::Found;
        }
    }
    if ended == Ended::Well {
        writeln!(out, "{name}: ok")?;
    }
    Ok(ended)
}

fn compile(configuration: Value) -> Result<(), ConfigError> {
    Policy::from_json(configuration).map(|_| ())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_survive_yaml() {
        let text = "{a: 9007199254740993, b: 0.1, c: -3, d: 18446744073709551615, e: 1.5e3, f: 0.25, g: '7', h: 1.0}";
        let expected = json!({
            "a": 9_007_199_254_740_993_u64, "b": 0.1, "c": -3, "d": u64::MAX, "e": 1500.0, "f": 0.25, "g": "7", "h": 1.0
        });
        assert_eq!(parse(text).unwrap(), expected);
        assert_eq!(parse(&expected.to_string()).unwrap(), expected);
    }

    #[test]
    fn words_that_yaml_could_take_for_something_else_stay_words() {
        let text = "{a: free, b: gpt-5.4, c: 2026-11-23, d: 1.2.3, e: no, f: null, g: ~, h: true}";
        let value = parse(text).unwrap();
        assert_eq!(value["b"], json!("gpt-5.4"));
        assert_eq!(value["c"], json!("2026-11-23"));
        assert_eq!(value["d"], json!("1.2.3"));
        assert_eq!(value["f"], Value::Null);
        assert_eq!(value["h"], json!(true));
    }

    #[test]
    fn a_key_given_twice_is_refused() {
        assert!(parse("a: 1\na: 2\n").is_err());
    }
}
