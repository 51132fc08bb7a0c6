//! Finds the mirror that sent wrong bytes, when only a digest of the whole file is known.
//!
//! The bytes of one mirror after the other are replaced by bytes of the others, until the digest is right.
//! Invariant: a mirror is found guilty only if the file became right when nothing but its bytes was replaced.

use crate::plan::sources::{Out, Sources};

/// The mirrors that are suspected of wrong bytes.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// The mirror whose bytes are being replaced.
    current: Option<usize>,
    /// Nothing but its bytes is being replaced.
    alone: bool,
    /// Bytes of which the source is not known were replaced already.
    replaced_unknown: bool,
    /// All mirrors that were suspected so far.
    all: Vec<usize>,
}

impl Suspects {
    /// Returns true if a mirror was suspected of what is wrong now.
    pub(super) fn any(&self) -> bool {
        !self.all.is_empty()
    }

    /// Returns true the first time: bytes of which the source is not known are replaced before a mirror is
    /// suspected.
    pub(super) fn replace_unknown(&mut self) -> bool {
        !std::mem::replace(&mut self.replaced_unknown, true)
    }

    /// Suspects the next of these mirrors: its bytes shall come from others. `alone` says that nothing else
    /// is replaced. Returns `None` if all were suspected already, or no other mirror is left.
    pub(super) fn suspect_next(
        &mut self,
        among: &[usize],
        alone: bool,
        sources: &mut Sources,
    ) -> Option<usize> {
        self.clear(sources);
        self.alone = alone;
        let next = among.iter().find(|one| !self.all.contains(one) && sources.has_other(**one));
        let next = next.copied()?;
        self.current = Some(next);
        self.all.push(next);
        sources.take_out(next, Out::Suspected);
        Some(next)
    }

    /// The file is right now. Returns the mirror that sent wrong bytes, if that is certain.
    pub(super) fn guilty(&mut self) -> Option<usize> {
        self.current.take().filter(|_| self.alone)
    }

    /// Forgets everything, since the file starts again.
    pub(super) fn forget(&mut self, sources: &mut Sources) {
        self.clear(sources);
        *self = Suspects::default();
    }

    fn clear(&mut self, sources: &mut Sources) {
        if let Some(one) = self.current.take() {
            sources.clear_suspicion(one);
        }
    }
}
