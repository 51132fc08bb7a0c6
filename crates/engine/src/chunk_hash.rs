//! A part of a file whose reply says what its digest is (Content-Digest on a 206: RFC 9530, section 2).
//!
//! Invariant: there is a verdict when every byte that the reply announced was seen, and not before.

use crate::hashers::Hashers;
use downhaul_core::digest::{self, Algorithm, Expected};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::remote::{Remote, Span};
use downhaul_core::settings::Verify;
use downhaul_core::show;

/// The digests of a part in the making.
pub(crate) struct Piece {
    expected: Vec<Expected>,
    hashers: Hashers,
    /// One past its last byte, in the file.
    end: u64,
    /// Bytes that are still to come.
    left: u64,
    /// Where it comes from, for people.
    at: String,
}

impl Piece {
    /// `None` where nothing is said of the part, or nothing is to be checked.
    pub(crate) fn of(remote: &Remote, verify: Verify) -> Option<Piece> {
        let Span::Range(range) = &remote.span else { return None };
        if verify == Verify::Off || remote.range_digests.is_empty() {
            return None;
        }
        let expected = remote.range_digests.clone();
        let algorithms: Vec<Algorithm> = expected.iter().map(|one| one.digest.algorithm).collect();
        let (end, left) = (range.end, range.end.saturating_sub(range.start));
        Some(Piece { expected, hashers: Hashers::new(&algorithms), end, left, at: show::url(&remote.url) })
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// All of it came.
    pub(crate) fn is_complete(&self) -> bool {
        self.left == 0
    }

    /// These bytes came next.
    ///
    /// # Errors
    /// `digest.part` when all of it came and is not what its reply says.
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
