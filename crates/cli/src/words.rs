//! Formats paths for messages, and finds the known word that a misspelt word may mean.

use downhaul_engine::core::show;
use std::path::Path;

pub(crate) fn path(path: &Path) -> String {
    show::escaped(&path.to_string_lossy()).into_owned()
}

/// Returns the path of a file with a secret, in the form for messages. If there is no such file and the text
/// does not look like a path, the text is not shown, because the user may have given the secret itself, such
/// as `--cookies 'session=VALUE'`.
pub(crate) fn file_of_secret(path: &Path) -> String {
    let text = path.to_string_lossy();
    let below_drive = text.get(2..).filter(|_| cfg!(windows) && text.as_bytes()[1] == b':').unwrap_or(&text);
    let is_path = !below_drive.contains(['=', ':', ';', '\n'])
        && (below_drive.contains(['/', '\\']) || !below_drive.contains(' '));
    if is_path || path.exists() { self::path(path) } else { "***".into() }
}

/// Returns the known word that is most similar to `word`, if a typing error is likely. At most one letter in
/// four (rounded up) may be changed, missing or added. The result is never the opposite of the word, such as
/// `resume` for `no-resume`.
pub(crate) fn corrected<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let negates = |word: &str| word.starts_with("no-");
    let same_sense = known.into_iter().filter(|name| negates(name) == negates(&word));
    let distances = same_sense.map(|name| (distance(&word, name), name));
    distances.filter(|(distance, name)| *distance <= name.len().div_ceil(4)).min().map(|(_, name)| name)
}

/// Returns how many letters must be changed, added or removed to turn one word into the other (the
/// Levenshtein distance).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut before = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.chars().enumerate() {
            let least = (before + usize::from(a != b)).min(row[j] + 1).min(row[j + 1] + 1);
            before = std::mem::replace(&mut row[j + 1], least);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_typing_errors_are_corrected() {
        let known = ["retries", "no-resume", "connections", "verify", "repair", "man"];
        for (word, meant) in [
            ("retrys", Some("retries")),
            ("conections", Some("connections")),
            ("verfy", Some("verify")),
            ("repare", Some("repair")),
            ("resume", None),
            ("mon", Some("man")),
            ("something", None),
        ] {
            assert_eq!(corrected(word, known), meant, "{word}");
        }
    }
}
