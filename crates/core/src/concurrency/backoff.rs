//! The time that the controller waits before the next connection, after connections have failed.
//!
//! Invariant: a wait always lasts its full time. A connection that works does not end the present wait, but
//! the next wait is then short again.

use std::time::Duration;

/// The wait before the next connection.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    /// The number of failures in a row.
    failures: u32,
    /// The number of failures in a row, without the failures during a wait. Connections that were opened
    /// together are often refused together.
    waits: u32,
    /// The time when the wait ends.
    until: Duration,
}

impl Backoff {
    /// Records a failure. `wait` is the time that the host asked for, or zero.
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

    /// Returns true if there were at least two failures in a row, and no success after them.
    pub(super) fn is_repeated(&self) -> bool {
        self.failures > 1
    }

    /// Returns the wait after the last failure. The first wait is 0.1 s, each further wait in a row is twice
    /// as long as the wait before it, and the longest wait is 12.8 s. The first eight waits add up to about
    /// 25 s, because a host that counts requests by the minute may accept no request for about 20 s.
    fn pause(&self) -> Duration {
        Duration::from_millis(50 << self.waits.min(8))
    }
}
