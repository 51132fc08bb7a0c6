//! Verifies one chunk while it arrives. The chunk is the range of a response that states the digest of this
//! range (`Content-Digest` on a 206, RFC 9530, section 2).
//!
//! Invariant: the digest is compared only when all announced bytes have arrived.

use crate::hashers::Hashers;
use downhaul_core::digest::{self, Algorithm, Expected};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::remote::{Remote, Span};
use downhaul_core::settings::Verify;
use downhaul_core::show;

/// The unfinished digests of a chunk.
pub(crate) struct ChunkCheck {
    expected: Vec<Expected>,
    hashers: Hashers,
    /// The offset after the last byte of the chunk in the file.
    end: u64,
    /// The number of bytes that have not arrived yet.
    left: u64,
    /// The URL of the response, for messages.
    at: String,
}

impl ChunkCheck {
    /// Returns the check of the chunk in a response. Returns `None` if the response states no digest for the
    /// chunk, or if nothing is verified in this run.
    pub(crate) fn of(remote: &Remote, verify: Verify) -> Option<ChunkCheck> {
        let Span::Range(range) = &remote.span else { return None };
        if verify == Verify::Off || remote.range_digests.is_empty() {
            return None;
        }
        let expected = remote.range_digests.clone();
        let algorithms: Vec<Algorithm> = expected.iter().map(|one| one.digest.algorithm).collect();
        let (end, left) = (range.end, range.end.saturating_sub(range.start));
        Some(ChunkCheck {
            expected,
            hashers: Hashers::new(&algorithms),
            end,
            left,
            at: show::url(&remote.url),
        })
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Returns true if the whole chunk has arrived.
    pub(crate) fn is_complete(&self) -> bool {
        self.left == 0
    }

    /// Adds the next bytes.
    ///
    /// # Errors
    /// Returns `digest.part` if these are the last bytes and the digest does not match.
    pub(crate) fn update(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let announced = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        self.hashers.update(&[&bytes[..announced]]);
        self.left -= announced as u64;
        if self.left > 0 || announced == 0 {
            return Ok(());
        }
        match digest::verdict(&self.expected, &std::mem::take(&mut self.hashers).finish()) {
            Ok(_) => Ok(()),
            Err((one, found)) => {
                let found = found.map_or(String::new(), |digest| digest.to_string());
                let why = format!(
                    "{} is {found}, but {} says {}",
                    one.digest.algorithm.name(),
                    one.from,
                    one.digest
                );
                Err(Error::new(ErrorKind::DigestPart, &self.at, why))
            }
        }
    }
}
