//! The known facts about the file on the server: its present state, and the first response.
//!
//! Invariant: a response that cannot contain a version of the file ([`FirstResponse::differs`]) is never
//! stored as the present state of the file.

use crate::journal::Start;
use crate::remote::{Remote, Validator};
use crate::transcript::Transcript;
use std::sync::Arc;
use url::Url;

/// If the sizes can be compared, a later response does not count as a version of the file if its size is less
/// than the size in the first response divided by this number. It is probably an error message or a web page.
const FAR_SMALLER: u64 = 16;

/// The file as the server has it, according to the response or the journal with which the download started.
#[derive(Debug)]
pub(super) struct RemoteFile {
    pub(super) start: Start,
    /// False if the server refuses ranges, or if ranges with equal validators may belong to different
    /// versions of the file ([`Remote::can_resume`]). True if the download continues from a journal. Ranges
    /// without a validator are joined only if a digest shows that they belong to the same version.
    pub(super) joinable: bool,
    pub(super) warnings: Vec<String>,
    /// True if the response with which the download began says that the file is a web page. A journal does
    /// not record this.
    pub(super) html: bool,
    /// True if the event `started` was sent since the download last started.
    pub(super) announced: bool,
    /// The URL of the first accepted response of this run since the download last started.
    pub(super) answered: Option<Url>,
    /// The transcript of that response, if transcripts are kept.
    pub(super) transcript: Option<Arc<Transcript>>,
}

impl RemoteFile {
    /// Returns the facts about a file with bytes that are on the disk already. `start` is the first entry of
    /// its journal. If an existing file is being repaired, `start` has what is known about that file.
    pub(super) fn left(start: Start) -> RemoteFile {
        let said = |coding| format!("the server sent the file compressed ({coding}); it is saved as sent");
        let warnings = start.coding.iter().map(said).collect();
        RemoteFile {
            start,
            joinable: true,
            warnings,
            html: false,
            announced: false,
            answered: None,
            transcript: None,
        }
    }

    /// Returns the facts about the file in this response. `start` is the first entry of the journal for this
    /// file.
    pub(super) fn said(start: Start, remote: &Remote) -> RemoteFile {
        let left = RemoteFile::left(start);
        let (html, joinable) = (remote.is_html(), remote.can_resume);
        let (answered, transcript) = (Some(remote.url.clone()), remote.transcript.clone());
        let mut file = RemoteFile { html, joinable, answered, transcript, ..left };
        file.warnings.splice(0..0, remote.notes.iter().cloned());
        file
    }
}

/// The facts about the file in the first response. If the download continues from an earlier run, the size
/// comes from the journal.
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstResponse {
    /// True if the file is a web page. It is `None` if the first response arrived in an earlier run, because
    /// a journal does not record this.
    pub(super) html: Option<bool>,
    /// The size in bytes, if the response stated it.
    pub(super) size: Option<u64>,
}

impl FirstResponse {
    pub(super) fn of(remote: &Remote) -> FirstResponse {
        FirstResponse { html: Some(remote.is_html()), size: remote.size }
    }

    /// Returns true if a later response cannot contain a version of the same file.
    pub(super) fn differs(&self, remote: &Remote) -> bool {
        let is_page = remote.is_html() && self.html == Some(false);
        is_page || (self.speaks_of(remote) && remote.size.is_some_and(|size| self.dwarfs(size)))
    }

    /// Returns true if the size in this response can be compared with the size in the later response
    /// `remote`. If this response is from an earlier run, the file on the server may really have become small
    /// since then. In this case, the sizes are compared only if the later response has no validator, because
    /// error messages usually have no validator.
    pub(super) fn speaks_of(&self, remote: &Remote) -> bool {
        self.html.is_some() || remote.validator == Validator::Unknown
    }

    /// Returns true if `size` is so small that a file of this size cannot be a version of the same file.
    pub(super) fn dwarfs(&self, size: u64) -> bool {
        self.size.is_some_and(|before| size < before / FAR_SMALLER)
    }
}
