//! The known facts about the file on the server: its present state, and the first response.
//!
//! Invariant: a response that cannot be a version of the file is never stored as its present state.

use crate::journal::Start;
use crate::remote::{Remote, Validator};
use url::Url;

/// If the size of a later response is below the size of the first response divided by this number, the later
/// response is not a version of the file. It is an error message or a web page, for example. The sizes of two
/// versions of one file differ by less.
const FAR_SMALLER: u64 = 16;

/// The file as the server has it.
#[derive(Debug)]
pub(super) struct RemoteFile {
    pub(super) start: Start,
    /// True if ranges of the file may be joined.
    pub(super) joinable: bool,
    pub(super) warnings: Vec<String>,
    /// True if the server says that the file is a web page.
    pub(super) html: bool,
    /// True if the event `started` was sent for the file.
    pub(super) announced: bool,
    /// The URL that sent the first accepted response of this run.
    pub(super) answered: Option<Url>,
}

impl RemoteFile {
    /// Returns the file that an earlier run left unfinished.
    pub(super) fn left(start: Start) -> RemoteFile {
        let said = |coding| format!("the server sent it compressed ({coding}); it is saved as sent");
        let warnings = start.coding.iter().map(said).collect();
        RemoteFile { start, joinable: true, warnings, html: false, announced: false, answered: None }
    }

    /// Returns the file that this response describes.
    pub(super) fn said(start: Start, remote: &Remote) -> RemoteFile {
        let left = RemoteFile::left(start);
        let (html, joinable) = (remote.is_html(), remote.can_resume);
        let mut file = RemoteFile { html, joinable, answered: Some(remote.url.clone()), ..left };
        file.warnings.splice(0..0, remote.notes.iter().cloned());
        file
    }
}

/// The facts about the file in the first response.
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstResponse {
    /// True if the file is a web page. It is `None` if the response was in an earlier run, because a journal
    /// does not record this.
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

    /// Returns true if the size in this response can be compared with the size in the later response
    /// `remote`. If this response is from an earlier run, the file may have become small since then. The
    /// sizes are then compared only if the later response has no validator, because an error message has no
    /// validator.
    pub(super) fn speaks_of(&self, remote: &Remote) -> bool {
        self.html.is_some() || remote.validator == Validator::Unknown
    }

    /// Returns true if a file of this size cannot be a version of the same file.
    pub(super) fn dwarfs(&self, size: u64) -> bool {
        self.size.is_some_and(|before| size < before / FAR_SMALLER)
    }
}
