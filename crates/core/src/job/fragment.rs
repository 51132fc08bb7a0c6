//! Digests in the fragment of a URL: `URL#sha256=HEX` as pip has it, `URL#MD5` as conda's explicit lists do.
//!
//! Invariant: a fragment that is meant as a digest is read or an error, never a remark; any other fragment
//! says nothing.

use crate::digest::{Algorithm, Digest};
use percent_encoding::percent_decode_str;
use url::Url;

/// How many hexadecimal digits are a digest without the name of its algorithm: conda has MD5 and SHA-256, and
/// nothing else is as long as SHA-384 and SHA-512.
const ALONE: [usize; 4] = [32, 64, 96, 128];

/// So many digits may be a SHA-1, or the number of a commit.
const OF_A_COMMIT: usize = 40;

/// What is said of a fragment that may be a SHA-1. `None` for every other.
pub(super) fn note(url: &Url) -> Option<String> {
    let fragment = url.fragment()?;
    let may_be = fragment.len() == OF_A_COMMIT && fragment.bytes().all(|byte| byte.is_ascii_hexdigit());
    may_be.then(|| "the 40 digits behind # may be a commit, and were not checked (#sha1=... is)".into())
}

/// Takes the digests out of the fragment of a URL, and the fragment with them. A fragment without digests
/// stays.
///
/// # Errors
/// What is wrong with a digest, for a person.
pub fn take_digests(url: &mut Url) -> Result<Vec<Digest>, String> {
    let Some(fragment) = url.fragment() else { return Ok(Vec::new()) };
    let fragment = percent_decode_str(fragment).decode_utf8_lossy().into_owned();
    let mut digests = Vec::new();
    // pip has `egg=NAME` and the like beside it.
    for part in fragment.split('&') {
        digests.extend(digest(part.trim())?);
    }
    if !digests.is_empty() {
        url.set_fragment(None);
    }
    Ok(digests)
}

/// The digest that this is meant as.
fn digest(part: &str) -> Result<Option<Digest>, String> {
    if ALONE.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Digest::from_given(part).map(Some);
    }
    let Some((name, _)) = part.split_once([':', '=']) else {
        // A section of a page may be called `md5-sums`.
        return Ok(Digest::from_pair(part).ok());
    };
    let name = name.trim();
    if Algorithm::is_uncheckable(name) {
        return Err(format!("{name} cannot be checked; {} can", Algorithm::names()));
    }
    // Names of two letters (`b2`) may be anything.
    match Algorithm::from_name(name).filter(|_| name.len() > 2) {
        Some(_) => {
            Digest::from_pair(part).map(Some).map_err(|why| format!("the digest in its fragment: {why}"))
        }
        None => Ok(Digest::from_pair(part).ok()),
    }
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
    fn other_fragments_say_nothing_and_malformed_digests_are_errors() {
        for other in
            ["", "top", "page=3", "md5-sums", "egg=name", "t=10:20", "b2=5", &"ab".repeat(20), "abcd"]
        {
            assert_eq!(read(other).as_deref(), Ok(&[][..]), "{other}");
        }
        for (bad, says) in [
            ("sha256=abc", "sha-256 needs 64 hexadecimal digits"),
            ("sha256:", "sha-256 needs 64"),
            ("egg=x&md5=12", "md5 needs 32"),
            ("sha224=ab", "sha224 cannot be checked"),
        ] {
            assert!(read(bad).is_err_and(|why| why.contains(says)), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_fragment_panics(fragment in ".{0,80}") {
            let _ = read(&fragment);
        }
    }
}
