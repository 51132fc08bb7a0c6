//! Limits how many requests log in to a server at the same time. For this purpose, a server has a *gate*: a
//! lock that one request holds while it logs in.
//!
//! A redirect may lead a request to another server, at which the request must log in with a user name and a
//! password. At that server, one request at a time logs in. The other requests wait, and then start again at
//! their first URL, since the server usually has set a cookie that makes further logins unnecessary. A
//! request that was sent before the last login ended also starts again, since it was redirected without that
//! cookie. A request starts again at most once, and does not wait at a gate after that. So if the logins set
//! no cookie, each request follows its redirects only once more ([`Gates::enter`]).
//!
//! A user name and a password that the server has not accepted yet are sent in only one request at a time. So
//! each refusal of a wrong password is counted before this password is sent again ([`Gates::hold`]).
//!
//! Both rules hold for the first [`SERVERS_MOST`] servers.

use crate::clock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use url::Url;

/// The highest number of servers that have a gate. A list usually has only a few servers at which requests
/// log in. At further servers, the requests do not wait for each other.
const SERVERS_MOST: usize = 256;

/// The gate of a server. Its value is the time when the last login after a redirect to this server ended, or
/// `None` if no such login has ended.
type Gate = tokio::sync::Mutex<Option<Instant>>;

#[derive(Default)]
pub(super) struct Gates(Mutex<HashMap<String, Arc<Gate>>>);

/// The state of one request, together with its redirects, at the gates of servers.
pub(super) struct Visitor {
    /// The time when the request was sent to its first URL.
    began: Instant,
    /// The gate, while this request logs in. The next request may log in when this value is dropped.
    inside: Option<OwnedMutexGuard<Option<Instant>>>,
    /// True after the request had to start again.
    begins_again: bool,
}

impl Visitor {
    /// Returns the state of a request that is sent to its first URL now.
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
    /// Waits until the request may log in at the server of `url`. Returns true if the request must start
    /// again at its first URL, because another request has logged in since this request was first sent. This
    /// method returns true at most once for each visitor. A request that has started again, or already holds
    /// a gate, does not wait.
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

    /// Waits until no other request holds the gate of the server, and holds the gate until the returned value
    /// is dropped. If the server has no gate, because [`SERVERS_MOST`] other servers have one, returns `None`
    /// at once.
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
        assert!(!gates.enter(&url, &mut first).await, "no request has logged in");
        let waiting = gates.enter(&url, &mut early);
        assert!(tokio::time::timeout(second, waiting).await.is_err(), "one request logs in at a time");
        drop(first);
        assert!(gates.enter(&url, &mut early).await);
        assert!(gates.enter(&url, &mut late).await, "it began before the login ended");
        assert!(!gates.enter(&url, &mut early).await && !gates.enter(&url, &mut late).await);
        tokio::time::advance(second).await;
        assert!(!gates.enter(&url, &mut Visitor::new()).await, "it began after the login ended");
    }
}
