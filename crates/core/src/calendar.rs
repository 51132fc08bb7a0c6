//! Computes times from dates.

/// A date and a time of day, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// The year of the Gregorian calendar.
    pub year: i64,
    /// The month, from 1 to 12.
    pub month: i64,
    /// The day of the month, from 1.
    pub day: i64,
    /// The hour.
    pub hour: i64,
    /// The minute.
    pub minute: i64,
    /// The second.
    pub second: i64,
}

impl Date {
    /// Returns the seconds from 1970-01-01 to this date. The result is negative for earlier dates.
    pub fn seconds_since_1970(self) -> i64 {
        let Date { year, month, day, hour, minute, second } = self;
        // Years begin in March here, so that the 29th of February is the last day of a year.
        let year = if month <= 2 { year - 1 } else { year };
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
        ((days * 24 + hour) * 60 + minute) * 60 + second
    }
}
