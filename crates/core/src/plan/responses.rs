//! The steps of the plan after the path of a file was chosen, and after a response has arrived.
//!
//! `impl Plan` is in three files, because it would be too long for one file. `mod.rs` receives inputs and
//! returns actions. This file opens the partial file, and begins or continues it with a response.
//! `results.rs` has the steps after bytes were written, after digests were compared, and after failures.
//!
//! Invariant: no worker writes before its response is validated and the partial file is open.

use super::identity::Identity;
use super::transfer::Assignment;
use super::validate::{Segment, start_of};
use super::{Action, Begin, Leftover, Place, Plan, State, WorkerId};
use crate::error::{Error, ErrorKind};
use crate::event::EventKind;
use crate::journal::Start;
use crate::remote::{Links, Remote, Span, Validator};
use crate::show;
use std::time::Duration;

impl Plan {
    pub(super) fn looked(&mut self, now: Duration, place: Result<Place, Error>) {
        match place {
            Ok(Place::Free { left: true, .. }) => {
                self.state = State::Placing(None);
                self.actions.push_back(Action::Place { remote: None, begin: None });
            }
            Ok(Place::Free { .. }) => self.state = State::Transferring,
            Ok(Place::Ask(conditions)) => {
                self.asking = Some(conditions);
                self.state = State::Transferring;
            }
            Ok(Place::Taken(kept)) => self.skip(kept),
            Err(error) => self.failed(now, error),
        }
    }

    /// Continues with the result of `Place`: the partial file is open, the file does not need to be
    /// downloaded, or there was an error. `left` is the content of the partial file, if it may be kept.
    pub(super) fn placed(
        &mut self,
        now: Duration,
        worker: Option<WorkerId>,
        place: Result<Place, Error>,
        left: Option<Leftover>,
    ) {
        match place {
            Ok(Place::Free { path, .. }) => self.path = Some(path),
            // The response to an ordinary request will show if the existing file is the wanted one.
            Ok(Place::Ask(_)) => {}
            Ok(Place::Taken(kept)) => {
                self.drop_workers();
                return self.skip(kept);
            }
            Err(error) => return self.fail(now, error),
        }
        // Without a digest or chunk hashes, only the mirror that sent the bytes of the partial file can
        // continue it.
        let tells_apart = self.verification.tells_bytes_apart();
        let sent_by = match &left {
            Some(Leftover::Journal { start, claims, .. }) if !tells_apart && !claims.is_empty() => {
                self.sources.other_that_may_resume(start.origin)
            }
            _ => None,
        };
        let (path, job, joinable) = (self.path(), self.identity(), self.is_joinable());
        let useful = left.as_ref().map_or(Ok(()), |left| {
            let digest_tells = |stated: &[_]| self.verification.has_strong_digest(stated);
            let known = self.identity.start().filter(|_| sent_by.is_none());
            Identity::check_leftover(left, &path, &job, (known, joinable, tells_apart), digest_tells)
        });
        match (worker, left, useful) {
            (Some(worker), None, _) => self.accept(now, worker, 0),
            (None, None, _) => self.state = State::Transferring,
            (_, Some(left), Ok(())) => {
                // A response with the whole file is not needed, because the partial file is continued.
                self.drop_workers();
                self.state = State::Transferring;
                if let Some(source) = sent_by {
                    self.forget();
                    self.sources.prefer(source);
                }
                self.continue_left(left);
            }
            (worker, Some(_), Err(error)) => {
                self.tell_retry(&error, 0, Duration::ZERO, 0);
                match worker {
                    None => self.state = State::Transferring,
                    Some(worker) => self.begin(worker, 0, false),
                }
            }
        }
    }

    /// Resumes, adopts or repairs the file that was found.
    fn continue_left(&mut self, left: Leftover) {
        match left {
            Leftover::Adopted(adopted) => {
                self.forget();
                self.identity.adoption.adopt(adopted);
            }
            Leftover::Whole(length) => {
                self.forget();
                self.repair(length);
            }
            Leftover::Journal { start, claims, adopted } => {
                self.identity.adoption.keep(adopted);
                let (from, bytes) = self.transfer.resume(start.size, &claims);
                if self.identity.start().is_some() {
                    // The response that gave the file its name also describes the file.
                    self.announce();
                } else {
                    self.verification.begin(&start.digests);
                    self.identity.continue_left(start);
                }
                if bytes > 0 {
                    self.actions.push_back(Action::Tell(EventKind::Resumed { from, bytes }));
                }
                let number = self.transfer.generation();
                self.actions.push_back(Action::CheckJournal { number, claims });
            }
        }
    }

    /// Treats all bytes of an existing file, which has `length` bytes, as written. After that, its chunks are
    /// verified, and only the chunks that do not match their digests are fetched again. If no chunk hashes
    /// are known, or if they do not fit the size, the download starts from the beginning.
    fn repair(&mut self, length: u64) {
        let size = self.verification.size().unwrap_or(length);
        if self.verification.chunks_fit(size) {
            self.verification.begin(&[]);
            self.identity.continue_without_journal(Start {
                url: String::new(),
                origin: None,
                size: Some(size),
                validator: Validator::Unknown,
                coding: None,
                digests: Vec::new(),
            });
            self.transfer.adopt(Some(size), std::iter::once(0..length.min(size)));
        }
    }

    pub(super) fn begun(&mut self, now: Duration, worker: WorkerId, skip: u64, result: Result<(), Error>) {
        match result {
            Ok(()) => self.accept(now, worker, skip),
            Err(error) => {
                // After this error, the content of the partial file is not known.
                self.drop_workers();
                self.forget();
                self.failed(now, error);
            }
        }
    }

    /// Validates the response of a worker, and begins or continues the file with this response.
    pub(super) fn opened(&mut self, now: Duration, worker: WorkerId, mut remote: Remote) {
        let assignment = self.transfer.on_response(now, worker, remote.waited, &mut self.actions);
        let Some(assignment) = assignment else { return };
        if self.asking.take().is_some() {
            // The request was about the existing file, and the response is not needed for anything else.
            self.drop_workers();
            self.state = State::Looking;
            return self.actions.push_back(Action::Look { remote: Some(Box::new(remote)) });
        }
        self.identity.set_unread(std::mem::take(&mut remote.dropped));
        let valid = self.check_facts(&remote).and_then(|()| match remote.span {
            Span::Whole => self.validate_whole(&assignment, &remote).map(|()| None),
            Span::Range(_) | Span::Unchanged => {
                self.identity.validate_range(&assignment, &remote, self.joining()).map(Some)
            }
        });
        match valid {
            Ok(None) => self.start_with(now, &assignment, &remote),
            Ok(Some((segment, adopted))) => {
                self.continue_with(now, &assignment, &remote, &segment, adopted);
            }
            Err(error) => {
                self.actions.push_back(Action::Drop { worker });
                self.worker_failed(now, worker, error);
            }
        }
    }

    /// Compares a response with the known facts about the file.
    fn check_facts(&self, remote: &Remote) -> Result<(), Error> {
        let at = || show::url(&remote.url);
        self.identity.check_kind(remote)?;
        self.verification.check_size(remote.size, at)?;
        match (&remote.stated_size, remote.size) {
            (Some(stated), Some(size)) if stated.size != size && self.verification.is_on() => {
                let why = format!("the file has {size} bytes, and {} says {}", stated.from, stated.size);
                Err(Error::new(ErrorKind::DigestMismatch, at(), why))
            }
            _ => Ok(()),
        }
    }

    /// Validates a response with the whole file. If a range was requested, the response is used only if the
    /// file has no other worker, and no other usable mirror whose bytes may be mixed with the written bytes.
    fn validate_whole(&mut self, assignment: &Assignment, remote: &Remote) -> Result<(), Error> {
        let present = self.transfer.present();
        self.identity.validate_whole(assignment, remote, present, self.joining())?;
        let others = self.mixes() && self.sources.has_other(assignment.source);
        let only = self.transfer.ledger().assignments().len() == 1;
        if assignment.is_plain() || (only && !others) {
            return Ok(());
        }
        self.transfer.set_single(!others);
        Err(Error::new(ErrorKind::HttpRangeIgnored, show::url(&remote.url), ""))
    }

    /// Begins the file with this response. Bytes that were written before are discarded. There is one
    /// exception: another tool's unfinished file that must still be compared with the server's file.
    fn start_with(&mut self, now: Duration, assignment: &Assignment, remote: &Remote) {
        let (worker, source) = (assignment.worker, assignment.source);
        if self.transfer.present() > 0 {
            // The rest of the file was requested, but the server sends the whole file.
            let error = Error::new(ErrorKind::HttpRangeIgnored, show::url(&remote.url), "");
            self.tell_retry(&error, 0, Duration::ZERO, 0);
        }
        let origin = self.sources.origin(source);
        if let Err(error) = self.identity.adoption.check(remote, origin) {
            return self.fail(now, error);
        }
        self.forget();
        // The unfinished file of another tool is compared with the response, even if the response begins at
        // byte 0.
        let keep = self.identity.adoption.begin_comparison().is_some();
        self.identity.remember_response(remote, true);
        (self.resumes, self.left_behind) = (false, 0);
        let start = start_of(remote, origin);
        self.sources.answered(source, start.url.clone(), &remote.validator);
        self.transfer.restart(now, worker, remote.size, &mut self.actions);
        self.verification.begin(&start.digests);
        self.identity.begin(start, remote);
        if self.path.is_some() {
            self.begin(worker, 0, keep);
        } else {
            let begin = Begin { journal: self.identity.journal(self.transfer.size()), keep };
            self.state = State::Placing(Some(worker));
            // The links of the response are left out, because they were followed already.
            let named_by = || Box::new(Remote { links: Links::default(), ..remote.clone() });
            self.named_by = self.retry.waits_for_locks().then(named_by);
            let remote = Some(Box::new(remote.clone()));
            self.actions.push_back(Action::Place { remote, begin: Some(begin) });
        }
    }

    /// Forgets which bytes are written, and what the sources stated about the file.
    pub(super) fn forget(&mut self) {
        self.transfer.forget();
        self.identity.forget();
        self.verification.forget(&mut self.sources);
        self.sources.forget();
    }

    /// Continues the file with this response. If its bytes are the first that are compared with the end of
    /// another tool's unfinished file, `adopted` has the facts about the server's file in this response.
    fn continue_with(
        &mut self,
        now: Duration,
        assignment: &Assignment,
        remote: &Remote,
        segment: &Segment,
        adopted: Option<Start>,
    ) {
        let (worker, source) = (assignment.worker, assignment.source);
        let digest_until = match &remote.span {
            Span::Range(range) if !remote.range_digests.is_empty() && self.verification.is_on() => {
                Some(range.end.saturating_sub(1))
            }
            _ => None,
        };
        let (sources, actions) = (&mut self.sources, &mut self.actions);
        if !self.transfer.is_needed(worker, segment.end, digest_until, sources, actions) {
            return self.transfer.drop_worker(worker, actions);
        }
        self.transfer.shorten(worker, segment.end, actions);
        self.identity.remember_response(remote, false);
        self.transfer.set_open_ended(remote.size.is_none());
        if let Some(start) = adopted
            && let Some(left) = self.identity.adoption.begin_comparison()
        {
            self.transfer.adopt(start.size, left.before_overlap());
            self.verification.begin(&start.digests);
            self.identity.begin(start, remote);
            return self.begin(worker, segment.skip, true);
        }
        self.transfer.learn_size(remote.size);
        self.sources.answered(source, show::url(&remote.url), &remote.validator);
        self.sources.set_sends_ranges(source);
        self.identity.continue_with(remote, self.sources.origin(source), self.transfer.size());
        let mixes = self.mixes();
        self.verification.learn(&remote.digests, mixes);
        self.accept(now, worker, segment.skip);
    }

    /// Requests that the partial file is begun for a worker's response. The first `skip` bytes of the
    /// response will not be written. `keep` is true if the partial file keeps its bytes, because another tool
    /// left them.
    fn begin(&mut self, worker: WorkerId, skip: u64, keep: bool) {
        self.state = State::Beginning { worker, skip };
        let journal = self.identity.journal(self.transfer.size());
        self.actions.push_back(Action::Begin(Begin { journal, keep }));
    }

    /// Allows a worker to write. Its response is valid, and the partial file is open.
    fn accept(&mut self, now: Duration, worker: WorkerId, skip: u64) {
        self.state = State::Transferring;
        if self.transfer.ledger().get(worker).is_none() {
            return;
        }
        if let Err(error) = self.verification.suffices(&self.path()) {
            return self.fail(now, error);
        }
        let Some((at, end)) = self.transfer.accept(now, worker) else { return };
        self.announce();
        if std::mem::take(&mut self.resumes) {
            let bytes = self.transfer.present();
            self.actions.push_back(Action::Tell(EventKind::Resumed { from: at, bytes }));
        }
        self.actions.push_back(Action::Accept { worker, skip, at, end });
    }

    /// Sends the event `started`, once each time that the download starts.
    fn announce(&mut self) {
        if let Some((url, validator, notes)) = self.identity.announce() {
            let (path, size) = (self.path(), self.transfer.size());
            self.actions.push_back(Action::Tell(EventKind::Started { url, path, size, validator, notes }));
        }
    }
}
