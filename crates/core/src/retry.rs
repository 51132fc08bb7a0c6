//! Whether to try again, and after how long: one budget per file, refilled by progress.

use crate::error::{Error, ErrorKind, Retry};
use crate::settings::OnError;
use std::time::Duration;

/// So many new bytes refill the budget: more than a reply's head and what sockets buffer, so that a server
/// that always breaks at the same place is not asked for ever.
pub const PROGRESS: u64 = 64 * 1024;

/// A `Retry-After` beyond this is not waited for: the file fails and names the time. Longer than common rate
/// limit windows (60 s), short enough for a person to sit through.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// The first wait. Half a second is long against a hiccup and short against a person's patience.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The longest wait between tries that no server asked for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Going on after progress: costs nothing.
    GoOn,
    /// Try again, which costs one.
    TryAgain,
    /// Ask the person.
    Ask,
    /// Fail the file.
    GiveUp,
    /// Fail the file, and end the run: its retries are used up and a person is watching.
    Exhausted,
    /// Fail the file and stop everything.
    StopAll,
}

/// The tries of one file.
#[derive(Debug, Clone)]
pub struct Budget {
    retries: u32,
    used: u32,
    best_at_failure: u64,
    jitter: u64,
}

impl Budget {
    /// A full budget of `retries`. `seed` spreads the waits of files that fail together.
    pub fn new(retries: u32, seed: u64) -> Self {
        Budget { retries, used: 0, best_at_failure: 0, jitter: seed }
    }

    /// The tries used, of how many.
    pub fn tries(&self) -> (u32, u32) {
        (self.used, self.retries)
    }

    /// The one place that decides "try again?". `best` is the highest count of accepted bytes the file ever
    /// had; `can_go_on` says that those bytes need not be fetched again.
    pub fn verdict(&mut self, error: &Error, on_error: OnError, best: u64, can_go_on: bool) -> Verdict {
        let progressed = best >= self.best_at_failure.saturating_add(PROGRESS);
        if progressed {
            self.best_at_failure = best;
            self.used = 0;
        }
        match (error.retry(), on_error) {
            (Retry::Never, OnError::Exit) => Verdict::StopAll,
            (Retry::Never, _) => Verdict::GiveUp,
            (Retry::Again, _) if progressed && can_go_on && error.pause.is_none() => Verdict::GoOn,
            (_, OnError::Exit) => Verdict::StopAll,
            (_, OnError::Skip) => Verdict::GiveUp,
            (_, OnError::Ask) if self.used >= self.retries => Verdict::Exhausted,
            (_, OnError::Ask) => Verdict::Ask,
            (Retry::Person, OnError::Retry) => Verdict::GiveUp,
            (Retry::Again, OnError::Retry) if self.used >= self.retries => Verdict::GiveUp,
            (Retry::Again, OnError::Retry) => Verdict::TryAgain,
        }
    }

    /// Takes one try.
    pub fn spend(&mut self) {
        self.used = self.used.saturating_add(1);
    }

    /// The wait before the next try: doubled with each try used, and spread by half either way.
    pub fn wait(&mut self) -> Duration {
        let doublings = self.used.saturating_sub(1).min(16);
        let plain = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
        plain.mul_f64(0.5 + self.next_jitter())
    }

    /// The wait before going on after progress: enough that a broken server is not hammered.
    pub fn short_wait(&mut self) -> Duration {
        Duration::from_millis(100).mul_f64(0.5 + self.next_jitter())
    }

    /// A number in 0..1, by splitmix64 (Steele, Lea, Flood 2014).
    fn next_jitter(&mut self) -> f64 {
        self.jitter = self.jitter.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.jitter;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(((z ^ (z >> 31)) >> 32) as u32) / f64::from(u32::MAX)
    }
}

/// The kind of failure that an HTTP status is; `None` where the body is the file or a part of it. An unknown 2xx counts as
/// 200 (RFC 9110, section 15); the known ones that are not named here have another body than the file, or none.
pub fn of_status(status: u16) -> Option<ErrorKind> {
    Some(match status {
        200 | 203 | 206 | 209..=225 | 227..=299 => return None,
        401 | 407 => ErrorKind::HttpUnauthorized,
        403 => ErrorKind::HttpForbidden,
        404 => ErrorKind::HttpNotFound,
        410 => ErrorKind::HttpGone,
        416 => ErrorKind::HttpRangePast,
        425 | 429 | 503 => ErrorKind::HttpBusy,
        // Not Implemented and HTTP Version Not Supported stay as they are.
        501 | 505 => ErrorKind::HttpStatus,
        408 | 500..=599 => ErrorKind::HttpServer,
        _ => ErrorKind::HttpStatus,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_statuses_without_the_file_are_refused_and_unknown_ones_count_as_200() {
        for status in [200, 203, 206, 299] {
            assert_eq!(of_status(status), None, "{status}");
        }
        for status in [201, 202, 204, 205, 207, 208, 226, 304] {
            assert_eq!(of_status(status), Some(ErrorKind::HttpStatus), "{status}");
        }
    }

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, "", "")
    }

    #[test]
    fn tries_run_out_and_progress_refills_them() {
        let mut budget = Budget::new(2, 1);
        let broken = error(ErrorKind::NetReset);
        for _ in 0..2 {
            assert_eq!(budget.verdict(&broken, OnError::Retry, 0, false), Verdict::TryAgain);
            budget.spend();
        }
        assert_eq!(budget.verdict(&broken, OnError::Retry, PROGRESS - 1, true), Verdict::GiveUp);
        assert_eq!(budget.verdict(&broken, OnError::Retry, PROGRESS, true), Verdict::GoOn);
        assert_eq!(budget.tries(), (0, 2));
        assert_eq!(
            budget.verdict(&broken, OnError::Retry, PROGRESS, true),
            Verdict::TryAgain,
            "no new bytes"
        );
    }

    #[test]
    fn in_ask_mode_every_failure_asks_but_going_on() {
        let mut budget = Budget::new(1, 1);
        assert_eq!(budget.verdict(&error(ErrorKind::HttpNotFound), OnError::Ask, 0, false), Verdict::Ask);
        assert_eq!(budget.verdict(&error(ErrorKind::NetReset), OnError::Ask, PROGRESS, true), Verdict::GoOn);
        budget.spend();
        assert_eq!(
            budget.verdict(&error(ErrorKind::NetReset), OnError::Ask, PROGRESS, false),
            Verdict::Exhausted
        );
        assert_eq!(budget.verdict(&error(ErrorKind::FileExists), OnError::Ask, 0, false), Verdict::GiveUp);
    }

    #[test]
    fn waits_grow_and_stay_bounded() {
        let mut budget = Budget::new(99, 7);
        let mut least = Duration::ZERO;
        for n in 1..=40 {
            budget.spend();
            let wait = budget.wait();
            assert!(wait >= least && wait <= LONGEST_WAIT.mul_f64(1.5), "{n}: {wait:?}");
            least = FIRST_WAIT.saturating_mul(1 << (n - 1).min(5)).min(LONGEST_WAIT).mul_f64(0.5);
        }
    }
}
