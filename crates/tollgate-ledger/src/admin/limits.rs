//! Limits of one consumer that are others for some time: so many percent of what the configuration says.

use serde::{Deserialize, Serialize};
use tollgate_wire::{LIMITS_FOR_NOW_MAX, LimitForNow, PERCENT_MAX};

use super::Refused;

/// Longest name of a limit in bytes, as the configuration has it.
const LIMIT_NAME_BYTES_MAX: usize = 64;

/// A limit that is another for some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LimitOverride {
    /// The limit's name in the configuration.
    pub limit: String,
    /// How much of it there is, in percent, 1 to 100,000: 200 is twice as much.
    pub percent: u32,
    /// When it is over, milliseconds since the epoch.
    pub until_ms: u64,
}

impl LimitOverride {
    /// True while it lasts.
    pub const fn lasts_at(&self, now_ms: u64) -> bool {
        now_ms < self.until_ms
    }

    fn check(&self) -> Result<(), Refused> {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let length = self.limit.len();
        if length == 0 || length > LIMIT_NAME_BYTES_MAX || !self.limit.bytes().all(fine) {
            let text =
                format!("is the name of a limit: 1 to {LIMIT_NAME_BYTES_MAX} of a-z, A-Z, 0-9, - and _");
            return Err(Refused::new("limit", text));
        }
        if self.percent == 0 || self.percent > PERCENT_MAX {
            return Err(Refused::new("percent", format!("is from 1 to {PERCENT_MAX}")));
        }
        Ok(())
    }
}

/// Adds one, in place of an earlier one of the same limit; what is over at `now_ms` goes.
///
/// # Errors
/// A limit that can't be, a percentage that can't be, and more than [`LIMITS_FOR_NOW_MAX`] limits.
pub(super) fn with(
    all: &[LimitOverride],
    added: LimitOverride,
    now_ms: u64,
) -> Result<Vec<LimitOverride>, Refused> {
    added.check()?;
    let mut next: Vec<_> = without(all, &added.limit, now_ms);
    if next.len() >= LIMITS_FOR_NOW_MAX {
        let text =
            format!("would be one more than the {LIMITS_FOR_NOW_MAX} that can be overridden at a time");
        return Err(Refused::new("limit", text));
    }
    next.push(added);
    next.sort_by(|a, b| a.limit.cmp(&b.limit));
    Ok(next)
}

/// Ends the one of a limit, if there is one; what is over at `now_ms` goes.
pub(super) fn without(all: &[LimitOverride], limit: &str, now_ms: u64) -> Vec<LimitOverride> {
    all.iter().filter(|one| one.limit != limit && one.lasts_at(now_ms)).cloned().collect()
}

/// As filters are told.
pub(super) fn told(all: &[LimitOverride]) -> Vec<LimitForNow> {
    all.iter()
        .map(|one| LimitForNow { limit: one.limit.clone(), percent: one.percent, until_ms: one.until_ms })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(limit: &str, percent: u32, until_ms: u64) -> LimitOverride {
        LimitOverride { limit: limit.into(), percent, until_ms }
    }

    #[test]
    fn a_later_one_of_the_same_limit_takes_its_place_and_what_is_over_goes() {
        let all = with(&[], one("rpm", 200, 50), 0).unwrap();
        let all = with(&all, one("day", 150, 10), 0).unwrap();
        let all = with(&all, one("rpm", 300, 60), 0).unwrap();
        assert_eq!(all, [one("day", 150, 10), one("rpm", 300, 60)]);
        assert_eq!(with(&all, one("tpm", 50, 90), 10).unwrap(), [one("rpm", 300, 60), one("tpm", 50, 90)]);
        assert_eq!(without(&all, "rpm", 0), [one("day", 150, 10)]);
        assert_eq!(without(&all, "none", 60), []);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_field() {
        let refused = |limit: &str, percent| with(&[], one(limit, percent, 9), 0).unwrap_err().field;
        let long = "x".repeat(LIMIT_NAME_BYTES_MAX);
        assert!(with(&[], one(&long, PERCENT_MAX, 9), 0).is_ok());
        for name in ["", "a b", "a\0", "ä", &format!("{long}x")] {
            assert_eq!(refused(name, 100), "limit", "{name}");
        }
        for percent in [0, PERCENT_MAX + 1] {
            assert_eq!(refused("rpm", percent), "percent");
        }
    }

    #[test]
    fn no_more_limits_are_overridden_than_fit_in_what_filters_are_told() {
        let mut all = Vec::new();
        for number in 0..LIMITS_FOR_NOW_MAX {
            all = with(&all, one(&format!("l{number}"), 200, 9), 0).unwrap();
        }
        assert_eq!(with(&all, one("one-more", 200, 9), 0).unwrap_err().field, "limit");
        assert!(with(&all, one("l0", 300, 9), 0).is_ok());
        assert!(with(&all, one("one-more", 200, 19), 9).is_ok());
    }
}
