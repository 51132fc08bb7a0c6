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

/// Names (the first one is ours, as in RFC 9530 where it has one) and the digest's length in bytes. Names are compared as
/// [`bare`] ones.
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

/// Names of algorithms that lists and URLs have and that cannot be checked here, as [`bare`] names. To take such a digest for
/// a remark would let a wrong file pass, so that such a digest is refused or told.
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

    /// Whether a list of such digests is one that `--verify listed` takes: archives of genomes have MD5 and nothing else. A CRC
    /// tells accidents only.
    pub fn counts_in_lists(self) -> bool {
        self >= Algorithm::Md5
    }

    /// The algorithm of a name as people and lists write it: `sha256`, `SHA-256`, `b2`.
    pub fn from_name(name: &str) -> Option<Algorithm> {
        let wanted = bare(name);
        let row = TABLE.iter().find(|(_, names, _)| names.iter().any(|name| bare(name) == wanted));
        row.map(|(algorithm, _, _)| *algorithm)
    }

    /// The algorithm that a digest of so many hexadecimal digits is of, where nothing else says it: as the lists of `md5sum`,
    /// `sha1sum` and those of SHA-2 are read.
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

    /// What a digest of it looks like, for a message.
    pub fn needs(self) -> String {
        format!("{} needs {} hexadecimal digits", self.name(), self.size() * 2)
    }

    /// Whether this names an algorithm that is known, but cannot be checked here: `sha3-256`.
    pub fn is_uncheckable(name: &str) -> bool {
        UNCHECKABLE.contains(&bare(name).as_str())
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

/// A name without what people write differently: its case, hyphens and underscores.
fn bare(name: &str) -> String {
    name.replace(['-', '_'], "").to_ascii_lowercase()
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

    /// Reads hexadecimal digits or base64; `None` unless they are exactly one digest of that algorithm. (No digest has as many
    /// digits as characters of base64.)
    pub fn from_text(algorithm: Algorithm, text: &str) -> Option<Digest> {
        Digest::from_hex(algorithm, text).or_else(|| Digest::from_base64(algorithm, text))
    }

    /// Reads a digest that names its algorithm: `ALGORITHM:DIGEST` or `ALGORITHM=DIGEST`, in hexadecimal digits or base64, or
    /// `ALGORITHM-BASE64` as in Subresource Integrity (W3C, section 3.5).
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn from_pair(text: &str) -> Result<Digest, String> {
        let text = text.trim();
        if let Some(digest) = Digest::from_integrity(text) {
            return Ok(digest);
        }
        let pair = text.split_once(':').or_else(|| text.split_once('='));
        let (name, digest) = pair.ok_or("it must have the form ALGORITHM:HEX")?;
        let algorithm = Algorithm::from_name(name.trim())
            .ok_or_else(|| format!("the algorithm must be one of {}", Algorithm::names()))?;
        Digest::from_text(algorithm, digest.trim()).ok_or_else(|| algorithm.needs())
    }

    /// Reads a digest as people give it: as a pair, or its hexadecimal digits alone, whose number says which algorithm it is.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn from_given(text: &str) -> Result<Digest, String> {
        let text = text.trim();
        let alone = Algorithm::by_length(text.len()).and_then(|algorithm| Digest::from_hex(algorithm, text));
        alone.map_or_else(|| Digest::from_pair(text), Ok)
    }

    /// `ALGORITHM-BASE64`. The name may have a hyphen itself.
    fn from_integrity(text: &str) -> Option<Digest> {
        text.match_indices('-').find_map(|(at, _)| {
            let (name, digest) = (text.get(..at)?, text.get(at + 1..)?);
            Digest::from_base64(Algorithm::from_name(name)?, digest)
        })
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
        for bad in ["", "sha256", "sha256:", "sha256:zz", "sha3:00", ":", "sha256-", "sha256-AAAA", "a-b=c"] {
            assert!(Digest::from_given(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn digests_are_read_in_every_form_that_people_give() {
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
        assert!(Digest::from_pair(&digest.to_string()).is_err(), "a pair names its algorithm");
        assert!(Algorithm::is_uncheckable("SHA3-256") && !Algorithm::is_uncheckable("sha256"));
        assert!(UNCHECKABLE.iter().all(|name| Algorithm::from_name(name).is_none() && bare(name) == *name));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,100}") {
            for algorithm in Algorithm::all() {
                let _ = (Digest::from_hex(algorithm, &text), Digest::from_base64(algorithm, &text));
            }
            let _ = Digest::from_given(&text);
        }
    }
}
