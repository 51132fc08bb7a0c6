//! Reads jobs from lists. [`form`] recognises the form of a list. Lines, tables and arrays are read one job
//! at a time, so even a very long list in one of these forms needs only the memory for one job.
//!
//! A plain line has one or several URLs, and may have a name (`lines`). A line that begins with `{` is JSON
//! (`jsonl`). [`text`] splits a text in UTF-8 or UTF-16, with any line ends, into lines. [`metalink`] reads
//! Metalink documents. Each file in a Metalink document is a job.
//!
//! [`checksums`] reads checksum lists, whose lines describe files and are not jobs.

pub mod addresses;
mod aria2;
mod array;
mod bagit;
pub mod checksums;
pub mod columns;
mod curl;
mod described;
pub mod form;
mod header_keys;
mod jsonl;
pub mod left_over;
mod lines;
pub mod metalink;
pub mod option_keys;
pub mod required_keys;
mod rows;
pub mod table;
pub mod text;

use crate::error::{Error, ErrorKind};
use crate::job::Job;
use crate::name::SafeName;
use addresses::Addresses;
use std::io;

/// The number of a line, and the job or the error in this line. The number is 0 if a job or an error has no
/// line of its own.
pub type AtLine = (u64, Result<Box<Job>, Error>);

/// The line that `conda list --explicit` writes before the URLs. Each of these URLs may have a digest in its
/// fragment.
const EXPLICIT: &str = "@EXPLICIT";

/// Reads one line of a list. Returns `None` for blank lines, comments, `@EXPLICIT`, and lines of a lock file
/// about jobs that failed.
///
/// # Errors
/// Returns `list.line`, `url.*` or `name.unsafe` if the line, one of its URLs or its name cannot be used. If
/// the line is from a lock file and its name cannot be used, returns `list.file`. The caller adds the number
/// of the line.
pub fn line(bytes: &[u8]) -> Result<Option<Job>, Error> {
    Ok(line_with(bytes, &Addresses::default())?.map(|job| *job))
}

/// Reads one line of a list. `addresses` has the rules for the addresses in the line.
fn line_with(bytes: &[u8], addresses: &Addresses) -> Result<Option<Box<Job>>, Error> {
    // A comment may have any encoding.
    if bytes.trim_ascii_start().starts_with(b"#") {
        return Ok(None);
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|_| bad("it is not UTF-8 (a UTF-16 list needs a byte order mark at its beginning)"))?;
    if text.contains('\0') {
        return Err(bad(
            "it contains NUL bytes: is the list UTF-16 without a byte order mark? Save it as UTF-8",
        ));
    }
    // A list may consist of several joined texts, and each of these texts may begin with a byte order mark.
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() || text.starts_with('#') || text == EXPLICIT {
        return Ok(None);
    }
    match text.starts_with('{') {
        true => Ok(jsonl::parse(text, addresses)?.map(Box::new)),
        false => Ok(Some(Box::new(lines::parse(text, addresses)?))),
    }
}

/// Returns the folder that a list gives for a file. An absolute folder becomes a folder below the output
/// folder. Returns `None` if the text names no folder.
fn folder(text: &str) -> Result<Option<SafeName>, Error> {
    let text = text.trim();
    if text.split('/').all(|part| part.is_empty() || part == ".") {
        return Ok(None);
    }
    let folder = SafeName::from_person(text.trim_matches('/'));
    folder.map(Some).map_err(|why| Error::new(ErrorKind::NameUnsafe, text, why))
}

fn bad(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::ListLine, "", why.into())
}

/// Returns the error for a line that [`Lines`](text::Lines) cannot return. If the line is too long, the error
/// concerns only this line, and the lines after it are still read. Any other error ends the list, so some of
/// the files in the list may be missing.
fn unread(e: io::Error) -> Error {
    let kind = match e.kind() {
        io::ErrorKind::InvalidData => ErrorKind::ListLine,
        _ => ErrorKind::ListUnreadable,
    };
    Error::new(kind, "", e.to_string())
}

/// Returns the size, in bytes, of the digest that a key of a JSON line is for. Returns 0 if the key does not
/// tell the size, because its value tells the algorithm or may have several digests, or because the algorithm
/// is not supported. Returns `None` if the key is not for digests.
pub fn digest_size(key: &str) -> Option<usize> {
    jsonl::digest_size(key)
}

/// Returns the name of a key in a form that is the same for `user_agent`, `user-agent` and `userAgent`.
fn bare(name: &str) -> String {
    name.replace(['-', '_'], "").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Destination;
    use proptest::prelude::*;

    // This function is long because it is a list of cases.
    #[test]
    fn all_kinds_of_lines_are_read() {
        let job = |text: &str| line(text.as_bytes()).expect(text).expect(text);
        let name = |text: &str| match job(text).destination {
            Destination::Name(name) => name.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(line(b"  # comment").expect("fine"), None);
        assert_eq!(line(b"# M\xfcller").expect("fine"), None);
        assert_eq!(line(b" \r\n").expect("fine"), None);
        assert_eq!(job("\u{feff}http://h/a\r\n").destination, Destination::Server);
        assert_eq!(name("http://h/a  my file.txt"), "my file.txt");
        assert_eq!(name("http://h/a\tdir/my file.txt"), "dir/my file.txt");
        assert_eq!(job("http://h/a\thttps://m/a").urls.len(), 2);
        assert_eq!(name("http://h/a\thttps://m/a\tname"), "name");
        assert_eq!(name("http://h/a\thttps://m/a name two"), "name two");
        assert_eq!(job("http://h/a,b").urls[0].path(), "/a,b");
        // A URL without a scheme gets https, or http if its host is this machine. A name that looks like a
        // host is still a name.
        let assumed = job("example.com/a\tdata.io/x");
        assert_eq!((assumed.urls[0].as_str(), assumed.assumed_https), ("https://example.com/a", true));
        assert_eq!(name("example.com/a\tdata.io/x"), "data.io/x");
        assert_eq!(job(r#"{"url":"localhost:8080/a"}"#).urls[0].as_str(), "http://localhost:8080/a");

        assert_eq!(line(b"@EXPLICIT\n").expect("fine"), None);
        let conda = format!("https://h/a.conda#{}", "0a".repeat(16));
        assert_eq!((job(&conda).expected.len(), job(&conda).urls[0].as_str()), (1, "https://h/a.conda"));
        let mirrors = format!("http://h/a\thttps://m/a#sha256={}\tname", "0a".repeat(32));
        assert_eq!((job(&mirrors).expected.len(), job(&mirrors).urls.len()), (1, 2));
        assert_eq!(name(&mirrors), "name");
        assert_eq!(job("http://h/a#top").expected.len(), 0);

        let json = job(r#"{"url":"http://h/a","out":"x/y","sha256":"AB","id":7}"#.replace("AB", &"ab".repeat(32)).as_str());
        assert_eq!(json.extra.get("id"), Some(&7.into()));
        assert_eq!(json.expected.len(), 1);
        assert_eq!(job(r#"{"urls":["http://h/a","http://m/a"]}"#).urls.len(), 2);
        let three = r#"{"url":"http://h/a","md5":"MD5","crc32c":"01020304","checksum":"sha1:SHA1"}"#;
        let three = three.replace("MD5", &"0".repeat(32)).replace("SHA1", &"0".repeat(40));
        assert_eq!(job(&three).expected.len(), 3);
        for (key, value) in [
            ("sha256sum", "ab".repeat(32)),
            ("md5_hash", "ab".repeat(16)),
            ("checksum-sha256", "ab".repeat(32)),
            ("md5Hash", "1B2M2Y8AsgTpgAmY7PhCfg==".into()),
            ("checksum", "ab".repeat(32)),
            ("checksum", format!("sha256={}", "ab".repeat(32))),
            ("digest", format!("sha256:{}", "ab".repeat(32))),
            ("integrity", "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".into()),
        ] {
            let json = job(&format!(r#"{{"url":"http://h/a","{key}":"{value}"}}"#));
            assert!(json.expected.len() == 1 && json.extra.is_empty(), "{key}");
        }
        let sha256 = "ab".repeat(32);
        for several in [
            format!(
                r#""digests":{{"blake2b_256":"{sha256}","md5":"{}","sha256":"{sha256}"}}"#,
                "cd".repeat(16)
            ),
            format!(r#""hashes":{{"sha256":["{sha256}"]}}"#),
            format!(r#""hashes":[{{"algorithm":"sha256","value":"{sha256}"}}]"#),
            format!(r#""checksums":["sha256:{sha256}"]"#),
            format!(r#""checksum":{{"type":"SHA-256","checksum":"{sha256}"}}"#),
        ] {
            let json = job(&format!(r#"{{"url":"http://h/a",{several}}}"#));
            let strong = json.expected.iter().filter(|one| one.digest.algorithm.is_strong()).count();
            assert_eq!((strong, json.notes.len(), json.extra.len()), (1, 0, 0), "{several}");
        }
        for unused in [
            r#""digests":{"blake2b_256":"ab"}"#,
            r#""sha":"0123456789012345678901234567890123456789""#,
            r#""content_hash":"ab""#,
        ] {
            let json = job(&format!(r#"{{"url":"http://h/a",{unused}}}"#));
            assert_eq!((json.expected.len(), json.notes.len(), json.extra.len()), (0, 1, 1), "{unused}");
        }
        let commit = job(&format!("http://h/a#{}", "ab".repeat(20)));
        assert_eq!((commit.expected.len(), commit.notes.len()), (0, 1));
        assert_eq!(job(&format!("http://h/a#{}", "ab".repeat(64))).expected.len(), 1);
        let both = format!(r#"{{"url":"http://h/a#md5={0}","md5":"{0}"}}"#, "ab".repeat(16));
        assert_eq!(job(&both).expected.len(), 1);
    }

    #[test]
    fn secrets_in_keys_without_a_meaning_are_hidden() {
        let text = r#"{"url":"http://h/a","hf_token":"hush","token":"12 hush","password":["hush"],"private-key":"hush",
            "user":{"accessToken":"hush","ids":[{"session token":"hush"}]},"tokens":512,"max_token":"64","key":"k",
            "download_url":"https://u:hush@h/a?token=hush&x=1","page":"https://h/p?x=1#top","urls_seen":["https://h/?sig=hush"]}"#;
        let extra = serde_json::Value::from(line(text.as_bytes()).expect("fine").expect("a job").extra);
        assert!(!extra.to_string().contains("hush"), "{extra}");
        for (key, value) in [
            ("max_token", "64"),
            ("key", "k"),
            ("download_url", "https://h/a?token=***&x=1"),
            ("page", "https://h/p?x=1#top"),
        ] {
            assert_eq!(extra[key], value);
        }
        assert_eq!(extra["tokens"], 512);
    }

    #[test]
    fn malformed_lines_are_errors() {
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
            r#"{"url":"http://h/a","digests":{"sha256":"zz"}}"#,
            r#"{"url":"http://h/a","hashes":{"sha256":5}}"#,
            r#"{"url":"http://h/a","hashes":["zz"]}"#,
            r#"{"url":"http://h/a","sha3_256sum":"00"}"#,
            r#"{"url":"http://h/a","hash":"0000000000000000000000000000000000000000"}"#,
            r#"{"url":"http://h/a","integrity":"sha256-AAAA"}"#,
            r#"{"url":"http://h/a#sha256=00"}"#,
            r#"{"url":"http://h/a#00000000000000000000000000000000","md5":"11111111111111111111111111111111"}"#,
            "http://h/a#sha256=abc",
            "http://h/a\thttp://m/a#md5:",
            "http://h/a#sha3-256=00",
            "h\0t\0t\0p\0",
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
        fn no_line_causes_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = line(&bytes);
        }
    }
}
