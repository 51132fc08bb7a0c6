//! Reads the file name in a `Content-Disposition` (RFC 6266) as browsers do. `filename*` is preferred to
//! `filename`, and a name that cannot be read is ignored.
//!
//! No existing crate is used. The crate that was tried fails on `;` within quotes, on escaped quotes, and on
//! the order of `filename` and `filename*`.

use super::encoded_words;
use crate::name::{self, SafeName};
use encoding_rs::Encoding;
use url::Url;

/// Returns the safe form of the name, or `None` if there is no usable name. `url` is the URL of the response.
pub(super) fn file_name(value: &[u8], url: &Url) -> Option<SafeName> {
    let parameters = parameters(value);
    let of = |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let extended =
        of("filename*").and_then(|v| decode_extended(v)).and_then(|text| SafeName::from_server(&text));
    let text = |v: &Vec<u8>| name::unescaped(&encoded_words::decoded(&name::decoded(v, url)));
    let plain = || of("filename").and_then(|v| SafeName::from_server(&text(v)));
    extended.or_else(plain)
}

/// Returns the parameters after the disposition type. Names are in lower case. Values have no quotes or
/// escapes.
fn parameters(value: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut rest = value;
    while !rest.is_empty() {
        // The type has no `=`. Some servers leave the type out: `filename=x; charset=y`.
        let Some(equals) = rest.iter().position(|&b| b == b'=' || b == b';') else { break };
        let name = String::from_utf8_lossy(rest[..equals].trim_ascii()).to_ascii_lowercase();
        let was_equals = rest[equals] == b'=';
        rest = &rest[equals + 1..];
        if !was_equals {
            continue;
        }
        let (parameter, beyond) = parameter_value(rest);
        // Other servers leave out the `;` after the type: `attachment filename=x`.
        let name = name.split_ascii_whitespace().next_back().unwrap_or_default().to_string();
        found.push((name, parameter));
        rest = beyond;
    }
    found
}

/// Reads a quoted string and undoes its escapes, or reads up to the next `;`. Returns the value and the text
/// after it.
fn parameter_value(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let text = text.trim_ascii_start();
    let after = |rest: &'_ [u8]| rest.iter().position(|&b| b == b';').map_or(rest.len(), |i| i + 1);
    if text.first() != Some(&b'"') {
        let end = text.iter().position(|&b| b == b';').unwrap_or(text.len());
        return (text[..end].trim_ascii().to_vec(), &text[(end + 1).min(text.len())..]);
    }
    let mut out = Vec::new();
    let mut i = 1;
    while i < text.len() && text[i] != b'"' {
        if text[i] == b'\\' && i + 1 < text.len() {
            i += 1;
        }
        out.push(text[i]);
        i += 1;
    }
    let rest = &text[(i + 1).min(text.len())..];
    (out, &rest[after(rest)..])
}

/// Decodes a value such as `UTF-8'en'%e2%82%ac.txt` (RFC 8187).
fn decode_extended(value: &[u8]) -> Option<String> {
    let mut parts = value.splitn(3, |&b| b == b'\'');
    let (charset, _language, encoded) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes: Vec<u8> = percent_encoding::percent_decode(encoded).collect();
    // The charset is stated, so bytes that look like the byte order mark of another charset do not change it.
    let (text, malformed) = Encoding::for_label(charset)?.decode_with_bom_removal(&bytes);
    (!malformed).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(value: &[u8]) -> Option<String> {
        file_name(value, &Url::parse("http://h/").expect("a URL")).map(|name| name.to_string())
    }

    #[test]
    fn file_names_are_read_in_the_forms_that_servers_write() {
        for (value, expected) in [
            ("attachment; filename=a.txt", "a.txt"),
            ("attachment; filename=\"a b.txt\"", "a b.txt"),
            ("attachment; filename=\"a;b.txt\"; size=5", "a;b.txt"),
            ("attachment; filename=\"a\\\"b.txt\"", "a\"b.txt"),
            ("attachment; filename=plain.txt; filename*=UTF-8''na%C3%AFve.txt", "naïve.txt"),
            ("attachment; filename*=UTF-8''na%C3%AFve.txt; filename=plain.txt", "naïve.txt"),
            ("attachment; filename*=utf-8''%ff; filename=plain.txt", "plain.txt"),
            ("attachment; filename*=UTF-8''%ff%fe.bin; filename=ok.bin", "ok.bin"),
            ("attachment; filename*=UTF-8''%fe%ff.bin; filename=ok.bin", "ok.bin"),
            ("attachment; filename*=UTF-8''%EF%BB%BFa.bin; filename=ok.bin", "a.bin"),
            ("attachment; filename*=iso-8859-1'en'%A3.txt", "£.txt"),
            ("attachment; filename*=UTF-8''..%2F..%2Fetc", "___.._etc"),
            ("ATTACHMENT; FILENAME = a.txt", "a.txt"),
            ("inline; flag; filename=a.txt", "a.txt"),
            ("filename=a.txt", "a.txt"),
            ("filename=name1311; charset=x", "name1311"),
            ("filename=\"a;b.txt\"; charset=x", "a;b.txt"),
            ("attachment filename=a.txt", "a.txt"),
            ("attachment; filename=\"unterminated", "unterminated"),
        ] {
            assert_eq!(name(value.as_bytes()).as_deref(), Some(expected), "{value}");
        }
        for none in [
            "",
            "attachment",
            "attachment; filename=",
            "attachment; filename=\"\"",
            "attachment; filename*=x",
        ] {
            assert_eq!(name(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn file_names_in_other_encodings_and_with_escapes_are_read() {
        for (value, expected) in [
            (&b"attachment; filename=\"\xe9t\xe9.txt\""[..], "été.txt"),
            (
                b"attachment; filename=\"\xbb\xaa\xce\xaa\xbc\xbc\xca\xf5\xb1\xa8\xb8\xe6.pdf\"",
                "华为技术报告.pdf",
            ),
            (
                b"attachment; filename=\"\x93\xfa\x96{\x8c\xea\x82\xcc\x83t\x83@\x83C\x83\x8b.zip\"",
                "日本語のファイル.zip",
            ),
            (b"attachment; filename=\"\xe5\x8d\x8e.pdf\"", "华.pdf"),
            (b"attachment; filename=\"%E5%8D%8E%20a.pdf\"", "华 a.pdf"),
            (b"attachment; filename=\"=?UTF-8?B?5Y2OLnBkZg==?=\"", "华.pdf"),
            (b"attachment; filename=%2E%2E%2Fa.pdf", "___a.pdf"),
            (b"attachment; filename=\"50% of it.pdf\"", "50% of it.pdf"),
            (b"attachment; filename=\"%FF.pdf\"", "%FF.pdf"),
            (b"attachment; filename*=GBK''%BB%AA.pdf", "华.pdf"),
        ] {
            assert_eq!(name(value).as_deref(), Some(expected), "{}", value.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn no_value_causes_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = name(&bytes);
    let mut value = b"attachment; filename=".to_vec();
            value.extend(&bytes);
            let _ = name(&value);
        }
    }
}
