//! Sends requests over HTTP/1.1 connections, and keeps idle connections in a pool. A connection serves one
//! request after the other.
//!
//! Invariant: a connection in the pool is idle, and its last response was read to the end. A connection is
//! used only on the tokio runtime that drives it. On another runtime, each request would have to wake a
//! second thread.

use super::body::{Carrier, HttpResponse};
use super::failure;
use super::request::HttpRequest;
use super::response_head::{HeadState, LenientStream};
use super::route::Route;
use super::transport::{Connector, Offer, Transport};
use crate::clock;
use crate::trace::NET;
use bytes::Bytes;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::head::LINES_MOST;
use downhaul_core::settings::Settings;
use downhaul_core::show;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tracing::debug;
use url::Url;

/// The longest time that a connection may be idle and still be used again. Common servers close idle
/// connections after 5 s (Apache) to 75 s (nginx). A request on a connection that is being closed costs a
/// round trip.
const IDLE_LIMIT: Duration = Duration::from_secs(30);

/// The longest wait until a connection is closed. Its runtime needs less than a millisecond for this, unless
/// the thread of the runtime waits for a disk.
const CLOSING_MOST: Duration = Duration::from_millis(100);

/// An HTTP/1.1 connection for one route.
pub(super) struct Connection {
    /// Each connection has one clone of `Pool::alive`, so that the pool can count the connections.
    _alive: Arc<()>,
    sender: http1::SendRequest<Full<Bytes>>,
    head_state: Arc<HeadState>,
    route: Route,
    /// The address of the server, if the connection leads to it directly.
    server: Option<IpAddr>,
    runtime: runtime::Id,
    /// Ends when the socket is closed.
    closed: oneshot::Receiver<()>,
    idle_since: Instant,
}

/// Idle connections, and the connector for new ones.
pub(super) struct Pool {
    /// The connection that was used last is at the end of the queue.
    idle: Mutex<VecDeque<Connection>>,
    connector: Arc<Connector>,
    alive: Arc<()>,
    /// If more connections than this exist, busy or idle, the oldest idle ones are closed.
    most: usize,
    /// True after a response could not be parsed. That response may have had more header lines than the 100
    /// that hyper accepts by default. From then on, new connections accept [`LINES_MOST`] lines. Before that,
    /// they accept only 100, because with more lines hyper would clear 64 KiB of memory for each response.
    many_lines: AtomicBool,
    keeps_heads: bool,
}

impl Pool {
    pub(super) fn new(settings: &Settings, connector: Arc<Connector>) -> Arc<Self> {
        let most = settings.max_connections;
        Arc::new(Pool {
            idle: Mutex::default(),
            connector,
            alive: Arc::default(),
            most,
            many_lines: AtomicBool::new(false),
            keeps_heads: settings.keeps_transcripts,
        })
    }

    /// Sends a request over an idle connection, or over a new one. `timeout_after` is the time limit for the
    /// head of the response.
    ///
    /// # Errors
    /// Returns an error if no connection can be opened, or if no valid head of a response arrives in time.
    pub(super) async fn send(
        self: &Arc<Self>,
        route: &Route,
        url: &Url,
        request: &HttpRequest,
        timeout_after: Duration,
    ) -> Result<HttpResponse, Error> {
        let at = show::url(url);
        // A server may close an idle connection at any moment. A request with a safe method (RFC 9110,
        // section 9.2.1) changes nothing on the server, so it can be sent again after that. All other
        // requests use a new connection.
        let is_safe = request.method().is_safe();
        let idle = if is_safe { self.take_idle(route).await } else { None };
        if let Some(mut connection) = idle {
            debug!(target: NET, url = at, http = "1.1", connection = "reused", "sending the request");
            match timeout(timeout_after, connection.send(request.clone())).await {
                Ok(Ok(response)) => return Ok(self.response(connection, response, at)),
                // The server may have closed the idle connection while the request was sent, or may have sent
                // bytes after the end of its last response. Its response may also have too many header lines.
                // The job does not fail, because a request with a safe method can be sent again on a new
                // connection.
                Ok(Err(e)) => {
                    debug!(target: NET, error = %e, "the idle connection could not be used");
                    self.may_have_many_lines(&e);
                }
                Err(_) => return Err(silence_error(&at, timeout_after)),
            }
        }
        loop {
            // The future of a new connection is boxed, so that the futures of all other requests stay small.
            let mut connection = Box::pin(self.dial(url, route)).await?;
            debug!(target: NET, url = at, http = "1.1", connection = "new", "sending the request");
            match timeout(timeout_after, connection.send(request.clone())).await {
                Ok(Ok(response)) => return Ok(self.response(connection, response, at)),
                Ok(Err(e)) if self.may_have_many_lines(&e) && is_safe => {}
                Ok(Err(e)) => return Err(failure::of_request(&e, &at)),
                Err(_) => return Err(silence_error(&at, timeout_after)),
            }
        }
    }

    /// Returns true the first time that `error` says that a response cannot be parsed. The response may have
    /// had too many header lines. New connections accept more of them, so the request can be sent again.
    fn may_have_many_lines(&self, error: &hyper::Error) -> bool {
        error.is_parse() && !self.many_lines.swap(true, Ordering::Relaxed)
    }

    /// Adds a new connection to the pool. The connection was opened for HTTP/2, but the server does not
    /// support HTTP/2.
    pub(super) async fn adopt(&self, transport: Transport, route: &Route, url: &Url) {
        // If this fails, the next request opens a connection and reports the error.
        if let Ok(connection) = self.open(transport, route, &show::url(url)).await {
            self.put(connection);
        }
    }

    /// Removes an idle connection of the route, if there is one, so that an HTTP/2 connection can replace it.
    pub(super) fn take_one_idle(&self, route: &Route) -> Option<Connection> {
        let mut idle = self.idle();
        let last = idle.iter().rposition(|connection| connection.route == *route);
        last.and_then(|last| idle.remove(last))
    }

    pub(super) fn put(&self, mut connection: Connection) {
        connection.idle_since = clock::instant();
        let mut idle = self.idle();
        idle.push_back(connection);
        self.close_surplus(&mut idle, self.most);
    }

    /// Closes idle connections that were idle for too long. Also closes the oldest idle connections while
    /// there are more than `most` connections.
    fn close_surplus(&self, idle: &mut VecDeque<Connection>, most: usize) {
        let too_many = || Arc::strong_count(&self.alive) > most + 1;
        while idle.front().is_some_and(|oldest| too_many() || !oldest.is_fresh()) {
            idle.pop_front();
        }
    }

    /// Takes the idle connection of the route that was used last on this runtime and is still open.
    async fn take_idle(&self, route: &Route) -> Option<Connection> {
        let here = Handle::current().id();
        loop {
            let mut connection = {
                let mut idle = self.idle();
                let fits = |one: &Connection| one.runtime == here && one.route == *route;
                let last = idle.iter().rposition(fits)?;
                idle.remove(last)?
            };
            if connection.is_fresh() && connection.sender.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    /// Closes an idle connection of the route that another runtime drives, if there is one, and waits until
    /// it is closed. So several runtimes together do not open more connections to a host than one runtime
    /// would open.
    async fn close_one_elsewhere(&self, route: &Route) {
        let here = Handle::current().id();
        let connection = {
            let mut idle = self.idle();
            let elsewhere = idle.iter().position(|one| one.runtime != here && one.route == *route);
            elsewhere.and_then(|at| idle.remove(at))
        };
        if let Some(connection) = connection {
            connection.close().await;
        }
    }

    async fn dial(&self, url: &Url, route: &Route) -> Result<Connection, Error> {
        self.close_one_elsewhere(route).await;
        self.close_surplus(&mut self.idle(), self.most.saturating_sub(1));
        let transport = self.connector.connect(route, url, Offer::Http1).await?;
        self.open(transport, route, &show::url(url)).await
    }

    async fn open(&self, transport: Transport, route: &Route, at: &str) -> Result<Connection, Error> {
        let head_state = Arc::new(HeadState::new(self.keeps_heads));
        let server = if route.gateway().is_none() { transport.peer() } else { None };
        let (sender, closed) = match transport {
            Transport::Plain(stream) => self.handshake(stream, head_state.clone(), at).await?,
            Transport::Secure(stream) => self.handshake(stream, head_state.clone(), at).await?,
        };
        Ok(Connection {
            _alive: self.alive.clone(),
            sender,
            head_state,
            route: route.clone(),
            server,
            runtime: Handle::current().id(),
            closed,
            idle_since: clock::instant(),
        })
    }

    async fn handshake<S>(
        &self,
        stream: S,
        head_state: Arc<HeadState>,
        at: &str,
    ) -> Result<(http1::SendRequest<Full<Bytes>>, oneshot::Receiver<()>), Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let most = self.connector.read_size;
        // The limit is one byte below the size of hyper's buffer, because hyper refuses a head that fills the
        // buffer.
        let stream = LenientStream::new(stream, head_state, most - 1);
        let mut builder = http1::Builder::new();
        if self.many_lines.load(Ordering::Relaxed) {
            builder.max_headers(LINES_MOST);
        }
        let (sender, driver) = builder
            .max_buf_size(most)
            // A request is sent as one buffer. The kernel needs less time for a call with one buffer.
            .writev(false)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| failure::of_request(&e, at))?;
        // The task ends when the sender and the body are dropped, or when the server closes the connection.
        // The sender and the body report the error of the connection.
        let (open, closed) = oneshot::channel();
        tokio::spawn(async move {
            let _ = driver.await;
            drop(open);
        });
        Ok((sender, closed))
    }

    fn response(
        self: &Arc<Self>,
        connection: Connection,
        response: http::Response<hyper::body::Incoming>,
        at: String,
    ) -> HttpResponse {
        let dropped = connection.head_state.take_dropped();
        let head = connection.head_state.take_head();
        HttpResponse::new(response, Carrier::Http1(connection, Arc::downgrade(self)), at, dropped)
            .with_head(head)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, VecDeque<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    async fn send(&mut self, request: HttpRequest) -> hyper::Result<http::Response<hyper::body::Incoming>> {
        self.head_state.expect_head();
        self.sender.send_request(request).await
    }

    /// Closes an idle connection, and waits at most [`CLOSING_MOST`] until it is closed.
    pub(super) async fn close(self) {
        drop(self.sender);
        let _ = timeout(CLOSING_MOST, self.closed).await;
    }

    pub(super) fn server(&self) -> Option<IpAddr> {
        self.server
    }

    /// Records that the reader of the body received bytes.
    pub(super) fn delivered(&self) {
        self.head_state.delivered();
    }

    fn is_fresh(&self) -> bool {
        clock::instant().duration_since(self.idle_since) < IDLE_LIMIT
    }
}

fn silence_error(at: &str, timeout_after: Duration) -> Error {
    Error::new(ErrorKind::NetSilent, at, format!("no response within {} s", timeout_after.as_secs_f64()))
}
