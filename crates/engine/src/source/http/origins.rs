//! Remembers the facts about each origin that decide between HTTP/1.1 and HTTP/2, and its HTTP/2 connection.
//!
//! Invariant: each runtime has an HTTP/2 connection of its own to an origin. If HTTP/2 failed for a route on
//! one runtime, no runtime uses HTTP/2 for this route.

use super::body::HttpResponse;
use super::http2::Connection;
use super::route::Route;
use crate::clock;
use crate::source::SMALL_FILE;
use downhaul_core::error::Error;
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::{self, Handle};
use tokio::time::Instant;

/// The highest number of origins that are remembered, because a list may have a million origins. If an origin
/// is forgotten, a few more of its files are fetched over HTTP/1.1.
const ORIGINS_MOST: usize = 1024;

/// The facts about the origins, for each route and runtime. Each runtime has connections of its own (see
/// [`super::http1`]).
#[derive(Default)]
pub(super) struct Origins(Mutex<HashMap<(Route, runtime::Id), Arc<Origin>>>);

/// The facts about an origin that earlier requests have shown.
#[derive(Default)]
pub(super) struct Origin {
    /// The number of small files that arrived since the last file that was not small.
    pub(super) small_files: AtomicU32,
    /// True after a file of the origin was large, or had no known size.
    pub(super) has_large_files: AtomicBool,
    /// True if the origin does not support HTTP/2, or if HTTP/2 failed there.
    pub(super) unusable: Arc<AtomicBool>,
    connection: Mutex<Option<SharedConnection>>,
}

/// A connection that is opened once for all requests that need it. The result is `None` if the server does
/// not support HTTP/2.
pub(super) type SharedConnection = future::Shared<BoxFuture<'static, Result<Option<Arc<Connection>>, Error>>>;

impl Origins {
    /// Returns the facts about the origin of a route, for the current runtime.
    pub(super) fn of(&self, route: &Route) -> Arc<Origin> {
        let key = (route.clone(), Handle::current().id());
        let mut origins = self.lock();
        if let Some(origin) = origins.get(&key) {
            return origin.clone();
        }
        if origins.len() >= ORIGINS_MOST {
            origins.retain(|_, origin| origin.is_used());
        }
        // If HTTP/2 failed for this route on one runtime, no runtime uses HTTP/2 for this route.
        let same = origins.iter().find(|((other, _), _)| other == route);
        let unusable = same.map(|(_, origin)| origin.unusable.clone()).unwrap_or_default();
        let new = || Arc::new(Origin { unusable, ..Origin::default() });
        origins.entry(key).or_insert_with(new).clone()
    }

    /// Closes the HTTP/2 connection that was idle for the longest time. Returns false if no connection was
    /// idle for at least the time `least`, or if another thread has locked that connection.
    pub(super) fn close_idle(&self, least: Duration) -> bool {
        let now = clock::instant();
        let origins = self.lock();
        let idle = origins.values().filter_map(|origin| Some((origin.idle_since()?, origin)));
        let longest = idle.min_by_key(|(since, _)| *since);
        match longest.filter(|(since, _)| now.duration_since(*since) >= least) {
            Some((_, origin)) => origin.connection.try_lock().map(|mut shared| *shared = None).is_ok(),
            None => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Route, runtime::Id), Arc<Origin>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Origin {
    /// Counts the file of a response with status 200 if the file is small. A file that is large or has no
    /// known size sets the count to 0, and the HTTP/2 connection of the origin gets no new requests.
    pub(super) fn learn_from(&self, response: &HttpResponse) {
        if response.status() != StatusCode::OK {
            return;
        }
        let length = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        if length.and_then(|length| length.parse::<u64>().ok()).is_some_and(|length| length <= SMALL_FILE) {
            self.small_files.fetch_add(1, Ordering::Relaxed);
        } else {
            self.small_files.store(0, Ordering::Relaxed);
            self.has_large_files.store(true, Ordering::Relaxed);
            *self.connection() = None;
        }
    }

    /// Makes sure that no further request is sent over this connection.
    pub(super) fn retire(&self, connection: &Arc<Connection>) {
        let mut current = self.connection();
        let made = current.clone().and_then(FutureExt::now_or_never);
        if matches!(made, Some(Ok(Some(one))) if Arc::ptr_eq(&one, connection)) {
            *current = None;
        }
    }

    /// Returns true if the origin has an open connection, if a connection is being opened, or if another
    /// thread has locked the origin's connection.
    fn is_used(&self) -> bool {
        let Ok(current) = self.connection.try_lock() else { return true };
        current.as_ref().is_some_and(|shared| match shared.peek() {
            None => true,
            Some(made) => matches!(made, Ok(Some(connection)) if connection.is_open()),
        })
    }

    fn idle_since(&self) -> Option<Instant> {
        // If another thread has locked the connection, the connection is in use.
        let shared = self.connection.try_lock().ok()?.clone()?;
        shared.now_or_never()?.ok()??.idle_since()
    }

    pub(super) fn connection(&self) -> MutexGuard<'_, Option<SharedConnection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
