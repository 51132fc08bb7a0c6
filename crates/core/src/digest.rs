//! Digests: which algorithms there are, what was expected and by whom, and the verdict.
//!
//! All that is known is checked and any mismatch fails; the strongest match is what is reported as proof. The
//! hashing itself is the engine's.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A digest algorithm that can be checked. The order is by strength: the last is the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Algorithm {
    /// SHA-1: still proves that nothing broke by accident.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// Every algorithm, weakest first.
    pub const ALL: [Algorithm; 4] =
        [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];

    /// The name for people, as in RFC 9530: `sha-256`.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha1 => "sha-1",
            Algorithm::Sha256 => "sha-256",
            Algorithm::Sha384 => "sha-384",
            Algorithm::Sha512 => "sha-512",
        }
    }

    /// The digest's length in bytes.
    pub fn size(self) -> usize {
        match self {
            Algorithm::Sha1 => 20,
            Algorithm::Sha256 => 32,
            Algorithm::Sha384 => 48,
            Algorithm::Sha512 => 64,
        }
    }

    /// Whether it can stand for the content alone, whoever made it: collisions of SHA-1 are to be had.
    pub fn is_strong(self) -> bool {
        self >= Algorithm::Sha256
    }

    /// The algorithm of a name as people and lists write it: `sha256`, `SHA-256`.
    pub fn from_name(name: &str) -> Option<Algorithm> {
        let bare = name.replace('-', "").to_ascii_lowercase();
        Algorithm::ALL.into_iter().find(|a| a.name().replace('-', "") == bare)
    }
}

/// Written down by name, so that further algorithms change nothing in what was written before.
impl From<Algorithm> for String {
    fn from(algorithm: Algorithm) -> String {
        algorithm.name().into()
    }
}

impl TryFrom<String> for Algorithm {
    type Error = String;

    fn try_from(name: String) -> Result<Algorithm, String> {
        Algorithm::from_name(&name).ok_or(name)
    }
}

/// A digest of some algorithm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// What it was computed with.
    pub algorithm: Algorithm,
    /// The digest, [`Algorithm::size`] bytes.
    pub bytes: Vec<u8>,
}

impl Digest {
    /// Reads hexadecimal digits of either case; `None` unless they are exactly one digest of that algorithm.
    pub fn from_hex(algorithm: Algorithm, hex: &str) -> Option<Digest> {
        let hex = hex.as_bytes();
        if hex.len() != algorithm.size() * 2 {
            return None;
        }
        let digit = |b: u8| (b as char).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let bytes = hex.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?));
        Some(Digest { algorithm, bytes: bytes.collect::<Option<Vec<u8>>>()? })
    }
}

/// Lower-case hexadecimal.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// A digest that the file must have, and who said so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The digest.
    pub digest: Digest,
    /// Who said so, for people: `X-Checksum-SHA256`, `the list`.
    pub from: String,
}

/// Compares what was computed with all that was expected.
///
/// `Ok` holds the strongest match, `None` when nothing was expected; `Err` the first expectation that was not
/// met, and what was computed instead (`None` when its algorithm was not computed at all).
pub fn verdict<'e>(
    expected: &'e [Expected],
    computed: &[Digest],
) -> Result<Option<&'e Expected>, (&'e Expected, Option<Digest>)> {
    for one in expected {
        let found = computed.iter().find(|d| d.algorithm == one.digest.algorithm);
        if found != Some(&one.digest) {
            return Err((one, found.cloned()));
        }
    }
    Ok(expected.iter().max_by_key(|one| one.digest.algorithm))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha256(fill: &str) -> Digest {
        Digest::from_hex(Algorithm::Sha256, &fill.repeat(32)).expect("64 digits")
    }

    fn expect(digest: Digest) -> Expected {
        Expected { digest, from: "test".into() }
    }

    #[test]
    fn hex_is_strict_about_length_and_lax_about_case() {
        assert_eq!(sha256("aB"), sha256("Ab"));
        assert_eq!(sha256("0f").to_string(), "0f".repeat(32));
        for bad in ["", "ab", &"zz".repeat(32), &"ab".repeat(33), "é".repeat(32).as_str()] {
            assert_eq!(Digest::from_hex(Algorithm::Sha256, bad), None, "{bad}");
        }
    }

    #[test]
    fn any_mismatch_fails_and_the_strongest_match_is_reported() {
        let sha1 = Digest::from_hex(Algorithm::Sha1, &"11".repeat(20)).expect("40 digits");
        let both = [expect(sha256("22")), expect(sha1.clone())];
        let computed = [sha1.clone(), sha256("22")];
        assert_eq!(verdict(&both, &computed), Ok(Some(&both[0])));
        let wrong = [expect(sha1.clone()), expect(sha256("33"))];
        assert_eq!(verdict(&wrong, &computed), Err((&wrong[1], Some(sha256("22")))));
        assert_eq!(verdict(&both, &[sha1]), Err((&both[0], None)), "an unchecked digest is no pass");
        assert_eq!(verdict(&[], &computed), Ok(None));
    }

    #[test]
    fn names_are_read_as_people_write_them() {
        assert_eq!(Algorithm::from_name("SHA-256"), Some(Algorithm::Sha256));
        assert_eq!(Algorithm::from_name("sha512"), Some(Algorithm::Sha512));
        assert_eq!(Algorithm::from_name("md5"), None);
    }
}
