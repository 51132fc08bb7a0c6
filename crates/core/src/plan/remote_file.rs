//! What is known about the file on the server: its present state, and the earlier responses.
//!
//! Invariant: a response that cannot be a version of the file is never stored as its present state.

use crate::journal::Start;
use crate::remote::{Remote, Validator};
use url::Url;

/// If the size of a later response is below the first one's size divided by this, it is not a version of the
/// file. It is something else, such as an error message or a web page. The sizes of versions of one file
/// differ by less.
const FAR_SMALLER: u64 = 16;

/// The file as the server has it.
#[derive(Debug)]
pub(super) struct RemoteFile {
    pub(super) start: Start,
    /// True if its ranges may be joined.
    pub(super) joinable: bool,
    pub(super) warnings: Vec<String>,
    /// True if the server says that it is a web page.
    pub(super) html: bool,
    /// True if the event `started` was sent for it.
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

/// What the first response said about the file: if it is a web page, and its size.
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

    /// Returns true if the size in this response can be compared with that of a later one. A file may become
    /// small from one run to the next, but an error message that is sent instead has no validator.
    pub(super) fn speaks_of(&self, remote: &Remote) -> bool {
        self.html.is_some() || remote.validator == Validator::Unknown
    }

    /// Returns true if a file of this size cannot be a version of the same file.
    pub(super) fn dwarfs(&self, size: u64) -> bool {
        self.size.is_some_and(|before| size < before / FAR_SMALLER)
    }
}
