//! Decides when a worker is started to replace a silent one, because no worker of the file delivers bytes.
//!
//! The replacement is a probe: it requests the bytes that the silent worker would deliver next, and takes
//! them over when its response is valid. If the server refuses the request or sends no ranges, nothing
//! changes.
//!
//! Invariant: a replacement is started only while every worker has a response and is silent. So at most one
//! replacement waits for its response.

use super::Assignment;
use super::ledger::{SILENCE, SegmentLedger};
use crate::plan::{Sizes, WorkerId};
use std::ops::Range;
use std::time::Duration;

impl SegmentLedger {
    /// Returns a silent worker to replace, and the range to request, which begins at the worker's first
    /// missing byte. Returns `None` if a worker delivers bytes, waits for a response or has a segment that is
    /// used only as a whole, or if each silent worker is a hedge, has a hedge, or has a segment without a
    /// known end.
    pub(super) fn replacement(&self, now: Duration, sizes: &Sizes) -> Option<(WorkerId, Range<u64>)> {
        if !self.has_stopped(now) {
            return None;
        }
        let unhedged = self.assignments.iter().filter(|one| one.hedge_of.is_none() && !self.is_hedged(one));
        let missing = unhedged.filter_map(|one| Some((one.worker, one.at..one.end?)));
        let (silent, gap) = missing.filter(|(_, gap)| !gap.is_empty()).min_by_key(|(_, gap)| gap.start)?;
        Some((silent, self.segment(gap, self.segment_length(2, sizes), 2)))
    }

    /// Returns true if all workers have a response, and have been silent for so long that one of them may be
    /// replaced. This time doubles with each replacement, so a server that pauses often gets few additional
    /// requests. If the segment of a worker is used only as a whole, the worker may report no bytes before
    /// the segment is verified, so its silence is normal.
    fn has_stopped(&self, now: Duration) -> bool {
        let wait = SILENCE.max(self.patience).saturating_mul(1 << self.replacements.min(16));
        let mut all = self.assignments.iter();
        all.all(|one| one.receiving && !one.whole_only && one.silence(now) > wait)
    }

    /// Assigns these bytes to a worker that replaces a silent one.
    pub(super) fn replace(
        &mut self,
        now: Duration,
        worker: WorkerId,
        source: usize,
        silent: WorkerId,
        range: Range<u64>,
    ) {
        self.replacements += 1;
        self.assign(now, worker, source, range.start, Some(range.end));
        if let Some(assignment) = self.get_mut(worker) {
            (assignment.hedge_of, assignment.probes) = (Some(silent), true);
        }
    }

    /// Returns true if this worker is a probe that takes over bytes of a silent worker.
    pub(super) fn is_replacing(&self, one: &Assignment, now: Duration) -> bool {
        let primary = one.hedge_of.filter(|_| one.probes).and_then(|primary| self.get(primary));
        primary.is_some_and(|primary| self.is_silent(primary, now))
    }

    /// Returns true if at least one worker of the source has a response, and all workers of the source that
    /// have a response are silent.
    pub(super) fn is_source_silent(&self, source: usize, now: Duration) -> bool {
        let mut receiving = self.assignments.iter().filter(|one| one.source == source && one.receiving);
        receiving.clone().next().is_some() && receiving.all(|one| self.is_silent(one, now))
    }
}
