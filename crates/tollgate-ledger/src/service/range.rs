//! Spans of days, as people write them: `from` and `to` are dates in UTC, both included.

use jiff::{Timestamp, civil};

use super::problem::Problem;
use crate::calendar::{self, DAY_MS};

/// The first millisecond of a day or of a moment.
pub(super) fn from_ms(text: Option<&str>) -> Result<Option<u64>, Problem> {
    text.map(|text| moment("from", text).map(|(ms, _)| ms)).transpose()
}

/// The first millisecond behind a day, or a moment itself.
pub(super) fn before_ms(text: Option<&str>) -> Result<Option<u64>, Problem> {
    let end = |(ms, is_day): (u64, bool)| if is_day { ms.saturating_add(DAY_MS) } else { ms };
    text.map(|text| moment("to", text).map(end)).transpose()
}

/// A date, or a moment in RFC 3339; true for a date.
fn moment(name: &str, text: &str) -> Result<(u64, bool), Problem> {
    if let Ok(date) = text.parse::<civil::Date>()
        && text.len() == "2026-01-01".len()
    {
        return Ok((calendar::start_of(date), true));
    }
    let moment = text.parse::<Timestamp>().ok().and_then(|at| u64::try_from(at.as_millisecond()).ok());
    moment.map(|ms| (ms, false)).ok_or_else(|| {
        Problem::bad_request(format!("{name} is a date as 2026-11-23 or a moment as 2026-11-23T15:00:00Z"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_includes_its_last_millisecond() {
        let (from, before) = (from_ms(Some("2026-12-01")).unwrap(), before_ms(Some("2026-12-01")).unwrap());
        assert_eq!(from, Some(1_796_083_200_000));
        assert_eq!(before, Some(1_796_083_200_000 + DAY_MS));
    }

    #[test]
    fn a_moment_is_taken_as_it_is() {
        assert_eq!(before_ms(Some("2026-12-01T00:00:00.001Z")).unwrap(), Some(1_796_083_200_001));
    }

    #[test]
    fn anything_else_is_refused() {
        for wrong in ["", "yesterday", "2026-13-01", "2026-12-01T00:00:00", "1969-12-31T00:00:00Z"] {
            assert!(from_ms(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
