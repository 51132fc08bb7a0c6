//! Reads numbers, sizes, rates and times. Every error is a phrase that says what the value must be.

use downhaul_engine::core::containers;
use downhaul_engine::core::rate;
use std::time::Duration;

/// A number of files or connections; `None` is `auto`.
pub type NumberOrAuto = Option<u16>;

pub(in crate::args) fn connections(text: &str) -> Result<NumberOrAuto, String> {
    number_or_auto(text, 256).map_err(|why| match text.contains(':') {
        true => format!("{why}. For a proxy, use --proxy"),
        false => why,
    })
}

pub(in crate::args) fn files(text: &str) -> Result<NumberOrAuto, String> {
    number_or_auto(text, 1024)
}

fn number_or_auto(text: &str, most: u16) -> Result<NumberOrAuto, String> {
    match text.parse() {
        Ok(n) if (1..=most).contains(&n) => Ok(Some(n)),
        _ if text == "auto" => Ok(None),
        _ => Err(format!("it must be auto or a number from 1 to {most}")),
    }
}

/// Reads a number of retries. If there is no limit, the result is the largest `u32`, because no run has so
/// many retries.
pub(in crate::args) fn retries(text: &str) -> Result<u32, String> {
    match text.to_ascii_lowercase().as_str() {
        "inf" | "infinite" | "infinity" | "unlimited" => Ok(u32::MAX),
        number => number.parse().map_err(|_| "it must be a number, or inf for no limit".into()),
    }
}

pub(in crate::args) fn limit(text: &str) -> Result<u64, String> {
    match rate(text)? {
        0 => Err("it must be above 0".into()),
        rate => Ok(rate),
    }
}

/// Reads a number of bytes, such as `500M`, `2G` or `1.5T`.
pub(in crate::args) fn size(text: &str) -> Result<u64, String> {
    let bad = |_| "it must be a number of bytes above 0, such as 500M, 2G or 1.5T".to_string();
    let (number, factor) = match text.trim_end_matches(['b', 'B', 'i']).strip_suffix(['t', 'T']) {
        Some(number) => (format!("{}G", number.trim_end()), 1024.0),
        None => (text.to_string(), 1.0),
    };
    let bytes =
        Some(&number).filter(|text| !text.contains('/')).map_or(Err(String::new()), |text| limit(text));
    bytes.map(|bytes| (bytes as f64 * factor) as u64).map_err(bad)
}

pub(in crate::args) fn container_size(text: &str) -> Result<u64, String> {
    size(text).and_then(|size| match size {
        0..=containers::LARGEST => Ok(size),
        _ => Err("it must be at most 1T".into()),
    })
}

pub(in crate::args) fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if n > 0.0 && n.is_finite() => Ok(n),
        _ => Err("it must be a number above 0".into()),
    }
}

/// Reads a duration, such as `30` or `30s` (both in seconds), `500ms`, `2m` or `1h`.
pub(in crate::args) fn time(text: &str) -> Result<Duration, String> {
    let bad = || "it must be a time above 0, such as 30 (seconds), 500ms, 5s, 2m or 1h".to_string();
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match text[number.len()..].to_ascii_lowercase().as_str() {
        "" | "s" | "sec" | "secs" => 1.0,
        "ms" => 0.001,
        "m" | "min" | "mins" => 60.0,
        "h" => 3600.0,
        _ => return Err(bad()),
    };
    let number = positive(number).map_err(|_| bad())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| bad())
}

/// Reads a number of bytes per second, such as `500`, `2k`, `1.5M` or `2MB/s`.
pub(in crate::args) fn rate(text: &str) -> Result<u64, String> {
    rate::read(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_units_of_rates_are_powers_of_1024() {
        assert_eq!(rate("500"), Ok(500));
        assert_eq!(rate("2k"), Ok(2048));
        assert_eq!(rate("1.5M"), Ok(1_572_864));
        assert_eq!(rate("2MB/s"), Ok(2 << 20));
        for bad in ["", "k", "-1", "1x", "nan", "1e99", "2Mbps", "/s"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_may_have_units() {
        let all = ["30", "5s", "0.5", "500ms", "2m", "1h"].map(|text| time(text).expect(text).as_secs_f64());
        assert_eq!(all, [30.0, 5.0, 0.5, 0.5, 120.0, 3600.0]);
        for bad in ["", "0", "s", "-1s", "5x", "inf", "1e300h"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
