//! Lanes: one lane is one connection to one origin, used for one request after the other.
//!
//! Invariant: a lane in the pool is idle, and read to the end of its last reply.

use super::body::{HttpBody, HttpReply};
use super::request::Head;
use super::{dial, failure, tls};
use crate::clock;
use crate::explain::{Stage, spend};
use bytes::Bytes;
use downhaul_core::error::{Error, Kind};
use downhaul_core::settings::{Family, Settings};
use downhaul_core::show;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::time::{Instant, timeout};
use url::Url;

/// Bytes read from a connection at a time, at most; less with many files in flight (see [`read_size`]). 16 KiB reads cost three times the processor time of 256 KiB
/// ones (measured for DESIGN.md); hyper grows towards this while reads fill up. It also bounds a reply's head.
const READ_MOST: usize = 256 * 1024;

/// What the read buffers of all lanes may take together: a quarter of the 64 MiB of promise 7.
const READS_TOGETHER: usize = 16 * 1024 * 1024;

/// The longest head of a reply that is read even with many files in flight: what nginx and Apache send at most is
/// far below.
const READ_LEAST: usize = 32 * 1024;

fn read_size(lanes: usize) -> usize {
    (READS_TOGETHER / lanes.max(1)).clamp(READ_LEAST, READ_MOST)
}

/// An idle lane older than this is not used again: common servers close theirs after 5 s (Apache) to 75 s (nginx),
/// and a request on a closing one is a wasted round trip.
const IDLE_LIMIT: Duration = Duration::from_secs(30);

/// A connection.
pub(super) struct Lane {
    /// One of these is in every lane that there is.
    _alive: Arc<()>,
    sender: http1::SendRequest<Empty<Bytes>>,
    origin: String,
    idle_since: Instant,
}

/// Connections that wait for their next request, and what it takes to make new ones.
pub(super) struct Pool {
    /// The one that was used last is at the end.
    idle: Mutex<VecDeque<Lane>>,
    tls: Arc<ClientConfig>,
    family: Family,
    connect_timeout: Duration,
    read_size: usize,
    alive: Arc<()>,
    /// The most lanes there may be, busy or idle.
    most: usize,
}

impl Pool {
    pub(super) fn new(settings: &Settings) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Pool {
            idle: Mutex::default(),
            tls: tls::config(settings)?,
            family: settings.family,
            connect_timeout: settings.connect_timeout,
            read_size: read_size(settings.max_connections),
            alive: Arc::default(),
            most: settings.max_connections,
        }))
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
            match timeout(patience, lane.sender.send_request(head.clone())).await {
                Ok(Ok(reply)) => return Ok(self.reply(lane, reply, at)),
                // The server closed the idle connection at the same moment, or something was left over on it from
                // the file before: that is no failure of this file, and nothing of a GET is lost by asking again on
                // a new one.
                Ok(Err(_)) => {}
                Err(_) => return Err(silent(&at, patience)),
            }
        }
        let mut lane = self.dial(url, origin).await?;
        match timeout(patience, lane.sender.send_request(head)).await {
            Ok(Ok(reply)) => Ok(self.reply(lane, reply, at)),
            Ok(Err(e)) => Err(failure::of_request(&e, &at)),
            Err(_) => Err(silent(&at, patience)),
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
        let at = show::url(url);
        self.thin_out(&mut self.idle(), self.most.saturating_sub(1));
        let stream = dial::dial(url, self.family, self.connect_timeout).await?;
        let sender = if url.scheme() == "https" {
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_string();
            let name = ServerName::try_from(host)
                .map_err(|e| Error::new(Kind::UrlInvalid, at.clone(), e.to_string()))?;
            // rustls reads 4 KiB at a time from what it is given; from a buffer that costs no system call.
            let buffered = BufReader::with_capacity(self.read_size, stream);
            let connector = tokio_rustls::TlsConnector::from(self.tls.clone());
            let since = clock::instant();
            let secured = timeout(self.connect_timeout, connector.connect(name, buffered)).await;
            spend(Stage::Tls, since);
            match secured {
                Ok(secured) => self.handshake(secured.map_err(|e| tls::failure(&e, &at))?, &at).await?,
                Err(_) => {
                    let detail = format!("no TLS handshake within {} s", self.connect_timeout.as_secs_f64());
                    return Err(Error::new(Kind::ConnectTimeout, at, detail));
                }
            }
        } else {
            self.handshake(stream, &at).await?
        };
        Ok(Lane { _alive: self.alive.clone(), sender, origin, idle_since: clock::instant() })
    }

    async fn handshake<S>(&self, stream: S, at: &str) -> Result<http1::SendRequest<Empty<Bytes>>, Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(self.read_size)
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
        let (head, incoming) = reply.into_parts();
        HttpReply { head, body: HttpBody { incoming, lane: Some(lane), pool: Arc::downgrade(self), at } }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, VecDeque<Lane>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    fn is_fresh(&self) -> bool {
        clock::instant().duration_since(self.idle_since) < IDLE_LIMIT
    }
}

fn silent(at: &str, patience: Duration) -> Error {
    Error::new(Kind::NetSilent, at, format!("no reply within {} s", patience.as_secs_f64()))
}
