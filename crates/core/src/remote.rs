//! What a source says about a file, in terms that no protocol owns: its size, its validator, its digests,
//! and which of its bytes are about to come.
//!
//! A source (HTTP in the engine, or one that a user of the library wrote) fills a [`Remote`] from whatever
//! its protocol says, and [`crate::plan`] validates it before a byte of the body is used. The facts are
//! about this one response. They are not yet the truth about the file: a server may be wrong, and its next
//! response may say something else.

use crate::digest::Expected;
use crate::name::SafeName;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::time::SystemTime;
use url::Url;

/// What a source says about a file, and about the bytes of it that follow.
///
/// It is made with [`Remote::whole`], [`Remote::range`] or [`Remote::unchanged`]; whatever else the source
/// knows is set afterwards.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Remote {
    /// The address that answered. It may differ from the one that was asked, for example after a redirect.
    pub url: Url,
    /// Which bytes of the file the body holds.
    pub span: Span,
    /// Size of the whole file in bytes, if the source knows it. A body of the whole file has exactly so
    /// many bytes.
    pub size: Option<u64>,
    /// What tells one state of the file from another.
    pub validator: Validator,
    /// When the file last changed.
    pub modified: Option<SystemTime>,
    /// The name that the source gives the file. Without one, the URL names it.
    pub name: Option<SafeName>,
    /// The media type of the file, as the source states it.
    pub content_type: Option<String>,
    /// The content coding that the body is in, as the source names it (`gzip`). `None`: the file's own bytes.
    pub coding: Option<String>,
    /// True if ranges of the file can be asked for, and belong together if their validators are equal.
    pub can_resume: bool,
    /// Digests of the whole file.
    pub digests: Vec<Expected>,
    /// Digests of exactly the bytes of this body, where it is a [`Span::Range`].
    pub range_digests: Vec<Expected>,
    /// The size of the whole file by the word of something else than this response, if that is known.
    pub stated_size: Option<StatedSize>,
    /// Where the same file is elsewhere.
    pub links: Links,
    /// What a person should know, such as a digest that could not be read. Shown with the result.
    pub notes: Vec<String>,
    /// What of the response was ignored, for a person who looks closely. Part of the event that the file
    /// started.
    pub dropped: Vec<String>,
}

/// Which bytes of a file a body holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// The whole file. A source that was asked for a range and sends everything says this, too.
    Whole,
    /// These bytes of the file, because a range was asked for. It is not empty.
    Range(Range<u64>),
    /// None: the file is as the conditions of the request describe it.
    Unchanged,
}

/// A strong validator (RFC 9110, section 8.8), or none: bodies with the same one are of the same state of
/// the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Validator {
    /// A tag that changes with every change of a byte. From HTTP: a strong entity tag, quotes included.
    Etag(String),
    /// The time of the last change, where it is certain that the file did not change twice at that time.
    Modified(SystemTime),
    /// Nothing that tells two states of the file apart.
    Unknown,
}

/// The size of a file by the word of something else than the response that brings it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedSize {
    /// In bytes.
    pub size: u64,
    /// What states it, for people.
    pub from: String,
}

/// Where a file is elsewhere, by the word of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// Other URLs of the same file, best first.
    pub duplicates: Vec<Url>,
    /// A Metalink document about it.
    pub described_by: Option<Url>,
}

impl Remote {
    /// Returns a response that brings the whole file, of which nothing else is known yet.
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
            range_digests: Vec::new(),
            stated_size: None,
            links: Links::default(),
            notes: Vec::new(),
            dropped: Vec::new(),
        }
    }

    /// Returns a response that brings these bytes of a file of that size, if known. More ranges can be
    /// asked for.
    pub fn range(url: Url, range: Range<u64>, size: Option<u64>) -> Remote {
        Remote { span: Span::Range(range), size, can_resume: true, ..Remote::whole(url) }
    }

    /// Returns a response without bytes: the file is as the conditions of the request describe it.
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
    /// Returns the validator as a server would write it: a tag, or a time in the form of HTTP.
    pub fn text(&self) -> Option<String> {
        match self {
            Validator::Etag(tag) => Some(tag.clone()),
            Validator::Modified(at) => Some(httpdate::fmt_http_date(*at)),
            Validator::Unknown => None,
        }
    }
}
