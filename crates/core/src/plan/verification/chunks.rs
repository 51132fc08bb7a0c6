//! Which pieces of a file are proven by digests of their own.
//!
//! Invariant: what is proven was written, and read back from the disk, and is what its digest says; one piece is looked at
//! at a time.

use crate::digest::Digest;
use crate::job::ChunkHashes;
use crate::ranges::RangeSet;
use std::collections::BTreeMap;
use std::ops::Range;

#[derive(Debug)]
pub(in crate::plan) struct Chunks {
    hashes: ChunkHashes,
    proven: RangeSet,
    looked_at: Option<Range<u64>>,
    /// By which sources pieces were sent that were wrong, by where these begin.
    wrong: BTreeMap<u64, Vec<usize>>,
}

impl Chunks {
    pub(in crate::plan) fn new(hashes: ChunkHashes) -> Self {
        Chunks { hashes, proven: RangeSet::new(), looked_at: None, wrong: BTreeMap::new() }
    }

    /// In bytes; the last one may be shorter.
    pub(in crate::plan) fn length(&self) -> u64 {
        self.hashes.length.max(1)
    }

    pub(in crate::plan) fn from(&self) -> &ChunkHashes {
        &self.hashes
    }

    /// Whether there are as many digests as a file of this size has pieces.
    pub(in crate::plan) fn fit(&self, size: u64) -> bool {
        size.div_ceil(self.length()) == self.hashes.digests.len() as u64
    }

    /// The next piece to look at: all of it is written, and it is not proven.
    pub(in crate::plan) fn next(&mut self, written: &RangeSet, size: u64) -> Option<(Range<u64>, Digest)> {
        if self.looked_at.is_some() {
            return None;
        }
        let length = self.length();
        let gaps = written
            .iter()
            .flat_map(|range| self.proven.missing(range.clone()).into_iter().map(|gap| (gap, range.end)));
        let mut whole = gaps.filter_map(|(gap, end)| {
            let start = gap.start.div_ceil(length).checked_mul(length)?;
            let piece = start..start.saturating_add(length).min(size);
            (piece.start < gap.end && piece.end <= end).then_some(piece)
        });
        let piece = whole.next()?;
        let digest = self.hashes.digests.get(usize::try_from(piece.start / length).ok()?)?.clone();
        self.looked_at = Some(piece.clone());
        Some((piece, digest))
    }

    /// It was looked at. False if nobody asked for that.
    pub(in crate::plan) fn looked(&mut self, piece: &Range<u64>, good: bool) -> bool {
        if self.looked_at.as_ref() != Some(piece) {
            return false;
        }
        self.looked_at = None;
        if good {
            self.proven.insert(piece.clone());
        }
        true
    }

    /// That source sent a wrong piece. All that did of this piece so far.
    pub(in crate::plan) fn sent_wrong(&mut self, piece: &Range<u64>, source: usize) -> &[usize] {
        let sent = self.wrong.entry(piece.start).or_default();
        if !sent.contains(&source) {
            sent.push(source);
        }
        sent
    }

    /// Those that sent this piece wrong, now that it is right.
    pub(in crate::plan) fn take_wrong(&mut self, piece: &Range<u64>) -> Vec<usize> {
        self.wrong.remove(&piece.start).unwrap_or_default()
    }

    /// These bytes come again.
    pub(in crate::plan) fn take_back(&mut self, range: &Range<u64>) {
        let length = self.length();
        let (start, end) = (range.start / length * length, range.end.div_ceil(length).saturating_mul(length));
        self.proven.remove(start..end);
    }

    pub(in crate::plan) fn all(&self, size: u64) -> bool {
        self.proven.contains(&(0..size))
    }

    pub(in crate::plan) fn forget(&mut self) {
        (self.proven, self.looked_at) = (RangeSet::new(), None);
        self.wrong.clear();
    }
}
