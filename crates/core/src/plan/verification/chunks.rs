//! Keeps track of which chunks of a file are verified with their chunk hashes.
//!
//! Invariant: a verified chunk was written, was read back from the disk, and has the right digest. Only one
//! chunk is read back at a time.

use crate::digest::Digest;
use crate::job::ChunkHashes;
use crate::ranges::RangeSet;
use std::collections::BTreeMap;
use std::ops::Range;

#[derive(Debug)]
pub(super) struct Chunks {
    hashes: ChunkHashes,
    verified: RangeSet,
    /// The chunk that is being read back.
    pending: Option<Range<u64>>,
    /// For each chunk, the sources that sent wrong bytes for it. The key is the offset of its first byte.
    wrong: BTreeMap<u64, Vec<usize>>,
}

impl Chunks {
    pub(super) fn new(hashes: ChunkHashes) -> Self {
        Chunks { hashes, verified: RangeSet::new(), pending: None, wrong: BTreeMap::new() }
    }

    /// Returns the length of one chunk in bytes. The last chunk may be shorter.
    pub(super) fn length(&self) -> u64 {
        self.hashes.length.max(1)
    }

    pub(super) fn hashes(&self) -> &ChunkHashes {
        &self.hashes
    }

    /// Returns true if the number of digests is the number of chunks of a file of this size.
    pub(super) fn fit(&self, size: u64) -> bool {
        size.div_ceil(self.length()) == self.hashes.digests.len() as u64
    }

    /// Returns the next chunk to read back, and its expected digest. All bytes of this chunk are written, and
    /// the chunk is not verified yet. Returns `None` if there is no such chunk, or while another chunk is
    /// being read back.
    pub(super) fn next(&mut self, written: &RangeSet, size: u64) -> Option<(Range<u64>, Digest)> {
        if self.pending.is_some() {
            return None;
        }
        let length = self.length();
        let gaps = written
            .iter()
            .flat_map(|range| self.verified.missing(range.clone()).into_iter().map(|gap| (gap, range.end)));
        let mut whole = gaps.filter_map(|(gap, end)| {
            let start = gap.start.div_ceil(length).checked_mul(length)?;
            let chunk = start..start.saturating_add(length).min(size);
            (chunk.start < gap.end && chunk.end <= end).then_some(chunk)
        });
        let chunk = whole.next()?;
        let digest = self.hashes.digests.get(usize::try_from(chunk.start / length).ok()?)?.clone();
        self.pending = Some(chunk.clone());
        Some((chunk, digest))
    }

    /// Returns true while a chunk is being read back.
    pub(super) fn is_reading(&self) -> bool {
        self.pending.is_some()
    }

    /// Records that a chunk was read back. `good` is true if its digest matches. Returns false, and changes
    /// nothing, if this chunk is not the one that is being read back.
    pub(super) fn finish(&mut self, chunk: &Range<u64>, good: bool) -> bool {
        if self.pending.as_ref() != Some(chunk) {
            return false;
        }
        self.pending = None;
        if good {
            self.verified.insert(chunk.clone());
        }
        true
    }

    /// Records that the source sent wrong bytes for this chunk. Returns all sources that are recorded for
    /// this chunk.
    pub(super) fn add_wrong(&mut self, chunk: &Range<u64>, source: usize) -> &[usize] {
        let sources = self.wrong.entry(chunk.start).or_default();
        if !sources.contains(&source) {
            sources.push(source);
        }
        sources
    }

    /// Returns the sources that sent wrong bytes for this chunk, and forgets them.
    pub(super) fn take_wrong(&mut self, chunk: &Range<u64>) -> Vec<usize> {
        self.wrong.remove(&chunk.start).unwrap_or_default()
    }

    /// Records that these bytes must be fetched again. The chunks that overlap these bytes do not count as
    /// verified any more.
    pub(super) fn take_back(&mut self, range: &Range<u64>) {
        let length = self.length();
        let (start, end) = (range.start / length * length, range.end.div_ceil(length).saturating_mul(length));
        self.verified.remove(start..end);
    }

    /// Returns true if all chunks of a file of this size are verified.
    pub(super) fn all_verified(&self, size: u64) -> bool {
        self.verified.contains(&(0..size))
    }

    /// Forgets everything except the chunk hashes, because the download starts again.
    pub(super) fn forget(&mut self) {
        (self.verified, self.pending) = (RangeSet::new(), None);
        self.wrong.clear();
    }
}
