//! Digests: which algorithms there are, what was expected and by whom, and the verdict.
//!
//! All that is known is checked and any mismatch fails; the strongest match is what is reported as proof. The
//! hashing itself is the engine's.

use base64::prelude::{BASE64_STANDARD, Engine};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// A digest algorithm that can be checked. The order is by strength: the last is the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Algorithm {
    /// CRC-32 (ISO-HDLC, as in gzip): like all CRCs, it proves only that nothing broke by accident.
    Crc32,
    /// CRC-32C (Castagnoli, RFC 3720).
    Crc32c,
    /// CRC-64/NVME, as S3 gives it.
    Crc64Nvme,
    /// MD5: collisions cost seconds.
    Md5,
    /// SHA-1: collisions are to be had.
    Sha1,
    /// SHA-256.
    Sha256,
    /// BLAKE3 of 256 bits.
    Blake3,
    /// SHA-384.
    Sha384,
    /// BLAKE2b of 512 bits, as `b2sum` makes it.
    Blake2b,
    /// SHA-512.
    Sha512,
}

/// Each of these once, weakest first.
pub fn distinct(algorithms: impl IntoIterator<Item = Algorithm>) -> Vec<Algorithm> {
    algorithms.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

/// Names (the first one is ours, as in RFC 9530 where it has one) and the digest's length in bytes. Names are compared
/// without case and hyphens.
const TABLE: [(Algorithm, &[&str], usize); 10] = [
    (Algorithm::Crc32, &["crc32"], 4),
    (Algorithm::Crc32c, &["crc32c"], 4),
    (Algorithm::Crc64Nvme, &["crc64nvme"], 8),
    (Algorithm::Md5, &["md5"], 16),
    (Algorithm::Sha1, &["sha-1"], 20),
    (Algorithm::Sha256, &["sha-256"], 32),
    (Algorithm::Blake3, &["blake3", "b3"], 32),
    (Algorithm::Sha384, &["sha-384"], 48),
    (Algorithm::Blake2b, &["blake2b", "blake2b512", "b2"], 64),
    (Algorithm::Sha512, &["sha-512"], 64),
];

impl Algorithm {
    /// Every algorithm, weakest first.
    pub fn all() -> impl Iterator<Item = Algorithm> {
        TABLE.iter().map(|(algorithm, _, _)| *algorithm)
    }

    /// The name for people, as in RFC 9530: `sha-256`.
    pub fn name(self) -> &'static str {
        self.row().1[0]
    }

    /// The digest's length in bytes.
    pub fn size(self) -> usize {
        self.row().2
    }

    /// Whether it can stand for the content alone, whoever made it.
    pub fn is_strong(self) -> bool {
        self >= Algorithm::Sha256
    }

    /// The algorithm of a name as people and lists write it: `sha256`, `SHA-256`, `b2`.
    pub fn from_name(name: &str) -> Option<Algorithm> {
        let bare = |name: &str| name.replace('-', "").to_ascii_lowercase();
        let wanted = bare(name);
        let row = TABLE.iter().find(|(_, names, _)| names.iter().any(|name| bare(name) == wanted));
        row.map(|(algorithm, _, _)| *algorithm)
    }

    /// The names of all, for a message.
    pub fn names() -> String {
        Algorithm::all().map(Algorithm::name).collect::<Vec<_>>().join(", ")
    }

    fn row(self) -> &'static (Algorithm, &'static [&'static str], usize) {
        // The table is in the order of the variants; the tests hold it to that.
        &TABLE[self as usize]
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

    /// Reads base64 (RFC 4648, section 4, padded); `None` unless it is exactly one digest of that algorithm.
    pub fn from_base64(algorithm: Algorithm, text: &str) -> Option<Digest> {
        // No digest needs more, and longer ones need not be decoded to be refused.
        let sane = text.len() <= 2 * algorithm.size() + 4;
        let bytes = if sane { BASE64_STANDARD.decode(text).ok() } else { None };
        Digest::from_bytes(algorithm, &bytes?)
    }

    /// `None` unless these are as many bytes as the algorithm's digests have.
    pub fn from_bytes(algorithm: Algorithm, bytes: &[u8]) -> Option<Digest> {
        (bytes.len() == algorithm.size()).then(|| Digest { algorithm, bytes: bytes.to_vec() })
    }

    /// Reads `ALGORITHM:HEX`, as `--checksum` and lists give it.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn from_pair(text: &str) -> Result<Digest, String> {
        let (name, hex) = text.split_once(':').ok_or("it must have the form ALGORITHM:HEX")?;
        let algorithm = Algorithm::from_name(name.trim())
            .ok_or_else(|| format!("the algorithm must be one of {}", Algorithm::names()))?;
        Digest::from_hex(algorithm, hex.trim())
            .ok_or_else(|| format!("{} needs {} hexadecimal digits", algorithm.name(), algorithm.size() * 2))
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

/// As it is reported when it was met: `sha-256 from X-Checksum-SHA256`.
impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.digest.algorithm.name(), self.from)
    }
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
        assert_eq!(Algorithm::from_name("MD5"), Some(Algorithm::Md5));
        assert_eq!(Algorithm::from_name("b2"), Some(Algorithm::Blake2b));
        assert_eq!(Algorithm::from_name("BLAKE2b-512"), Some(Algorithm::Blake2b));
        assert_eq!(Algorithm::from_name("sha3"), None);
    }

    #[test]
    fn the_table_is_in_the_order_of_strength() {
        let all: Vec<Algorithm> = Algorithm::all().collect();
        assert!(all.is_sorted() && all.iter().all(|one| one.row().0 == *one));
        let strong: Vec<&str> = Algorithm::all().filter(|one| one.is_strong()).map(Algorithm::name).collect();
        assert_eq!(strong, ["sha-256", "blake3", "sha-384", "blake2b", "sha-512"]);
    }

    #[test]
    fn base64_and_pairs_are_strict() {
        // Of nothing, as `openssl dgst -binary | base64` gives it.
        let empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let digest = Digest::from_base64(Algorithm::Sha256, empty).expect("one digest");
        assert!(digest.to_string().starts_with("e3b0c44298fc1c14"));
        for bad in ["", "47DE", &empty[..43], &empty.replace('+', "-"), &format!("{empty}{empty}")] {
            assert_eq!(Digest::from_base64(Algorithm::Sha256, bad), None, "{bad}");
        }
        assert_eq!(Digest::from_pair(&format!("SHA256:{digest}")), Ok(digest));
        for bad in ["", "sha256", "sha256:", "sha256:zz", "sha3:00", ":"] {
            assert!(Digest::from_pair(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,100}") {
            for algorithm in Algorithm::all() {
                let _ = (Digest::from_hex(algorithm, &text), Digest::from_base64(algorithm, &text));
            }
            let _ = Digest::from_pair(&text);
        }
    }
}
