//! Chooses HTTP/1.1 or HTTP/2 for each request. [`super::origins`] remembers the facts about each origin on
//! which this choice depends.
//!
//! Invariant: unless the user allows only HTTP/2, HTTP/2 is used only for small whole files over https, and
//! only for requests with a safe method such as GET. A file counts as small if its list states a small size.
//! If no list states its size, it counts as small if the last files of its origin were small. It also counts
//! as small if small files of its host came over HTTP/2 before, in this run or in an earlier one, and no file
//! of its origin was large or of unknown size in this run. For many small files, one shared connection saves
//! handshakes. For a large file, such a connection is slow, because all segments would share one congestion
//! window. If HTTP/2 fails before the head of a response, and HTTP/1.1 is allowed, the same request is sent
//! over HTTP/1.1.

use super::body::HttpResponse;
use super::http1::Pool;
use super::http2::{Connection, SendError};
use super::origins::{Origin, Origins, SharedConnection};
use super::proxy::forward;
use super::request::HttpRequest;
use super::route::Route;
use super::transport::{Connector, Offer};
use crate::credentials::Peer;
use crate::source::{Request, SMALL_FILE};
use crate::trace::NET;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::settings::{HttpVersion, Settings};
use downhaul_core::show;
use futures_util::FutureExt;
use http::header::PROXY_AUTHORIZATION;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tracing::debug;
use url::Url;

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

/// The highest number of times that the same request is sent over HTTP/2 if the server does not process it.
/// The request is first sent again over the same connection, and then over other connections. A server that
/// closes the connection after each request loses the other requests that arrived at the same time. If eight
/// requests are sent at the same time, each of them is served within eight attempts.
const TRIES_MOST: u32 = 8;

pub(super) struct Dispatcher {
    settings: Arc<Settings>,
    connector: Arc<Connector>,
    http1: Arc<Pool>,
    origins: Origins,
    /// Each HTTP/2 connection has one clone of this value, so that the connections can be counted.
    alive: Arc<()>,
}

impl Dispatcher {
    /// Creates the dispatcher.
    ///
    /// # Errors
    /// Returns an error if certificates or keys cannot be read, or if DNS over HTTPS cannot be set up.
    pub(super) fn new(settings: Arc<Settings>) -> Result<Self, Error> {
        let connector = Arc::new(Connector::new(&settings)?);
        let http1 = Pool::new(&settings, connector.clone());
        Ok(Dispatcher { settings, connector, http1, origins: Origins::default(), alive: Arc::default() })
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
                // The future is boxed, so that the futures of requests without a proxy stay small.
                Box::pin(forward::send(&self.http1, (&route, gateway), url, http_request, patience)).await
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
        // This header is for proxies only. [`super::proxy`] adds it to the requests that are sent to a proxy.
        http_request.headers_mut().remove(PROXY_AUTHORIZATION);
        let may_use_http2 = match self.settings.http_version {
            HttpVersion::One => false,
            // After a failure of HTTP/2, a request is sent again over HTTP/1.1. So only requests with a safe
            // method use HTTP/2.
            HttpVersion::Auto => url.scheme() == "https" && http_request.method().is_safe(),
            HttpVersion::Two => true,
        };
        let origin = may_use_http2.then(|| self.origins.of(route));
        // The future is boxed, so that the futures of requests over HTTP/1.1 stay small.
        let over_http2 = match &origin {
            Some(origin) => {
                Box::pin(self.send_over_http2(origin, route, url, &http_request, request)).await?
            }
            None => None,
        };
        let response = match over_http2 {
            Some(response) => response,
            None => self.http1.send(route, url, &http_request, self.settings.timeout).await?,
        };
        // Only files whose size no list states are counted, because only their sizes must be guessed.
        let is_counted = request.is_for_everything() && request.size.is_none() && !self.http2_only();
        if let Some(origin) = origin.filter(|_| is_counted) {
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
        Some(current.insert(self.connect(route, url, origin.unusable.clone())).clone())
    }

    fn connect(&self, route: &Route, url: &Url, unusable: Arc<AtomicBool>) -> SharedConnection {
        let (connector, http1, settings) =
            (self.connector.clone(), self.http1.clone(), self.settings.clone());
        let (route, url) = (route.clone(), url.clone());
        let (alive, http2_only) = (self.alive.clone(), self.http2_only());
        let offer = if http2_only { Offer::Http2 } else { Offer::Both };
        let replaced = self.http1.take_one_idle(&route);
        async move {
            if let Some(replaced) = replaced {
                replaced.close().await;
            }
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
        self.origins.close_idle(least)
    }

    fn http2_only(&self) -> bool {
        self.settings.http_version == HttpVersion::Two
    }
}
