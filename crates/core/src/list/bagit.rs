//! Reads `fetch.txt` of BagIt (RFC 8493, section 2.2.3): lines of the form `URL LENGTH FILENAME`.

use super::addresses::Addresses;
use super::text::Lines;
use super::{AtLine, bad};
use crate::error::{Error, ErrorKind};
use crate::job::{Destination, Job, NamedBy};
use crate::name::SafeName;
use std::io::Read;

/// Returns true if the first line of a text that is not blank has the form of `fetch.txt`. The files in it
/// are always below `data/` (RFC 8493, section 2.2.3).
pub fn begins(beginning: &str) -> bool {
    let first = beginning.lines().find(|line| !line.trim().is_empty());
    first.and_then(parts).is_some_and(|(_, length, name)| {
        let is_length = length == "-" || length.bytes().all(|byte| byte.is_ascii_digit());
        is_length && name.starts_with("data/")
    })
}

/// Returns the URL, the length and the name of the file in a line.
fn parts(line: &str) -> Option<(&str, &str, &str)> {
    let (url, rest) = line.trim().split_once([' ', '\t'])?;
    let (length, name) = rest.trim_start().split_once([' ', '\t'])?;
    Some((url, length, name.trim_start()))
}

/// Returns the jobs of a text, each with the number of its line.
pub fn jobs(text: impl Read, addresses: Addresses) -> impl Iterator<Item = AtLine> {
    (1..).zip(Lines::new(text)).filter_map(move |(number, line)| {
        let line = line.map_err(|e| bad(e.to_string()));
        let text = |line: Vec<u8>| String::from_utf8(line).map_err(|_| bad("it is not UTF-8"));
        let job = line.and_then(text).and_then(|line| job(&line, &addresses));
        job.transpose().map(|job| (number, job))
    })
}

/// Returns the job of a line. A blank line has none.
fn job(line: &str, addresses: &Addresses) -> Result<Option<Job>, Error> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    let (url, length, name) = parts(line).ok_or_else(|| bad("the form is URL LENGTH FILENAME"))?;
    let mut job = addresses.job(url)?;
    // Someone else wrote the bag.
    job.named_by = NamedBy::Document;
    if length != "-" {
        job.size = Some(length.parse().map_err(|_| bad(format!("`{length}` is not a length")))?);
    }
    // Only CR, LF and `%` are percent-encoded (RFC 8493, section 2.2.3). A CR or an LF becomes `_`.
    let name = ["%0D", "%0d", "%0A", "%0a"].iter().fold(name.to_string(), |name, end| name.replace(end, "_"));
    let name = name.replace("%25", "%");
    let safe =
        SafeName::from_publisher(&name).map_err(|why| Error::new(ErrorKind::NameUnsafe, &name, why))?;
    job.destination = Destination::Name(safe);
    Ok(Some(job))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_lines_of_a_bag_are_read() {
        let text = "http://h/a 12 data/x/a b%25.txt\n\nhttps://h/b\t-  data/b\nhttp://h/c many data/c\nhttp://h/d 1 ../d\n";
        assert!(begins(text) && !begins("http://h/a 12 x\n") && !begins("http://h/a data/x") && !begins(""));
        let all: Vec<AtLine> = jobs(text.as_bytes(), Addresses::default()).collect();
        let [(1, Ok(first)), (3, Ok(second)), (4, Err(length)), (5, Err(name))] = &all[..] else {
            panic!("{all:?}");
        };
        let name_of = |job: &Job| match &job.destination {
            Destination::Name(name) => name.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!((name_of(first), first.size), ("data/x/a b%.txt".into(), Some(12)));
        assert_eq!(
            (name_of(second), second.size, second.named_by),
            ("data/b".into(), None, NamedBy::Document)
        );
        assert!(length.to_string().contains("`many` is not a length") && name.kind == ErrorKind::NameUnsafe);
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "\\PC{0,80}") {
            begins(&text);
            jobs(text.as_bytes(), Addresses::default()).for_each(drop);
        }
    }
}
