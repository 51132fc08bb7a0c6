//! Finds the mirror that sent wrong bytes. This is needed if a digest of the whole file is known, but no
//! chunk hashes are known.
//!
//! In each step, the bytes of one mirror are replaced by bytes of other mirrors, until the digest is right.
//!
//! Invariant: a mirror counts as one that sent wrong bytes only if the digest matches as soon as the bytes of
//! this mirror, and no other bytes, are replaced.

use crate::plan::sources::{Out, Sources};

/// The bytes of each mirror are replaced at most this many times, on average. Once is enough, unless the
/// download starts again.
const ROUNDS_MOST: usize = 2;

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
    /// All mirrors that were suspected so far.
    all: Vec<usize>,
    /// How often bytes of a mirror were replaced, also before the download started again. Some mirrors send
    /// the whole file instead of a range, and then each replacement starts the download again.
    rounds: usize,
}

impl Suspects {
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// Makes the suspected mirror unusable again, if its bytes are being replaced and another mirror is
    /// usable.
    pub(super) fn keep_out(&self, sources: &mut Sources) {
        if let Some(one) = self.current.filter(|&one| sources.has_other(one)) {
            sources.take_out(one, Out::Suspected);
        }
    }

    /// Records that bytes of an unknown source must be replaced, which is done only once. Returns true at the
    /// first call, and false after that.
    pub(super) fn replace_unknown(&mut self) -> bool {
        !std::mem::replace(&mut self.replaced_unknown, true)
    }

    /// Chooses the next suspected mirror: the first mirror in `among` that was not suspected before. The
    /// bytes of this mirror will be replaced by bytes of other mirrors. `alone` is true if no bytes of an
    /// unknown source are replaced at the same time. Returns `None` if each mirror in `among` was suspected
    /// already, or if no other mirror is left that could send the bytes.
    pub(super) fn suspect_next(
        &mut self,
        among: &[usize],
        alone: bool,
        sources: &mut Sources,
    ) -> Option<usize> {
        self.clear(sources);
        self.alone = alone;
        let next = among.iter().find(|one| !self.all.contains(one) && sources.has_other(**one));
        let next = next.copied().filter(|_| self.rounds < ROUNDS_MOST * sources.len())?;
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

    /// Forgets everything, because the download starts again.
    pub(super) fn forget(&mut self, sources: &mut Sources) {
        self.clear(sources);
        *self = Suspects { rounds: self.rounds, ..Suspects::default() };
    }

    fn clear(&mut self, sources: &mut Sources) {
        if let Some(one) = self.current.take() {
            sources.clear_suspicion(one);
        }
    }
}
