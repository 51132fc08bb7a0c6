//! Compares bytes on the disk with the journal of an earlier run, and chunks with their digests. A claim of a
//! journal is a range of written bytes with its CRC. The claims are compared one after the other. Meanwhile,
//! missing bytes are fetched.

use crate::clock;
use crate::disk::Part;
use crate::hashers::Hashers;
use crate::trace::DISK;
use downhaul_core::digest::Digest;
use downhaul_core::error::Error;
use downhaul_core::journal::{Claim, Crc};
use downhaul_core::plan::Input;
use std::ops::Range;
use std::sync::Arc;

/// The number of bytes that are read at a time. They stay in the processor's cache while they are hashed.
const READ: u64 = 256 * 1024;

/// Compares the bytes of each claim with its CRC. Passes an [`Input::ClaimChecked`] for each claim to
/// `report`, and at the end an [`Input::JournalChecked`]. `number` is the number that the plan gave to this
/// state of the partial file. The plan ignores inputs with another number.
pub(crate) async fn run(number: u32, claims: Vec<Claim>, part: Arc<dyn Part>, report: impl Fn(Input)) {
    let (since, all, mut found) = (clock::instant(), claims.len(), 0);
    for claim in claims {
        let part = part.clone();
        // Bytes that cannot be read are fetched again.
        let good = tokio::task::spawn_blocking(move || holds(&*part, claim)).await.unwrap_or(false);
        found += usize::from(good);
        report(Input::ClaimChecked { number, claim, good });
    }
    tracing::debug!(target: DISK, claims = all, found, took = ?since.elapsed(), "compared the partial file with its journal");
    report(Input::JournalChecked { number });
}

/// Returns true if the file has all bytes of the range, and these bytes have the expected digest.
///
/// # Errors
/// Returns an error if the bytes cannot be read.
pub(crate) fn has_digest(part: &dyn Part, range: Range<u64>, expected: &Digest) -> Result<bool, Error> {
    let mut hashers = Hashers::new(&[expected.algorithm]);
    let whole = read(part, range, |bytes| hashers.update(&[bytes]))?;
    Ok(whole && hashers.finish().first() == Some(expected))
}

/// Returns true if the bytes of the claim can be read and have its CRC.
fn holds(part: &dyn Part, claim: Claim) -> bool {
    let mut crc = Crc::new();
    let whole = read(part, claim.start..claim.end, |bytes| crc.update(bytes));
    whole == Ok(true) && crc.value() == claim.crc
}

/// Reads a range in several steps. Returns true if the file has all bytes of the range.
fn read(part: &dyn Part, range: Range<u64>, mut take: impl FnMut(&[u8])) -> Result<bool, Error> {
    let mut at = range.start;
    let mut buffer = vec![0; usize::try_from(READ.min(range.end - range.start)).unwrap_or(0)];
    while at < range.end {
        let most = usize::try_from((range.end - at).min(READ)).unwrap_or(0);
        if part.read_at(at, &mut buffer[..most])? != most {
            return Ok(false);
        }
        take(&buffer[..most]);
        at += most as u64;
    }
    Ok(true)
}
