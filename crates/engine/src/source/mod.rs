//! Where bytes come from. A [`Source`] is one remote file that can be read from any offset; [`Sources`]
//! makes the source for a URL by its scheme. HTTP is one protocol among others that a program can add.
//!
//! # How to add a protocol
//!
//! Implement [`Source`] for one URL and register it with [`Sources::with_scheme`]. The testkit's
//! `conformance` module checks a source for what this page asks.
//!
//! **What is asked.** [`Source::open`] gets a [`Request`]: everything (`from` 0 and no `to`), or the bytes
//! `from..to`. A request with `about` asks for the facts alone; nothing reads the body. `open` is called
//! many times, also at once: each connection of a file calls it for each range that it fetches.
//!
//! **What to answer.** [`Opened`]: the facts ([`Remote`]) and the body. The facts are about this one
//! response.
//! - [`Remote::whole`] for everything, and also when a range was asked for that the protocol cannot give.
//! - [`Remote::range`] for a range. It may begin before `from` (by 1 MiB at most) and may end before or
//!   after `to`, but it says what it is. Beyond the end of the file, fail with `http.range_past` and set
//!   [`Error::size`].
//! - [`Remote::unchanged`] only to a request with `about`, when the file is as the conditions say.
//! - `size` and `validator` wherever the protocol has them. Without a validator (and without a digest from
//!   elsewhere), ranges of different responses are not joined: the file comes over one connection and
//!   starts again after a failure. Never invent one: two states of the file must not have the same
//!   validator.
//! - `can_resume` where ranges can be asked for, and those with equal validators belong together. A source
//!   that cannot know whether the next range will be honoured may say so: an ignored one costs a request,
//!   and no more.
//!
//! **The body** is a stream of chunks of any size, in order. It ends with `None` only when all announced
//! bytes came; anything else ends in an error. After an error or `None` it is not polled again.
//!
//! **Errors** carry an [`ErrorKind`](downhaul_core::error::ErrorKind), and it alone decides what follows.
//! The codes begin with `http.` for historical reasons and hold for every protocol: `connect.refused`,
//! `connect.timeout` and `dns.unresolved` before there is a connection; `net.reset` and `http.truncated`
//! when it breaks; `net.silent` when nothing comes; `http.not_found`, `http.forbidden`, `http.unauthorized`
//! when the server says so; `http.busy` when it asks for fewer requests, with [`Error::pause`] if it says
//! for how long; `http.malformed` for what cannot be understood. A source does not retry by itself what the
//! plan can retry, since the plan counts.
//!
//! **Cancellation.** The future of `open` and the body are dropped at any moment, also in the middle, and
//! that is no failure. A source closes what it opened for them, and the next `open` works as before.
//!
//! **Silence.** `open` ends by itself with `net.silent` or `connect.timeout` when the other side says
//! nothing for [`Settings::timeout`](downhaul_core::settings::Settings::timeout). In the body, the engine
//! watches for silence.
//!
//! **What the plan checks anyway**, before a byte is written: that a range covers `from` and stays within
//! the file, that validator, size, content coding and digests are those of the bytes on the disk, and that
//! an HTML page does not take the place of a file. Digests are verified at the end. A source need not check
//! any of it.

pub(crate) mod http;
mod registry;

pub use downhaul_core::remote::{Links, Remote, Span, StatedSize, Validator};
pub use registry::{Factory, Sources};

use bytes::Bytes;
use downhaul_core::error::Error;
use downhaul_core::identity::Conditions;
use downhaul_core::job::{Headers, NamedBy};
use downhaul_core::settings::Settings;
use downhaul_core::show;
use futures_util::future::BoxFuture;
use futures_util::stream::Stream;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

/// One remote file.
pub trait Source: Send + Sync {
    /// Sends a request and returns the facts of the response with its body. See the [module](self) for what
    /// must hold.
    ///
    /// # Errors
    /// Why there is no response that can be used; its kind decides what the plan does.
    fn open(&self, request: Request) -> BoxFuture<'_, Result<Opened, Error>>;
}

/// What a source is asked for.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// Offset of the first byte.
    pub from: u64,
    /// One past the last byte; `None` for everything from `from` on.
    pub to: Option<u64>,
    /// Size of the whole file as a list states it: a hint, which need not be true.
    pub size: Option<u64>,
    /// The facts alone are asked for, and the body is not read. If the file is as these conditions say, the
    /// response is [`Remote::unchanged`].
    pub about: Option<Conditions>,
    /// The URL that answered before. A source may ask there at once, instead of at the URL that leads there.
    pub answered_at: Option<url::Url>,
    /// Headers of the job, for the origin of its URL and no other. Protocols without headers ignore them.
    pub headers: Option<Arc<Headers>>,
}

impl Request {
    /// A request for the whole file.
    pub const EVERYTHING: Request =
        Request { from: 0, to: None, size: None, about: None, answered_at: None, headers: None };

    /// Returns a request for the bytes from `from` on, up to but without `to`.
    pub fn range(from: u64, to: Option<u64>) -> Request {
        Request { from, to, ..Request::EVERYTHING }
    }

    /// Returns a request for the facts alone.
    pub fn about(conditions: Conditions) -> Request {
        Request { about: Some(conditions), ..Request::EVERYTHING }
    }

    /// Returns true if no range is asked for.
    pub fn is_for_everything(&self) -> bool {
        self.from == 0 && self.to.is_none()
    }
}

/// Secrets of the URL and the values of headers are hidden.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("from", &self.from)
            .field("to", &self.to)
            .field("size", &self.size)
            .field("about", &self.about)
            .field("answered_at", &self.answered_at.as_ref().map(show::url))
            .field("headers", &self.headers)
            .finish()
    }
}

/// A response: what is known of the file, and the bytes that follow.
pub struct Opened {
    /// The facts.
    pub remote: Remote,
    /// The bytes that the facts announce. Nothing reads it in the response to a request with `about`.
    pub body: Body,
}

/// The bytes of a response as they arrive. It ends with `None` only when all announced bytes came.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

/// What named a URL. Secrets follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenBy {
    /// The user of the program. Headers and credentials that the user gave are sent there.
    User,
    /// A server, for example as a mirror. They are not sent there.
    Server,
}

impl GivenBy {
    /// Returns what named a URL of a job.
    pub(crate) fn of(settings: &Settings, url: &url::Url, named_by: NamedBy) -> GivenBy {
        if settings.sends_headers_to(url, named_by) { GivenBy::User } else { GivenBy::Server }
    }
}
