//! Records which source sent which of the written bytes.
//!
//! Invariant: no byte has two sources, and only written bytes have a source. The source of a written byte is
//! unknown if an earlier run or another tool wrote the byte. The source is also unknown if two connections
//! wrote the byte at the same time, or if the segment with the byte was shortened while the byte was written.

use crate::ranges::RangeSet;
use std::collections::BTreeMap;
use std::ops::Range;

/// The written bytes of each source.
#[derive(Debug, Default)]
pub(in crate::plan) struct Provenance(BTreeMap<usize, RangeSet>);

impl Provenance {
    /// Returns the source that sent all of this range. Returns `None` if there are several sources, or if the
    /// source of some of these bytes is unknown.
    pub(in crate::plan) fn source_of(&self, range: &Range<u64>) -> Option<usize> {
        self.0.iter().find(|(_, sent)| sent.contains(range)).map(|(&source, _)| source)
    }

    /// Returns the sources of the written bytes. The source that sent the fewest bytes comes first.
    pub(in crate::plan) fn contributors(&self) -> Vec<usize> {
        let mut all: Vec<_> = self.0.iter().map(|(&source, sent)| (sent.len(), source)).collect();
        all.retain(|(bytes, _)| *bytes > 0);
        all.sort_unstable();
        all.into_iter().map(|(_, source)| source).collect()
    }

    /// Returns all written bytes of one source.
    pub(in crate::plan) fn of(&self, source: usize) -> Vec<Range<u64>> {
        self.0.get(&source).into_iter().flat_map(RangeSet::iter).cloned().collect()
    }

    /// Returns all written bytes whose source is unknown.
    pub(in crate::plan) fn unknown(&self, written: &RangeSet) -> Vec<Range<u64>> {
        let mut all = written.clone();
        self.0.values().flat_map(RangeSet::iter).for_each(|range| all.remove(range.clone()));
        all.iter().cloned().collect()
    }

    /// Adds bytes that a source sent and that were not written before.
    pub(super) fn insert(&mut self, source: usize, new: Vec<Range<u64>>) {
        let sent = self.0.entry(source).or_default();
        new.into_iter().for_each(|range| sent.insert(range));
    }

    /// Removes bytes that are not written any more.
    pub(super) fn remove(&mut self, range: &Range<u64>) {
        self.0.values_mut().for_each(|sent| sent.remove(range.clone()));
    }

    /// Checks the invariant.
    ///
    /// # Errors
    /// Returns the broken part of the invariant.
    pub(super) fn check(&self, written: &RangeSet) -> Result<(), &'static str> {
        let mut seen = RangeSet::new();
        for range in self.0.values().flat_map(RangeSet::iter) {
            if seen.touches(range) {
                return Err("some bytes have two sources");
            }
            if !written.contains(range) {
                return Err("some bytes have a source but are not written");
            }
            seen.insert(range.clone());
        }
        Ok(())
    }
}
