//! [`Queue`]: all downloads in their order.
//!
//! There are three sequences: the queued downloads (waiting and paused ones), the active ones, and those that
//! are over. Each is sorted by rank. Ranks have gaps, so that a download that moves changes no other one.
//!
//! Invariant: every entry is in exactly one sequence, that of its state. No function here saves anything or
//! starts downloads.

use crate::entry::{Entry, State};
use crate::fault::Fault;
use crate::gid::Gid;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The distance between the ranks of two downloads that were added one after the other. Twenty downloads can
/// then move to the same place before ranks have to be given anew.
const STEP: i64 = 1 << 20;

/// The place to which a download is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// This position, counted from the front.
    FromFront(i64),
    /// This many positions towards the end.
    FromHere(i64),
    /// This position, counted from the end. 0 is the last position.
    FromEnd(i64),
}

/// A sequence of downloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequence {
    /// Waiting and paused downloads.
    Queued,
    /// Active downloads.
    Active,
    /// Downloads that are over.
    Over,
}

impl Sequence {
    fn of(state: State) -> Sequence {
        match state {
            State::Waiting | State::Paused => Sequence::Queued,
            State::Active => Sequence::Active,
            State::Complete | State::Error | State::Removed => Sequence::Over,
        }
    }
}

/// All downloads.
#[derive(Debug, Default)]
pub struct Queue {
    entries: BTreeMap<Gid, Arc<Entry>>,
    queued: BTreeMap<i64, Gid>,
    /// Those of the queued downloads that wait. The others are paused.
    waiting: BTreeMap<i64, Gid>,
    active: BTreeMap<i64, Gid>,
    over: BTreeMap<i64, Gid>,
}

impl Queue {
    /// Returns a download.
    pub fn get(&self, gid: Gid) -> Option<&Arc<Entry>> {
        self.entries.get(&gid)
    }

    /// Returns the download that a client names. The beginning of an identifier is enough if no other one
    /// begins in the same way.
    ///
    /// # Errors
    /// Returns a fault with the words of aria2.
    pub fn find(&self, text: &str) -> Result<&Arc<Entry>, Fault> {
        let range =
            Gid::range_of_prefix(text).ok_or_else(|| Fault::refused(format!("Invalid GID {text}")))?;
        let mut found = self.entries.range(range.0..=range.1);
        match (found.next(), found.next()) {
            (Some((_, entry)), None) => Ok(entry),
            (None, _) => Err(Fault::refused(format!("GID {text} is not found"))),
            (Some(_), Some(_)) => Err(Fault::refused(format!("GID {text} is not unique"))),
        }
    }

    /// Adds a download, or replaces the one with the same identifier.
    pub fn put(&mut self, entry: Entry) {
        self.remove(entry.gid);
        self.ranks_mut(Sequence::of(entry.state)).insert(entry.rank, entry.gid);
        if entry.state == State::Waiting {
            self.waiting.insert(entry.rank, entry.gid);
        }
        self.entries.insert(entry.gid, Arc::new(entry));
    }

    /// Replaces several downloads. The new ranks may be ranks that the others had before.
    pub fn put_all(&mut self, entries: Vec<Entry>) {
        entries.iter().for_each(|entry| self.remove(entry.gid));
        entries.into_iter().for_each(|entry| self.put(entry));
    }

    /// Removes a download.
    pub fn remove(&mut self, gid: Gid) {
        if let Some(entry) = self.entries.remove(&gid) {
            self.ranks_mut(Sequence::of(entry.state)).remove(&entry.rank);
            if entry.state == State::Waiting {
                self.waiting.remove(&entry.rank);
            }
        }
    }

    /// Returns the downloads of a sequence, in order.
    pub fn iter(&self, sequence: Sequence) -> impl DoubleEndedIterator<Item = &Arc<Entry>> {
        self.ranks(sequence).values().filter_map(|gid| self.entries.get(gid))
    }

    /// Returns the downloads that wait, in order, without the paused ones.
    pub fn waiting(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.waiting.values().filter_map(|gid| self.entries.get(gid))
    }

    /// Returns the number of downloads in a sequence.
    pub fn len(&self, sequence: Sequence) -> usize {
        self.ranks(sequence).len()
    }

    /// Returns the rank of a download that goes to the end of a sequence.
    pub fn last(&self, sequence: Sequence) -> i64 {
        self.ranks(sequence).last_key_value().map_or(0, |(rank, _)| rank + STEP)
    }

    /// Returns the rank of a download that goes to the front of a sequence.
    pub fn first(&self, sequence: Sequence) -> i64 {
        self.ranks(sequence).first_key_value().map_or(0, |(rank, _)| rank - STEP)
    }

    /// Returns the position to which a queued download moves, and the downloads that change for it. Returns
    /// `None` if the download is not queued.
    pub fn moved(&self, gid: Gid, to: Place) -> Option<(usize, Vec<Entry>)> {
        let entry = self.entries.get(&gid).filter(|entry| entry.state.is_queued())?;
        let others: Vec<Gid> = self.queued.values().copied().filter(|other| *other != gid).collect();
        let here = self.queued.range(..entry.rank).count();
        let signed = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let wanted = match to {
            Place::FromFront(position) => position,
            Place::FromHere(by) => signed(here).saturating_add(by),
            Place::FromEnd(by) => signed(others.len()).saturating_add(by),
        };
        let at = usize::try_from(wanted.max(0)).unwrap_or(usize::MAX).min(others.len());
        if at == here {
            return Some((at, Vec::new()));
        }
        let rank = |at: usize| others.get(at).and_then(|gid| self.entries.get(gid)).map(|entry| entry.rank);
        let before = at.checked_sub(1).and_then(rank);
        let new = match (before, rank(at)) {
            (Some(before), Some(after)) => before + (after - before) / 2,
            (Some(before), None) => before + STEP,
            (None, Some(after)) => after - STEP,
            (None, None) => entry.rank,
        };
        if Some(new) != before {
            return Some((at, vec![Entry { rank: new, ..(**entry).clone() }]));
        }
        // There is no rank between these two, so all get new ranks.
        let mut order = others;
        order.insert(at, gid);
        let ranks = (0..).map(|number: i64| number * STEP);
        let all = order.iter().filter_map(|gid| self.entries.get(gid)).zip(ranks);
        Some((at, all.map(|(entry, rank)| Entry { rank, ..(**entry).clone() }).collect()))
    }

    fn ranks(&self, sequence: Sequence) -> &BTreeMap<i64, Gid> {
        match sequence {
            Sequence::Queued => &self.queued,
            Sequence::Active => &self.active,
            Sequence::Over => &self.over,
        }
    }

    fn ranks_mut(&mut self, sequence: Sequence) -> &mut BTreeMap<i64, Gid> {
        match sequence {
            Sequence::Queued => &mut self.queued,
            Sequence::Active => &mut self.active,
            Sequence::Over => &mut self.over,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;

    fn queue(numbers: std::ops::RangeInclusive<u64>) -> Queue {
        let mut queue = Queue::default();
        for number in numbers {
            let rank = queue.last(Sequence::Queued);
            queue.put(Entry::new(Gid::new(number), rank, Vec::new(), Options::default(), 0));
        }
        queue
    }

    fn order(queue: &Queue) -> Vec<u64> {
        queue.iter(Sequence::Queued).map(|entry| entry.gid.get()).collect()
    }

    #[test]
    fn downloads_move_as_in_aria2() {
        let mut queue = queue(1..=4);
        for (gid, to, at, expected) in [
            (3, Place::FromFront(0), 0, [3, 1, 2, 4]),
            (3, Place::FromHere(2), 2, [1, 2, 3, 4]),
            (3, Place::FromHere(-9), 0, [3, 1, 2, 4]),
            (1, Place::FromEnd(0), 3, [3, 2, 4, 1]),
            (1, Place::FromEnd(-1), 2, [3, 2, 1, 4]),
            (1, Place::FromFront(99), 3, [3, 2, 4, 1]),
        ] {
            let (position, changed) = queue.moved(Gid::new(gid), to).expect("queued");
            queue.put_all(changed);
            assert_eq!((position, order(&queue)), (at, expected.to_vec()));
        }
        assert!(queue.moved(Gid::new(9), Place::FromFront(0)).is_none());
    }

    #[test]
    fn any_number_of_moves_to_one_place_keeps_the_order() {
        let mut queue = queue(1..=3);
        for round in 0..100 {
            let gid = if round % 2 == 0 { 2 } else { 3 };
            let (at, changed) = queue.moved(Gid::new(gid), Place::FromFront(1)).expect("queued");
            queue.put_all(changed);
            assert_eq!((at, order(&queue)[1], queue.len(Sequence::Queued)), (1, gid, 3), "{round}");
        }
    }

    #[test]
    fn a_download_is_found_by_the_beginning_of_its_identifier() {
        let mut queue = Queue::default();
        for number in [0xab00_0000_0000_0000, 0xac00_0000_0000_0000] {
            let rank = queue.last(Sequence::Queued);
            queue.put(Entry::new(Gid::new(number), rank, Vec::new(), Options::default(), 0));
        }
        let found = |text: &str| queue.find(text).map(|entry| entry.gid.get()).map_err(|fault| fault.message);
        assert_eq!(found("ab"), Ok(0xab00_0000_0000_0000));
        assert_eq!(found("a"), Err("GID a is not unique".into()));
        assert_eq!(found("b"), Err("GID b is not found".into()));
        assert_eq!(found("zz"), Err("Invalid GID zz".into()));
    }
}
