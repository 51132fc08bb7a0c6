//! Decides which workers are started and stopped, and what a failure shows about the number of connections.
//!
//! `impl Transfer` is in two files. This file decides about requests, and `mod.rs` counts what arrives.
//!
//! Invariant: until a source has sent a range, at most one request to this source waits for a response while
//! other connections to the source deliver bytes.

use super::{Assignment, NextAssignment, Transfer};
use crate::concurrency::{Allowance, Observation};
use crate::error::{Error, ErrorKind, SourceVerdict, Why};
use crate::identity::Conditions;
use crate::plan::sources::Sources;
use crate::plan::{Action, Actions, WorkerId};
use crate::retry::PROGRESS;
use std::time::Duration;

/// The time between two checks, while nothing else happens. Each check decides if a further connection can
/// help a slow one.
const LOOK_AROUND: Duration = Duration::from_millis(250);

/// The facts on which scheduling depends, in addition to the transfer itself.
#[derive(Debug, Clone, Copy)]
pub(in crate::plan) struct Terms<'s> {
    /// True if ranges of the file may be joined.
    pub(in crate::plan) joinable: bool,
    /// True if bytes of several sources may be mixed.
    pub(in crate::plan) mixes: bool,
    pub(in crate::plan) sources: &'s Sources,
}

impl Transfer {
    /// Requests only the facts about a file from a source, and no bytes, if no other request is open. Returns
    /// the time from which the host allows the request, if it does not allow it now.
    pub(in crate::plan) fn ask(
        &mut self,
        now: Duration,
        conditions: &Conditions,
        allowances: &[Allowance],
        sources: &Sources,
        actions: &mut Actions,
    ) -> Option<Duration> {
        let source = sources.current();
        let allowance = allowances.get(source).filter(|one| one.most > 0 && !self.is_active())?;
        if allowance.not_before > now {
            return Some(allowance.not_before);
        }
        let worker = self.next_worker(now);
        self.ledger.assign(now, worker, source, 0, None);
        actions.push_back(Action::Ask { worker, source, conditions: conditions.clone() });
        None
    }

    /// Starts and stops workers as the allowances of the hosts permit. `start` is the offset of the first
    /// byte to request if nothing is known about the file. Returns the time to check again, if nothing can be
    /// done now.
    pub(in crate::plan) fn schedule(
        &mut self,
        now: Duration,
        allowances: &[Allowance],
        start: u64,
        terms: Terms<'_>,
        actions: &mut Actions,
    ) -> Option<Duration> {
        let active = self.ledger.assignments().len();
        let size_known = self.ledger.size.is_some();
        let ranged = (terms.joinable || self.open_ended) && (size_known || self.present() > 0);
        if active == 0 && !(ranged && size_known) {
            return self.request_the_rest(now, allowances, ranged, start, terms, actions);
        }
        if self.stop_surplus(now, allowances, actions) {
            return None;
        }
        // The driver calls the plan again at the time `later`, because a silent worker sends no reports. The
        // call is also needed while no speed is known.
        let mut later = (active > 0 && self.takes_more(terms)).then_some(now + LOOK_AROUND);
        let silent = self.ledger.replacement(now, &self.sizes);
        for source in self.asked(terms) {
            let Some(allowance) = allowances.get(source).filter(|one| one.most > 0) else { continue };
            let replaces = silent.as_ref().filter(|_| allowance.replaces);
            let more = self.more(now, source, allowance, replaces.is_some(), terms);
            if more == 0 {
                let opens = terms.sources.growth(source).and_then(|growth| growth.opens(now));
                later = later.into_iter().chain(opens).min();
                continue;
            }
            let next = if now < allowance.not_before {
                allowance.not_before
            } else if let Some((silent, range)) = replaces {
                let worker = self.request(now, source, range.start, Some(range.end), actions);
                self.ledger.replace(now, worker, source, *silent, range.clone());
                return None;
            } else if self.start_worker(now, source, active + more, terms, actions) {
                return None;
            } else {
                now + LOOK_AROUND
            };
            later = Some(later.map_or(next, |later| later.min(next)));
        }
        later
    }

    /// Requests bytes over a single connection: all bytes from the first missing byte on (`ranged`), or else
    /// all bytes from `start` on.
    fn request_the_rest(
        &mut self,
        now: Duration,
        allowances: &[Allowance],
        ranged: bool,
        start: u64,
        terms: Terms<'_>,
        actions: &mut Actions,
    ) -> Option<Duration> {
        let source = terms.sources.current();
        let allowance = allowances.get(source).filter(|allowance| allowance.most > 0)?;
        if now < allowance.not_before {
            return Some(allowance.not_before);
        }
        if !ranged {
            self.fetch(now, source, start, None, actions);
        } else if self.ledger.claimed.is_empty() {
            // The end of the file is not known, so only the bytes before the first gap are useful.
            let prefix = self.ledger.written.prefix();
            self.ledger.written.remove(prefix..u64::MAX);
            self.left.remove(prefix..u64::MAX);
            self.fetch(now, source, prefix, None, actions);
        }
        None
    }

    /// Stops workers of sources that have too many workers. Returns true if there are actions that the driver
    /// must carry out before more workers are started.
    fn stop_surplus(&mut self, now: Duration, allowances: &[Allowance], actions: &mut Actions) -> bool {
        for (source, allowance) in allowances.iter().enumerate().filter(|(_, one)| one.surplus > 0) {
            for step in self.ledger.fewer(now, source, allowance.surplus) {
                match step {
                    NextAssignment::Cut(worker, end) => self.cut(worker, end, actions),
                    NextAssignment::Drop(worker) => self.drop_worker(worker, actions),
                    NextAssignment::Fetch(_) | NextAssignment::Hedge(..) | NextAssignment::Nothing => {}
                }
            }
        }
        !actions.is_empty()
    }

    /// Starts a worker at this source, if there is a segment for one more worker. `workers` is the number of
    /// workers that there will be in total. Returns true if a worker was started.
    fn start_worker(
        &mut self,
        now: Duration,
        source: usize,
        workers: usize,
        terms: Terms<'_>,
        actions: &mut Actions,
    ) -> bool {
        let sends_ranges = terms.sources.sends_ranges(source);
        // If the segment of a worker was cut, or a worker was dropped, some bytes usually became free. The
        // second attempt then finds a segment.
        for _ in 0..2 {
            match self.ledger.next_assignment(now, workers, sends_ranges, &self.sizes) {
                NextAssignment::Fetch(range) => {
                    self.fetch(now, source, range.start, Some(range.end), actions);
                    return true;
                }
                NextAssignment::Hedge(primary, range) => {
                    let worker = self.request(now, source, range.start, Some(range.end), actions);
                    self.ledger.hedge(now, worker, source, primary, range);
                    return true;
                }
                NextAssignment::Cut(worker, end) => self.cut(worker, end, actions),
                NextAssignment::Drop(worker) => {
                    self.ledger.release_silent(worker);
                    self.note_progress();
                    actions.push_back(Action::Drop { worker });
                }
                NextAssignment::Nothing => return false,
            }
        }
        false
    }

    /// Ends a worker's segment at `end`.
    fn cut(&mut self, worker: WorkerId, end: u64, actions: &mut Actions) {
        self.ledger.set_end(worker, end);
        actions.push_back(Action::Cut { worker, end });
    }

    /// Tells a worker that another worker fetches the rest of its segment, from `end` on. If nothing is left
    /// for the worker, it is dropped, because a silent worker would not end.
    pub(super) fn leave_from(&mut self, worker: WorkerId, end: u64, actions: &mut Actions) {
        match self.ledger.get(worker).is_some_and(Assignment::is_finished) {
            true => self.drop_worker(worker, actions),
            false => actions.push_back(Action::Cut { worker, end }),
        }
    }

    /// Returns the sources that may get requests for segments. Sources with the fewest workers come first.
    fn asked(&self, terms: Terms<'_>) -> Vec<usize> {
        if !terms.mixes {
            return vec![terms.sources.current()];
        }
        let mut all = terms.sources.usable();
        all.sort_by_key(|source| self.workers_of(*source));
        all
    }

    fn workers_of(&self, source: usize) -> usize {
        self.ledger.assignments().iter().filter(|one| one.source == source).count()
    }

    /// Returns how many more workers this source should have. `replaces` is true if the file needs a worker
    /// that replaces a silent one.
    fn more(
        &self,
        now: Duration,
        source: usize,
        allowance: &Allowance,
        replaces: bool,
        terms: Terms<'_>,
    ) -> usize {
        let active = self.ledger.assignments().len();
        if active == 0 {
            return 1;
        }
        if !self.takes_more(terms) || !(replaces || self.ledger.is_measured(now)) {
            return 0;
        }
        let left = self.connections.unwrap_or(usize::MAX).saturating_sub(active);
        let mine = self.workers_of(source);
        if mine == 0 {
            return left.min(1);
        }
        // The first response to a request for a range shows if the source sends ranges. Until then, only one
        // worker requests a range.
        let certain = match terms.sources.sends_ranges(source) {
            true => usize::MAX,
            false => (self.receiving_from(source) + 1).saturating_sub(mine),
        };
        let allowed = terms.sources.growth(source).map_or(0, |growth| growth.allowed(now, mine));
        allowance.worth.max(usize::from(replaces)).min(left).min(certain).min(allowed)
    }

    /// Returns true if the file can use a further connection, now or later.
    pub(in crate::plan) fn takes_more(&self, terms: Terms<'_>) -> bool {
        let large = self.ledger.size.is_some_and(|size| size >= self.sizes.single_below);
        let most = self.connections.unwrap_or(usize::MAX);
        large
            && !self.single
            && terms.joinable
            && self.ledger.assignments().len() < most
            && self.asked(terms).into_iter().any(|source| {
                let growth = terms.sources.growth(source);
                growth.is_some_and(|growth| growth.may_grow(self.workers_of(source)))
            })
    }

    /// Records how many connections of a source deliver the requested bytes. These are the connections that
    /// are receiving, and `ended` more connections that have just ended.
    pub(super) fn add_to_growth(&self, source: usize, ended: usize, sources: &mut Sources) {
        let receiving = self.receiving_from(source);
        if let Some(growth) = sources.growth_mut(source) {
            growth.works(receiving + ended);
        }
    }

    pub(in crate::plan) fn receiving_from(&self, source: usize) -> usize {
        self.ledger.assignments().iter().filter(|one| one.receiving && one.source == source).count()
    }

    /// Records what the failure of a worker shows about the number of connections, and reports it to the
    /// controller of the host. The assignment of the worker is already released.
    pub(in crate::plan) fn observe_failure(
        &mut self,
        now: Duration,
        assignment: &Assignment,
        error: &Error,
        sources: &mut Sources,
        actions: &mut Actions,
    ) {
        if error.kind == ErrorKind::DigestPart {
            // The digest of the response did not match. This means that the whole segment was received, but
            // not all of its bytes were reported.
            let missing = assignment.end.map_or(0, |end| end.saturating_sub(assignment.at));
            self.received = self.received.saturating_add(missing);
        }
        let source = assignment.source;
        // A request that was not sent cannot have been refused.
        let unsent = error.pause.is_some_and(|pause| pause.why == Why::Known)
            || (error.kind == ErrorKind::HttpLater && error.http_status.is_none());
        let delivered = assignment.delivered() >= PROGRESS;
        let receiving = self.receiving_from(source);
        let deliberate = error.kind.source_verdict() == SourceVerdict::Refuses;
        // If all other connections to the source are silent too, the whole network may have failed.
        let unclear = !deliberate && self.ledger.is_source_silent(source, now);
        if receiving > 0
            && !delivered
            && !unsent
            && !unclear
            && let Some(growth) = sources.growth_mut(source)
        {
            growth.refused(now, assignment.worker, self.newest, receiving);
        }
        let wait = error.pause.map_or(Duration::ZERO, |pause| pause.wait);
        let observation = match delivered || unsent || unclear {
            true => Observation::Broken { wait },
            false => Observation::Refused { wait, deliberate },
        };
        actions.push_back(Action::Observe { source, observation });
    }

    fn fetch(&mut self, now: Duration, source: usize, from: u64, to: Option<u64>, actions: &mut Actions) {
        let worker = self.request(now, source, from, to, actions);
        self.ledger.assign(now, worker, source, from, to);
    }

    fn request(
        &mut self,
        now: Duration,
        source: usize,
        from: u64,
        to: Option<u64>,
        actions: &mut Actions,
    ) -> WorkerId {
        let worker = self.next_worker(now);
        actions.push_back(Action::Fetch { worker, source, from, to });
        worker
    }

    fn next_worker(&mut self, now: Duration) -> WorkerId {
        self.on_first_request(now);
        self.newest += 1;
        self.newest
    }
}
