//! [`RangeSet`]: sets of byte offsets, kept as ranges.
//!
//! Invariant: the ranges are in order, none of them is empty, and no two of them touch.

use std::ops::Range;

/// A set of byte offsets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeSet(Vec<Range<u64>>);

impl RangeSet {
    /// Returns an empty set.
    pub fn new() -> Self {
        RangeSet::default()
    }

    /// Adds all bytes of `range`.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        // All ranges that overlap or touch the new range are merged with it.
        let first = self.0.partition_point(|one| one.end < range.start);
        let after = self.0.partition_point(|one| one.start <= range.end);
        let joined = match self.0.get(first..after) {
            Some([one]) => one.start.min(range.start)..one.end.max(range.end),
            Some([one, .., last]) => one.start.min(range.start)..last.end.max(range.end),
            _ => range,
        };
        self.0.splice(first..after, [joined]);
    }

    /// Removes all bytes of `range`.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|one| one.end <= range.start);
        let after = self.0.partition_point(|one| one.start < range.end);
        let rest: Vec<Range<u64>> = self.0[first..after.max(first)]
            .iter()
            .flat_map(|one| [one.start..range.start.min(one.end), range.end.max(one.start)..one.end])
            .filter(|one| !one.is_empty())
            .collect();
        self.0.splice(first..after.max(first), rest);
    }

    /// Removes all bytes of `range`. Returns the ranges of the bytes that were in the set before.
    pub fn take(&mut self, range: Range<u64>) -> Vec<Range<u64>> {
        let both = |one: &Range<u64>| one.start.max(range.start)..one.end.min(range.end);
        let there = self.0.iter().map(both).filter(|one| !one.is_empty()).collect();
        self.remove(range);
        there
    }

    /// Returns the bytes of `range` that are not in the set.
    pub fn missing(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut missing = RangeSet::from_iter([range.clone()]);
        let first = self.0.partition_point(|one| one.end <= range.start);
        self.0[first..]
            .iter()
            .take_while(|one| one.start < range.end)
            .for_each(|one| missing.remove(one.clone()));
        missing.0
    }

    /// Returns the number of bytes in the set.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|one| one.end - one.start).sum()
    }

    /// Returns true if the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if every byte of `range` is in the set.
    pub fn contains(&self, range: &Range<u64>) -> bool {
        let after = self.0.partition_point(|one| one.end <= range.start);
        range.is_empty()
            || self.0.get(after).is_some_and(|one| one.start <= range.start && range.end <= one.end)
    }

    /// Returns true if any byte of `range` is in the set.
    pub fn touches(&self, range: &Range<u64>) -> bool {
        let after = self.0.partition_point(|one| one.end <= range.start);
        !range.is_empty() && self.0.get(after).is_some_and(|one| one.start < range.end)
    }

    /// Returns the lowest offset that is not in the set.
    pub fn prefix(&self) -> u64 {
        self.0.first().filter(|one| one.start == 0).map_or(0, |one| one.end)
    }

    /// Returns the first range of bytes below `end` that are not in the set, or `None` if all are in the set.
    pub fn first_gap(&self, end: u64) -> Option<Range<u64>> {
        let start = self.prefix();
        let next = self.0.iter().find(|one| one.start > start).map_or(end, |one| one.start.min(end));
        (start < next).then_some(start..next)
    }

    /// Returns the ranges of the set, in the order of their offsets.
    pub fn iter(&self) -> impl Iterator<Item = &Range<u64>> {
        self.0.iter()
    }
}

impl FromIterator<Range<u64>> for RangeSet {
    fn from_iter<T: IntoIterator<Item = Range<u64>>>(ranges: T) -> Self {
        let mut set = RangeSet::new();
        ranges.into_iter().for_each(|range| set.insert(range));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranges() -> impl Strategy<Value = Vec<(bool, Range<u64>)>> {
        prop::collection::vec(
            (any::<bool>(), (0..60u64, 0..20u64).prop_map(|(start, len)| start..start + len)),
            0..40,
        )
    }

    proptest! {
        #[test]
        fn a_range_set_has_the_same_bytes_as_a_set_of_single_bytes(steps in ranges(), asked in (0..60u64, 0..20u64)) {
            let (mut set, mut model) = (RangeSet::new(), [false; 100]);
            for (add, range) in steps {
                if add {
                    set.insert(range.clone());
                } else {
                    let there = range.clone().filter(|&at| model[at as usize]).count() as u64;
                    prop_assert_eq!(set.take(range.clone()).iter().map(|one| one.end - one.start).sum::<u64>(), there);
                }
                range.for_each(|at| model[at as usize] = add);
                prop_assert!(set.iter().all(|one| !one.is_empty()));
                prop_assert!(set.0.windows(2).all(|two| two[0].end < two[1].start));
            }
            let has = |at: u64| model[at as usize];
            let asked = asked.0..asked.0 + asked.1;
            prop_assert_eq!(set.len(), (0..100).filter(|&at| has(at)).count() as u64);
            let missing: u64 = set.missing(asked.clone()).iter().map(|one| one.end - one.start).sum();
            prop_assert_eq!(missing, asked.clone().filter(|&at| !has(at)).count() as u64);
            prop_assert!(set.missing(asked.clone()).iter().all(|one| !one.is_empty()));
            prop_assert_eq!(set.contains(&asked), asked.clone().all(has));
            prop_assert_eq!(set.touches(&asked), asked.clone().any(has));
            prop_assert_eq!(set.prefix(), (0..100).find(|&at| !has(at)).unwrap_or(100));
            let gap = set.first_gap(90);
            let start = (0..90).find(|&at| !has(at));
            prop_assert_eq!(gap.clone().map(|gap| gap.start), start);
            if let Some(gap) = gap {
                prop_assert!(gap.clone().all(|at| !has(at)) && (gap.end == 90 || has(gap.end)));
            }
        }
    }

    #[test]
    fn no_range_is_missing_from_an_empty_range() {
        assert!(RangeSet::new().missing(5..5).is_empty());
        assert!(RangeSet::from_iter(std::iter::once(0..9)).missing(5..5).is_empty());
    }
}
