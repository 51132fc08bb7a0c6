//! Where bytes come from: one [`Source`] is one remote thing, readable from any offset.
//!
//! Users of this seam: [`http`] and the simulated network of the testkit.

pub(crate) mod http;

use bytes::Bytes;
use downhaul_core::error::Error;
use downhaul_core::identity::Conditions;
use downhaul_core::job::{Headers, NamedBy};
use downhaul_core::remote::Remote;
use downhaul_core::settings::Settings;
use futures_util::future::BoxFuture;
use futures_util::stream::Stream;
use std::pin::Pin;
use std::sync::Arc;
use url::Url;

/// One remote thing.
pub trait Source: Send + Sync {
    /// Asks for the thing. What comes back is the head of a 200 or 206 (to a question *about* it, also of a 304) and its body; whether they are right is
    /// for [`downhaul_core::plan`] to judge before a byte of the body is used. Gives up by itself when the other
    /// side is silent.
    fn open(&self, want: Want) -> BoxFuture<'_, Result<Opened, Error>>;
}

/// What a worker asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// First byte wanted.
    pub from: u64,
    /// One past the last byte wanted; `None` for all that follow. 0 and `None` is a plain request for everything.
    pub to: Option<u64>,
    /// How large all of it is, as far as a list says: a hint, by which nothing is checked.
    pub size: Option<u64>,
    /// Only what the thing is is wanted, and none of its bytes: the reply has no body, and may say (304) that nothing
    /// changed by these conditions.
    pub about: Option<Conditions>,
    /// Headers that the job brings, for the origin of its URL and for no other.
    pub headers: Option<Arc<Headers>>,
}

impl Want {
    /// All of it, of which nothing is known.
    pub const EVERYTHING: Want = Want { from: 0, to: None, size: None, about: None, headers: None };

    /// Everything is wanted.
    pub fn is_plain(&self) -> bool {
        self.from == 0 && self.to.is_none()
    }
}

/// A reply.
pub struct Opened {
    /// Its head.
    pub remote: Remote,
    /// Its bytes, as they arrive. Ends with `None` only when the body ended as announced.
    pub body: Body,
}

/// The bytes of a reply.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

/// Who named a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The person: headers and credentials that the person gave go there.
    Person,
    /// A server or a document: they do not.
    Server,
}

impl By {
    /// For a URL of a job.
    pub(crate) fn of(settings: &Settings, url: &Url, named_by: NamedBy) -> By {
        if settings.sends_headers_to(url, named_by) { By::Person } else { By::Server }
    }
}

/// Makes the source for a URL.
pub type Sources = Arc<dyn Fn(&Url, By) -> Arc<dyn Source> + Send + Sync>;
