//! A load report of any bytes yields numbers that can be reckoned with, and JSON those that serde_json reads.

use serde_json::Value;
use tollgate_core::load::{Load, REPORT_BYTES_MAX, VALUES_MAX, read, read_binary};

fn values(read: impl FnOnce(&mut dyn FnMut(&str, f64))) -> Vec<(String, f64)> {
    let mut values = Vec::new();
    read(&mut |name, value| values.push((name.to_owned(), value)));
    assert!(values.iter().all(|(_, value)| value.is_finite() && *value >= 0.0));
    values
}

pub fn check(bytes: &[u8]) {
    let header = String::from_utf8_lossy(bytes);
    let all = values(|take| read(&header, take));
    assert!(all.len() <= VALUES_MAX);
    let binary = values(|take| read_binary(&header, take));
    assert!(header.len() <= REPORT_BYTES_MAX || (all.is_empty() && binary.is_empty()));
    let mut load = Load::default();
    for (_, value) in all.iter().chain(&binary) {
        load.reported(*value, 1);
    }
    // Ten times full load is the most that counts.
    assert!(load.utilisation(1).is_none_or(|load| load <= 10_000));
    let alone = values(|take| read(&format!("BIN {}", header.trim()), take));
    if header.len() + 4 <= REPORT_BYTES_MAX && binary.len() <= VALUES_MAX {
        assert_eq!(alone, binary, "both headers carry the same");
    }
    let text = header.trim();
    if text.starts_with('{')
        && let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(text)
        && header.len() <= REPORT_BYTES_MAX
    {
        let plain = |value: &Value| value.as_f64().filter(|number| *number >= 0.0);
        let known = fields.iter().filter_map(|(name, value)| Some((name, plain(value)?)));
        for (name, number) in known.take(VALUES_MAX) {
            let found = all.iter().any(|(other, value)| other == name && *value == number);
            assert!(found || all.len() == VALUES_MAX, "{name} was not read");
        }
    }
}
