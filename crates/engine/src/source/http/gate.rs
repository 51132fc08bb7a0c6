//! Hosts that asked for a pause (`Retry-After`): none of their files asks again before it is over.

use crate::clock;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The pauses by host. Invariant: a pause only ever gets longer.
#[derive(Default)]
pub(super) struct Gate(Mutex<HashMap<String, Closed>>);

struct Closed {
    since: Instant,
    until: Instant,
}

impl Gate {
    /// How long the host still wants no requests; `None` if it takes them.
    pub(super) fn closed_for(&self, host: &str) -> Option<Duration> {
        let hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::instant();
        hosts
            .get(host)
            .and_then(|closed| closed.until.checked_duration_since(now))
            .filter(|left| !left.is_zero())
    }

    /// The host asked, in reply to a request sent at `sent`, for a pause. False when it had already asked after
    /// that moment: then this is the same pause, and costs nothing.
    pub(super) fn close(&self, host: &str, sent: Instant, wait: Duration) -> bool {
        let now = clock::instant();
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = now + wait;
        match hosts.get_mut(host) {
            Some(closed) => {
                let same = closed.since > sent;
                closed.until = closed.until.max(until);
                if !same {
                    closed.since = now;
                }
                !same
            }
            None => {
                hosts.insert(host.to_string(), Closed { since: now, until });
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_pause_is_counted_once() {
        let gate = Gate::default();
        let second = Duration::from_secs(1);
        let sent = clock::instant();
        tokio::time::sleep(second).await;
        assert!(gate.close("h", sent, second));
        assert!(!gate.close("h", sent, second * 5), "sent before the pause was known");
        assert!(gate.close("other", sent, second));
        assert_eq!(gate.closed_for("h"), Some(second * 5), "the longer one holds");
        tokio::time::sleep(second * 6).await;
        assert_eq!(gate.closed_for("h"), None);
        assert!(gate.close("h", clock::instant(), second), "sent after it: a new pause");
    }
}
