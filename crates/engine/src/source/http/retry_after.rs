//! Records the waits that hosts require (with `Retry-After`, or because a quota is used up). Until a recorded
//! wait is over, no URL of the host is requested.
//!
//! Invariant: the end of a recorded wait is never moved to an earlier time. If more than [`HOSTS_MOST`] hosts
//! require a wait, some waits are forgotten. A wait that is longer than [`RECORDED_MOST`] is recorded as a
//! wait of this length.

use crate::clock;
use crate::trace::RETRY;
use downhaul_core::error::{Error, ErrorKind, Pause, Why};
use downhaul_core::retry::LONGEST_PAUSE;
use downhaul_core::show;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// The highest number of hosts whose waits are recorded. A run rarely has files of so many hosts. If there
/// are more, the wait that ends first is forgotten.
const HOSTS_MOST: usize = 1024;

/// The longest wait that is recorded. The time spans of rate limits are rarely longer than an hour. After a
/// wait of this length, the response to one request shows if the host still refuses requests.
const RECORDED_MOST: Duration = Duration::from_secs(3600);

/// The time when the wait of each host ends.
#[derive(Default)]
pub(super) struct Pauses(Mutex<HashMap<String, Instant>>);

impl Pauses {
    /// Checks that a request for `url` may be sent to its host now.
    ///
    /// # Errors
    /// Returns `http.busy` with the pause until the wait of the host is over. If this pause would be longer
    /// than [`LONGEST_PAUSE`], returns `http.later`.
    pub(super) fn check(&self, url: &Url) -> Result<(), Error> {
        let Some(wait) = self.remaining(url.host_str().unwrap_or_default()) else { return Ok(()) };
        let at = show::url(url);
        if wait > LONGEST_PAUSE {
            let detail = format!("downhaul sends no request to this host before {}", end(wait));
            return Err(Error::new(ErrorKind::HttpLater, at, detail));
        }
        let error = Error::new(ErrorKind::HttpBusy, at, "the host required a pause for all requests");
        Err(error.with_pause(Pause { wait, why: Why::Known }))
    }

    /// Returns the time that must pass before a request may be sent to the host, or `None` if a request may
    /// be sent now.
    fn remaining(&self, host: &str) -> Option<Duration> {
        let hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = hosts.get(host)?.checked_duration_since(clock::instant());
        left.filter(|left| !left.is_zero())
    }

    /// Records a wait that the host requires.
    pub(super) fn pause(&self, host: &str, wait: Duration) {
        tracing::info!(target: RETRY, host, ?wait, "the host asked for a pause");
        let now = clock::instant();
        let until = now + wait.min(RECORDED_MOST);
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.retain(|_, end| *end > now);
        if hosts.len() >= HOSTS_MOST && !hosts.contains_key(host) {
            let first = hosts.iter().min_by_key(|(_, end)| **end).map(|(host, _)| host.clone());
            first.map(|first| hosts.remove(&first));
        }
        let end = hosts.entry(host.to_string()).or_insert(until);
        *end = until.max(*end);
    }
}

/// Returns a text for the user that says until when a host allows no request.
pub(super) fn not_before(wait: Duration) -> String {
    format!("no request may be sent before {}", end(wait))
}

/// Returns the time after this wait, as a text for the user.
fn end(wait: Duration) -> String {
    match clock::wall().checked_add(wait) {
        // Dates more than ten years from now are not useful, and httpdate cannot write dates after the year
        // 9999.
        Some(at) if wait < Duration::from_secs(10 * 365 * 86_400) => httpdate::fmt_http_date(at),
        _ => "a date more than ten years from now".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_shorter_pause_does_not_replace_a_longer_one() {
        let pauses = Pauses::default();
        let second = Duration::from_secs(1);
        pauses.pause("h", second * 5);
        pauses.pause("h", second);
        assert_eq!((pauses.remaining("h"), pauses.remaining("other")), (Some(second * 5), None));
        tokio::time::sleep(second * 6).await;
        assert_eq!(pauses.remaining("h"), None);
        pauses.pause("other", second);
        assert_eq!(pauses.0.lock().expect("no panic").len(), 1, "a pause that is over is forgotten");
        for n in 0..2 * HOSTS_MOST {
            pauses.pause(&format!("h{n}"), second * 5);
        }
        assert_eq!(pauses.0.lock().expect("no panic").len(), HOSTS_MOST);
        assert_eq!(pauses.remaining("other"), None, "this pause would have ended first");
    }
}
