//! The plugin configuration as Envoy hands it over: a protobuf `Struct` in its wire format, or a JSON text.
//!
//! `google.protobuf.Struct` has one field (1: map<string, Value>); `Value` is null (1), number (2), string (3),
//! bool (4), struct (5) or list (6): protobuf's `struct.proto`. A dozen lines read it; a protobuf crate in the module
//! would be larger than the limiter.

use serde_json::{Map, Number, Value};

use crate::ConfigError;
use crate::protobuf::{Field, field};

/// Deepest nesting of a configuration. The schema needs eight.
const DEPTH_MAX: u8 = 32;

/// Reads a configuration that is either JSON or a protobuf `Struct`.
///
/// # Errors
/// When it is neither; the JSON error is told if it looks like JSON.
pub fn read_configuration(bytes: &[u8]) -> Result<Value, ConfigError> {
    let text = bytes.trim_ascii_start();
    let json = serde_json::from_slice::<Value>(bytes);
    match json {
        Ok(value) => Ok(value),
        Err(_) if bytes.is_empty() => Ok(Value::Object(Map::new())),
        Err(error) => match structure(bytes, 0) {
            Some(map) => Ok(Value::Object(map)),
            None if text.first() == Some(&b'{') => Err(ConfigError::new(".", format!("not JSON: {error}"))),
            None => Err(ConfigError::new(".", "neither JSON nor a protobuf Struct")),
        },
    }
}

fn structure(mut bytes: &[u8], depth: u8) -> Option<Map<String, Value>> {
    let mut map = Map::new();
    while !bytes.is_empty() {
        let (1, Field::Bytes(mut entry)) = field(&mut bytes)? else {
            return None;
        };
        let (mut key, mut value) = (String::new(), Value::Null);
        while !entry.is_empty() {
            match field(&mut entry)? {
                (1, Field::Bytes(text)) => key = core::str::from_utf8(text).ok()?.into(),
                (2, Field::Bytes(inner)) => value = value_of(inner, depth)?,
                _ => return None,
            }
        }
        map.insert(key, value);
    }
    Some(map)
}

fn value_of(mut bytes: &[u8], depth: u8) -> Option<Value> {
    if depth >= DEPTH_MAX {
        return None;
    }
    let mut value = Value::Null;
    while !bytes.is_empty() {
        value = match field(&mut bytes)? {
            (1, Field::Varint(_)) => Value::Null,
            (2, Field::Fixed64(bits)) => number(f64::from_bits(bits))?,
            (3, Field::Bytes(text)) => Value::String(core::str::from_utf8(text).ok()?.into()),
            (4, Field::Varint(flag)) => Value::Bool(flag != 0),
            (5, Field::Bytes(inner)) => Value::Object(structure(inner, depth + 1)?),
            (6, Field::Bytes(inner)) => Value::Array(list(inner, depth + 1)?),
            _ => return None,
        };
    }
    Some(value)
}

fn list(mut bytes: &[u8], depth: u8) -> Option<Vec<Value>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (1, Field::Bytes(inner)) = field(&mut bytes)? else {
            return None;
        };
        all.push(value_of(inner, depth)?);
    }
    Some(all)
}

/// A `Struct` has floats only; a whole one is what was written as an integer.
fn number(value: f64) -> Option<Value> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT_MAX {
        return Some(Value::Number(Number::from(value as i64)));
    }
    Number::from_f64(value).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn put_varint(mut value: u64, out: &mut Vec<u8>) {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    fn put_bytes(field: u64, bytes: &[u8], out: &mut Vec<u8>) {
        put_varint(field << 3 | 2, out);
        put_varint(bytes.len() as u64, out);
        out.extend_from_slice(bytes);
    }

    fn encode_struct(map: &Map<String, Value>) -> Vec<u8> {
        let mut out = Vec::new();
        for (key, value) in map {
            let mut entry = Vec::new();
            put_bytes(1, key.as_bytes(), &mut entry);
            put_bytes(2, &encode(value), &mut entry);
            put_bytes(1, &entry, &mut out);
        }
        out
    }

    fn encode(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        match value {
            Value::Null => out.extend([1 << 3, 0]),
            Value::Number(number) => {
                out.push(2 << 3 | 1);
                out.extend(number.as_f64().unwrap().to_le_bytes());
            }
            Value::String(text) => put_bytes(3, text.as_bytes(), &mut out),
            Value::Bool(flag) => out.extend([4 << 3, u8::from(*flag)]),
            Value::Object(map) => put_bytes(5, &encode_struct(map), &mut out),
            Value::Array(all) => {
                let mut inner = Vec::new();
                all.iter().for_each(|value| put_bytes(1, &encode(value), &mut inner));
                put_bytes(6, &inner, &mut out);
            }
        }
        out
    }

    #[test]
    fn a_struct_reads_like_the_yaml_it_was() {
        let value = json!({"name": "x", "limits": [{"amount": 0.25, "per": "day"}, 3, true, null, "t"], "deep": {"a": {"b": -1}}});
        let bytes = encode_struct(value.as_object().unwrap());
        assert_eq!(read_configuration(&bytes).unwrap(), value);
    }

    #[test]
    fn json_is_read_too_and_an_empty_configuration_is_an_empty_object() {
        assert_eq!(read_configuration(b"\n {\"name\": \"x\"}").unwrap(), json!({"name": "x"}));
        assert_eq!(read_configuration(b"").unwrap(), json!({}));
        let error = read_configuration(b"{\"name\": ").unwrap_err();
        assert!(error.to_string().starts_with(".: not JSON: EOF"), "{error}");
        assert!(read_configuration(b"\x07\x07").is_err());
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i32>().prop_map(|number| json!(number)),
            any::<f64>()
                .prop_filter("finite, with a fraction", |x| x.is_finite() && x.fract() != 0.0)
                .prop_map(|x| json!(x)),
            ".*".prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                prop::collection::btree_map(".*", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_struct_survives(map in prop::collection::btree_map("[a-z]+", any_value(), 0..5)) {
            let map: Map<String, Value> = map.into_iter().collect();
            prop_assert_eq!(structure(&encode_struct(&map), 0), Some(map));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_configuration(&bytes);
        }
    }
}
