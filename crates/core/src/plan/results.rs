//! The steps of the plan after bytes were written, after digests were compared, and after failures.
//!
//! `impl Plan` is in three files; see `responses.rs`. Most functions here get a decision from one part of the
//! plan, such as `verification`, and carry it out.
//!
//! Invariant: every failure of the job passes through `failed`, which makes one decision for it. There is one
//! exception: after the last usable mirror failed, `other_mirrors_continue` may use the dropped mirrors
//! again.

use super::retry_policy::{FailureDecision, Situation};
use super::sources::Out;
use super::transfer::Assignment;
use super::verification::{ChunkDecision, Replacement, WholeResult, WrongChunk};
use super::{Action, Answer, Plan, State, WorkerId};
use crate::digest::Digest;
use crate::error::{Blame, Error, ErrorKind, Scope, SourceVerdict, WrittenBytes};
use crate::event::{EventKind, Failure};
use std::ops::Range;
use std::time::Duration;

impl Plan {
    pub(super) fn wrote(&mut self, now: Duration, worker: WorkerId, upto: u64, fresh: bool) {
        let (sources, actions) = (&mut self.sources, &mut self.actions);
        if self.transfer.wrote(now, worker, upto, fresh, sources, actions) {
            self.identity.adoption.end_comparison(self.transfer.written());
            self.complete();
        }
    }

    pub(super) fn ended(&mut self, now: Duration, worker: WorkerId, result: Result<(), Error>) {
        let Some(assignment) = self.transfer.ledger().get(worker).cloned() else { return };
        if let Err(error) = assignment.outcome(result, &self.path()) {
            return self.worker_failed(now, worker, error);
        }
        self.transfer.segment_finished(&assignment, &mut self.sources, &mut self.actions);
        let source = assignment.source;
        if self.sources.succeeded(source, assignment.rate()) && self.mixes() {
            let why = "other mirrors are many times faster";
            self.drop_mirror(source, &Error::new(ErrorKind::NetSlow, self.sources.url(source), why));
        }
        let sized = self.transfer.size().is_some();
        if !self.complete() && !self.transfer.is_active() && sized && !self.is_joinable() {
            let why = "the response ended early, and nothing shows that more bytes belong to the same file";
            self.failed(now, Error::new(ErrorKind::HttpTruncated, self.path(), why));
        }
    }

    /// If a chunk can be verified now, requests that this chunk is read back. If the job is transferring, and
    /// if every byte is written and every chunk is verified, requests the digests of the whole file and
    /// returns true. Otherwise returns false.
    pub(super) fn complete(&mut self) -> bool {
        let size = self.transfer.size();
        // Bytes of an earlier run are verified as soon as they have matched the journal.
        let chunk = size.and_then(|size| self.verification.next_chunk(self.transfer.written(), size));
        if let Some((chunk, expected)) = chunk {
            let number = self.transfer.generation();
            self.actions.push_back(Action::VerifyChunk { number, chunk, expected });
        }
        let done = self.transfer.is_complete() && self.verification.chunks_are_done(size);
        if self.state != State::Transferring || !done {
            return false;
        }
        self.drop_workers();
        self.state = State::Verifying;
        self.actions.push_back(Action::Verify);
        true
    }

    /// Continues after a chunk was read back. `good` says if its digest matched, or is the error if the chunk
    /// could not be read.
    pub(super) fn chunk_verified(&mut self, now: Duration, chunk: Range<u64>, good: Result<bool, Error>) {
        if !self.verification.chunk_read(&chunk, good == Ok(true)) {
            return;
        }
        match good {
            Ok(true) => {
                let sent_by = self.transfer.ledger().provenance().source_of(&chunk);
                let (guilty, why) = self.verification.blame_for(&chunk, sent_by);
                for source in guilty {
                    self.transfer.drop_source(source, &mut self.actions);
                    self.blame(source, ErrorKind::DigestPart, &why);
                }
                self.complete();
            }
            Ok(false) => self.chunk_is_wrong(now, chunk),
            Err(error) => self.fail(now, error),
        }
    }

    fn chunk_is_wrong(&mut self, now: Duration, range: Range<u64>) {
        let ledger = self.transfer.ledger();
        let wrong = WrongChunk {
            sent_by: ledger.provenance().source_of(&range),
            again: ledger.is_contested(&range),
            transferring: self.state == State::Transferring,
            mixes: self.mixes(),
            range: range.clone(),
        };
        let decision = self.verification.decide_on_wrong_chunk(&wrong, &self.sources, &self.path());
        if let ChunkDecision::FromOthers(source) = decision {
            self.transfer.drop_source(source, &mut self.actions);
            self.sources.take_out(source, Out::Suspected);
        }
        self.take_back(vec![range.clone()]);
        self.transfer.contest(&range);
        match decision {
            ChunkDecision::FromOthers(_) | ChunkDecision::FromOne => drop(self.complete()),
            ChunkDecision::Fail(error) => self.fail(now, error),
        }
    }

    /// Compares the digests of the complete file. If they are right, requests that the file is published.
    pub(super) fn verified(&mut self, now: Duration, computed: Result<Vec<Digest>, Error>) {
        let (path, size) = (self.path(), self.transfer.size());
        let checked = computed.and_then(|computed| {
            self.verification.check_size(size, || path.clone())?;
            let result = self.verification.compare_whole(&computed, &path, self.identity.is_html());
            Ok((computed, result))
        });
        let (digests, result) = match checked {
            Ok(checked) => checked,
            Err(error) => return self.failed(now, error),
        };
        match result {
            WholeResult::Refused(error) => self.failed(now, error),
            WholeResult::Wrong(why) => self.whole_is_wrong(now, why),
            WholeResult::Right { events, warnings, verified_by, guilty } => {
                let of_size = self.identity.check_size_of_whole(size.unwrap_or_default(), &path);
                if let Err(error) = of_size.or_else(|error| verified_by.is_some().then_some(()).ok_or(error))
                {
                    return self.failed(now, error);
                }
                self.identity.warn(warnings);
                if let Some((source, why)) = guilty {
                    self.blame(source, ErrorKind::DigestMismatch, &why);
                }
                self.actions.extend(events.into_iter().map(Action::Tell));
                let by_size =
                    if self.transfer.is_sized_by_end() { "end of transfer only" } else { "size only" };
                let verified_by = verified_by.unwrap_or_else(|| by_size.into());
                self.state = State::Publishing { verified_by, digests };
                self.actions.push_back(Action::Publish);
            }
        }
    }

    /// Decides what follows a wrong digest of the whole file. If bytes of several mirrors may be mixed, some
    /// of the bytes are fetched again from other mirrors. This is repeated until the digest is right, or
    /// until each mirror that sent bytes was suspected once.
    fn whole_is_wrong(&mut self, now: Duration, why: String) {
        let mixes = self.mixes();
        let replacement = match mixes {
            false => None,
            true => {
                let provenance = self.transfer.ledger().provenance();
                self.verification.replace_suspicious(provenance, self.transfer.written(), &mut self.sources)
            }
        };
        if let Some(Replacement { ranges, suspect }) = replacement {
            let (at, what) = match suspect.map(|suspect| self.sources.url(suspect).to_string()) {
                None => (self.path(), "bytes whose mirror is unknown are fetched again".into()),
                Some(url) => {
                    let what = format!(
                        "bytes from {url} are fetched again from other mirrors, to find out if they were wrong"
                    );
                    (url, what)
                }
            };
            self.take_back(ranges);
            self.identity.forget_responses(self.verification.has_given_digest());
            self.state = State::Transferring;
            let error = Error::new(ErrorKind::DigestMismatch, at, what);
            return self.tell_retry(&error, 0, Duration::ZERO, self.prefix());
        }
        self.verification.count_wrong_file(mixes, &mut self.sources);
        self.failed(now, self.identity.wrong_digest(self.path(), why, self.transfer.received() == 0));
    }

    /// Requests that these bytes are discarded. They are fetched again when the disk has discarded them.
    fn take_back(&mut self, ranges: Vec<Range<u64>>) {
        self.verification.take_back(&ranges);
        self.transfer.take_back(ranges, &mut self.actions);
    }

    pub(super) fn discarded(&mut self, now: Duration, ranges: &[Range<u64>], result: Result<(), Error>) {
        self.transfer.discarded(ranges);
        if let Err(error) = result {
            self.fail(now, error);
        }
    }

    /// Drops a mirror that has been shown to send wrong bytes. Only its first wrong bytes are reported.
    fn blame(&mut self, source: usize, kind: ErrorKind, why: &str) {
        if self.sources.sent_wrong_bytes(source) {
            return;
        }
        self.sources.take_out(source, Out::SentWrongBytes);
        let url = self.sources.url(source).to_string();
        self.identity.warn([format!("dropped mirror {url}: {why}")]);
        let error = Failure::from(&Error::new(kind, &url, why));
        self.actions.push_back(Action::Tell(EventKind::MirrorLeft { url, error }));
    }

    /// Drops a source, if another usable source is left.
    fn drop_mirror(&mut self, source: usize, error: &Error) {
        if self.sources.has_other(source) {
            self.sources.take_out(source, Out::Dropped);
            self.transfer.drop_source(source, &mut self.actions);
            let url = Some(self.sources.url(source)).filter(|url| !url.is_empty()).unwrap_or(&error.at);
            let (url, error) = (url.to_string(), Failure::from(error));
            self.actions.push_back(Action::Tell(EventKind::MirrorLeft { url, error }));
        }
    }

    /// Decides what follows the failure of a worker. If other workers or mirrors can deliver its bytes, the
    /// transfer continues with them. Otherwise the job has failed.
    pub(super) fn worker_failed(&mut self, now: Duration, worker: WorkerId, error: Error) {
        let (sources, actions) = (&mut self.sources, &mut self.actions);
        let Some(assignment) = self.transfer.release(worker, actions) else { return };
        if error.kind == ErrorKind::HttpRangePast && self.transfer.ends_at(assignment.from, error.size) {
            self.complete();
            return;
        }
        self.transfer.observe_failure(now, &assignment, &error, sources, actions);
        if self.other_mirrors_continue(now, &assignment, &error) {
            return;
        }
        // If another connection delivers bytes, the failure of an additional request shows only that the
        // source accepts no more connections. The failure shows nothing about the file.
        let receiving = self.transfer.ledger().assignments().iter().any(|one| one.receiving);
        let additional = !assignment.receiving && receiving;
        if !self.transfer.is_active() || (error.kind.scope() == Scope::Job && !additional) {
            self.fail(now, error);
        }
    }

    /// Returns true if the transfer continues: with other mirrors, with other connections to the same source,
    /// or, after a wait, with mirrors that were dropped before. The failed source is dropped if it failed too
    /// often, or if it can never deliver these bytes.
    fn other_mirrors_continue(&mut self, now: Duration, assignment: &Assignment, error: &Error) -> bool {
        let source = assignment.source;
        let theirs = matches!(error.kind.blame(), Blame::Remote | Blame::Content);
        if self.state != State::Transferring || !theirs || !self.mixes() {
            return false;
        }
        if !self.retry.may_send_elsewhere(error) {
            return false;
        }
        // If a chunk must come from one source alone, an incomplete part of the chunk is useless.
        let partial = assignment.from..assignment.at;
        let useless = assignment.whole_only && self.transfer.ledger().is_contested(&partial);
        if useless {
            self.take_back(vec![partial]);
        }
        // A host that serves some connections and refuses another one still works.
        let receiving = self.transfer.receiving_from(source) > 0;
        if receiving && matches!(error.kind, ErrorKind::HttpBusy | ErrorKind::ConnectRefused) {
            return true;
        }
        let too_often = self.sources.failed(source, assignment.delivered() > 0 && !useless);
        let for_good = !error.again && error.kind.source_verdict() != SourceVerdict::Silent;
        if too_often || for_good {
            self.drop_mirror(source, error);
        }
        if self.sources.has_other(source) {
            return true;
        }
        if !for_good || self.transfer.is_active() {
            return false;
        }
        match self.retry.decide_on_last_mirror(source, &mut self.sources) {
            Some(wait) => self.try_again(now, error, wait),
            None => return false,
        }
        true
    }

    /// Drops all workers, and decides what follows the failure of the job.
    pub(super) fn fail(&mut self, now: Duration, error: Error) {
        self.drop_workers();
        self.failed(now, error);
    }

    /// Decides what follows a failure of the job, and carries it out. No worker is left at this time.
    pub(super) fn failed(&mut self, now: Duration, error: Error) {
        if self.stopped {
            return self.give_up(&error, false, false);
        }
        let error = self.identity.adoption.explain(error);
        self.sources.revive();
        if error.kind == ErrorKind::RemoteChanged {
            self.identity.count_change();
        }
        let replaces_adopted = self.identity.adoption.give_up(error.kind);
        let situation = Situation { replaces_adopted, ..self.situation(&error) };
        if !situation.continues {
            self.forget();
        }
        let decision = self.retry.decide(now, &error, situation, &mut self.sources);
        if self.retry.keeps_suspect_out(decision) {
            self.verification.keep_suspect_out(&mut self.sources);
        }
        match decision {
            FailureDecision::Pause { wait } => self.wait(now, &error, 0, wait, true),
            FailureDecision::Continue { wait } => self.wait(now, &error, 0, wait, false),
            FailureDecision::Retry { wait } => self.try_again(now, &error, wait),
            FailureDecision::StartAgain => self.start_again(&error),
            FailureDecision::WaitForLock { wait } => self.wait_for_lock(now, &error, wait),
            FailureDecision::LeaveToOtherRun => self.leave_to_other_run(error.at),
            FailureDecision::NextMirror => {
                if situation.continues {
                    self.left_behind = self.resumable();
                }
                // The next mirror may have different bytes.
                self.forget();
                if error.kind == ErrorKind::DigestMismatch {
                    self.identity.forget_responses(self.verification.has_given_digest());
                }
                self.start_again(&error);
            }
            FailureDecision::Ask { left } => {
                let failure = Failure::from(&error);
                self.actions.push_back(Action::Tell(EventKind::Question { error: failure, left }));
                self.state = State::Asking { error, since: now };
            }
            FailureDecision::GiveUp { exhausted, stop_all } => self.give_up(&error, exhausted, stop_all),
        }
    }

    fn situation(&self, error: &Error) -> Situation {
        let present = self.transfer.present();
        // If the cause of the failure is this machine (a full disk, or a name that is taken), a complete file
        // is still good.
        let ours = error.kind.blame() == Blame::Disk || error.kind == ErrorKind::FileExists;
        let complete = self.transfer.ledger().is_complete() && !ours;
        let keeps =
            error.kind.written_bytes() == WrittenBytes::Keep && error.kind != ErrorKind::ResumeDamaged;
        Situation {
            continues: self.is_joinable() && keeps && present > 0 && !complete,
            only_leftovers: self.transfer.received() == 0 && present > 0,
            best: self.transfer.best(),
            received: self.transfer.received(),
            placing: matches!(self.state, State::Looking | State::Placing(_)),
            is_digest_doubtful: error.kind == ErrorKind::DigestMismatch
                && self.verification.is_digest_doubtful(),
            is_preferred: self.sources.is_preferred(),
            transferring: self.state == State::Transferring,
            replaces_adopted: false,
        }
    }

    pub(super) fn answered(&mut self, now: Duration, answer: Answer) {
        let State::Asking { error, since } = self.state.clone() else { return };
        self.retry.add_idle_time(now.saturating_sub(since));
        if let Some(paused) = &mut self.paused {
            self.retry.add_idle_time(since.saturating_sub(*paused));
            *paused = now;
        }
        match answer {
            Answer::Retry => {
                let wait = self.retry.spend_on_answer(&error);
                self.try_again(now, &error, wait);
            }
            Answer::Skip => self.give_up(&error, false, false),
        }
    }

    /// Waits before the next retry. If no byte is written, the next mirror is used.
    fn try_again(&mut self, now: Duration, error: &Error, wait: Duration) {
        if self.transfer.present() == 0 {
            self.sources.take_turns();
        }
        self.wait(now, error, self.retry.used(), wait, error.pause.is_some());
    }

    fn wait(&mut self, now: Duration, error: &Error, attempt: u32, wait: Duration, for_host: bool) {
        self.resumes = self.transfer.present() > 0;
        self.state = State::Waiting { until: now.saturating_add(wait), for_host };
        self.tell_retry(error, attempt, wait, self.prefix());
    }

    fn start_again(&mut self, error: &Error) {
        self.state = State::Transferring;
        self.tell_retry(error, 0, Duration::ZERO, 0);
    }

    /// Reports a retry. If the plan waits before the retry, the caller sets the state of the wait first,
    /// because the event says if another job may run during the wait.
    pub(super) fn tell_retry(&mut self, error: &Error, attempt: u32, wait: Duration, from: u64) {
        self.actions.push_back(Action::Tell(EventKind::Retrying {
            error: Failure::from(error),
            attempt,
            of: self.retry.retries(),
            wait: wait.as_secs_f64(),
            idle: self.is_idle(),
            from,
        }));
    }
}
