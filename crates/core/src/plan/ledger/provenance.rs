//! Who brought which of the bytes that are written.
//!
//! Invariant: no byte is from two sources. Of what is from none here, it is not known: an earlier run left it, or two wrote it.

use crate::ranges::RangeSet;
use std::collections::BTreeMap;
use std::ops::Range;

#[derive(Debug, Default)]
pub(in crate::plan) struct Provenance(BTreeMap<usize, RangeSet>);

impl Provenance {
    /// The source that brought all of this; `None` if there are several, or if that is not known for some of it.
    pub(in crate::plan) fn by(&self, range: &Range<u64>) -> Option<usize> {
        self.0.iter().find(|(_, brought)| brought.contains(range)).map(|(&source, _)| source)
    }

    /// Those who brought something that is written; who brought least comes first.
    pub(in crate::plan) fn contributors(&self) -> Vec<usize> {
        let mut all: Vec<_> = self.0.iter().map(|(&source, brought)| (brought.len(), source)).collect();
        all.retain(|(bytes, _)| *bytes > 0);
        all.sort_unstable();
        all.into_iter().map(|(_, source)| source).collect()
    }

    /// All that a source brought.
    pub(in crate::plan) fn all_of(&self, source: usize) -> Vec<Range<u64>> {
        self.0.get(&source).into_iter().flat_map(RangeSet::iter).cloned().collect()
    }

    /// All that is written and of which it is not known who brought it.
    pub(in crate::plan) fn of_nobody(&self, written: &RangeSet) -> Vec<Range<u64>> {
        let mut all = written.clone();
        self.0.values().flat_map(RangeSet::iter).for_each(|range| all.remove(range.clone()));
        all.iter().cloned().collect()
    }

    /// A source brought these, which were not written before.
    pub(super) fn insert(&mut self, source: usize, new: Vec<Range<u64>>) {
        let brought = self.0.entry(source).or_default();
        new.into_iter().for_each(|range| brought.insert(range));
    }

    /// This is not written any more.
    pub(super) fn remove(&mut self, range: &Range<u64>) {
        self.0.values_mut().for_each(|brought| brought.remove(range.clone()));
    }

    /// # Errors
    /// What of the invariant is broken.
    pub(super) fn check(&self, written: &RangeSet) -> Result<(), &'static str> {
        let mut seen = RangeSet::new();
        for range in self.0.values().flat_map(RangeSet::iter) {
            if seen.touches(range) {
                return Err("bytes are from two sources");
            }
            if !written.contains(range) {
                return Err("somebody brought what is not written");
            }
            seen.insert(range.clone());
        }
        Ok(())
    }
}
