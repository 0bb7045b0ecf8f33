//! What asks of leases and of shares have in common: how many there are, who asks, and the name of what is asked for. Problems
//! are in words that go behind the field's name.

use std::collections::BTreeMap;

use super::{IDENTITY_BYTES_MAX, NAME_BYTES_MAX};

/// Attributes in a key: more than there are dimensions.
pub(super) const KEY_PARTS_MAX: usize = 16;

/// Checks each of at most so many.
pub(super) fn each<T>(
    asks: &[T],
    most: usize,
    check: impl Fn(&T) -> Result<(), String>,
) -> Result<(), String> {
    if asks.len() > most {
        return Err(format!("is at most {most}"));
    }
    for (index, ask) in asks.iter().enumerate() {
        check(ask).map_err(|problem| format!("[{index}]{problem}"))?;
    }
    Ok(())
}

/// Checks the identity that stands in this field.
pub(super) fn identity(field: &str, id: &str) -> Result<(), String> {
    if id.is_empty() || id.len() > IDENTITY_BYTES_MAX || id.contains('\0') {
        return Err(format!(".{field} is 1 to {IDENTITY_BYTES_MAX} bytes without NUL"));
    }
    Ok(())
}

/// Checks the name that stands in this field: of a limit, its policy, what it counts, and its key.
pub(super) fn name(
    field: &str,
    (limit, policy, meter): (&str, &str, &str),
    key: &BTreeMap<String, String>,
) -> Result<(), String> {
    if key.len() > KEY_PARTS_MAX {
        return Err(format!(".{field}.key has at most {KEY_PARTS_MAX} parts"));
    }
    if limit.is_empty() || meter.is_empty() {
        return Err(format!(".{field} has a limit and a meter"));
    }
    let parts = key.iter().flat_map(|(attribute, value)| [attribute.as_str(), value]);
    let mut texts = [limit, policy, meter].into_iter().chain(parts);
    if texts.any(|text| text.len() > NAME_BYTES_MAX || text.contains('\0')) {
        return Err(format!(".{field} has names of at most {NAME_BYTES_MAX} bytes without NUL"));
    }
    Ok(())
}
