//! The time that the controller waits before the next connection, after connections have failed.
//!
//! Invariant: a wait always lasts its full time. A connection that works does not end the wait. It only makes
//! the next wait short again.

use std::time::Duration;

/// The wait before the next connection. It grows with each failure in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    /// The failures in a row, where failures during one wait count once. Connections that were opened
    /// together are often refused together.
    waits: u32,
    until: Duration,
}

impl Backoff {
    /// Records a failure. `wait` is the time that the host asked for.
    pub(super) fn on_failure(&mut self, now: Duration, wait: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.waits = self.waits.saturating_add(u32::from(now >= self.until));
        self.until = self.until.max(now.saturating_add(wait.max(self.pause())));
    }

    /// Records that a connection works. The next failure is then the first one in a row.
    pub(super) fn on_success(&mut self) {
        (self.failures, self.waits) = (0, 0);
    }

    /// Returns the time before which no connection may be opened.
    pub(super) fn not_before(&self) -> Duration {
        self.until
    }

    /// Returns true if there were at least two failures without a success between them.
    pub(super) fn is_repeated(&self) -> bool {
        self.failures > 1
    }

    /// Returns the wait after the last failure. It is a tenth of a second after the first failure, doubles
    /// with each further failure in a row, and is at most 13 s. Together, the waits reach 25 s, because a
    /// host that counts requests by the minute may need about 20 s.
    fn pause(&self) -> Duration {
        Duration::from_millis(50 << self.waits.min(8))
    }
}
