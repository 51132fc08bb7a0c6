//! Makes the texts of WARC records (`--to-warc`): the headers of the records, and the heads of HTTP responses
//! in the records. The format is WARC/1.1 (ISO 28500:2017, <https://iipc.github.io/warc-specifications/>).
//!
//! Invariant: a header has one line for each field, whatever the values are.

use crate::event::rfc3339;
use std::time::SystemTime;

/// The bytes after the block of each record.
pub const END: &[u8] = b"\r\n\r\n";

/// The media type of a block with a request.
pub const REQUEST: &str = "application/http; msgtype=request";
/// The media type of a block with a response.
pub const RESPONSE: &str = "application/http; msgtype=response";

/// Returns the header of a record with its empty line. `kind` is the value of `WARC-Type`, and `length` is
/// the number of bytes in the block of the record.
pub fn header(kind: &str, fields: &[(&str, &str)], length: u64) -> Vec<u8> {
    let mut text = format!("WARC/1.1\r\nWARC-Type: {kind}\r\n");
    for (name, value) in fields {
        text.push_str(name);
        text.push_str(": ");
        text.extend(value.chars().map(|c| if c.is_control() { ' ' } else { c }));
        text.push_str("\r\n");
    }
    text.push_str(&format!("Content-Length: {length}\r\n\r\n"));
    text.into_bytes()
}

/// Returns the value of a field in the header of a record.
pub fn field<'t>(header: &'t str, name: &str) -> Option<&'t str> {
    let mut lines = header.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines.find(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// Returns the head of a response, changed for a record that has the whole content of the file. `size` is the
/// size of the content in bytes. The status 206 becomes 200. Headers about the transfer coding are left out.
/// In the head of a 206, headers about the range are left out too. If the size is not known, the length is
/// kept as the server stated it.
pub fn whole_head(head: &[u8], size: Option<u64>) -> Vec<u8> {
    let lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    // Empty lines before a response are ignored (RFC 9112, section 2.2).
    let mut lines = lines.skip_while(|line| line.is_empty());
    let status = lines.next().unwrap_or_default();
    let is_range = status.get(8..).is_some_and(|rest| rest.trim_ascii_start().starts_with(b"206"));
    let mut whole = if is_range { b"HTTP/1.1 200 OK".to_vec() } else { status.to_vec() };
    whole.extend_from_slice(b"\r\n");
    let (mut is_kept, mut has_length) = (true, false);
    for line in lines.take_while(|line| !line.is_empty()) {
        // A line that begins with a space or a tab continues the line before it (RFC 9112, section 5.2).
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii();
            let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
            let of_transfer = ["transfer-encoding", "trailer"].iter().any(|other| is(other));
            let of_range = ["content-range", "content-digest", "content-md5"].iter().any(|other| is(other));
            is_kept = !(of_transfer || (is_range && of_range));
            if let Some(size) = size.filter(|_| is("content-length")) {
                if !has_length {
                    whole.extend_from_slice(format!("Content-Length: {size}\r\n").as_bytes());
                }
                (has_length, is_kept) = (true, false);
            }
        }
        if is_kept {
            whole.extend_from_slice(line);
            whole.extend_from_slice(b"\r\n");
        }
    }
    whole.extend_from_slice(b"\r\n");
    whole
}

/// Returns a time as the value of `WARC-Date`.
pub fn date(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    rfc3339::text(u64::try_from(since.as_millis()).unwrap_or_default())
}

/// Returns bytes in base 32 (RFC 4648, section 6), without padding.
pub fn base32(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = String::new();
    for some in bytes.chunks(5) {
        let mut five = [0; 8];
        five[3..3 + some.len()].copy_from_slice(some);
        let number = u64::from_be_bytes(five);
        let digits = (some.len() * 8).div_ceil(5);
        text.extend((0..digits).map(|n| char::from(DIGITS[(number >> (35 - 5 * n) & 31) as usize])));
    }
    text
}

/// Returns the identifier of a record from random numbers: a UUID of version 4 (RFC 9562, section 5.4).
pub fn identifier(random: [u64; 2]) -> String {
    let high = random[0] & !0xf000 | 0x4000;
    let low = random[1] & !(0b11 << 62) | (0b10 << 62);
    let hex = format!("{high:016x}{low:016x}");
    let [a, b, c, d, e] = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    format!("<urn:uuid:{a}-{b}-{c}-{d}-{e}>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns the offset of the first byte after the head of a message or a record.
    fn end_of_head(bytes: &[u8]) -> Option<usize> {
        bytes.windows(4).position(|some| some == END).map(|at| at + END.len())
    }

    #[test]
    fn a_range_gets_the_head_of_the_whole_file() {
        let head = b"HTTP/1.1 206 Partial Content\r\nDate: x\r\nContent-Length: 5\r\nContent-Range: bytes 5-9/10\r\n\
            Content-Digest: y\r\nETag: \"e\"\r\n\r\n";
        let whole = "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 10\r\nETag: \"e\"\r\n\r\n";
        assert_eq!(String::from_utf8(whole_head(head, Some(10))).expect("UTF-8"), whole);
        // From other heads, only the headers about the transfer coding are removed. Heads may have line ends
        // of Unix.
        let head = b"HTTP/1.0 200 Fine\nTransfer-Encoding: chunked,\n gzip\nX-A: 1\n 2\nTrailer: X\n\n";
        let whole = "HTTP/1.0 200 Fine\r\nX-A: 1\r\n 2\r\n\r\n";
        assert_eq!(String::from_utf8(whole_head(head, Some(10))).expect("UTF-8"), whole);
        // Empty lines before a response are ignored.
        let head = b"\r\nHTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/10\r\n\r\n";
        assert_eq!(whole_head(head, Some(10)), b"HTTP/1.1 200 OK\r\n\r\n");
        // If a body was not read to its end, its size is not known.
        let head = b"HTTP/1.1 302 Found\r\nContent-Length: 17\r\n\r\n";
        assert_eq!(whole_head(head, None), head);
    }

    #[test]
    fn digests_and_identifiers_have_their_usual_forms() {
        // The test vectors of RFC 4648, section 10, without padding.
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
        assert_eq!(identifier([u64::MAX; 2]), "<urn:uuid:ffffffff-ffff-4fff-bfff-ffffffffffff>");
        assert_eq!(identifier([0; 2]), "<urn:uuid:00000000-0000-4000-8000-000000000000>");
    }

    #[test]
    fn a_value_never_begins_another_line() {
        let header = header("response", &[("WARC-Target-URI", "http://h/\r\nWARC-Type: x"), ("A", "b")], 7);
        let text = String::from_utf8(header.clone()).expect("UTF-8");
        assert_eq!((field(&text, "warc-type"), field(&text, "a")), (Some("response"), Some("b")));
        assert_eq!((field(&text, "Content-Length"), text.lines().count()), (Some("7"), 6));
        assert_eq!(end_of_head(&header), Some(header.len()));
    }

    proptest! {
        #[test]
        fn no_head_causes_a_panic(head in prop::collection::vec(any::<u8>(), 0..200)) {
            let whole = whole_head(&head, Some(5));
            prop_assert_eq!(end_of_head(&whole), Some(whole.len()));
        }
    }
}
