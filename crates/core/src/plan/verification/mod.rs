//! Decides if the bytes of a file are right, and which mirror is at fault if they are not.
//!
//! [`Verification`] keeps the expected digests. It also records which chunks are verified and which mirrors
//! are suspected.
//!
//! Invariant: a file is published only if it matches every known digest. A mirror is blamed only if the file
//! or a chunk became right when the bytes of this mirror were replaced by bytes of other mirrors. Otherwise
//! the digest itself may be wrong.

mod chunks;
mod expectations;
mod suspects;

use super::sources::Sources;
use super::transfer::Provenance;
use super::{Findings, Rules};
use crate::dedup::Demands;
use crate::digest::{self, Algorithm, Digest, Expected};
use crate::error::{Error, ErrorKind};
use crate::event::EventKind;
use crate::job::ChunkHashes;
use crate::ranges::RangeSet;
use crate::settings::Verify;
use chunks::Chunks;
use expectations::Expectations;
use std::ops::Range;
use suspects::Suspects;

/// The expected content of one file, and the parts of it that are verified.
#[derive(Debug)]
pub(super) struct Verification {
    verify: Verify,
    /// True if written bytes can be read back, which is not possible for output that is written in order.
    is_readable: bool,
    expectations: Expectations,
    chunks: Option<Chunks>,
    /// The size that the file must have, in bytes.
    size: Option<u64>,
    suspects: Suspects,
}

/// The result of comparing the digests of a complete file.
#[derive(Debug)]
pub(super) enum WholeResult {
    /// All digests match.
    Right {
        events: Vec<EventKind>,
        warnings: Vec<String>,
        /// The method by which the file was verified, if a digest or a signature was compared.
        verified_by: Option<String>,
        /// The mirror that sent wrong bytes, and the reason why this is known, if such a mirror was
        /// found. Its bytes have been replaced.
        guilty: Option<(usize, String)>,
    },
    /// A digest does not match. The text says which digest.
    Wrong(String),
    /// All digests match, but the file does not satisfy `--verify`, or it is a web page or a Git LFS pointer
    /// although its name is that of another kind of file.
    Refused(Error),
}

/// Bytes that must be fetched again, because the digest of the whole file does not match.
#[derive(Debug)]
pub(super) struct Replacement {
    pub(super) ranges: Vec<Range<u64>>,
    /// The suspected mirror, or `None` if the source of the bytes is not known.
    pub(super) suspect: Option<usize>,
}

/// A chunk whose digest does not match.
#[derive(Debug)]
pub(super) struct WrongChunk {
    pub(super) range: Range<u64>,
    /// The source that sent the whole chunk, if it is known.
    pub(super) sent_by: Option<usize>,
    /// True if the chunk was wrong before.
    pub(super) again: bool,
    /// True if the transfer still runs.
    pub(super) transferring: bool,
    /// True if bytes of several mirrors may be mixed.
    pub(super) mixes: bool,
}

#[derive(Debug)]
pub(super) enum ChunkDecision {
    /// The chunk is fetched from any mirror except this one.
    FromOthers(usize),
    /// The chunk is fetched from one source alone.
    FromOne,
    /// The chunk is not fetched again now, because the job fails with this error.
    Fail(Error),
}

impl Verification {
    pub(super) fn new(rules: &Rules) -> Self {
        let mut verification = Verification {
            verify: rules.verify,
            is_readable: !rules.sizes.window_is_memory,
            expectations: Expectations::new(rules),
            chunks: None,
            size: rules.size,
            suspects: Suspects::default(),
        };
        verification.set_chunks(rules.chunks.clone());
        verification
    }

    /// Adds facts that the heads of the responses with the file do not state (see [`Findings`]). If a size or
    /// chunk hashes are known already, the new ones are ignored.
    pub(super) fn add(&mut self, mut findings: Findings) {
        let (chunks, size) = (findings.chunks.take(), findings.size.take());
        self.expectations.add(findings);
        self.size = self.size.or(size);
        self.set_chunks(chunks);
    }

    /// Sets the chunk hashes, if none are set yet and if chunks can be read back and verified.
    fn set_chunks(&mut self, hashes: Option<ChunkHashes>) {
        if let Some(hashes) = hashes.filter(|_| self.can_read_back() && self.chunks.is_none()) {
            self.chunks = Some(Chunks::new(hashes));
        }
    }

    /// Returns true if written bytes can be read back and compared with digests.
    fn can_read_back(&self) -> bool {
        self.verify != Verify::Off && self.is_readable
    }

    /// Prepares for a version of the file, when the download starts, starts again or continues a partial
    /// file. `stated` has the digests that the server stated for this version. They replace the digests that
    /// servers stated before.
    pub(super) fn begin(&mut self, stated: &[Expected]) {
        self.expectations.begin(stated);
    }

    /// Adds digests that the server states for the same version of the file. If bytes of several mirrors may
    /// be mixed (`mixes`), nothing is added: only the digests in the response that began the download are
    /// used. Nothing is added for output that is written in order, because the digests of its earlier bytes
    /// cannot be computed later.
    pub(super) fn learn(&mut self, stated: &[Expected], mixes: bool) {
        if self.is_readable && !mixes {
            self.expectations.learn(stated);
        }
    }

    /// Forgets which bytes are verified and which digests servers stated, because the download starts again.
    pub(super) fn forget(&mut self, sources: &mut Sources) {
        self.expectations.forget();
        self.suspects.forget(sources);
        if let Some(chunks) = &mut self.chunks {
            chunks.forget();
        }
    }

    /// Returns the conditions that the bytes of the file must satisfy.
    pub(super) fn demands(&self) -> Demands {
        Demands {
            expected: self.expectations.all().to_vec(),
            size: self.size,
            is_listed: self.expectations.is_listed(),
            has_more: self.chunks.is_some() || self.expectations.is_signed(),
        }
    }

    /// Returns the expected digests of the whole file.
    pub(super) fn expected(&self) -> &[Expected] {
        self.expectations.all()
    }

    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        self.expectations.algorithms()
    }

    /// Returns true if a strong digest of the whole file is known, or is among `stated`. With `--verify off`,
    /// returns false.
    pub(super) fn has_strong_digest(&self, stated: &[Expected]) -> bool {
        self.expectations.has_strong(stated)
    }

    /// Returns true if the user or a list gave a strong digest of the whole file.
    pub(super) fn has_given_digest(&self) -> bool {
        self.expectations.is_given()
    }

    /// Returns true if a strong digest or digests of chunks will show if bytes belong together.
    pub(super) fn tells_bytes_apart(&self) -> bool {
        self.chunks.is_some() || self.expectations.has_strong(&[])
    }

    /// Returns true if bytes of several mirrors may be mixed, because the bytes will be verified with a
    /// digest of the file or of its chunks. Equal sizes, ETags and dates do not show that the bytes are
    /// equal.
    pub(super) fn allows_mixing(&self) -> bool {
        self.can_read_back() && self.tells_bytes_apart() && !self.suspects.is_over()
    }

    /// Returns true if digests are compared, which is the case unless `--verify off` is set.
    pub(super) fn is_on(&self) -> bool {
        self.verify != Verify::Off
    }

    /// Returns the length of a chunk, or 0 if there are no chunks. Segments are aligned to this length.
    pub(super) fn chunk_length(&self) -> u64 {
        self.chunks.as_ref().map_or(0, Chunks::length)
    }

    /// Returns the size that the file must have, if it is known.
    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    /// Returns true if the digests of chunks fit a file of this size.
    pub(super) fn chunks_fit(&self, size: u64) -> bool {
        self.chunks.as_ref().is_some_and(|chunks| chunks.fit(size))
    }

    /// Checks that the known digests of the file or of its chunks satisfy `--verify`. Strong digests of
    /// chunks are always enough.
    ///
    /// # Errors
    /// Returns `digest.missing` or `digest.unlisted` if the known digests do not satisfy `--verify`.
    pub(super) fn suffices(&self, path: &str) -> Result<(), Error> {
        match &self.chunks {
            Some(chunks) if chunks.hashes().algorithm.is_strong() => Ok(()),
            _ => self.expectations.suffices(path),
        }
    }

    /// Compares a size with the expected one, and with the number of chunks. With `--verify off`, compares
    /// nothing.
    ///
    /// # Errors
    /// Returns `digest.mismatch` if the size is wrong or does not fit the number of chunks.
    pub(super) fn check_size(&self, size: Option<u64>, at: impl FnOnce() -> String) -> Result<(), Error> {
        let Some(size) = size else { return Ok(()) };
        let why = match (self.size, &self.chunks) {
            (Some(wanted), _) if wanted != size && self.is_on() => {
                format!("the file has {size} bytes, and must have {wanted}")
            }
            (_, Some(chunks)) if !chunks.fit(size) => {
                let count = chunks.hashes().digests.len();
                format!("the file has {size} bytes, and this size does not fit {count} chunks")
            }
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::DigestMismatch, at(), why))
    }

    /// Returns the next chunk to read back, with its expected digest.
    pub(super) fn next_chunk(&mut self, written: &RangeSet, size: u64) -> Option<(Range<u64>, Digest)> {
        self.chunks.as_mut()?.next(written, size)
    }

    pub(super) fn is_reading_back(&self) -> bool {
        self.chunks.as_ref().is_some_and(Chunks::is_reading)
    }

    /// Returns true if no chunk of a file of this size is left to verify. If the digests of chunks do not fit
    /// the size, [`Verification::check_size`] refuses the file later.
    pub(super) fn chunks_are_done(&self, size: Option<u64>) -> bool {
        let known = self.chunks.as_ref().zip(size);
        known.is_none_or(|(chunks, size)| chunks.all_verified(size) || !chunks.fit(size))
    }

    /// Records that a chunk was read back. `good` is true if its digest matches. Returns false, and changes
    /// nothing, if this chunk is not the one that is being read back.
    pub(super) fn chunk_read(&mut self, chunk: &Range<u64>, good: bool) -> bool {
        self.chunks.as_mut().is_some_and(|chunks| chunks.finish(chunk, good))
    }

    /// Returns the mirrors that sent wrong bytes for a chunk before it was right, and a message about these
    /// mirrors. `sent_by` is the source that sent the right bytes, if it is known. If it is not known, no
    /// mirror is returned.
    pub(super) fn blame_for(&mut self, chunk: &Range<u64>, sent_by: Option<usize>) -> (Vec<usize>, String) {
        let wrong = self.chunks.as_mut().map(|chunks| chunks.take_wrong(chunk)).unwrap_or_default();
        let guilty = wrong.into_iter().filter(|&one| sent_by.is_some_and(|by| by != one)).collect();
        (guilty, self.wrong_chunk_text(chunk))
    }

    /// Decides how to fetch a wrong chunk again. If one mirror sent the whole chunk, the bytes of another
    /// mirror show if the first mirror or the digest is wrong.
    pub(super) fn decide_on_wrong_chunk(
        &mut self,
        chunk: &WrongChunk,
        sources: &Sources,
        path: &str,
    ) -> ChunkDecision {
        let why = self.wrong_chunk_text(&chunk.range);
        let suspect = chunk.sent_by.filter(|_| chunk.mixes);
        let sent = match (suspect, &mut self.chunks) {
            (Some(source), Some(chunks)) => chunks.add_wrong(&chunk.range, source).to_vec(),
            _ => Vec::new(),
        };
        match (suspect.filter(|_| sources.has_other_than(&sent)), chunk.sent_by) {
            (Some(source), _) => ChunkDecision::FromOthers(source),
            (None, _) if !chunk.transferring => ChunkDecision::FromOne,
            (None, None) if !chunk.again => ChunkDecision::FromOne,
            (None, Some(_)) if sent.len() > 1 => {
                let count = sent.len();
                let disagree =
                    format!("{why}. The bytes of all {count} mirrors were wrong, so the digest may be wrong");
                ChunkDecision::Fail(Error::new(ErrorKind::DigestPart, path, disagree))
            }
            (None, Some(source)) => {
                ChunkDecision::Fail(Error::new(ErrorKind::DigestPart, sources.url(source), why))
            }
            (None, None) => ChunkDecision::Fail(Error::new(ErrorKind::DigestPart, path, why)),
        }
    }

    fn wrong_chunk_text(&self, chunk: &Range<u64>) -> String {
        let from = self.chunks.as_ref().map_or("", |chunks| &chunks.hashes().from);
        format!("bytes {} to {} do not match {from}", chunk.start, chunk.end.saturating_sub(1))
    }

    /// Records that these bytes must be fetched again.
    pub(super) fn take_back(&mut self, ranges: &[Range<u64>]) {
        if let Some(chunks) = &mut self.chunks {
            ranges.iter().for_each(|range| chunks.take_back(range));
        }
    }

    /// Compares the digests of the complete file with the expected ones. `says_html` is true if the server
    /// says that the file is a web page.
    pub(super) fn compare_whole(&mut self, computed: &[Digest], path: &str, says_html: bool) -> WholeResult {
        let strongest = match digest::verdict(self.expectations.all(), computed) {
            Ok(strongest) => strongest,
            Err((Expected { digest, from }, found)) => {
                let found = found.map_or("not computed".to_string(), |digest| digest.to_string());
                let algorithm = digest.algorithm.name();
                return WholeResult::Wrong(format!("{algorithm} is {found}, but {from} says {digest}"));
            }
        };
        let (events, verified_by) = self.expectations.verified(computed, strongest);
        let warnings = self.suffices(path).and_then(|()| self.expectations.warnings(path, says_html));
        let warnings = match warnings {
            Ok(warnings) => warnings,
            Err(error) => return WholeResult::Refused(error),
        };
        let by_chunks = self.chunks.as_ref().map(|chunks| {
            let ChunkHashes { algorithm, from, .. } = chunks.hashes();
            format!("{} of each chunk from {from}", algorithm.name())
        });
        // If only a server stated the digest, it is not known which of two servers has the right file. So the
        // text says what the bytes were compared with.
        let found = self.suspects.guilty().zip(strongest);
        let guilty = found.map(|(source, one)| (source, format!("its bytes do not match the {one}")));
        WholeResult::Right { events, warnings, verified_by: verified_by.or(by_chunks), guilty }
    }

    /// Decides what to fetch again if the digest of the whole file is wrong and bytes of several mirrors may
    /// be mixed. First, the bytes whose source is unknown are replaced. After that, each call chooses one
    /// mirror whose bytes are replaced. Returns `None` if all mirrors that sent bytes were suspected already,
    /// if no other mirror is left, or if there were as many replacements as mirrors. Also returns `None` if
    /// all chunks are right, because then the digest of the whole file itself is wrong.
    pub(super) fn replace_suspicious(
        &mut self,
        provenance: &Provenance,
        written: &RangeSet,
        sources: &mut Sources,
    ) -> Option<Replacement> {
        if self.chunks.is_some() {
            return None;
        }
        let mut ranges = provenance.unknown(written);
        if !ranges.is_empty() && self.suspects.replace_unknown() {
            return Some(Replacement { ranges, suspect: None });
        }
        let alone = ranges.is_empty();
        // The bytes of the mirror that sent the fewest bytes are replaced first, because that costs least.
        let suspect = self.suspects.suspect_next(&provenance.contributors(), alone, sources)?;
        ranges.extend(provenance.of(suspect));
        Some(Replacement { ranges, suspect: Some(suspect) })
    }

    /// Records that the digest of a complete file is wrong, and that no bytes are replaced any more. `mixed`
    /// is true if the file may have bytes of several mirrors.
    pub(super) fn count_wrong_file(&mut self, mixed: bool, sources: &mut Sources) {
        self.suspects.count_wrong_file(mixed, self.chunks.is_some(), sources);
    }

    /// Returns true if the digest of the file itself is probably wrong.
    pub(super) fn is_digest_doubtful(&self) -> bool {
        self.suspects.is_digest_doubtful()
    }

    /// Makes the suspected mirror unusable again, if its bytes are being replaced and another mirror is
    /// usable.
    pub(super) fn keep_suspect_out(&self, sources: &mut Sources) {
        self.suspects.keep_out(sources);
    }
}
