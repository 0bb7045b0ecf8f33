//! Calendar windows: an hour, a day, a week, a month or so many days in a named time zone, from a reset time to the next.

use core::cell::Cell;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// A span of wall-clock seconds since the epoch, `start_s <= t < end_s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Window {
    /// First second inside.
    pub start_s: u32,
    /// First second behind.
    pub end_s: u32,
}

impl Window {
    /// True when the second lies inside.
    pub const fn contains(&self, wall_s: u32) -> bool {
        self.start_s <= wall_s && wall_s < self.end_s
    }
}

/// The calendar unit a quota is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// One hour on the zone's clock, from the reset time's minute.
    Hour,
    /// One calendar day.
    Day,
    /// One week from Monday.
    Week,
    /// One calendar month.
    Month,
    /// So many days, counted from a date on.
    Days {
        /// How many; 0 counts as 1.
        count: u16,
        /// The first day of one of the windows.
        from: Date,
    },
}

/// A calendar: period, zone and reset time. Remembers the window it computed last, because a time zone look-up costs
/// more than the rest of a decision.
#[derive(Debug)]
pub struct Calendar {
    period: Period,
    zone: TimeZone,
    reset_at: Time,
    last: Cell<Window>,
}

impl Calendar {
    /// A calendar whose windows begin at `reset_at`, local time of `zone`. On a day whose clocks skip that time the
    /// window begins as much later as they skip; where it comes twice, at the first of both.
    pub fn new(period: Period, zone: TimeZone, reset_at: Time) -> Self {
        Self { period, zone, reset_at, last: Cell::new(Window::default()) }
    }

    /// The calendar's period.
    pub const fn period(&self) -> Period {
        self.period
    }

    /// The window that holds this second.
    pub fn window_at(&self, wall_s: u32) -> Window {
        let last = self.last.get();
        if last.contains(wall_s) {
            return last;
        }
        let window = self.compute(wall_s);
        self.last.set(window);
        window
    }

    fn compute(&self, wall_s: u32) -> Window {
        let Ok(now) = Timestamp::from_second(i64::from(wall_s)) else {
            return fallback(wall_s);
        };
        let Some(this) = self.first_day(self.zone.to_datetime(now).date()) else {
            return self.hour(now);
        };
        let start = self.begins(this);
        let (from, to) = if start.is_some_and(|start| start <= wall_s) {
            (start, self.begins(self.shift(this, 1)))
        } else {
            (self.begins(self.shift(this, -1)), start)
        };
        match (from, to) {
            (Some(start_s), Some(end_s)) if start_s < end_s => Window { start_s, end_s },
            _ => fallback(wall_s),
        }
    }

    /// The first day of the window that this day is in; None for hours.
    fn first_day(&self, today: Date) -> Option<Date> {
        Some(match self.period {
            Period::Hour => return None,
            Period::Day => today,
            Period::Week => today.saturating_sub(i64::from(today.weekday().to_monday_zero_offset()).days()),
            Period::Month => today.first_of_month(),
            Period::Days { count, from } => {
                let since = i64::from(from.until(today).map_or(0, |span| span.get_days()));
                today.saturating_sub(since.rem_euclid(i64::from(count.max(1))).days())
            }
        })
    }

    fn shift(&self, date: Date, by: i32) -> Date {
        let span = match self.period {
            Period::Hour | Period::Day => by.days(),
            Period::Week => by.weeks(),
            Period::Month => by.months(),
            Period::Days { count, .. } => (by * i32::from(count.max(1))).days(),
        };
        date.saturating_add(span)
    }

    /// Hours are counted in seconds, because every one has 3,600 of them, however the clocks change; only where they
    /// change by a part of an hour does one end, and the next begin, with the change.
    fn hour(&self, now: Timestamp) -> Window {
        let minute = i64::from(self.reset_at.minute()) * 60;
        let phase =
            |at: Timestamp| (i64::from(self.zone.to_offset(at).seconds()) - minute).rem_euclid(HOUR_S);
        let second = now.as_second();
        let here = phase(now);
        let mut start = second - (second + here).rem_euclid(HOUR_S);
        let mut end = start + HOUR_S;
        let changed = |change: &Timestamp| phase(*change) != here;
        let last = self.zone.preceding(now + 1.second()).next().map(|change| change.timestamp());
        if let Some(change) = last.filter(|change| changed(&(*change - 1.second()))) {
            start = start.max(change.as_second());
        }
        let next = self.zone.following(now).next().map(|change| change.timestamp());
        if let Some(change) = next.filter(changed) {
            end = end.min(change.as_second());
        }
        match (u32::try_from(start), u32::try_from(end)) {
            (Ok(start_s), Ok(end_s)) => Window { start_s, end_s },
            _ => fallback(now.as_second() as u32),
        }
    }

    fn begins(&self, date: Date) -> Option<u32> {
        let at = self.zone.to_timestamp(date.to_datetime(self.reset_at)).ok()?;
        u32::try_from(at.as_second()).ok()
    }
}

const HOUR_S: i64 = 3600;

/// Outside the years 1970 to 2106 there is no calendar; a window of a day still ends.
fn fallback(wall_s: u32) -> Window {
    const DAY_S: u32 = 86_400;
    let start_s = wall_s - wall_s % DAY_S;
    Window { start_s, end_s: start_s.saturating_add(DAY_S) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> u32 {
        u32::try_from(text.parse::<Timestamp>().unwrap().as_second()).unwrap()
    }

    fn calendar(period: Period, zone: &str, hour: i8, minute: i8) -> Calendar {
        Calendar::new(period, crate::zones::zone(zone).unwrap(), Time::constant(hour, minute, 0, 0))
    }

    #[test]
    fn a_day_runs_from_reset_to_reset() {
        let days = calendar(Period::Day, "UTC", 6, 30);
        let window = days.window_at(at("2026-11-23T06:29:59Z"));
        assert_eq!(window, Window { start_s: at("2026-11-22T06:30:00Z"), end_s: at("2026-11-23T06:30:00Z") });
        assert_eq!(days.window_at(at("2026-11-23T06:30:00Z")).start_s, at("2026-11-23T06:30:00Z"));
    }

    #[test]
    fn a_month_is_a_calendar_month_of_its_zone() {
        let months = calendar(Period::Month, "America/New_York", 0, 0);
        let window = months.window_at(at("2026-12-01T03:00:00Z"));
        assert_eq!(window, Window { start_s: at("2026-11-01T04:00:00Z"), end_s: at("2026-12-01T05:00:00Z") });
        let february = months.window_at(at("2028-02-29T12:00:00Z"));
        assert_eq!(february.end_s - february.start_s, 29 * 86_400);
    }

    #[test]
    fn days_have_23_and_25_hours_where_the_clocks_change() {
        let days = calendar(Period::Day, "Europe/Berlin", 0, 0);
        let spring = days.window_at(at("2026-03-29T10:00:00Z"));
        let autumn = days.window_at(at("2026-10-25T10:00:00Z"));
        assert_eq!((spring.end_s - spring.start_s, autumn.end_s - autumn.start_s), (23 * 3600, 25 * 3600));
    }

    #[test]
    fn a_reset_time_that_is_skipped_comes_later_and_one_that_repeats_counts_once() {
        let days = calendar(Period::Day, "Europe/Berlin", 2, 30);
        // 02:30 does not exist on 2026-03-29: the clocks go from 02:00 CET to 03:00 CEST; it counts as 03:30 CEST.
        assert_eq!(days.window_at(at("2026-03-29T12:00:00Z")).start_s, at("2026-03-29T01:30:00Z"));
        // 02:30 comes twice on 2026-10-25: first as CEST.
        assert_eq!(days.window_at(at("2026-10-25T12:00:00Z")).start_s, at("2026-10-25T00:30:00Z"));
    }

    #[test]
    fn windows_tile_time_in_every_zone() {
        for zone in [
            "UTC",
            "Europe/Berlin",
            "America/St_Johns",
            "Australia/Lord_Howe",
            "Asia/Kathmandu",
            "Africa/Cairo",
        ] {
            let every = Period::Days { count: 10, from: Date::constant(2026, 2, 27) };
            for period in [Period::Hour, Period::Day, Period::Week, Period::Month, every] {
                let calendar = calendar(period, zone, 2, 30);
                let mut window = calendar.window_at(at("2025-12-31T23:00:00Z"));
                while window.end_s < at("2028-03-02T00:00:00Z") {
                    assert!(window.contains(window.start_s) && !window.contains(window.end_s));
                    let next = calendar.window_at(window.end_s);
                    assert_eq!(next.start_s, window.end_s, "{zone} {period:?}");
                    assert_eq!(calendar.window_at(window.end_s - 1), window, "{zone} {period:?}");
                    window = next;
                }
            }
        }
    }

    #[test]
    fn a_week_begins_on_monday_and_so_many_days_on_their_date() {
        let weeks = calendar(Period::Week, "UTC", 6, 0);
        let window = weeks.window_at(at("2026-11-25T12:00:00Z"));
        assert_eq!(window, Window { start_s: at("2026-11-23T06:00:00Z"), end_s: at("2026-11-30T06:00:00Z") });
        assert_eq!(weeks.window_at(at("2026-11-23T05:59:59Z")).end_s, window.start_s);
        let fortnights = calendar(Period::Days { count: 14, from: Date::constant(2026, 1, 7) }, "UTC", 0, 0);
        for (day, start) in
            [("2026-01-07", "2026-01-07"), ("2026-01-20", "2026-01-07"), ("2026-01-06", "2025-12-24")]
        {
            let window = fortnights.window_at(at(&format!("{day}T12:00:00Z")));
            assert_eq!(window.start_s, at(&format!("{start}T00:00:00Z")), "{day}");
            assert_eq!(window.end_s - window.start_s, 14 * 86_400);
        }
    }

    #[test]
    fn an_hour_begins_at_its_minute_on_the_zones_clock() {
        let hours = calendar(Period::Hour, "Asia/Kathmandu", 0, 0);
        // Kathmandu is 5:45 ahead: its full hours are at a quarter past.
        assert_eq!(hours.window_at(at("2026-11-25T12:20:00Z")).start_s, at("2026-11-25T12:15:00Z"));
        let hours = calendar(Period::Hour, "Europe/Berlin", 0, 30);
        assert_eq!(hours.window_at(at("2026-11-25T12:29:59Z")).start_s, at("2026-11-25T11:30:00Z"));
        // On Lord Howe the clocks go forward by half an hour, at 2:00 on 2026-10-04, 15:30 UTC.
        let hours = calendar(Period::Hour, "Australia/Lord_Howe", 0, 0);
        let change = at("2026-10-03T15:30:00Z");
        assert_eq!(hours.window_at(change - 1), Window { start_s: change - 3600, end_s: change });
        assert_eq!(hours.window_at(change), Window { start_s: change, end_s: change + 1800 });
    }

    #[test]
    fn a_clock_far_off_still_gives_a_window() {
        let days = calendar(Period::Day, "UTC", 0, 0);
        assert!(days.window_at(0).contains(0));
        assert!(days.window_at(u32::MAX - 1).contains(u32::MAX - 1));
    }
}
