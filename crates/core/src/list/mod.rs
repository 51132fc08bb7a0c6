//! Text into jobs, one line at a time, so that a list of any length costs the memory of one line.
//!
//! ([`checksums`] reads lists of digests, which are about files and not jobs.)
//!
//! [`metalink`] reads documents instead of lines, whose files are jobs, too.
//!
//! A line is either plain ([`lines`]: URLs and a name) or JSON ([`jsonl`]: it begins with `{`).

pub mod checksums;
mod jsonl;
mod lines;
pub mod metalink;

use crate::error::{Error, Kind};
use crate::job::JobSpec;

/// A job of a list, or why there is none, and the line where it is.
pub type AtLine = (u64, Result<JobSpec, Error>);

/// Reads one line of a list. `None` for blank lines and comments.
///
/// # Errors
/// `list.line`, `url.*` or `name.unsafe`: what is wrong with the line (without its number, which the reader
/// of the list knows).
pub fn line(bytes: &[u8]) -> Result<Option<JobSpec>, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::new(Kind::ListLine, "", "it is not UTF-8"))?;
    // A byte order mark is what some editors of Windows put before the first line.
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    if text.starts_with('{') { jsonl::parse(text).map(Some) } else { lines::parse(text).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Target;
    use proptest::prelude::*;

    #[test]
    fn lines_of_all_kinds() {
        let job = |text: &str| line(text.as_bytes()).expect(text).expect(text);
        let name = |text: &str| match job(text).target {
            Target::Name(name) => name.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(line(b"  # comment").expect("fine"), None);
        assert_eq!(line(b" \r\n").expect("fine"), None);
        assert_eq!(job("\u{feff}http://h/a\r\n").target, Target::Server);
        assert_eq!(name("http://h/a  my file.txt"), "my file.txt");
        assert_eq!(name("http://h/a\tdir/my file.txt"), "dir/my file.txt");
        assert_eq!(job("http://h/a\thttps://m/a").urls.len(), 2);
        assert_eq!(name("http://h/a\thttps://m/a\tname"), "name");
        assert_eq!(name("http://h/a\thttps://m/a name two"), "name two");
        assert_eq!(job("http://h/a,b").urls[0].path(), "/a,b");
        // Without a scheme, https is assumed; a name may look like a host all the same.
        let assumed = job("example.com/a\tdata.io/x");
        assert_eq!((assumed.urls[0].as_str(), assumed.assumed_https), ("https://example.com/a", true));
        assert_eq!(name("example.com/a\tdata.io/x"), "data.io/x");
        assert_eq!(job(r#"{"url":"localhost:8080/a"}"#).urls[0].as_str(), "http://localhost:8080/a");

        let json = job(r#"{"url":"http://h/a","out":"x/y","sha256":"AB","id":7}"#.replace("AB", &"ab".repeat(32)).as_str());
        assert_eq!(json.extra.get("id"), Some(&7.into()));
        assert_eq!(json.expected.len(), 1);
        assert_eq!(job(r#"{"urls":["http://h/a","http://m/a"]}"#).urls.len(), 2);
        let three = r#"{"url":"http://h/a","md5":"MD5","crc32c":"01020304","checksum":"sha1:SHA1"}"#;
        let three = three.replace("MD5", &"0".repeat(32)).replace("SHA1", &"0".repeat(40));
        assert_eq!(job(&three).expected.len(), 3);
    }

    #[test]
    fn bad_lines_are_errors() {
        for bad in [
            "example.com",
            "README.md what to read first",
            "ftp://h/a",
            "http://h/a ../x",
            "http://h/a http://h/b",
            r#"{"url":"http://h/a","SHA-256":"zz"}"#,
            "http://h/a\t/abs",
            "{",
            "{}",
            r#"{"url":5}"#,
            r#"{"url":"http://h/a","sha256":"zz"}"#,
            r#"{"url":"http://h/a","md5":"00"}"#,
            r#"{"url":"http://h/a","sha224":"00"}"#,
            r#"{"url":"http://h/a","checksum":"00"}"#,
            r#"{"url":"http://h/a","checksum":5}"#,
            r#"{"urls":[]}"#,
            r#"{"url":"http://h/a","out":"../x"}"#,
            r#"{"url":"http://h/a","out":5}"#,
            "[1]",
        ] {
            assert!(line(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(line(b"http://h/\xff").is_err());
    }

    proptest! {
        #[test]
        fn no_line_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = line(&bytes);
        }
    }
}
