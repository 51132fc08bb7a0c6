//! Sends requests over an HTTP/2 connection to one origin. Many requests share the connection.
//! [`super::dispatch`] decides when such a connection is opened.
//!
//! Invariants: the flow-control windows have a fixed size, so the unread bytes of a connection take limited
//! memory. Unless only HTTP/2 is allowed, `dispatch` limits the number of connections. The origin of a
//! connection is marked as unusable for HTTP/2 if a body breaks, or if the connection is silent for
//! [`silence_limit`] while a request waits for its response or a body is read. The origin is not marked if
//! only HTTP/2 is allowed.

use super::body::{Carrier, HttpResponse};
use super::failure;
use super::request::{self, HttpRequest};
use super::transport::Transport;
use crate::clock;
use crate::trace::NET;
use bytes::Bytes;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::settings::{HttpVersion, Settings};
use downhaul_core::show;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, timeout_at};
use tracing::debug;
use url::Url;

/// The number of bytes that a server may send over a connection before this program reads them. If only
/// HTTP/2 is allowed, the server may send this many bytes over each stream, and [`UNREAD`] times as many over
/// a connection. With hyper's default of 2 MiB, a stream reached only 26 MB/s at a round trip of 80 ms
/// (measured).
const WINDOW: u32 = 16 * 1024 * 1024;

/// If this many streams are not read, they fill the connection's window, and all other streams must wait. For
/// example, the stream of a file is not read while an existing file of the same name is checked on the disk.
const UNREAD: u32 = 4;

/// The longest head of a response, in bytes. With the connections and streams that `dispatch` allows, all
/// heads together take at most 16 MiB, as with HTTP/1.1. If a response has a longer head, the request is sent
/// again over HTTP/1.1, if that is allowed.
const HEAD_MOST: u32 = 64 * 1024;

/// A server has at least this time to answer a PING, even if `--timeout` is shorter. The round trip over a
/// satellite takes 0.6 s, and packets may wait for seconds in queues of the network.
const PING_LEAST: Duration = Duration::from_secs(3);

/// The smallest window of a stream, in bytes. This is the initial window of HTTP/2 (RFC 9113, section 6.9.2).
/// A much smaller window would slow down even a network of some kB/s.
const WINDOW_LEAST: u32 = 65_535;

/// The longest time for which an HTTP/2 connection may be silent before HTTP/1.1 is used. A server needs less
/// time for a small file, and it is acceptable that a run waits this long once.
const SILENCE_MOST: Duration = Duration::from_secs(10);

/// Returns how long a connection may be silent if HTTP/1.1 may be used in place of HTTP/2. This is at most a
/// third of `--timeout`, so that time is left for HTTP/1.1.
fn silence_limit(settings: &Settings) -> Duration {
    (settings.timeout / 3).min(SILENCE_MOST)
}

/// A connection to one origin.
pub(super) struct Connection {
    /// Each connection has one clone of this value, so that the connections can be counted.
    _alive: Arc<()>,
    sender: http2::SendRequest<Full<Bytes>>,
    /// Each open stream has one clone of this value, so that the streams can be counted.
    streams: Arc<()>,
    /// True if TLS negotiated HTTP/2, which shows that the server supports it.
    negotiated: bool,
    /// The address of the server, if the connection leads to it directly.
    server: Option<IpAddr>,
    /// True if a response has arrived.
    served: AtomicBool,
    last_used: Mutex<Instant>,
    /// The time when bytes last arrived.
    last_bytes: Mutex<Instant>,
    /// True if the origin is not usable over HTTP/2.
    unusable: Arc<AtomicBool>,
    /// True if HTTP/1.1 may be used in place of HTTP/2.
    http1_allowed: bool,
    /// The time for which the connection may be silent while a request waits for its response. If HTTP/1.1
    /// may be used in place of HTTP/2, the limit also applies while a body is read.
    silence_limit: Duration,
}

/// The reason why there is no response.
pub(super) enum SendError {
    /// The server did not process the request. The connection itself may still work.
    NotProcessed(Error),
    /// The server did not process the request, and the connection accepts no more requests.
    Leaving(Error),
    /// The connection accepts no more requests. Usually the server has not processed this request.
    Closed(Error),
    /// The connection or the request failed in another way.
    Broken(Error),
}

impl Connection {
    /// Starts HTTP/2 on a connection. `is_direct` is false if a proxy is in between. `at` is the URL for
    /// error messages. The connection holds `alive`, so that the caller can count the connections. If
    /// HTTP/1.1 may be used in place of HTTP/2, the connection sets `unusable` to true when a body breaks or
    /// no bytes arrive for too long.
    ///
    /// # Errors
    /// Returns an error if the handshake fails.
    pub(super) async fn open(
        (transport, is_direct): (Transport, bool),
        at: &str,
        settings: &Settings,
        alive: Arc<()>,
        unusable: Arc<AtomicBool>,
    ) -> Result<Self, Error> {
        let negotiated = transport.negotiated_http2();
        let server = transport.peer().filter(|_| is_direct);
        let sender = match transport {
            Transport::Plain(stream) => handshake(stream, at, settings).await?,
            Transport::Secure(stream) => handshake(stream, at, settings).await?,
        };
        let http2_only = settings.http_version == HttpVersion::Two;
        Ok(Connection {
            _alive: alive,
            sender,
            streams: Arc::default(),
            negotiated,
            server,
            served: AtomicBool::new(false),
            last_used: Mutex::new(clock::instant()),
            last_bytes: Mutex::new(clock::instant()),
            unusable,
            http1_allowed: !http2_only,
            silence_limit: if http2_only { settings.timeout } else { silence_limit(settings) },
        })
    }

    /// Sends a request. The server limits the number of open requests, and hyper delays requests above this
    /// limit.
    ///
    /// # Errors
    /// Returns an error if no valid head of a response arrives in time.
    pub(super) async fn send(
        self: &Arc<Self>,
        url: &Url,
        request: HttpRequest,
    ) -> Result<HttpResponse, SendError> {
        let at = show::url(url);
        let request = request::to_http2(request, url).map_err(SendError::Broken)?;
        let stream = Stream::new(self.clone());
        let connection = if self.served.load(Ordering::Relaxed) { "reused" } else { "new" };
        debug!(target: NET, url = at, http = "2", connection, streams = self.streams(), "sending the request");
        let since = clock::instant();
        write(&self.last_used, since);
        let mut sender = self.sender.clone();
        let mut response = pin!(sender.try_send_request(request));
        loop {
            let silent = clock::after(since.max(read(&self.last_bytes)), self.silence_limit);
            match timeout_at(silent, &mut response).await {
                Ok(Ok(response)) => {
                    self.served.store(true, Ordering::Relaxed);
                    write(&self.last_bytes, clock::instant());
                    return Ok(HttpResponse::new(response, Carrier::Http2(stream), at, Vec::new()));
                }
                // hyper returns a request that it did not send. This arm is only for servers that have shown
                // that they support HTTP/2, since any other server may have closed the connection because it
                // does not support HTTP/2.
                Ok(Err(e))
                    if e.message().is_some() && (self.negotiated || self.served.load(Ordering::Relaxed)) =>
                {
                    return Err(SendError::Leaving(failure::of_request(e.error(), &at)));
                }
                Ok(Err(e)) => return Err(self.send_error(e.error(), &at)),
                // Bytes have arrived for other requests, and this request may not have been sent yet. So the
                // time limit begins again.
                Err(_) if clock::after(read(&self.last_bytes), self.silence_limit) > clock::instant() => {}
                Err(_) => {
                    let detail =
                        format!("no response over HTTP/2 within {} s", self.silence_limit.as_secs_f64());
                    return Err(SendError::Broken(Error::new(ErrorKind::NetSilent, at, detail)));
                }
            }
        }
    }

    /// Returns true if the connection accepts further requests.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Returns the number of open streams.
    pub(super) fn streams(&self) -> usize {
        Arc::strong_count(&self.streams) - 1
    }

    /// Returns the time when the connection became idle, or `None` if a request is open.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.streams() == 0).then(|| read(&self.last_used))
    }

    fn send_error(&self, cause: &hyper::Error, at: &str) -> SendError {
        let served = self.served.load(Ordering::Relaxed);
        let error = failure::of_request(cause, at);
        if failure::is_not_processed(cause) {
            return SendError::NotProcessed(error);
        }
        if failure::is_graceful_close(cause) {
            return SendError::Leaving(error);
        }
        // TLS did not negotiate HTTP/2. A server without HTTP/2 answers in another protocol or closes the
        // connection.
        if !self.negotiated && !served && !cause.is_timeout() {
            return SendError::Broken(Error::new(
                ErrorKind::HttpVersion,
                at,
                "it seems not to support HTTP/2",
            ));
        }
        // A connection may break between two requests, for example because the server was restarted. The
        // second request is then sent again. The HTTP/1.1 code does the same if the server closes an idle
        // connection while a request is sent.
        let broke = served && error.kind == ErrorKind::NetReset && !failure::is_reset_by_server(cause);
        if cause.is_canceled() || cause.is_closed() || broke {
            return SendError::Closed(error);
        }
        SendError::Broken(error)
    }
}

/// One open request on an HTTP/2 connection.
pub(super) struct Stream {
    connection: Arc<Connection>,
    _open: Arc<()>,
    /// The timer for silence. It runs while the body is read.
    silence: Pin<Box<Sleep>>,
    /// True while the reader of the body waits for bytes.
    waiting: bool,
}

impl Stream {
    fn new(connection: Arc<Connection>) -> Self {
        let silence = Box::pin(tokio::time::sleep(connection.silence_limit));
        Stream { _open: connection.streams.clone(), connection, silence, waiting: false }
    }

    pub(super) fn server(&self) -> Option<IpAddr> {
        self.connection.server
    }

    /// Records that bytes of the body arrived.
    pub(super) fn on_bytes(&mut self) {
        self.waiting = false;
        write(&self.connection.last_bytes, clock::instant());
    }

    /// Becomes ready with an error when the whole connection was silent for too long, if HTTP/1.1 may be used
    /// in place of HTTP/2. The time in which the body is not read is not counted.
    pub(super) fn poll_silence(&mut self, cx: &mut Context<'_>, at: &str) -> Poll<Error> {
        let connection = &self.connection;
        if !connection.http1_allowed {
            return Poll::Pending;
        }
        if !self.waiting {
            self.waiting = true;
            self.silence.as_mut().reset(clock::instant() + connection.silence_limit);
        }
        ready!(self.silence.as_mut().poll(cx));
        let silent = read(&connection.last_bytes) + connection.silence_limit;
        if silent > clock::instant() {
            self.silence.as_mut().reset(silent);
            return self.silence.as_mut().poll(cx).map(|()| silence_error(connection, at));
        }
        Poll::Ready(silence_error(connection, at))
    }

    /// Records that the body failed. If HTTP/1.1 may be used in place of HTTP/2, later requests to the origin
    /// use HTTP/1.1, over which the download may succeed.
    pub(super) fn on_break(&self) {
        if self.connection.http1_allowed {
            self.connection.unusable.store(true, Ordering::Relaxed);
        }
    }
}

fn silence_error(connection: &Connection, at: &str) -> Error {
    connection.unusable.store(true, Ordering::Relaxed);
    let detail = format!("nothing came over HTTP/2 for {} s", connection.silence_limit.as_secs_f64());
    Error::new(ErrorKind::NetSilent, at, detail)
}

impl Drop for Stream {
    fn drop(&mut self) {
        write(&self.connection.last_used, clock::instant());
    }
}

fn read(one: &Mutex<Instant>) -> Instant {
    *one.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write(one: &Mutex<Instant>, to: Instant) {
    *one.lock().unwrap_or_else(PoisonError::into_inner) = to;
}

async fn handshake<S>(
    transport: S,
    at: &str,
    settings: &Settings,
) -> Result<http2::SendRequest<Full<Bytes>>, Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let http2_only = settings.http_version == HttpVersion::Two;
    // Small files need only a part of the connection's window. If only HTTP/2 is allowed, large files use
    // HTTP/2 too, so the window of a stream is larger.
    let stream = if http2_only { WINDOW } else { WINDOW / UNREAD };
    // With a rate limit, a stream that waits for the limit must not fill the connection's window. So the
    // window of a stream has at most as many bytes as the limit allows in one second, but at least
    // [`WINDOW_LEAST`].
    let a_second = settings.limit_rate.map_or(stream, |rate| u32::try_from(rate).unwrap_or(stream));
    // A PING is sent when no bytes arrived for half of [`silence_limit`], and must be answered within the
    // other half. So a dead connection is detected within [`silence_limit`], unless [`PING_LEAST`] makes the
    // times longer.
    let ping = (silence_limit(settings) / 2).max(PING_LEAST);
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_connection_window_size(stream * UNREAD)
        .initial_stream_window_size(a_second.clamp(WINDOW_LEAST, stream))
        .max_header_list_size(HEAD_MOST)
        .keep_alive_interval(ping)
        .keep_alive_timeout(ping)
        .handshake(TokioIo::new(transport))
        .await
        .map_err(|e| failure::of_request(&e, at))?;
    // The task ends when the senders and bodies are dropped, or when the server closes the connection. The
    // senders and bodies report the error of the connection.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}
