//! The state machine of one file.
//!
//! Invariant: every byte of a file is in exactly one of: free, claimed, held by one worker (plus at most one hedge,
//! whose bytes count only if it is through first), written, verified. No byte is accepted from a reply that was not
//! judged first, and bytes of two versions of a file are never joined. ([`Plan::check`] states it; the simulations
//! assert it after every step.)
//!
//! The director asks [`Plan::next`] for what to do and reports what happened with [`Plan::on`]. Nothing else
//! touches a plan, and a plan touches nothing. Here is its life; what it is told and answers is in [`contract`]. Whom to ask for
//! what is in [`staff`] and [`sources`]; what a reply is good for, in [`judge`], and what is done with it, in [`opening`]; what
//! workers bring, in [`working`]; whether a source may be asked for more connections, in [`growth`]; who has which bytes, in [`work`]; which version that is, in [`known`]; what was there before, in
//! [`resuming`]; what is right, in [`proving`]; and what a failure means, in [`failing`].

mod contract;
mod failures;
mod growth;
mod identity;
mod ledger;
mod pauses;
mod progress;
mod responses;
mod resume;
mod schedule;
mod sources;
mod validate;
mod verification;

pub use contract::{
    Action, Answer, Begin, Findings, Input, Leftover, Outcome, Place, Rules, Signed, Sizes, WorkerId,
};

// For the simulated line of the tests, which assigns segments as a plan does.
#[doc(hidden)]
pub use ledger::{
    SEGMENT_ROUND_TRIPS, SEGMENT_SECONDS, SHORTEST_SEGMENT, SPAN, WORTH_SPLITTING, typical_rate,
};

use crate::adopt::Adopted;
use crate::concurrency::Allowance;
use crate::digest::{Algorithm, Digest};
use crate::error::{Error, ErrorKind};
use crate::event::{EventKind, Failure};
use crate::identity::{Conditions, Identity, Origin};
use crate::remote::Validator;
use crate::retry::Budget;
use identity::RemoteFile;
use ledger::SegmentLedger;
use pauses::Pauses;
use responses::First;
use sources::Sources;
use std::collections::VecDeque;
use std::time::Duration;
use verification::Chunks;
use verification::Expectations;

#[derive(Debug, Clone, PartialEq)]
enum State {
    Looking,
    /// The part file is being opened; the worker, if any, has the reply that is waiting for it.
    Placing(Option<WorkerId>),
    /// The part file is being begun for this worker's reply.
    Beginning {
        worker: WorkerId,
        skip: u64,
    },
    /// Workers are at work, or will be as soon as there is room.
    Transferring,
    /// The next request happens then.
    Waiting {
        until: Duration,
        /// The host asked for it: the file's place among those in flight is free meanwhile.
        for_host: bool,
    },
    /// A person is asked about this failure.
    Asking(Error),
    Verifying,
    Publishing,
    Over,
}

/// The state machine of one file. See the module.
#[derive(Debug)]
pub struct Plan {
    rules: Rules,
    budget: Budget,
    pauses: Pauses,
    /// The server gives no parts: one connection it is.
    one_only: bool,
    actions: VecDeque<Action>,
    state: State,
    ledger: SegmentLedger,
    workers: WorkerId,
    checks: u32,
    sources: Sources,
    /// Digests of its pieces, where somebody gave them.
    chunks: Option<Chunks>,
    first_request: Option<Duration>,
    /// A file stands under the final name, and the server is to be asked about it first.
    asking: Option<Conditions>,
    /// The final path, once there is a part file.
    placed: Option<String>,
    remote_file: Option<RemoteFile>,
    /// What the first accepted reply of this run was like, and later the one that the file began with again.
    first: Option<First>,
    /// What another tool left, until the server's file began to be compared with its end.
    adopting: Option<Adopted>,
    /// The same, until its end was compared.
    comparing: Option<Adopted>,
    /// A part ended, and the server did not say whether the file ends there too.
    open_ended: bool,
    /// What the file must be: what the person, lists and the server said.
    expectations: Expectations,
    proven: Option<String>,
    computed: Vec<Digest>,
    /// Bytes were joined without a validator: only a digest can tell whether they belong together.
    unproven_join: bool,
    /// How often the file changed under our hands. After the second time it comes in one stream or not at all.
    changes: u32,
    /// It broke, and goes on with the next reply.
    continuing: bool,
    /// The most bytes of this run that ever counted: starting again does not lower it.
    best: u64,
    /// Bytes that an earlier run left, and that were found good: they are no progress of this one.
    left_good: u64,
    fetched: u64,
    /// When the person was asked, and how long that took before: such time counts for nothing.
    asked: Option<Duration>,
    asked_before: Duration,
    /// Since when the job is paused.
    paused: Option<Duration>,
    stopped: bool,
    /// What of the head of the last reply could not be read, until it is told.
    dropped: Vec<String>,
}

impl Plan {
    /// A plan for a file of which nothing is known yet.
    pub fn new(rules: Rules) -> Self {
        let mut plan = Plan {
            budget: Budget::new(rules.retries, rules.seed),
            pauses: Pauses::default(),
            one_only: false,
            actions: VecDeque::new(),
            state: State::Transferring,
            ledger: SegmentLedger::default(),
            workers: 0,
            checks: 0,
            sources: Sources::new(&rules.origins),
            chunks: None,
            first_request: None,
            asking: None,
            placed: None,
            remote_file: None,
            first: None,
            adopting: None,
            comparing: None,
            open_ended: false,
            expectations: Expectations::new(&rules),
            proven: None,
            computed: Vec::new(),
            unproven_join: false,
            changes: 0,
            continuing: false,
            best: 0,
            left_good: 0,
            fetched: 0,
            asked: None,
            asked_before: Duration::ZERO,
            paused: None,
            stopped: false,
            dropped: Vec::new(),
            rules,
        };
        if plan.rules.look_first {
            plan.state = State::Looking;
            plan.actions.push_back(Action::Look { remote: None });
        }
        plan.know_pieces(plan.rules.chunks.clone(), None);
        plan
    }

    /// What to do next, with what room there is for more connections now at the host of each source. Every action comes
    /// once; after [`Action::Wait`] there is nothing more for now.
    pub fn next(&mut self, now: Duration, rooms: &[Allowance]) -> Action {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.drop_workers();
            self.failed(now, Error::new(ErrorKind::JobMaxTime, self.place(), ""));
        }
        if let State::Waiting { until, .. } = self.state
            && self.actions.is_empty()
            && now >= until
        {
            self.state = State::Transferring;
        }
        let mut timer = if let State::Waiting { until, .. } = self.state { Some(until) } else { None };
        if self.state == State::Transferring && self.actions.is_empty() {
            match self.paused {
                None => timer = self.schedule(now, rooms),
                Some(_) => self.suspend(),
            }
        }
        match self.actions.pop_front() {
            Some(action) => action,
            None => Action::Wait(timer.into_iter().chain(self.deadline()).min()),
        }
    }

    /// Takes in what happened. Reports of workers that were dropped change nothing.
    pub fn on(&mut self, now: Duration, input: Input) {
        if self.state == State::Over {
            return;
        }
        match input {
            Input::Found(mut findings) => {
                let (pieces, size) = (findings.chunks.take(), findings.size.take());
                self.expectations.know(findings);
                self.know_pieces(pieces, size);
            }
            Input::Looked(place) if self.state == State::Looking => match place {
                Ok(Place::Free { left: true, .. }) => {
                    self.state = State::Placing(None);
                    self.actions.push_back(Action::Place { remote: None, begin: None });
                }
                Ok(Place::Free { .. }) => self.state = State::Transferring,
                Ok(Place::Ask(conditions)) => {
                    self.asking = Some(conditions);
                    self.state = State::Transferring;
                }
                Ok(Place::Taken { path, reason }) => self.skipped(path, reason),
                Err(error) => self.failed(now, error),
            },
            Input::Placed(place, left) => {
                if let State::Placing(worker) = self.state {
                    self.placed(now, worker, place, left);
                }
            }
            Input::Begun(result) => {
                if let State::Beginning { worker, skip } = self.state {
                    match result {
                        Ok(()) => self.accept(now, worker, skip),
                        Err(error) => {
                            // Nobody knows what is in the part file now.
                            self.drop_workers();
                            self.forget();
                            self.failed(now, error);
                        }
                    }
                }
            }
            Input::Opened { worker, remote } if self.state == State::Transferring => {
                self.opened(now, worker, *remote);
            }
            Input::Wrote { worker, upto, fresh } => self.wrote(now, worker, upto, fresh),
            Input::Ended { worker, result } => self.ended(now, worker, result),
            Input::ClaimChecked { number, claim, good } if number == self.checks => self.checked(claim, good),
            Input::JournalChecked { number } if number == self.checks => self.check_ended(),
            Input::ChunkVerified { number, chunk, good } if number == self.checks => {
                self.proved(now, chunk, good)
            }
            Input::Discarded { number, ranges, result } if number == self.checks => {
                self.voided(now, &ranges, result);
            }
            Input::Sources(more) => self.sources.add(&more),
            Input::Verified(digests) if self.state == State::Verifying => self.verified(now, digests),
            Input::Published(result) if self.state == State::Publishing => match result {
                Ok(path) => self.published(now, path),
                Err(error) => self.failed(now, error),
            },
            Input::Answer(answer) => self.answered(now, answer),
            Input::OnError(on_error) => self.rules.on_error = on_error,
            Input::Pause(paused) => self.pause(now, paused),
            Input::Stop => self.stop(ErrorKind::RunStopped),
            Input::Remove => self.stop(ErrorKind::JobRemoved),
            // Late news of something that was given up.
            Input::Looked(_)
            | Input::Opened { .. }
            | Input::ClaimChecked { .. }
            | Input::JournalChecked { .. }
            | Input::ChunkVerified { .. }
            | Input::Discarded { .. }
            | Input::Verified(_)
            | Input::Published(_) => {}
        }
    }

    /// The algorithms whose digests `Verify` must compute. Settled when `Accept`, `Check` or `Verify` is given:
    /// parts may bring more than the first reply did.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        self.expectations.algorithms()
    }

    /// Which source is asked first.
    pub fn source(&self) -> usize {
        self.sources.current()
    }

    /// What the file is known by.
    pub fn identity(&self) -> Identity {
        Identity { origins: self.sources.origins(), proven: self.expectations.has_strong(&[]) }
    }

    /// What the server calls the version that is fetched, and where it comes from.
    pub fn fetched_from(&self) -> Option<(Origin, Validator)> {
        let start = &self.remote_file.as_ref()?.start;
        Some((start.origin?, start.version.clone()))
    }

    /// Size of the whole, if known.
    pub fn size(&self) -> Option<u64> {
        self.ledger.size
    }

    /// Returns whether the file holds no place among those in flight: a person is being asked about it, its host asked
    /// for a pause, or it is paused.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Asking(_) | State::Waiting { for_host: true, .. }) || self.is_paused()
    }

    /// Returns whether the job is paused and has no connections any more. A file that is being placed, verified or
    /// published is not interrupted.
    pub fn is_paused(&self) -> bool {
        let halted = matches!(self.state, State::Transferring | State::Waiting { .. });
        self.paused.is_some() && halted && self.ledger.assignments().is_empty()
    }

    /// Bytes of it came in this run.
    pub fn has_flowed(&self) -> bool {
        self.fetched > 0
    }

    /// It would like a connection, and has none.
    pub fn is_starving(&self) -> bool {
        self.state == State::Transferring && self.ledger.assignments().is_empty() && self.paused.is_none()
    }

    /// It can use a further connection, if there are some to be had.
    pub fn takes_more(&self) -> bool {
        let large = self.ledger.size.is_some_and(|size| size >= self.rules.sizes.single_below);
        let most = self.rules.connections.unwrap_or(usize::MAX);
        self.state == State::Transferring
            && self.paused.is_none()
            && large
            && !self.one_only
            && self.may_grow()
            && self.is_provable()
            && self.ledger.assignments().len() < most
    }

    /// How many bytes are on the disk and count, or are being checked.
    pub fn bytes(&self) -> u64 {
        self.ledger.there()
    }

    /// All bytes below this are written.
    pub fn prefix(&self) -> u64 {
        self.ledger.written.prefix()
    }

    /// The invariant of the module.
    ///
    /// # Errors
    /// What is broken.
    pub fn check(&self) -> Result<(), String> {
        let (used, of) = self.budget.tries();
        let alone = self.remote_file.is_some() || self.ledger.assignments().len() < 2;
        let rules = [
            (
                self.ledger.written.len() <= self.best.saturating_add(self.left_good),
                "more is written than ever was",
            ),
            (self.ledger.there() == 0 || self.placed.is_some(), "bytes were written without a place"),
            (
                !matches!(self.state, State::Verifying | State::Publishing) || self.ledger.is_complete(),
                "an incomplete file is published",
            ),
            (alone, "several workers fetch what nobody knows"),
            (
                self.state != State::Over || self.ledger.assignments().is_empty(),
                "somebody works for a file that is over",
            ),
            (used <= of, "more retries than allowed"),
            (self.sources.current() < self.sources.len(), "a source that does not exist"),
        ];
        let broken = rules.iter().find(|(holds, _)| !holds).map(|(_, broken)| *broken);
        match broken.or(self.ledger.check().err()) {
            Some(broken) => Err(format!("{broken}: {self:?}")),
            None => Ok(()),
        }
    }

    fn published(&mut self, now: Duration, path: String) {
        let warnings = self.remote_file.as_mut().map(|known| std::mem::take(&mut known.warnings));
        self.actions.push_back(Action::Tell(EventKind::Finished {
            path,
            bytes: self.ledger.written.len(),
            fetched: self.fetched,
            seconds: now.saturating_sub(self.first_request.unwrap_or(now)).as_secs_f64(),
            proven: self.proven.clone().unwrap_or_default(),
            digests: std::mem::take(&mut self.computed)
                .into_iter()
                .map(|one| (one.algorithm.name().into(), one.to_string()))
                .collect(),
            warnings: warnings.unwrap_or_default(),
        }));
        self.finish(Outcome::Finished);
    }

    fn stop(&mut self, why: ErrorKind) {
        self.stopped = true;
        // A file that is being moved to its name is complete a moment later.
        if !matches!(self.state, State::Publishing | State::Over) {
            self.drop_workers();
            self.give_up(&Error::new(why, self.place(), ""), false, false);
        }
    }

    /// Pauses the job, or lets it go on. Time in which it is paused does not count for `--max-time`.
    fn pause(&mut self, now: Duration, paused: bool) {
        match (paused, self.paused) {
            (true, None) => self.paused = Some(now),
            (false, Some(since)) => {
                self.paused = None;
                self.asked_before += now.saturating_sub(since);
            }
            _ => {}
        }
    }

    /// Gives the connections of a paused job up. What was written stays if later bytes can be joined to it.
    fn suspend(&mut self) {
        if self.ledger.assignments().is_empty() {
            return;
        }
        self.drop_workers();
        if !self.is_provable() {
            self.forget();
        }
        self.continuing = self.ledger.there() > 0;
    }

    fn skipped(&mut self, path: String, reason: String) {
        self.actions.push_back(Action::Tell(EventKind::Skipped { path, reason }));
        self.finish(Outcome::Skipped);
    }

    fn give_up(&mut self, error: &Error, exhausted: bool, stop_all: bool) {
        self.actions.push_back(Action::Tell(EventKind::Failed {
            error: Failure::from(error),
            retries: self.budget.tries().0,
            exhausted,
        }));
        let resumable = self.journal().is_some() && self.is_provable() && self.ledger.there() > 0;
        self.finish(Outcome::Failed { kind: error.kind, exhausted, stop_all, resumable });
    }

    fn finish(&mut self, outcome: Outcome) {
        self.state = State::Over;
        self.actions.push_back(Action::Finish(outcome));
    }

    /// Nothing is wrong with a worker, but nobody needs it. What its hedge wrote may count now.
    fn dispense_with(&mut self, worker: WorkerId) {
        let (_, twin) = self.ledger.release(worker).unzip();
        self.grew();
        for worker in twin.flatten().into_iter().chain([worker]) {
            self.actions.push_back(Action::Drop { worker });
        }
    }

    fn drop_workers(&mut self) {
        for worker in self.ledger.release_all() {
            self.actions.push_back(Action::Drop { worker });
        }
    }

    /// When `--max-time` ends the file. The time in which a person is asked does not count, nor does finishing.
    fn deadline(&self) -> Option<Duration> {
        if self.paused.is_some() {
            return None;
        }
        let running = match self.state {
            State::Transferring | State::Placing(_) | State::Beginning { .. } | State::Waiting { .. } => true,
            State::Looking | State::Asking(_) | State::Verifying | State::Publishing | State::Over => false,
        };
        let (start, most) = (self.first_request?, self.rules.max_time?);
        running.then(|| start.saturating_add(most).saturating_add(self.asked_before))
    }

    fn place(&self) -> String {
        self.placed.clone().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
