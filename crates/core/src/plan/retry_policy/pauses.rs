//! Pauses that a host asked for or needs. They cost no retry, unless there are too many pauses without a new
//! byte.
//!
//! Invariant: without a new byte, there are at most [`PAUSES`] pauses in a row, of which at most
//! [`PAUSES_FULL`] are for [`Why::Full`], and no pause begins later than [`LONGEST`] after the first one. If
//! the host serves other connections and answers that it is busy, the pauses are not limited.

use crate::error::{Pause, Why};
use std::time::Duration;

/// The number of pauses that cost no retry while no new byte arrives. With a host that limits the number of
/// requests in a minute, a few pauses are usual.
const PAUSES: u32 = 10;

/// The number of pauses for [`Why::Full`] that cost no retry while no new byte arrives. The number of
/// connections is usually lower after such a pause, so a file is usually refused once or twice.
const PAUSES_FULL: u32 = 6;

/// The time without a new byte in which pauses cost no retry. Common quotas are renewed after a minute, and
/// this time is ten times as long.
const LONGEST: Duration = Duration::from_secs(600);

/// The first value is the shortest wait. It is needed because a `Retry-After` may be 0. For [`Why::Shared`],
/// the shortest wait doubles with each pause, up to the second value.
const WAIT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

#[derive(Debug, Default)]
pub(super) struct Pauses {
    /// The number of pauses in a row without a new byte.
    count: u32,
    /// The number of these pauses that were for [`Why::Full`].
    full: u32,
    /// The reason for the last pause, except for [`Why::Known`], for which no request was sent.
    why: Option<Why>,
    /// The time of the first of the pauses in `count`.
    since: Duration,
    /// The number of bytes that had been received at the time `since`.
    received: u64,
}

impl Pauses {
    /// Returns the reason for the last pause, apart from pauses for [`Why::Known`], if it is [`Why::Shared`]
    /// or [`Why::Full`], and if no byte has arrived since then. `received` is the number of bytes that were
    /// received so far.
    pub(super) fn was_refused_for(&self, received: u64) -> Option<Why> {
        self.why.filter(|why| matches!(why, Why::Shared | Why::Full) && received <= self.received)
    }

    /// Counts a pause, and returns how long the job waits. `pause` is the pause that the host needs, and
    /// `received` is the number of bytes that were received so far. Returns `None` if there were too many
    /// pauses without a new byte. The failure must then cost a retry.
    pub(super) fn take(&mut self, now: Duration, pause: Pause, received: u64) -> Option<Duration> {
        if self.count == 0 || received > self.received {
            *self = Pauses { since: now, received, ..Pauses::default() };
        }
        let is_full = pause.why == Why::Full;
        let too_many = self.count >= PAUSES || (is_full && self.full >= PAUSES_FULL);
        let is_in_vain = too_many || now.saturating_sub(self.since) >= LONGEST;
        // A host that serves other connections and says that it is busy will serve this file later.
        if is_in_vain && pause.why != Why::Shared {
            return None;
        }
        let least = match pause.why {
            Why::Shared => WAIT.0.saturating_mul(1 << self.count.min(16)).min(WAIT.1),
            Why::Asked | Why::Known | Why::Banned | Why::Full => WAIT.0,
        };
        self.count = self.count.saturating_add(1);
        self.full = self.full.saturating_add(u32::from(is_full));
        if pause.why != Why::Known {
            self.why = Some(pause.why);
        }
        Some(pause.wait.max(least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_pauses_or_ten_minutes_without_a_byte_end_in_a_failure() {
        let minute = Duration::from_secs(60);
        let (asked, shared) =
            (Pause { wait: minute, why: Why::Asked }, Pause { wait: minute, why: Why::Shared });
        let mut pauses = Pauses::default();
        assert!((0..10).all(|_| pauses.take(minute, asked, 5) == Some(minute)));
        assert_eq!(pauses.take(minute, asked, 5), None);
        assert_eq!(pauses.take(minute, shared, 5), Some(minute), "the host serves other connections");
        assert_eq!(pauses.take(minute, asked, 6), Some(minute), "a byte arrived since the last pause");
        assert_eq!(pauses.take(minute * 11, asked, 6), None);
    }

    #[test]
    fn only_refusals_of_a_host_that_serves_other_files_count_as_refused_again() {
        let mut pauses = Pauses::default();
        for (why, received, again) in [
            (Why::Banned, 5, false),
            (Why::Shared, 5, true),
            (Why::Known, 5, true),
            (Why::Asked, 5, false),
            (Why::Shared, 6, true),
            (Why::Full, 6, true),
        ] {
            pauses.take(Duration::ZERO, Pause { wait: Duration::ZERO, why }, received);
            assert_eq!(
                (pauses.was_refused_for(received).is_some(), pauses.was_refused_for(received + 1)),
                (again, None)
            );
        }
    }
}
