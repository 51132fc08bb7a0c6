//! Reads the digests in the fragment of a URL. pip writes `URL#sha256=HEX`, and conda's explicit lists have
//! `URL#MD5`.
//!
//! Invariant: a part of a fragment that is meant as a digest is never ignored. `&` separates the parts. A
//! part is meant as a digest if it begins with the name of an algorithm, followed by `=`, by `:`, or by `-`
//! and a text that looks like a digest. A name of only two characters (`b2`) does not count here. If such a
//! part is not a valid digest, the result is an error. Any other part is used if it is a valid digest, and is
//! ignored otherwise. A fragment of forty hexadecimal digits alone is ignored too, but the user gets a note.

use crate::digest::{Algorithm, Digest};
use percent_encoding::percent_decode_str;
use url::Url;

/// If a text without the name of an algorithm has one of these numbers of hexadecimal digits, it is treated
/// as a digest. conda uses MD5 (32 digits) and SHA-256 (64). Digests of 96 and 128 digits are SHA-384 and
/// SHA-512.
const ALONE: [usize; 4] = [32, 64, 96, 128];

/// A text with this many hexadecimal digits may be a SHA-1 digest or the hash of a commit.
const OF_A_COMMIT: usize = 40;

/// Returns a note for a fragment that may be a SHA-1 digest, and `None` for any other fragment.
pub(crate) fn note(url: &Url) -> Option<String> {
    let fragment = url.fragment()?;
    let may_be = fragment.len() == OF_A_COMMIT && fragment.bytes().all(|byte| byte.is_ascii_hexdigit());
    let note =
        "the 40 digits after # may be the hash of a commit and were not used. For a SHA-1, write #sha1=...";
    may_be.then(|| note.into())
}

/// Returns the digests in the fragment of a URL, and removes the fragment. A fragment without digests is
/// kept.
///
/// # Errors
/// Returns a message for the user that says what is wrong with a digest.
pub fn take_digests(url: &mut Url) -> Result<Vec<Digest>, String> {
    let Some(fragment) = url.fragment() else { return Ok(Vec::new()) };
    let fragment = percent_decode_str(fragment).decode_utf8_lossy().into_owned();
    let mut digests = Vec::new();
    // pip also allows other entries in the fragment, such as `egg=NAME`.
    for part in fragment.split('&') {
        digests.extend(digest(part.trim())?);
    }
    if !digests.is_empty() {
        url.set_fragment(None);
    }
    Ok(digests)
}

/// Returns the digest in a part of a fragment, or `None` if the part is not meant as a digest.
fn digest(part: &str) -> Result<Option<Digest>, String> {
    if ALONE.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Digest::from_given(part).map(Some);
    }
    if let Ok(digest) = Digest::from_pair(part) {
        return Ok(Some(digest));
    }
    let pair = part.split_once([':', '=']).map(|(name, _)| name.trim()).filter(|name| is_meant(name));
    let Some(name) = pair.or_else(|| name_in_integrity(part)) else { return Ok(None) };
    Err(match Algorithm::from_name(name) {
        Some(algorithm) => format!("the digest after # is malformed: {}", algorithm.needs()),
        None => format!("{name} is not supported; use one of {}", Algorithm::names()),
    })
}

/// Returns true if a text is meant as the name of an algorithm. A name of two characters (`b2`) does not
/// count, because it may mean something else.
fn is_meant(name: &str) -> bool {
    Algorithm::is_uncheckable(name) || (name.len() > 2 && Algorithm::from_name(name).is_some())
}

/// Returns the name of the algorithm in a text of the form `ALGORITHM-BASE64`, as in Subresource Integrity,
/// or `ALGORITHM-HEX`. Returns `None` for a text such as `md5-sums` or `MD5-Sums`, because it may be the name
/// of a section of a page.
fn name_in_integrity(part: &str) -> Option<&str> {
    // No name of an algorithm has more than three hyphens.
    let mut pairs = part.match_indices('-').take(4).map(|(at, _)| (&part[..at], &part[at + 1..]));
    let (name, _) = pairs.find(|(name, digest)| {
        let has_capital = |text: &str| text.contains(|c: char| c.is_ascii_uppercase());
        let is_hex = digest.len() >= ALONE[0] && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_base64 = digest.contains(['+', '/', '=']) || has_capital(digest) && !has_capital(name);
        is_meant(name) && (is_hex || is_base64)
    })?;
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(fragment: &str) -> Result<Vec<&'static str>, String> {
        let mut url = Url::parse("http://h/a#").expect("a URL");
        url.set_fragment(Some(fragment));
        let digests = take_digests(&mut url)?;
        assert_eq!(url.fragment().is_none(), !digests.is_empty(), "{fragment}");
        Ok(digests.iter().map(|digest| digest.algorithm.name()).collect())
    }

    #[test]
    fn fragments_of_pip_and_conda_are_digests() {
        let hex = |digits: usize| "aB".repeat(digits / 2);
        for (fragment, algorithms) in [
            (format!("sha256={}", hex(64)), &["sha-256"][..]),
            (format!("sha256:{}", hex(64)), &["sha-256"]),
            (format!("sha512={}", hex(128)), &["sha-512"]),
            (format!("md5={}", hex(32)), &["md5"]),
            (format!("SHA1={}", hex(40)), &["sha-1"]),
            (format!("egg=name&sha256={}&md5={}", hex(64), hex(32)), &["sha-256", "md5"]),
            (format!("sha256%3D{}", hex(64)), &["sha-256"]),
            ("sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".into(), &["sha-256"]),
            (hex(32), &["md5"]),
            (hex(64), &["sha-256"]),
        ] {
            assert_eq!(read(&fragment).as_deref(), Ok(algorithms), "{fragment}");
        }
    }

    #[test]
    fn other_fragments_are_ignored_and_malformed_digests_are_errors() {
        for other in [
            "",
            "top",
            "page=3",
            "md5-sums",
            "MD5-Sums",
            "sha-256",
            "sha256-2",
            "b2-Sums",
            "egg=name",
            "t=10:20",
            "b2=5",
            &"ab".repeat(20),
            "abcd",
        ] {
            assert_eq!(read(other).as_deref(), Ok(&[][..]), "{other}");
        }
        for (bad, says) in [
            ("sha256=abc", "sha-256 needs 64 hexadecimal digits"),
            ("sha256:", "sha-256 needs 64"),
            ("egg=x&md5=12", "md5 needs 32"),
            ("sha224=ab", "sha224 is not supported"),
            ("sha256-47DEQ", "sha-256 needs 64"),
            ("sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU", "sha-256 needs 64"),
            ("sha-384-ab==", "sha-384 needs 96"),
            ("egg=x&SHA512-ab/c", "sha-512 needs 128"),
            ("sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "sha-256 needs 64"),
            ("sha3-256-47DEQ=", "sha3 is not supported"),
        ] {
            assert!(read(bad).is_err_and(|why| why.contains(says)), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_fragment_causes_a_panic(fragment in ".{0,80}") {
            let _ = read(&fragment);
        }
    }
}
