//! One HTTP/2 connection to one origin, shared by many requests. When there is one is decided in [`super::version`].
//!
//! Invariants: windows are fixed; a connection from which nothing comes for [`patience`] while somebody waits, or whose
//! body breaks, marks its origin as unfit for HTTP/2, unless HTTP/2 is all that may be used. Memory: what the server may
//! send ahead of those who read is the connection's window; `version` keeps a handful of connections.

use super::body::{Carrier, HttpReply};
use super::failure;
use super::request::{self, Head};
use super::transport::Transport;
use crate::clock;
use bytes::Bytes;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::settings::{HttpVersion, Settings};
use downhaul_core::show;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, timeout_at};
use url::Url;

/// What a server may send before somebody reads it. Measured: hyper's 2 MiB cap a stream at 26 MB/s where a round trip
/// takes 80 ms.
const WINDOW: u32 = 16 * 1024 * 1024;

/// So many streams that nobody reads (their file is being looked for on the disk) fill a connection's window, before
/// they keep all others waiting.
const UNREAD: u32 = 4;

/// The longest head of a reply that is read: with as many connections and streams as `version` allows, all heads together
/// take 16 MiB, as those of lanes. A longer one comes over HTTP/1.1, if that may be used.
const HEAD_MOST: u32 = 64 * 1024;

/// A connection is alive if a PING is answered within this time, however short `--timeout` is: a satellite's round trip
/// takes 0.6 s, and lines have queues of seconds.
const PING_LEAST: Duration = Duration::from_secs(3);

/// The window that HTTP/2 begins with (RFC 9113, section 6.9.2); less would slow down even a line of some kB/s.
const WINDOW_LEAST: u32 = 65_535;

/// How long HTTP/2 may be silent at most, before HTTP/1.1 is tried: longer than a server thinks about a small file, and
/// short enough to sit through once in a run.
const PATIENCE_MOST: Duration = Duration::from_secs(10);

/// How long a connection may be silent: well below the `--timeout`, so that there is time left for HTTP/1.1.
fn patience(settings: &Settings) -> Duration {
    (settings.timeout / 3).min(PATIENCE_MOST)
}

/// A connection.
pub(super) struct Connection {
    /// One of these is in every connection that there is.
    _alive: Arc<()>,
    sender: http2::SendRequest<Empty<Bytes>>,
    /// One more of these is in every stream that is open.
    streams: Arc<()>,
    /// TLS agreed on HTTP/2: whatever goes wrong, the server speaks it.
    agreed: bool,
    /// Some reply came.
    served: AtomicBool,
    used: Mutex<Instant>,
    /// When something last came.
    heard: Mutex<Instant>,
    /// Its origin has no use for HTTP/2.
    unfit: Arc<AtomicBool>,
    /// There is HTTP/1.1 beside it.
    may_leave: bool,
    /// How long it may be silent while somebody waits for a head or, if there is HTTP/1.1 beside it, for a body.
    patience: Duration,
}

/// Why there is no reply.
pub(super) enum Failed {
    /// The request was not looked at, which says nothing about the connection.
    Refused(Error),
    /// The connection takes no more requests, this one included.
    Gone(Error),
    /// Anything else.
    Broken(Error),
}

impl Connection {
    /// Begins to speak HTTP/2. `unfit` is set when it turns out not to work for this origin.
    pub(super) async fn open(
        wire: Transport,
        at: &str,
        settings: &Settings,
        alive: Arc<()>,
        unfit: Arc<AtomicBool>,
    ) -> Result<Self, Error> {
        let agreed = wire.agreed_on_two();
        let sender = match wire {
            Transport::Plain(stream) => handshake(stream, at, settings).await?,
            Transport::Secure(stream) => handshake(stream, at, settings).await?,
        };
        let only = settings.http_version == HttpVersion::Two;
        Ok(Connection {
            _alive: alive,
            sender,
            streams: Arc::default(),
            agreed,
            served: AtomicBool::new(false),
            used: Mutex::new(clock::instant()),
            heard: Mutex::new(clock::instant()),
            unfit,
            may_leave: !only,
            patience: if only { settings.timeout } else { patience(settings) },
        })
    }

    /// Sends a request. How many go at once is the server's to say; hyper holds the others back.
    pub(super) async fn send(self: &Arc<Self>, url: &Url, head: Head) -> Result<HttpReply, Failed> {
        let at = show::url(url);
        let head = request::as_two(head, url).map_err(Failed::Broken)?;
        let stream = Stream::new(self.clone());
        let since = clock::instant();
        set(&self.used, since);
        let mut sender = self.sender.clone();
        let mut reply = pin!(sender.send_request(head));
        loop {
            let silent = since.max(get(&self.heard)) + self.patience;
            match timeout_at(silent, &mut reply).await {
                Ok(Ok(reply)) => {
                    self.served.store(true, Ordering::Relaxed);
                    set(&self.heard, clock::instant());
                    return Ok(HttpReply::new(reply, Carrier::Stream(stream), at, Vec::new()));
                }
                Ok(Err(e)) => return Err(self.failed(&e, &at)),
                // It is busy with others, and this one may not even be sent yet.
                Err(_) if get(&self.heard) + self.patience > clock::instant() => {}
                Err(_) => {
                    let detail = format!("no reply over HTTP/2 within {} s", self.patience.as_secs_f64());
                    return Err(Failed::Broken(Error::new(ErrorKind::NetSilent, at, detail)));
                }
            }
        }
    }

    /// It takes further requests.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// How many requests are on it.
    pub(super) fn streams(&self) -> usize {
        Arc::strong_count(&self.streams) - 1
    }

    /// Since when there has been no request on it.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.streams() == 0).then(|| get(&self.used))
    }

    fn failed(&self, error: &hyper::Error, at: &str) -> Failed {
        let served = self.served.load(Ordering::Relaxed);
        let explained = failure::of_request(error, at);
        if failure::is_refusal(error) {
            return Failed::Refused(explained);
        }
        if failure::is_farewell(error) {
            return Failed::Gone(explained);
        }
        // Nobody agreed on HTTP/2 before: a server that has none answers in its own words, or closes.
        if !self.agreed && !served && !error.is_timeout() {
            return Failed::Broken(Error::new(
                ErrorKind::HttpVersion,
                at,
                "it does not answer as HTTP/2 does",
            ));
        }
        // A connection that worked and then broke, between two files or because the server was restarted, is like an
        // idle lane that is closed at the same moment.
        let broke = served && explained.kind == ErrorKind::NetReset && !failure::is_answer(error);
        if error.is_canceled() || error.is_closed() || broke {
            return Failed::Gone(explained);
        }
        Failed::Broken(explained)
    }
}

/// A request's place on its connection.
pub(super) struct Stream {
    connection: Arc<Connection>,
    _open: Arc<()>,
    /// Runs while somebody waits for the body.
    silence: Pin<Box<Sleep>>,
    waiting: bool,
}

impl Stream {
    fn new(connection: Arc<Connection>) -> Self {
        let silence = Box::pin(tokio::time::sleep(connection.patience));
        Stream { _open: connection.streams.clone(), connection, silence, waiting: false }
    }

    /// Something came.
    pub(super) fn heard(&mut self) {
        self.waiting = false;
        set(&self.connection.heard, clock::instant());
    }

    /// Nothing came: ready when the whole connection was silent for too long. Time in which nobody asked does not count.
    pub(super) fn poll_stalled(&mut self, cx: &mut Context<'_>, at: &str) -> Poll<Error> {
        let connection = &self.connection;
        if !connection.may_leave {
            return Poll::Pending;
        }
        if !self.waiting {
            self.waiting = true;
            self.silence.as_mut().reset(clock::instant() + connection.patience);
        }
        ready!(self.silence.as_mut().poll(cx));
        let silent = get(&connection.heard) + connection.patience;
        if silent > clock::instant() {
            self.silence.as_mut().reset(silent);
            return self.silence.as_mut().poll(cx).map(|()| stalled(connection, at));
        }
        Poll::Ready(stalled(connection, at))
    }

    /// The body broke: over HTTP/1.1 it may not.
    pub(super) fn broke(&self) {
        if self.connection.may_leave {
            self.connection.unfit.store(true, Ordering::Relaxed);
        }
    }
}

fn stalled(connection: &Connection, at: &str) -> Error {
    connection.unfit.store(true, Ordering::Relaxed);
    let detail = format!("nothing came over HTTP/2 for {} s", connection.patience.as_secs_f64());
    Error::new(ErrorKind::NetSilent, at, detail)
}

impl Drop for Stream {
    fn drop(&mut self) {
        set(&self.connection.used, clock::instant());
    }
}

fn get(one: &Mutex<Instant>) -> Instant {
    *one.lock().unwrap_or_else(PoisonError::into_inner)
}

fn set(one: &Mutex<Instant>, to: Instant) {
    *one.lock().unwrap_or_else(PoisonError::into_inner) = to;
}

async fn handshake<S>(
    wire: S,
    at: &str,
    settings: &Settings,
) -> Result<http2::SendRequest<Empty<Bytes>>, Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let only = settings.http_version == HttpVersion::Two;
    // Small files need no more of one connection's window; where large ones come over it, its window is larger.
    let stream = if only { WINDOW } else { WINDOW / UNREAD };
    // With a limit, a file that waits for its share must not fill the window that all files of the connection have
    // together: no stream gets more than a second's worth ahead.
    let a_second = settings.limit_rate.map_or(stream, |rate| u32::try_from(rate).unwrap_or(stream));
    // A connection that is dead is known as soon as one that stalls, also where only --timeout counts for that.
    let ping = (patience(settings) / 2).max(PING_LEAST);
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_connection_window_size(stream * UNREAD)
        .initial_stream_window_size(a_second.clamp(WINDOW_LEAST, stream))
        .max_header_list_size(HEAD_MOST)
        .keep_alive_interval(ping)
        .keep_alive_timeout(ping)
        .handshake(TokioIo::new(wire))
        .await
        .map_err(|e| failure::of_request(&e, at))?;
    // Ends by itself when the senders and bodies are dropped, or the server closes. Its error is seen there.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}
