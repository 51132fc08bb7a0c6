//! The transfer of one file: which bytes are there, which worker fetches which segment, and what arrives.
//!
//! It owns the segment ledger and everything that is counted about it. Invariant: a worker gets an action
//! only while it has an assignment, and every worker that loses its assignment without having ended is
//! dropped by an action.

mod assignment;
mod growth;
mod ledger;
mod next_assignment;
mod provenance;
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

/// The transfer of one file.
#[derive(Debug)]
pub(super) struct Transfer {
    ledger: SegmentLedger,
    sizes: Sizes,
    /// The connections that the file shall have; `None`: as many as help.
    connections: Option<usize>,
    /// The newest worker.
    newest: WorkerId,
    /// The only source sends no ranges: the file has one connection.
    single: bool,
    /// A range ended, and the server did not say whether the file ends there too.
    open_ended: bool,
    /// The size is known only because the transfer ended.
    sized_by_end: bool,
    first_request: Option<Duration>,
    /// The state of the partial file. Reports about an earlier state are ignored.
    generation: u32,
    /// Bytes that were received in this run.
    received: u64,
    /// The most bytes of this run that ever counted. Starting again does not lower it.
    best: u64,
    /// Good bytes that an earlier run left. They are no progress of this one.
    left_good: u64,
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
            left_good: 0,
        }
    }

    pub(super) fn ledger(&self) -> &SegmentLedger {
        &self.ledger
    }

    /// Returns the size of the file, if known.
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

    /// Returns the bytes that are on the disk and count, or are being read back.
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

    /// The only source sends no ranges: the file has one connection from now on.
    pub(super) fn set_single(&mut self, single: bool) {
        self.single = single;
    }

    /// Segments begin and end at multiples of this, so that each chunk comes from one source.
    pub(super) fn align_to(&mut self, length: u64) {
        self.ledger.align = length;
    }

    /// A response arrived. Returns the assignment of its worker, if the worker waits for one.
    pub(super) fn on_response(&mut self, now: Duration, worker: WorkerId) -> Option<Assignment> {
        let assignment = self.ledger.get(worker).filter(|one| !one.receiving).cloned()?;
        self.ledger.on_response(now, worker);
        Some(assignment)
    }

    /// Ends a worker's segment where its response ends, and its hedge's segment too.
    pub(super) fn shorten(&mut self, worker: WorkerId, end: u64, actions: &mut Actions) {
        let primary = self.ledger.get(worker).is_some_and(|one| one.hedge_of.is_none());
        if primary && let Some(hedge) = self.ledger.shorten(worker, end) {
            actions.push_back(Action::Cut { worker: hedge, end });
        } else {
            self.ledger.set_end(worker, end);
        }
    }

    /// Returns true if a worker's response, which ends at `end`, brings bytes that are still missing and that
    /// can be told from other workers' bytes. A probe gets its segment for itself now. `digest_until` is the
    /// last byte of a response that has a digest of its own.
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
            // It began as a hedge, and brings only what its primary delivered before it broke.
            return false;
        }
        if assignment.probes {
            let Some(primary) = self.ledger.take_over(worker) else {
                sources.set_sends_ranges(source);
                return false;
            };
            actions.push_back(Action::Cut { worker: primary, end: from });
        }
        digest_until.is_none_or(|last| self.ledger.set_whole_only(worker, last))
    }

    /// A worker's response was accepted: its bytes arrive from now on. Returns its first byte, and one past
    /// its last.
    pub(super) fn accept(&mut self, now: Duration, worker: WorkerId) -> Option<(u64, Option<u64>)> {
        let assignment = self.ledger.get(worker)?;
        let (at, end) = (assignment.from, assignment.end);
        self.ledger.accepted(now, worker, end);
        Some((at, end))
    }

    /// Gives the whole file to this worker. All others are dropped, and nothing that was written counts.
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

    /// Forgets all bytes. Reports about them are ignored from now on.
    pub(super) fn forget(&mut self) {
        self.ledger.clear();
        (self.open_ended, self.sized_by_end, self.left_good) = (false, false, 0);
        self.generation += 1;
    }

    /// Continues what an earlier run left, as its journal claims it. Returns the first byte that is missing,
    /// and the bytes that are there.
    pub(super) fn resume(&mut self, size: Option<u64>, claims: &[Claim]) -> (u64, u64) {
        self.ledger.clear();
        self.ledger.size = size;
        self.ledger.claimed = claims.iter().map(|claim| claim.start..claim.end).collect();
        self.generation += 1;
        (self.ledger.claimed.prefix(), self.ledger.present())
    }

    /// Continues a file that is there already: these bytes of it count as written.
    pub(super) fn adopt(&mut self, size: Option<u64>, ranges: impl Iterator<Item = Range<u64>>) {
        self.ledger.size = size;
        for range in ranges {
            self.left_good += range.end - range.start;
            self.ledger.written.insert(range);
        }
    }

    /// A claim of the journal was compared with the disk. Claims may overlap: what one of them verified, or
    /// what was given up meanwhile, is not claimed any more.
    pub(super) fn claim_checked(&mut self, claim: Claim, good: bool) {
        if good {
            for range in self.ledger.claimed.take(claim.start..claim.end) {
                self.left_good += range.end - range.start;
                self.ledger.written.insert(range);
            }
        }
    }

    /// All claims of the journal were compared: the rest of them is free.
    pub(super) fn journal_checked(&mut self) {
        self.ledger.claimed = RangeSet::new();
    }

    /// A worker wrote all bytes below `upto`. Returns false if it has no assignment.
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
        let news = Observation::Progress { bytes, latency: self.ledger.latency };
        actions.push_back(Action::Observe { source, news });
        if self.ledger.get(worker).is_some_and(|one| one.delivered() >= PROGRESS) {
            self.add_to_growth(source, 0, sources);
            actions.push_back(Action::Observe { source, news: Observation::Works });
        }
        self.note_progress();
        true
    }

    /// A worker finished its segment. If it had no end, the file ends there.
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
            let news = Observation::Broken { wait: Duration::ZERO };
            actions.push_back(Action::Observe { source, news });
        } else {
            self.add_to_growth(source, 1, sources);
        }
    }

    /// A request for the bytes from `from` on was refused because the file ends before them; `size` is what
    /// the refusal says. Returns true if that ends a file of which no response said the size.
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

    /// Releases a worker that has ended. The worker that fetched the same and is not needed any more is
    /// dropped.
    pub(super) fn release(&mut self, worker: WorkerId, actions: &mut Actions) -> Option<Assignment> {
        let (assignment, twin) = self.ledger.release(worker)?;
        self.note_progress();
        actions.extend(twin.map(|worker| Action::Drop { worker }));
        Some(assignment)
    }

    /// Drops a worker that nothing is wrong with, because it is not needed. What its hedge wrote may count
    /// now.
    pub(super) fn drop_worker(&mut self, worker: WorkerId, actions: &mut Actions) {
        self.release(worker, actions);
        actions.push_back(Action::Drop { worker });
    }

    /// Drops all workers of a source.
    pub(super) fn drop_source(&mut self, source: usize, actions: &mut Actions) {
        let workers = self.ledger.release_from(source);
        actions.extend(workers.into_iter().map(|worker| Action::Drop { worker }));
        self.note_progress();
    }

    /// Drops all workers.
    pub(super) fn drop_all(&mut self, actions: &mut Actions) {
        let workers = self.ledger.release_all();
        actions.extend(workers.into_iter().map(|worker| Action::Drop { worker }));
    }

    /// Takes bytes back: they do not count, and are fetched again once the disk has discarded them. Hedges
    /// that fetch some of them are dropped.
    pub(super) fn take_back(&mut self, ranges: Vec<Range<u64>>, actions: &mut Actions) {
        let hedges = self.ledger.release_hedges(&ranges);
        actions.extend(hedges.into_iter().map(|worker| Action::Drop { worker }));
        self.ledger.take_back(&ranges);
        actions.push_back(Action::Discard { number: self.generation, ranges });
    }

    /// The disk has discarded these bytes.
    pub(super) fn discarded(&mut self, ranges: &[Range<u64>]) {
        self.ledger.discarded(ranges);
    }

    /// This chunk is fetched by one worker alone from now on.
    pub(super) fn contest(&mut self, chunk: &Range<u64>) {
        self.ledger.contest(chunk);
    }

    fn note_progress(&mut self) {
        self.best = self.best.max(self.ledger.written.len().saturating_sub(self.left_good));
    }

    /// Checks the invariant.
    ///
    /// # Errors
    /// The part of it that is broken.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.ledger.written.len() > self.best.saturating_add(self.left_good) {
            return Err("more is written than ever was");
        }
        self.ledger.check()
    }
}
