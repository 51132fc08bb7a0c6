//! The segment ledger: which bytes of a file are free, claimed, assigned or written.
//!
//! Invariant: every byte is in exactly one of these states: written, claimed (an earlier run wrote it, and it
//! was not read back yet), assigned to one worker, being discarded by the disk, or free. A hedge is a second
//! worker for bytes that are assigned to another worker, its primary. The bytes from the hedge are used only
//! if the hedge finishes first, or if the primary is released. [`SegmentLedger::check`] checks this
//! invariant.

use super::{Assignment, Provenance};
use crate::plan::WorkerId;
use crate::ranges::RangeSet;
use std::ops::Range;
use std::time::Duration;

/// If a worker delivered nothing for this time, it is dropped when another worker can fetch its segment. The
/// time is longer if the last response took long, or after silent workers were dropped
/// ([`SegmentLedger::patience`]).
pub(super) const SILENCE: Duration = Duration::from_secs(1);

/// Returns the typical rate of a connection in bytes a second, after a new measurement of `rate`. `before` is
/// the typical rate before this measurement, or 0 for the first measurement.
pub fn typical_rate(before: f64, rate: f64) -> f64 {
    if before == 0.0 { rate } else { 0.8 * before + 0.2 * rate }
}

/// The bytes of a file and their assignments.
#[derive(Debug, Default)]
pub(in crate::plan) struct SegmentLedger {
    pub(super) size: Option<u64>,
    pub(super) written: RangeSet,
    pub(super) claimed: RangeSet,
    pub(super) assignments: Vec<Assignment>,
    provenance: Provenance,
    /// The bytes that the disk is still discarding.
    pub(super) discarding: RangeSet,
    /// Chunks that were wrong. Each of these chunks is now fetched by one worker alone.
    pub(super) contested: RangeSet,
    /// If possible, segments begin and end at multiples of this number, so that each chunk comes from one
    /// source. With 0, segments begin and end anywhere.
    pub(super) align: u64,
    /// The number of bytes that were assigned to hedges so far. Bytes of probes do not count.
    pub(super) hedged: u64,
    /// True if a response to a request for a range had a digest of its own.
    pub(super) digested: bool,
    /// The shortest time so far from a request to its response, over all sources. If a connection was opened
    /// for the request, the time to connect is included.
    pub(super) latency: Duration,
    /// The recent typical rate of one connection in bytes a second.
    pub(super) typical: f64,
    /// The time for which a worker may be silent if another worker could fetch its segment. This time is used
    /// only if it is longer than [`SILENCE`]. The time is four times the wait for the last response, and
    /// doubles with each worker that is dropped because the worker was silent.
    pub(super) patience: Duration,
    /// The number of workers that were started to replace a silent worker ([`super::replacement`]).
    pub(super) replacements: u32,
}

impl SegmentLedger {
    /// Returns true while bytes that the journal lists are read back.
    pub(in super::super) fn is_reading_back(&self) -> bool {
        !self.claimed.is_empty()
    }

    /// Returns the number of bytes on the disk, including bytes that were not read back yet.
    pub(in crate::plan) fn present(&self) -> u64 {
        self.written.len() + self.claimed.len()
    }

    pub(in crate::plan) fn is_complete(&self) -> bool {
        self.size.is_some_and(|size| self.written.contains(&(0..size)))
    }

    pub(in crate::plan) fn assignments(&self) -> &[Assignment] {
        &self.assignments
    }

    pub(in crate::plan) fn get(&self, worker: WorkerId) -> Option<&Assignment> {
        self.assignments.iter().find(|one| one.worker == worker)
    }

    /// Returns which source sent which of the written bytes, as far as it is known.
    pub(in crate::plan) fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    pub(super) fn get_mut(&mut self, worker: WorkerId) -> Option<&mut Assignment> {
        self.assignments.iter_mut().find(|one| one.worker == worker)
    }

    pub(super) fn assign(
        &mut self,
        now: Duration,
        worker: WorkerId,
        source: usize,
        from: u64,
        end: Option<u64>,
    ) {
        let mut assignment = Assignment::new(now, worker, source, from, end, self.typical);
        assignment.whole_only = end.is_some_and(|end| self.contested.touches(&(from..end)));
        self.assignments.push(assignment);
    }

    /// Records that a response to this worker arrived, and how long the worker waited for it.
    pub(super) fn on_response(&mut self, now: Duration, worker: WorkerId) {
        let known = self.latency;
        let Some(assignment) = self.get_mut(worker) else { return };
        let waited = assignment.silence(now);
        self.latency = if known.is_zero() { waited } else { known.min(waited) };
        // A source that is slow to respond may later also be silent for a while.
        self.patience = waited * 4;
    }

    /// Records that a worker's response was accepted. Its bytes arrive from now on.
    pub(super) fn accepted(&mut self, now: Duration, worker: WorkerId, end: Option<u64>) {
        if let Some(assignment) = self.get_mut(worker) {
            assignment.accepted(now, end);
        }
    }

    pub(super) fn set_end(&mut self, worker: WorkerId, end: u64) {
        if let Some(assignment) = self.get_mut(worker) {
            assignment.end = Some(end);
        }
    }

    /// Ends the segments of a worker and of its hedge at `end`. Returns the hedge, if there is one.
    pub(super) fn shorten(&mut self, worker: WorkerId, end: u64) -> Option<WorkerId> {
        let mut hedge = None;
        for one in
            self.assignments.iter_mut().filter(|one| one.worker == worker || one.hedge_of == Some(worker))
        {
            one.end = Some(one.end.map_or(end, |old| old.min(end)));
            // A hedge may have passed the new end already.
            one.at = one.at.min(end.max(one.from));
            hedge = hedge.or(one.hedge_of.map(|_| one.worker));
        }
        hedge
    }

    /// Assigns bytes to a worker although they are assigned to another worker (`primary`) already. If the
    /// primary has not reached these bytes, the new worker is a probe. The response to a probe shows if the
    /// source sends ranges.
    pub(super) fn hedge(
        &mut self,
        now: Duration,
        worker: WorkerId,
        source: usize,
        primary: WorkerId,
        range: Range<u64>,
    ) {
        let probes = self.get(primary).is_some_and(|one| one.at < range.start);
        self.hedged += if probes { 0 } else { range.end - range.start };
        self.assign(now, worker, source, range.start, Some(range.end));
        if let Some(assignment) = self.get_mut(worker) {
            (assignment.hedge_of, assignment.probes) = (Some(primary), probes);
        }
    }

    /// Makes a probe whose response is valid the only worker of its segment. Returns the worker whose segment
    /// now ends where the segment of the probe begins. Returns `None` if that worker has already written some
    /// bytes of the probe's segment. The probe is useless then.
    pub(super) fn take_over(&mut self, worker: WorkerId) -> Option<WorkerId> {
        let probe = self.get(worker)?;
        let (from, primary) = (probe.from, probe.hedge_of?);
        self.get(primary).filter(|one| one.at <= from)?;
        self.get_mut(primary)?.end = Some(from);
        let probe = self.get_mut(worker)?;
        (probe.hedge_of, probe.probes) = (None, false);
        Some(primary)
    }

    /// Forgets the bytes on the disk, and assigns the whole file to this worker. Returns the other workers,
    /// which must be dropped.
    pub(super) fn restart(&mut self, now: Duration, worker: WorkerId, size: Option<u64>) -> Vec<WorkerId> {
        self.clear();
        self.size = size;
        let source = self.get(worker).map_or(0, |assignment| assignment.source);
        let mut others = self.release_all();
        others.retain(|&other| other != worker);
        self.assign(now, worker, source, 0, size);
        others
    }

    /// Forgets the bytes on the disk and the size of the file.
    pub(super) fn clear(&mut self) {
        self.written = RangeSet::new();
        self.claimed = RangeSet::new();
        self.provenance = Provenance::default();
        self.discarding = RangeSet::new();
        self.contested = RangeSet::new();
        self.size = None;
        self.digested = false;
    }

    /// Records that these bytes have been written. `source` is their source, if known.
    fn write(&mut self, source: Option<usize>, range: Range<u64>) {
        if let Some(source) = source {
            self.provenance.insert(source, self.written.missing(range.clone()));
        }
        self.written.insert(range);
    }

    /// Makes these bytes invalid. The bytes are free as soon as the disk has discarded them.
    pub(super) fn take_back(&mut self, ranges: &[Range<u64>]) {
        for range in ranges {
            self.written.remove(range.clone());
            self.provenance.remove(range);
            self.discarding.insert(range.clone());
        }
    }

    /// Records that the disk has discarded these bytes.
    pub(super) fn discarded(&mut self, ranges: &[Range<u64>]) {
        ranges.iter().for_each(|range| self.discarding.remove(range.clone()));
    }

    /// Records that one worker alone must fetch this chunk from now on.
    pub(super) fn contest(&mut self, chunk: &Range<u64>) {
        self.contested.insert(chunk.clone());
    }

    pub(in crate::plan) fn is_contested(&self, chunk: &Range<u64>) -> bool {
        self.contested.touches(chunk)
    }

    /// Releases the hedges whose segments touch these bytes, and returns their workers.
    pub(super) fn release_hedges(&mut self, ranges: &[Range<u64>]) -> Vec<WorkerId> {
        let touches = |one: &Assignment| {
            let segment = one.from..one.end.unwrap_or(u64::MAX);
            ranges.iter().any(|range| segment.start < range.end && range.start < segment.end)
        };
        let hedges = self.assignments.iter().filter(|one| one.hedge_of.is_some() && touches(one));
        let hedges: Vec<WorkerId> = hedges.map(|one| one.worker).collect();
        self.assignments.retain(|one| !hedges.contains(&one.worker));
        hedges
    }

    /// Releases all workers of a source. Returns the workers that must be dropped.
    pub(super) fn release_from(&mut self, source: usize) -> Vec<WorkerId> {
        let mut gone = Vec::new();
        while let Some(worker) =
            self.assignments.iter().find(|one| one.source == source).map(|one| one.worker)
        {
            gone.extend(self.release(worker).and_then(|(_, other)| other));
            gone.push(worker);
        }
        gone
    }

    /// Records that the bytes of a worker's response, up to and including the offset `last`, have a digest.
    /// Returns false if the response is useless, because another worker has the same segment, has delivered
    /// its beginning, or has taken over its end. In these cases the digest cannot be compared, because the
    /// partial file does not show which worker wrote a byte.
    pub(super) fn set_whole_only(&mut self, worker: WorkerId, last: u64) -> bool {
        self.digested = true;
        let hedged = self.assignments.iter().any(|one| one.hedge_of == Some(worker));
        let Some(assignment) = self.get_mut(worker) else { return false };
        let alone = !hedged && assignment.hedge_of.is_none();
        assignment.set_whole_only(last, alone)
    }

    /// Records that a worker wrote all bytes of its segment below `upto`. `fresh` is true if no other worker
    /// wrote any of the new bytes, and if the segment was not shortened while they were written.
    pub(super) fn wrote(&mut self, now: Duration, worker: WorkerId, upto: u64, fresh: bool) {
        let Some(assignment) = self.get_mut(worker).filter(|assignment| assignment.receiving) else { return };
        let Some((new, measured)) = assignment.wrote(now, upto, fresh) else { return };
        let (source, hedge) = (Some(assignment.source).filter(|_| fresh), assignment.hedge_of.is_some());
        if let Some(rate) = measured {
            self.add_rate(rate);
        }
        if !hedge {
            self.write(source, new);
        }
    }

    /// Releases a worker, and returns its assignment. Unless the worker is a hedge, its unwritten bytes
    /// become free, or its hedge gets them. If the released worker has finished, also returns the other
    /// worker with the same segment, which must be dropped.
    pub(super) fn release(&mut self, worker: WorkerId) -> Option<(Assignment, Option<WorkerId>)> {
        let index = self.assignments.iter().position(|one| one.worker == worker)?;
        let assignment = self.assignments.swap_remove(index);
        if let Some(rate) = assignment.rate_of_short_segment() {
            self.add_rate(rate);
        }
        let finished = assignment.is_finished();
        if let Some(primary) = assignment.hedge_of {
            if finished {
                self.write(assignment.origin(), assignment.from..assignment.at);
                self.assignments.retain(|one| one.worker != primary);
                return Some((assignment, Some(primary)));
            }
            return Some((assignment, None));
        }
        let Some(hedge) = self.assignments.iter_mut().find(|one| one.hedge_of == Some(worker)) else {
            return Some((assignment, None));
        };
        let other = hedge.worker;
        if finished {
            self.assignments.retain(|one| one.worker != other);
            return Some((assignment, Some(other)));
        }
        // The hedge has the segment alone now, and its bytes are used. If the hedge was a probe, there is no
        // worker left from which it could take over the segment.
        (hedge.hedge_of, hedge.probes) = (None, false);
        let (range, source) = (hedge.from..hedge.at, hedge.origin());
        hedge.at = hedge.at.max(assignment.at).min(hedge.end.unwrap_or(u64::MAX));
        self.write(source, range);
        Some((assignment, None))
    }

    fn add_rate(&mut self, rate: f64) {
        self.typical = typical_rate(self.typical, rate);
    }

    /// Returns true if the rate of a connection is known, or if it is certainly very low.
    pub(super) fn is_measured(&self, now: Duration) -> bool {
        self.typical > 0.0 || self.assignments.iter().any(|one| one.is_slow(now))
    }

    /// Releases a silent worker. Later workers may be silent for a longer time, so that a slow server can
    /// send its response.
    pub(super) fn release_silent(&mut self, worker: WorkerId) {
        self.patience = self.patience.max(SILENCE) * 2;
        self.release(worker);
    }

    /// Releases all workers, and returns their numbers.
    pub(super) fn release_all(&mut self) -> Vec<WorkerId> {
        self.assignments.drain(..).map(|one| one.worker).collect()
    }

    /// Checks the invariant.
    ///
    /// # Errors
    /// Returns the broken part of the invariant.
    pub(in crate::plan) fn check(&self) -> Result<(), &'static str> {
        if self.written.iter().any(|range| self.claimed.touches(range)) {
            return Err("some bytes are written and also claimed");
        }
        if self.discarding.iter().any(|range| self.claimed.touches(range) || self.written.touches(range)) {
            return Err("some bytes are being discarded and also present");
        }
        let mut seen = RangeSet::new();
        for one in &self.assignments {
            let range = one.at..one.end.unwrap_or(u64::MAX);
            if let Some(primary) = one.hedge_of {
                let others = self.assignments.iter().filter(|other| other.hedge_of == Some(primary)).count();
                if others != 1 || self.get(primary).is_none() {
                    return Err(
                        "a hedge has no other worker with the same segment, or a worker has two hedges",
                    );
                }
                continue;
            }
            if one.end.is_some_and(|end| one.at > end) {
                return Err("a worker went beyond the end of its segment");
            }
            if self.written.touches(&range)
                || self.claimed.touches(&range)
                || self.discarding.touches(&range)
                || seen.touches(&range)
            {
                return Err(
                    "some bytes are assigned twice, or are assigned and also written, claimed or being discarded",
                );
            }
            seen.insert(range);
        }
        let end = [&self.written, &self.claimed]
            .into_iter()
            .filter_map(|set| set.iter().last())
            .map(|one| one.end)
            .max();
        match (end, self.size) {
            (Some(end), Some(size)) if end > size => Err("more bytes are written than the file has"),
            _ => self.provenance.check(&self.written),
        }
    }

    /// Returns true if a worker has been silent for too long.
    pub(super) fn is_silent(&self, one: &Assignment, now: Duration) -> bool {
        one.silence(now) > SILENCE.max(self.patience)
    }
}
