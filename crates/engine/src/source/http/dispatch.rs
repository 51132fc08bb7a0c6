//! Which version of HTTP a request goes over, and what was learnt about that of each origin.
//!
//! Invariant: unless the person forces it, HTTP/2 is for whole files over https only that are small: by the word of their
//! list or, where that says nothing, because those of their origin were so far. Everything else has lanes of its own. One TCP
//! connection for all is good for many small files, which need no handshakes then, and bad for a large one, whose pieces shall
//! not share one congestion window. Trouble with HTTP/2 is nobody's failure as long as there is HTTP/1.1: before a reply's head
//! nothing is lost by asking there.

use super::body::HttpReply;
use super::http1::Pool;
use super::http2::{Connection, Failed};
use super::request::Head;
use super::transport::{Connector, Offer};
use crate::clock;
use crate::source::Request;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::settings::{HttpVersion, Settings};
use downhaul_core::show;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// A file up to this size is small: on common lines it is over in a few round trips, before a further connection could
/// help it.
const SMALL: u64 = 256 * 1024;

/// So many small files in a row make an origin one of small files: as many as pay for one more handshake.
const IN_A_ROW: u32 = 8;

/// Requests at once on a connection; further ones go over lanes. So many small files fill its window of 16 MiB, so that
/// none waits because another is not read; and servers allow 100 or more (RFC 9113, section 6.5.2).
const STREAMS_MOST: usize = 64;

/// HTTP/2 connections at once, unless the person wants nothing else. Each may hold a window of 16 MiB, but does so only
/// while files that are not small are not read: promise 7 bounds what is read, and this what is not.
const CONNECTIONS_MOST: usize = 4;

/// A connection that was idle for so long gives up its place for another origin's. Lists name the files of one server
/// next to each other, or take turns within seconds.
const IDLE: Duration = Duration::from_secs(5);

/// Requests that a server does not look at are sent so often: once more over the same connection, then over others. A
/// server that leaves after each request loses those that came together with it; with eight files at once, each is
/// served by then.
const TRIES: u32 = 8;

/// Origins that are remembered: a list may have a million. Forgetting costs a few more files over HTTP/1.1, or
/// finding out again that HTTP/2 is of no use there.
const REMEMBERED: usize = 1024;

/// Sends requests over what is right for each.
pub(super) struct Dispatcher {
    settings: Arc<Settings>,
    wires: Arc<Connector>,
    lanes: Arc<Pool>,
    origins: Mutex<HashMap<String, Arc<Origin>>>,
    alive: Arc<()>,
}

/// What was learnt of an origin.
#[derive(Default)]
struct Origin {
    /// Small files in a row.
    small: AtomicU32,
    /// It has no HTTP/2, or something went wrong with that.
    unfit: Arc<AtomicBool>,
    connection: Mutex<Option<Making>>,
}

/// A connection that is made by the first who wants it, and by whoever looks, should that one be gone; `None` if the
/// server has no HTTP/2.
type Making = Shared<BoxFuture<'static, Result<Option<Arc<Connection>>, Error>>>;

impl Dispatcher {
    /// # Errors
    /// When the certificates to trust cannot be read.
    pub(super) fn new(settings: Arc<Settings>) -> Result<Self, Error> {
        let wires = Arc::new(Connector::new(&settings)?);
        let lanes = Pool::new(&settings, wires.clone());
        Ok(Dispatcher { settings, wires, lanes, origins: Mutex::default(), alive: Arc::default() })
    }

    /// Sends a request, which is for `request`.
    pub(super) async fn send(&self, url: &Url, head: Head, request: &Request) -> Result<HttpReply, Error> {
        let lanes = |head| self.lanes.send(url, head, self.settings.timeout);
        match self.settings.http_version {
            HttpVersion::One => return lanes(head).await,
            HttpVersion::Auto if url.scheme() != "https" => return lanes(head).await,
            HttpVersion::Auto | HttpVersion::Two => {}
        }
        let name = url.origin().ascii_serialization();
        let origin = self.origin(&name);
        let reply = match self.send_over_two(&origin, &name, url, &head, request).await? {
            Some(reply) => reply,
            None => lanes(head).await?,
        };
        // Where lists say what to expect, nothing is to be found out.
        if request.is_for_everything() && request.size.is_none() && !self.forced() {
            origin.learn(&reply);
        }
        Ok(reply)
    }

    /// `None` if it is for the lanes.
    async fn send_over_two(
        &self,
        origin: &Origin,
        name: &str,
        url: &Url,
        head: &Head,
        request: &Request,
    ) -> Result<Option<HttpReply>, Error> {
        let mut refused = None;
        for tried in 0..TRIES {
            let Some(making) = self.connection(origin, name, url, request) else { return Ok(None) };
            let failed = match making.await {
                Ok(None) => return Ok(None),
                Err(error) => Failed::Broken(error),
                Ok(Some(connection)) => match connection.send(url, head.clone()).await {
                    Ok(reply) => return Ok(Some(reply)),
                    Err(failed) => {
                        // How many requests a server takes at once is known only after its first words, so that
                        // one refusal does not speak against the connection.
                        if tried > 0 || !matches!(failed, Failed::Refused(_)) {
                            origin.leave(&connection);
                        }
                        failed
                    }
                },
            };
            match failed {
                Failed::Refused(error) | Failed::Gone(error) => refused = Some(error),
                Failed::Broken(error) if self.forced() => return Err(error),
                Failed::Broken(_) => {
                    origin.unfit.store(true, Ordering::Relaxed);
                    return Ok(None);
                }
            }
        }
        if self.forced() {
            return refused.map_or(Ok(None), Err);
        }
        origin.unfit.store(true, Ordering::Relaxed);
        Ok(None)
    }

    /// The HTTP/2 connection that such a request shall use, if any.
    fn connection(&self, origin: &Origin, name: &str, url: &Url, request: &Request) -> Option<Making> {
        let forced = self.forced();
        let unfit = origin.unfit.load(Ordering::Relaxed);
        let mut current = origin.connection();
        let known = request.size.map(|size| size <= SMALL);
        let small = known.unwrap_or_else(|| origin.small.load(Ordering::Relaxed) >= IN_A_ROW);
        if !forced && (unfit || !request.is_for_everything() || !small) {
            // The lane shall not be one connection more than there would be without HTTP/2.
            let made = current.as_ref().and_then(|making| making.peek());
            if unfit || made.is_some_and(|made| !matches!(made, Ok(Some(one)) if one.streams() > 0)) {
                *current = None;
            }
            return None;
        }
        if let Some(making) = &*current {
            match making.clone().now_or_never() {
                // Lanes that were used for what was seen are faster than to wait; where none was needed, a new one is not.
                None => return (forced || known.is_some()).then(|| making.clone()),
                Some(Ok(Some(connection))) if connection.is_open() => {
                    let has_room = forced || connection.streams() < STREAMS_MOST;
                    return has_room.then(|| making.clone());
                }
                Some(_) => *current = None,
            }
        }
        if !self.make_room() && !forced {
            return None;
        }
        self.lanes.give_up_one(name);
        Some(current.insert(self.make(url, origin.unfit.clone())).clone())
    }

    fn make(&self, url: &Url, unfit: Arc<AtomicBool>) -> Making {
        let (wires, lanes, settings) = (self.wires.clone(), self.lanes.clone(), self.settings.clone());
        let (url, alive, forced) = (url.clone(), self.alive.clone(), self.forced());
        let offer = if forced { Offer::Two } else { Offer::Either };
        async move {
            let wire = wires.connect(&url, offer).await?;
            let at = show::url(&url);
            if wire.agreed_on_two() || (forced && url.scheme() == "http") {
                let connection = Connection::open(wire, &at, &settings, alive, unfit).await?;
                return Ok(Some(Arc::new(connection)));
            }
            if forced {
                return Err(Error::new(ErrorKind::HttpVersion, at, "it did not choose HTTP/2"));
            }
            unfit.store(true, Ordering::Relaxed);
            lanes.adopt(wire, &url).await;
            Ok(None)
        }
        .boxed()
        .shared()
    }

    /// False if there are too many connections already, and all of them are used.
    fn make_room(&self) -> bool {
        if Arc::strong_count(&self.alive) - 1 < CONNECTIONS_MOST {
            return true;
        }
        let least = if self.forced() { Duration::ZERO } else { IDLE };
        let now = clock::instant();
        let origins = self.origins();
        let idle = origins.values().filter_map(|origin| Some((origin.idle_since()?, origin)));
        let longest = idle.min_by_key(|(since, _)| *since);
        match longest.filter(|(since, _)| now.duration_since(*since) >= least) {
            Some((_, origin)) => origin.connection.try_lock().map(|mut making| *making = None).is_ok(),
            None => false,
        }
    }

    fn origin(&self, name: &str) -> Arc<Origin> {
        let mut origins = self.origins();
        if let Some(origin) = origins.get(name) {
            return origin.clone();
        }
        if origins.len() >= REMEMBERED {
            origins.retain(|_, origin| origin.is_used());
        }
        origins.entry(name.to_string()).or_default().clone()
    }

    fn forced(&self) -> bool {
        self.settings.http_version == HttpVersion::Two
    }

    fn origins(&self) -> MutexGuard<'_, HashMap<String, Arc<Origin>>> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Origin {
    /// A large file, or one of unknown size, takes back what small ones gave.
    fn learn(&self, reply: &HttpReply) {
        if reply.status() != StatusCode::OK {
            return;
        }
        let length = reply.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        if length.and_then(|length| length.parse::<u64>().ok()).is_some_and(|length| length <= SMALL) {
            self.small.fetch_add(1, Ordering::Relaxed);
        } else {
            self.small.store(0, Ordering::Relaxed);
            *self.connection() = None;
        }
    }

    /// Takes no further request to this connection.
    fn leave(&self, connection: &Arc<Connection>) {
        let mut current = self.connection();
        let made = current.clone().and_then(FutureExt::now_or_never);
        if matches!(made, Some(Ok(Some(one))) if Arc::ptr_eq(&one, connection)) {
            *current = None;
        }
    }

    /// It has a connection, is about to have one, or is being looked at.
    fn is_used(&self) -> bool {
        let Ok(current) = self.connection.try_lock() else { return true };
        current.as_ref().is_some_and(|making| match making.peek() {
            None => true,
            Some(made) => matches!(made, Ok(Some(connection)) if connection.is_open()),
        })
    }

    fn idle_since(&self) -> Option<Instant> {
        // One that is being looked at is not idle.
        let making = self.connection.try_lock().ok()?.clone()?;
        making.now_or_never()?.ok()??.idle_since()
    }

    fn connection(&self) -> MutexGuard<'_, Option<Making>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
