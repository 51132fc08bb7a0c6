//! A simulated host that limits the number of requests for files in a second, and the number of transfers at
//! once. It bans a client with too many transfers.
//!
//! All files of a host share one [`SimHost`]. Each [`SimFile`] is a [`Source`], so that the whole engine can
//! run with tokio's paused clock.

use crate::{content, sha256};
use bytes::Bytes;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::remote::{Remote, Validator};
use downhaul_engine::source::{Opened, Request, Source};
use futures_util::future::BoxFuture;
use futures_util::stream;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// The time from a request to its response.
const LATENCY: Duration = Duration::from_millis(20);

/// The number of bytes that arrive at once.
const BUFFER: usize = 64 * 1024;

/// The limits of a host.
#[derive(Debug, Clone, Copy)]
pub struct Allows {
    /// The highest number of transfers at once. One more transfer leads to a ban.
    pub transfers: usize,
    /// The length of a ban. During a ban, all transfers break off and all requests are refused.
    pub ban: Duration,
    /// The highest number of requests for whole files in a second. Further requests are refused.
    pub rate: f64,
    /// The number of requests for whole files that may arrive at once in addition to the rate.
    pub burst: f64,
    /// The speed of each transfer in bytes a second.
    pub speed: f64,
}

/// A simulated host.
#[derive(Debug)]
pub struct SimHost {
    allows: Allows,
    counted: Mutex<Counted>,
}

#[derive(Debug)]
struct Counted {
    transfers: usize,
    banned_until: Option<Instant>,
    bans: usize,
    requests: usize,
    /// The number of whole files that may still be requested before a request is refused. It grows with time.
    tokens: f64,
    /// The time when `tokens` was computed.
    since: Instant,
}

/// A file on a simulated host.
pub struct SimFile {
    host: Arc<SimHost>,
    bytes: Arc<Vec<u8>>,
}

/// A running transfer, which is counted until it is dropped.
struct Transfer {
    host: Arc<SimHost>,
    rest: Bytes,
}

impl SimHost {
    /// Returns a host that has received no request. This function must be called within a tokio runtime.
    pub fn new(allows: Allows) -> Arc<SimHost> {
        let (tokens, since) = (allows.burst + 1.0, Instant::now());
        let counted = Counted { transfers: 0, banned_until: None, bans: 0, requests: 0, tokens, since };
        Arc::new(SimHost { allows, counted: Mutex::new(counted) })
    }

    /// Returns the number of bans and of requests.
    pub fn counts(&self) -> (usize, usize) {
        let counted = self.counted();
        (counted.bans, counted.requests)
    }

    /// Returns the current number of transfers.
    pub fn transfers(&self) -> usize {
        self.counted().transfers
    }

    /// Returns a file of this many bytes, whose content depends on its name.
    pub fn file(self: &Arc<Self>, name: &str, size: u64) -> SimFile {
        SimFile { host: self.clone(), bytes: Arc::new(content(name, size)) }
    }

    /// Decides if a request is answered now. `whole` is true if the request is for a whole file.
    fn admit(&self, whole: bool) -> Result<(), Error> {
        let (mut counted, now) = (self.counted(), Instant::now());
        counted.requests += 1;
        if counted.is_banned(now) {
            return Err(Error::new(ErrorKind::HttpForbidden, "sim", "banned"));
        }
        if whole {
            let more = now.duration_since(counted.since).as_secs_f64() * self.allows.rate;
            (counted.tokens, counted.since) = ((counted.tokens + more).min(self.allows.burst + 1.0), now);
            if counted.tokens < 1.0 {
                return Err(Error::new(ErrorKind::HttpBusy, "sim", "429"));
            }
            counted.tokens -= 1.0;
        }
        if counted.transfers >= self.allows.transfers {
            counted.banned_until = Some(now + self.allows.ban);
            counted.bans += 1;
            return Err(Error::new(ErrorKind::HttpForbidden, "sim", "banned"));
        }
        counted.transfers += 1;
        Ok(())
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().expect("no panic")
    }
}

impl Counted {
    fn is_banned(&self, now: Instant) -> bool {
        self.banned_until.is_some_and(|until| now < until)
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.host.counted().transfers -= 1;
    }
}

impl Source for SimFile {
    fn open(&self, request: Request) -> BoxFuture<'_, Result<Opened, Error>> {
        Box::pin(async move {
            tokio::time::sleep(LATENCY).await;
            if request.from > 0 && request.from >= self.bytes.len() as u64 {
                return Err(Error::new(ErrorKind::HttpRangePast, "sim", "416"));
            }
            self.host.admit(request.is_for_everything())?;
            let all = Bytes::copy_from_slice(&self.bytes);
            let size = all.len();
            let at = |byte: u64| usize::try_from(byte).expect("small").min(size);
            let (from, to) = (at(request.from), request.to.map_or(size, at));
            let rest = all.slice(from..to);
            let transfer = Transfer { host: self.host.clone(), rest };
            let body = stream::unfold(Some(transfer), |transfer| async move {
                let mut transfer = transfer.filter(|one| !one.rest.is_empty())?;
                let some = transfer.rest.split_to(BUFFER.min(transfer.rest.len()));
                let time = some.len() as f64 / transfer.host.allows.speed;
                tokio::time::sleep(Duration::from_secs_f64(time)).await;
                if transfer.host.counted().is_banned(Instant::now()) {
                    return Some((Err(Error::new(ErrorKind::NetReset, "sim", "cut")), None));
                }
                Some((Ok(some), Some(transfer)))
            });
            Ok(Opened {
                remote: remote(request.is_for_everything(), (from, to), &self.bytes),
                body: Box::pin(body),
            })
        })
    }
}

fn remote(whole: bool, (from, to): (usize, usize), bytes: &[u8]) -> Remote {
    let url = Url::parse("http://sim/file").expect("a URL");
    let size = bytes.len() as u64;
    let mut remote = match whole {
        true => Remote::whole(url),
        false => Remote::range(url, from as u64..to as u64, Some(size)),
    };
    (remote.size, remote.can_resume) = (Some(size), true);
    remote.validator = Validator::Etag(format!("\"{}\"", &sha256(bytes)[..16]));
    remote
}
