//! The value of `--deadline`: a duration from the start of the run, a time of day, or a point in time.

use super::values;
use jiff::civil::{DateTime, Time};
use jiff::{Timestamp, ToSpan, Zoned};
use std::time::{Duration, SystemTime};

/// The time after which no more downloads start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// A duration from the start of the run.
    After(Duration),
    /// A time of day. The deadline is the next such time after the start of the run.
    Daily(Time),
    /// A point in time.
    At(SystemTime),
}

impl Deadline {
    /// Reads a duration such as `2h`, a time of day such as `06:30`, a date and time such as
    /// `2026-11-28T06:30`, or a date and time with a zone (RFC 3339). Times without a zone are local.
    ///
    /// # Errors
    /// Returns what is wrong, in words for the user.
    pub fn read(text: &str) -> Result<Deadline, String> {
        if let Ok(after) = values::time(text) {
            return Ok(Deadline::After(after));
        }
        let of_date = text.contains('-').then_some(());
        if let Some(at) = of_date.and_then(|()| text.parse::<Timestamp>().ok()) {
            return Ok(Deadline::At(at.into()));
        }
        if let Some(at) = of_date.and_then(|()| text.parse::<DateTime>().ok()) {
            let zoned = at.to_zoned(Zoned::now().time_zone().clone());
            return zoned.map(|at| Deadline::At(at.timestamp().into())).map_err(|e| e.to_string());
        }
        let is_of_day = text.contains(':') && of_date.is_none();
        let time = Some(text).filter(|_| is_of_day).and_then(|text| text.parse::<Time>().ok());
        let bad = "it must be a time such as 90m or 2h, a time of day such as 06:30, or a date and time such as \
                   2026-11-28T06:30";
        time.map(Deadline::Daily).ok_or_else(|| bad.into())
    }

    /// Returns the time from the start of the run to the deadline. The result is zero if the deadline has
    /// passed. This function must be called at the start of the run.
    pub(crate) fn left(self) -> Duration {
        let until = |at: SystemTime| at.duration_since(SystemTime::now()).unwrap_or_default();
        match self {
            Deadline::After(after) => after,
            Deadline::At(at) => until(at),
            Deadline::Daily(time) => {
                let now = Zoned::now();
                let today = now.date().to_datetime(time).to_zoned(now.time_zone().clone());
                let next = today.and_then(|today| match today > now {
                    true => Ok(today),
                    false => today.checked_add(1.day()),
                });
                next.map_or(Duration::ZERO, |next| until(next.timestamp().into()))
            }
        }
    }

    /// Returns true if a value is a point in time, which may have passed when the same command runs again.
    pub(crate) fn is_point_in_time(text: &str) -> bool {
        matches!(Deadline::read(text), Ok(Deadline::At(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_after_the_start_times_of_day_and_points_in_time_are_read() {
        assert_eq!(Deadline::read("90m"), Ok(Deadline::After(Duration::from_secs(5400))));
        assert_eq!(Deadline::read("06:30"), Ok(Deadline::Daily(Time::constant(6, 30, 0, 0))));
        let at = Deadline::read("2026-11-28T06:30:00Z").expect("a time");
        assert_eq!(at, Deadline::At(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_847_400)));
        assert_eq!(at, Deadline::read("2026-11-28T07:30+01:00").expect("a time"));
        assert!(matches!(Deadline::read("2026-11-28T06:30"), Ok(Deadline::At(_))));
        assert!(Deadline::read("06:30").expect("a time").left() <= Duration::from_secs(25 * 3600));
        assert_eq!(Deadline::read("2001-01-01T00:00Z").expect("a time").left(), Duration::ZERO);
        for bad in ["", "soon", "-5", "25:00", "2026-13-01T00:00", "0"] {
            assert!(Deadline::read(bad).is_err(), "{bad}");
        }
        assert!(Deadline::is_point_in_time("2026-11-28T06:30"));
        assert!(!Deadline::is_point_in_time("2h") && !Deadline::is_point_in_time("06:30"));
    }
}
