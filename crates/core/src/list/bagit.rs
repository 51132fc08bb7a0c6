//! Reads `fetch.txt` of BagIt (RFC 8493, section 2.2.3). Its lines have the form `URL LENGTH FILENAME`.

use super::addresses::Addresses;
use super::text::Lines;
use super::{AtLine, bad, unread};
use crate::error::{Error, ErrorKind};
use crate::job::{Destination, Job, NamedBy};
use crate::name::SafeName;
use std::io::Read;

/// Returns true if the first line that is not blank has the form of a line in `fetch.txt`, with a name below
/// `data/`. RFC 8493 (section 2.2.3) allows only such names in a `fetch.txt`.
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

/// Returns the jobs of a text, each with the number of its line. A mistake in a line concerns only the file
/// of this line.
pub fn jobs(text: impl Read, addresses: Addresses) -> impl Iterator<Item = AtLine> {
    (1..).zip(Lines::new(text)).filter_map(move |(number, line)| {
        let text = |line: Vec<u8>| String::from_utf8(line).map_err(|_| bad("its line is not UTF-8"));
        let job = line.map_err(unread).and_then(text).and_then(|line| job(&line, &addresses));
        let of_its_file = |error: Error| match error.kind {
            ErrorKind::ListLine => Error { kind: ErrorKind::ListFile, ..error },
            _ => error,
        };
        job.map_err(of_its_file).transpose().map(|job| (number, job.map(Box::new)))
    })
}

/// Returns the job of a line. A blank line has no job.
fn job(line: &str, addresses: &Addresses) -> Result<Option<Job>, Error> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    let (url, length, name) =
        parts(line).ok_or_else(|| bad("its line must have the form URL LENGTH FILENAME"))?;
    let mut job = addresses.job(url)?;
    // A `fetch.txt` is a document: someone else may have written it.
    job.named_by = NamedBy::Document;
    if length != "-" {
        job.size = Some(length.parse().map_err(|_| bad("the length must be a number or -"))?);
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
    use crate::list::text::{Cut, LONGEST_LINE};
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
        // If the blanks in a URL are not encoded, the text after the first blank is read as the length.
        let shown = length.to_string();
        assert!(shown.contains("must be a number or -") && !shown.contains("many"), "{shown}");
        assert_eq!((length.kind, name.kind), (ErrorKind::ListFile, ErrorKind::NameUnsafe));
    }

    #[test]
    fn a_mistake_in_a_line_concerns_its_file_and_a_text_that_is_cut_off_is_unreadable() {
        for (line, kind) in [
            (&b"http://h/a data/a\n"[..], ErrorKind::ListFile),
            (b"http://h/a 1 data/\xfc\n", ErrorKind::ListFile),
            (&[b'x'; 2 * LONGEST_LINE], ErrorKind::ListFile),
            (b"http://h/a 1 ../a\n", ErrorKind::NameUnsafe),
        ] {
            let kinds: Vec<ErrorKind> =
                jobs(line, Addresses::default()).filter_map(|(_, job)| job.err()).map(|e| e.kind).collect();
            assert_eq!(kinds, [kind]);
        }
        let cut = "http://h/a 1 data/a\n".as_bytes().chain(Cut);
        let all: Vec<AtLine> = jobs(cut, Addresses::default()).collect();
        let [(1, Ok(_)), (2, Err(error))] = &all[..] else { panic!("{all:?}") };
        assert_eq!(error.kind, ErrorKind::ListUnreadable);
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "\\PC{0,80}") {
            begins(&text);
            jobs(text.as_bytes(), Addresses::default()).for_each(drop);
        }
    }
}
