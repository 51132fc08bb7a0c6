//! Which file is being fetched, and whether bytes may be joined to it.
//!
//! It holds what the server said about the file (validator, size, coding), what is adopted from another tool,
//! and how often the file changed. Invariant: there is one state of the file at a time. Bytes are joined only
//! if they provably belong to it, and a journal names it for a later run only if its ranges may be joined.

use super::remote_file::{FirstResponse, RemoteFile};
use super::sources::Sources;
use super::transfer::Assignment;
use super::validate::{self, Segment, adopted_start, is_no_beginning, start_at};
use super::{Leftover, Rules};
use crate::adopt::Adopted;
use crate::digest::Expected;
use crate::error::{Error, ErrorKind};
use crate::identity::{Identity as JobIdentity, Origin, is_same_place, is_same_url};
use crate::journal::Start;
use crate::ranges::RangeSet;
use crate::remote::{Remote, Validator};
use crate::show;

/// After this many changes, the file must arrive in one response, or it fails.
const CHANGES_MOST: u32 = 2;

/// What joining bytes depends on besides the file itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Joining<'p> {
    /// Bytes of several sources may be mixed.
    pub(super) mixes: bool,
    /// Ranges of the file may be joined: see [`Identity::may_join`].
    pub(super) joinable: bool,
    /// A range ended, and no response said whether the file ends there too.
    pub(super) open_ended: bool,
    pub(super) sources: &'p Sources,
    /// The digests that the whole file is expected to have.
    pub(super) expected: &'p [Expected],
}

/// The file that is being fetched.
#[derive(Debug)]
pub(super) struct Identity {
    remote: Option<RemoteFile>,
    /// The first accepted response of this run or, if the file started again, the one with which it started
    /// again.
    first: Option<FirstResponse>,
    /// The one before the file began again, if its size says something of the file.
    before: Option<FirstResponse>,
    /// The partial file of another tool, until the server's file is compared with its end.
    adopting: Option<Adopted>,
    /// The same partial file, while its end is being compared.
    comparing: Option<Adopted>,
    /// How often the file changed while it was fetched.
    changes: u32,
    /// Bytes were joined without a validator: only a digest can tell whether they belong together.
    joined_unproven: bool,
    /// Lines of the last response that could not be read, until they are reported.
    unread: Vec<String>,
    /// Files of at least this size, and files of unknown size, have a journal. `None`: no file has one.
    journal_from: Option<u64>,
}

impl Identity {
    pub(super) fn new(rules: &Rules) -> Self {
        Identity {
            remote: None,
            first: None,
            before: None,
            adopting: None,
            comparing: None,
            changes: 0,
            joined_unproven: false,
            unread: Vec::new(),
            journal_from: rules.sizes.journal_from,
        }
    }

    /// Returns what is known about the file on the server, once a response was accepted or a journal was
    /// read.
    pub(super) fn start(&self) -> Option<&Start> {
        self.remote.as_ref().map(|file| &file.start)
    }

    /// Returns true if the server calls the file a web page.
    pub(super) fn is_html(&self) -> bool {
        self.remote.as_ref().is_some_and(|file| file.html)
    }

    /// Returns true if further bytes may be joined to the written ones, because a validator or a digest shows
    /// whether they belong together. `digest_tells` says that a digest does.
    pub(super) fn may_join(&self, digest_tells: bool) -> bool {
        self.remote.as_ref().is_some_and(|file| {
            let told = file.start.version != Validator::Unknown || digest_tells;
            file.joinable && self.changes < CHANGES_MOST && told
        })
    }

    /// Returns true if bytes were joined, and only a digest can show whether they belong together.
    pub(super) fn is_joined_unproven(&self) -> bool {
        self.joined_unproven
    }

    /// Counts a change of the file during the download.
    pub(super) fn count_change(&mut self) {
        self.changes += 1;
    }

    /// Returns the first record of the file's journal, if it has a journal.
    pub(super) fn journal(&self, size: Option<u64>) -> Option<Start> {
        let from = self.journal_from?;
        let file = self.remote.as_ref().filter(|_| size.is_none_or(|size| size >= from))?;
        if file.joinable {
            return Some(file.start.clone());
        }
        // What cannot be joined now cannot be joined in a later run either.
        Some(Start { version: Validator::Unknown, digests: Vec::new(), ..file.start.clone() })
    }

    /// Begins the file with this response.
    pub(super) fn begin(&mut self, start: Start, remote: &Remote) {
        self.remote = Some(RemoteFile::said(start, remote));
    }

    /// Continues the file as an earlier run left it.
    pub(super) fn continue_left(&mut self, start: Start) {
        self.first.get_or_insert(FirstResponse { html: None, size: start.size });
        self.remote = Some(RemoteFile::left(start));
    }

    /// Accepts a range of the file from this source.
    pub(super) fn continue_with(&mut self, remote: &Remote, origin: Option<Origin>, size: Option<u64>) {
        let Some(file) = &mut self.remote else { return };
        file.answered.get_or_insert_with(|| remote.url.clone());
        // If the file is being repaired, its origin was not known until now.
        if file.start.origin.is_none() {
            file.start.url = show::url(&remote.url);
            file.start.origin = origin;
        }
        file.start.size = size;
        self.joined_unproven |= file.start.version == Validator::Unknown;
    }

    /// Remembers the kind and size of a response. `again` says that the file starts again with it.
    pub(super) fn remember_response(&mut self, remote: &Remote, again: bool) {
        if again || self.first.is_none() {
            let before = self.first.replace(FirstResponse::of(remote));
            self.before = before.filter(|one| one.size.is_some()).or(self.before);
            self.before = self.before.filter(|before| before.speaks_of(remote));
        }
    }

    /// Remembers the lines of a response that could not be read.
    pub(super) fn set_unread(&mut self, lines: Vec<String>) {
        self.unread = lines;
    }

    /// Forgets the file, since it starts again. A partial file of another tool will still be compared.
    pub(super) fn forget(&mut self) {
        self.remote = None;
        self.adopting = self.comparing.take().or(self.adopting.take());
        self.joined_unproven = false;
    }

    /// Checks that a response is of the same kind as the first one.
    ///
    /// # Errors
    /// `remote.other` if something else is in the place of the file.
    pub(super) fn check_kind(&self, remote: &Remote) -> Result<(), Error> {
        if !self.first.is_some_and(|first| first.differs(remote)) {
            return Ok(());
        }
        let size = remote.size.map_or(String::new(), |size| format!(" of {size} bytes"));
        let what = if remote.is_html() { "an HTML page" } else { "a response" };
        Err(Error::new(ErrorKind::RemoteOther, show::url(&remote.url), format!("{what}{size}")))
    }

    /// Checks the size of the whole file as [`Identity::check_kind`] does. The response may not have stated
    /// that size.
    ///
    /// # Errors
    /// `remote.other`.
    pub(super) fn check_size_of_whole(&self, size: u64, path: &str) -> Result<(), Error> {
        match self.before.is_some_and(|before| before.dwarfs(size)) {
            true => Err(Error::new(ErrorKind::RemoteOther, path, format!("a response of {size} bytes"))),
            false => Ok(()),
        }
    }

    /// Validates a response that has the whole file although a range was requested. It must not be a web
    /// page, be shorter than the `present` bytes, or belong to another file. If it fails, a request for the
    /// whole file shows what the file is now.
    ///
    /// # Errors
    /// `remote.changed`.
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

    /// Validates a response with a range. Returns which bytes of it are used. If the range is compared with
    /// the end of another tool's partial file, also returns what is then known about the file.
    ///
    /// # Errors
    /// The reason why no byte of it may be written.
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
        if let Some(left) = &self.adopting {
            let start = adopted_start(remote, joining.sources.origin(source), left)?;
            return Ok((validate::range(&start, from, end, remote)?, Some(start)));
        }
        let Some(file) = &self.remote else {
            return refuse(ErrorKind::HttpRangeWrong, "the whole file was requested");
        };
        if joining.open_ended && !joining.joinable {
            let why = "the response ended early, and nothing shows that another range belongs to it";
            return refuse(ErrorKind::HttpTruncated, why);
        }
        let strong = |one: &Expected| one.digest.algorithm.is_strong();
        let digest_tells = joining.mixes || joining.expected.iter().chain(&file.start.digests).any(strong);
        let same = match &file.answered {
            Some(answered) => is_same_url(answered, &remote.url),
            // It is not known where a file that is repaired came from.
            None if file.start.url.is_empty() => true,
            None => is_same_place(&file.start.url, &remote.url, joining.sources.origin(source)),
        };
        if !digest_tells && !same {
            return refuse(ErrorKind::RemoteChanged, &format!("what is here came from {}", file.start.url));
        }
        let start = start_at(&file.start, source, joining);
        Ok((validate::range(&start, from, end, remote)?, None))
    }

    /// Returns the URL that the written bytes came from, if the source is another one. An equal size and ETag
    /// on another mirror do not show that the files are equal.
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
        let validator = start.version != Validator::Unknown && start.version != remote.validator;
        validator || start.size.zip(remote.size).is_some_and(|(here, there)| here != there)
    }

    /// Adopts another tool's partial file. Its end is compared with the server's file first.
    pub(super) fn adopt(&mut self, left: Adopted) {
        self.adopting = Some(left);
    }

    /// Returns the first byte to request: where the comparison with an adopted file begins, or 0.
    pub(super) fn first_byte(&self) -> u64 {
        self.adopting.as_ref().map_or(0, |left| left.overlap().start)
    }

    /// Checks that another tool's partial file can be a beginning of the file in this response.
    ///
    /// # Errors
    /// `resume.damaged`.
    pub(super) fn check_adopted(&self, remote: &Remote, origin: Option<Origin>) -> Result<(), Error> {
        self.adopting.as_ref().map_or(Ok(()), |left| adopted_start(remote, origin, left).map(drop))
    }

    /// Begins the comparison with another tool's partial file. Returns that file.
    pub(super) fn begin_comparison(&mut self) -> Option<&Adopted> {
        self.comparing = self.adopting.take();
        self.comparing.as_ref()
    }

    /// Ends the comparison with another tool's partial file, if all of its end is written.
    pub(super) fn end_comparison(&mut self, written: &RangeSet) {
        if self.comparing.as_ref().is_some_and(|left| written.contains(&left.overlap())) {
            self.comparing = None;
        }
    }

    /// Returns the error to report. If the server's file ends before another tool's partial file does, that
    /// partial file is not a beginning of it.
    pub(super) fn explain(&self, error: Error) -> Error {
        match &self.adopting {
            Some(left) if error.kind == ErrorKind::HttpRangePast => {
                is_no_beginning(left, error.size, &error.at)
            }
            _ => error,
        }
    }

    /// Checks that a job can continue what an earlier run left, by what is known about the file now. `job` is
    /// the identity of the job. `digest_tells(digests)` returns true if a strong digest is already known or
    /// is among `digests`.
    ///
    /// # Errors
    /// `resume.unproven` or `remote.changed`.
    pub(super) fn check_leftover(
        &self,
        left: &Leftover,
        path: &str,
        job: &JobIdentity,
        joinable: bool,
        digest_tells: impl Fn(&[Expected]) -> bool,
    ) -> Result<(), Error> {
        let refuse = |kind, why: &str| Err(Error::new(kind, path, why));
        let Leftover::Journal { start, claims } = left else { return Ok(()) };
        if !job.may_resume(start.origin) {
            return refuse(ErrorKind::ResumeUnproven, "it came from another URL");
        }
        let Some(known) = self.start() else {
            let unproven = start.version == Validator::Unknown && !digest_tells(&start.digests);
            return match unproven && !claims.is_empty() {
                true => refuse(ErrorKind::ResumeUnproven, ""),
                false => Ok(()),
            };
        };
        let same = start.version == known.version && start.size == known.size && start.coding == known.coding;
        match same {
            _ if !joinable => refuse(ErrorKind::ResumeUnproven, ""),
            true => Ok(()),
            false => refuse(ErrorKind::RemoteChanged, "since an earlier run"),
        }
    }

    /// Adds warnings to show when the file is finished.
    pub(super) fn warn(&mut self, warnings: impl IntoIterator<Item = String>) {
        if let Some(file) = &mut self.remote {
            file.warnings.extend(warnings);
        }
    }

    /// Returns the warnings, and removes them.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        self.remote.as_mut().map(|file| std::mem::take(&mut file.warnings)).unwrap_or_default()
    }

    /// Returns, once, what the event `started` reports: the URL, the validator, and the lines of the response
    /// head that could not be read.
    pub(super) fn announce(&mut self) -> Option<(String, Option<String>, Vec<String>)> {
        let file = self.remote.as_mut().filter(|file| !file.announced)?;
        file.announced = true;
        Some((file.start.url.clone(), file.start.version.text(), std::mem::take(&mut self.unread)))
    }
}
