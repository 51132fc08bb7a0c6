//! Formats numbers and names for people, and fits text into columns.

pub(crate) use downhaul_engine::core::show::bytes;
use std::collections::VecDeque;
use std::time::Duration;
use unicode_width::UnicodeWidthChar;

/// Returns a rate, such as `12.3 MiB/s`.
pub(crate) fn rate(bytes_a_second: f64) -> String {
    format!("{}/s", bytes(bytes_a_second.clamp(0.0, 1e18) as u64))
}

/// Returns a duration in the form of tqdm, such as `00:31` or `1:02:03`. From one day on, the result has days
/// and hours (`3d 04h`).
pub(crate) fn clock(seconds: f64) -> String {
    let s = seconds.clamp(0.0, 1e9) as u64;
    match (s / 86_400, s / 3600, s / 60 % 60, s % 60) {
        (0, 0, minutes, seconds) => format!("{minutes:02}:{seconds:02}"),
        (0, hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
        (days, hours, ..) => format!("{days}d {:02}h", hours % 24),
    }
}

/// Returns a duration, such as `0.12 s`, `12.3 s` or `2 min 05 s`.
pub(crate) fn took(seconds: f64) -> String {
    match seconds {
        s if s < 9.995 => format!("{s:.2} s"),
        s if s < 99.95 => format!("{s:.1} s"),
        s => format!("{} min {:02} s", s as u64 / 60, s as u64 % 60),
    }
}

/// Returns how many columns the text takes. Characters that some terminals join into one, such as families of
/// emoji, are counted one by one, so that no terminal needs more columns than this function returns.
pub(crate) fn width(text: &str) -> usize {
    text.chars().filter_map(UnicodeWidthChar::width).sum()
}

/// Returns the text with blanks before it, so that it takes at least this many columns.
pub(crate) fn right(text: &str, columns: usize) -> String {
    " ".repeat(columns.saturating_sub(width(text))) + text
}

/// Divides a text into lines of at most `columns` columns. If `columns` is less than two, a line may take two
/// columns. Lines end between words, unless a word is longer than a line.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let most = prefix(rest, columns.max(2));
        let at = match rest[most.len()..].starts_with(' ') || most.len() == rest.len() {
            true => most.len(),
            false => most.rfind(' ').filter(|&at| at > 0).unwrap_or(most.len()),
        };
        lines.push(rest[..at].trim_end().to_string());
        rest = rest[at..].trim_start();
    }
    lines
}

/// Returns the text in exactly `columns` columns. A short text is padded. The middle of a long text is left
/// out, because both ends help to tell names apart.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    let wide = width(text);
    if wide <= columns {
        return format!("{text}{}", " ".repeat(columns - wide));
    }
    if columns == 0 {
        return String::new();
    }
    let left = (columns - 1).div_ceil(2);
    let head = prefix(text, left);
    let tail = suffix(text, columns - 1 - width(head));
    let cut = format!("{head}~{tail}");
    let missing = columns.saturating_sub(width(&cut));
    cut + &" ".repeat(missing)
}

/// Returns the longest beginning of the text that fits into this many columns.
pub(crate) fn prefix(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > columns {
            return &text[..at];
        }
    }
    text
}

fn suffix(text: &str, columns: usize) -> &str {
    let mut used = 0;
    let mut start = text.len();
    for (at, c) in text.char_indices().rev() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        start = at;
    }
    // A combining mark at the start would combine with the `~` that marks the gap, so such marks are removed.
    text[start..].trim_start_matches(|c: char| c.width() == Some(0))
}

/// The speed over the last seconds, from samples of the progress.
///
/// The measurement starts when the first bytes arrive. The time before the first bytes is not counted.
#[derive(Debug, Default)]
pub(crate) struct Speed {
    samples: VecDeque<(Duration, u64)>,
    /// The time of the first bytes.
    first: Option<Duration>,
}

impl Speed {
    /// The time over which the speed is measured. Over five seconds, the number is steady, and still shows
    /// changes.
    const WINDOW: Duration = Duration::from_secs(5);

    /// The shortest time over which a speed is measured. Over a shorter time, the number depends on the size
    /// of single reads.
    const SHORTEST: Duration = Duration::from_millis(400);

    pub(crate) fn sample(&mut self, at: Duration, bytes: u64) {
        match self.samples.back() {
            // The download started again.
            Some(&(_, before)) if bytes < before => *self = Speed::default(),
            // No bytes have arrived yet.
            Some(&(_, before)) if bytes == before && self.samples.len() == 1 => self.samples.clear(),
            // These are the first bytes. Only the bytes after them are measured.
            Some(_) if self.samples.len() == 1 && self.first.is_none() => {
                self.first = Some(at);
                self.samples.clear();
            }
            _ => {}
        }
        self.samples.push_back((at, bytes));
        while self.samples.len() > 2
            && self.samples.front().is_some_and(|&(first, _)| first + Self::WINDOW < at)
        {
            self.samples.pop_front();
        }
    }

    /// Returns the speed in bytes a second, or `None` if it is not known yet.
    pub(crate) fn get(&self) -> Option<f64> {
        let (&(from, first), &(to, last)) = (self.samples.front()?, self.samples.back()?);
        let time = to.saturating_sub(from);
        (time >= Self::SHORTEST).then(|| (last - first) as f64 / time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        let all = [0, 1023, 1024, 1536, 12_900_000, 1 << 30, 1_073_000_000, u64::MAX].map(bytes);
        assert_eq!(
            all,
            ["0 B", "1023 B", "1.00 KiB", "1.50 KiB", "12.3 MiB", "1.00 GiB", "1.00 GiB", "16.0 EiB"]
        );
        assert_eq!([0.0, 61.0, 3723.0, 273_600.0].map(clock), ["00:00", "01:01", "1:02:03", "3d 04h"]);
        assert_eq!([0.123, 12.34, 125.0].map(took), ["0.12 s", "12.3 s", "2 min 05 s"]);
    }

    #[test]
    fn names_of_any_characters_fit_exactly() {
        assert_eq!(fit("short", 8), "short   ");
        assert_eq!(fit("a-very-long-name.iso", 11), "a-ver~e.iso");
        for text in [
            "日本語のとても長いファイル名.iso",
            "cafe\u{301}-cafe\u{301}-cafe\u{301}.txt",
            "👩‍👩‍👧‍👦👩‍👩‍👧‍👦 family.jpg",
            "",
        ] {
            for columns in 0..40 {
                assert_eq!(width(&fit(text, columns)), columns, "{text} in {columns}");
            }
        }
    }

    #[test]
    fn lines_are_divided_between_words() {
        assert_eq!(wrap("404 Not Found [3 retries left]", 18), ["404 Not Found [3", "retries left]"]);
        assert_eq!(wrap("abcdefgh ij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("日本語", 1), ["日", "本", "語"]);
        assert_eq!(wrap("", 4), Vec::<String>::new());
    }

    #[test]
    fn the_speed_is_that_of_the_last_seconds() {
        let mut speed = Speed::default();
        for s in 0..20 {
            speed.sample(Duration::from_secs(s), if s < 10 { 0 } else { (s - 9) * 100 });
        }
        assert_eq!(speed.get(), Some(100.0));
        speed.sample(Duration::from_secs(20), 0);
        assert_eq!(speed.get(), None, "the download started again");
    }

    #[test]
    fn the_speed_is_steady_from_the_first_bytes_on() {
        // Connecting takes 1.5 s, then 20,000 bytes come every 100 ms.
        let mut speed = Speed::default();
        for tick in 0..60_u64 {
            speed.sample(Duration::from_millis(tick * 100), tick.saturating_sub(14) * 20_000);
            if let Some(speed) = speed.get() {
                assert!((199_000.0..201_000.0).contains(&speed), "{speed} after {tick} ticks");
            } else {
                assert!(tick < 20, "no speed is known after {tick} ticks");
            }
        }
    }
}
