//! The only clock and the only source of chance in the engine.
//!
//! Monotonic time is tokio's, so that a test can run a simulated world in no time (`start_paused`).

use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Time since the session's start.
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

    /// The moment at which `now()` will be `at`, for sleeping.
    pub(crate) fn instant_of(&self, at: Duration) -> Instant {
        // A time that cannot be represented is as good as never.
        self.start.checked_add(at).unwrap_or_else(|| self.start + Duration::from_secs(86_400 * 365))
    }
}

/// The present moment, for measuring how long something took.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// The wall clock.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// A seed for jitter.
#[expect(clippy::disallowed_methods, reason = "this is where chance comes from")]
pub(crate) fn seed() -> u64 {
    fastrand::u64(..)
}
