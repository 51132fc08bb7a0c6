//! Counts the retries of one job, and decides how long to wait before each retry. After progress, all retries
//! are available again.
//!
//! Invariant: the number of used retries is never above the limit. The number is reset only after
//! [`PROGRESS`] new bytes.

use crate::error::{Error, Retry};
use crate::retry::PROGRESS;
use crate::settings::OnError;
use std::time::Duration;

/// The wait before the first retry. Half a second is longer than most short disturbances of a network, and
/// short enough for a user who waits.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The longest wait before a retry, unless the user or a server asks for a longer one. The limit applies
/// before the random change of the wait, so a wait may be longer by up to a half.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The possible reactions to a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Continue, because there was progress. This costs no retry.
    Continue,
    /// Try again. This costs a retry.
    Retry,
    Ask,
    GiveUp,
    /// Give the job up, because its retries are used up in a run that asks the user (`--on-error ask`). No
    /// further job starts.
    Exhausted,
    /// Give the job up and stop the whole run.
    StopAll,
}

#[derive(Debug, Clone)]
pub(super) struct Budget {
    retries: u32,
    least_wait: Duration,
    used: u32,
    /// The number of all retries so far. Progress does not reset it.
    all: u32,
    best_at_failure: u64,
    jitter: u64,
}

impl Budget {
    /// Returns a budget of `retries`. Each wait is at least `least_wait`. `seed` is for random waits, so that
    /// jobs that fail together are not retried together.
    pub(super) fn new(retries: u32, least_wait: Duration, seed: u64) -> Self {
        Budget { retries, least_wait, used: 0, all: 0, best_at_failure: 0, jitter: seed }
    }

    /// Returns the shortest wait before the job is tried again.
    pub(super) fn least_wait(&self) -> Duration {
        self.least_wait
    }

    /// Returns the number of used retries, and the limit.
    pub(super) fn tries(&self) -> (u32, u32) {
        (self.used, self.retries)
    }

    /// Returns the number of all retries so far, including those before progress.
    pub(super) fn all(&self) -> u32 {
        self.all
    }

    /// Decides if a failure is retried, according to its kind, `--on-error` and the retries that are left.
    /// `best` is the highest number of valid bytes from this run so far. `can_go_on` is true if these bytes
    /// do not need to be fetched again. If at least [`PROGRESS`] new bytes arrived since all retries became
    /// available, they all become available again.
    pub(super) fn verdict(
        &mut self,
        error: &Error,
        on_error: OnError,
        best: u64,
        can_go_on: bool,
    ) -> Verdict {
        let progressed = best >= self.best_at_failure.saturating_add(PROGRESS);
        if progressed {
            self.best_at_failure = best;
            self.used = 0;
        }
        match (error.retry(), on_error) {
            (Retry::Never, OnError::Exit) => Verdict::StopAll,
            (Retry::Never, _) => Verdict::GiveUp,
            (Retry::Again, _) if progressed && can_go_on && error.pause.is_none() => Verdict::Continue,
            (_, OnError::Exit) => Verdict::StopAll,
            (_, OnError::Skip) => Verdict::GiveUp,
            (_, OnError::Ask) if self.used >= self.retries => Verdict::Exhausted,
            (_, OnError::Ask) => Verdict::Ask,
            (Retry::Person, OnError::Retry) => Verdict::GiveUp,
            (Retry::Again, OnError::Retry) if self.used >= self.retries => Verdict::GiveUp,
            (Retry::Again, OnError::Retry) => Verdict::Retry,
        }
    }

    pub(super) fn spend(&mut self) {
        self.used = self.used.saturating_add(1);
        self.all = self.all.saturating_add(1);
    }

    /// Returns the wait before the next retry. The wait doubles with each used retry, up to [`LONGEST_WAIT`].
    /// After that, the wait is changed randomly by up to half of its length. The result is at least the wait
    /// that the user chose.
    pub(super) fn wait(&mut self) -> Duration {
        let doublings = self.used.saturating_sub(1).min(16);
        let plain = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
        plain.mul_f64(0.5 + self.next_jitter()).max(self.least_wait)
    }

    /// Returns the wait before the job continues after progress. This wait prevents frequent requests to a
    /// broken server.
    pub(super) fn short_wait(&mut self) -> Duration {
        Duration::from_millis(100).mul_f64(0.5 + self.next_jitter()).max(self.least_wait)
    }

    /// Returns the next random number from 0 to 1. The generator is splitmix64 (Steele, Lea, Flood 2014).
    fn next_jitter(&mut self) -> f64 {
        self.jitter = self.jitter.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.jitter;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(((z ^ (z >> 31)) >> 32) as u32) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, "", "")
    }

    #[test]
    fn retries_are_used_up_and_progress_makes_them_available_again() {
        let mut budget = Budget::new(2, Duration::ZERO, 1);
        let broken = error(ErrorKind::NetReset);
        for _ in 0..2 {
            assert_eq!(budget.verdict(&broken, OnError::Retry, 0, false), Verdict::Retry);
            budget.spend();
        }
        assert_eq!(budget.verdict(&broken, OnError::Retry, PROGRESS - 1, true), Verdict::GiveUp);
        assert_eq!(budget.verdict(&broken, OnError::Retry, PROGRESS, true), Verdict::Continue);
        assert_eq!(budget.tries(), (0, 2));
        assert_eq!(
            budget.verdict(&broken, OnError::Retry, PROGRESS, true),
            Verdict::Retry,
            "no new bytes have arrived"
        );
    }

    #[test]
    fn with_on_error_ask_the_user_is_asked_after_each_failure_without_progress() {
        let mut budget = Budget::new(1, Duration::ZERO, 1);
        assert_eq!(budget.verdict(&error(ErrorKind::HttpNotFound), OnError::Ask, 0, false), Verdict::Ask);
        assert_eq!(
            budget.verdict(&error(ErrorKind::NetReset), OnError::Ask, PROGRESS, true),
            Verdict::Continue
        );
        budget.spend();
        assert_eq!(
            budget.verdict(&error(ErrorKind::NetReset), OnError::Ask, PROGRESS, false),
            Verdict::Exhausted
        );
        assert_eq!(budget.verdict(&error(ErrorKind::FileExists), OnError::Ask, 0, false), Verdict::GiveUp);
    }

    #[test]
    fn waits_become_longer_up_to_a_limit() {
        let mut budget = Budget::new(99, Duration::ZERO, 7);
        let mut least = Duration::ZERO;
        for n in 1..=40 {
            budget.spend();
            let wait = budget.wait();
            assert!(wait >= least && wait <= LONGEST_WAIT.mul_f64(1.5), "{n}: {wait:?}");
            least = FIRST_WAIT.saturating_mul(1 << (n - 1).min(5)).min(LONGEST_WAIT).mul_f64(0.5);
        }
        let chosen = Duration::from_secs(40);
        let mut patient = Budget::new(99, chosen, 7);
        patient.spend();
        assert_eq!((patient.wait(), patient.short_wait()), (chosen, chosen));
    }
}
