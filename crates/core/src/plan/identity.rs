//! The version of a file that is being fetched, and what belongs to it.
//!
//! Invariant: there is one version at a time. Only what is provably of it is gone on with, and a journal for a later run
//! names it only if its parts may be joined.

use super::Plan;
use crate::journal::Start;
use crate::remote::{Remote, Validator};

/// The version of the file that is being fetched.
#[derive(Debug)]
pub(super) struct RemoteFile {
    pub(super) start: Start,
    /// Parts of it may be joined.
    joinable: bool,
    pub(super) warnings: Vec<String>,
    /// It says to be an HTML page.
    pub(super) html: bool,
    /// It was told.
    pub(super) told: bool,
}

impl RemoteFile {
    /// What an earlier run left of it.
    fn left(start: Start) -> RemoteFile {
        let said = |coding| format!("the server sent it compressed ({coding}); it is saved as sent");
        let warnings = start.coding.iter().map(said).collect();
        RemoteFile { start, joinable: true, warnings, html: false, told: false }
    }

    /// What this reply says of it.
    fn said(start: Start, remote: &Remote, joinable: bool) -> RemoteFile {
        let mut known = RemoteFile { html: remote.is_html(), joinable, ..RemoteFile::left(start) };
        known.warnings.splice(0..0, remote.notes.iter().cloned());
        known
    }
}

impl Plan {
    /// This is the version from now on, as the reply says.
    pub(super) fn know(&mut self, start: Start, remote: &Remote, joinable: bool) {
        self.expectations.begin(&start.digests);
        self.remote_file = Some(RemoteFile::said(start, remote, joinable));
    }

    /// This is the version from now on, as it was in an earlier run.
    pub(super) fn know_again(&mut self, start: Start) {
        self.expectations.begin(&start.digests);
        self.remote_file = Some(RemoteFile::left(start));
    }

    /// Whether what is written can be told to belong to what follows.
    pub(super) fn is_provable(&self) -> bool {
        let strong = self.expectations.has_strong(&[]) || self.chunks.is_some();
        self.remote_file.as_ref().is_some_and(|known| {
            known.joinable && self.changes < 2 && (known.start.version != Validator::Unknown || strong)
        })
    }

    /// The beginning of the file's journal, if it shall have one.
    pub(super) fn journal(&self) -> Option<Start> {
        let from = self.rules.sizes.journal_from?;
        let known = self.remote_file.as_ref().filter(|_| self.ledger.size.is_none_or(|size| size >= from))?;
        // What cannot be joined now cannot be in a later run either.
        let worthless = Start { version: Validator::Unknown, digests: Vec::new(), ..known.start.clone() };
        Some(if known.joinable { known.start.clone() } else { worthless })
    }

    /// What a reply of that source must agree with: of several, each has a version of its own, and all have the digests.
    pub(super) fn start_of(&self, source: usize, known: &Start) -> Start {
        if !self.mixes() {
            return known.clone();
        }
        let same = self.sources.origin(source) == known.origin;
        let version = self.sources.version(source).or(Some(&known.version).filter(|_| same));
        let version = version.cloned().unwrap_or(Validator::Unknown);
        Start { version, digests: self.expectations.all().to_vec(), ..known.clone() }
    }

    /// What an earlier run left may be another mirror's, of which equal sizes and tags prove nothing.
    pub(super) fn is_of_another_source(&self, source: usize, known: &RemoteFile) -> bool {
        let same = match (self.sources.origin(source), known.start.origin) {
            (Some(one), Some(other)) => one.may_resume(other),
            _ => true,
        };
        !same && !self.mixes()
    }

    /// Whether this reply says itself that it is of another file than the one whose bytes are here.
    pub(super) fn is_another(&self, source: usize, remote: &Remote) -> bool {
        let Some(RemoteFile { start, .. }) = &self.remote_file else { return false };
        let start = &self.start_of(source, start);
        let version = start.version != Validator::Unknown && start.version != remote.validator;
        let size = start.size.zip(remote.size).is_some_and(|(here, there)| here != there);
        version || size
    }
}
