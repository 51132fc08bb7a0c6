//! The state machine of one job. It decides what to do next, based on what has happened so far.
//!
//! A [`Plan`] never waits, has no callbacks, and uses no network, disk or clock. Its driver (the director of
//! the engine, or a simulation) passes in what happened and carries out the actions that the plan returns.
//!
//! # How to drive a plan
//!
//! 1. Create it with [`Plan::new`].
//! 2. Call [`Plan::next`] and carry out the [`Action`] that it returns, until it returns [`Action::Wait`] or
//!    [`Action::Finish`]. `next` removes each action that it returns, so the driver must carry out every one.
//! 3. After [`Action::Wait`], wait until something happens, until an allowance changes, or until the time
//!    that the action states, if it states one. If something happened, pass it to [`Plan::on`]. Then return
//!    to step 2. You may call `on` several times before the next call of `next`.
//! 4. After [`Action::Finish`], the job is over. Stop.
//!
//! `now` is the time since a fixed moment that the driver chooses. `now` must never decrease. `allowances`
//! says how many connections may be opened to the host of each source, in the order of the sources.
//!
//! # Which input answers which action
//!
//! | action | answered by |
//! |---|---|
//! | `Look` | `Looked`, once |
//! | `Ask` | `Opened` without a body, or `Ended` with an error |
//! | `Fetch` | `Opened`, or `Ended` with an error |
//! | `Place` | `Placed`, once |
//! | `Begin` | `Begun`, once |
//! | `Accept` | `Wrote` as bytes are written, then `Ended`, once |
//! | `CheckJournal` | `ClaimChecked` for each claim, then `JournalChecked` |
//! | `VerifyChunk` | `ChunkVerified`, once |
//! | `Discard` | `Discarded`, once |
//! | `Verify` | `Verified`, once |
//! | `Publish` | `Published`, once |
//! | `Cut`, `Drop`, `Tell`, `Observe` | no input |
//! | `Tell` with a question | `Answer`, when the user has decided |
//!
//! `Found` with facts from lists or signatures must be passed before `Placed`. `Found` with other facts,
//! `Sources`, `OnError`, `Pause`, `Stop` and `Remove` may be passed at any time. A dropped worker does not
//! have to answer. Each time the download starts, starts again or resumes the partial file, the plan gives
//! the state of the partial file a new number. `CheckJournal`, `VerifyChunk`, `Discard` and their answers
//! have this number. Some inputs may arrive late, such as reports of a dropped worker or reports about an
//! earlier state. The plan ignores late inputs, so the driver does not need to filter them.
//!
//! # The life of a job
//!
//! | state | what happens | next states |
//! |---|---|---|
//! | `Looking` | the wanted name is checked | `Placing`, `Transferring` |
//! | `Placing` | the file gets its name, and the partial file is opened | `Beginning`, `Transferring` |
//! | `Beginning` | the partial file is begun (usually emptied) | `Transferring` |
//! | `Transferring` | requests are sent, and bytes arrive | `Looking`, `Placing`, `Beginning`, `Verifying` |
//! | `Verifying` | the complete file is verified | `Publishing`, or `Transferring` to replace wrong bytes |
//! | `Publishing` | the file gets its final name | `Over` |
//! | `Waiting` | the job waits before a retry, or because a host needs a pause | `Transferring` |
//! | `Locked` | another run works on the file (`--if-locked wait`) | `Placing` |
//! | `Asking` | the user decides what follows a failure | `Waiting`, `Over` |
//!
//! A job begins in `Looking` or `Transferring`. `Looking` and `Placing` lead to `Over` if nothing needs to be
//! downloaded. A failure leads to `Transferring`, `Waiting`, `Locked`, `Asking` or `Over`, and the inputs
//! `Stop` and `Remove` lead to `Over`.
//!
//! # Which part decides what
//!
//! | part | state | decides |
//! |---|---|---|
//! | `transfer` | the segment ledger, assignments, hedges | which worker fetches which segment next |
//! | `identity` | validator, size, what is adopted or resumed | if new bytes may be joined to written ones |
//! | `verification` | digests, chunk hashes, suspects | if bytes are right, or which mirror sent wrong ones |
//! | `retry_policy` | retries, pauses | what follows a failure |
//! | `sources` | what is known about each source | which source is used |
//!
//! This file is long because of this documentation.
//!
//! Invariant: every byte of a file is in exactly one of these states: free, claimed by a journal, assigned to
//! one worker (and at most one hedge, a second worker for the same bytes), written, or being discarded. No
//! byte of a response is used before the response was validated. Bytes of two versions of the file on the
//! server are never joined into a finished file. [`Plan::check`] checks the states of the bytes, and the
//! simulations call it after every step.

mod adoption;
mod contract;
mod identity;
mod remote_file;
mod responses;
mod results;
mod retry_policy;
mod sources;
mod transfer;
mod validate;
mod verification;

pub use contract::{
    Action, Answer, Begin, Findings, Input, Leftover, Outcome, Place, Rules, Signed, Sizes, WorkerId,
};

// These items are public because the testkit simulates transfers over a network line. In these simulations,
// segments are assigned by the same rules as in a plan.
#[doc(hidden)]
pub use transfer::{
    SEGMENT_ROUND_TRIPS, SEGMENT_SECONDS, SHORTEST_SEGMENT, SPAN, WORTH_SPLITTING, typical_rate,
};

// These items are public because the engine's reader of ranges (`range_reader.rs`) validates responses by the
// same rules as a plan.
#[doc(hidden)]
pub use validate::{Segment, range as validate_range, start_of};

use crate::concurrency::Allowance;
use crate::dedup::Demands;
use crate::digest::{self, Algorithm, Digest};
use crate::error::{Error, ErrorKind, Why};
use crate::event::{self, EventKind, Failure, Kept};
use crate::identity::{Conditions, Identity as JobIdentity, Origin};
use crate::lock_file::{self, Entry, Status};
use crate::remote::{Remote, Validator};
use crate::show;
use crate::transcript::Transcript;
use identity::{Identity, Joining};
use retry_policy::RetryPolicy;
use sources::Sources;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use transfer::{Terms, Transfer};
use url::Url;
use verification::Verification;

/// Actions that [`Plan::next`] has not returned yet.
type Actions = VecDeque<Action>;

#[derive(Debug, Clone, PartialEq)]
enum State {
    Looking,
    /// The partial file is being opened. If the value is a worker, the response of this worker waits until
    /// the partial file is open.
    Placing(Option<WorkerId>),
    /// The driver carries out [`Action::Begin`] for the response of this worker. The first `skip` bytes of
    /// the response will not be written.
    Beginning {
        worker: WorkerId,
        skip: u64,
    },
    /// Workers deliver bytes, or will start as soon as the allowances permit.
    Transferring,
    /// The job waits until this time to send the next request.
    Waiting {
        until: Duration,
        /// True if the host asked for the wait, or limits its clients. In this case, another job may run in
        /// place of this one during the wait.
        for_host: bool,
    },
    /// Another run is working on the file. At this time, the job tries again to open the partial file.
    Locked {
        until: Duration,
    },
    /// A question to the user about the failure `error` has been open since the time `since`.
    Asking {
        error: Error,
        since: Duration,
    },
    Verifying,
    Publishing {
        /// The method by which the file was verified, as the event `finished` states it.
        verified_by: String,
        digests: Vec<Digest>,
    },
    Over,
}

/// The state machine of one job. The documentation of the module says how to drive it.
#[derive(Debug)]
pub struct Plan {
    state: State,
    actions: Actions,
    sources: Sources,
    transfer: Transfer,
    identity: Identity,
    verification: Verification,
    retry: RetryPolicy,
    /// The conditions for a request about a file that exists under the final name. This request is sent
    /// before any request for bytes. The conditions are not kept in [`State`], because the state changes
    /// while the request is retried.
    asking: Option<Conditions>,
    /// The final path of the file. It is set as soon as the partial file is open.
    path: Option<String>,
    /// True if the next accepted response continues the written bytes.
    resumes: bool,
    /// The number of bytes in the partial file that the plan has forgotten, because another mirror is tried.
    /// If no response of another mirror replaces them, a later run can continue them.
    left_behind: u64,
    /// The response that may give the file its name. It is kept only with `--if-locked wait`, because the
    /// name may have to be chosen again after the wait.
    named_by: Option<Box<Remote>>,
    /// True if another run was working on the file, and this was reported.
    was_locked: bool,
    /// The time when the job was paused, if it is paused now.
    paused: Option<Duration>,
    stopped: bool,
}

impl Plan {
    /// Returns the plan of a job that has not begun.
    pub fn new(rules: Rules) -> Self {
        let mut plan = Plan {
            state: State::Transferring,
            actions: Actions::new(),
            sources: Sources::new(&rules.origins),
            transfer: Transfer::new(&rules),
            identity: Identity::new(&rules),
            verification: Verification::new(&rules),
            retry: RetryPolicy::new(&rules),
            asking: None,
            path: None,
            resumes: false,
            left_behind: 0,
            named_by: None,
            was_locked: false,
            paused: None,
            stopped: false,
        };
        plan.transfer.align_to(plan.verification.chunk_length());
        if rules.look_first {
            plan.state = State::Looking;
            plan.actions.push_back(Action::Look { remote: None });
        }
        plan
    }

    /// Records that the first request of the job was sent at this time, before the plan was made.
    pub fn on_first_request(&mut self, sent: Duration) {
        self.transfer.on_first_request(sent);
    }

    /// Returns the next action for the driver. `allowances` says how many connections may be opened to the
    /// host of each source.
    pub fn next(&mut self, now: Duration, allowances: &[Allowance]) -> Action {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.fail(now, Error::new(ErrorKind::JobMaxTime, self.path(), ""));
        }
        if let State::Waiting { until, .. } = self.state
            && self.actions.is_empty()
            && now >= until
        {
            self.state = State::Transferring;
        }
        if let State::Locked { until } = self.state
            && self.actions.is_empty()
            && self.paused.is_none()
            && now >= until
        {
            self.try_lock();
        }
        let mut timer = match self.state {
            State::Waiting { until, .. } => Some(until),
            State::Locked { until } => Some(until).filter(|_| self.paused.is_none()),
            _ => None,
        };
        if self.state == State::Transferring && self.actions.is_empty() {
            match self.paused {
                None => timer = self.schedule(now, allowances),
                Some(_) => self.suspend(),
            }
        }
        match self.actions.pop_front() {
            Some(action) => action,
            None => Action::Wait(timer.into_iter().chain(self.deadline()).min()),
        }
    }

    /// Passes an input to the plan. Late reports about a dropped worker, or about an earlier state of the
    /// partial file, change nothing.
    pub fn on(&mut self, now: Duration, input: Input) {
        let generation = self.transfer.generation();
        match (input, &self.state) {
            (_, State::Over) => {}
            (Input::Found(findings), _) => {
                self.verification.add(findings);
                self.transfer.align_to(self.verification.chunk_length());
            }
            (Input::Sources(more), _) => self.sources.add(&more),
            (Input::OnError(on_error), _) => self.retry.set_on_error(on_error),
            (Input::Pause(paused), _) => self.pause(now, paused),
            (Input::Stop, _) => self.stop(ErrorKind::RunStopped),
            (Input::Remove, _) => self.stop(ErrorKind::JobRemoved),
            (Input::Answer(answer), _) => self.answered(now, answer),
            (Input::Looked(place), State::Looking) => self.looked(now, place),
            (Input::Placed(place, left), &State::Placing(worker)) => self.placed(now, worker, place, left),
            (Input::Begun(result), &State::Beginning { worker, skip }) => {
                self.begun(now, worker, skip, result);
            }
            (Input::Opened { worker, remote }, State::Transferring) => self.opened(now, worker, *remote),
            (Input::Wrote { worker, upto, fresh }, _) => self.wrote(now, worker, upto, fresh),
            (Input::Ended { worker, result }, _) => self.ended(now, worker, result),
            (Input::ClaimChecked { number, claim, good }, _) if number == generation => {
                self.transfer.claim_checked(claim, good);
                self.complete();
            }
            (Input::JournalChecked { number }, _) if number == generation => {
                self.transfer.journal_checked();
                self.complete();
            }
            (Input::ChunkVerified { number, chunk, good }, _) if number == generation => {
                self.chunk_verified(now, chunk, good);
            }
            (Input::Discarded { number, ranges, result }, _) if number == generation => {
                self.discarded(now, &ranges, result);
            }
            (Input::Verified(digests), State::Verifying) => self.verified(now, digests),
            (Input::Published(Ok(path)), State::Publishing { .. }) => self.published(now, path),
            (Input::Published(Err(error)), State::Publishing { .. }) => self.failed(now, error),
            (
                Input::Looked(_)
                | Input::Placed(..)
                | Input::Begun(_)
                | Input::Opened { .. }
                | Input::ClaimChecked { .. }
                | Input::JournalChecked { .. }
                | Input::ChunkVerified { .. }
                | Input::Discarded { .. }
                | Input::Verified(_)
                | Input::Published(_),
                _,
            ) => {}
        }
    }

    /// Returns the algorithms whose digests `Verify` needs, as far as they are known now. Some of them are
    /// known when `Accept` or `CheckJournal` is returned. A later response or a later `Found` may add
    /// algorithms. All of them are known when `Verify` is returned.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        self.verification.algorithms()
    }

    /// Returns the algorithms of the digests that the file must have, as far as they are known now.
    pub fn expected(&self) -> Vec<Algorithm> {
        digest::distinct(self.verification.expected().iter().map(|one| one.digest.algorithm))
    }

    /// Returns the requirements for the bytes of the file, as far as they are known now.
    pub fn demands(&self) -> Demands {
        self.verification.demands()
    }

    /// Returns true while bytes that are on the disk are compared with the journal or with chunk hashes.
    pub fn is_reading_back(&self) -> bool {
        self.transfer.ledger().is_reading_back() || self.verification.is_reading_back()
    }

    /// Returns true while the job waits for another run that works on the file.
    pub fn is_locked(&self) -> bool {
        matches!(self.state, State::Locked { .. })
    }

    /// Returns the index of the current source, which gets requests before the other sources.
    pub fn source(&self) -> usize {
        self.sources.current()
    }

    /// Returns the facts that identify the job's file: the origins of its sources, and whether a strong
    /// digest is known.
    pub fn identity(&self) -> JobIdentity {
        JobIdentity {
            origins: self.sources.origins(),
            has_strong_digest: self.verification.has_strong_digest(&[]),
        }
    }

    /// Returns the origin from which the file is fetched, and the validator that this origin stated. Returns
    /// `None` while the origin is not known.
    pub fn fetched_from(&self) -> Option<(Origin, Validator)> {
        let start = self.identity.start()?;
        Some((start.origin?, start.validator.clone()))
    }

    /// Returns the transcript of the first response of this run that was accepted since the download last
    /// started, if transcripts are kept.
    pub fn transcript(&self) -> Option<Arc<Transcript>> {
        self.identity.transcript()
    }

    /// Returns what a lock file says about a file that is verified and is being published. At any other time,
    /// returns an empty entry. The caller adds the URL of the job, the name, the time, and the keys of the
    /// job's line that downhaul does not know.
    pub fn entry(&self, now: Duration) -> Entry {
        let State::Publishing { digests, .. } = &self.state else { return Entry::default() };
        let start = self.identity.start();
        Entry {
            final_url: start.map(|start| start.url.clone()),
            validator: start.and_then(|start| start.validator.text()),
            status: Some(Status::Finished),
            size: self.transfer.size(),
            fetched: Some(self.transfer.received()),
            seconds: Some(self.seconds(now)),
            tries: Some(self.retry.all().saturating_add(1)),
            digests: lock_file::by_key(&event::by_name(digests)),
            ..Entry::default()
        }
    }

    /// Returns the URL from which this source sent the written bytes. The download can be resumed from that
    /// URL, even if redirects lead to another URL now. Returns `None` if that URL is not known or has
    /// secrets, or if another source sent the written bytes.
    pub fn answered_at(&self, source: usize) -> Option<Url> {
        let start = self.identity.start()?;
        let same = self.sources.origin(source)?.may_resume(start.origin?);
        let url = Some(start.url.as_str()).filter(|url| same && !url.contains(show::HIDDEN))?;
        Url::parse(url).ok()
    }

    /// Returns the size of the whole file in bytes, if known.
    pub fn size(&self) -> Option<u64> {
        self.transfer.size()
    }

    /// Returns true if another job may run in place of this one. There are four reasons: the user is being
    /// asked about this job, its host needs a pause, another run is working on its file, or the job is paused
    /// and has no connections left.
    pub fn is_idle(&self) -> bool {
        let waits = matches!(
            self.state,
            State::Asking { .. } | State::Waiting { for_host: true, .. } | State::Locked { .. }
        );
        waits || self.is_paused()
    }

    /// Returns true if the job is paused and has no connections left. Returns false while a question is open,
    /// and during the steps that a pause does not interrupt, such as placing, verifying and publishing.
    pub fn is_paused(&self) -> bool {
        let halted = matches!(self.state, State::Transferring | State::Waiting { .. } | State::Locked { .. });
        self.paused.is_some() && halted && !self.transfer.is_active()
    }

    /// Returns true if the job has failed, and a question to the user is open ([`EventKind::Question`]).
    pub fn is_asking(&self) -> bool {
        matches!(self.state, State::Asking { .. })
    }

    /// Returns true if bytes of the file were received in this run.
    pub fn has_received_bytes(&self) -> bool {
        self.transfer.received() > 0
    }

    /// Returns the reason for the last pause of this job, if it is [`Why::Shared`] or [`Why::Full`], and if
    /// no byte of the file has arrived since then. Pauses for the reason [`Why::Known`] do not count, because
    /// no request was sent then.
    ///
    /// [`Why::Shared`]: crate::error::Why::Shared
    /// [`Why::Full`]: crate::error::Why::Full
    /// [`Why::Known`]: crate::error::Why::Known
    pub fn was_refused_for(&self) -> Option<Why> {
        self.retry.was_refused_for(self.transfer.received())
    }

    /// Returns true if the job needs a connection and has none: bytes are missing, and the job could fetch
    /// them now, because it is neither waiting nor paused.
    pub fn is_starving(&self) -> bool {
        let is_missing = self.size().is_none_or(|size| self.bytes() < size);
        let runs = self.state == State::Transferring && self.paused.is_none();
        runs && is_missing && !self.transfer.is_active()
    }

    /// Returns true if the job is transferring and not paused, and can use a further connection, now or
    /// later.
    pub fn takes_more(&self) -> bool {
        let (joinable, mixes) = (self.is_joinable(), self.mixes());
        let terms = Terms { joinable, mixes, sources: &self.sources };
        self.state == State::Transferring && self.paused.is_none() && self.transfer.takes_more(terms)
    }

    /// Returns the number of bytes on the disk that are valid or are still being read back.
    pub fn bytes(&self) -> u64 {
        self.transfer.present()
    }

    /// Returns the number of bytes on the disk that a later run can continue, if this run leaves the partial
    /// file.
    pub fn kept(&self) -> u64 {
        self.bytes().max(self.left_behind)
    }

    /// Returns the number of bytes that were received so far plus the number of bytes that are missing. If
    /// the size is not known, no byte counts as missing.
    pub fn expected_transfer(&self) -> u64 {
        let missing = self.size().unwrap_or_default().saturating_sub(self.bytes());
        self.transfer.received() + missing
    }

    /// Returns the number of bytes that were received so far.
    pub fn received(&self) -> u64 {
        self.transfer.received()
    }

    /// Returns the byte ranges that are written, in order.
    pub fn written(&self) -> impl Iterator<Item = &Range<u64>> {
        self.transfer.written().iter()
    }

    /// Returns the offset of the first byte that is not written.
    pub fn prefix(&self) -> u64 {
        self.transfer.written().prefix()
    }

    /// Checks the states of the bytes, and that the parts of the plan agree with each other.
    ///
    /// # Errors
    /// Returns a message that states the broken rule and shows the whole plan.
    pub fn check(&self) -> Result<(), String> {
        let publishes = matches!(self.state, State::Verifying | State::Publishing { .. });
        let ledger = self.transfer.ledger();
        let rules = [
            (
                self.transfer.present() == 0 || self.path.is_some(),
                "bytes were written before a path was chosen",
            ),
            (!publishes || ledger.is_complete(), "an incomplete file is verified or published"),
            (
                self.identity.start().is_some() || ledger.assignments().len() < 2,
                "several workers fetch a file of which nothing is known",
            ),
            (
                self.state != State::Over || ledger.assignments().is_empty(),
                "a worker has a segment of a job that is over",
            ),
            (self.retry.used() <= self.retry.retries(), "more retries were used than are allowed"),
            (self.sources.current() < self.sources.len(), "the current source does not exist"),
        ];
        let broken = rules.iter().find(|(is_kept, _)| !is_kept).map(|(_, broken)| *broken);
        match broken.or(self.transfer.check().err()) {
            Some(broken) => Err(format!("{broken}: {self:?}")),
            None => Ok(()),
        }
    }

    fn schedule(&mut self, now: Duration, allowances: &[Allowance]) -> Option<Duration> {
        if self.complete() {
            return None;
        }
        let (joinable, mixes) = (self.is_joinable(), self.mixes());
        let (sources, actions) = (&self.sources, &mut self.actions);
        if let Some(conditions) = &self.asking {
            return self.transfer.ask(now, conditions, allowances, sources, actions);
        }
        let terms = Terms { joinable, mixes, sources };
        self.transfer.schedule(now, allowances, self.identity.adoption.first_byte(), terms, actions)
    }

    /// Waits because another run is working on the file. After the wait, the job tries again to open the
    /// partial file. Only the first wait is reported.
    fn wait_for_lock(&mut self, now: Duration, error: &Error, wait: Duration) {
        self.state = State::Locked { until: now.saturating_add(wait) };
        if !self.was_locked {
            self.was_locked = true;
            self.tell_retry(error, 0, wait, 0);
        }
        self.retry.add_idle_time(wait);
    }

    /// Tries to open the partial file again, without a request. By now, the other run may have finished the
    /// file. If that run still has the partial file locked, the job waits again.
    fn try_lock(&mut self) {
        self.state = State::Placing(None);
        self.actions.push_back(Action::Place { remote: self.named_by.clone(), begin: None });
    }

    /// Returns the time since the first request, in seconds.
    fn seconds(&self, now: Duration) -> f64 {
        now.saturating_sub(self.transfer.first_request().unwrap_or(now)).as_secs_f64()
    }

    fn published(&mut self, now: Duration, path: String) {
        let seconds = self.seconds(now);
        let State::Publishing { verified_by, digests } = &mut self.state else { return };
        let (proven, digests) = (std::mem::take(verified_by), std::mem::take(digests));
        self.actions.push_back(Action::Tell(EventKind::Finished {
            path,
            bytes: self.transfer.written().len(),
            fetched: self.transfer.received(),
            chunk_length: Some(self.verification.chunk_length()).filter(|&length| length > 0),
            seconds,
            proven,
            digests: event::by_name(&digests),
            made_from: None,
            warnings: self.identity.take_warnings(),
            extra: serde_json::Map::new(),
        }));
        self.finish(Outcome::Finished);
    }

    fn stop(&mut self, why: ErrorKind) {
        self.stopped = true;
        // A file that is being renamed will have its final name in a moment, so its job is not stopped.
        if !matches!(self.state, State::Publishing { .. } | State::Over) {
            self.drop_workers();
            self.give_up(&Error::new(why, self.path(), ""), false, false);
        }
    }

    /// Pauses the job or lets it continue. The paused time does not count for `--max-time`.
    fn pause(&mut self, now: Duration, paused: bool) {
        match (paused, self.paused) {
            (true, None) => self.paused = Some(now),
            (false, Some(since)) => {
                self.paused = None;
                // The time of an open question is added when the question is answered.
                let until = if let State::Asking { since, .. } = &self.state { *since } else { now };
                self.retry.add_idle_time(until.saturating_sub(since));
            }
            _ => {}
        }
    }

    /// Drops the workers of a paused job. The written bytes are kept only if later bytes can be joined to
    /// them.
    fn suspend(&mut self) {
        if !self.transfer.is_active() {
            return;
        }
        self.drop_workers();
        if !self.is_joinable() {
            self.forget();
        }
        self.resumes = self.transfer.present() > 0;
    }

    fn skip(&mut self, kept: Kept) {
        self.actions.push_back(Action::Tell(EventKind::skipped(kept)));
        self.finish(Outcome::Skipped);
    }

    fn leave_to_other_run(&mut self, path: String) {
        self.actions.push_back(Action::Tell(EventKind::left_to_other_run(path)));
        self.finish(Outcome::Left);
    }

    fn give_up(&mut self, error: &Error, exhausted: bool, stop_all: bool) {
        self.actions.push_back(Action::Tell(EventKind::Failed {
            error: Failure::from(error),
            retries: self.retry.used(),
            exhausted,
            extra: serde_json::Map::new(),
        }));
        let resumable = self.resumable() > 0 || self.left_behind > 0;
        self.finish(Outcome::Failed { kind: error.kind, exhausted, stop_all, resumable });
    }

    /// Returns the number of written bytes that a later run can continue.
    fn resumable(&self) -> u64 {
        let is_left = self.identity.is_left_for_later(self.transfer.size());
        if is_left && self.is_joinable() { self.transfer.present() } else { 0 }
    }

    fn finish(&mut self, outcome: Outcome) {
        self.state = State::Over;
        self.actions.push_back(Action::Finish(outcome));
    }

    fn drop_workers(&mut self) {
        self.transfer.drop_all(&mut self.actions);
    }

    /// Returns true if later bytes may be joined to the written ones ([`Identity::may_join`]).
    fn is_joinable(&self) -> bool {
        self.identity.may_join(self.verification.tells_bytes_apart())
    }

    /// Returns true if bytes of several mirrors may be mixed.
    fn mixes(&self) -> bool {
        let (several, sized) = (self.sources.len() > 1, self.transfer.size().is_some());
        several && sized && self.verification.allows_mixing() && self.is_joinable()
    }

    fn joining(&self) -> Joining<'_> {
        Joining {
            mixes: self.mixes(),
            joinable: self.is_joinable(),
            open_ended: self.transfer.is_open_ended(),
            sources: &self.sources,
            expected: self.verification.expected(),
        }
    }

    /// Returns the time when `--max-time` ends the job. The time in which a question is open, another run is
    /// working on the file, or the job is paused does not count. During such a time, this function returns
    /// `None`. It also returns `None` before the first request, while the job looks for an existing file, and
    /// while the file is verified or published.
    fn deadline(&self) -> Option<Duration> {
        let runs = match self.state {
            State::Transferring | State::Placing(_) | State::Beginning { .. } | State::Waiting { .. } => true,
            State::Looking
            | State::Locked { .. }
            | State::Asking { .. }
            | State::Verifying
            | State::Publishing { .. }
            | State::Over => false,
        };
        let counts = runs && self.paused.is_none();
        self.transfer.first_request().filter(|_| counts).and_then(|start| self.retry.deadline(start))
    }

    fn path(&self) -> String {
        self.path.clone().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
