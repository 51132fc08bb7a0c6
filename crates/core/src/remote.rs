//! The facts that a source states about a file and about the body of its response, independent of the
//! protocol. Such facts are the size of the file, its validator, its digests, and the range in the body.
//!
//! A source fills a [`Remote`] with the facts from its protocol. The engine has the HTTP source, and a user
//! of the library can write other sources. [`crate::plan`] validates the `Remote` before a byte of the body
//! is used. A `Remote` describes one response only. The server may be wrong, and its next response may
//! differ.

use crate::digest::Expected;
use crate::name::SafeName;
use crate::transcript::Transcript;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use url::Url;

/// The facts that a source states about a file and about the body of its response.
///
/// Create it with [`Remote::whole`], [`Remote::range`] or [`Remote::unchanged`], and then set the other
/// fields that the source knows.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Remote {
    /// The URL of the response. It may differ from the requested URL, for example after a redirect.
    pub url: Url,
    /// The bytes of the file that the body contains.
    pub span: Span,
    /// The size of the whole file in bytes, if the source states it. A body with the whole file has exactly
    /// this many bytes.
    pub size: Option<u64>,
    /// The validator. It tells versions of the file apart.
    pub validator: Validator,
    /// The time when the file last changed.
    pub modified: Option<SystemTime>,
    /// The name that the source gives the file. Without such a name, the name comes from the URL.
    pub name: Option<SafeName>,
    /// The media type of the file, as the source states it.
    pub content_type: Option<String>,
    /// The content coding of the body, as the source names it, such as `gzip`. If it is `None`, the body has
    /// the bytes of the file without a coding.
    pub coding: Option<String>,
    /// True if ranges of the file can be requested, and if ranges with equal validators are parts of the same
    /// version of the file.
    pub can_resume: bool,
    /// The time from the request to the response, without the time to connect. It is `None` if it was not
    /// measured.
    pub waited: Option<Duration>,
    /// True if many requests share the connection, as in HTTP/2.
    pub is_shared: bool,
    /// Digests of the whole file.
    pub digests: Vec<Expected>,
    /// Digests of exactly the bytes of this body, if it is a [`Span::Range`].
    pub range_digests: Vec<Expected>,
    /// The size of the whole file, if something other than this response states it, such as a redirect.
    pub stated_size: Option<StatedSize>,
    /// Other URLs of the same file, and the URL of a document about it.
    pub links: Links,
    /// Notes for the user, for example about a digest that could not be read. They are shown with the result.
    pub notes: Vec<String>,
    /// Descriptions of the parts of the response that were ignored, such as a header line, in words for the
    /// user. The event `started` reports the ignored parts of the first accepted response.
    pub dropped: Vec<String>,
    /// The transcript of the response, if transcripts are kept
    /// ([`crate::settings::Settings::keeps_transcripts`]).
    pub transcript: Option<Arc<Transcript>>,
}

/// The bytes of a file that a body contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// The whole file. A source that sends the whole file although a range was requested also returns this
    /// value.
    Whole,
    /// These bytes of the file, because a range was requested. The range is not empty.
    Range(Range<u64>),
    /// No bytes, because the conditions of the request show that the file has not changed.
    Unchanged,
}

/// A strong validator (RFC 9110, section 8.8), or none. Bodies of one URL with equal validators, except
/// `Unknown`, belong to the same version of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Validator {
    /// A tag that changes with every change of a byte. In HTTP it is a strong entity tag, including its
    /// quotes.
    Etag(String),
    /// The time of the last change, if it is certain that the file did not change twice at that time.
    Modified(SystemTime),
    /// The source states nothing that tells two versions of the file apart.
    Unknown,
}

/// The size of a file, as stated by something other than the response with the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedSize {
    /// The size in bytes.
    pub size: u64,
    /// The place where the size was found, in words for the user.
    pub from: String,
}

/// Other URLs of a file, and the URL of a document about the file, as a source states them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// Other URLs of the same file. The best URL comes first.
    pub duplicates: Vec<Url>,
    /// The URL of a Metalink document about the file.
    pub described_by: Option<Url>,
}

impl Remote {
    /// Returns a response with the whole file. All facts except the URL are unknown.
    pub fn whole(url: Url) -> Remote {
        Remote {
            url,
            span: Span::Whole,
            size: None,
            validator: Validator::Unknown,
            modified: None,
            name: None,
            content_type: None,
            coding: None,
            can_resume: false,
            digests: Vec::new(),
            waited: None,
            is_shared: false,
            range_digests: Vec::new(),
            stated_size: None,
            links: Links::default(),
            notes: Vec::new(),
            dropped: Vec::new(),
            transcript: None,
        }
    }

    /// Returns a response with these bytes of a file. `size` is the size of the whole file in bytes, if
    /// known. Further ranges can be requested.
    pub fn range(url: Url, range: Range<u64>, size: Option<u64>) -> Remote {
        Remote { span: Span::Range(range), size, can_resume: true, ..Remote::whole(url) }
    }

    /// Returns a response without bytes. The conditions of the request showed that the file has not changed.
    pub fn unchanged(url: Url) -> Remote {
        Remote { span: Span::Unchanged, ..Remote::whole(url) }
    }

    /// Returns true if the body is the whole file.
    pub fn is_whole(&self) -> bool {
        self.span == Span::Whole
    }

    /// Returns true if the source says that the file is an HTML page.
    pub fn is_html(&self) -> bool {
        let media_type =
            self.content_type.as_deref().and_then(|text| text.split(';').next()).unwrap_or_default();
        ["text/html", "application/xhtml+xml"].iter().any(|page| media_type.trim().eq_ignore_ascii_case(page))
    }
}

impl Validator {
    /// Returns the validator as a server would write it: a tag, or an HTTP date. Returns `None` for
    /// [`Validator::Unknown`].
    pub fn text(&self) -> Option<String> {
        match self {
            Validator::Etag(tag) => Some(tag.clone()),
            Validator::Modified(at) => Some(httpdate::fmt_http_date(*at)),
            Validator::Unknown => None,
        }
    }
}
