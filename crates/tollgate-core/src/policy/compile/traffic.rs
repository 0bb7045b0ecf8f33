//! How requests and answers are read.

use super::super::config::Traffic;
use super::{Outcome, refuse};

/// Smaller ones are no conversations; what is larger would fill the memory of a VM, which has 4 GiB.
const BODY_BYTES: core::ops::RangeInclusive<u64> = 1024..=256 << 20;

pub(super) fn traffic(raw: Traffic) -> Outcome<Traffic> {
    if !BODY_BYTES.contains(&raw.body_bytes_max) {
        let (least, most) = (BODY_BYTES.start(), BODY_BYTES.end());
        return refuse("traffic.body_bytes_max", format!("not from {least} to {most}"));
    }
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_body_is_within_bounds() {
        let with = |body_bytes_max| traffic(Traffic { body_bytes_max, ..Traffic::default() });
        for fine in [1024, 8 << 20, 256 << 20] {
            assert!(with(fine).is_ok(), "{fine}");
        }
        for wrong in [0, 1023, (256 << 20) + 1] {
            assert_eq!(with(wrong).unwrap_err().path, "traffic.body_bytes_max", "{wrong}");
        }
    }
}
