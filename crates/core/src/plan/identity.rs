//! Keeps track of which version of a file is being fetched, and decides if new bytes may be joined to the
//! written ones.
//!
//! [`Identity`] keeps the facts that the server stated about the file (validator, size, coding). It also
//! keeps a file to adopt, which another tool left unfinished, and the number of changes of the server's file.
//!
//! Invariant: the plan knows one version of the file at a time. Bytes are joined only if a validator or a
//! digest can show whether they belong to this version. Bytes of another tool's unfinished file are joined
//! only if the end of that file is equal to the server's bytes at the same offsets. A journal identifies the
//! version for a later run only if ranges of the file can be requested.

use super::adoption::Adoption;
use super::remote_file::{FirstResponse, RemoteFile};
use super::sources::Sources;
use super::transfer::Assignment;
use super::validate::{self, Segment, adopted_start, start_at};
use super::{Leftover, Rules};
use crate::digest::Expected;
use crate::error::{Error, ErrorKind};
use crate::identity::{Identity as JobIdentity, Origin, is_same_place, is_same_url};
use crate::journal::Start;
use crate::remote::{Remote, Validator};
use crate::show;
use crate::transcript::Transcript;
use std::sync::Arc;

/// After this many changes of the server's file, no bytes are joined: the file must arrive in one response.
const CHANGES_MOST: u32 = 2;

/// The facts outside of [`Identity`] that decide if bytes may be joined.
#[derive(Debug, Clone, Copy)]
pub(super) struct Joining<'p> {
    /// True if bytes of several sources may be mixed.
    pub(super) mixes: bool,
    /// True if ranges of the file may be joined: see [`Identity::may_join`].
    pub(super) joinable: bool,
    /// True if the last accepted response with a range did not state the size of the file.
    pub(super) open_ended: bool,
    pub(super) sources: &'p Sources,
    /// The digests that the whole file is expected to have.
    pub(super) expected: &'p [Expected],
}

/// The known facts about the file that is being fetched.
#[derive(Debug)]
pub(super) struct Identity {
    remote: Option<RemoteFile>,
    /// The first accepted response of this run. If the download started again, this is the response with
    /// which it started again. If the download continues from an earlier run, the facts in the journal take
    /// the place of the first response.
    first: Option<FirstResponse>,
    /// The response with which the download began before it started again. It is kept only if its size can
    /// be compared with the size of the file that is fetched now.
    before: Option<FirstResponse>,
    /// The unfinished file of another tool, if the job adopts one.
    pub(super) adoption: Adoption,
    /// The number of changes of the server's file during the download.
    changes: u32,
    /// True if bytes were joined without a validator. In this case, only a digest shows if they are of one
    /// version.
    joined_unproven: bool,
    /// The header lines that could not be read in the last response. The event `started` reports the lines of
    /// the first accepted response.
    unread: Vec<String>,
    /// Files of this size or larger, and files of unknown size, have a journal. With `None`, no file has a
    /// journal.
    journal_from: Option<u64>,
    /// True if a file with chunk hashes is being repaired. A later repair can continue its partial file
    /// without a journal, because the chunk hashes show which of its bytes are right.
    is_repair: bool,
}

impl Identity {
    pub(super) fn new(rules: &Rules) -> Self {
        Identity {
            remote: None,
            first: None,
            before: None,
            adoption: Adoption::default(),
            changes: 0,
            joined_unproven: false,
            unread: Vec::new(),
            journal_from: rules.sizes.journal_from,
            is_repair: false,
        }
    }

    /// Returns the known facts about the server's file, after a response was accepted or a journal was read.
    pub(super) fn start(&self) -> Option<&Start> {
        self.remote.as_ref().map(|file| &file.start)
    }

    /// Returns true if this run began the download with a response that states that the file is a web page.
    pub(super) fn is_html(&self) -> bool {
        self.remote.as_ref().is_some_and(|file| file.html)
    }

    /// Returns true if further bytes may be joined to the written ones: ranges of the file can be requested,
    /// and the file did not change too often. A validator or a digest must also show if all these bytes
    /// belong together. `digest_tells` is true if a digest will show this.
    pub(super) fn may_join(&self, digest_tells: bool) -> bool {
        self.remote.as_ref().is_some_and(|file| {
            let shown = file.start.validator != Validator::Unknown || digest_tells;
            file.joinable && self.changes < CHANGES_MOST && shown
        })
    }

    /// Returns the error for a wrong digest of the whole file. `why` states the computed digest and the
    /// expected digest. `only_earlier` is true if all bytes are from an earlier run.
    ///
    /// If bytes were joined without a validator, or if all bytes are from an earlier run, only the digest
    /// could show if they belong to one version of the file. So the wrong digest is reported as a changed
    /// file. Otherwise the bytes belong to one version, and they are damaged or the digest itself is wrong.
    /// If another tool left some of the bytes, these bytes are the most likely reason, so the error is always
    /// `digest.mismatch`.
    pub(super) fn wrong_digest(&self, path: String, why: String, only_earlier: bool) -> Error {
        let is_unproven = self.joined_unproven || only_earlier;
        match is_unproven && !self.adoption.is_kept() {
            true => Error::new(
                ErrorKind::RemoteChanged,
                path,
                "the digest of the file is wrong, and its ranges may belong to different versions of it",
            ),
            false => Error::new(ErrorKind::DigestMismatch, path, self.adoption.wrong_digest(why)),
        }
    }

    pub(super) fn count_change(&mut self) {
        self.changes += 1;
    }

    /// Returns the transcript of the first response of this run that was accepted since the download last
    /// started, if transcripts are kept.
    pub(super) fn transcript(&self) -> Option<Arc<Transcript>> {
        self.remote.as_ref()?.transcript.clone()
    }

    /// Returns the first entry of the file's journal, or `None` if the file gets no journal.
    pub(super) fn journal(&self, size: Option<u64>) -> Option<Start> {
        let from = self.journal_from?;
        let file = self.remote.as_ref().filter(|_| size.is_none_or(|size| size >= from))?;
        if file.joinable {
            return Some(file.start.clone());
        }
        // Bytes that cannot be joined now cannot be joined in a later run, so the entry has no validator.
        Some(Start { validator: Validator::Unknown, digests: Vec::new(), ..file.start.clone() })
    }

    /// Returns true if a later run can continue the partial file: it has a journal, or a later repair finds
    /// its right bytes by their chunk hashes.
    pub(super) fn is_left_for_later(&self, size: Option<u64>) -> bool {
        self.is_repair || self.journal(size).is_some()
    }

    /// Begins a download of the version of the file that is in this response. If a repair starts again in
    /// this way, a later repair cannot continue the partial file.
    pub(super) fn begin(&mut self, start: Start, remote: &Remote) {
        self.is_repair = false;
        self.remote = Some(RemoteFile::said(start, remote));
    }

    /// Continues with the version of the file that is in the partial file of an earlier run.
    pub(super) fn continue_left(&mut self, start: Start) {
        self.first.get_or_insert(FirstResponse { html: None, size: start.size });
        self.remote = Some(RemoteFile::left(start));
    }

    /// Continues with an existing file that is being repaired. This file gets no journal.
    pub(super) fn continue_without_journal(&mut self, start: Start) {
        (self.journal_from, self.is_repair) = (None, true);
        self.continue_left(start);
    }

    /// Records that a range of the file was accepted. `origin` is the origin of the source, and `size` is the
    /// size of the whole file, if known.
    pub(super) fn continue_with(&mut self, remote: &Remote, origin: Option<Origin>, size: Option<u64>) {
        let Some(file) = &mut self.remote else { return };
        if file.answered.is_none() {
            (file.answered, file.transcript) = (Some(remote.url.clone()), remote.transcript.clone());
        }
        // The origin of a finished file that is being repaired is not known before this response.
        if file.start.origin.is_none() {
            file.start.url = show::url(&remote.url);
            file.start.origin = origin;
        }
        file.start.size = size;
        self.joined_unproven |= file.start.validator == Validator::Unknown;
    }

    /// Records two facts about a response: the size that it states, and whether it is a web page. If this is
    /// not the first response of the run, does this only if `again` is true. `again` is true if the response
    /// begins the file at its first byte.
    pub(super) fn remember_response(&mut self, remote: &Remote, again: bool) {
        if again || self.first.is_none() {
            let before = self.first.replace(FirstResponse::of(remote));
            self.before = before.filter(|one| one.size.is_some()).or(self.before);
            self.before = self.before.filter(|before| before.speaks_of(remote));
        }
    }

    /// Records which header lines of a response could not be read.
    pub(super) fn set_unread(&mut self, lines: Vec<String>) {
        self.unread = lines;
    }

    /// Forgets the known facts about the version of the file, because the download starts again. The facts
    /// about the first response are kept: later responses are still compared with it. An unfinished file of
    /// another tool is kept too: it is still compared with the server's file.
    pub(super) fn forget(&mut self) {
        self.remote = None;
        self.adoption.forget();
        self.joined_unproven = false;
    }

    /// Forgets the earlier responses, because their bytes or sizes were wrong. Another mirror may have a much
    /// smaller file, and a given digest shows if this is the right file. If there is no given digest
    /// (`has_digest` is false), nothing is forgotten, so that an error message is not taken for the file.
    pub(super) fn forget_responses(&mut self, has_digest: bool) {
        if has_digest {
            (self.first, self.before) = (None, None);
        }
    }

    /// Checks that a response may contain a version of the same file as the first response.
    ///
    /// # Errors
    /// Returns `remote.other` if the response does not contain a version of the file.
    pub(super) fn check_kind(&self, remote: &Remote) -> Result<(), Error> {
        if !self.first.is_some_and(|first| first.differs(remote)) {
            return Ok(());
        }
        let size = remote.size.map_or(String::new(), |size| format!(" of {size} bytes"));
        let what = if remote.is_html() { "an HTML page" } else { "a response" };
        Err(Error::new(ErrorKind::RemoteOther, show::url(&remote.url), format!("{what}{size}")))
    }

    /// Compares the size of the complete file with the size that the server stated before the download
    /// started again (`before`). Without a `before`, the check succeeds. The check is needed if the later
    /// response stated no size, because [`Identity::check_kind`] could not compare the sizes then.
    ///
    /// # Errors
    /// Returns `remote.other` if the complete file is too small to be a version of the expected file.
    pub(super) fn check_size_of_whole(&self, size: u64, path: &str) -> Result<(), Error> {
        match self.before.is_some_and(|before| before.dwarfs(size)) {
            true => Err(Error::new(ErrorKind::RemoteOther, path, format!("a response of {size} bytes"))),
            false => Ok(()),
        }
    }

    /// Validates a response that contains the whole file. If the whole file was requested, every response is
    /// valid. If a range was requested, the response must not be a web page, must not have fewer bytes than
    /// the `present` bytes on the disk, and must not belong to another version of the file.
    ///
    /// # Errors
    /// Returns `remote.changed` if the response is not valid.
    pub(super) fn validate_whole(
        &self,
        assignment: &Assignment,
        remote: &Remote,
        present: u64,
        joining: Joining<'_>,
    ) -> Result<(), Error> {
        let other = remote.is_html() || remote.size.is_some_and(|size| size < present);
        if !assignment.is_plain() && (other || self.is_another(assignment.source, remote, joining)) {
            return Err(Error::new(ErrorKind::RemoteChanged, show::url(&remote.url), ""));
        }
        Ok(())
    }

    /// Validates a response with a range. Returns the bytes of the response that are used. If the range is
    /// compared with the end of another tool's unfinished file, also returns the facts about the server's
    /// file in this response.
    ///
    /// # Errors
    /// Returns an error with the reason why no byte of the response may be written.
    pub(super) fn validate_range(
        &self,
        assignment: &Assignment,
        remote: &Remote,
        joining: Joining<'_>,
    ) -> Result<(Segment, Option<Start>), Error> {
        let Assignment { source, from, end, .. } = *assignment;
        let refuse = |kind, why: &str| Err(Error::new(kind, show::url(&remote.url), why));
        if let Some(url) = self.other_origin(source, joining) {
            return refuse(ErrorKind::RemoteChanged, &format!("the partial file is from {url}"));
        }
        if let Some(left) = &self.adoption.adopting {
            let start = adopted_start(remote, joining.sources.origin(source), left)?;
            return Ok((validate::range(&start, from, end, remote)?, Some(start)));
        }
        let Some(file) = &self.remote else {
            return refuse(ErrorKind::HttpRangeWrong, "the whole file was requested");
        };
        if joining.open_ended && !joining.joinable {
            let why = "the response ended early, and nothing shows that more bytes belong to the same file";
            return refuse(ErrorKind::HttpTruncated, why);
        }
        let strong = |one: &Expected| one.digest.algorithm.is_strong();
        let digest_tells = joining.mixes || joining.expected.iter().chain(&file.start.digests).any(strong);
        let same = match &file.answered {
            Some(answered) => is_same_url(answered, &remote.url),
            // The origin of a finished file that is being repaired is not known.
            None if file.start.url.is_empty() => true,
            None => is_same_place(&file.start.url, &remote.url, joining.sources.origin(source)),
        };
        if !digest_tells && !same {
            return refuse(
                ErrorKind::RemoteChanged,
                &format!("the written bytes came from {}", file.start.url),
            );
        }
        let start = start_at(&file.start, source, joining);
        Ok((validate::range(&start, from, end, remote)?, None))
    }

    /// Returns the URL that the written bytes came from, if this URL belongs to another source and bytes may
    /// not be mixed. An equal size and ETag on another mirror do not show that the files are equal.
    fn other_origin(&self, source: usize, joining: Joining<'_>) -> Option<&str> {
        let start = self.start()?;
        let same = match (joining.sources.origin(source), start.origin) {
            (Some(one), Some(other)) => one.may_resume(other),
            _ => true,
        };
        (!same && !joining.mixes).then_some(start.url.as_str())
    }

    /// Returns true if a response has another validator or size than the file whose bytes are written.
    fn is_another(&self, source: usize, remote: &Remote, joining: Joining<'_>) -> bool {
        let Some(start) = self.start() else { return false };
        let start = start_at(start, source, joining);
        let validator = start.validator != Validator::Unknown && start.validator != remote.validator;
        validator || start.size.zip(remote.size).is_some_and(|(here, there)| here != there)
    }

    /// Checks that a job can continue the partial file of an earlier run, according to what is known about
    /// the file now. `job` is the identity of the job. `known` has the facts in the response of this run
    /// that the partial file must fit, if there is such a response. `joinable` is true if bytes may be joined
    /// to the file of that response. `tells_apart` is true if a strong digest or chunk hashes will show
    /// whether bytes of two mirrors belong together. `digest_tells(digests)` returns true if a strong digest
    /// is already known or is among `digests`.
    ///
    /// # Errors
    /// Returns `resume.unproven` or `remote.changed` if the job cannot continue the partial file.
    pub(super) fn check_leftover(
        left: &Leftover,
        path: &str,
        job: &JobIdentity,
        (known, joinable, tells_apart): (Option<&Start>, bool, bool),
        digest_tells: impl Fn(&[Expected]) -> bool,
    ) -> Result<(), Error> {
        let refuse = |kind, why: &str| Err(Error::new(kind, path, why));
        let Leftover::Journal { start, claims, .. } = left else { return Ok(()) };
        if !job.may_resume(start.origin) {
            return refuse(ErrorKind::ResumeUnproven, "the partial file came from another URL");
        }
        let Some(known) = known else {
            let unproven = start.validator == Validator::Unknown && !digest_tells(&start.digests);
            return match unproven && !claims.is_empty() {
                true => refuse(ErrorKind::ResumeUnproven, ""),
                false => Ok(()),
            };
        };
        // An equal size and ETag on another mirror do not show that the files are equal.
        let origins = start.origin.zip(known.origin);
        let is_other = origins.is_some_and(|(here, there)| !there.may_resume(here));
        if is_other && !tells_apart {
            return refuse(ErrorKind::ResumeUnproven, "the partial file came from another mirror");
        }
        let same =
            start.validator == known.validator && start.size == known.size && start.coding == known.coding;
        match same {
            _ if !joinable => refuse(ErrorKind::ResumeUnproven, ""),
            true => Ok(()),
            false => refuse(ErrorKind::RemoteChanged, "the partial file has bytes of another version"),
        }
    }

    /// Adds warnings to show when the file is finished.
    pub(super) fn warn(&mut self, warnings: impl IntoIterator<Item = String>) {
        if let Some(file) = &mut self.remote {
            file.warnings.extend(warnings);
        }
    }

    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        self.remote.as_mut().map(|file| std::mem::take(&mut file.warnings)).unwrap_or_default()
    }

    /// Returns the data of the event `started`: the URL, the validator, and the lines of the response head
    /// that could not be read. Later calls return `None`, until the download starts again.
    pub(super) fn announce(&mut self) -> Option<(String, Option<String>, Vec<String>)> {
        let file = self.remote.as_mut().filter(|file| !file.announced)?;
        file.announced = true;
        Some((file.start.url.clone(), file.start.validator.text(), std::mem::take(&mut self.unread)))
    }
}
