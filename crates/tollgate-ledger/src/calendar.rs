//! Days and months in UTC: what usage is rolled up by and what the audit trail is cut into.
//!
//! Quotas may count in other zones; the books always count in UTC, so that a row's window follows from its time alone.

use jiff::{Timestamp, civil, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// Milliseconds in a day. UTC days have no exceptions in Unix time.
pub const DAY_MS: u64 = 86_400_000;

/// The kinds of window usage is rolled up by.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum WindowKind {
    /// A day, midnight to midnight UTC.
    Day,
    /// A calendar month in UTC.
    Month,
}

impl WindowKind {
    /// The name in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// First millisecond of the window that `at_ms` falls into.
    pub fn start_ms(self, at_ms: u64) -> u64 {
        match self {
            Self::Day => at_ms - at_ms % DAY_MS,
            Self::Month => Month::of(at_ms).start_ms(),
        }
    }
}

/// A calendar month in UTC, numbered `year * 12 + month - 1` so that arithmetic is addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(u32);

impl Month {
    /// The month that a moment falls into; times jiff can't hold (beyond the year 9999) fall into the last one.
    pub fn of(at_ms: u64) -> Self {
        let date = date_of(at_ms);
        let year = u32::try_from(date.year()).unwrap_or(0);
        Self(year * 12 + u32::from(date.month().unsigned_abs()) - 1)
    }

    /// From the form `202611`; `None` when there is no such month.
    pub fn from_yyyymm(yyyymm: u32) -> Option<Self> {
        let (year, month) = (yyyymm / 100, yyyymm % 100);
        ((1970..=9999).contains(&year) && (1..=12).contains(&month)).then(|| Self(year * 12 + month - 1))
    }

    /// The form `202611`.
    pub const fn yyyymm(self) -> u32 {
        self.0 / 12 * 100 + self.0 % 12 + 1
    }

    /// First millisecond of the month.
    pub fn start_ms(self) -> u64 {
        let year = i16::try_from(self.0 / 12).unwrap_or(i16::MAX);
        let month = i8::try_from(self.0 % 12 + 1).unwrap_or(1);
        civil::Date::new(year, month, 1).map_or(0, start_of)
    }

    /// The month after.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The month `count` months earlier.
    pub const fn back(self, count: u32) -> Self {
        Self(self.0.saturating_sub(count))
    }
}

/// The UTC date of a moment.
pub fn date_of(at_ms: u64) -> civil::Date {
    let moment = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    TimeZone::UTC.to_datetime(moment.unwrap_or(Timestamp::MAX)).date()
}

/// First millisecond of a date in UTC; 0 for dates before 1970.
pub fn start_of(date: civil::Date) -> u64 {
    date.to_zoned_datetime(TimeZone::UTC)
        .ok()
        .and_then(|zoned| u64::try_from(zoned.timestamp().as_millisecond()).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_millisecond_of_a_month_is_still_in_it() {
        let december = Month::from_yyyymm(202_612).unwrap();
        assert_eq!(december.start_ms(), 1_796_083_200_000);
        assert_eq!(Month::of(december.start_ms()), december);
        assert_eq!(Month::of(december.start_ms() - 1).yyyymm(), 202_611);
        assert_eq!(december.next().yyyymm(), 202_701);
        assert_eq!(december.back(13).yyyymm(), 202_511);
    }

    #[test]
    fn a_leap_day_belongs_to_february() {
        let day = start_of(civil::date(2028, 2, 29));
        assert_eq!(WindowKind::Day.start_ms(day + DAY_MS - 1), day);
        assert_eq!(Month::of(day).yyyymm(), 202_802);
        assert_eq!(WindowKind::Month.start_ms(day), start_of(civil::date(2028, 2, 1)));
    }

    #[test]
    fn a_time_beyond_the_calendar_has_a_month_all_the_same() {
        assert_eq!(Month::of(u64::MAX).yyyymm(), 999_912);
        assert_eq!(Month::of(0).yyyymm(), 197_001);
    }

    #[test]
    fn what_is_no_month_is_refused() {
        for wrong in [0, 13, 202_600, 202_613, 196_912, 1_000_001] {
            assert_eq!(Month::from_yyyymm(wrong), None, "{wrong}");
        }
    }
}
