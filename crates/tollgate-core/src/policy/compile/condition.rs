//! Conditions: dimensions with patterns that can match.

use std::collections::BTreeMap;

use super::super::attributes::{Condition, Pattern};
use super::super::config::Dimension;
use super::{Outcome, refuse};

/// Compiles `when`; `path` is that of the object it is in.
pub(super) fn conditions(raw: &BTreeMap<Dimension, Vec<String>>, path: &str) -> Outcome<Vec<Condition>> {
    let mut when = Vec::new();
    for (dimension, values) in raw {
        let path = format!("{path}.when.{}", dimension.name());
        if values.is_empty() {
            return refuse(path, "no value: it would never apply");
        }
        let mut condition = Condition { dimension: *dimension, any: Vec::new(), none: Vec::new() };
        for value in values {
            let (list, text) = match value.strip_prefix('!') {
                Some(text) => (&mut condition.none, text),
                None => (&mut condition.any, value.as_str()),
            };
            match Pattern::parse(text) {
                Some(pattern) => list.push(pattern),
                None => return refuse(path, "a star may only stand at the end"),
            }
        }
        when.push(condition);
    }
    Ok(when)
}
