//! One HTTP/2 connection to one origin, shared by many requests. When there is one is decided in [`super::version`].
//!
//! Invariants: windows are fixed; a reply from which nothing comes for [`patience`] marks its origin as unfit for
//! HTTP/2, unless HTTP/2 is all that may be used. Memory: what the server may send ahead of those who read is the
//! connection's window, and `version` keeps a handful of connections at most, each with no more small files than its
//! window holds.

use super::body::{Carrier, HttpReply};
use super::failure;
use super::request::{self, Head};
use super::wire::Wire;
use crate::clock;
use bytes::Bytes;
use downhaul_core::error::{Error, Kind};
use downhaul_core::settings::{HttpVersion, Settings};
use downhaul_core::show;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, timeout};
use url::Url;

/// What a server may send before somebody reads it, on one stream and on all of them. DESIGN.md: hyper's 2 MiB cap a
/// stream at 26 MB/s where a round trip takes 80 ms.
const WINDOW: u32 = 16 * 1024 * 1024;

/// The window that HTTP/2 begins with (RFC 9113, section 6.9.2); less would slow down even a line of some kB/s.
const WINDOW_LEAST: u32 = 65_535;

/// How long HTTP/2 may be silent at most, before HTTP/1.1 is tried: longer than a server thinks about a small file, and
/// short enough to sit through once in a run.
const PATIENCE_MOST: Duration = Duration::from_secs(10);

/// How long a stream may be silent: well below the `--timeout`, so that there is time left for HTTP/1.1.
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
    /// Its origin has no use for HTTP/2.
    unfit: Arc<AtomicBool>,
    /// How long a head may take.
    head_patience: Duration,
    /// How long a body may be silent; `None` where only `--timeout` counts.
    body_patience: Option<Duration>,
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
        wire: Wire,
        at: &str,
        settings: &Settings,
        alive: Arc<()>,
        unfit: Arc<AtomicBool>,
    ) -> Result<Self, Error> {
        let agreed = wire.agreed_on_two();
        let sender = match wire {
            Wire::Plain(stream) => handshake(stream, at, settings).await?,
            Wire::Secure(stream) => handshake(stream, at, settings).await?,
        };
        let only = settings.http_version == HttpVersion::Two;
        Ok(Connection {
            _alive: alive,
            sender,
            streams: Arc::default(),
            agreed,
            served: AtomicBool::new(false),
            used: Mutex::new(clock::instant()),
            unfit,
            head_patience: if only { settings.timeout } else { patience(settings) },
            body_patience: (!only).then(|| patience(settings)),
        })
    }

    /// Sends a request. How many go at once is the server's to say; hyper holds the others back.
    pub(super) async fn send(self: &Arc<Self>, url: &Url, head: Head) -> Result<HttpReply, Failed> {
        let at = show::url(url);
        let head = request::as_two(head, url).map_err(Failed::Broken)?;
        let stream = Stream::new(self.clone());
        self.touch();
        match timeout(self.head_patience, self.sender.clone().send_request(head)).await {
            Ok(Ok(reply)) => {
                self.served.store(true, Ordering::Relaxed);
                Ok(HttpReply::new(reply, Carrier::Stream(stream), at))
            }
            Ok(Err(e)) => Err(self.failed(&e, &at)),
            Err(_) => {
                self.unfit.store(true, Ordering::Relaxed);
                let detail = format!("no reply over HTTP/2 within {} s", self.head_patience.as_secs_f64());
                Err(Failed::Broken(Error::new(Kind::NetSilent, at, detail)))
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
        (self.streams() == 0).then(|| *self.used.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = clock::instant();
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
            return Failed::Broken(Error::new(Kind::HttpVersion, at, "it does not answer as HTTP/2 does"));
        }
        // A connection that worked and then broke, between two files or because the server was restarted, is like an
        // idle lane that is closed at the same moment.
        let broke = served && explained.kind == Kind::NetReset && !failure::is_answer(error);
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
    silence: Option<Silence>,
}

/// Runs while somebody waits.
struct Silence {
    patience: Duration,
    sleep: Pin<Box<Sleep>>,
    waiting: bool,
}

impl Stream {
    fn new(connection: Arc<Connection>) -> Self {
        let silence = connection.body_patience.map(|patience| Silence {
            patience,
            sleep: Box::pin(tokio::time::sleep(patience)),
            waiting: false,
        });
        Stream { _open: connection.streams.clone(), connection, silence }
    }

    /// Something came.
    pub(super) fn heard(&mut self) {
        if let Some(silence) = &mut self.silence {
            silence.waiting = false;
        }
    }

    /// Nothing came: ready when it is too much of that. Time in which nobody asked does not count.
    pub(super) fn poll_stalled(&mut self, cx: &mut Context<'_>, at: &str) -> Poll<Error> {
        let Some(silence) = &mut self.silence else { return Poll::Pending };
        if !silence.waiting {
            silence.waiting = true;
            silence.sleep.as_mut().reset(clock::instant() + silence.patience);
        }
        silence.sleep.as_mut().poll(cx).map(|()| {
            self.connection.unfit.store(true, Ordering::Relaxed);
            let detail = format!("nothing came over HTTP/2 for {} s", silence.patience.as_secs_f64());
            Error::new(Kind::NetSilent, at, detail)
        })
    }

    /// The body broke.
    pub(super) fn broke(&self, error: &hyper::Error) {
        // Not even a PING was answered.
        if error.is_timeout() {
            self.connection.unfit.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.connection.touch();
    }
}

async fn handshake<S>(
    stream: S,
    at: &str,
    settings: &Settings,
) -> Result<http2::SendRequest<Empty<Bytes>>, Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    // With a limit, a file that waits for its share must not fill the window that all files of the connection have
    // together: no stream gets more than a second's worth ahead.
    let a_second = settings.limit_rate.map_or(WINDOW, |rate| u32::try_from(rate).unwrap_or(WINDOW));
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_connection_window_size(WINDOW)
        .initial_stream_window_size(a_second.clamp(WINDOW_LEAST, WINDOW))
        // A connection that is dead is known as soon as one that stalls, also where only --timeout counts for that.
        .keep_alive_interval(patience(settings) / 2)
        .keep_alive_timeout(patience(settings) / 2)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|e| failure::of_request(&e, at))?;
    // Ends by itself when the senders and bodies are dropped, or the server closes. Its error is seen there.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}
