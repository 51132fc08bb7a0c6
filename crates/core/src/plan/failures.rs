//! What a failure means: for a worker, for a source, and for the file.
//!
//! Invariant: every failure of a file ends in exactly one of: it goes on, it waits for the next try, a person is asked, it is
//! given up. Tries are counted in [`crate::retry`].

use super::ledger::Assignment;
use super::resume::is_no_beginning;
use super::sources::Out;
use super::{Action, Answer, Plan, State, WorkerId};
use crate::concurrency::Observation;
use crate::error::{Blame, Error, ErrorKind, Retry, Why};
use crate::event::{EventKind, Failure};
use crate::retry::{PROGRESS, Verdict};
use std::time::Duration;

impl Plan {
    /// A worker is of no use any more. If others are at work, the file goes on with these; else it failed.
    pub(super) fn worker_failed(&mut self, now: Duration, worker: WorkerId, error: Error) {
        let Some((held, twin)) = self.ledger.release(worker) else { return };
        self.grew();
        if let Some(worker) = twin {
            self.actions.push_back(Action::Drop { worker });
        }
        if error.kind == ErrorKind::HttpRangePast && self.ends_at(held.from, error.size) {
            self.ledger.size = Some(held.from);
            self.proven = Some("end of transfer only".into());
            self.complete();
            return;
        }
        if error.kind == ErrorKind::DigestPart {
            // All of it came, and nothing of it was told.
            self.fetched = self.fetched.saturating_add(held.end.map_or(0, |end| end.saturating_sub(held.at)));
        }
        // What was not even sent refuses nothing.
        let known = error.pause.is_some_and(|pause| pause.why == Why::Known);
        let flowing = |one: &&Assignment| one.receiving && one.source == held.source;
        let flowing = self.ledger.assignments().iter().filter(flowing).count();
        if flowing > 0
            && held.brought() < PROGRESS
            && !known
            && let Some(growth) = self.sources.growth_mut(held.source)
        {
            growth.refused(now, worker, self.workers, flowing);
        }
        let wait = error.pause.map_or(Duration::ZERO, |pause| pause.wait);
        let news = match held.brought() >= PROGRESS || known {
            true => Observation::Broken { wait },
            false => Observation::Refused { wait, deliberate: is_meant(error.kind) },
        };
        self.actions.push_back(Action::Observe { source: held.source, news });
        if self.does_without(now, &held, &error) {
            return;
        }
        // What another connection gets beside a stream that flows can only add to it: such a reply says that this source gives
        // no more connections, and nothing of the file.
        let aside = !held.receiving && self.ledger.assignments().iter().any(|one| one.receiving);
        if self.ledger.assignments().is_empty() || (concerns_the_file(error.kind) && !aside) {
            self.drop_workers();
            self.failed(now, error);
        }
    }

    /// Whether the file ends there, where no reply said how large it is: there is nothing more to be had.
    fn ends_at(&self, from: u64, size: Option<u64>) -> bool {
        let asked = self.open_ended && self.ledger.size.is_none() && self.ledger.assignments().is_empty();
        asked && self.ledger.written.prefix() == from && size.is_none_or(|size| size == from)
    }

    /// Whether others can bring what this source did not. It is left if it failed for good, or again.
    fn does_without(&mut self, now: Duration, held: &Assignment, error: &Error) -> bool {
        let source = held.source;
        let theirs = matches!(error.kind.blame(), Blame::Remote | Blame::Content);
        if self.state != State::Transferring || !theirs || !self.mixes() {
            return false;
        }
        // Of a piece that shall come from one alone, a part is of no use.
        let useless = held.judged && held.at > held.from && self.ledger.is_contested(&(held.from..held.at));
        if useless {
            let part = held.from..held.at;
            self.take_back(Vec::from_iter([part]));
        }
        // A host that serves some connections and refuses another one is no dead one.
        let working = self.ledger.assignments().iter().any(|one| one.source == source && one.receiving);
        if working && matches!(error.kind, ErrorKind::HttpBusy | ErrorKind::ConnectRefused) {
            return true;
        }
        let again = self.sources.failed(source, held.brought() > 0 && !useless);
        let for_good = !error.again && (is_meant(error.kind) || is_of_another_kind(error.kind));
        if again || for_good {
            self.leave(source, error);
        }
        if self.sources.has_other(source) {
            return true;
        }
        // Those that were left may have been left too soon: that costs a try.
        let (used, of) = self.budget.tries();
        let last = for_good && self.ledger.assignments().is_empty() && used < of;
        if !last || !self.sources.revive_others(source) {
            return false;
        }
        self.budget.spend();
        let wait = self.budget.wait();
        self.again(now, error, wait);
        true
    }

    /// A source is not asked any more while there are others.
    pub(super) fn leave(&mut self, source: usize, error: &Error) {
        if self.sources.has_other(source) {
            self.sources.leave(source, Out::Left);
            self.drop_workers_of(source);
            let url = Some(self.sources.url(source)).filter(|url| !url.is_empty()).unwrap_or(&error.at);
            let (url, error) = (url.to_string(), Failure::from(error));
            self.actions.push_back(Action::Tell(EventKind::MirrorLeft { url, error }));
        }
    }

    pub(super) fn drop_workers_of(&mut self, source: usize) {
        for worker in self.ledger.release_from(source) {
            self.actions.push_back(Action::Drop { worker });
        }
        self.grew();
    }

    /// Any failure of the file comes through here; the workers are gone.
    pub(super) fn failed(&mut self, now: Duration, error: Error) {
        if self.stopped {
            return self.give_up(&error, false, false);
        }
        let error = match &self.adopting {
            Some(left) if error.kind == ErrorKind::HttpRangePast => {
                is_no_beginning(left, error.size, &error.at)
            }
            _ => error,
        };
        let placing = matches!(self.state, State::Looking | State::Placing(_));
        self.sources.revive();
        let there = self.ledger.there();
        self.changes += u32::from(error.kind == ErrorKind::RemoteChanged);
        // What is wrong here (a full disk, a name that is taken) says nothing against the bytes.
        let ours = error.kind.blame() == Blame::Disk || error.kind == ErrorKind::FileExists;
        let whole = self.ledger.is_complete() && !ours;
        let good = !starts_again(error.kind) && error.kind != ErrorKind::ResumeDamaged;
        // All mirrors were suspected in turn: what they have is not what was promised.
        let searched = self.sources.were_suspected() && error.kind == ErrorKind::DigestMismatch;
        let can_go_on = self.is_provable() && good && there > 0 && !whole;
        let leftovers_only = self.fetched == 0 && there > 0;
        if !can_go_on {
            self.forget();
        }
        let pause = error.pause.and_then(|pause| self.pauses.take(now, pause, self.fetched));
        if let Some(wait) = pause {
            self.continuing = self.ledger.there() > 0;
            self.tell_retry(&error, 0, wait, self.prefix());
            self.state = State::Waiting { until: now + wait, for_host: true };
            return;
        }
        if leftovers_only && starts_again(error.kind) && error.kind != ErrorKind::DigestMismatch {
            // Only what an earlier run left was of no use: that costs no try.
            self.tell_retry(&error, 0, Duration::ZERO, 0);
            self.state = State::Transferring;
            return;
        }
        let verdict = self.budget.verdict(&error, self.rules.on_error, self.best, can_go_on);
        if verdict == Verdict::GoOn {
            let wait = self.budget.short_wait();
            self.continuing = true;
            self.tell_retry(&error, 0, wait, self.prefix());
            self.state = State::Waiting { until: now + wait, for_host: false };
        } else if self.next_mirror_may_do(&error, verdict, can_go_on, placing)
            && !searched
            && self.sources.go_on()
        {
            // A mirror that was not asked yet costs no try. Nothing proves that it has the same bytes.
            self.forget();
            self.tell_retry(&error, 0, Duration::ZERO, 0);
            self.state = State::Transferring;
        } else {
            match verdict {
                Verdict::GoOn => {}
                Verdict::TryAgain => {
                    let asked = error.pause.map_or(Duration::ZERO, |pause| pause.wait);
                    self.budget.spend();
                    let wait = self.budget.wait().max(asked);
                    self.again(now, &error, wait);
                }
                Verdict::Ask => {
                    let (used, of) = self.budget.tries();
                    self.actions.push_back(Action::Tell(EventKind::Question {
                        error: Failure::from(&error),
                        left: of.saturating_sub(used),
                    }));
                    self.state = State::Asking(error);
                    self.asked = Some(now);
                }
                Verdict::GiveUp => self.give_up(&error, false, false),
                Verdict::Exhausted => self.give_up(&error, true, false),
                Verdict::StopAll => self.give_up(&error, false, true),
            }
        }
    }

    /// The person who was asked says what to do.
    pub(super) fn answered(&mut self, now: Duration, answer: Answer) {
        let State::Asking(error) = &self.state else { return };
        let error = error.clone();
        self.asked_before += now.saturating_sub(self.asked.take().unwrap_or(now));
        match answer {
            Answer::Retry => {
                // Whoever answers has waited already; only the server's own wish is waited for.
                let wait = error.pause.map_or(Duration::ZERO, |pause| pause.wait);
                self.budget.spend();
                self.again(now, &error, wait);
            }
            Answer::Skip => self.give_up(&error, false, false),
        }
    }

    /// Whether a mirror that was not asked yet is the answer: it is not to what is wrong here, nor while what was
    /// written can be gone on with.
    fn next_mirror_may_do(&self, error: &Error, verdict: Verdict, can_go_on: bool, placing: bool) -> bool {
        let theirs = matches!(error.kind.blame(), Blame::Remote | Blame::Content);
        let at_its_end = matches!(verdict, Verdict::GiveUp | Verdict::Exhausted | Verdict::StopAll);
        theirs && !placing && error.retry() != Retry::Never && (!can_go_on || at_its_end)
    }

    pub(super) fn again(&mut self, now: Duration, error: &Error, wait: Duration) {
        if self.ledger.there() == 0 {
            // Nothing would be lost: give the next mirror its turn.
            self.sources.take_turns();
        }
        self.continuing = self.ledger.there() > 0;
        self.tell_retry(error, self.budget.tries().0, wait, self.prefix());
        self.state = State::Waiting { until: now + wait, for_host: error.pause.is_some() };
    }

    /// Nothing that was written counts any more.
    pub(super) fn forget(&mut self) {
        self.ledger.clear();
        self.remote_file = None;
        // What another tool left stays to be compared, whatever failed meanwhile.
        self.adopting = self.comparing.take().or(self.adopting.take());
        self.open_ended = false;
        self.expectations.forget();
        self.proven = None;
        self.unproven_join = false;
        self.left_good = 0;
        self.sources.forget();
        if let Some(pieces) = &mut self.chunks {
            pieces.forget();
        }
        self.checks += 1;
    }

    pub(super) fn tell_retry(&mut self, error: &Error, attempt: u32, wait: Duration, from: u64) {
        self.actions.push_back(Action::Tell(EventKind::Retrying {
            error: Failure::from(error),
            attempt,
            of: self.rules.retries,
            wait: wait.as_secs_f64(),
            from,
        }));
    }
}

/// After these, what was written cannot be trusted to belong to what follows.
fn starts_again(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::RemoteChanged
            | ErrorKind::DigestMismatch
            | ErrorKind::SignatureWrong
            | ErrorKind::HttpRangeWrong
            | ErrorKind::HttpRangePast
            | ErrorKind::HttpRangeIgnored
            | ErrorKind::HttpEncoding
    )
}

/// With these a host says that it wants fewer connections, or no further request of this kind.
fn is_meant(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::HttpBusy
            | ErrorKind::ConnectRefused
            | ErrorKind::HttpForbidden
            | ErrorKind::HttpUnauthorized
            | ErrorKind::HttpNotFound
            | ErrorKind::HttpGone
            | ErrorKind::HttpStatus
            | ErrorKind::HttpLater
            | ErrorKind::RemoteOther
    )
}

/// These are about the file, or about this machine, and not about one connection.
fn concerns_the_file(kind: ErrorKind) -> bool {
    matches!(kind.blame(), Blame::Disk | Blame::Content)
        || matches!(
            kind,
            ErrorKind::RemoteChanged
                | ErrorKind::ResumeDamaged
                | ErrorKind::OutputClosed
                | ErrorKind::OutputStarted
        )
}

/// With these, what a source has is not what others have, or it cannot give parts of it.
fn is_of_another_kind(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::DigestMismatch
            | ErrorKind::RemoteChanged
            | ErrorKind::HttpRangeIgnored
            | ErrorKind::HttpRangeWrong
            | ErrorKind::HttpRangePast
            | ErrorKind::HttpEncoding
            | ErrorKind::DigestPart
    )
}
