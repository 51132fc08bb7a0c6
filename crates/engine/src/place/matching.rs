//! Compares an existing file with everything that is known about the wanted one: the required size, digests,
//! the signature, the hashes of its chunks, and the kind of content that its name promises.
//!
//! Invariant: a file that does not match is an error here, for every value of `--if-exists`. The caller
//! decides what happens to the file.

use super::{Places, Wanted};
use crate::director::promises_data;
use crate::disk::{self, Standing};
use crate::known::Known;
use downhaul_core::content::{self, Look};
use downhaul_core::digest::{self, Digest, Expected};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::event::Kept;
use downhaul_core::identity;
use downhaul_core::plan::Place;
use downhaul_core::settings::Verify;
use std::io::Read;
use std::path::Path;

impl Places {
    /// Compares an existing file with everything that is known without a response to a request for the file:
    /// the required size, the digests and the signature. If there is neither a strong digest nor a signature,
    /// the hashes of its chunks are compared too. Returns `None` if there was nothing to compare except the
    /// size, or if nothing is verified in this run.
    ///
    /// # Errors
    /// Returns `digest.mismatch` or `signature.wrong` if the file does not match, and the error of the disk
    /// if the file cannot be read.
    pub(super) fn verify_given(
        &self,
        path: &Path,
        there: &Standing,
        wanted: &Wanted<'_>,
    ) -> Result<Option<Verified>, Error> {
        let verified = self.verify(path, there, wanted, &[])?;
        let is_strong = |verified: &Verified| {
            wanted.known.signature.is_some()
                || verified.digests.iter().any(|digest| digest.algorithm.is_strong())
        };
        let Some(chunks) = wanted.spec.chunks.as_ref().filter(|_| self.settings.verify != Verify::Off) else {
            return Ok(verified);
        };
        if verified.as_ref().is_some_and(is_strong) {
            return Ok(verified);
        }
        let file = self.disk.open(path)?;
        match disk::has_chunks(file, there.file.size, chunks).map_err(|e| disk::failure(&e, path))? {
            true => Ok(Some(Verified { by: "the hashes of its chunks".into(), digests: Vec::new() })),
            false => {
                let detail = format!("{} the chunk hashes from {}", identity::IS_NOT_WHAT, chunks.from);
                Err(Error::new(ErrorKind::DigestMismatch, path.to_string_lossy(), detail))
            }
        }
    }

    /// Compares an existing file with the required size, with all digests that were given, listed, or
    /// `stated` by the server, and with its signature. Returns `None` if there was nothing to compare except
    /// the size, or if nothing is verified in this run.
    pub(super) fn verify(
        &self,
        path: &Path,
        there: &Standing,
        wanted: &Wanted<'_>,
        stated: &[Expected],
    ) -> Result<Option<Verified>, Error> {
        if self.settings.verify == Verify::Off {
            return Ok(None);
        }
        let shown = path.to_string_lossy();
        if let Some(required) = wanted.spec.size.filter(|&size| size != there.file.size) {
            let sizes = format!("it has {} bytes, and must have {required}", there.file.size);
            let detail = format!("{}: {sizes}", identity::IS_NOT_WHAT);
            return Err(Error::new(ErrorKind::DigestMismatch, shown, detail));
        }
        let Known { findings, signature, .. } = wanted.known;
        let expected = [&wanted.spec.expected, &findings.expected, stated].concat();
        let algorithms = expected.iter().map(|one| one.digest.algorithm);
        let algorithms =
            digest::distinct(algorithms.chain(findings.signed.as_ref().and_then(|signed| signed.digest)));
        let computed = match algorithms.is_empty() {
            true => Vec::new(),
            false => disk::digests(&*self.disk, path, &algorithms)?,
        };
        let strongest = digest::verdict(&expected, &computed).map_err(|(one, _)| {
            let detail = format!("{} the digest from {}", identity::IS_NOT_WHAT, one.from);
            Error::new(ErrorKind::DigestMismatch, shown.as_ref(), detail)
        })?;
        match signature {
            Some(signature) => {
                signature.check_file(&computed, || self.disk.open(path), &shown)?;
                let by = format!("signed by {}", signature.description().by);
                Ok(Some(Verified { by, digests: computed }))
            }
            None => {
                let by = strongest.map(ToString::to_string);
                Ok(by.map(|by| Verified { by, digests: computed }))
            }
        }
    }

    /// Returns true with `--verify require` if no strong digest, no signature and no strong chunk hashes are
    /// known. `stated` are the digests in the response of the server.
    pub(super) fn lacks_digest(&self, wanted: &Wanted<'_>, stated: &[Expected]) -> bool {
        self.settings.verify == Verify::Require && !has_strong(wanted, stated)
    }

    /// Checks that an existing file is not a web page or a Git LFS pointer under a name that promises data.
    /// Such a file is an error even if the server still sends the same bytes.
    pub(super) fn is_no_page(&self, path: &Path, wanted: &Wanted<'_>) -> Result<(), Error> {
        let shown = path.to_string_lossy();
        if !promises_data(&shown, wanted.spec, &self.settings) {
            return Ok(());
        }
        let mut beginning = Vec::new();
        let read = self.disk.open(path)?.take(content::ENOUGH as u64).read_to_end(&mut beginning);
        read.map_err(|e| disk::failure(&e, path))?;
        match content::look(&beginning) {
            Look::Page => Err(Error::new(ErrorKind::ContentHtml, shown, "the existing file is such a page")),
            Look::LfsPointer => {
                Err(Error::new(ErrorKind::ContentPointer, shown, "the existing file is such a pointer"))
            }
            _ => Ok(()),
        }
    }
}

/// An existing file that matches its digests, its signature or the hashes of its chunks.
pub(super) struct Verified {
    /// What was compared with the file (the strongest digest, for example), in words for the user.
    by: String,
    pub(super) digests: Vec<Digest>,
}

impl Verified {
    /// Returns the place of the file, which is kept. `reason` says why, and what was compared is added to it.
    pub(super) fn stays(self, path: &Path, there: &Standing, reason: &str) -> Place {
        stays_verified(path, there, &format!("{reason}, {}", self.by), self.digests)
    }
}

/// Returns true if a strong digest, a signature or strong hashes of the chunks of the file are known: they
/// were given, listed, or `stated` by the server.
fn has_strong(wanted: &Wanted<'_>, stated: &[Expected]) -> bool {
    let about = &wanted.known.findings;
    let mut expected = wanted.spec.expected.iter().chain(&about.expected).chain(stated);
    let mut chunks = wanted.spec.chunks.iter();
    about.signed.is_some()
        || expected.any(|one| one.digest.algorithm.is_strong())
        || chunks.any(|chunks| chunks.algorithm.is_strong())
}

/// Returns the error for an existing file if `--verify require` needs a strong digest and none is known.
pub(super) fn digest_missing(path: &Path) -> Error {
    let why = "the existing file cannot be verified";
    Error::new(ErrorKind::DigestMissing, path.to_string_lossy(), why)
}

/// Returns true if a failure says that a file has other bytes than expected.
pub(super) fn is_other_content(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::DigestMismatch | ErrorKind::SignatureWrong)
}

/// Returns the place of a file that is kept.
pub(super) fn stays(path: &Path, there: &Standing, reason: &str) -> Place {
    stays_verified(path, there, reason, Vec::new())
}

/// Returns the place of a file that is kept. `digests` are the digests of the file that are known.
pub(super) fn stays_verified(path: &Path, there: &Standing, reason: &str, digests: Vec<Digest>) -> Place {
    let (path, reason) = (path.to_string_lossy().into_owned(), reason.into());
    Place::Taken(Kept { path, reason, bytes: Some(there.file.size), digests, ..Kept::default() })
}
