//! Defines the sources of bytes. A [`Source`] is one URL from which a file can be fetched. [`Sources`]
//! creates the source for a URL by the scheme of the URL. A program can add protocols other than HTTP.
//!
//! # How to add a protocol
//!
//! Implement [`Source`] for one URL and register it with [`Sources::with_scheme`]. The `conformance` module
//! of the testkit checks that a source follows the rules on this page.
//!
//! **Requests.** [`Source::open`] gets a [`Request`] for the whole file (`from` is 0 and `to` is `None`), for
//! the bytes `from..to`, or for all bytes from `from` on. A request with `about` is only for the facts about
//! the file ([`Remote`]), and the body of its response is not read. `open` is called many times, and several
//! calls may run at the same time: a job may use several connections, and there is a call for each range that
//! a connection fetches.
//!
//! **Responses.** Return an [`Opened`] with the facts ([`Remote`]) and the body. The facts describe this one
//! response.
//! - Use [`Remote::whole`] if the body is the whole file. Use it also if a range was requested and the
//!   protocol cannot send ranges.
//! - Use [`Remote::range`] if the body is a range of the file. The range may begin up to 1 MiB before `from`
//!   and may end before or after `to`, but the facts must state the real range. If the file ends at or before
//!   `from`, fail with `http.range_past`, and set [`Error::size`] to the size of the file.
//! - Use [`Remote::unchanged`] only for a request with `about`, if the conditions of the request show that
//!   the file has not changed.
//! - Set `size` and `validator` if the protocol has them. Without a validator (and without a digest from
//!   another place, such as a checksum list), ranges of different responses are not joined. The job then uses
//!   one connection, and downloads the file from its beginning after a failure. Never invent a validator. Two
//!   different contents of the file must not have the same validator.
//! - Set `can_resume` if ranges can be requested, and if ranges with equal validators belong to the same
//!   content. A source may also set `can_resume` if the source does not know whether the server sends ranges.
//!   If the server then ignores the requested range, only one request is wasted.
//!
//! **The body** is a stream of buffers of any size, in the order of the file. The stream must end with `None`
//! if all announced bytes arrived, and with an error otherwise. After an error or `None`, the stream is not
//! polled again.
//!
//! **Errors** have an [`ErrorKind`], which decides what the plan does after the error. The codes of some
//! kinds begin with `http.` for historical reasons, but these kinds apply to every protocol. If no connection
//! can be made, use `connect.refused`, `connect.timeout` or `dns.unresolved`. If the connection breaks, use
//! `net.reset` or `http.truncated`. If no data arrives, use `net.silent`. If the server reports that the file
//! is missing or that access is not allowed, use `http.not_found`, `http.forbidden` or `http.unauthorized`.
//! If the server asks for fewer requests, use `http.busy`. If the server also states how long to wait, set
//! [`Error::pause`] to this time. If the server sends data that does not follow the protocol, use
//! `http.malformed`. A source must not retry a failure that the plan can retry, because the plan counts the
//! retries. A panic in `open` or in the body counts as `net.reset`.
//!
//! **Cancellation.** The future of `open` and the body may be dropped at any time. This is not a failure. The
//! source must then end that request, and close the connections that only this request used. The next `open`
//! must work as before.
//!
//! **Silence.** If the server sends nothing for
//! [`Settings::timeout`](downhaul_core::settings::Settings::timeout), `open` must fail with `net.silent` or
//! `connect.timeout`. While the body is read, the engine itself detects that no data arrives.
//!
//! **What the plan checks.** Before a byte is written, the plan checks that a range contains the byte at
//! `from` and stays within the file. It also checks that the validator, the size, the content coding and the
//! digests in the facts match those of the bytes on the disk, and that a later response is not an HTML page
//! if the first response was not one. At the end, the content of the file is compared with the digests. If
//! the name promises another type and no strong digest or signature verifies the content, the plan also
//! checks that the file is neither an HTML page nor a Git LFS pointer. A source does not need to check any of
//! this.

pub(crate) mod http;
mod registry;
mod responded;
pub(crate) mod slice;

pub use downhaul_core::error::{Pause, Why};
pub use downhaul_core::identity::Conditions;
pub use downhaul_core::remote::{Links, Remote, Span, StatedSize, Validator};
pub use registry::{Factory, Sources};
pub(crate) use responded::Responded;
pub(crate) use slice::Slice;

use bytes::Bytes;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::job::{Headers, Job, NamedBy, Sends};
use downhaul_core::settings::Settings;
use downhaul_core::show;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{Stream, StreamExt};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// The size in bytes up to which a file is small. On common networks, such a file arrives in a few round
/// trips, before another connection could help, and writing the file takes less than a tenth of a
/// millisecond.
pub(crate) const SMALL_FILE: u64 = 256 * 1024;

/// One URL from which a file can be fetched.
pub trait Source: Send + Sync {
    /// Sends a request and returns the facts of the response with its body. The [module](self) has the rules.
    ///
    /// # Errors
    /// Returns why there is no usable response. The kind of the error decides what the plan does.
    fn open(&self, request: Request) -> BoxFuture<'_, Result<Opened, Error>>;

    /// Returns the round-trip time that TCP measured last, while bytes arrived, on a connection to the server
    /// of the last response. Returns `None` if the system or the protocol does not report this time. If the
    /// time is longer than the shortest time that was measured, packets wait in queues of the network.
    fn round_trip(&self) -> Option<Duration> {
        None
    }
}

/// A request to a source.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The offset of the first byte.
    pub from: u64,
    /// The offset after the last byte, or `None` for all bytes from `from` on.
    pub to: Option<u64>,
    /// The size of the whole file in bytes, if a list states it. The size is a hint, and may be wrong.
    pub size: Option<u64>,
    /// True if the file is probably small, because small files of this host came over HTTP/2 in this run or
    /// in an earlier one. This value is a hint, and may be wrong.
    pub likely_small: bool,
    /// If set, only the facts are requested, and the body is not read. If these conditions show that the file
    /// has not changed, the response is [`Remote::unchanged`].
    pub about: Option<Conditions>,
    /// The URL, after redirects, from which this run or an earlier run received the bytes on the disk. A
    /// source may send the request to this URL directly.
    pub answered_at: Option<url::Url>,
    /// The headers of the job, which are for the origin of the source's URL. A source must not send them to
    /// any other origin. Protocols without headers ignore them.
    pub headers: Option<Arc<Headers>>,
    /// The method and the body to send instead of a plain GET. A source must send them only to the origin of
    /// the URL. A request with this field is always for the whole file. Protocols without methods ignore the
    /// field.
    pub sends: Option<Arc<Sends>>,
}

impl Request {
    /// The request for the whole file.
    pub const EVERYTHING: Request = Request {
        from: 0,
        to: None,
        size: None,
        likely_small: false,
        about: None,
        answered_at: None,
        headers: None,
        sends: None,
    };

    /// Returns a request for the bytes `from..to`, or for all bytes from `from` on if `to` is `None`.
    pub fn range(from: u64, to: Option<u64>) -> Request {
        Request { from, to, ..Request::EVERYTHING }
    }

    /// Returns a request for the facts only.
    pub fn about(conditions: Conditions) -> Request {
        Request { about: Some(conditions), ..Request::EVERYTHING }
    }

    /// Returns true if no range is requested. This includes a request for the facts only.
    pub fn is_for_everything(&self) -> bool {
        self.from == 0 && self.to.is_none()
    }
}

/// The output hides the secrets in the URL and the values of the headers.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("from", &self.from)
            .field("to", &self.to)
            .field("size", &self.size)
            .field("about", &self.about)
            .field("answered_at", &self.answered_at.as_ref().map(show::url))
            .field("headers", &self.headers)
            .field("sends", &self.sends)
            .finish()
    }
}

/// A response: the facts about the file, and the body.
pub struct Opened {
    /// The facts about the file.
    pub remote: Remote,
    /// The bytes of the file that the facts describe. The body is not read if the request had `about`.
    pub body: Body,
}

/// The bytes of a response as they arrive. The stream ends with `None` if all announced bytes arrived, and
/// with an error otherwise.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

/// Runs code of a source. A panic of this code becomes the error `net.reset`, with `at` as its place. The
/// source may be code of the program that uses this library. If its panic were not caught, the job of the
/// source would never end.
///
/// # Errors
/// Returns the error of the code, or `net.reset`.
pub(crate) fn caught<T>(
    at: impl Into<String>,
    code: impl Future<Output = Result<T, Error>>,
) -> impl Future<Output = Result<T, Error>> {
    let panicked = |_| Err(Error::new(ErrorKind::NetReset, at, "the code for this protocol panicked"));
    AssertUnwindSafe(code).catch_unwind().map(|result| result.unwrap_or_else(panicked))
}

/// Returns the next bytes of a body, and skips empty buffers. A body may send empty buffers without end. This
/// function lets other tasks run after each empty buffer, so a time limit of the caller still works. No bytes
/// are lost if the caller drops the future.
pub(crate) async fn next_bytes<E>(
    body: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
) -> Option<Result<Bytes, E>> {
    loop {
        match body.next().await {
            Some(Ok(bytes)) if bytes.is_empty() => tokio::task::yield_now().await,
            next => return next,
        }
    }
}

/// Returns the next bytes of a body, or `None` at its end.
///
/// # Errors
/// Returns the error of the body, or `net.silent` if no bytes arrive within `timeout`.
pub(crate) async fn next_in_time(
    body: &mut Body,
    remote: &Remote,
    timeout: Duration,
) -> Result<Option<Bytes>, Error> {
    match tokio::time::timeout(timeout, next_bytes(body)).await {
        Err(_) => Err(Error::new(ErrorKind::NetSilent, show::url(&remote.url), "")),
        Ok(next) => next.transpose(),
    }
}

/// Says whether a URL came from the user, a document or a server. This decides which secrets are sent to the
/// URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenBy {
    /// The user gave the URL, or another URL of the same origin. Headers and credentials of the user are sent
    /// to this URL.
    User,
    /// A document, such as a list that was fetched from a URL, named the URL as one of the URLs of the job.
    /// Only these secrets are sent to the URL: headers of the job itself, a user name and a password in the
    /// URL, secrets for its host (from a rule for hosts or, if the URL is https, from a netrc file or an
    /// option), and cookies that servers set during the run.
    Document,
    /// A server named the URL, for example as a mirror. Only a user name and a password in the URL, and
    /// cookies that servers set during the run, are sent to the URL.
    Server,
}

impl GivenBy {
    /// Returns where a URL of a job came from.
    pub(crate) fn of(settings: &Settings, url: &url::Url, job: &Job) -> GivenBy {
        if job.is_given(settings, url) { GivenBy::User } else { GivenBy::Document }
    }

    /// Returns where the URL of a checksum list came from. `job` is a job with a URL of the same origin, or
    /// `None` if no job has such a URL.
    pub(crate) fn beside(settings: &Settings, url: &url::Url, job: Option<&Job>) -> GivenBy {
        let is_given = || settings.sends_headers_to(url, NamedBy::Document);
        match job {
            Some(job) => GivenBy::of(settings, url, job),
            None if is_given() => GivenBy::User,
            None => GivenBy::Document,
        }
    }
}
