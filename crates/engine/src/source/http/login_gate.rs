//! Limits how many files log in to a server at the same time.
//!
//! If redirects lead to the server, the other files wait, and then begin their requests again, since the
//! server usually sends a cookie for all of them. Such a file waits at most once, so that a login without a
//! cookie costs only one more redirect ([`Gates::enter`]).
//!
//! A login that the server has not accepted yet is in one request at a time, so that the refusals of a wrong
//! login are counted before it is sent again ([`Gates::hold`]).
//!
//! Both rules hold for the first [`SERVERS_MOST`] servers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;
use url::Url;

/// The highest number of servers that are remembered. A list usually has only a few servers with logins. If
/// there are more servers, the files of the further servers do not wait for each other.
const SERVERS_MOST: usize = 256;

/// The servers at which files log in.
#[derive(Default)]
pub(super) struct Gates(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

/// The state of one file at the gate of a server.
#[derive(Default)]
pub(super) struct Visitor {
    /// Present while this file logs in. The next file may log in when this value is dropped.
    inside: Option<OwnedMutexGuard<()>>,
    has_waited: bool,
}

impl Gates {
    /// Waits until the file may log in. Returns true if the file has waited for another one, and must begin
    /// again.
    pub(super) async fn enter(&self, url: &Url, visitor: &mut Visitor) -> bool {
        if visitor.has_waited || visitor.inside.is_some() {
            return false;
        }
        let Some(gate) = self.gate(url) else { return false };
        if let Ok(inside) = gate.clone().try_lock_owned() {
            visitor.inside = Some(inside);
            return false;
        }
        drop(gate.lock().await);
        visitor.has_waited = true;
        true
    }

    /// Waits until no other request is at the gate of the server, and holds the gate until the returned value
    /// is dropped. If the server has no gate, returns `None` at once.
    pub(super) async fn hold(&self, url: &Url) -> Option<OwnedMutexGuard<()>> {
        Some(self.gate(url)?.lock_owned().await)
    }

    fn gate(&self, url: &Url) -> Option<Arc<tokio::sync::Mutex<()>>> {
        let origin = url.origin().ascii_serialization();
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = gates.len() < SERVERS_MOST || gates.contains_key(&origin);
        has_room.then(|| gates.entry(origin).or_default().clone())
    }
}
