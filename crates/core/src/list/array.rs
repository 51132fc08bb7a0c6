//! Reads JSON arrays of objects, such as `[{"url": "..."}, ...]`, which databases export. Each object is read
//! like a JSON line (`jsonl`). An element that is a string is a URL.
//!
//! Invariant: the memory in use is limited to one element, whose length is limited.

use super::addresses::Addresses;
use super::text::LONGEST_LINE;
use super::{AtLine, bad, jsonl};
use crate::error::{Error, ErrorKind};
use crate::job::Job;
use crate::unique_keys;
use serde_json::Value;
use std::io::{self, BufRead};

/// Returns true if a text begins with an array of objects or strings, or with an empty array. The character
/// `[` alone does not show an array: a URL without a scheme may begin with an IPv6 address, such as `[::1]`.
pub fn begins(beginning: &str) -> bool {
    let inside = beginning.trim_start().strip_prefix('[').map(str::trim_start);
    inside.is_some_and(|inside| inside.starts_with(['{', '"', ']']))
}

/// The jobs of an array, each with the number of the line in which its element begins.
pub struct Array<R> {
    text: R,
    addresses: Addresses,
    line: u64,
    is_begun: bool,
    over: bool,
}

impl<R: BufRead> Array<R> {
    /// Reads an array from this text.
    pub fn new(text: R, addresses: Addresses) -> Array<R> {
        Array { text, addresses, line: 1, is_begun: false, over: false }
    }

    /// Returns the text of the next element, and the number of its first line. Returns `None` at the end of
    /// the array.
    fn read_element(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why);
        // An element may follow the opening bracket, and must follow each comma.
        let (mut may_follow, mut must_follow) = (false, false);
        loop {
            match self.peek()? {
                Some(byte) if byte.is_ascii_whitespace() => self.take(),
                Some(b'[') if !self.is_begun => {
                    (self.is_begun, may_follow) = (true, true);
                    self.take();
                }
                Some(b',') if self.is_begun && !may_follow => {
                    (may_follow, must_follow) = (true, true);
                    self.take();
                }
                Some(b']') if must_follow => {
                    return Err(bad("a comma follows the last element of the array"));
                }
                Some(b']') if self.is_begun => return self.end().map(|()| None),
                Some(b'{' | b'"') if may_follow => break,
                None => return Err(bad("the end of the array is missing")),
                Some(_) => return Err(bad("this is not an array of objects or URLs")),
            }
        }
        let (line, mut element, mut depth) = (self.line, Vec::new(), 0_usize);
        let (mut in_text, mut is_escaped) = (false, false);
        while let Some(byte) = self.peek()? {
            self.take();
            element.push(byte);
            match byte {
                _ if std::mem::take(&mut is_escaped) => {}
                b'\\' if in_text => is_escaped = true,
                b'"' => in_text = !in_text,
                b'{' | b'[' if !in_text => depth += 1,
                b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && !in_text {
                return Ok(Some((line, element)));
            }
            if element.len() > LONGEST_LINE {
                return Err(bad("an element is longer than 1 MiB"));
            }
        }
        Err(bad("the end of the array is missing"))
    }

    /// Reads the bracket at the end of the array. Only blanks and line ends may follow the bracket.
    fn end(&mut self) -> io::Result<()> {
        self.take();
        while let Some(byte) = self.peek()? {
            if !byte.is_ascii_whitespace() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "text follows the end of the array"));
            }
            self.take();
        }
        Ok(())
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.text.fill_buf()?.first().copied())
    }

    /// Consumes the byte that `peek` returned.
    fn take(&mut self) {
        let is_line_end = self.text.fill_buf().is_ok_and(|some| some.first() == Some(&b'\n'));
        self.line += u64::from(is_line_end);
        self.text.consume(1);
    }
}

impl<R: BufRead> Iterator for Array<R> {
    type Item = AtLine;

    fn next(&mut self) -> Option<AtLine> {
        if self.over {
            return None;
        }
        loop {
            match self.read_element() {
                Ok(Some((line, element))) => match job(&element, &self.addresses) {
                    Ok(None) => {}
                    // A line of a lock file may replace an earlier line. An element never replaces an earlier
                    // element, because several elements may be in one line.
                    Ok(Some(job)) => return Some((line, Ok(Box::new(Job { is_recorded: false, ..job })))),
                    Err(error) => return Some((line, Err(error))),
                },
                Ok(None) => {
                    self.over = true;
                    return None;
                }
                Err(e) => {
                    self.over = true;
                    let why = format!("line {}: {e}", self.line);
                    return Some((0, Err(Error::new(ErrorKind::ListUnreadable, "", why))));
                }
            }
        }
    }
}

/// Returns the job of an element. Returns `None` if the element is a line of a lock file about a job that
/// failed.
fn job(element: &[u8], addresses: &Addresses) -> Result<Option<Job>, Error> {
    match unique_keys::read(element) {
        Ok(Value::Object(keys)) if jsonl::has_failed(&keys) => Ok(None),
        Ok(Value::Object(keys)) => jsonl::job(keys, addresses).map(Some),
        Ok(Value::String(url)) => addresses.job(url.trim()).map(Some),
        Ok(_) => Err(bad("an element of the array must be an object or a string")),
        Err(e) => Err(bad(e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<(u64, Result<String, String>)> {
        let shown = |job: Result<Box<Job>, Error>| match job {
            Ok(job) => Ok(job.urls[0].to_string()),
            Err(error) => Err(error.detail),
        };
        Array::new(text.as_bytes(), Addresses::default()).map(|(line, job)| (line, shown(job))).collect()
    }

    #[test]
    fn objects_and_texts_are_jobs() {
        let text = "[\n {\"url\": \"http://h/a,}]\\\"\", \"x\": [{\"y\": 1}]},\n\n \"http://h/b\" ,{\"url\":\"http://h/c\",\n\"out\":\"c\"}\n]\n";
        assert!(begins(text));
        let all = read(text);
        let lines: Vec<u64> = all.iter().map(|(line, _)| *line).collect();
        let urls: Vec<&str> = all.iter().map(|(_, url)| url.as_deref().expect("a URL")).collect();
        assert_eq!((lines, urls), (vec![2, 4, 4], vec!["http://h/a,%7D]%22", "http://h/b", "http://h/c"]));
        assert_eq!((read("[]"), read(" [ ] ")), (Vec::new(), Vec::new()));
        let mut empty = Array::new("[]".as_bytes(), Addresses::default());
        assert!(empty.next().is_none() && empty.next().is_none());
    }

    #[test]
    fn lines_of_a_lock_file_about_failures_are_no_jobs() {
        let line = |status: &str, url: &str| {
            let entry = format!(
                r#"{{"url":"{url}","out":"a","path":"a","status":"{status}","tries":1,"date":"2026-01-01"}}"#
            );
            assert_eq!(crate::list::line(entry.as_bytes()).expect("readable").is_some(), status != "failed");
            entry
        };
        let text =
            [line("failed", "http://h/a"), line("finished", "http://h/b"), line("failed", "http://h/c")];
        let urls: Vec<_> = read(&format!("[{}]", text.join(","))).into_iter().map(|(_, url)| url).collect();
        assert_eq!(urls, [Ok("http://h/b".into())]);
    }

    #[test]
    fn mistakes_are_errors_with_the_number_of_their_line() {
        for (text, number, line, says) in [
            (
                "[{\"url\":\"http://h/a\"},\n{\"out\":\"x\"},\n{\"url\":\"http://h/b\"}]",
                3,
                2,
                "it needs `url`",
            ),
            ("[{\"url\":\"http://h/a\"}\n", 2, 0, "the end of the array is missing"),
            (
                "[{\"url\":\"http://h/a\"}\n{\"url\":\"http://h/b\"}]",
                2,
                0,
                "line 2: this is not an array of objects or URLs",
            ),
            ("[\"http://h/a\"]\nx", 2, 0, "text follows"),
            ("[,\"http://h/a\"]", 1, 0, "this is not an array of objects or URLs"),
            ("[\"http://h/a\" ,\n]", 2, 0, "line 2: a comma follows the last element of the array"),
            ("[\"http://h/a", 1, 0, "the end of the array is missing"),
        ] {
            let all = read(text);
            let error = all.iter().find(|(_, job)| job.is_err()).expect(text);
            assert_eq!((all.len(), error.0), (number, line), "{text}: {all:?}");
            assert!(error.1.as_ref().is_err_and(|error| error.contains(says)), "{text}: {error:?}");
        }
        let long = format!("[\"{}\"]", "x".repeat(2 * LONGEST_LINE));
        assert!(read(&long)[0].1.as_ref().is_err_and(|error| error.contains("longer than 1 MiB")));
    }

    #[test]
    fn other_lists_are_no_arrays() {
        for text in ["", "[::1]:8080/a", "{\"url\":\"http://h/a\"}", "[1,2]", "[section]"] {
            assert!(!begins(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "[\\[\\]{}\",:a\\\\ \n]{0,80}") {
            prop_assert!(Array::new(text.as_bytes(), Addresses::default()).count() <= text.len() + 1);
        }
    }
}
