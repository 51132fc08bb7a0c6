//! Pauses that a host asked for or needs. They are not failures if bytes arrive between them.
//!
//! Invariant: without a new byte, there are at most [`PAUSES`] of them in a row, and they take at most
//! [`LONGEST`].

use crate::error::{Pause, Why};
use std::time::Duration;

/// The number of pauses without a new byte that cost no retry. A host that counts by the minute needs a few.
const PAUSES: u32 = 10;

/// The time without a new byte in which pauses cost no retry. It is ten minutes, because quotas often last a
/// minute.
const LONGEST: Duration = Duration::from_secs(600);

/// The shortest wait, since a `Retry-After` may be 0, and the longest one for a host that named no time. For
/// such a host, the wait doubles with each pause.
const SHORTEST: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The pauses of one job.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    count: u32,
    since: Duration,
    /// The number of bytes that had been received by then.
    received: u64,
}

impl Pauses {
    /// Returns how long the job waits. `received` is the number of bytes so far. Returns `None` if the pause
    /// is handled as a failure.
    pub(super) fn take(&mut self, now: Duration, pause: Pause, received: u64) -> Option<Duration> {
        if self.count == 0 || received > self.received {
            *self = Pauses { count: 0, since: now, received };
        }
        let in_vain = self.count >= PAUSES || now.saturating_sub(self.since) >= LONGEST;
        // A host that serves other connections will serve this one later.
        if in_vain && pause.why != Why::Shared {
            return None;
        }
        let least = match pause.why {
            Why::Shared => SHORTEST.0.saturating_mul(1 << self.count.min(16)).min(SHORTEST.1),
            Why::Asked | Why::Known | Why::Banned => SHORTEST.0,
        };
        self.count = self.count.saturating_add(1);
        Some(pause.wait.max(least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_pauses_or_ten_minutes_without_a_byte() {
        let minute = Duration::from_secs(60);
        let (asked, shared) =
            (Pause { wait: minute, why: Why::Asked }, Pause { wait: minute, why: Why::Shared });
        let mut pauses = Pauses::default();
        assert!((0..10).all(|_| pauses.take(minute, asked, 5) == Some(minute)));
        assert_eq!(pauses.take(minute, asked, 5), None);
        assert_eq!(pauses.take(minute, shared, 5), Some(minute), "others get through");
        assert_eq!(pauses.take(minute, asked, 6), Some(minute), "a byte came");
        assert_eq!(pauses.take(minute * 11, asked, 6), None);
    }
}
