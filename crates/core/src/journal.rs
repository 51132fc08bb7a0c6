//! The journal of a partial file, `NAME.part.journal`. It says which file is being downloaded, and which
//! of its bytes were written to the disk.
//!
//! A journal is a line that names its format, followed by entries. During a download, entries are only
//! appended. When a later run continues the download, a journal with joined claims first replaces the old one
//! ([`rewrite`]). Each entry has its length and a CRC of its own. The first entry is a [`Start`]. A reader
//! stops at the first damaged or incomplete entry, and uses only the entries before it.
//!
//! Invariant: a journal claims only bytes that were written before the claim. A [`Claim`] is used only after
//! the bytes were read back from the disk and their CRC was the one in the claim. Therefore damage to the
//! journal or to the partial file makes no wrong byte valid, unless two CRCs are equal by chance.

use crate::digest::Expected;
use crate::identity::Origin;
use crate::remote::Validator;
use crc_fast::{CrcAlgorithm, checksum, checksum_combine};
use serde::{Deserialize, Serialize};

/// The first line, which names the format. A journal of another format is not read, and the download starts
/// again. In format 2, the origin did not contain the headers and the server of the request.
const FORMAT: &[u8] = b"downhaul journal 3\n";

/// The beginning of the first line in every format.
const ANY_FORMAT: &[u8] = b"downhaul journal ";

/// The highest length of an entry in bytes. The longest entry contains little more than a URL, and servers
/// accept no URL of 64 KiB, so four times this length is enough.
const LONGEST_ENTRY: usize = 256 * 1024;

/// When a journal is rewritten, adjacent claims are joined into claims about at most this many bytes. The
/// journal of a file of one terabyte then has about 25 MB. If a byte in the range of a joined claim is
/// damaged, at most this many bytes are fetched again.
const JOINED_MOST: u64 = 1024 * 1024;

/// The description of the file in a journal. A later run uses it to decide if a response belongs to the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The URL that the file came from, without secrets. It is shown to the user.
    pub url: String,
    /// The origin that the file came from. It decides which jobs may resume the partial file
    /// ([`Identity::may_resume`](crate::identity::Identity::may_resume)). It is `None` if the origin is not
    /// known.
    pub origin: Option<Origin>,
    /// The size of the file in bytes, if known.
    pub size: Option<u64>,
    /// The validator of the file. It applies to the origin only.
    pub validator: Validator,
    /// The content coding of the bytes, or `None` if there is no coding.
    pub coding: Option<String>,
    /// The digests that the server stated.
    pub digests: Vec<Expected>,
}

/// A statement that the bytes from `start` up to, but not including, `end` were written to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The offset of the first byte.
    pub start: u64,
    /// The offset after the last byte. It is greater than `start`.
    pub end: u64,
    /// CRC-32C (Castagnoli, RFC 3720) of the bytes.
    pub crc: u32,
}

#[derive(Serialize, Deserialize)]
enum Entry {
    Start(Start),
    Claim(Claim),
}

/// A CRC-32C that is being computed.
pub struct Crc(crc_fast::Digest);

impl Crc {
    /// Returns the CRC of no bytes.
    #[expect(clippy::new_without_default, reason = "nothing would use `Default`")]
    pub fn new() -> Crc {
        Crc(crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    /// Adds these bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the CRC of all bytes that were added.
    pub fn value(&self) -> u32 {
        // The crate crc-fast returns every CRC in 64 bits. A CRC-32 uses only the lower 32 bits.
        self.0.finalize() as u32
    }
}

/// Returns the CRC-32C of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// Returns the bytes at the beginning of a journal: the first line and the first entry.
pub fn begin(start: &Start) -> Vec<u8> {
    let mut bytes = FORMAT.to_vec();
    append(&mut bytes, &Entry::Start(start.clone()));
    bytes
}

/// Returns the entry of a claim, which the caller appends to the journal.
pub fn claim(claim: Claim) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32);
    append(&mut bytes, &Entry::Claim(claim));
    bytes
}

/// Returns a new journal with these claims, in which adjacent claims are joined.
pub fn rewrite(start: &Start, claims: &[Claim]) -> Vec<u8> {
    let mut bytes = begin(start);
    joined(claims).into_iter().for_each(|one| append(&mut bytes, &Entry::Claim(one)));
    bytes
}

/// Reads the start of a journal, and its claims up to the first entry that is not a readable claim. Returns
/// `None` if the journal has another format, or if its start is not readable. Claims about no bytes, or about
/// bytes beyond the end of the file, are left out.
pub fn read(bytes: &[u8]) -> Option<(Start, Vec<Claim>)> {
    let mut rest = bytes.strip_prefix(FORMAT)?;
    let Some(Entry::Start(start)) = take(&mut rest) else { return None };
    let mut claims = Vec::new();
    while let Some(Entry::Claim(claim)) = take(&mut rest) {
        if claim.start < claim.end && start.size.is_none_or(|size| claim.end <= size) {
            claims.push(claim);
        }
    }
    Some((start, claims))
}

/// Reads only the start of a journal. `bytes` need not contain more than the first [`START_MOST`] bytes of
/// the journal. Returns `None` if the journal has another format, or if its start is not readable.
pub fn read_start(bytes: &[u8]) -> Option<Start> {
    match take(&mut bytes.strip_prefix(FORMAT)?)? {
        Entry::Start(start) => Some(start),
        Entry::Claim(_) => None,
    }
}

/// Returns true if these are the first bytes of a journal of downhaul. The journal may be damaged, or have
/// the format of another version.
pub fn is_journal(bytes: &[u8]) -> bool {
    bytes.starts_with(ANY_FORMAT)
}

/// The highest number of bytes that [`read_start`] needs.
pub const START_MOST: usize = LONGEST_ENTRY + 64;

/// Returns the CRC of two adjacent ranges together. `before` and `after` are the CRCs of the two ranges, and
/// `after_bytes` is the length of the second range.
fn join(before: u32, after: u32, after_bytes: u64) -> u32 {
    checksum_combine(CrcAlgorithm::Crc32Iscsi, before.into(), after.into(), after_bytes) as u32
}

fn append(bytes: &mut Vec<u8>, entry: &Entry) {
    // An entry that cannot be encoded is left out. A later run then fetches its bytes again. No other harm is
    // done.
    let Ok(payload) = postcard::to_stdvec(entry) else { return };
    let Ok(length) = u32::try_from(payload.len()) else { return };
    bytes.extend(length.to_le_bytes());
    bytes.extend(crc32c(&payload).to_le_bytes());
    bytes.extend(payload);
}

/// Removes the next entry from the bytes and returns it. Returns `None` if the entry is incomplete or
/// damaged.
fn take(rest: &mut &[u8]) -> Option<Entry> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (crc, after) = after.split_first_chunk::<4>()?;
    let length =
        usize::try_from(u32::from_le_bytes(*length)).ok().filter(|&length| length <= LONGEST_ENTRY)?;
    let (payload, after) = after.split_at_checked(length)?;
    if crc32c(payload) != u32::from_le_bytes(*crc) {
        return None;
    }
    *rest = after;
    postcard::from_bytes(payload).ok()
}

/// Returns the claims in order. Adjacent claims are joined, up to the length [`JOINED_MOST`]. Of two equal
/// claims, usually only one is returned.
fn joined(claims: &[Claim]) -> Vec<Claim> {
    let mut sorted = claims.to_vec();
    sorted.sort_unstable_by_key(|claim| (claim.start, claim.end));
    let mut all: Vec<Claim> = Vec::new();
    for claim in sorted {
        match all.last_mut() {
            Some(last) if last.end == claim.start && claim.end - last.start <= JOINED_MOST => {
                *last = Claim {
                    start: last.start,
                    end: claim.end,
                    crc: join(last.crc, claim.crc, claim.end - claim.start),
                };
            }
            Some(last) if *last == claim => {}
            _ => all.push(claim),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{Algorithm, Digest};
    use proptest::prelude::*;

    fn start(size: Option<u64>) -> Start {
        let digest = Digest::from_hex(Algorithm::Sha256, &"ab".repeat(32)).expect("64 digits");
        Start {
            url: "http://h/f".into(),
            origin: Some(Origin::of(&url::Url::parse("http://h/f").expect("a URL"), &Default::default())),
            coding: None,
            size,
            validator: Validator::Etag("\"a\"".into()),
            digests: vec![Expected { digest, from: "X-Checksum-SHA256".into() }],
        }
    }

    fn some(start: u64, end: u64) -> Claim {
        Claim { start, end, crc: (start + end) as u32 }
    }

    #[test]
    fn crcs_equal_the_examples_of_rfc_3720() {
        // These are examples of RFC 3720, appendix B.4: 32 bytes of 0x00, and 32 bytes of 0xff.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        let mut crc = Crc::new();
        [&b"1234"[..], b"", b"56789"].iter().for_each(|bytes| crc.update(bytes));
        assert_eq!(crc.value(), crc32c(b"123456789"));
    }

    #[test]
    fn a_journal_is_read_up_to_an_incomplete_entry() {
        let claims = [some(0, 10), some(50, 60), some(10, 20)];
        let mut bytes = begin(&start(Some(100)));
        let mut ends = vec![bytes.len()];
        for one in claims {
            bytes.extend(claim(one));
            ends.push(bytes.len());
        }
        for length in 0..=bytes.len() {
            let whole = ends.iter().filter(|&&end| end <= length).count();
            let expected = (whole > 0).then(|| (start(Some(100)), claims[..whole - 1].to_vec()));
            assert_eq!(read(&bytes[..length]), expected, "{length} bytes");
            assert_eq!(read_start(&bytes[..length]).is_some(), whole > 0, "{length} bytes");
        }
    }

    #[test]
    fn claims_beyond_the_end_are_left_out() {
        let mut bytes = begin(&start(Some(15)));
        [some(0, 10), some(10, 20), some(5, 5)].into_iter().for_each(|one| bytes.extend(claim(one)));
        assert_eq!(read(&bytes).expect("readable").1, [some(0, 10)]);
    }

    #[test]
    fn in_a_rewritten_journal_adjacent_claims_are_joined() {
        let text = b"the quick brown fox";
        let of = |from: usize, to: usize| Claim {
            start: from as u64,
            end: to as u64,
            crc: crc32c(&text[from..to]),
        };
        let bytes = rewrite(&start(None), &[of(4, 9), of(12, 15), of(0, 4), of(0, 4), of(9, 10)]);
        assert_eq!(read(&bytes).expect("readable").1, [of(0, 10), of(12, 15)]);
        let far = [some(0, JOINED_MOST), some(JOINED_MOST, JOINED_MOST + 1)];
        assert_eq!(
            read(&rewrite(&start(None), &far)).expect("readable").1,
            far,
            "joined claims have a largest length"
        );
    }

    proptest! {
        #[test]
        fn a_damaged_journal_never_panics_or_invents_claims(
            claims in prop::collection::vec((0..1000u64, 1..1000u64), 0..20),
            flips in prop::collection::vec((any::<prop::sample::Index>(), 1..=255u8), 0..4),
        ) {
            let claims: Vec<Claim> = claims.into_iter().map(|(start, length)| some(start, start + length)).collect();
            let mut bytes = begin(&start(None));
            claims.iter().for_each(|&one| bytes.extend(claim(one)));
            for (at, flip) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= flip;
            }
            if let Some((read_start, read)) = read(&bytes) {
                prop_assert_eq!(read_start, start(None));
                prop_assert!(claims.starts_with(&read));
            }
        }

        #[test]
        fn reading_any_bytes_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
            let _ = read(&[FORMAT, &bytes].concat());
        }
    }
}
