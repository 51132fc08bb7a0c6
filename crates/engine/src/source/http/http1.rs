//! Lanes: one lane is one HTTP/1.1 connection to one origin, used for one request after the other.
//!
//! Invariant: a lane in the pool is idle, and read to the end of its last reply.

use super::body::{Carrier, HttpReply};
use super::failure;
use super::heads::{Heads, Lenient};
use super::request::Head;
use super::transport::{Connector, Offer, Transport};
use crate::clock;
use bytes::Bytes;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::head::LINES_MOST;
use downhaul_core::settings::Settings;
use downhaul_core::show;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};
use url::Url;

/// An idle lane older than this is not used again: common servers close theirs after 5 s (Apache) to 75 s (nginx),
/// and a request on a closing one is a wasted round trip.
const IDLE_LIMIT: Duration = Duration::from_secs(30);

/// A connection.
pub(super) struct Lane {
    /// One of these is in every lane that there is.
    _alive: Arc<()>,
    sender: http1::SendRequest<Empty<Bytes>>,
    heads: Arc<Heads>,
    origin: String,
    idle_since: Instant,
}

/// Connections that wait for their next request, and what it takes to make new ones.
pub(super) struct Pool {
    /// The one that was used last is at the end.
    idle: Mutex<VecDeque<Lane>>,
    wires: Arc<Connector>,
    alive: Arc<()>,
    /// The most lanes there may be, busy or idle.
    most: usize,
    /// A reply had more header lines than hyper takes unasked (100). New connections take [`LINES_MOST`] then; not from the
    /// start, because hyper clears room for all of them (64 KiB) with each reply.
    takes_many_lines: AtomicBool,
}

impl Pool {
    pub(super) fn new(settings: &Settings, wires: Arc<Connector>) -> Arc<Self> {
        let most = settings.max_connections;
        Arc::new(Pool {
            idle: Mutex::default(),
            wires,
            alive: Arc::default(),
            most,
            takes_many_lines: AtomicBool::new(false),
        })
    }

    /// Sends a request on an idle lane, or on a new one. `patience` is how long the reply's head may take.
    pub(super) async fn send(
        self: &Arc<Self>,
        url: &Url,
        head: Head,
        patience: Duration,
    ) -> Result<HttpReply, Error> {
        let at = show::url(url);
        let origin = url.origin().ascii_serialization();
        if let Some(mut lane) = self.idle_lane(&origin).await {
            match timeout(patience, lane.send(head.clone())).await {
                Ok(Ok(reply)) => return Ok(self.reply(lane, reply, at)),
                // The server closed the idle connection at the same moment, or something was left over on it from
                // the file before: that is no failure of this file, and nothing of a GET is lost by asking again on
                // a new one.
                Ok(Err(e)) => drop(self.had_many_lines(&e)),
                Err(_) => return Err(silent(&at, patience)),
            }
        }
        loop {
            let mut lane = self.dial(url, origin.clone()).await?;
            match timeout(patience, lane.send(head.clone())).await {
                Ok(Ok(reply)) => return Ok(self.reply(lane, reply, at)),
                Ok(Err(e)) if self.had_many_lines(&e) => {}
                Ok(Err(e)) => return Err(failure::of_request(&e, &at)),
                Err(_) => return Err(silent(&at, patience)),
            }
        }
    }

    /// Returns true the first time that a reply cannot be parsed, which may be for the number of its header lines: the next connection
    /// takes more.
    fn had_many_lines(&self, error: &hyper::Error) -> bool {
        error.is_parse() && !self.takes_many_lines.swap(true, Ordering::Relaxed)
    }

    /// Takes a connection that somebody else made into the pool.
    pub(super) async fn adopt(&self, wire: Transport, url: &Url) {
        let origin = url.origin().ascii_serialization();
        // If nothing comes of it, the next request dials and hears why.
        if let Ok(lane) = self.lane(wire, origin, &show::url(url)).await {
            self.put(lane);
        }
    }

    /// Closes an idle lane of the origin, if there is one: another connection takes its place.
    pub(super) fn give_up_one(&self, origin: &str) {
        let mut idle = self.idle();
        if let Some(last) = idle.iter().rposition(|lane| lane.origin == origin) {
            idle.remove(last);
        }
    }

    pub(super) fn put(&self, mut lane: Lane) {
        lane.idle_since = clock::instant();
        let mut idle = self.idle();
        idle.push_back(lane);
        self.thin_out(&mut idle, self.most);
    }

    /// Closes idle lanes that are too old, and the oldest while there are more than `most` lanes in all.
    fn thin_out(&self, idle: &mut VecDeque<Lane>, most: usize) {
        let too_many = || Arc::strong_count(&self.alive) > most + 1;
        while idle.front().is_some_and(|oldest| too_many() || !oldest.is_fresh()) {
            idle.pop_front();
        }
    }

    /// The lane that was used last and still stands.
    async fn idle_lane(&self, origin: &str) -> Option<Lane> {
        loop {
            let mut lane = {
                let mut idle = self.idle();
                let last = idle.iter().rposition(|lane| lane.origin == origin)?;
                idle.remove(last)?
            };
            if lane.is_fresh() && lane.sender.ready().await.is_ok() {
                return Some(lane);
            }
        }
    }

    async fn dial(&self, url: &Url, origin: String) -> Result<Lane, Error> {
        self.thin_out(&mut self.idle(), self.most.saturating_sub(1));
        let wire = self.wires.connect(url, Offer::One).await?;
        self.lane(wire, origin, &show::url(url)).await
    }

    async fn lane(&self, wire: Transport, origin: String, at: &str) -> Result<Lane, Error> {
        let heads = Arc::new(Heads::default());
        let sender = match wire {
            Transport::Plain(stream) => self.handshake(stream, heads.clone(), at).await?,
            Transport::Secure(stream) => self.handshake(stream, heads.clone(), at).await?,
        };
        Ok(Lane { _alive: self.alive.clone(), sender, heads, origin, idle_since: clock::instant() })
    }

    async fn handshake<S>(
        &self,
        stream: S,
        heads: Arc<Heads>,
        at: &str,
    ) -> Result<http1::SendRequest<Empty<Bytes>>, Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let most = self.wires.read_size;
        // hyper gives up on a head that fills its buffer.
        let stream = Lenient::new(stream, heads, most - 1);
        let mut builder = http1::Builder::new();
        if self.takes_many_lines.load(Ordering::Relaxed) {
            builder.max_headers(LINES_MOST);
        }
        let (sender, connection) = builder
            .max_buf_size(most)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| failure::of_request(&e, at))?;
        // Ends by itself when the sender and the body are dropped, or the server closes. Its error is seen there.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }

    fn reply(
        self: &Arc<Self>,
        lane: Lane,
        reply: http::Response<hyper::body::Incoming>,
        at: String,
    ) -> HttpReply {
        let dropped = lane.heads.take_dropped();
        HttpReply::new(reply, Carrier::Lane(lane, Arc::downgrade(self)), at, dropped)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, VecDeque<Lane>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    async fn send(&mut self, head: Head) -> hyper::Result<http::Response<hyper::body::Incoming>> {
        self.heads.expect();
        self.sender.send_request(head).await
    }

    /// Says that bytes of a body have reached their reader.
    pub(super) fn delivered(&self) {
        self.heads.delivered();
    }

    fn is_fresh(&self) -> bool {
        clock::instant().duration_since(self.idle_since) < IDLE_LIMIT
    }
}

fn silent(at: &str, patience: Duration) -> Error {
    Error::new(ErrorKind::NetSilent, at, format!("no reply within {} s", patience.as_secs_f64()))
}
