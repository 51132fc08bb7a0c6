//! Remembers the URL to which redirects led, and how often that URL failed. The *given URL* is the URL of the
//! source, where the redirects begin.
//!
//! Invariant: the lock is held only for a moment, so no request waits for it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// After this many failures in a row, one request begins at the given URL again. A job has 3 retries by
/// default, so a host that is unreachable for a moment gets several requests before that request.
const FAILURES: u32 = 3;

/// Failures within this time count as one, because connections that are used at the same time usually fail at
/// the same time. The time is shorter than the shortest wait that costs a retry (a quarter of a second).
const AT_ONCE: Duration = Duration::from_millis(200);

#[derive(Default)]
pub(super) struct Remembered {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The URL to which the last redirects led. Later requests for ranges are sent to this URL.
    url: Option<Url>,
    /// True if a URL to which redirects led has answered in this run.
    has_answered: bool,
    /// The number of failures in a row of the URL to which redirects led before, in this run or in an earlier
    /// one.
    failures: u32,
    last_failure: Option<Instant>,
}

impl Remembered {
    /// Returns the URL to which the last redirects led, unless its last request failed.
    pub(super) fn url(&self) -> Option<Url> {
        self.state().url.clone()
    }

    /// Records a valid response from this URL. `None` means that the response came from the given URL, or
    /// that no later request may be sent to its URL.
    pub(super) fn set(&self, url: Option<Url>) {
        let mut state = self.state();
        state.has_answered |= url.is_some();
        (state.url, state.failures) = (url, 0);
    }

    /// Forgets the URL, because a request failed. `at_remembered` is true if the failure shows that the URL
    /// to which earlier redirects led does not work.
    pub(super) fn failed(&self, now: Instant, at_remembered: bool) {
        let mut state = self.state();
        state.url = None;
        let is_same = |last: Instant| now.saturating_duration_since(last) < AT_ONCE;
        if at_remembered && !state.last_failure.is_some_and(is_same) {
            state.failures += 1;
            state.last_failure = Some(now);
        }
    }

    /// If the URL to which redirects of an earlier run led failed too often, counts the failures from 0 again
    /// and returns true. The next request must then begin at the given URL. A URL that has answered in this
    /// run is not given up, because the given URL may lead to another file, and the bytes on the disk would
    /// be lost.
    pub(super) fn take_too_many_failures(&self) -> bool {
        let mut state = self.state();
        let is_too_often = state.failures >= FAILURES && !state.has_answered;
        state.failures = if is_too_often { 0 } else { state.failures };
        is_too_often
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
