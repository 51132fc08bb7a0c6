//! Hosts that asked for a pause (`Retry-After`): all requests to them wait together.

use crate::clock;
use crate::report::Meter;
use downhaul_core::event::Phase;
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
    /// Waits until the host wants requests again.
    pub(super) async fn pass(&self, host: &str, meter: &Meter) {
        // The pause may have been made longer meanwhile: look again.
        while let Some(until) = self.closed_until(host) {
            meter.set_waiting(until.duration_since(clock::instant()));
            tokio::time::sleep_until(until).await;
            meter.set_phase(Phase::Connecting);
        }
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

    fn closed_until(&self, host: &str) -> Option<Instant> {
        let hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.get(host).map(|closed| closed.until).filter(|&until| until > clock::instant())
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
        assert_eq!(gate.closed_until("h"), Some(clock::instant() + second * 5), "the longer one holds");
        tokio::time::sleep(second * 6).await;
        assert_eq!(gate.closed_until("h"), None);
        assert!(gate.close("h", clock::instant(), second), "sent after it: a new pause");
    }
}
