//! What clients are told: thresholds that are percentages, sentences that fit a header.

use super::super::config::{Messages, Warnings};
use super::{Outcome, refuse};

/// The sentences of all limits that warn stand in one response header, and Envoy allows 60 KiB of headers by default.
const MESSAGE_BYTES_MAX: usize = 512;

const PATH_BYTES_MAX: usize = 256;

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

pub(super) fn self_path(raw: Option<String>) -> Outcome<Option<String>> {
    let fine = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#');
    match &raw {
        Some(path) if !path.starts_with('/') || path.len() > PATH_BYTES_MAX || !path.bytes().all(fine) => {
            let problem =
                format!("`{path}` is not a path: / and up to {PATH_BYTES_MAX} bytes, without ? and #");
            refuse("self_path", problem)
        }
        _ => Ok(raw),
    }
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
    fn an_own_path_is_one_that_a_request_can_have() {
        let path = |text: &str| self_path(Some(text.into())).map_err(|error| error.to_string());
        assert_eq!(path("/tollgate/self").unwrap().as_deref(), Some("/tollgate/self"));
        assert_eq!(self_path(None).unwrap(), None);
        let long = format!("/{}", "x".repeat(PATH_BYTES_MAX));
        for wrong in ["", "self", "/a?b", "/a#b", "/a b", "/ä", &long] {
            assert!(path(wrong).unwrap_err().starts_with("self_path: "), "{wrong}");
        }
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
