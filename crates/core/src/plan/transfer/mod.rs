//! The transfer of one file: which bytes are written, which worker fetches which segment, and how much has
//! arrived.
//!
//! [`Transfer`] owns the segment ledger and all counters of the transfer.
//!
//! Invariant: apart from `Drop`, a worker gets an action only while it has an assignment. Every worker that
//! loses its assignment before it has ended is dropped by an action.

mod assignment;
mod growth;
mod ledger;
mod next_assignment;
mod provenance;
mod replacement;
mod schedule;

pub(super) use assignment::Assignment;
pub use assignment::{SHORTEST_SEGMENT, SPAN};
pub(super) use growth::Growth;
pub use ledger::typical_rate;
pub use next_assignment::{SEGMENT_ROUND_TRIPS, SEGMENT_SECONDS, WORTH_SPLITTING};
pub(super) use provenance::Provenance;
pub(super) use schedule::Terms;

use super::sources::Sources;
use super::{Action, Actions, Rules, Sizes, WorkerId};
use crate::concurrency::Observation;
use crate::journal::Claim;
use crate::ranges::RangeSet;
use crate::retry::PROGRESS;
use ledger::SegmentLedger;
use next_assignment::NextAssignment;
use std::ops::Range;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Transfer {
    ledger: SegmentLedger,
    sizes: Sizes,
    /// The highest number of connections for the file. With `None`, the number is chosen automatically.
    connections: Option<usize>,
    /// The worker that was started last.
    newest: WorkerId,
    /// True if a source ignored a request for a range, and no other mirror can be used. The file then gets no
    /// additional connection.
    single: bool,
    /// True if the last accepted response with a range did not state the size of the file.
    open_ended: bool,
    /// True if no response stated the size, and the size is known only because the transfer ended.
    sized_by_end: bool,
    first_request: Option<Duration>,
    /// The number of the state of the partial file (see `plan`). Reports with a lower number are ignored.
    generation: u32,
    /// The number of bytes that were received in this run.
    received: u64,
    /// The highest number of valid bytes from this run so far. It stays when the download starts again.
    best: u64,
    /// The written bytes that were on the disk before this run, from an earlier run or another tool. They do
    /// not count as progress of this run. Bytes that are found to be wrong are removed from this set.
    left: RangeSet,
}

impl Transfer {
    pub(super) fn new(rules: &Rules) -> Self {
        Transfer {
            ledger: SegmentLedger::default(),
            sizes: rules.sizes.clone(),
            connections: rules.connections,
            newest: 0,
            single: false,
            open_ended: false,
            sized_by_end: false,
            first_request: None,
            generation: 0,
            received: 0,
            best: 0,
            left: RangeSet::new(),
        }
    }

    pub(super) fn ledger(&self) -> &SegmentLedger {
        &self.ledger
    }

    pub(super) fn size(&self) -> Option<u64> {
        self.ledger.size
    }

    /// Sets the size if it is not known yet.
    pub(super) fn learn_size(&mut self, size: Option<u64>) {
        self.ledger.size = self.ledger.size.or(size);
    }

    /// Returns true if the size is known only because the transfer ended.
    pub(super) fn is_sized_by_end(&self) -> bool {
        self.sized_by_end
    }

    pub(super) fn written(&self) -> &RangeSet {
        &self.ledger.written
    }

    /// Returns the number of bytes on the disk, including bytes that were not read back yet.
    pub(super) fn present(&self) -> u64 {
        self.ledger.present()
    }

    /// Returns true if a worker has an assignment.
    pub(super) fn is_active(&self) -> bool {
        !self.ledger.assignments().is_empty()
    }

    /// Returns true if all bytes are written and none of them is still being read back.
    pub(super) fn is_complete(&self) -> bool {
        self.ledger.is_complete() && self.ledger.claimed.is_empty()
    }

    /// Records that the first request was sent at this time, unless a request was recorded before.
    pub(super) fn on_first_request(&mut self, sent: Duration) {
        self.first_request.get_or_insert(sent);
    }

    pub(super) fn first_request(&self) -> Option<Duration> {
        self.first_request
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    pub(super) fn received(&self) -> u64 {
        self.received
    }

    pub(super) fn best(&self) -> u64 {
        self.best
    }

    pub(super) fn is_open_ended(&self) -> bool {
        self.open_ended
    }

    pub(super) fn set_open_ended(&mut self, open_ended: bool) {
        self.open_ended = open_ended;
    }

    /// Forbids (`true`) or allows additional connections for the file.
    pub(super) fn set_single(&mut self, single: bool) {
        self.single = single;
    }

    /// Makes segments begin and end at multiples of `length` if possible, so that a chunk usually comes from
    /// one source. With 0, segments begin and end anywhere.
    pub(super) fn align_to(&mut self, length: u64) {
        self.ledger.align = length;
    }

    /// Records that a worker's response arrived. `waited` is how long the response took, if this was
    /// measured. Returns the assignment of the worker, or `None` if the worker waits for no response.
    pub(super) fn on_response(
        &mut self,
        now: Duration,
        worker: WorkerId,
        waited: Option<Duration>,
        actions: &mut Actions,
    ) -> Option<Assignment> {
        let assignment = self.ledger.get(worker).filter(|one| !one.receiving).cloned()?;
        self.ledger.on_response(now, worker);
        if let Some(waited) = waited {
            let (source, observation) = (assignment.source, Observation::Responded { waited });
            actions.push_back(Action::Observe { source, observation });
        }
        Some(assignment)
    }

    /// Ends the segment of a worker at `end`, where its response ends. If the worker has a hedge, the segment
    /// of the hedge ends there too.
    pub(super) fn shorten(&mut self, worker: WorkerId, end: u64, actions: &mut Actions) {
        let primary = self.ledger.get(worker).is_some_and(|one| one.hedge_of.is_none());
        if primary && let Some(hedge) = self.ledger.shorten(worker, end) {
            actions.push_back(Action::Cut { worker: hedge, end });
        } else {
            self.ledger.set_end(worker, end);
        }
    }

    /// Returns true if a worker's response, which ends at `end`, is still needed. The response is not needed
    /// if its bytes have arrived already, or if its digest cannot be compared because other workers write
    /// some of the bytes. A probe takes over its segment, unless the other worker has written bytes of it:
    /// then the response is not needed. `digest_until` is the offset of the last byte if there is a digest.
    pub(super) fn is_needed(
        &mut self,
        worker: WorkerId,
        end: u64,
        digest_until: Option<u64>,
        sources: &mut Sources,
        actions: &mut Actions,
    ) -> bool {
        let Some(assignment) = self.ledger.get(worker) else { return false };
        let (from, source) = (assignment.from, assignment.source);
        if assignment.at >= end {
            // The worker began as a hedge. The other worker delivered the same bytes, and then failed.
            return false;
        }
        if assignment.probes {
            let Some(primary) = self.ledger.take_over(worker) else {
                sources.set_sends_ranges(source);
                return false;
            };
            self.leave_from(primary, from, actions);
        }
        digest_until.is_none_or(|last| self.ledger.set_whole_only(worker, last))
    }

    /// Records that a worker's response was accepted. Its bytes arrive from now on. Returns the offset of the
    /// first requested byte, and the offset after the last byte of the segment.
    pub(super) fn accept(&mut self, now: Duration, worker: WorkerId) -> Option<(u64, Option<u64>)> {
        let (at, end) = self.ledger.get(worker).map(|one| (one.from, one.end))?;
        self.ledger.accepted(now, worker, end);
        Some((at, end))
    }

    /// Assigns the whole file to this worker. All other workers are dropped, and all written bytes become
    /// invalid.
    pub(super) fn restart(
        &mut self,
        now: Duration,
        worker: WorkerId,
        size: Option<u64>,
        actions: &mut Actions,
    ) {
        let others = self.ledger.restart(now, worker, size);
        actions.extend(others.into_iter().map(|worker| Action::Drop { worker }));
    }

    /// Forgets all bytes and the size. Reports about the forgotten bytes are ignored from now on.
    pub(super) fn forget(&mut self) {
        self.ledger.clear();
        (self.open_ended, self.sized_by_end, self.left) = (false, false, RangeSet::new());
        self.generation += 1;
    }

    /// Continues the partial file of an earlier run. `claims` are the ranges that its journal lists. Returns
    /// the offset of the first missing byte, and the number of claimed bytes.
    pub(super) fn resume(&mut self, size: Option<u64>, claims: &[Claim]) -> (u64, u64) {
        self.ledger.clear();
        self.ledger.size = size;
        self.ledger.claimed = claims.iter().map(|claim| claim.start..claim.end).collect();
        self.generation += 1;
        (self.ledger.claimed.prefix(), self.ledger.present())
    }

    /// Continues a file that is adopted or repaired. Its bytes in `ranges` are treated as written.
    pub(super) fn adopt(&mut self, size: Option<u64>, ranges: impl Iterator<Item = Range<u64>>) {
        self.ledger.size = size;
        ranges.for_each(|range| self.keep(range));
    }

    /// Treats bytes that were on the disk before this run as written bytes.
    fn keep(&mut self, range: Range<u64>) {
        self.left.insert(range.clone());
        self.ledger.written.insert(range);
    }

    /// Records if a claim of the journal matches the disk (`good`). If it does, its bytes count as written.
    /// Claims may overlap, so some bytes of the claim may be written or discarded already.
    pub(super) fn claim_checked(&mut self, claim: Claim, good: bool) {
        if good {
            let claimed = self.ledger.claimed.take(claim.start..claim.end);
            claimed.into_iter().for_each(|range| self.keep(range));
        }
    }

    /// Records that all claims of the journal were compared. Bytes that are in no matching claim become free.
    pub(super) fn journal_checked(&mut self) {
        self.ledger.claimed = RangeSet::new();
    }

    /// Records that the bytes of a worker's segment below `upto` have been written ([`SegmentLedger::wrote`]
    /// says what `fresh` means). Returns false if the worker has no assignment.
    pub(super) fn wrote(
        &mut self,
        now: Duration,
        worker: WorkerId,
        upto: u64,
        fresh: bool,
        sources: &mut Sources,
        actions: &mut Actions,
    ) -> bool {
        let Some(assignment) = self.ledger.get(worker) else { return false };
        let (before, source) = (assignment.at, assignment.source);
        self.ledger.wrote(now, worker, upto, fresh);
        let bytes = upto.saturating_sub(before);
        self.received = self.received.saturating_add(bytes);
        let observation = Observation::Progress { bytes, latency: self.ledger.latency };
        actions.push_back(Action::Observe { source, observation });
        if self.ledger.get(worker).is_some_and(|one| one.delivered() >= PROGRESS) {
            self.add_to_growth(source, 0, sources);
            actions.push_back(Action::Observe { source, observation: Observation::Works });
        }
        self.note_progress();
        true
    }

    /// Records that a worker finished its segment. If this segment had no known end, the file ends there too.
    pub(super) fn segment_finished(
        &mut self,
        assignment: &Assignment,
        sources: &mut Sources,
        actions: &mut Actions,
    ) {
        let source = assignment.source;
        self.release(assignment.worker, actions);
        if assignment.end.is_none() {
            self.ledger.size = Some(assignment.at);
            self.sized_by_end = true;
        }
        if assignment.is_a_crumb(PROGRESS) {
            let observation = Observation::Broken { wait: Duration::ZERO };
            actions.push_back(Action::Observe { source, observation });
        } else {
            self.add_to_growth(source, 1, sources);
        }
    }

    /// Records that a source refused a request for the bytes from the offset `from` on, because the file ends
    /// at or before that offset. `size` is the size that the refusal states. Returns true if the file is
    /// complete now: no worker is active, no response stated the size, all bytes before `from` are written,
    /// and the refusal states no other size.
    pub(super) fn ends_at(&mut self, from: u64, size: Option<u64>) -> bool {
        let waits_for_end = self.open_ended && self.ledger.size.is_none() && !self.is_active();
        let ends =
            waits_for_end && self.ledger.written.prefix() == from && size.is_none_or(|size| size == from);
        if ends {
            self.ledger.size = Some(from);
            self.sized_by_end = true;
        }
        ends
    }

    /// Releases a worker that has ended or is dropped, and returns its assignment. If this makes another
    /// worker with the same segment useless, that worker is dropped.
    pub(super) fn release(&mut self, worker: WorkerId, actions: &mut Actions) -> Option<Assignment> {
        let (assignment, other) = self.ledger.release(worker)?;
        self.note_progress();
        actions.extend(other.map(|worker| Action::Drop { worker }));
        Some(assignment)
    }

    /// Drops a worker that has not failed, because it is not needed. If the worker has a hedge and has not
    /// finished, the hedge continues alone, and its bytes are used.
    pub(super) fn drop_worker(&mut self, worker: WorkerId, actions: &mut Actions) {
        self.release(worker, actions);
        actions.push_back(Action::Drop { worker });
    }

    pub(super) fn drop_source(&mut self, source: usize, actions: &mut Actions) {
        let workers = self.ledger.release_from(source);
        actions.extend(workers.into_iter().map(|worker| Action::Drop { worker }));
        self.note_progress();
    }

    pub(super) fn drop_all(&mut self, actions: &mut Actions) {
        actions.extend(self.ledger.release_all().into_iter().map(|worker| Action::Drop { worker }));
    }

    /// Makes these bytes invalid. The bytes are fetched again when the disk has discarded them. Hedges that
    /// fetch some of these bytes are dropped.
    pub(super) fn take_back(&mut self, ranges: Vec<Range<u64>>, actions: &mut Actions) {
        let hedges = self.ledger.release_hedges(&ranges);
        actions.extend(hedges.into_iter().map(|worker| Action::Drop { worker }));
        self.ledger.take_back(&ranges);
        ranges.iter().for_each(|range| self.left.remove(range.clone()));
        actions.push_back(Action::Discard { number: self.generation, ranges });
    }

    pub(super) fn discarded(&mut self, ranges: &[Range<u64>]) {
        self.ledger.discarded(ranges);
    }

    /// Records that one worker alone must fetch this chunk from now on.
    pub(super) fn contest(&mut self, chunk: &Range<u64>) {
        self.ledger.contest(chunk);
    }

    fn note_progress(&mut self) {
        self.best = self.best.max(self.ledger.written.len().saturating_sub(self.left.len()));
    }

    /// Checks the invariant.
    ///
    /// # Errors
    /// Returns the broken part of the invariant.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.ledger.written.len() > self.best.saturating_add(self.left.len()) {
            return Err("this run has more written bytes than the highest number so far");
        }
        self.ledger.check()
    }
}
