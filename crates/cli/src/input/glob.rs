//! Expands the pattern of `--glob` to several URLs, by the rules of curl.
//!
//! `{one,two}` stands for each of its words. `[1-10]`, `[001-100]` and `[a-z]` stand for each number or
//! letter, with a step in `[0-100:10]`. A bracket or brace after a backslash is an ordinary character. The
//! brackets of the address in `http://[::1]/` are ordinary characters too.

use std::net::Ipv6Addr;

/// The most URLs from one argument. A pattern for more URLs is probably a mistake. A list can have millions
/// of URLs.
const MOST: usize = 100_000;

/// A URL, and the value of each of its patterns, which replaces `#1` and so on in a name.
#[derive(Debug, PartialEq, Eq, Clone, Default)]
pub(super) struct Expanded {
    pub(super) url: String,
    pub(super) values: Vec<String>,
}

/// Returns the URLs that a pattern stands for. As in curl, the last pattern changes fastest.
///
/// # Errors
/// Returns what is wrong with the pattern, in words for the user.
pub(super) fn expand(pattern: &str) -> Result<Vec<Expanded>, String> {
    let bad = |why: &str| format!("--glob cannot expand {pattern}: {why}");
    let mut all = vec![Expanded::default()];
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let (set, after) = match c {
            '{' => words(rest).map_err(bad)?,
            '[' => match range(rest, all.first().map_or("", |first| &first.url)).map_err(bad)? {
                Some(found) => found,
                None => {
                    all.iter_mut().for_each(|one| one.url.push('['));
                    rest = &rest[1..];
                    continue;
                }
            },
            '}' => return Err(bad("a } has no {")),
            _ => {
                let escaped = rest.strip_prefix('\\').filter(|next| next.starts_with(['{', '}', '[', ']']));
                let text = escaped.unwrap_or(rest);
                let end = text.chars().next().map_or(0, char::len_utf8);
                all.iter_mut().for_each(|one| one.url.push_str(&text[..end]));
                rest = &text[end..];
                continue;
            }
        };
        if all.len().saturating_mul(set.len()) > MOST {
            return Err(bad(&format!("it stands for more than {MOST} URLs")));
        }
        let with = |one: &Expanded, value: &String| {
            let mut one = one.clone();
            one.url.push_str(value);
            one.values.push(value.clone());
            one
        };
        all = all.iter().flat_map(|one| set.iter().map(move |value| with(one, value))).collect();
        rest = after;
    }
    Ok(all)
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

/// Returns true if a URL seems to contain a pattern that was not expanded. The URL is without secrets.
pub(crate) fn looks_like_pattern(url: &str) -> bool {
    let url = url.replace("%7B", "{").replace("%7b", "{").replace("%7D", "}").replace("%7d", "}");
    let inside = |open, close| {
        let (_, after) = url.split_once(open)?;
        after.split_once(close).map(|(inside, _)| inside.to_string())
    };
    let list = inside('{', '}').is_some_and(|words| words.contains(','));
    let path = url.splitn(4, '/').nth(3).unwrap_or_default();
    list || path.split_once('[').is_some_and(|(_, after)| {
        after
            .split_once(']')
            .is_some_and(|(inside, _)| matches!(values(inside), Ok(values) if values.len() > 1))
    })
}

/// Reads `{one,two}`. Returns its words and the rest.
fn words(text: &str) -> Result<(Vec<String>, &str), &'static str> {
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
                return Ok((all, &inside[at + 1..]));
            }
            _ => word.push(c),
        }
    }
    Err("a { is not closed")
}

/// Reads a range. Returns its values and the rest. Returns `None` for an ordinary bracket. Such a bracket
/// belongs to an address, or is empty.
fn range<'t>(text: &'t str, before: &str) -> Result<Option<(Vec<String>, &'t str)>, &'static str> {
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
fn values(inside: &str) -> Result<Vec<String>, &'static str> {
    const BAD: &str = "a range must be like [1-10], [001-100], [a-z] or [0-100:10]";
    let (range, step) = inside.split_once(':').unwrap_or((inside, "1"));
    let step: usize = step.parse().ok().filter(|step| *step > 0).ok_or(BAD)?;
    let (first, last) = range.split_once('-').ok_or(BAD)?;
    let letter = |text: &str| text.bytes().next().filter(|b| text.len() == 1 && b.is_ascii_alphabetic());
    if let (Some(first), Some(last)) = (letter(first), letter(last)) {
        let values: Vec<String> = (first..=last).step_by(step).map(|b| char::from(b).to_string()).collect();
        return if values.is_empty() { Err(BAD) } else { Ok(values) };
    }
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    let (from, to) = (number(first).ok_or(BAD)?, number(last).ok_or(BAD)?);
    let width = if first.starts_with('0') { first.len() } else { 0 };
    let all = (from..=to).step_by(step).take(MOST + 1).map(|n| format!("{n:0width$}"));
    let values: Vec<String> = all.collect();
    if values.is_empty() { Err(BAD) } else { Ok(values) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(pattern: &str) -> Vec<String> {
        expand(pattern).expect(pattern).into_iter().map(|one| one.url).collect()
    }

    #[test]
    fn patterns_are_those_of_curl() {
        assert_eq!(urls("h/{a,b}[1-2]"), ["h/a1", "h/a2", "h/b1", "h/b2"]);
        assert_eq!(urls("h/[008-010]"), ["h/008", "h/009", "h/010"]);
        assert_eq!(urls("h/[a-e:2]"), ["h/a", "h/c", "h/e"]);
        assert_eq!(urls("h/[0-20:10]"), ["h/0", "h/10", "h/20"]);
        assert_eq!(urls("http://[::1]:80/[1-1]"), ["http://[::1]:80/1"]);
        assert_eq!(urls(r"h/\{a\}{,b\,c}"), ["h/{a}", "h/{a}b,c"]);
        assert_eq!(urls("h/plain?a[]=1"), ["h/plain?a[]=1"]);
        assert_eq!(urls("日/{本,語}"), ["日/本", "日/語"]);
        for bad in ["h/{a,b", "h/a}", "h/[1-2", "h/[x]", "h/[3-1]", "h/[a-9]", "h/{a,{b,c}}", "h/[1-999999]"]
        {
            assert!(expand(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_say_what_a_bracket_became() {
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
