//! How long the controller waits before the next connection after some of them failed.
//!
//! Invariant: the wait only ends with time. A connection that works ends its growth, not the wait itself.

use std::time::Duration;

/// The wait before the next connection, which grows with each failure in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    until: Duration,
}

impl Backoff {
    /// Takes in a failure. `wait` is what the host asked for.
    pub(super) fn on_failure(&mut self, now: Duration, wait: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.until = self.until.max(now + wait.max(self.pause()));
    }

    /// A connection works: the next failure is the first one in a row.
    pub(super) fn on_success(&mut self) {
        self.failures = 0;
    }

    /// Returns the time before which no connection may be opened.
    pub(super) fn not_before(&self) -> Duration {
        self.until
    }

    /// Returns true if more than one failure came without a success between them.
    pub(super) fn is_repeated(&self) -> bool {
        self.failures > 1
    }

    /// A tenth of a second, doubled with each failure in a row, at most 13 s: a host that counts requests by
    /// the minute may need a third of a minute.
    fn pause(&self) -> Duration {
        Duration::from_millis(50 << self.failures.min(8))
    }
}
