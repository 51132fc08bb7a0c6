//! Provides the only clock of the engine, and random numbers.
//!
//! Monotonic time comes from tokio. So a test can run a simulated network and disk without waiting
//! (`start_paused`).

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Measures the time since it was started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(crate) fn start() -> Self {
        Clock { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Duration {
        instant().duration_since(self.start)
    }

    /// Returns the moment at which [`Clock::now`] will be `at`. A task can sleep until then.
    pub(crate) fn instant_of(&self, at: Duration) -> Instant {
        after(self.start, at)
    }
}

/// Returns the moment that is `time` later than `moment`. If that moment cannot be represented, returns the
/// moment one year after `moment`, which is late enough for every timeout.
pub(crate) fn after(moment: Instant, time: Duration) -> Instant {
    moment.checked_add(time).unwrap_or_else(|| moment + Duration::from_secs(86_400 * 365))
}

/// Returns the present moment, for measuring durations.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// Returns the time of the wall clock.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// Returns a random number. Its seed comes from the operating system, so each run gets other numbers.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_time_limit_is_a_moment_too() {
        let now = instant();
        assert_eq!(after(now, Duration::from_secs(1)), now + Duration::from_secs(1));
        assert!(after(now, Duration::MAX) > now + Duration::from_secs(86_400));
    }
}
