//! The pauses that a host asked for, or that it needs: they are no failures, as long as they are not all that comes.
//!
//! Invariant: at most [`PAUSES`] in a row that nothing speaks for but the host's word, and for no longer than [`LONGEST`].

use crate::error::{Pause, Why};
use std::time::Duration;

/// So many pauses without a byte in between cost no try: a host that counts by the minute needs a few.
const PAUSES: u32 = 10;

/// And for so long: ten quotas of a minute.
const LONGEST: Duration = Duration::from_secs(600);

/// The shortest wait, since a `Retry-After` may be 0, doubled with each file's refusals up to the longest where the host named no
/// time.
const SHORTEST: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The pauses of one file.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    count: u32,
    since: Duration,
    /// Bytes that had come by then.
    fetched: u64,
}

impl Pauses {
    /// How long the file waits for this, with so many bytes `fetched` so far. `None` if it is a failure like others.
    pub(super) fn take(&mut self, now: Duration, pause: Pause, fetched: u64) -> Option<Duration> {
        if self.count == 0 || fetched > self.fetched {
            *self = Pauses { count: 0, since: now, fetched };
        }
        let in_vain = self.count >= PAUSES || now.saturating_sub(self.since) >= LONGEST;
        // While others get through, it is a matter of turns.
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
