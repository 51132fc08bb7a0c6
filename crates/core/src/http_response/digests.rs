//! Reads the digests that a server states in its headers, strictly.
//!
//! Invariant: each digest that is returned is one of exactly the bytes that are named: of the whole file, or
//! of this body. A digest that is malformed, unknown, contradictory, or known to be of other bytes becomes a
//! note. It never fails the file, and it never verifies it.

use crate::digest::{Algorithm, Digest, Expected};
use http::header::{CONTENT_ENCODING, HeaderMap};
use sfv::{BareItem, Dictionary, Item, ListEntry, Parser};

/// The digests that a head states.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Stated {
    /// Of the whole file.
    pub(super) whole: Vec<Expected>,
    /// Of exactly the bytes of this body (206 only).
    pub(super) range: Vec<Expected>,
    /// What was not used and why, for people.
    pub(super) notes: Vec<String>,
}

/// Headers with one digest, of the stored file. On a 206 they may be of the range or of the whole, so they
/// are read only from a 200. `Content-MD5` is from RFC 2616, section 14.15, `X-Checksum-*` from artifact
/// stores, and `x-amz-checksum-*` from S3.
const SINGLE: [(&str, Algorithm, Form); 10] = [
    ("Content-MD5", Algorithm::Md5, Form::Base64),
    ("X-Checksum-MD5", Algorithm::Md5, Form::Hex),
    ("X-Checksum-SHA1", Algorithm::Sha1, Form::Hex),
    ("X-Checksum-SHA256", Algorithm::Sha256, Form::Hex),
    ("X-Checksum-SHA512", Algorithm::Sha512, Form::Hex),
    ("x-amz-checksum-crc32", Algorithm::Crc32, Form::Base64),
    ("x-amz-checksum-crc32c", Algorithm::Crc32c, Form::Base64),
    ("x-amz-checksum-crc64nvme", Algorithm::Crc64Nvme, Form::Base64),
    ("x-amz-checksum-sha1", Algorithm::Sha1, Form::Base64),
    ("x-amz-checksum-sha256", Algorithm::Sha256, Form::Base64),
];

#[derive(Clone, Copy)]
enum Form {
    Hex,
    Base64,
}

/// Reads the digests of a response whose body has this length. `is_range` says that it is a 206.
pub(super) fn read(is_range: bool, headers: &HeaderMap, length: Option<u64>) -> Stated {
    let mut stated = Stated::default();
    let Stated { whole, range, notes } = &mut stated;
    // `Repr-Digest` is of the whole file, even on a 206 (RFC 9530, section 3).
    fields(headers, "Repr-Digest", structured, whole, notes);
    // So is `Digest` (RFC 3230, section 4.3.2).
    fields(headers, "Digest", |text| Some(instance(text, headers)), whole, notes);
    // `Content-Digest` is of the content of this message (RFC 9530, section 2).
    let content = if is_range { range } else { &mut *whole };
    fields(headers, "Content-Digest", structured, content, notes);
    if !is_range {
        SINGLE
            .iter()
            .for_each(|(name, algorithm, form)| single(headers, name, *algorithm, *form, whole, notes));
        google(headers, length, whole, notes);
    }
    stated
}

/// The digest and the size that a redirect of a model hub states for the file that it leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Linked {
    /// Its digest.
    pub digest: Expected,
    /// Its size in bytes.
    pub size: u64,
}

/// Reads `X-Linked-Etag: "SHA-256 in hexadecimal"` with `X-Linked-Size`, as Hugging Face's hub sends them
/// with a redirect to the stored file. ETags in another form are not digests.
pub fn linked(headers: &HeaderMap) -> Option<Linked> {
    let only = |name: &str| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|first| values.all(|other| other == first))?.to_str().ok()
    };
    let tag = only("x-linked-etag")?.trim();
    let hex = tag.strip_prefix('"')?.strip_suffix('"')?;
    let digest = Digest::from_hex(Algorithm::Sha256, hex)?;
    let size = only("x-linked-size")?.trim();
    let size = size.bytes().all(|byte| byte.is_ascii_digit()).then(|| size.parse().ok())??;
    Some(Linked { digest: Expected { digest, from: "X-Linked-Etag".into() }, size })
}

/// One member of a field: the name of its algorithm, and the digest if it can be read.
type Member = (String, Option<Digest>);

/// Reads a field with a member for each algorithm, in one or several lines. `read` returns `None` if it is
/// malformed.
fn fields(
    headers: &HeaderMap,
    name: &str,
    read: impl Fn(&str) -> Option<Vec<Member>>,
    into: &mut Vec<Expected>,
    notes: &mut Vec<String>,
) {
    let Some(text) = joined(headers, name, notes) else { return };
    let Some(members) = read(&text) else {
        return notes.push(format!("{name} is malformed and was ignored"));
    };
    let mut read: Vec<Digest> = Vec::new();
    for (algorithm, digest) in members {
        match digest {
            Some(digest) => read.push(digest),
            None => notes.push(format!("{algorithm} in {name} is not a digest that can be checked")),
        }
    }
    for digest in &read {
        let contradicts = |other: &Digest| other.algorithm == digest.algorithm && other != digest;
        if read.iter().any(contradicts) {
            notes.push(format!("{name} contradicts itself and was ignored"));
            return;
        }
    }
    read.dedup();
    into.extend(read.into_iter().map(|digest| Expected { digest, from: name.into() }));
}

/// Joins all lines of a field (RFC 9110, section 5.3).
fn joined(headers: &HeaderMap, name: &str, notes: &mut Vec<String>) -> Option<String> {
    let mut all = headers.get_all(name).iter().peekable();
    all.peek()?;
    let texts: Option<Vec<&str>> = all.map(|value| value.to_str().ok()).collect();
    if texts.is_none() {
        notes.push(format!("{name} is malformed and was ignored"));
    }
    texts.map(|texts| texts.join(", "))
}

/// Reads `sha-256=:BASE64:, ...` (RFC 9530, section 2: a dictionary of byte sequences). A member of another
/// kind is skipped alone. RFC 9651, section 4.2 would skip the whole field because of it, and so accept wrong
/// bytes that a good member detects.
fn structured(text: &str) -> Option<Vec<Member>> {
    let parse = |text: &str| Parser::new(text).parse::<Dictionary>().ok();
    if let Some(dictionary) = parse(text) {
        return Some(members(&dictionary));
    }
    // A byte sequence has no comma. Parts of other members that have one (strings, inner lists) are not byte
    // sequences.
    let one = |text: &str| parse(text).map_or_else(|| vec![(shown(text), None)], |one| members(&one));
    Some(text.split(',').map(str::trim).filter(|text| !text.is_empty()).flat_map(one).collect())
}

fn members(dictionary: &Dictionary) -> Vec<Member> {
    let digest = |key: &str, value: &ListEntry| match value {
        ListEntry::Item(Item { bare_item: BareItem::ByteSequence(bytes), .. }) => {
            named(key).and_then(|one| Digest::from_bytes(one, bytes))
        }
        _ => None,
    };
    dictionary.iter().map(|(key, value)| (shown(key.as_str()), digest(key.as_str(), value))).collect()
}

/// Reads `SHA-256=BASE64,...` (RFC 3230, section 4.1.1). Digests with `id-` are of the file without any
/// content coding.
fn instance(text: &str, headers: &HeaderMap) -> Vec<Member> {
    let coded = headers.contains_key(CONTENT_ENCODING);
    let member = |member: &str| {
        let (name, value) = member.split_once('=').unwrap_or((member, ""));
        let name = name.trim().to_ascii_lowercase();
        let bare =
            if coded { Some(name.as_str()).filter(|one| !one.starts_with("id-")) } else { Some(bare(&name)) };
        let digest = bare.and_then(named).and_then(|one| Digest::from_base64(one, value.trim()));
        (shown(&name), digest)
    };
    text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(member).collect()
}

fn bare(name: &str) -> &str {
    name.strip_prefix("id-").unwrap_or(name)
}

/// Returns an algorithm of the two registries. Their CRC-32C does not define the order of its bytes, so it is
/// not read.
fn named(name: &str) -> Option<Algorithm> {
    let algorithm = if name == "sha" { Some(Algorithm::Sha1) } else { Algorithm::from_name(name) };
    algorithm.filter(|one| *one >= Algorithm::Md5)
}

/// Shortens a name for a note.
fn shown(name: &str) -> String {
    name.chars().take(40).collect()
}

fn single(
    headers: &HeaderMap,
    name: &str,
    algorithm: Algorithm,
    form: Form,
    into: &mut Vec<Expected>,
    notes: &mut Vec<String>,
) {
    let mut values = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default().trim());
    let Some(first) = values.next() else { return };
    if first.contains('-') || says(headers, "x-amz-checksum-type", "COMPOSITE") && name.starts_with("x-amz-")
    {
        // S3 states this for a file that was uploaded in parts: it is the digest of their digests.
        return notes.push(format!("{name} is not of the file as a whole and was not used"));
    }
    let read = |text: &str| match form {
        Form::Hex => Digest::from_hex(algorithm, text),
        Form::Base64 => Digest::from_base64(algorithm, text),
    };
    match read(first) {
        Some(digest) if values.all(|other| read(other).as_ref() == Some(&digest)) => {
            into.push(Expected { digest, from: name.into() });
        }
        _ => {
            let algorithm = algorithm.name().to_ascii_uppercase();
            notes.push(format!("{name} is not one {algorithm} digest and was ignored"));
        }
    }
}

/// Reads `x-goog-hash: crc32c=BASE64,md5=BASE64`, which is of the object as it is stored.
fn google(headers: &HeaderMap, length: Option<u64>, into: &mut Vec<Expected>, notes: &mut Vec<String>) {
    const NAME: &str = "x-goog-hash";
    if !headers.contains_key(NAME) {
        return;
    }
    let stored_gzip = says(headers, "x-goog-stored-content-encoding", "gzip");
    let stored_length = headers.get("x-goog-stored-content-length").and_then(|value| value.to_str().ok());
    let other_length =
        stored_length.zip(length).is_some_and(|(stored, here)| stored.trim() != here.to_string());
    if (stored_gzip && !headers.contains_key(CONTENT_ENCODING)) || other_length {
        return notes
            .push(format!("{NAME} is of the file as it is stored, not as it was sent, and was not used"));
    }
    let algorithm = |name: &str| match name {
        "crc32c" => Some(Algorithm::Crc32c),
        "md5" => Some(Algorithm::Md5),
        _ => None,
    };
    let member = |member: &str| {
        let (name, value) = member.split_once('=').unwrap_or((member, ""));
        let digest = algorithm(name.trim()).and_then(|one| Digest::from_base64(one, value.trim()));
        (shown(name), digest)
    };
    let read =
        |text: &str| Some(text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(member).collect());
    fields(headers, NAME, read, into, notes);
}

fn says(headers: &HeaderMap, name: &str, value: &str) -> bool {
    headers.get(name).is_some_and(|found| found.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    fn head(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").expect("a header");
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).expect("a name"),
                value.parse().expect("a value"),
            );
        }
        headers
    }

    /// Returns the digests that are used, as `HEADER algorithm`, and the number of notes.
    fn used(status: u16, lines: &[&str]) -> (Vec<String>, usize) {
        let stated = read(status == 206, &head(lines), Some(19));
        let name = |one: &Expected| format!("{} {}", one.from, one.digest.algorithm.name());
        (stated.whole.iter().map(name).collect(), stated.notes.len())
    }

    /// Digests of the file in the examples of RFC 9530: `{"hello": "world"}` and a line feed.
    const HELLO_256: &str = "RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=";
    const HELLO_512: &str =
        "YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==";

    #[test]
    fn examples_of_rfc_9530() {
        let two = format!("Repr-Digest: sha-256=:{HELLO_256}:, sha-512=:{HELLO_512}:");
        let stated = read(false, &head(&[&two]), Some(19));
        let hello = |one, text| Digest::from_base64(one, text).expect("a digest");
        let digests: Vec<Digest> = stated.whole.into_iter().map(|one| one.digest).collect();
        assert_eq!(digests, [hello(Algorithm::Sha256, HELLO_256), hello(Algorithm::Sha512, HELLO_512)]);

        // Appendix B: the last nine bytes of the file.
        let content = "Content-Digest: sha-256=:jjcgBDWNAtbYUXI37CVG3gRuGOAjaaDRGpIUFsdyepQ=:";
        let stated = read(true, &head(&[content, &format!("Repr-Digest: sha-256=:{HELLO_256}:")]), Some(9));
        assert_eq!((stated.whole.len(), stated.range.len(), stated.notes.len()), (1, 1, 0));
        assert_eq!(stated.whole[0].from, "Repr-Digest");
        let stated = read(false, &head(&[content]), Some(9));
        assert_eq!((stated.whole.len(), stated.range.len()), (1, 0), "of a 200 it is of the whole");
    }

    #[test]
    fn a_broken_member_of_a_structured_field_is_skipped_alone() {
        let good = format!("sha-256=:{HELLO_256}:");
        for (value, uses, notes) in [
            (good.clone(), 1, 0),
            (format!("{good};p=1"), 1, 0),
            (format!("{good}, unixsum=:AAAA:"), 1, 1),
            (format!("{good}, crc32c=:AAAAAA==:"), 1, 1),
            (format!("md5=:{HELLO_256}:"), 0, 1),
            (format!("sha-256={HELLO_256}"), 0, 1),
            ("sha-256=:!:".into(), 0, 1),
            ("sha-256".into(), 0, 1),
            ("sha-256=(:AAAA:)".into(), 0, 1),
            ("".into(), 0, 0),
            // Only the malformed members are skipped.
            (format!("a=1, {good}"), 1, 1),
            (format!("{good}, sha-512=:!:"), 1, 1),
            (format!("sha-512=\"a\", {good}, B"), 1, 2),
            (format!("sha-512=\"a, {good}"), 1, 1),
            (format!("{good},"), 1, 0),
        ] {
            let (found, noted) = used(200, &[&format!("Repr-Digest: {value}")]);
            assert_eq!((found.len(), noted), (uses, notes), "{value}");
        }
    }

    #[test]
    fn digest_of_rfc_3230() {
        let sha = "SHA=thvDyvhfIqlvFe+A9MYgxAfm1q5=".replace("5=", "0=");
        for (value, uses, notes) in [
            (format!("SHA-256={HELLO_256},unixsum=30637"), 1, 1),
            (format!("sha-256={HELLO_256} , {sha}"), 2, 0),
            (format!("id-sha-256={HELLO_256}"), 1, 0),
            ("SHA-256".into(), 0, 1),
            ("=".into(), 0, 1),
        ] {
            let (found, noted) = used(206, &[&format!("Digest: {value}")]);
            assert_eq!((found.len(), noted), (uses, notes), "{value}");
        }
        let coded = [&format!("Digest: id-sha-256={HELLO_256}"), "Content-Encoding: gzip"];
        assert_eq!(used(200, &coded), (vec![], 1), "of the file before it was coded");
        let twice = ["Digest: MD5=1B2M2Y8AsgTpgAmY7PhCfg==", "Digest: MD5=AAAAAAAAAAAAAAAAAAAAAA=="];
        assert_eq!(used(200, &twice), (vec![], 1));
    }

    #[test]
    fn single_ones_are_read_from_a_200_only() {
        for (line, says) in [
            ("Content-MD5: 1B2M2Y8AsgTpgAmY7PhCfg==", "Content-MD5 md5"),
            ("X-Checksum-MD5: d41d8cd98f00b204e9800998ecf8427e", "X-Checksum-MD5 md5"),
            ("X-Checksum-SHA1: DA39A3EE5E6B4B0D3255BFEF95601890AFD80709", "X-Checksum-SHA1 sha-1"),
            ("x-amz-checksum-crc32: AAAAAA==", "x-amz-checksum-crc32 crc32"),
            ("x-amz-checksum-crc32c: AAAAAA==", "x-amz-checksum-crc32c crc32c"),
            ("x-amz-checksum-crc64nvme: AAAAAAAAAAA=", "x-amz-checksum-crc64nvme crc64nvme"),
            ("x-amz-checksum-sha1: 2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "x-amz-checksum-sha1 sha-1"),
            ("x-goog-hash: crc32c=AAAAAA==", "x-goog-hash crc32c"),
        ] {
            assert_eq!(used(200, &[line]), (vec![says.to_string()], 0), "{line}");
            assert_eq!(used(206, &[line]), (vec![], 0), "{line}");
            let (name, _) = line.split_once(": ").expect("a header");
            assert_eq!(used(200, &[&format!("{name}: crc32c")]).0, Vec::<String>::new());
            assert_eq!(used(200, &[&format!("{name}: crc32c")]).1, 1, "{name}");
        }
    }

    #[test]
    fn what_is_of_other_bytes_is_noted() {
        assert_eq!(used(200, &["x-amz-checksum-crc32: AAAAAA==-3"]), (vec![], 1));
        assert_eq!(
            used(200, &["x-amz-checksum-crc32: AAAAAA==", "x-amz-checksum-type: COMPOSITE"]),
            (vec![], 1)
        );
        let hash = "x-goog-hash: crc32c=AAAAAA==,md5=1B2M2Y8AsgTpgAmY7PhCfg==";
        assert_eq!(used(200, &[hash]).0.len(), 2);
        let gzip = "x-goog-stored-content-encoding: gzip";
        assert_eq!(used(200, &[hash, gzip]), (vec![], 1));
        assert_eq!(used(200, &[hash, gzip, "Content-Encoding: gzip"]).0.len(), 2);
        assert_eq!(used(200, &[hash, "x-goog-stored-content-length: 18"]), (vec![], 1));
        assert_eq!(used(200, &[hash, "x-goog-stored-content-length: 19"]).0.len(), 2);
    }

    #[test]
    fn a_redirect_of_a_model_hub_names_a_digest() {
        let tag = |tag: &str| format!("X-Linked-Etag: {tag}");
        let hex = "ab".repeat(32);
        let (good, size) = (tag(&format!("\"{hex}\"")), "X-Linked-Size: 5".to_string());
        let found = linked(&head(&[&good, &size])).expect("a digest");
        assert_eq!((found.digest.digest.to_string(), found.size), (hex.clone(), 5));
        assert_eq!(linked(&head(&[&good, &good, &size])), Some(found), "said twice");
        for lines in [
            vec![good.as_str()],
            vec![&size],
            vec![&good, "X-Linked-Size: -5"],
            vec![&tag(&hex), &size],
            vec![&tag(&format!("W/\"{hex}\"")), &size],
            vec![&tag("\"0123456789abcdef0123456789abcdef01234567\""), &size],
            vec![&good, &tag(&format!("\"{}\"", "cd".repeat(32))), &size],
        ] {
            assert_eq!(linked(&head(&lines)), None, "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn no_value_panics_and_nothing_comes_of_noise(
            which in 0..6_usize,
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            tail in "[a-z0-9=:,; +/-]{0,80}",
        ) {
            const NAMES: [&str; 6] =
                ["repr-digest", "content-digest", "digest", "content-md5", "x-goog-hash", "x-amz-checksum-sha256"];
            let mut headers = HeaderMap::new();
            for value in [HeaderValue::from_bytes(&bytes), HeaderValue::from_str(&tail)].into_iter().flatten() {
                headers.append(NAMES[which], value);
            }
            for status in [200, 206] {
                let stated = read(status == 206, &headers, Some(5));
                for one in stated.whole.iter().chain(&stated.range) {
                    prop_assert_eq!(one.digest.bytes.len(), one.digest.algorithm.size());
                }
                prop_assert!(stated.notes.iter().all(|note| note.len() < 300));
            }
        }
    }
}
