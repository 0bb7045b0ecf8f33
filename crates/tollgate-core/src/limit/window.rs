//! Calendar windows: a day or a month in a named time zone, from a reset time to the next.

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
    /// One calendar day.
    Day,
    /// One calendar month.
    Month,
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
        let today = self.zone.to_datetime(now).date();
        let this = match self.period {
            Period::Day => today,
            Period::Month => today.first_of_month(),
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

    fn shift(&self, date: Date, by: i32) -> Date {
        let span = match self.period {
            Period::Day => by.days(),
            Period::Month => by.months(),
        };
        date.saturating_add(span)
    }

    fn begins(&self, date: Date) -> Option<u32> {
        let at = self.zone.to_timestamp(date.to_datetime(self.reset_at)).ok()?;
        u32::try_from(at.as_second()).ok()
    }
}

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
        Calendar::new(period, TimeZone::get(zone).unwrap(), Time::constant(hour, minute, 0, 0))
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
            for period in [Period::Day, Period::Month] {
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
    fn a_clock_far_off_still_gives_a_window() {
        let days = calendar(Period::Day, "UTC", 0, 0);
        assert!(days.window_at(0).contains(0));
        assert!(days.window_at(u32::MAX - 1).contains(u32::MAX - 1));
    }
}
