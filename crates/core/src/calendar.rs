//! Converts seconds since 1970 to dates, and dates to seconds.

/// A date and a time of day, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// The year of the Gregorian calendar.
    pub year: i64,
    /// The month, from 1 to 12.
    pub month: i64,
    /// The day of the month, from 1 to 31.
    pub day: i64,
    /// The hour, from 0 to 23.
    pub hour: i64,
    /// The minute, from 0 to 59.
    pub minute: i64,
    /// The second, from 0 to 59.
    pub second: i64,
}

impl Date {
    /// Returns the date that is this many seconds after the beginning of 1970-01-01. A negative number gives
    /// an earlier date.
    pub fn at(seconds: i64) -> Date {
        let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Years begin in March here, so that the 29th of February is the last day of a year. An era is a
        // period of 400 years, after which the calendar repeats. Era 0 begins with the year 0.
        let days = days + 719_468;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = era * 400 + year + i64::from(month <= 2);
        Date { year, month, day, hour: of_day / 3_600, minute: of_day / 60 % 60, second: of_day % 60 }
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_date_has_its_usual_numbers() {
        let date = |year, month, day, hour, minute, second| Date { year, month, day, hour, minute, second };
        assert_eq!(Date::at(0), date(1970, 1, 1, 0, 0, 0));
        assert_eq!(Date::at(-1), date(1969, 12, 31, 23, 59, 59));
        assert_eq!(Date::at(951_827_696), date(2000, 2, 29, 12, 34, 56));
        assert_eq!(Date::at(1_795_333_200), date(2026, 11, 22, 7, 40, 0));
    }

    proptest! {
        #[test]
        fn a_date_gives_its_time_again(seconds in -100_000_000_000..300_000_000_000_i64) {
            let date = Date::at(seconds);
            prop_assert_eq!(date.seconds_since_1970(), seconds);
            prop_assert!((1..=12).contains(&date.month) && (1..=31).contains(&date.day));
        }
    }
}
