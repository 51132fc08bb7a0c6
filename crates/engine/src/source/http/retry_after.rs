//! Hosts that want a pause: none of their files asks again before it is over.

use crate::clock;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// When the pause of each host ends. Invariant: a pause only ever gets longer.
#[derive(Default)]
pub(super) struct RetryAfter(Mutex<HashMap<String, Instant>>);

impl RetryAfter {
    /// How long the host still wants no requests; `None` if it takes them.
    pub(super) fn closed_for(&self, host: &str) -> Option<Duration> {
        let hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = hosts.get(host)?.checked_duration_since(clock::instant());
        left.filter(|left| !left.is_zero())
    }

    /// The host asked for a pause.
    pub(super) fn close(&self, host: &str, wait: Duration) {
        let until = clock::instant() + wait;
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = hosts.entry(host.to_string()).or_insert(until);
        *end = until.max(*end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_longest_pause_of_a_host_holds() {
        let gate = RetryAfter::default();
        let second = Duration::from_secs(1);
        gate.close("h", second * 5);
        gate.close("h", second);
        assert_eq!((gate.closed_for("h"), gate.closed_for("other")), (Some(second * 5), None));
        tokio::time::sleep(second * 6).await;
        assert_eq!(gate.closed_for("h"), None);
    }
}
