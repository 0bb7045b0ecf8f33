//! Ends, as people give them: after some time, or at a moment.

use clap::Args;
use jiff::Timestamp;

use super::now_ms;

/// When something is over.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct EndArgs {
    /// How long it lasts, as 90s, 30m, 12h or 7d
    #[arg(long = "for", value_name = "TIME", value_parser = duration_ms)]
    lasts_ms: Option<u64>,
    /// When it is over, as 2026-12-01T15:00:00Z
    #[arg(long = "until", value_name = "MOMENT", value_parser = moment_ms)]
    until_ms: Option<u64>,
}

impl EndArgs {
    /// Milliseconds since the epoch, if an end was given.
    pub(super) fn until_ms(&self) -> Option<u64> {
        self.until_ms.or_else(|| self.lasts_ms.map(|lasts_ms| now_ms().saturating_add(lasts_ms)))
    }

    /// The same, where there has to be one.
    pub(super) fn needed_ms(&self) -> Result<u64, String> {
        self.until_ms().ok_or_else(|| "an end is needed: --for TIME or --until MOMENT".into())
    }
}

fn duration_ms(text: &str) -> Result<u64, String> {
    let wrong = || "a time is a number and a unit, as 90s, 30m, 12h or 7d".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let count: u64 = text.strip_suffix(unit).and_then(|count| count.parse().ok()).ok_or_else(wrong)?;
    count.checked_mul(seconds * 1000).filter(|ms| *ms > 0).ok_or_else(wrong)
}

fn moment_ms(text: &str) -> Result<u64, String> {
    let moment = text.parse::<Timestamp>().ok().and_then(|at| u64::try_from(at.as_millisecond()).ok());
    moment.ok_or_else(|| "a moment is given as 2026-12-01T15:00:00Z".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit() {
        assert_eq!(duration_ms("90s"), Ok(90_000));
        assert_eq!(duration_ms("7d"), Ok(7 * 86_400_000));
        for wrong in
            ["", "s", "90", "-1h", "1.5h", "0m", "1w", "99999999999999999999d", "213503982335d", "1é"]
        {
            assert!(duration_ms(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_moment_has_a_zone() {
        assert_eq!(moment_ms("1970-01-01T00:00:01Z"), Ok(1000));
        for wrong in ["", "tomorrow", "2026-12-01", "2026-12-01T15:00:00", "1969-12-31T00:00:00Z"] {
            assert!(moment_ms(wrong).is_err(), "{wrong}");
        }
    }
}
