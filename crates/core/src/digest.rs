//! Digests: their algorithms, their text forms, and the comparison of computed digests with expected digests.
//!
//! All expected digests are compared, and the job fails if one of them does not match. The strongest match is
//! reported. The engine computes the digests.

use base64::prelude::{BASE64_STANDARD, Engine};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// A digest algorithm. The order is by strength: the last algorithm is the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Algorithm {
    /// CRC-32 (ISO-HDLC, as in gzip). Like all CRCs, it detects only accidental damage.
    Crc32,
    /// CRC-32C (Castagnoli, RFC 3720).
    Crc32c,
    /// CRC-64/NVME, as S3 states it.
    Crc64Nvme,
    /// MD5. Collisions can be found within seconds.
    Md5,
    /// SHA-1. Collisions have been published.
    Sha1,
    /// SHA-256.
    Sha256,
    /// BLAKE3 of 256 bits.
    Blake3,
    /// SHA-384.
    Sha384,
    /// BLAKE2b of 512 bits, as `b2sum` computes it.
    Blake2b,
    /// SHA-512.
    Sha512,
}

/// Returns each of these algorithms once, the weakest first.
pub fn distinct(algorithms: impl IntoIterator<Item = Algorithm>) -> Vec<Algorithm> {
    algorithms.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

/// The names of each algorithm and the length of its digests in bytes. The first name is shown to users. The
/// first names of SHA-256 and SHA-512 are their names in RFC 9530. Names are compared in their [`bare`] form.
const TABLE: [(Algorithm, &[&str], usize); 10] = [
    (Algorithm::Crc32, &["crc32"], 4),
    (Algorithm::Crc32c, &["crc32c"], 4),
    (Algorithm::Crc64Nvme, &["crc64nvme"], 8),
    (Algorithm::Md5, &["md5"], 16),
    (Algorithm::Sha1, &["sha-1"], 20),
    (Algorithm::Sha256, &["sha-256", "sha2-256"], 32),
    (Algorithm::Blake3, &["blake3", "b3"], 32),
    (Algorithm::Sha384, &["sha-384", "sha2-384"], 48),
    (Algorithm::Blake2b, &["blake2b", "blake2b512", "b2"], 64),
    (Algorithm::Sha512, &["sha-512", "sha2-512"], 64),
];

/// Algorithms that occur in lists and URLs but are not supported. Their names are in the [`bare`] form. If a
/// list or a URL has a digest of one of these algorithms, the digest is refused or reported. It may be
/// ignored silently only if another digest of the same file can be verified. Otherwise, a wrong file could be
/// accepted.
const UNCHECKABLE: [&str; 25] = [
    "sha224",
    "sha2224",
    "sha512224",
    "sha512256",
    "sha3",
    "sha3224",
    "sha3256",
    "sha3384",
    "sha3512",
    "blake2",
    "blake2s",
    "blake2s256",
    "md2",
    "md4",
    "md6",
    "ripemd",
    "ripemd160",
    "rmd160",
    "whirlpool",
    "tiger",
    "sm3",
    "adler32",
    "xxh64",
    "xxh128",
    "xxh3",
];

impl Algorithm {
    /// Returns all algorithms, the weakest first.
    pub fn all() -> impl Iterator<Item = Algorithm> {
        TABLE.iter().map(|(algorithm, _, _)| *algorithm)
    }

    /// Returns the name that is shown, such as `sha-256`.
    pub fn name(self) -> &'static str {
        self.row().1[0]
    }

    /// Returns the length of a digest in bytes.
    pub fn size(self) -> usize {
        self.row().2
    }

    /// Returns true if a matching digest shows that the content is right, even if someone tried to forge the
    /// content.
    pub fn is_strong(self) -> bool {
        self >= Algorithm::Sha256
    }

    /// Returns true if `--verify listed` accepts lists with digests of this algorithm. MD5 is accepted
    /// because genome archives offer nothing else. A CRC is not accepted, because it detects only accidental
    /// damage.
    pub fn counts_in_lists(self) -> bool {
        self >= Algorithm::Md5
    }

    /// Returns the algorithm for a name as people and lists write it, such as `sha256`, `SHA-256` or `b2`.
    pub fn from_name(name: &str) -> Option<Algorithm> {
        let wanted = bare(name);
        let row = TABLE.iter().find(|(_, names, _)| names.iter().any(|name| bare(name) == wanted));
        row.map(|(algorithm, _, _)| *algorithm)
    }

    /// Returns the most common algorithm whose digests have this many hexadecimal digits: MD5, SHA-1 or
    /// SHA-2. This algorithm is used if nothing else names the algorithm, as in the lists of `md5sum` and
    /// `sha256sum`.
    pub fn by_length(digits: usize) -> Option<Algorithm> {
        match digits {
            32 => Some(Algorithm::Md5),
            40 => Some(Algorithm::Sha1),
            64 => Some(Algorithm::Sha256),
            96 => Some(Algorithm::Sha384),
            128 => Some(Algorithm::Sha512),
            _ => None,
        }
    }

    /// Returns a message that says in which forms [`Digest::from_text`] reads a digest of this algorithm.
    pub fn needs(self) -> String {
        format!("{} needs {} hexadecimal digits, or base64", self.name(), self.size() * 2)
    }

    /// Returns true if this is the name of a known but unsupported algorithm, such as `sha3-256`.
    pub fn is_uncheckable(name: &str) -> bool {
        UNCHECKABLE.contains(&bare(name).as_str())
    }

    /// Returns the names of all algorithms, for a message.
    pub fn names() -> String {
        Algorithm::all().map(Algorithm::name).collect::<Vec<_>>().join(", ")
    }

    fn row(self) -> &'static (Algorithm, &'static [&'static str], usize) {
        // The table has the order of the variants. A test checks this.
        &TABLE[self as usize]
    }
}

/// Returns a name in lower case, without hyphens and underscores. People write these names in different ways.
fn bare(name: &str) -> String {
    name.replace(['-', '_'], "").to_ascii_lowercase()
}

/// Algorithms are stored by name, so that new algorithms do not change the meaning of older journals.
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

/// A digest and its algorithm.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest {
    /// The algorithm of the digest.
    pub algorithm: Algorithm,
    /// The bytes of the digest. Their number is [`Algorithm::size`].
    pub bytes: Vec<u8>,
}

impl Digest {
    /// Reads hexadecimal digits of either case. Returns `None` if they are not exactly one digest of that
    /// algorithm.
    pub fn from_hex(algorithm: Algorithm, hex: &str) -> Option<Digest> {
        let hex = hex.as_bytes();
        if hex.len() != algorithm.size() * 2 {
            return None;
        }
        let digit = |b: u8| (b as char).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let bytes = hex.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?));
        Some(Digest { algorithm, bytes: bytes.collect::<Option<Vec<u8>>>()? })
    }

    /// Reads base64 with padding (RFC 4648, section 4). Returns `None` if the text is not exactly one digest
    /// of that algorithm.
    pub fn from_base64(algorithm: Algorithm, text: &str) -> Option<Digest> {
        // A text that is longer than this limit cannot be a digest. It is refused without decoding.
        let sane = text.len() <= 2 * algorithm.size() + 4;
        let bytes = if sane { BASE64_STANDARD.decode(text).ok() } else { None };
        Digest::from_bytes(algorithm, &bytes?)
    }

    /// Returns a digest of these bytes, or `None` if their number does not fit the algorithm.
    pub fn from_bytes(algorithm: Algorithm, bytes: &[u8]) -> Option<Digest> {
        (bytes.len() == algorithm.size()).then(|| Digest { algorithm, bytes: bytes.to_vec() })
    }

    /// Reads hexadecimal digits or base64. Returns `None` if the text is not exactly one digest of that
    /// algorithm. No text has both forms: they differ in length, except for CRC-32 and CRC-32C. The base64 of
    /// a CRC-32 or a CRC-32C ends with `==`.
    pub fn from_text(algorithm: Algorithm, text: &str) -> Option<Digest> {
        Digest::from_hex(algorithm, text).or_else(|| Digest::from_base64(algorithm, text))
    }

    /// Reads a digest that names its algorithm: `ALGORITHM:DIGEST` or `ALGORITHM=DIGEST`, in hexadecimal
    /// digits or base64, or `ALGORITHM-BASE64` as in Subresource Integrity (W3C, section 3.5).
    ///
    /// # Errors
    /// Returns a message for the user that says what is wrong with the text.
    pub fn from_pair(text: &str) -> Result<Digest, String> {
        let text = text.trim();
        if let Some(digest) = Digest::from_integrity(text) {
            return Ok(digest);
        }
        let pair = text.split_once(':').or_else(|| text.split_once('='));
        let (name, digest) = pair.ok_or("it must have the form ALGORITHM:DIGEST")?;
        let algorithm = Algorithm::from_name(name.trim())
            .ok_or_else(|| format!("the algorithm must be one of {}", Algorithm::names()))?;
        Digest::from_text(algorithm, digest.trim()).ok_or_else(|| algorithm.needs())
    }

    /// Reads a digest as people write it: in a form that [`Digest::from_pair`] reads, or as hexadecimal
    /// digits alone. The number of such digits gives the algorithm.
    ///
    /// # Errors
    /// Returns a message for the user that says what is wrong with the text.
    pub fn from_given(text: &str) -> Result<Digest, String> {
        let text = text.trim();
        let alone = Algorithm::by_length(text.len()).and_then(|algorithm| Digest::from_hex(algorithm, text));
        alone.map_or_else(|| Digest::from_pair(text), Ok)
    }

    /// Reads `ALGORITHM-BASE64`. The name of the algorithm may contain a hyphen too.
    fn from_integrity(text: &str) -> Option<Digest> {
        // No name has more than three hyphens.
        text.match_indices('-').take(4).find_map(|(at, _)| {
            let (name, digest) = (text.get(..at)?, text.get(at + 1..)?);
            Digest::from_base64(Algorithm::from_name(name)?, digest)
        })
    }
}

/// Writes the digest in lower-case hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// A digest that a file must have, and the place where the digest was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The digest.
    pub digest: Digest,
    /// The place where the digest was found, in words for the user, such as `the list` or
    /// `X-Checksum-SHA256`.
    pub from: String,
}

/// Writes the form that is shown when the digest matches, such as `sha-256 from X-Checksum-SHA256`.
impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.digest.algorithm.name(), self.from)
    }
}

/// Compares computed digests with all expected digests.
///
/// Returns the strongest match, or `None` if no digest was expected.
///
/// # Errors
/// Returns the first expected digest that does not match, and the computed digest. The computed digest is
/// `None` if no digest of this algorithm was computed.
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
    fn hexadecimal_digits_must_have_the_right_length_and_may_have_any_case() {
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
        assert_eq!(
            verdict(&both, &[sha1]),
            Err((&both[0], None)),
            "a digest that was not computed does not match"
        );
        assert_eq!(verdict(&[], &computed), Ok(None));
    }

    #[test]
    fn names_of_algorithms_are_read_in_every_common_form() {
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
    fn malformed_base64_and_malformed_pairs_are_refused() {
        // The digest of no bytes, as `openssl dgst -binary | base64` prints it.
        let empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let digest = Digest::from_base64(Algorithm::Sha256, empty).expect("one digest");
        assert!(digest.to_string().starts_with("e3b0c44298fc1c14"));
        for bad in ["", "47DE", &empty[..43], &empty.replace('+', "-"), &format!("{empty}{empty}")] {
            assert_eq!(Digest::from_base64(Algorithm::Sha256, bad), None, "{bad}");
        }
        assert_eq!(Digest::from_pair(&format!("SHA256:{digest}")), Ok(digest));
        for bad in ["", "sha256", "sha256:", "sha256:zz", "sha3:00", ":", "sha256-", "sha256-AAAA", "a-b=c"] {
            assert!(Digest::from_given(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn digests_are_read_in_every_form_that_users_write() {
        let empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let digest = Digest::from_base64(Algorithm::Sha256, empty).expect("one digest");
        for form in [
            format!("{digest}"),
            format!(" {}\n", digest.to_string().to_uppercase()),
            format!("sha256:{digest}"),
            format!("SHA-256 = {digest}"),
            format!("sha256={empty}"),
            format!("sha256:{empty}"),
            format!("sha256-{empty}"),
            format!("sha-256-{empty}"),
        ] {
            assert_eq!(Digest::from_given(&form).as_ref(), Ok(&digest), "{form}");
        }
        for (digits, name) in [(32, "md5"), (40, "sha-1"), (64, "sha-256"), (96, "sha-384"), (128, "sha-512")]
        {
            let read = Digest::from_given(&"a".repeat(digits)).expect("a digest");
            assert_eq!(read.algorithm.name(), name);
        }
        assert!(Digest::from_pair(&digest.to_string()).is_err(), "a pair must name its algorithm");
        assert!(Algorithm::is_uncheckable("SHA3-256") && !Algorithm::is_uncheckable("sha256"));
        assert!(UNCHECKABLE.iter().all(|name| Algorithm::from_name(name).is_none() && bare(name) == *name));
    }

    proptest::proptest! {
        #[test]
        fn no_text_causes_a_panic(text in ".{0,100}") {
            for algorithm in Algorithm::all() {
                let _ = (Digest::from_hex(algorithm, &text), Digest::from_base64(algorithm, &text));
            }
            let _ = Digest::from_given(&text);
        }
    }
}
