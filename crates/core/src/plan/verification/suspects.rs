//! Finds the mirror that sent wrong bytes. This is needed if a digest of the whole file is known, but no
//! chunk hashes are known.
//!
//! In each step, the bytes of one mirror are replaced by bytes of other mirrors, until the digest is right.
//!
//! Invariant: a mirror counts as one that sent wrong bytes only if the digest matches as soon as the bytes of
//! this mirror, and no other bytes, are replaced.

use crate::plan::sources::{Out, Sources};

/// If this many mirrors sent a whole file with a wrong digest, no further mirror is tried, because the digest
/// itself is probably wrong.
const WRONG_FILES_MOST: u32 = 4;

/// The mirrors that are suspected of sending wrong bytes.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// The suspected mirror, whose bytes are being replaced.
    current: Option<usize>,
    /// True if only the bytes of the suspected mirror are being replaced. If the digest matches after that,
    /// this mirror sent the bytes that did not match the digest.
    alone: bool,
    /// True if bytes of an unknown source were replaced already.
    replaced_unknown: bool,
    /// All mirrors that were suspected since the download last started.
    all: Vec<usize>,
    /// How often bytes of a mirror were replaced, including replacements before the download started again.
    /// If mirrors send the whole file instead of a range, each replacement starts the download again, and the
    /// mirrors in `all` are forgotten. The search ends nevertheless, because there are at most as many
    /// replacements as mirrors.
    rounds: usize,
    /// True if the digest of a file from several mirrors is wrong, and no further bytes can be replaced. From
    /// then on, each file comes from a single mirror.
    is_over: bool,
    /// The number of whole files, each from one mirror, whose digest was wrong.
    wrong_files: u32,
}

impl Suspects {
    /// Makes the suspected mirror unusable again, if its bytes are being replaced and another mirror is
    /// usable.
    pub(super) fn keep_out(&self, sources: &mut Sources) {
        if let Some(one) = self.current.filter(|&one| sources.has_other(one)) {
            sources.take_out(one, Out::Suspected);
        }
    }

    /// Records that bytes of an unknown source must be replaced, which is done only once until the download
    /// starts again. Returns true at the first call, and false after that.
    pub(super) fn replace_unknown(&mut self) -> bool {
        !std::mem::replace(&mut self.replaced_unknown, true)
    }

    /// Chooses the next suspected mirror: the first mirror in `among` that was not suspected before. The
    /// bytes of this mirror will be replaced by bytes of other mirrors. `alone` is true if no bytes of an
    /// unknown source are replaced at the same time. Returns `None` if each mirror in `among` was suspected
    /// already, if no other mirror is left that could send the bytes, or if there were as many replacements
    /// as mirrors.
    pub(super) fn suspect_next(
        &mut self,
        among: &[usize],
        alone: bool,
        sources: &mut Sources,
    ) -> Option<usize> {
        self.clear(sources);
        self.alone = alone;
        let next = among.iter().find(|one| !self.all.contains(one) && sources.has_other(**one));
        let next = next.copied().filter(|_| self.rounds < sources.len())?;
        self.rounds += 1;
        self.current = Some(next);
        self.all.push(next);
        sources.take_out(next, Out::Suspected);
        Some(next)
    }

    /// Ends the search, because the digest of the file matches. Returns the mirror that sent wrong bytes, if
    /// that is certain.
    pub(super) fn guilty(&mut self) -> Option<usize> {
        self.current.take().filter(|_| self.alone)
    }

    /// Records that the digest of a complete file is wrong, and that no bytes are replaced any more. If the
    /// file may have bytes of several mirrors (`mixed`), each mirror gets a turn to send the whole file. If
    /// the file has chunk hashes, and all of them are right (`has_chunks`), the digest itself is wrong.
    pub(super) fn count_wrong_file(&mut self, mixed: bool, has_chunks: bool, sources: &mut Sources) {
        if has_chunks {
            self.wrong_files = WRONG_FILES_MOST;
        } else if mixed {
            self.is_over = true;
            sources.begin_turns();
        } else {
            self.wrong_files += 1;
        }
    }

    /// Returns true if no bytes are replaced any more, and the bytes of several mirrors are not mixed.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Returns true if so many mirrors sent a whole file with a wrong digest that the digest is probably
    /// wrong.
    pub(super) fn is_digest_doubtful(&self) -> bool {
        self.wrong_files >= WRONG_FILES_MOST
    }

    /// Forgets the suspicions, because the download starts again.
    pub(super) fn forget(&mut self, sources: &mut Sources) {
        self.clear(sources);
        let Suspects { rounds, is_over, wrong_files, .. } = *self;
        *self = Suspects { rounds, is_over, wrong_files, ..Suspects::default() };
    }

    fn clear(&mut self, sources: &mut Sources) {
        if let Some(one) = self.current.take() {
            sources.clear_suspicion(one);
        }
    }
}
