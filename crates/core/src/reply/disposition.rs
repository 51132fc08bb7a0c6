//! The file name in a `Content-Disposition` (RFC 6266), read as the browsers do: `filename*` before
//! `filename`, and anything unreadable is as good as absent.
//!
//! Our own because the crate there is fails on `;` within quotes, on the order of the two, and on escaped quotes.

use crate::name::SafeName;

/// The name, made safe. `None` if there is none that can be used.
pub(super) fn file_name(value: &[u8]) -> Option<SafeName> {
    let parameters = parameters(value);
    let of = |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let extended =
        of("filename*").and_then(|v| decode_extended(v)).and_then(|text| SafeName::from_server(&text));
    extended.or_else(|| of("filename").and_then(|v| SafeName::from_server(&text(v))))
}

/// The parameters after the disposition type: names in lower case, values without quotes and escapes.
fn parameters(value: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut rest = match value.iter().position(|&b| b == b';') {
        Some(semicolon) => &value[semicolon + 1..],
        // Some servers leave out the type: `filename=x`.
        None => value,
    };
    while !rest.is_empty() {
        let Some(equals) = rest.iter().position(|&b| b == b'=' || b == b';') else { break };
        let name = String::from_utf8_lossy(rest[..equals].trim_ascii()).to_ascii_lowercase();
        let was_equals = rest[equals] == b'=';
        rest = &rest[equals + 1..];
        if !was_equals {
            continue;
        }
        let (parameter, beyond) = parameter_value(rest);
        found.push((name, parameter));
        rest = beyond;
    }
    found
}

/// A quoted string with its escapes undone, or all up to the next `;`. And what follows.
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

/// `UTF-8'en'%e2%82%ac.txt` (RFC 8187).
fn decode_extended(value: &[u8]) -> Option<String> {
    let mut parts = value.splitn(3, |&b| b == b'\'');
    let (charset, _language, encoded) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes: Vec<u8> = percent_encoding::percent_decode(encoded).collect();
    match charset.to_ascii_lowercase().as_slice() {
        b"utf-8" => String::from_utf8(bytes).ok(),
        b"iso-8859-1" => Some(latin1(&bytes)),
        _ => None,
    }
}

/// UTF-8 as nearly all servers send it, else Latin-1 as the grammar has it.
fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| latin1(bytes))
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&b| char::from(b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_as_servers_write_them() {
        for (value, expected) in [
            ("attachment; filename=a.txt", "a.txt"),
            ("attachment; filename=\"a b.txt\"", "a b.txt"),
            ("attachment; filename=\"a;b.txt\"; size=5", "a;b.txt"),
            ("attachment; filename=\"a\\\"b.txt\"", "a_b.txt"),
            ("attachment; filename=plain.txt; filename*=UTF-8''na%C3%AFve.txt", "naïve.txt"),
            ("attachment; filename*=UTF-8''na%C3%AFve.txt; filename=plain.txt", "naïve.txt"),
            ("attachment; filename*=utf-8''%ff; filename=plain.txt", "plain.txt"),
            ("attachment; filename*=iso-8859-1'en'%A3.txt", "£.txt"),
            ("attachment; filename*=UTF-8''..%2F..%2Fetc", "___.._etc"),
            ("ATTACHMENT; FILENAME = a.txt", "a.txt"),
            ("inline; flag; filename=a.txt", "a.txt"),
            ("filename=a.txt", "a.txt"),
            ("attachment; filename=\"unterminated", "unterminated"),
        ] {
            assert_eq!(file_name(value.as_bytes()).map(|n| n.to_string()), Some(expected.into()), "{value}");
        }
        for none in [
            "",
            "attachment",
            "attachment; filename=",
            "attachment; filename=\"\"",
            "attachment; filename*=x",
        ] {
            assert_eq!(file_name(none.as_bytes()), None, "{none}");
        }
        assert_eq!(
            file_name(b"attachment; filename=\"\xe9.txt\"").map(|n| n.to_string()),
            Some("é.txt".into())
        );
    }

    proptest! {
        #[test]
        fn no_value_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = file_name(&bytes);
            let mut value = b"attachment; filename=".to_vec();
            value.extend(&bytes);
            let _ = file_name(&value);
        }
    }
}
