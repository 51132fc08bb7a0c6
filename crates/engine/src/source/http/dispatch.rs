//! Chooses HTTP/1.1 or HTTP/2 for each request, and remembers the facts about each origin on which this
//! choice depends.
//!
//! Invariant: unless the user allows only HTTP/2, HTTP/2 is used only for small whole files over https, and
//! only for requests with a safe method such as GET. A file counts as small if its list states a small size.
//! If no list states its size, it counts as small if the last files of its origin were small. It also counts
//! as small if small files of its host came over HTTP/2 before, in this run or in an earlier one, and no file
//! of its origin was large in this run. For many small files, one shared connection saves handshakes. For a
//! large file, such a connection is slow, because all segments would share one congestion window. If HTTP/2
//! fails before the head of a response, and HTTP/1.1 is allowed, the same request is sent over HTTP/1.1.

use super::body::HttpResponse;
use super::http1::Pool;
use super::http2::{Connection, SendError};
use super::proxy::forward;
use super::request::HttpRequest;
use super::route::Route;
use super::transport::{Connector, Offer};
use crate::clock;
use crate::credentials::Peer;
use crate::source::Request;
use crate::trace::NET;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::settings::{HttpVersion, Settings};
use downhaul_core::show;
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, PROXY_AUTHORIZATION};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::{self, Handle};
use tokio::time::Instant;
use tracing::debug;
use url::Url;

/// The largest size of a small file, in bytes. On common networks, such a file arrives in a few round trips,
/// before another connection could help.
const SMALL_FILE: u64 = 256 * 1024;

/// After this many small files in a row, the next files of an origin are assumed to be small. HTTP/2 then
/// needs one more handshake, which takes less time than HTTP/2 saves for this many files.
const SMALL_FILES_IN_A_ROW: u32 = 8;

/// While an HTTP/2 connection has this many open requests, further requests are sent over HTTP/1.1, unless
/// the user allows only HTTP/2. This many small files fit into the flow-control window of the connection (16
/// MiB), so no response has to wait until the bytes of another one are read. Servers should allow 100
/// requests or more (RFC 9113, section 6.5.2).
const STREAMS_MOST: usize = 64;

/// The highest number of HTTP/2 connections at once, unless the user allows only HTTP/2. Each connection may
/// have up to 16 MiB of unread bytes in memory.
const CONNECTIONS_MOST: usize = 4;

/// An HTTP/2 connection that was idle for this long may be closed if another origin needs one. In most lists,
/// the requests to one server are only seconds apart, so this connection is probably not needed again soon.
const IDLE_LEAST: Duration = Duration::from_secs(5);

/// The highest number of times that the same request is sent if the server does not process it. The request
/// is first sent again over the same connection, and then over other connections. A server that closes the
/// connection after each request loses the other requests that arrived at the same time. If eight requests
/// are sent at the same time, each of them is served within eight attempts.
const TRIES_MOST: u32 = 8;

/// The highest number of origins that are remembered, because a list may have a million origins. If an origin
/// is forgotten, a few more of its files are fetched over HTTP/1.1.
const ORIGINS_MOST: usize = 1024;

pub(super) struct Dispatcher {
    settings: Arc<Settings>,
    connector: Arc<Connector>,
    http1: Arc<Pool>,
    /// Each runtime has connections of its own (see [`super::http1`]).
    origins: Mutex<HashMap<(Route, runtime::Id), Arc<Origin>>>,
    /// Each HTTP/2 connection has one clone of this value, so that the connections can be counted.
    alive: Arc<()>,
}

/// The facts about an origin that earlier requests have shown.
#[derive(Default)]
struct Origin {
    /// The number of small files that arrived since the last file that was not small.
    small_files: AtomicU32,
    /// True after a file of the origin was large, or had no known size.
    has_large_files: AtomicBool,
    /// True if the origin does not support HTTP/2, or if HTTP/2 failed there.
    unusable: Arc<AtomicBool>,
    connection: Mutex<Option<SharedConnection>>,
}

/// A connection that is opened once for all requests that need it. The result is `None` if the server does
/// not support HTTP/2.
type SharedConnection = future::Shared<BoxFuture<'static, Result<Option<Arc<Connection>>, Error>>>;

impl Dispatcher {
    /// Creates the dispatcher.
    ///
    /// # Errors
    /// Returns an error if certificates or keys cannot be read, or if DNS over HTTPS cannot be set up.
    pub(super) fn new(settings: Arc<Settings>) -> Result<Self, Error> {
        let connector = Arc::new(Connector::new(&settings)?);
        let http1 = Pool::new(&settings, connector.clone());
        Ok(Dispatcher { settings, connector, http1, origins: Mutex::default(), alive: Arc::default() })
    }

    /// Sends `http_request`, which was built from `request`.
    ///
    /// # Errors
    /// Returns an error if no connection can be opened, or if no valid head of a response arrives.
    pub(super) async fn send(
        &self,
        url: &Url,
        peer: Peer,
        http_request: HttpRequest,
        request: &Request,
    ) -> Result<HttpResponse, Error> {
        let route = self.connector.route(url, peer);
        let result = match route.forwarder() {
            Some(gateway) => {
                let patience = self.settings.timeout;
                forward::send(&self.http1, (&route, gateway), url, http_request, patience).await
            }
            None => self.send_to_server(&route, url, http_request, request).await,
        };
        result.map_err(|error| {
            let error = self.connector.explained(&route, error);
            match route.gateway() {
                Some(gateway) => gateway.named_in(error),
                None => error,
            }
        })
    }

    async fn send_to_server(
        &self,
        route: &Route,
        url: &Url,
        mut http_request: HttpRequest,
        request: &Request,
    ) -> Result<HttpResponse, Error> {
        let patience = self.settings.timeout;
        // This header is for proxies only. [`super::proxy`] adds it to the requests that are sent to a proxy.
        http_request.headers_mut().remove(PROXY_AUTHORIZATION);
        let over_http1 = |request| self.http1.send(route, url, request, patience);
        match self.settings.http_version {
            HttpVersion::One => return over_http1(http_request).await,
            // After a failure of HTTP/2, a request is sent again over HTTP/1.1. So only requests with a safe
            // method use HTTP/2.
            HttpVersion::Auto if url.scheme() != "https" || !http_request.method().is_safe() => {
                return over_http1(http_request).await;
            }
            HttpVersion::Auto | HttpVersion::Two => {}
        }
        let origin = self.origin(route);
        let response = match self.send_over_http2(&origin, route, url, &http_request, request).await? {
            Some(response) => response,
            None => over_http1(http_request).await?,
        };
        // Only files whose size no list states are counted, because only their sizes must be guessed.
        if request.is_for_everything() && request.size.is_none() && !self.http2_only() {
            origin.learn_from(&response);
        }
        Ok(response)
    }

    /// Returns true if the host of the URL was reached at a public address, false if it was reached at a
    /// private one, and `None` if the address is not known.
    pub(super) fn is_public(&self, url: &Url) -> Option<bool> {
        self.connector.is_public(url)
    }

    /// Returns the last round-trip time of the direct connections to the server of a URL, if TCP measured it.
    pub(super) fn round_trip(&self, url: &Url) -> Option<Duration> {
        self.connector.round_trip(url)
    }

    /// Returns true if the URL has the scheme https, and the certificate of its server is checked.
    pub(super) fn is_verified(&self, url: &Url) -> bool {
        self.connector.is_verified(url)
    }

    /// Returns the proxy, without a user name and a password, if a proxy forwards the requests for this URL.
    pub(super) fn forwarder(&self, url: &Url) -> Option<String> {
        self.connector.route(url, Peer::default()).forwarder().map(|gateway| gateway.proxy.to_string())
    }

    /// Sends a request over HTTP/2. Returns `None` if the request must be sent over HTTP/1.1.
    async fn send_over_http2(
        &self,
        origin: &Origin,
        route: &Route,
        url: &Url,
        http_request: &HttpRequest,
        request: &Request,
    ) -> Result<Option<HttpResponse>, Error> {
        let mut refused = None;
        for tried in 0..TRIES_MOST {
            let Some(shared) = self.connection(origin, route, url, request) else { return Ok(None) };
            let failed = match shared.await {
                Ok(None) => return Ok(None),
                Err(error) => SendError::Broken(error),
                Ok(Some(connection)) => match connection.send(url, http_request.clone()).await {
                    Ok(response) => return Ok(Some(response)),
                    Err(failed) => {
                        // In its first bytes, a server states how many requests it accepts at the same time.
                        // These bytes may arrive after the request was sent. So the first refusal does not
                        // count as a failure of the connection.
                        if tried > 0 || !matches!(failed, SendError::NotProcessed(_)) {
                            origin.retire(&connection);
                        }
                        failed
                    }
                },
            };
            match failed {
                // The server may have processed the request before the connection ended.
                SendError::Closed(mut error) if !http_request.method().is_safe() => {
                    error.detail += ". The server may have processed the request";
                    return Err(error);
                }
                SendError::NotProcessed(error) | SendError::Leaving(error) | SendError::Closed(error) => {
                    refused = Some(error);
                }
                SendError::Broken(error) if self.http2_only() => return Err(error),
                SendError::Broken(error) => {
                    debug!(target: NET, origin = url.origin().ascii_serialization(), %error, "HTTP/2 failed: HTTP/1.1 is used from now on");
                    origin.unusable.store(true, Ordering::Relaxed);
                    return Ok(None);
                }
            }
        }
        if self.http2_only() {
            return refused.map_or(Ok(None), Err);
        }
        origin.unusable.store(true, Ordering::Relaxed);
        Ok(None)
    }

    /// Returns the HTTP/2 connection for a request, or `None` if the request should use HTTP/1.1. If there is
    /// no connection yet, it is opened when the result is awaited.
    fn connection(
        &self,
        origin: &Origin,
        route: &Route,
        url: &Url,
        request: &Request,
    ) -> Option<SharedConnection> {
        let http2_only = self.http2_only();
        let unusable = origin.unusable.load(Ordering::Relaxed);
        let mut current = origin.connection();
        let likely = request.likely_small && !origin.has_large_files.load(Ordering::Relaxed);
        let known = request.size.map(|size| size <= SMALL_FILE).or(likely.then_some(true));
        let small =
            known.unwrap_or_else(|| origin.small_files.load(Ordering::Relaxed) >= SMALL_FILES_IN_A_ROW);
        if !http2_only && (unusable || !request.is_for_everything() || !small) {
            // HTTP/2 must not increase the number of connections. So an HTTP/2 connection without open
            // requests is closed before HTTP/1.1 is used.
            let made = current.as_ref().and_then(|shared| shared.peek());
            if unusable || made.is_some_and(|made| !matches!(made, Ok(Some(one)) if one.streams() > 0)) {
                *current = None;
            }
            return None;
        }
        if let Some(shared) = &*current {
            match shared.clone().now_or_never() {
                // The HTTP/2 connection is still being opened. If the file is assumed to be small only
                // because the last files of the origin were small, the origin has already served files over
                // HTTP/1.1, and it is faster to use an HTTP/1.1 connection than to wait. Otherwise there may
                // be no HTTP/1.1 connection yet, and opening one is not faster.
                None => return (http2_only || known.is_some()).then(|| shared.clone()),
                Some(Ok(Some(connection))) if connection.is_open() => {
                    let has_room = http2_only || connection.streams() < STREAMS_MOST;
                    return has_room.then(|| shared.clone());
                }
                Some(_) => *current = None,
            }
        }
        if !self.free_a_place() && !http2_only {
            return None;
        }
        self.http1.close_one_idle(route);
        Some(current.insert(self.connect(route, url, origin.unusable.clone())).clone())
    }

    fn connect(&self, route: &Route, url: &Url, unusable: Arc<AtomicBool>) -> SharedConnection {
        let (connector, http1, settings) =
            (self.connector.clone(), self.http1.clone(), self.settings.clone());
        let (route, url) = (route.clone(), url.clone());
        let (alive, http2_only) = (self.alive.clone(), self.http2_only());
        let offer = if http2_only { Offer::Http2 } else { Offer::Both };
        async move {
            let transport = connector.connect(&route, &url, offer).await?;
            let at = show::url(&url);
            if transport.negotiated_http2() || (http2_only && url.scheme() == "http") {
                let transport = (transport, route.gateway().is_none());
                let connection = Connection::open(transport, &at, &settings, alive, unusable).await?;
                return Ok(Some(Arc::new(connection)));
            }
            if http2_only {
                return Err(Error::new(ErrorKind::HttpVersion, at, "it did not choose HTTP/2"));
            }
            unusable.store(true, Ordering::Relaxed);
            http1.adopt(transport, &route, &url).await;
            Ok(None)
        }
        .boxed()
        .shared()
    }

    /// Makes sure that one more HTTP/2 connection may be opened. If there are already [`CONNECTIONS_MOST`]
    /// connections, closes the connection that was idle for the longest time. Returns false if no connection
    /// was idle for long enough, or if another thread has locked that connection.
    fn free_a_place(&self) -> bool {
        if Arc::strong_count(&self.alive) - 1 < CONNECTIONS_MOST {
            return true;
        }
        let least = if self.http2_only() { Duration::ZERO } else { IDLE_LEAST };
        let now = clock::instant();
        let origins = self.origins();
        let idle = origins.values().filter_map(|origin| Some((origin.idle_since()?, origin)));
        let longest = idle.min_by_key(|(since, _)| *since);
        match longest.filter(|(since, _)| now.duration_since(*since) >= least) {
            Some((_, origin)) => origin.connection.try_lock().map(|mut shared| *shared = None).is_ok(),
            None => false,
        }
    }

    fn origin(&self, route: &Route) -> Arc<Origin> {
        let key = (route.clone(), Handle::current().id());
        let mut origins = self.origins();
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

    fn http2_only(&self) -> bool {
        self.settings.http_version == HttpVersion::Two
    }

    fn origins(&self) -> MutexGuard<'_, HashMap<(Route, runtime::Id), Arc<Origin>>> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Origin {
    /// Counts the file of a response with status 200 if the file is small. A file that is large or has no
    /// known size sets the count to 0, and the HTTP/2 connection of the origin gets no new requests.
    fn learn_from(&self, response: &HttpResponse) {
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
    fn retire(&self, connection: &Arc<Connection>) {
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

    fn connection(&self) -> MutexGuard<'_, Option<SharedConnection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
