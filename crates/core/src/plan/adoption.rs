//! Remembers the file that another tool left unfinished and that the job adopts. The end of this file is
//! compared with the server's file.
//!
//! Invariant: the job has at most one such file. If the download starts again before the comparison is
//! complete, the file is compared again. A file that may be replaced is forgotten if it does not fit the
//! server's file.

use super::Leftover;
use super::validate::{adopted_start, is_no_beginning};
use crate::adopt::Adopted;
use crate::error::{Error, ErrorKind};
use crate::identity::{IS_NOT_WHAT, Origin};
use crate::ranges::RangeSet;
use crate::remote::Remote;

/// The unfinished file of another tool.
#[derive(Debug, Default)]
pub(super) struct Adoption {
    /// The file, until the comparison of its end with the server's file begins.
    pub(super) adopting: Option<Adopted>,
    /// The file, while its end is being compared.
    comparing: Option<Adopted>,
    /// The file, after its end was found equal, in this run or in an earlier one. Its bytes are a part of the
    /// new file.
    kept: Option<Adopted>,
}

impl Leftover {
    /// Records the facts about the unfinished file of another tool under the final name. `length` is the
    /// length of this file in bytes, or 0 if the job continues no such file. `may_be_replaced` is true if the
    /// server's file may replace it when the two files do not match.
    pub fn set_unfinished(&mut self, length: u64, may_be_replaced: bool) {
        let left = match self {
            Leftover::Adopted(left) => Some(left),
            Leftover::Journal { adopted, .. } => {
                *adopted = Adopted::prefix(length);
                adopted.as_mut()
            }
            Leftover::Whole(_) => None,
        };
        if let Some(left) = left {
            left.may_be_replaced = may_be_replaced;
        }
    }
}

impl Adoption {
    /// Adopts another tool's unfinished file. The first request will be for its last bytes, to compare them.
    pub(super) fn adopt(&mut self, left: Adopted) {
        self.adopting = Some(left);
    }

    /// Remembers the unfinished file that an earlier run has continued, if there is one.
    pub(super) fn keep(&mut self, left: Option<Adopted>) {
        self.kept = left;
    }

    /// Prepares for a new start of the download. A file whose comparison has begun is compared again.
    pub(super) fn forget(&mut self) {
        self.adopting = self.comparing.take().or(self.adopting.take());
        self.kept = None;
    }

    /// Returns the offset of the first byte to request: the first byte of an adopted file that is compared
    /// with the server's file, or 0 if no file is being adopted.
    pub(super) fn first_byte(&self) -> u64 {
        self.adopting.as_ref().map_or(0, |left| left.overlap().start)
    }

    /// Checks that the unfinished file can be a beginning of the file in this response.
    ///
    /// # Errors
    /// Returns `resume.damaged` if it cannot be such a beginning.
    pub(super) fn check(&self, remote: &Remote, origin: Option<Origin>) -> Result<(), Error> {
        self.adopting.as_ref().map_or(Ok(()), |left| adopted_start(remote, origin, left).map(drop))
    }

    /// Starts the comparison with the unfinished file. Returns that file, if there is one.
    pub(super) fn begin_comparison(&mut self) -> Option<&Adopted> {
        self.comparing = self.adopting.take();
        self.comparing.as_ref()
    }

    /// Ends the comparison with the unfinished file, if all bytes to compare have arrived.
    pub(super) fn end_comparison(&mut self, written: &RangeSet) {
        if self.comparing.as_ref().is_some_and(|left| written.contains(&left.overlap())) {
            self.kept = self.comparing.take();
        }
    }

    /// Returns true if bytes of the unfinished file are a part of the new file.
    pub(super) fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// Returns the error message for a new file with a wrong digest. If bytes of the unfinished file are a
    /// part of the new file, the message names the unfinished file. `why` states the computed digest and the
    /// expected digest.
    pub(super) fn wrong_digest(&self, why: String) -> String {
        match self.is_kept() {
            true => format!("{IS_NOT_WHAT}: when the rest of the server's file is added to it, the {why}"),
            false => why,
        }
    }

    /// Forgets the unfinished file if the failure shows that it does not fit the server's file, and if it may
    /// be replaced. A wrong digest or signature shows this only if bytes of the unfinished file are a part of
    /// the new file. Returns true if the unfinished file was forgotten. The download must then start again.
    pub(super) fn give_up(&mut self, kind: ErrorKind) -> bool {
        let left = match kind {
            ErrorKind::ResumeDamaged => {
                self.adopting.as_ref().or(self.comparing.as_ref()).or(self.kept.as_ref())
            }
            ErrorKind::DigestMismatch | ErrorKind::SignatureWrong => self.kept.as_ref(),
            _ => None,
        };
        let gives_up = left.is_some_and(|left| left.may_be_replaced);
        if gives_up {
            *self = Adoption::default();
        }
        gives_up
    }

    /// Returns the error to report. If the server's file is shorter than the unfinished file, the returned
    /// error says that the unfinished file does not match the server's file.
    pub(super) fn explain(&self, error: Error) -> Error {
        match &self.adopting {
            Some(left) if error.kind == ErrorKind::HttpRangePast => {
                is_no_beginning(left, error.size, &error.at)
            }
            _ => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_digest_or_signature_gives_up_only_a_file_whose_bytes_are_a_part_of_the_new_file() {
        for wrong in [ErrorKind::DigestMismatch, ErrorKind::SignatureWrong] {
            let mut left = Adopted::prefix(1000).expect("a file");
            left.may_be_replaced = true;
            let mut adoption = Adoption::default();
            adoption.adopt(left.clone());
            assert!(!adoption.give_up(wrong));
            assert!(adoption.give_up(ErrorKind::ResumeDamaged));
            adoption.keep(Some(left));
            assert!(adoption.give_up(wrong));
            assert!(!adoption.is_kept());
        }
    }
}
