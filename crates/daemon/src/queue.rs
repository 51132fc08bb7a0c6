//! [`Queue`]: all downloads in their order.
//!
//! There are three sequences: the queued downloads (waiting and paused ones), the active ones, and those that
//! are over. Each is sorted by rank. Ranks have gaps, so that the move of a download seldom changes the ranks
//! of other downloads. A sequence is a sorted list, so a position is found by a binary search.
//!
//! Invariant: every entry is in exactly one sequence, which its state decides. No function here saves entries
//! or starts downloads.

use crate::entry::{Entry, State};
use crate::fault::Fault;
use crate::gid::Gid;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

/// The distance between the ranks of two downloads that were added one after the other. Twenty downloads can
/// then move to the same place before all queued downloads must get new ranks.
const STEP: i64 = 1 << 20;

/// If fewer downloads than this are replaced together, they are replaced one by one. Otherwise, all
/// sequences are sorted again.
const FEW: usize = 64;

/// The place to which a download is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// This position, counted from the front. 0 is the first position.
    FromFront(i64),
    /// This number of positions towards the end. A negative number moves the download towards the front.
    FromHere(i64),
    /// This position, counted from the end. 0 is the last position, and -1 is the position before it.
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

/// Downloads with their ranks, sorted by rank.
type Ranks = VecDeque<(i64, Gid)>;

/// All downloads.
#[derive(Debug, Default)]
pub struct Queue {
    entries: BTreeMap<Gid, Arc<Entry>>,
    queued: Ranks,
    /// The queued downloads that wait. The other queued downloads are paused.
    waiting: Ranks,
    active: Ranks,
    over: Ranks,
}

impl Queue {
    /// Returns the download with this identifier.
    pub fn get(&self, gid: Gid) -> Option<&Arc<Entry>> {
        self.entries.get(&gid)
    }

    /// Returns the download that a client names. The beginning of an identifier is enough if no other
    /// identifier begins in the same way.
    ///
    /// # Errors
    /// Returns a fault if `text` does not have the form of an identifier, if no download has this identifier,
    /// or if several identifiers begin in this way. The message of the fault is that of aria2.
    pub fn find(&self, text: &str) -> Result<&Arc<Entry>, Fault> {
        let range = Gid::range_of_prefix(text).ok_or_else(|| Fault::invalid_gid(text))?;
        let mut found = self.entries.range(range.0..=range.1);
        match (found.next(), found.next()) {
            (Some((_, entry)), None) => Ok(entry),
            (None, _) => Err(Fault::missing(text)),
            (Some(_), Some(_)) => {
                let fault = Fault::refused(format!("GID {text} is not unique"));
                Err(fault.in_words(format!("Several IDs begin with {text}.")))
            }
        }
    }

    /// Adds a download, or replaces the download with the same identifier.
    pub fn put(&mut self, entry: Entry) {
        self.remove(entry.gid);
        let key = (entry.rank, entry.gid);
        insert(self.ranks_mut(Sequence::of(entry.state)), key);
        if entry.state == State::Waiting {
            insert(&mut self.waiting, key);
        }
        self.entries.insert(entry.gid, Arc::new(entry));
    }

    /// Adds or replaces several downloads. A download may get the rank that another one of these downloads
    /// had before.
    pub fn put_all(&mut self, entries: Vec<Entry>) {
        if entries.len() < FEW {
            entries.iter().for_each(|entry| self.remove(entry.gid));
            return entries.into_iter().for_each(|entry| self.put(entry));
        }
        let changed: HashSet<Gid> = entries.iter().map(|entry| entry.gid).collect();
        for ranks in [&mut self.queued, &mut self.waiting, &mut self.active, &mut self.over] {
            ranks.retain(|(_, gid)| !changed.contains(gid));
        }
        for entry in entries {
            let key = (entry.rank, entry.gid);
            self.ranks_mut(Sequence::of(entry.state)).push_back(key);
            if entry.state == State::Waiting {
                self.waiting.push_back(key);
            }
            self.entries.insert(entry.gid, Arc::new(entry));
        }
        for ranks in [&mut self.queued, &mut self.waiting, &mut self.active, &mut self.over] {
            ranks.make_contiguous().sort_unstable();
        }
    }

    /// Removes a download.
    pub fn remove(&mut self, gid: Gid) {
        let Some(entry) = self.entries.remove(&gid) else { return };
        let key = (entry.rank, gid);
        take(self.ranks_mut(Sequence::of(entry.state)), key);
        if entry.state == State::Waiting {
            take(&mut self.waiting, key);
        }
    }

    /// Returns the downloads of a sequence, in order.
    pub fn iter(&self, sequence: Sequence) -> impl DoubleEndedIterator<Item = &Arc<Entry>> {
        self.ranks(sequence).iter().filter_map(|(_, gid)| self.entries.get(gid))
    }

    /// Returns the downloads of a sequence from a position on, in order.
    pub fn forward_from(&self, sequence: Sequence, position: usize) -> impl Iterator<Item = &Arc<Entry>> {
        let ranks = self.ranks(sequence);
        ranks.range(position.min(ranks.len())..).filter_map(|(_, gid)| self.entries.get(gid))
    }

    /// Returns the downloads of a sequence in reverse order, beginning at a position that is counted from the
    /// end. The last download has the position 0.
    pub fn back_from(&self, sequence: Sequence, position: usize) -> impl Iterator<Item = &Arc<Entry>> {
        let ranks = self.ranks(sequence);
        ranks.range(..ranks.len().saturating_sub(position)).rev().filter_map(|(_, gid)| self.entries.get(gid))
    }

    /// Returns the downloads that wait, in order, without the paused ones.
    pub fn waiting(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.waiting.iter().filter_map(|(_, gid)| self.entries.get(gid))
    }

    /// Returns the number of downloads in a sequence.
    pub fn len(&self, sequence: Sequence) -> usize {
        self.ranks(sequence).len()
    }

    /// Returns the position of a download in its sequence, from 0. Returns `None` if the download is not in
    /// the queue.
    pub fn position(&self, entry: &Entry) -> Option<usize> {
        self.ranks(Sequence::of(entry.state)).binary_search(&(entry.rank, entry.gid)).ok()
    }

    /// Returns the rank for a download that is added at the end of a sequence.
    pub fn last(&self, sequence: Sequence) -> i64 {
        self.ranks(sequence).back().map_or(0, |(rank, _)| rank + STEP)
    }

    /// Returns ranks for this many downloads, in order, which put them before all queued downloads.
    pub fn front(&self, count: usize) -> Vec<i64> {
        self.ranks_at(0, count, None).0
    }

    /// Returns ranks for `count` downloads at a position of the queue. If there are not enough free ranks at
    /// the position, all queued downloads get new ranks, and are returned too. If `moves` names a download,
    /// this download moves to the position. It is not returned, and it is left out when positions are
    /// counted.
    pub fn ranks_at(&self, at: usize, count: usize, moves: Option<Gid>) -> (Vec<i64>, Vec<Entry>) {
        let here = moves.and_then(|gid| self.position(self.entries.get(&gid)?));
        let others = self.queued.len() - usize::from(here.is_some());
        let at = at.min(others);
        let nth = |number: usize| {
            let skipped = usize::from(here.is_some_and(|here| number >= here));
            self.queued.get(number + skipped).copied()
        };
        let before = at.checked_sub(1).and_then(nth).map(|(rank, _)| rank);
        let (first, step) = match (before, nth(at).map(|(rank, _)| rank)) {
            (None, None) => (0, STEP),
            (Some(before), None) => (before + STEP, STEP),
            (None, Some(after)) => (after - STEP * signed(count), STEP),
            (Some(before), Some(after)) => {
                let step = (after - before) / (signed(count) + 1);
                (before + step, step)
            }
        };
        if step > 0 {
            return ((0..signed(count)).map(|number| first + number * step).collect(), Vec::new());
        }
        // There are not enough free ranks between the two neighbours, so all queued downloads get new ranks.
        let mut ranks = (0..).map(|number: i64| number * STEP);
        let mut changed = Vec::new();
        let mut give = |range: std::ops::Range<usize>, ranks: &mut dyn Iterator<Item = i64>| {
            for (gid, rank) in range.filter_map(nth).map(|(_, gid)| gid).zip(ranks) {
                changed.extend(self.entries.get(&gid).map(|entry| Entry { rank, ..(**entry).clone() }));
            }
        };
        give(0..at, &mut ranks);
        let new = ranks.by_ref().take(count).collect();
        give(at..others, &mut ranks);
        (new, changed)
    }

    /// Returns the position to which a queued download moves. Returns `None` if the download is not queued.
    pub fn target(&self, gid: Gid, to: Place) -> Option<usize> {
        let entry = self.entries.get(&gid).filter(|entry| entry.state.is_queued())?;
        let (here, last) = (self.position(entry)?, self.queued.len() - 1);
        let wanted = match to {
            Place::FromFront(position) => position,
            Place::FromHere(by) => signed(here).saturating_add(by),
            Place::FromEnd(by) => signed(last).saturating_add(by),
        };
        Some(usize::try_from(wanted.max(0)).unwrap_or(usize::MAX).min(last))
    }

    fn ranks(&self, sequence: Sequence) -> &Ranks {
        match sequence {
            Sequence::Queued => &self.queued,
            Sequence::Active => &self.active,
            Sequence::Over => &self.over,
        }
    }

    fn ranks_mut(&mut self, sequence: Sequence) -> &mut Ranks {
        match sequence {
            Sequence::Queued => &mut self.queued,
            Sequence::Active => &mut self.active,
            Sequence::Over => &mut self.over,
        }
    }
}

fn insert(ranks: &mut Ranks, key: (i64, Gid)) {
    if let Err(at) = ranks.binary_search(&key) {
        ranks.insert(at, key);
    }
}

fn take(ranks: &mut Ranks, key: (i64, Gid)) {
    if let Ok(at) = ranks.binary_search(&key) {
        ranks.remove(at);
    }
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
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

    fn move_to(queue: &mut Queue, gid: u64, at: usize) {
        let (ranks, mut changed) = queue.ranks_at(at, 1, Some(Gid::new(gid)));
        let entry = queue.get(Gid::new(gid)).expect("there");
        changed.push(Entry { rank: ranks[0], ..(**entry).clone() });
        queue.put_all(changed);
    }

    #[test]
    fn several_downloads_get_ranks_at_any_place() {
        for (number, at) in [(1, 0), (100, 0), (3, 2), (3_000_000, 1), (5, 9)] {
            let mut queue = queue(1..=3);
            let (ranks, changed) = queue.ranks_at(at, number, None);
            assert!(ranks.len() == number && ranks.is_sorted_by(|a, b| a < b));
            queue.put_all(changed);
            let ranked = |entry: &Arc<Entry>| ranks.iter().filter(|rank| **rank < entry.rank).count();
            let before = queue.iter(Sequence::Queued).filter(|entry| ranked(entry) == 0).count();
            let after = queue.iter(Sequence::Queued).filter(|entry| ranked(entry) == number).count();
            assert_eq!((before, after), (at.min(3), 3 - at.min(3)), "{number} at {at}");
        }
    }

    #[test]
    fn many_changes_at_once_keep_the_sequences_sorted() {
        let mut queue = queue(1..=200);
        let reversed =
            queue.iter(Sequence::Queued).map(|entry| Entry { rank: -entry.rank, ..(**entry).clone() });
        let reversed = reversed.collect();
        queue.put_all(reversed);
        assert_eq!(order(&queue), (1..=200).rev().collect::<Vec<_>>());
        assert_eq!(queue.waiting().count(), 200);
        assert_eq!(queue.forward_from(Sequence::Queued, 198).count(), 2);
        assert_eq!(
            queue.back_from(Sequence::Queued, 198).map(|entry| entry.gid.get()).collect::<Vec<_>>(),
            [199, 200]
        );
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
            let position = queue.target(Gid::new(gid), to).expect("queued");
            move_to(&mut queue, gid, position);
            assert_eq!((position, order(&queue)), (at, expected.to_vec()));
        }
        assert!(queue.target(Gid::new(9), Place::FromFront(0)).is_none());
    }

    #[test]
    fn any_number_of_moves_to_one_place_keeps_the_order() {
        let mut queue = queue(1..=3);
        for round in 0..100 {
            let gid = if round % 2 == 0 { 2 } else { 3 };
            move_to(&mut queue, gid, 1);
            assert_eq!((order(&queue)[1], queue.len(Sequence::Queued)), (gid, 3), "{round}");
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
