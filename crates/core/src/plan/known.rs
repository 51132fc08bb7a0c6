//! The version of a file that is being fetched, and what belongs to it.
//!
//! Invariant: there is one version at a time. Only what is provably of it is gone on with, and a journal for a later run
//! names it only if its parts may be joined.

use super::Plan;
use crate::journal::Start;
use crate::reply::{Reply, Validator};

/// The version of the file that is being fetched.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) start: Start,
    /// Parts of it may be joined.
    joinable: bool,
    pub(super) warnings: Vec<String>,
    /// It says to be an HTML page.
    pub(super) html: bool,
    /// It was told.
    pub(super) told: bool,
}

impl Known {
    /// What an earlier run left of it.
    fn left(start: Start) -> Known {
        let said = |coding| format!("the server sent it compressed ({coding}); it is saved as sent");
        let warnings = start.coding.iter().map(said).collect();
        Known { start, joinable: true, warnings, html: false, told: false }
    }

    /// What this reply says of it.
    fn said(start: Start, reply: &Reply, joinable: bool) -> Known {
        let mut known = Known { html: reply.html, joinable, ..Known::left(start) };
        known.warnings.splice(0..0, reply.notes.iter().cloned());
        known
    }
}

impl Plan {
    /// This is the version from now on, as the reply says.
    pub(super) fn know(&mut self, start: Start, reply: &Reply, joinable: bool) {
        self.proof.begin(&start.digests);
        self.known = Some(Known::said(start, reply, joinable));
    }

    /// This is the version from now on, as it was in an earlier run.
    pub(super) fn know_again(&mut self, start: Start) {
        self.proof.begin(&start.digests);
        self.known = Some(Known::left(start));
    }

    /// Whether what is written can be told to belong to what follows.
    pub(super) fn is_provable(&self) -> bool {
        let strong = self.proof.has_strong(&[]) || self.pieces.is_some();
        self.known.as_ref().is_some_and(|known| {
            known.joinable && self.changes < 2 && (known.start.version != Validator::Unknown || strong)
        })
    }

    /// The beginning of the file's journal, if it shall have one.
    pub(super) fn journal(&self) -> Option<Start> {
        let from = self.rules.sizes.journal_from?;
        let known = self.known.as_ref().filter(|_| self.work.size.is_none_or(|size| size >= from))?;
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
        Start { version, digests: self.proof.all().to_vec(), ..known.clone() }
    }

    /// What an earlier run left may be another mirror's, of which equal sizes and tags prove nothing.
    pub(super) fn is_of_another_source(&self, source: usize, known: &Known) -> bool {
        let same = match (self.sources.origin(source), known.start.origin) {
            (Some(one), Some(other)) => one.may_continue(other),
            _ => true,
        };
        !same && !self.mixes()
    }

    /// Whether this reply says itself that it is of another file than the one whose bytes are here.
    pub(super) fn is_another(&self, source: usize, reply: &Reply) -> bool {
        let Some(Known { start, .. }) = &self.known else { return false };
        let start = &self.start_of(source, start);
        let version = start.version != Validator::Unknown && start.version != reply.version;
        let size = start.size.zip(reply.size()).is_some_and(|(here, there)| here != there);
        version || size
    }
}
