//! What is known of the file on the server: what it is like now, and what the responses before were like.
//!
//! Invariant: a response that cannot be a version of the file never replaces it.

use crate::journal::Start;
use crate::remote::{Remote, Validator};
use url::Url;

/// If a later response has less than one part in this many of the first one's size, it is not a version of
/// the file but something else, such as a short error message or a web page. Versions of one file differ by
/// less.
const FAR_SMALLER: u64 = 16;

/// The file as the server has it.
#[derive(Debug)]
pub(super) struct RemoteFile {
    pub(super) start: Start,
    /// Its ranges may be joined.
    pub(super) joinable: bool,
    pub(super) warnings: Vec<String>,
    /// The server calls it a web page.
    pub(super) html: bool,
    /// The event `started` was sent for it.
    pub(super) announced: bool,
    /// The URL that answered in this run.
    pub(super) answered: Option<Url>,
}

impl RemoteFile {
    /// Returns the file that an earlier run left unfinished.
    pub(super) fn left(start: Start) -> RemoteFile {
        let said = |coding| format!("the server sent it compressed ({coding}); it is saved as sent");
        let warnings = start.coding.iter().map(said).collect();
        RemoteFile { start, joinable: true, warnings, html: false, announced: false, answered: None }
    }

    /// Returns the file of this response.
    pub(super) fn said(start: Start, remote: &Remote) -> RemoteFile {
        let left = RemoteFile::left(start);
        let (html, joinable) = (remote.is_html(), remote.can_resume);
        let mut file = RemoteFile { html, joinable, answered: Some(remote.url.clone()), ..left };
        file.warnings.splice(0..0, remote.notes.iter().cloned());
        file
    }
}

/// What the first response said about the file: whether it is a web page, and its size.
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstResponse {
    /// `None` if the response was in an earlier run, since a journal does not record this.
    pub(super) html: Option<bool>,
    pub(super) size: Option<u64>,
}

impl FirstResponse {
    pub(super) fn of(remote: &Remote) -> FirstResponse {
        FirstResponse { html: Some(remote.is_html()), size: remote.size }
    }

    /// Returns true if a later response cannot be a version of the same file.
    pub(super) fn differs(&self, remote: &Remote) -> bool {
        let is_page = remote.is_html() && self.html == Some(false);
        is_page || (self.speaks_of(remote) && remote.size.is_some_and(|size| self.dwarfs(size)))
    }

    /// Returns true if its size says something of this response. A file may become small from one run to the
    /// next, but an error message that takes its place has no validator.
    pub(super) fn speaks_of(&self, remote: &Remote) -> bool {
        self.html.is_some() || remote.validator == Validator::Unknown
    }

    /// Returns true if a file of this size cannot be a version of the same file.
    pub(super) fn dwarfs(&self, size: u64) -> bool {
        self.size.is_some_and(|before| size < before / FAR_SMALLER)
    }
}
