//! Reads the digests that a server states in its headers, strictly.
//!
//! Invariant: each returned digest belongs either to the whole file or to exactly this body, as its header
//! states. A digest that is malformed, has an unknown algorithm, contradicts another digest of the same
//! header, or is known to belong to other bytes becomes a note. Such a digest neither fails nor verifies the
//! file.

use crate::digest::{Algorithm, Digest, Expected};
use http::header::{CONTENT_ENCODING, HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, Item, ListEntry, Parser};

/// The digests that a head states.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Stated {
    /// Digests of the whole file.
    pub(super) whole: Vec<Expected>,
    /// Digests of exactly the bytes of this body, if the response states a range.
    pub(super) range: Vec<Expected>,
    /// Notes about digests that were not used, with the reasons, in words for the user.
    pub(super) notes: Vec<String>,
}

/// Headers with one digest of the stored file. If the response states a range, such a digest may belong to
/// the range or to the whole file, so these headers are not read. `Content-MD5` is from RFC 2616, section
/// 14.15, `X-Checksum-*` from artifact stores, and `x-amz-checksum-*` from S3.
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

/// Reads the digests of a response. `is_range` is true if the response states a range, as a 206 does.
/// `length` is the length of the body in bytes, if known.
pub(super) fn read(is_range: bool, headers: &HeaderMap, length: Option<u64>) -> Stated {
    let mut stated = Stated::default();
    if !headers.keys().any(may_be_digest) {
        return stated;
    }
    let Stated { whole, range, notes } = &mut stated;
    // `Repr-Digest` belongs to the whole file, even on a 206 (RFC 9530, section 3).
    fields(headers, "Repr-Digest", structured, whole, notes);
    // `Digest` also belongs to the whole file (RFC 3230, section 4.3.2).
    fields(headers, "Digest", |text| Some(instance(text, headers)), whole, notes);
    // `Content-Digest` belongs to the content of this message (RFC 9530, section 2).
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

/// Returns true if a header may have a digest. If a response has no such header, none of the headers with
/// digests is looked up by its name.
fn may_be_digest(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-") || name.ends_with("digest") || name == "content-md5"
}

/// The digest and the size that a redirect of a model hub states for its target.
#[derive(Debug, Clone, PartialEq)]
pub struct Linked {
    /// The digest of the file.
    pub digest: Expected,
    /// The size of the file in bytes.
    pub size: u64,
}

/// Reads `X-Linked-Etag: "SHA-256 in hexadecimal"` with `X-Linked-Size`, as Hugging Face's hub sends them
/// with a redirect to the stored file. Returns `None` if one of these headers is missing, has another form,
/// or occurs with several values.
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

/// Reads a field with a member for each algorithm, in one or several lines. Adds its digests to `into`, and
/// the reasons why digests are not used to `notes`. `read` reads the members, and returns `None` if the field
/// is malformed.
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
            None => notes.push(format!("{algorithm} in {name} is not a digest that downhaul can read")),
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

/// Returns the values of all lines of a field as one text (RFC 9110, section 5.3). Returns `None` if there is
/// no such field, or if a value is not a text. In the second case, a note is added.
fn joined(headers: &HeaderMap, name: &str, notes: &mut Vec<String>) -> Option<String> {
    let mut all = headers.get_all(name).iter().peekable();
    all.peek()?;
    let texts: Option<Vec<&str>> = all.map(|value| value.to_str().ok()).collect();
    if texts.is_none() {
        notes.push(format!("{name} is malformed and was ignored"));
    }
    texts.map(|texts| texts.join(", "))
}

/// Reads `sha-256=:BASE64:, ...` (RFC 9530, section 2: a dictionary of byte sequences). Only malformed
/// members are skipped. RFC 9651, section 4.2, discards the whole field because of one malformed member. If
/// downhaul did the same, a valid digest in the same field could not detect wrong bytes.
fn structured(text: &str) -> Option<Vec<Member>> {
    let parse = |text: &str| Parser::new(text).parse::<Dictionary>().ok();
    if let Some(dictionary) = parse(text) {
        return Some(members(&dictionary));
    }
    // A byte sequence contains no comma. Members of other types (strings, inner lists) may contain commas,
    // but a server has no reason to write a byte sequence between these commas.
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

/// Reads `SHA-256=BASE64,...` (RFC 3230, section 4.1.1). A digest belongs to the file without any content
/// coding if the name of its algorithm begins with `id-`. Such a digest is not used if this response has a
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

/// Returns the algorithm that has this name in the registries of RFC 3230 and RFC 9530, or in checksum lists.
/// CRCs are left out, because the registries have CRC-32C but do not define its byte order.
fn named(name: &str) -> Option<Algorithm> {
    let algorithm = if name == "sha" { Some(Algorithm::Sha1) } else { Algorithm::from_name(name) };
    algorithm.filter(|one| *one >= Algorithm::Md5)
}

/// Returns the beginning of a name, for a note.
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
        // For a file that was uploaded in parts, S3 states a digest that is computed from the digests of the
        // parts.
        return notes.push(format!("{name} was not used, because it does not belong to the whole file"));
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
            notes.push(format!("{name} does not have exactly one valid {algorithm} digest and was ignored"));
        }
    }
}

/// Reads `x-goog-hash: crc32c=BASE64,md5=BASE64`. The digests belong to the object as it is stored.
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
        return notes.push(format!(
            "{NAME} was not used, because it belongs to the file as it is stored, not as it was sent"
        ));
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
mod tests;
