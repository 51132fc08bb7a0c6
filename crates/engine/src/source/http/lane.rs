//! Lanes: one lane is one connection to one origin, used for one request after the other.
//!
//! Invariant: a lane in the pool is idle and belongs to the origin it is kept under.

use super::body::{HttpBody, HttpReply};
use super::request::Head;
use super::{dial, failure, tls};
use crate::clock;
use bytes::Bytes;
use downhaul_core::error::{Error, Kind};
use downhaul_core::settings::{Family, Settings};
use downhaul_core::show;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::time::{Instant, timeout};
use url::Url;

/// Bytes read from a connection at a time, at most. 16 KiB reads cost three times the processor time of 256 KiB
/// ones (measured for DESIGN.md); hyper grows towards this while reads fill up. It also bounds a reply's head.
const READ_SIZE: usize = 256 * 1024;

/// An idle lane older than this is not used again: common servers close theirs after 5 s (Apache) to 75 s (nginx),
/// and a request on a closing one is a wasted round trip.
const IDLE_LIMIT: Duration = Duration::from_secs(30);

/// Idle lanes kept for one origin. More are never in use at once with the files in flight that people choose.
const IDLE_MOST: usize = 64;

/// A connection.
pub(super) struct Lane {
    sender: http1::SendRequest<Empty<Bytes>>,
    origin: String,
    idle_since: Instant,
}

/// Connections that wait for their next request, and what it takes to make new ones.
pub(super) struct Pool {
    idle: Mutex<HashMap<String, Vec<Lane>>>,
    tls: Arc<ClientConfig>,
    family: Family,
    connect_timeout: Duration,
}

impl Pool {
    pub(super) fn new(settings: &Settings) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Pool {
            idle: Mutex::default(),
            tls: tls::config(settings)?,
            family: settings.family,
            connect_timeout: settings.connect_timeout,
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
                Ok(Err(e)) if e.is_parse() => return Err(failure::of_request(&e, &at)),
                // The server closed the idle connection at the same moment: that is no failure of the file, and
                // nothing of a GET is lost by asking again on a new one.
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
        let lanes = idle.entry(lane.origin.clone()).or_default();
        if lanes.len() < IDLE_MOST {
            lanes.push(lane);
        }
    }

    /// The lane that was used last and still stands.
    async fn idle_lane(&self, origin: &str) -> Option<Lane> {
        loop {
            let mut lane = self.idle().get_mut(origin)?.pop()?;
            let fresh = clock::instant().duration_since(lane.idle_since) < IDLE_LIMIT;
            if fresh && lane.sender.ready().await.is_ok() {
                return Some(lane);
            }
        }
    }

    async fn dial(&self, url: &Url, origin: String) -> Result<Lane, Error> {
        let at = || show::url(url);
        let connect = async {
            let stream = dial::dial(url, self.family).await?;
            if url.scheme() != "https" {
                return handshake(stream, &at()).await;
            }
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_string();
            let name =
                ServerName::try_from(host).map_err(|e| Error::new(Kind::UrlInvalid, at(), e.to_string()))?;
            // rustls reads 4 KiB at a time from what it is given; from a buffer that costs no system call.
            let buffered = BufReader::with_capacity(READ_SIZE, stream);
            let connector = tokio_rustls::TlsConnector::from(self.tls.clone());
            let secured = connector.connect(name, buffered).await.map_err(|e| tls::failure(&e, &at()))?;
            handshake(secured, &at()).await
        };
        let sender = match timeout(self.connect_timeout, connect).await {
            Ok(sender) => sender?,
            Err(_) => {
                let detail = format!("none within {} s", self.connect_timeout.as_secs_f64());
                return Err(Error::new(Kind::ConnectTimeout, at(), detail));
            }
        };
        Ok(Lane { sender, origin, idle_since: clock::instant() })
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

    fn idle(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<Lane>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn handshake<S>(stream: S, at: &str) -> Result<http1::SendRequest<Empty<Bytes>>, Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(READ_SIZE)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|e| failure::of_request(&e, at))?;
    // Ends by itself when the sender and the body are dropped, or the server closes. Its error is seen there.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

fn silent(at: &str, patience: Duration) -> Error {
    Error::new(Kind::NetSilent, at, format!("no reply within {} s", patience.as_secs_f64()))
}
