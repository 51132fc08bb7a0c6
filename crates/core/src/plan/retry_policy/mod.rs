//! Decides what follows a failure of the job.
//!
//! Invariant: every failure of the job gets exactly one decision ([`FailureDecision`]), and no other code
//! counts a retry.

mod budget;
mod pauses;

use super::Rules;
use super::sources::Sources;
use crate::error::{Blame, Error, ErrorKind, Retry, Why, WrittenBytes};
use crate::job::IfLocked;
use crate::settings::OnError;
use crate::throttle;
use budget::{Budget, Verdict};
use pauses::Pauses;
use std::time::Duration;

/// While another run is working on the file, the job tries again to open the partial file after this time.
/// Each attempt takes only a few system calls.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// The reaction to a failure of the job, unless the dropped mirrors are used again
/// ([`RetryPolicy::decide_on_last_mirror`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureDecision {
    /// Wait because the host asked for a pause or limits its clients, and then continue. This costs no retry.
    Pause { wait: Duration },
    /// Start again immediately, because only bytes of an earlier run or of another tool are lost. This costs
    /// no retry.
    StartAgain,
    /// Continue after a short wait, because bytes arrived before the failure. This costs no retry.
    Continue { wait: Duration },
    /// Start again with the next mirror. This costs no retry.
    NextMirror,
    /// Wait because another run is working on the file, and then try again to open the partial file. This
    /// costs no retry.
    WaitForLock { wait: Duration },
    /// Leave the file to the other run that is working on it. The job counts as skipped.
    LeaveToOtherRun,
    /// Try again after this wait. This costs a retry, which is already counted.
    Retry { wait: Duration },
    /// Ask the user. `left` is the number of retries that are left.
    Ask { left: u32 },
    GiveUp {
        /// True if no retry is left in a run that asks the user (`--on-error ask`). No further job starts
        /// then.
        exhausted: bool,
        /// True if the whole run stops.
        stop_all: bool,
    },
}

/// The facts on which a decision depends, in addition to the error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation {
    /// True if there are written bytes, they stay valid, and the next request continues after them.
    pub(super) continues: bool,
    /// True if there are written bytes, and no byte was received in this run.
    pub(super) only_leftovers: bool,
    /// The highest number of valid bytes from this run so far.
    pub(super) best: u64,
    /// The number of bytes that were received in this run.
    pub(super) received: u64,
    /// True if the failure happened while the path was chosen or the partial file was opened.
    pub(super) placing: bool,
    /// True if so many mirrors sent a file that does not match the digest that the digest itself is probably
    /// wrong. Another mirror then cannot help.
    pub(super) is_digest_doubtful: bool,
    /// True if the partial file came from the current source, and this source was therefore used before the
    /// source whose turn it was.
    pub(super) is_preferred: bool,
    /// True if workers deliver bytes or will do so.
    pub(super) transferring: bool,
    /// True if the unfinished file of another tool does not fit, and the server's file replaces it.
    pub(super) replaces_adopted: bool,
}

/// The retries and pauses of one job, and the user's options about failures.
#[derive(Debug)]
pub(super) struct RetryPolicy {
    retries: u32,
    sends_once: bool,
    on_error: OnError,
    if_locked: IfLocked,
    max_time: Option<Duration>,
    budget: Budget,
    pauses: Pauses,
    /// The time in which a question was open, the job was paused, or another run worked on the file. It does
    /// not count for `--max-time`.
    idle: Duration,
}

impl RetryPolicy {
    pub(super) fn new(rules: &Rules) -> Self {
        RetryPolicy {
            retries: rules.retries,
            sends_once: rules.sends_once,
            on_error: rules.on_error,
            if_locked: rules.if_locked,
            max_time: rules.max_time,
            budget: Budget::new(rules.retries, rules.retry_wait, rules.seed),
            pauses: Pauses::default(),
            idle: Duration::ZERO,
        }
    }

    /// Returns true if the job waits while another run is working on its file.
    pub(super) fn waits_for_locks(&self) -> bool {
        self.if_locked == IfLocked::Wait
    }

    /// Decides what follows a failure of the whole job. If the decision costs a retry, counts this retry.
    pub(super) fn decide(
        &mut self,
        now: Duration,
        error: &Error,
        situation: Situation,
        sources: &mut Sources,
    ) -> FailureDecision {
        if situation.replaces_adopted {
            return FailureDecision::StartAgain;
        }
        // The disk returns this error before the transfer and after it. During the transfer, only a source
        // returns it, and then the partial file is not locked.
        let is_locked = error.kind == ErrorKind::FileLocked && !situation.transferring;
        match self.if_locked {
            IfLocked::Wait if is_locked => return FailureDecision::WaitForLock { wait: LOCK_WAIT },
            IfLocked::Skip if is_locked => return FailureDecision::LeaveToOtherRun,
            _ => {}
        }
        if self.leaves_full_host(error, situation) && sources.advance() {
            return FailureDecision::NextMirror;
        }
        let pause = self.pause(now, error, situation);
        if let Some(wait) = pause {
            return FailureDecision::Pause { wait: wait.max(self.budget.least_wait()) };
        }
        let discards = error.kind.written_bytes() == WrittenBytes::Discard;
        if situation.only_leftovers && discards && error.kind != ErrorKind::DigestMismatch {
            return FailureDecision::StartAgain;
        }
        let verdict = self.budget.verdict(error, self.on_error, situation.best, situation.continues);
        if mirror_may_help(error, verdict, situation) && self.may_send_elsewhere(error) && sources.advance() {
            return FailureDecision::NextMirror;
        }
        match verdict {
            Verdict::Continue => FailureDecision::Continue { wait: self.budget.short_wait() },
            Verdict::Retry => {
                let asked = error.pause.map_or(Duration::ZERO, |pause| pause.wait);
                FailureDecision::Retry { wait: self.spend().max(asked) }
            }
            Verdict::Ask => FailureDecision::Ask { left: self.left() },
            Verdict::GiveUp => FailureDecision::GiveUp { exhausted: false, stop_all: false },
            Verdict::Exhausted => FailureDecision::GiveUp { exhausted: true, stop_all: false },
            Verdict::StopAll => FailureDecision::GiveUp { exhausted: false, stop_all: true },
        }
    }

    /// Returns true if another mirror may have room while the host of this mirror has none.
    fn leaves_full_host(&self, error: &Error, situation: Situation) -> bool {
        let is_full = error.pause.is_some_and(|pause| pause.why == Why::Full);
        is_full && !situation.continues && !situation.placing && self.may_send_elsewhere(error)
    }

    /// Counts the pause that the host needs, if the request may be repeated after it. Returns how long the
    /// job waits, or `None` if the failure must cost a retry.
    fn pause(&mut self, now: Duration, error: &Error, situation: Situation) -> Option<Duration> {
        let pause = error.pause?;
        // A request that must be sent only once may have had an effect, unless the server refused it or did
        // nothing with it. If the server did not ask for the pause, the request is repeated only in these two
        // cases.
        let is_refused = throttle::is_refusal(error.kind) || is_unprocessed(error.kind);
        if self.sends_once && !is_refused && !matches!(pause.why, Why::Asked | Why::Known) {
            return None;
        }
        self.pauses.take(now, pause, situation.received)
    }

    /// Decides if the dropped mirrors are used again, since they may have been dropped too soon. The caller
    /// needs this decision when `last`, the last usable mirror, can never deliver the missing bytes and no
    /// connection of the job works any more. To use the mirrors again costs a retry. Returns the wait before
    /// the retry, or `None` if the job has failed.
    pub(super) fn decide_on_last_mirror(&mut self, last: usize, sources: &mut Sources) -> Option<Duration> {
        (self.left() > 0 && sources.revive_others(last)).then(|| self.spend())
    }

    /// Returns true if a mirror whose bytes are being replaced must send no bytes after this decision. In the
    /// last retry, it may send bytes, since the other mirrors seem to fail for good.
    pub(super) fn keeps_suspect_out(&self, decision: FailureDecision) -> bool {
        match decision {
            FailureDecision::NextMirror => false,
            FailureDecision::Ask { left } => left > 1,
            _ => self.left() > 0,
        }
    }

    /// Counts one retry. Returns the wait before this retry.
    fn spend(&mut self) -> Duration {
        self.budget.spend();
        self.budget.wait()
    }

    /// Counts the retry that the user chose. Returns the wait before this retry. The wait is only the pause
    /// that the host needs, because time has passed while the question was open.
    pub(super) fn spend_on_answer(&mut self, error: &Error) -> Duration {
        self.budget.spend();
        error.pause.map_or(Duration::ZERO, |pause| pause.wait)
    }

    /// Adds time in which a question was open, the job was paused, or another run worked on the file.
    pub(super) fn add_idle_time(&mut self, time: Duration) {
        self.idle += time;
    }

    /// Returns true if the request of the job may be sent to another mirror after this failure.
    pub(super) fn may_send_elsewhere(&self, error: &Error) -> bool {
        !self.sends_once || is_unprocessed(error.kind)
    }

    pub(super) fn set_on_error(&mut self, on_error: OnError) {
        self.on_error = on_error;
    }

    /// Returns the number of used retries.
    pub(super) fn used(&self) -> u32 {
        self.budget.tries().0
    }

    /// Returns the number of all retries so far. Progress makes retries available again, but does not reset
    /// this number.
    pub(super) fn all(&self) -> u32 {
        self.budget.all()
    }

    /// See [`Pauses::was_refused_for`].
    pub(super) fn was_refused_for(&self, received: u64) -> Option<Why> {
        self.pauses.was_refused_for(received)
    }

    /// Returns the number of retries that are left.
    pub(super) fn left(&self) -> u32 {
        let (used, of) = self.budget.tries();
        of.saturating_sub(used)
    }

    /// Returns the number of retries that a job may use.
    pub(super) fn retries(&self) -> u32 {
        self.retries
    }

    /// Returns the time when `--max-time` ends a job that sent its first request at `start`. Returns `None`
    /// without this option.
    pub(super) fn deadline(&self, start: Duration) -> Option<Duration> {
        Some(start.saturating_add(self.max_time?).saturating_add(self.idle))
    }
}

/// Returns true if another mirror should be tried. Another mirror cannot help in these cases:
/// - The cause is this machine or the request.
/// - The path could not be chosen, or the partial file could not be opened.
/// - Several mirrors sent a file that does not match the digest, so the digest itself is probably wrong.
/// - Failures of this kind are never retried. There is one exception: if a server asks for a very long wait
///   and no written bytes can be continued, another mirror is tried.
///
/// If the next request can continue after the written bytes, another mirror is tried only when the job would
/// otherwise give up. Another mirror is also tried before the user is asked about a mirror that was preferred
/// only because the partial file came from it.
fn mirror_may_help(error: &Error, verdict: Verdict, situation: Situation) -> bool {
    let theirs = matches!(error.kind.blame(), Blame::Remote | Blame::Content);
    let last_try = matches!(verdict, Verdict::GiveUp | Verdict::Exhausted | Verdict::StopAll);
    let may_retry =
        error.retry() != Retry::Never || (error.kind == ErrorKind::HttpLater && !situation.continues);
    verdict != Verdict::Continue
        && theirs
        && !situation.placing
        && !situation.is_digest_doubtful
        && may_retry
        && (!situation.continues || last_try || (situation.is_preferred && verdict == Verdict::Ask))
}

/// Returns true if a failure shows that the server did nothing with the request: the request could not be
/// sent, or nothing exists at its URL.
fn is_unprocessed(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::DnsUnresolved
            | ErrorKind::ConnectRefused
            | ErrorKind::ConnectTimeout
            | ErrorKind::ConnectFailed
            | ErrorKind::HttpNotFound
            | ErrorKind::HttpGone
    )
}

#[cfg(test)]
mod tests;
