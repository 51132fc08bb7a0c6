//! Reads the dates of cookies, in all forms that servers write (RFC 6265bis, section 5.1.1).

use super::Time;
use crate::calendar::Date;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Reads the date of an `Expires` attribute, and returns the seconds since 1970. Returns `None` if the text
/// is not a date or if its year is before 1601, and 0 for a date from 1601 to 1969.
pub(super) fn parse(text: &str) -> Option<Time> {
    let is_delimiter = |c: char| !(c.is_ascii_alphanumeric() || c == ':' || !c.is_ascii());
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in text.split(is_delimiter).filter(|token| !token.is_empty()) {
        if time.is_none()
            && let Some(found) = time_of(token)
        {
            time = Some(found);
        } else if day.is_none()
            && let Some(found) = number(token, 1, 2)
        {
            day = Some(found);
        } else if month.is_none()
            && let Some(found) = month_of(token)
        {
            month = Some(found);
        } else if year.is_none()
            && let Some(found) = number(token, 2, 4)
        {
            year = Some(found);
        }
    }
    let year = match year? {
        year @ 70..=99 => year + 1900,
        year @ 0..=69 => year + 2000,
        year => year,
    };
    let ((hour, minute, second), day, month) = (time?, day?, month?);
    let [year, month, day, hour, minute, second] = [year, month, day, hour, minute, second].map(i64::from);
    let date = Date { year, month, day, hour, minute, second };
    let seconds = date.seconds_since_1970();
    // For a date or a time that does not exist, such as 31 February, these seconds belong to another date.
    let exists = year >= 1601 && Date::at(seconds) == date;
    exists.then(|| u64::try_from(seconds).unwrap_or(0))
}

/// Reads a number of `least` to `most` digits at the beginning of a token. Other characters may follow the
/// digits.
fn number(token: &str, least: usize, most: usize) -> Option<u32> {
    let digits = token.bytes().take_while(u8::is_ascii_digit).count();
    if (least..=most).contains(&digits) { token[..digits].parse().ok() } else { None }
}

fn time_of(token: &str) -> Option<(u32, u32, u32)> {
    let mut parts = token.splitn(3, ':');
    let time = (number(parts.next()?, 1, 2)?, whole(parts.next()?)?, number(parts.next()?, 1, 2)?);
    Some(time)
}

fn whole(text: &str) -> Option<u32> {
    if text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn month_of(token: &str) -> Option<u32> {
    let start = token.get(..3)?.to_ascii_lowercase();
    let index = MONTHS.iter().position(|month| *month == start)?;
    u32::try_from(index + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_every_form_that_servers_write() {
        for (text, seconds) in [
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(1_445_412_480)),
            ("Wednesday, 21-Oct-15 07:28:00 GMT", Some(1_445_412_480)),
            ("Wed Oct 21 07:28:00 2015", Some(1_445_412_480)),
            ("Wed, 21-Oct-2015 07:28:00 GMT", Some(1_445_412_480)),
            ("21 october 2015 7:28:0", Some(1_445_412_480)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Mon, 01-Jan-1601 00:00:00 GMT", Some(0)),
            ("Thu, 29 Feb 2024 12:00:00 GMT", Some(1_709_208_000)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799)),
            ("0", None),
            ("Tue, 31 Feb 2015 07:28:00 GMT", None),
            ("Wed, 29 Feb 2023 12:00:00 GMT", None),
            ("Wed, 00 Oct 2015 07:28:00 GMT", None),
            ("Wed, 32 Oct 2015 07:28:00 GMT", None),
            ("Wed, 21 Oct 2015 07:60:00 GMT", None),
            ("Wed, 21 Oct 2015 07:28:60 GMT", None),
            ("Wed, 21 Oct 2015", None),
            ("Wed, 21 Oct 2015 25:00:00 GMT", None),
            ("\u{e4}\u{e4}\u{e4} 21 Oct 2015 07:28:00", Some(1_445_412_480)),
        ] {
            assert_eq!(parse(text), seconds, "{text}");
        }
    }
}
