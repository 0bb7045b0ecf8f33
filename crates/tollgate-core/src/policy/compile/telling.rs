//! What clients are told: thresholds that are percentages, sentences that fit a header.

use super::super::config::{Messages, Warnings};
use super::{Outcome, refuse};

/// The sentences of all limits that warn stand in one response header, and Envoy allows 60 KiB of headers by default.
const MESSAGE_BYTES_MAX: usize = 512;

pub(super) fn thresholds(raw: &Warnings) -> Outcome<Vec<u8>> {
    let mut all = raw.thresholds.clone();
    if all.len() > 8 {
        return refuse("warnings.thresholds", "more than 8");
    }
    if let Some(index) = all.iter().position(|percent| !(1..=100).contains(percent)) {
        return refuse(format!("warnings.thresholds[{index}]"), "not from 1 to 100");
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

pub(super) fn messages(raw: Messages) -> Outcome<Messages> {
    for (field, text) in raw.all() {
        let path = || format!("messages.{field}");
        if text.is_empty() || text.len() > MESSAGE_BYTES_MAX {
            return refuse(path(), format!("not from 1 to {MESSAGE_BYTES_MAX} bytes long"));
        }
        if text.chars().any(char::is_control) {
            return refuse(path(), "has a control character");
        }
    }
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Messages, String> {
        messages(Messages { busy: text.into(), ..Messages::default() }).map_err(|error| error.to_string())
    }

    #[test]
    fn a_sentence_fits_a_header() {
        assert_eq!(read(&"x".repeat(MESSAGE_BYTES_MAX)).unwrap().busy.len(), MESSAGE_BYTES_MAX);
        let long = read(&"x".repeat(MESSAGE_BYTES_MAX + 1)).unwrap_err();
        assert_eq!(long, "messages.busy: not from 1 to 512 bytes long");
        assert_eq!(read("").unwrap_err(), long);
        assert_eq!(read("one\ntwo").unwrap_err(), "messages.busy: has a control character");
        assert!(read("Zu viele Anfragen für diesen Tarif.").is_ok());
    }
}
