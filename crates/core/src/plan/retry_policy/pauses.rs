//! Pauses that a host asked for or needs. They are not failures as long as bytes arrive between them.
//!
//! Invariant: without a new byte, at most [`PAUSES`] of them follow each other, and for no longer than
//! [`LONGEST`].

use crate::error::{Pause, Why};
use std::time::Duration;

/// So many pauses without a byte between them cost no retry: a host that counts by the minute needs a few.
const PAUSES: u32 = 10;

/// Pauses cost no retry for so long without a byte: ten quotas of a minute.
const LONGEST: Duration = Duration::from_secs(600);

/// The shortest wait, since a `Retry-After` may be 0. If the host named no time, it is doubled with each
/// pause up to the second value.
const SHORTEST: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The pauses of one job.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    count: u32,
    since: Duration,
    /// Bytes that had been received by then.
    received: u64,
}

impl Pauses {
    /// Returns how long the job waits, with so many bytes `received` so far. Returns `None` if the pause
    /// counts as a failure.
    pub(super) fn take(&mut self, now: Duration, pause: Pause, received: u64) -> Option<Duration> {
        if self.count == 0 || received > self.received {
            *self = Pauses { count: 0, since: now, received };
        }
        let in_vain = self.count >= PAUSES || now.saturating_sub(self.since) >= LONGEST;
        // The host serves other connections: this one's turn will come.
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
