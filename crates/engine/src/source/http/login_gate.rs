//! Lets one file at a time log in at a server that redirects lead to. The others wait and begin again, since
//! such a login usually brings a cookie for all of them.
//!
//! Invariant: a file waits once at most, so that a login without a cookie only costs a redirect.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;
use url::Url;

/// The most servers that are remembered. A list has few where people log in; for more, each file logs in by
/// itself.
const SERVERS_MOST: usize = 256;

/// The servers where files log in.
#[derive(Default)]
pub(super) struct Gates(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

/// What one file does at the gates.
#[derive(Default)]
pub(super) struct Visitor {
    /// It logs in now. The next one may when this is dropped.
    inside: Option<OwnedMutexGuard<()>>,
    has_waited: bool,
}

impl Gates {
    /// Lets a file in. Returns true if another one logged in meanwhile, so that this one must begin again.
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

    fn gate(&self, url: &Url) -> Option<Arc<tokio::sync::Mutex<()>>> {
        let origin = url.origin().ascii_serialization();
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = gates.len() < SERVERS_MOST || gates.contains_key(&origin);
        has_room.then(|| gates.entry(origin).or_default().clone())
    }
}
