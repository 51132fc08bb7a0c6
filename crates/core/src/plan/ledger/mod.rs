//! Who has which bytes of a file.
//!
//! Invariant (promise 1): every byte is in exactly one of: written, claimed (on the disk since an earlier run, and not
//! checked yet), held by one worker, free. A hedge holds bytes that its primary holds too, and they count only if it
//! is through first. [`SegmentLedger::check`] states it.

mod assignment;
mod next_assignment;
mod provenance;

pub(super) use assignment::Assignment;
pub use assignment::{SHORTEST_SEGMENT, SPAN};
pub(super) use next_assignment::NextAssignment;
pub use next_assignment::{SEGMENT_ROUND_TRIPS, SEGMENT_SECONDS, WORTH_SPLITTING};
pub(super) use provenance::Provenance;

use super::WorkerId;
use crate::ranges::RangeSet;
use std::ops::Range;
use std::time::Duration;

/// A worker that brought nothing for this long (or four times what a reply took, if that is more) is taken for dead as
/// soon as another one could do its work.
const SILENCE: Duration = Duration::from_secs(1);

/// Returns the typical rate of a connection, in bytes a second, after one of them measured `rate`. 0: none did before.
pub fn typical_rate(before: f64, rate: f64) -> f64 {
    if before == 0.0 { rate } else { 0.8 * before + 0.2 * rate }
}

/// The bytes of a file and who has them.
#[derive(Debug, Default)]
pub(super) struct SegmentLedger {
    pub(super) size: Option<u64>,
    pub(super) written: RangeSet,
    pub(super) claimed: RangeSet,
    assignments: Vec<Assignment>,
    provenance: Provenance,
    /// What is being taken back on the disk.
    voiding: RangeSet,
    /// ChunkHashes that were wrong and whose bytes came from several: such a piece is fetched by one worker alone.
    contested: RangeSet,
    /// Tasks begin and end at multiples of this, where that is possible: each piece comes from one source. 0: anywhere.
    pub(super) align: u64,
    hedged: u64,
    /// Parts come with digests.
    digested: bool,
    /// The shortest time from a request to its first byte.
    pub(super) latency: Duration,
    /// Bytes a second of one connection, from what it was lately.
    typical: f64,
    /// How long a worker may be silent while another one could do its work; longer with each one that was left for it.
    patience: Duration,
}

impl SegmentLedger {
    /// The bytes that are on the disk, checked or not.
    pub(super) fn there(&self) -> u64 {
        self.written.len() + self.claimed.len()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.size.is_some_and(|size| self.written.contains(&(0..size)))
    }

    pub(super) fn assignments(&self) -> &[Assignment] {
        &self.assignments
    }

    pub(super) fn get(&self, worker: WorkerId) -> Option<&Assignment> {
        self.assignments.iter().find(|one| one.worker == worker)
    }

    /// Who brought what is written.
    pub(super) fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    fn get_mut(&mut self, worker: WorkerId) -> Option<&mut Assignment> {
        self.assignments.iter_mut().find(|one| one.worker == worker)
    }

    /// A worker was asked for these bytes.
    pub(super) fn assign(
        &mut self,
        now: Duration,
        worker: WorkerId,
        source: usize,
        from: u64,
        end: Option<u64>,
    ) {
        let mut held = Assignment::new(now, worker, source, from, end, self.typical);
        held.judged = end.is_some_and(|end| self.contested.touches(&(from..end)));
        self.assignments.push(held);
    }

    /// A worker has a reply: so long does that take.
    pub(super) fn opened(&mut self, now: Duration, worker: WorkerId) {
        let known = self.latency;
        let Some(held) = self.get_mut(worker) else { return };
        let waited = held.silence(now);
        self.latency = if known.is_zero() { waited } else { known.min(waited) };
        // Whoever takes that long for a reply is not dead.
        self.patience = waited * 4;
    }

    /// A worker has its word to go on: its bytes come from now on.
    pub(super) fn accepted(&mut self, now: Duration, worker: WorkerId, end: Option<u64>) {
        if let Some(held) = self.get_mut(worker) {
            held.accepted(now, end);
        }
    }

    /// A worker's task ends there now.
    pub(super) fn end(&mut self, worker: WorkerId, end: u64) {
        if let Some(held) = self.get_mut(worker) {
            held.end = Some(end);
        }
    }

    /// A worker's task ends there now, and so does its hedge's. Who that is.
    pub(super) fn shorten(&mut self, worker: WorkerId, end: u64) -> Option<WorkerId> {
        let mut hedge = None;
        for one in
            self.assignments.iter_mut().filter(|one| one.worker == worker || one.hedge_of == Some(worker))
        {
            one.end = Some(one.end.map_or(end, |old| old.min(end)));
            // A hedge may be further than its primary.
            one.at = one.at.min(end.max(one.from));
            hedge = hedge.or(one.hedge_of.map(|_| one.worker));
        }
        hedge
    }

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
        if let Some(held) = self.get_mut(worker) {
            (held.hedge_of, held.probes) = (Some(primary), probes);
        }
    }

    /// A probe's reply is right: what it was asked for is its own from now on. Whose task ends there; `None` if that one
    /// is beyond that already, and the probe of no use.
    pub(super) fn take_over(&mut self, worker: WorkerId) -> Option<WorkerId> {
        let probe = self.get(worker)?;
        let (from, primary) = (probe.from, probe.hedge_of?);
        self.get(primary).filter(|one| one.at <= from)?;
        self.get_mut(primary)?.end = Some(from);
        let probe = self.get_mut(worker)?;
        (probe.hedge_of, probe.probes) = (None, false);
        Some(primary)
    }

    /// Forgets everything but that worker, which now has the whole file to bring. Whom nobody needs any more.
    pub(super) fn restart(&mut self, now: Duration, worker: WorkerId, size: Option<u64>) -> Vec<WorkerId> {
        self.clear();
        self.size = size;
        let source = self.get(worker).map_or(0, |held| held.source);
        let mut others = self.release_all();
        others.retain(|&other| other != worker);
        self.assign(now, worker, source, 0, size);
        others
    }

    /// Forgets what is on the disk.
    pub(super) fn clear(&mut self) {
        self.written = RangeSet::new();
        self.claimed = RangeSet::new();
        self.provenance = Provenance::default();
        self.voiding = RangeSet::new();
        self.contested = RangeSet::new();
        self.size = None;
        self.digested = false;
    }

    /// These bytes are there, from that source, if that is known.
    fn write(&mut self, source: Option<usize>, range: Range<u64>) {
        if let Some(source) = source {
            self.provenance.insert(source, self.written.missing(range.clone()));
        }
        self.written.insert(range);
    }

    /// Takes these bytes back: they are free when the disk has heard of it.
    pub(super) fn take_back(&mut self, ranges: &[Range<u64>]) {
        for range in ranges {
            self.written.remove(range.clone());
            self.provenance.remove(range);
            self.voiding.insert(range.clone());
        }
    }

    /// The disk has heard of it.
    pub(super) fn voided(&mut self, ranges: &[Range<u64>]) {
        ranges.iter().for_each(|range| self.voiding.remove(range.clone()));
    }

    pub(super) fn contest(&mut self, piece: &Range<u64>) {
        self.contested.insert(piece.clone());
    }

    pub(super) fn is_contested(&self, piece: &Range<u64>) -> bool {
        self.contested.touches(piece)
    }

    /// Takes hedges off whose task touches these bytes. Who they are.
    pub(super) fn release_hedges(&mut self, ranges: &[Range<u64>]) -> Vec<WorkerId> {
        let touches = |one: &Assignment| {
            let task = one.from..one.end.unwrap_or(u64::MAX);
            ranges.iter().any(|range| task.start < range.end && range.start < task.end)
        };
        let hedges = self.assignments.iter().filter(|one| one.hedge_of.is_some() && touches(one));
        let hedges: Vec<WorkerId> = hedges.map(|one| one.worker).collect();
        self.assignments.retain(|one| !hedges.contains(&one.worker));
        hedges
    }

    /// Takes all workers of a source off their tasks. Whom nobody needs any more.
    pub(super) fn release_from(&mut self, source: usize) -> Vec<WorkerId> {
        let mut gone = Vec::new();
        while let Some(worker) =
            self.assignments.iter().find(|one| one.source == source).map(|one| one.worker)
        {
            gone.extend(self.release(worker).and_then(|(_, twin)| twin));
            gone.push(worker);
        }
        gone
    }

    /// A worker's reply, up to that byte, has a digest. False if another one fetches the same, or brought some of it before
    /// it broke: then it is of no use, as the bytes of two cannot be told apart on the disk.
    pub(super) fn judge(&mut self, worker: WorkerId, last: u64) -> bool {
        self.digested = true;
        let hedged = self.assignments.iter().any(|one| one.hedge_of == Some(worker));
        let Some(held) = self.get_mut(worker) else { return false };
        let alone = !hedged && held.hedge_of.is_none();
        held.judge(last, alone)
    }

    /// A worker wrote all bytes below `upto`. `fresh`: nothing of them was on the disk before.
    pub(super) fn wrote(&mut self, now: Duration, worker: WorkerId, upto: u64, fresh: bool) {
        let Some(held) = self.get_mut(worker).filter(|held| held.receiving) else { return };
        let Some((new, measured)) = held.wrote(now, upto, fresh) else { return };
        let (source, hedge) = (Some(held.source).filter(|_| fresh), held.hedge_of.is_some());
        if let Some(rate) = measured {
            self.is_typical(rate);
        }
        if !hedge {
            self.write(source, new);
        }
    }

    /// Takes a worker off its task. What it did not write is free again, or its hedge's. `Some` with the worker that
    /// fetches the same and is not needed any more.
    pub(super) fn release(&mut self, worker: WorkerId) -> Option<(Assignment, Option<WorkerId>)> {
        let index = self.assignments.iter().position(|one| one.worker == worker)?;
        let held = self.assignments.swap_remove(index);
        if let Some(rate) = held.rate_of_short_task() {
            self.is_typical(rate);
        }
        let through = held.is_through();
        if let Some(primary) = held.hedge_of {
            if through {
                self.write(held.its_own(), held.from..held.at);
                self.assignments.retain(|one| one.worker != primary);
                return Some((held, Some(primary)));
            }
            return Some((held, None));
        }
        let Some(hedge) = self.assignments.iter_mut().find(|one| one.hedge_of == Some(worker)) else {
            return Some((held, None));
        };
        let twin = hedge.worker;
        if through {
            self.assignments.retain(|one| one.worker != twin);
            return Some((held, Some(twin)));
        }
        // The hedge has the task alone now, and what it wrote counts.
        hedge.hedge_of = None;
        let (range, source) = (hedge.from..hedge.at, hedge.its_own());
        hedge.at = hedge.at.max(held.at).min(hedge.end.unwrap_or(u64::MAX));
        self.write(source, range);
        Some((held, None))
    }

    /// One connection brings so much, at times.
    fn is_typical(&mut self, rate: f64) {
        self.typical = typical_rate(self.typical, rate);
    }

    /// Whether it is known what a connection brings, or that it is next to nothing.
    pub(super) fn is_measured(&self, now: Duration) -> bool {
        self.typical > 0.0 || self.assignments.iter().any(|one| one.is_slow(now))
    }

    /// A worker that is silent is left. The next one has more time, or a slow server would never be heard out.
    pub(super) fn leave(&mut self, worker: WorkerId) {
        self.patience = self.patience.max(SILENCE) * 2;
        self.release(worker);
    }

    pub(super) fn release_all(&mut self) -> Vec<WorkerId> {
        self.assignments.drain(..).map(|one| one.worker).collect()
    }

    /// # Errors
    /// What of the invariant is broken.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.written.iter().any(|range| self.claimed.touches(range)) {
            return Err("bytes are written and claimed");
        }
        if self.voiding.iter().any(|range| self.claimed.touches(range) || self.written.touches(range)) {
            return Err("bytes are taken back and there");
        }
        let mut seen = RangeSet::new();
        for one in &self.assignments {
            let range = one.at..one.end.unwrap_or(u64::MAX);
            if let Some(primary) = one.hedge_of {
                let others = self.assignments.iter().filter(|other| other.hedge_of == Some(primary)).count();
                if others != 1 || self.get(primary).is_none() {
                    return Err("a hedge without its primary, or two of them");
                }
                continue;
            }
            if one.end.is_some_and(|end| one.at > end) {
                return Err("a worker went beyond its end");
            }
            if self.written.touches(&range)
                || self.claimed.touches(&range)
                || self.voiding.touches(&range)
                || seen.touches(&range)
            {
                return Err("bytes are held twice, or held and written");
            }
            seen.insert(range);
        }
        let end = [&self.written, &self.claimed]
            .into_iter()
            .filter_map(|set| set.iter().last())
            .map(|one| one.end)
            .max();
        match (end, self.size) {
            (Some(end), Some(size)) if end > size => Err("more is written than the file has"),
            _ => self.provenance.check(&self.written),
        }
    }

    fn is_silent(&self, one: &Assignment, now: Duration) -> bool {
        one.silence(now) > SILENCE.max(self.patience)
    }
}
