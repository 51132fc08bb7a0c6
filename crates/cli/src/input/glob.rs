//! Expands a URL with patterns to several URLs (`--glob`), by the rules of curl.
//!
//! `{one,two}` stands for each of its words. `[1-10]`, `[001-100]` and `[a-z]` stand for each number or
//! letter, with a step in `[0-100:10]`. A bracket or brace after a backslash is an ordinary character. Empty
//! brackets, and the brackets of the address in `http://[::1]/`, are ordinary characters too.

use downhaul_engine::core::show;
use std::net::Ipv6Addr;

/// A URL that may have patterns. Such a URL stands for one URL or for several URLs.
#[derive(Debug)]
pub(super) struct Pattern {
    parts: Vec<Part>,
    count: u64,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Set(Set),
}

impl Part {
    /// Returns true if the fragment of the URL begins in this part.
    fn has_fragment(&self) -> bool {
        matches!(self, Part::Text(text) if text.contains('#'))
    }
}

/// The values of one pair of braces or brackets.
#[derive(Debug, PartialEq, Eq)]
enum Set {
    Words(Vec<String>),
    /// `count` numbers from `first` on. Shorter numbers get zeros before them, up to `width` digits.
    Numbers {
        first: u64,
        step: u64,
        count: u64,
        width: usize,
    },
    Letters {
        first: u8,
        step: u64,
        count: u64,
    },
}

impl Set {
    fn count(&self) -> u64 {
        match self {
            Set::Words(words) => words.len() as u64,
            Set::Numbers { count, .. } | Set::Letters { count, .. } => *count,
        }
    }

    /// Returns a value. `index` must be below [`Set::count`].
    fn value(&self, index: u64) -> String {
        match self {
            Set::Words(words) => words.get(index as usize).cloned().unwrap_or_default(),
            Set::Numbers { first, step, width, .. } => {
                let width = *width;
                format!("{:0width$}", first.saturating_add(step.saturating_mul(index)))
            }
            Set::Letters { first, step, .. } => char::from(first + (step * index) as u8).to_string(),
        }
    }
}

/// One of the URLs for which a pattern stands, and the value of each set. In a name, the values replace `#1`,
/// `#2` and so on.
#[derive(Debug, PartialEq, Eq, Clone)]
pub(super) struct Expanded {
    pub(super) url: String,
    pub(super) values: Vec<String>,
}

impl Pattern {
    /// Returns a pattern without sets, which stands for exactly this URL.
    pub(super) fn plain(url: &str) -> Pattern {
        Pattern { parts: vec![Part::Text(url.into())], count: 1 }
    }

    /// Reads the sets of a URL. Nothing is expanded yet.
    ///
    /// # Errors
    /// Returns what is wrong with the pattern, in words for the user.
    pub(super) fn read(pattern: &str) -> Result<Pattern, String> {
        let shown = show::not_a_url(pattern);
        let bad = |why: &str| format!("--glob cannot expand {}: {why}", show::escaped(&shown));
        let (mut parts, mut text, mut count) = (Vec::new(), String::new(), 1_u64);
        let mut rest = pattern;
        while let Some(c) = rest.chars().next() {
            let set = match c {
                '{' => Some(words(rest).map_err(bad)?),
                '[' => range(rest, &text).map_err(bad)?,
                '}' => return Err(bad("a } has no {")),
                _ => None,
            };
            let is_in_fragment = || text.contains('#') || parts.iter().any(Part::has_fragment);
            if set.as_ref().is_some_and(|(set, _)| set.count() > 1) && is_in_fragment() {
                return Err(bad(
                    "the part after # is not sent to the server, so all of these URLs would get the same file",
                ));
            }
            let Some((set, after)) = set else {
                let escaped = rest.strip_prefix('\\').filter(|next| next.starts_with(['{', '}', '[', ']']));
                rest = escaped.unwrap_or(rest);
                let end = rest.chars().next().map_or(0, char::len_utf8);
                text.push_str(&rest[..end]);
                rest = &rest[end..];
                continue;
            };
            count = count.checked_mul(set.count()).ok_or_else(|| bad("it stands for too many URLs"))?;
            parts.extend([Part::Text(std::mem::take(&mut text)), Part::Set(set)]);
            rest = after;
        }
        parts.push(Part::Text(text));
        Ok(Pattern { parts, count })
    }

    /// Returns the number of URLs.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Returns the URLs one after the other. As in curl, the last set changes fastest.
    pub(super) fn urls(&self) -> impl Iterator<Item = Expanded> {
        (0..self.count).map(|index| self.url(index))
    }

    fn url(&self, mut index: u64) -> Expanded {
        let mut values: Vec<String> = Vec::new();
        for set in self.sets().rev() {
            values.push(set.value(index % set.count()));
            index /= set.count();
        }
        values.reverse();
        let mut of_sets = values.iter();
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Set(_) => of_sets.next().map(String::as_str).unwrap_or_default(),
        });
        Expanded { url: parts.collect(), values }
    }

    /// Returns the number of the first set that has several values and whose mark (such as `#1`) is missing
    /// in the name. Without this mark, several files would get the same name.
    pub(super) fn missing_in(&self, name: &str) -> Option<usize> {
        let mut sets = (1..).zip(self.sets());
        let marks = |number: usize| (1..=number).map(|n| format!("({n})")).collect::<Vec<_>>();
        let is_missing =
            |number: usize| self::name(name, &marks(number)) == self::name(name, &marks(number - 1));
        sets.find(|(number, set)| set.count() > 1 && is_missing(*number)).map(|(number, _)| number)
    }

    fn sets(&self) -> impl DoubleEndedIterator<Item = &Set> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Set(set) => Some(set),
        })
    }
}

/// Replaces `#1`, `#2` and so on in a name.
pub(super) fn name(pattern: &str, values: &[String]) -> String {
    let mut name = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('#') {
        name += before;
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let index = after[..digits].parse::<usize>().ok().and_then(|n| n.checked_sub(1));
        match index.and_then(|index| values.get(index)) {
            Some(value) => name += value,
            None => name += &rest[before.len()..=before.len() + digits],
        }
        rest = &after[digits..];
    }
    name + rest
}

/// Returns true if a URL seems to contain a pattern that was not expanded. `url` is a URL as messages show
/// it, without secrets.
pub(crate) fn looks_like_pattern(url: &str) -> bool {
    let url = url.replace("%7B", "{").replace("%7b", "{").replace("%7D", "}").replace("%7d", "}");
    let inside = |open, close| {
        let (_, after) = url.split_once(open)?;
        after.split_once(close).map(|(inside, _)| inside.to_string())
    };
    let list = inside('{', '}').is_some_and(|words| words.contains(','));
    let path = url.splitn(4, '/').nth(3).unwrap_or_default();
    list || path.split_once('[').is_some_and(|(_, after)| {
        after.split_once(']').is_some_and(|(inside, _)| values(inside).is_ok_and(|set| set.count() > 1))
    })
}

/// Reads `{one,two}`. Returns its words and the rest of the text.
fn words(text: &str) -> Result<(Set, &str), &'static str> {
    let inside = text.strip_prefix('{').unwrap_or(text);
    let (mut all, mut word, mut escaped) = (Vec::new(), String::new(), false);
    for (at, c) in inside.char_indices() {
        match c {
            _ if std::mem::take(&mut escaped) => word.push(c),
            '\\' => escaped = true,
            '{' | '[' => return Err("brackets within braces are not supported"),
            ',' => all.push(std::mem::take(&mut word)),
            '}' => {
                all.push(word);
                return Ok((Set::Words(all), &inside[at + 1..]));
            }
            _ => word.push(c),
        }
    }
    Err("a { is not closed")
}

/// Reads a range such as `[1-10]` at the beginning of `text`. Returns the values of the range and the rest of
/// the text. `before` is the text before the bracket. Returns `None` for ordinary brackets, which are empty
/// or belong to an IPv6 address.
fn range<'t>(text: &'t str, before: &str) -> Result<Option<(Set, &'t str)>, &'static str> {
    let (inside, after) = text[1..].split_once(']').ok_or("a [ is not closed")?;
    let is_host = before.ends_with("://") || before.ends_with('@');
    if inside.is_empty()
        || is_host && inside.split('%').next().is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok())
    {
        return Ok(None);
    }
    values(inside).map(|values| Some((values, after)))
}

/// Returns the values of `1-10`, `001-100` or `a-z`, each with an optional `:STEP`.
fn values(inside: &str) -> Result<Set, &'static str> {
    const BAD: &str = "a range must be like [1-10], [001-100], [a-z] or [0-100:10]";
    let (range, step) = inside.split_once(':').unwrap_or((inside, "1"));
    let step: u64 = step.parse().ok().filter(|step| *step > 0).ok_or(BAD)?;
    let (first, last) = range.split_once('-').ok_or(BAD)?;
    let count = |from: u64, to: u64| -> Result<u64, &'static str> {
        let span = to.checked_sub(from).ok_or(BAD)?;
        // As in curl, a step must not be longer than the range, except that a step of 1 is always allowed.
        if step > span.max(1) {
            return Err(BAD);
        }
        let steps = span / step;
        steps.checked_add(1).ok_or("it stands for too many URLs")
    };
    let letter = |text: &str| text.bytes().next().filter(|b| text.len() == 1 && b.is_ascii_alphabetic());
    if let (Some(first), Some(last)) = (letter(first), letter(last)) {
        if first.is_ascii_lowercase() != last.is_ascii_lowercase() {
            return Err(BAD);
        }
        return Ok(Set::Letters { first, step, count: count(first.into(), last.into())? });
    }
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    let (from, to) = (number(first).ok_or(BAD)?, number(last).ok_or(BAD)?);
    let width = if first.starts_with('0') { first.len() } else { 0 };
    Ok(Set::Numbers { first: from, step, count: count(from, to)?, width })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(pattern: &str) -> Vec<String> {
        Pattern::read(pattern).expect(pattern).urls().map(|one| one.url).collect()
    }

    #[test]
    fn patterns_mean_the_same_as_in_curl() {
        assert_eq!(urls("h/{a,b}[1-2]"), ["h/a1", "h/a2", "h/b1", "h/b2"]);
        assert_eq!(urls("h/[008-010]"), ["h/008", "h/009", "h/010"]);
        assert_eq!(urls("h/[a-e:2]"), ["h/a", "h/c", "h/e"]);
        assert_eq!(urls("h/[0-20:10]"), ["h/0", "h/10", "h/20"]);
        assert_eq!(urls("http://[::1]:80/[1-1]"), ["http://[::1]:80/1"]);
        assert_eq!(urls("{http,https}://[::1]/"), ["http://[::1]/", "https://[::1]/"]);
        assert_eq!(urls(r"h/\{a\}{,b\,c}"), ["h/{a}", "h/{a}b,c"]);
        assert_eq!(urls("h/plain?a[]=1"), ["h/plain?a[]=1"]);
        assert_eq!(urls("日/{本,語}"), ["日/本", "日/語"]);
        for bad in [
            "h/{a,b",
            "h/a}",
            "h/[1-2",
            "h/[x]",
            "h/[3-1]",
            "h/[a-9]",
            "h/{a,{b,c}}",
            "h/[A-c]",
            "h/[Z-a]",
            "h/[1-3:5]",
            "h/a#[1-3]",
            "h/#{a,b}x",
        ] {
            assert!(Pattern::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_may_stand_for_as_many_urls_as_a_number_can_count() {
        let all = Pattern::read("h/[0-18446744073709551614]").expect("a pattern");
        assert_eq!((all.count(), all.url(u64::MAX - 1).url), (u64::MAX, format!("h/{}", u64::MAX - 1)));
        for bad in ["h/[0-18446744073709551615]", "h/[1-9999999999]/[1-9999999999]"] {
            assert!(Pattern::read(bad).expect_err(bad).contains("too many URLs"), "{bad}");
        }
    }

    #[test]
    fn a_name_must_have_each_set_with_several_values() {
        let pattern = Pattern::read("h/{a,b}/[1-1]/[1-2]").expect("a pattern");
        for (name, missing) in [("#1-#3", None), ("#1", Some(3)), ("#3#2", Some(1)), ("#11#3", Some(1))] {
            assert_eq!(pattern.missing_in(name), missing, "{name}");
        }
    }

    #[test]
    fn a_name_contains_the_values_of_the_patterns() {
        let values = ["one".to_string(), "02".to_string()];
        assert_eq!(name("a_#1_#2.txt", &values), "a_one_02.txt");
        assert_eq!(name("a#3 #x ##1#", &values), "a#3 #x #one#");
    }

    #[test]
    fn a_pattern_that_was_not_expanded_is_recognised() {
        for pattern in ["http://h/%7Ba,b%7D", "http://h/x[1-10].jpg", "http://h/{a,b}"] {
            assert!(looks_like_pattern(pattern), "{pattern}");
        }
        for url in ["http://h/a", "http://h/%7Ba%7D", "http://h/a[]", "http://[::1]/a", "http://h/a[b]"] {
            assert!(!looks_like_pattern(url), "{url}");
        }
    }
}
