//! A model server's own account of its load: ORCA reports in response headers.
//!
//! `endpoint-load-metrics` carries `JSON {...}`, `TEXT key=value, ...` or `BIN` and a base64 `OrcaLoadReport`
//! (xds.data.orca.v3, `orca_load_report.proto`); older servers send the latter alone in `endpoint-load-metrics-bin`.
//! vLLM and Triton send one when `endpoint-load-metrics-format` asks for it. A report is read as names and values:
//! fields by their names, entries of maps with the map's name and a dot before their own.

use serde_json::Value;

use crate::policy::config::protobuf::{Field, field};
use crate::traffic::Decoder;

/// The longest report that is read, in bytes. Envoy itself allows 60 KiB of headers.
pub const REPORT_BYTES_MAX: usize = 8192;

/// Most values of one report that are looked at.
pub const VALUES_MAX: usize = 128;

/// Where `take` gets every value of a report that is a finite number of at least 0. What can't be read is left out.
pub fn read(header: &str, mut take: impl FnMut(&str, f64)) {
    if header.len() > REPORT_BYTES_MAX {
        return;
    }
    let mut left = VALUES_MAX;
    let mut take = |name: &str, value: f64| {
        if left > 0 && value.is_finite() && value >= 0.0 {
            left -= 1;
            take(name, value);
        }
    };
    let header = header.trim();
    let after = |format: &str| {
        let (head, rest) = header.split_at_checked(format.len())?;
        head.eq_ignore_ascii_case(format).then_some(rest)
    };
    if header.starts_with('{') {
        json(header, &mut take);
    } else if let Some(report) = after("JSON ") {
        json(report, &mut take);
    } else if let Some(report) = after("BIN ") {
        binary(report, &mut take);
    } else {
        text(after("TEXT ").unwrap_or(header), &mut take);
    }
}

/// The same of `endpoint-load-metrics-bin`.
pub fn read_binary(header: &str, mut take: impl FnMut(&str, f64)) {
    if header.len() <= REPORT_BYTES_MAX {
        binary(header, &mut |name, value| {
            if value.is_finite() && value >= 0.0 {
                take(name, value);
            }
        });
    }
}

fn json(report: &str, take: &mut impl FnMut(&str, f64)) {
    let Ok(Value::Object(fields)) = serde_json::from_str(report) else { return };
    for (name, value) in &fields {
        match value {
            Value::Number(number) => take(name, number.as_f64().unwrap_or(f64::NAN)),
            Value::Object(map) => {
                for (key, value) in map {
                    take(&format!("{name}.{key}"), value.as_f64().unwrap_or(f64::NAN));
                }
            }
            _ => {}
        }
    }
}

/// `key=value` or, as Envoy's own parser has it, `key:value`.
fn text(report: &str, take: &mut impl FnMut(&str, f64)) {
    for pair in report.split(',') {
        let Some((name, value)) = pair.split_once('=').or_else(|| pair.split_once(':')) else { continue };
        take(name.trim(), value.trim().parse().unwrap_or(f64::NAN));
    }
}

fn binary(report: &str, take: &mut impl FnMut(&str, f64)) {
    let mut bytes = Vec::with_capacity(report.len());
    Decoder::default().feed(report.trim().as_bytes(), |piece| bytes.extend_from_slice(piece));
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let Some((number, value)) = field(&mut rest) else { return };
        match (number, value) {
            (1, Field::Fixed64(bits)) => take("cpu_utilization", f64::from_bits(bits)),
            (2, Field::Fixed64(bits)) => take("mem_utilization", f64::from_bits(bits)),
            (3, Field::Varint(rps)) => take("rps", rps as f64),
            (4, Field::Bytes(entry)) => entry_of("request_cost", entry, take),
            (5, Field::Bytes(entry)) => entry_of("utilization", entry, take),
            (6, Field::Fixed64(bits)) => take("rps_fractional", f64::from_bits(bits)),
            (7, Field::Fixed64(bits)) => take("eps", f64::from_bits(bits)),
            (8, Field::Bytes(entry)) => entry_of("named_metrics", entry, take),
            (9, Field::Fixed64(bits)) => take("application_utilization", f64::from_bits(bits)),
            _ => {}
        }
    }
}

fn entry_of(map: &str, mut entry: &[u8], take: &mut impl FnMut(&str, f64)) {
    let (mut key, mut value) = ("", 0.0);
    while !entry.is_empty() {
        match field(&mut entry) {
            Some((1, Field::Bytes(text))) => key = core::str::from_utf8(text).unwrap_or_default(),
            Some((2, Field::Fixed64(bits))) => value = f64::from_bits(bits),
            _ => return,
        }
    }
    take(&format!("{map}.{key}"), value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(header: &str) -> Vec<(String, f64)> {
        let mut all = Vec::new();
        read(header, |name, value| all.push((name.to_owned(), value)));
        all
    }

    fn expected() -> Vec<(String, f64)> {
        vec![("cpu_utilization".into(), 0.5), ("named_metrics.kv_cache_usage_perc".into(), 0.25)]
    }

    /// `cpu_utilization: 0.5, named_metrics: {"kv_cache_usage_perc": 0.25}`
    const BINARY: &str = "CQAAAAAAAOA/Qh4KE2t2X2NhY2hlX3VzYWdlX3BlcmMRAAAAAAAA0D8=";

    #[test]
    fn all_three_forms_say_the_same() {
        let json = r#"JSON {"cpu_utilization": 0.5, "named_metrics": {"kv_cache_usage_perc": 0.25}}"#;
        assert_eq!(all(json), expected());
        assert_eq!(all("TEXT cpu_utilization=0.5, named_metrics.kv_cache_usage_perc=0.25"), expected());
        assert_eq!(all("cpu_utilization:0.5,named_metrics.kv_cache_usage_perc:0.25"), expected());
        assert_eq!(all(&format!("BIN {BINARY}")), expected());
        let mut alone = Vec::new();
        read_binary(BINARY, |name, value| alone.push((name.to_owned(), value)));
        assert_eq!(alone, expected());
    }

    #[test]
    fn what_is_no_number_is_left_out() {
        assert_eq!(
            all("TEXT cpu_utilization=NaN, mem_utilization=inf, eps=-1, rps_fractional=2, x"),
            [("rps_fractional".to_owned(), 2.0)]
        );
        assert_eq!(
            all(r#"JSON {"cpu_utilization": "high", "eps": null, "rps": 3}"#),
            [("rps".to_owned(), 3.0)]
        );
        assert_eq!(all("JSON {"), []);
        assert_eq!(all("BIN ////"), []);
    }

    #[test]
    fn a_report_is_read_up_to_its_bounds() {
        let of = |count: usize| all(&vec!["a=1"; count].join(",")).len();
        assert_eq!((of(VALUES_MAX), of(VALUES_MAX + 1)), (VALUES_MAX, VALUES_MAX));
        let long = |bytes: usize| all(&format!("a=1,{}", "x".repeat(bytes - 4))).len();
        assert_eq!((long(REPORT_BYTES_MAX), long(REPORT_BYTES_MAX + 1)), (1, 0));
    }

    proptest! {
        #[test]
        fn any_header_is_read_without_harm(header in "(JSON |TEXT |BIN )?.{0,120}") {
            prop_assert!(all(&header).len() <= VALUES_MAX);
        }

        #[test]
        fn any_bytes_are_read_without_harm(cut in 0usize..56, flip in 0usize..56, to in any::<u8>()) {
            let mut bytes = BINARY.as_bytes().to_vec();
            bytes[flip % BINARY.len()] = to & 0x7f;
            bytes.truncate(cut);
            let header = format!("BIN {}", String::from_utf8(bytes).unwrap());
            prop_assert!(all(&header).len() <= VALUES_MAX);
        }
    }
}
