//! Limits how many files log in to a server at the same time.
//!
//! If redirects lead files to a server for a login, one file at a time logs in there. The other files wait,
//! and then begin their requests again, since the server usually sends a cookie that all files can use. A
//! file that began before the last login ended also begins again, since it was redirected without that
//! cookie. A file begins again at most once, so that a login that sets no cookie costs each file only one
//! more redirect ([`Gates::enter`]).
//!
//! A login that the server has not accepted yet is sent in only one request at a time, so that each refusal
//! of a wrong login is counted before this login is sent again ([`Gates::hold`]).
//!
//! Both rules hold for the first [`SERVERS_MOST`] servers.

use crate::clock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use url::Url;

/// The highest number of servers that are remembered. A list usually has only a few servers with logins. The
/// files of further servers do not wait for each other.
const SERVERS_MOST: usize = 256;

/// The gate of a server, with the time when the last login there ended.
type Gate = tokio::sync::Mutex<Option<Instant>>;

/// The servers at which files log in.
#[derive(Default)]
pub(super) struct Gates(Mutex<HashMap<String, Arc<Gate>>>);

/// The state of one file at the gate of a server.
pub(super) struct Visitor {
    /// The time when the file sent its first request.
    began: Instant,
    /// Present while this file logs in. The next file may log in when this value is dropped.
    inside: Option<OwnedMutexGuard<Option<Instant>>>,
    begins_again: bool,
}

impl Visitor {
    /// Returns the state of a file that sends its first request now.
    pub(super) fn new() -> Visitor {
        Visitor { began: clock::instant(), inside: None, begins_again: false }
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        if let Some(left) = self.inside.as_deref_mut() {
            *left = Some(clock::instant());
        }
    }
}

impl Gates {
    /// Waits until the file may log in. Returns true if the file must begin its requests again, because
    /// another file has logged in since this one began. This method returns true at most once for each file.
    pub(super) async fn enter(&self, url: &Url, visitor: &mut Visitor) -> bool {
        if visitor.begins_again || visitor.inside.is_some() {
            return false;
        }
        let Some(gate) = self.gate(url) else { return false };
        let inside = gate.lock_owned().await;
        if inside.is_some_and(|left| left >= visitor.began) {
            visitor.begins_again = true;
            return true;
        }
        visitor.inside = Some(inside);
        false
    }

    /// Waits until no other request is at the gate of the server, and holds the gate until the returned value
    /// is dropped. If the server has no gate, returns `None` at once.
    pub(super) async fn hold(&self, url: &Url) -> Option<OwnedMutexGuard<Option<Instant>>> {
        Some(self.gate(url)?.lock_owned().await)
    }

    fn gate(&self, url: &Url) -> Option<Arc<Gate>> {
        let origin = url.origin().ascii_serialization();
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = gates.len() < SERVERS_MOST || gates.contains_key(&origin);
        has_room.then(|| gates.entry(origin).or_default().clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_file_that_began_before_the_last_login_ended_begins_again_once() {
        let (gates, url) = (Gates::default(), Url::parse("https://h/login").expect("a URL"));
        let second = Duration::from_secs(1);
        let (mut first, mut early, mut late) = (Visitor::new(), Visitor::new(), Visitor::new());
        assert!(!gates.enter(&url, &mut first).await, "no file has logged in");
        let waiting = gates.enter(&url, &mut early);
        assert!(tokio::time::timeout(second, waiting).await.is_err(), "one file logs in at a time");
        drop(first);
        assert!(gates.enter(&url, &mut early).await);
        assert!(gates.enter(&url, &mut late).await, "it began before the login ended");
        assert!(!gates.enter(&url, &mut early).await && !gates.enter(&url, &mut late).await);
        tokio::time::advance(second).await;
        assert!(!gates.enter(&url, &mut Visitor::new()).await, "it began after the login ended");
    }
}
