//! Going on with what is on the disk: what an earlier run left, what another tool left, or a file to be repaired.
//!
//! Invariant: what was left counts only if it can be told to belong to what comes, and what a journal claims only once its
//! bytes were found good.

use super::{Action, Leftover, Place, Plan, State, WorkerId};
use crate::adopt::Adopted;
use crate::error::{Error, ErrorKind};
use crate::event::EventKind;
use crate::identity::Origin;
use crate::journal::{Claim, Start};
use crate::plan::responses::start_of_reply;
use crate::remote::{Remote, Validator};
use std::time::Duration;

impl Plan {
    /// There is a part file, or none may be; `left` is what was found in it.
    pub(super) fn placed(
        &mut self,
        now: Duration,
        worker: Option<WorkerId>,
        place: Result<Place, Error>,
        left: Option<Leftover>,
    ) {
        match place {
            Ok(Place::Free { path, .. }) => self.placed = Some(path),
            // With a reply in hand there is nothing to ask.
            Ok(Place::Ask(_)) => {}
            Ok(Place::Taken { path, reason }) => {
                self.drop_workers();
                return self.skipped(path, reason);
            }
            Err(error) => {
                self.drop_workers();
                return self.failed(now, error);
            }
        }
        let useful = match &left {
            None => Ok(()),
            Some(left) => self.is_useful(left),
        };
        match (worker, left, useful) {
            (Some(worker), None, _) => self.accept(now, worker, 0),
            (None, None, _) => self.state = State::Transferring,
            (_, Some(left), Ok(())) => {
                // What was opened for everything is not what is needed now.
                self.drop_workers();
                self.state = State::Transferring;
                self.go_on_with(left);
            }
            (worker, Some(_), Err(error)) => {
                self.tell_retry(&error, 0, Duration::ZERO, 0);
                match worker {
                    None => self.state = State::Transferring,
                    Some(worker) => self.begin(worker, 0, false),
                }
            }
        }
    }

    /// Whether a download can go on with what is there, by what is known of the file now.
    fn is_useful(&self, left: &Leftover) -> Result<(), Error> {
        let no = |kind, why: &str| Err(Error::new(kind, self.place(), why));
        match (left, &self.remote_file) {
            (Leftover::Journal { start, .. }, _) if !self.identity().may_resume(start.origin) => {
                no(ErrorKind::ResumeUnproven, "it came from another URL")
            }
            (_, Some(_)) if !self.is_provable() && matches!(left, Leftover::Journal { .. }) => {
                no(ErrorKind::ResumeUnproven, "")
            }
            (Leftover::Journal { start, .. }, Some(known)) => {
                let same = start.version == known.start.version
                    && start.size == known.start.size
                    && start.coding == known.start.coding;
                if same { Ok(()) } else { no(ErrorKind::RemoteChanged, "since an earlier run") }
            }
            (Leftover::Journal { start, claims }, None) => {
                let strong = self.expectations.has_strong(&start.digests);
                match start.version == Validator::Unknown && !strong && !claims.is_empty() {
                    true => no(ErrorKind::ResumeUnproven, ""),
                    false => Ok(()),
                }
            }
            (Leftover::Adopted(_) | Leftover::Whole(_), _) => Ok(()),
        }
    }

    fn go_on_with(&mut self, left: Leftover) {
        match left {
            Leftover::Adopted(adopted) => {
                self.forget();
                self.adopting = Some(adopted);
            }
            Leftover::Whole(length) => {
                self.forget();
                self.repair(length);
            }
            Leftover::Journal { start, claims } => {
                self.ledger.clear();
                self.ledger.size = start.size;
                self.ledger.claimed = claims.iter().map(|claim| claim.start..claim.end).collect();
                if self.remote_file.is_some() {
                    // The reply that named it says so.
                    self.tell_start();
                } else {
                    self.know_again(start);
                }
                let bytes = self.ledger.there();
                let from = self.ledger.claimed.prefix();
                if bytes > 0 {
                    self.actions.push_back(Action::Tell(EventKind::Resumed { from, bytes }));
                }
                self.checks += 1;
                self.actions.push_back(Action::CheckJournal { number: self.checks, claims });
            }
        }
    }

    /// A claim was looked at. Claims may overlap: what one of them proved, or what was given up meanwhile, is not claimed any
    /// more.
    pub(super) fn checked(&mut self, claim: Claim, good: bool) {
        if good {
            for range in self.ledger.claimed.take(claim.start..claim.end) {
                self.left_good += range.end - range.start;
                self.ledger.written.insert(range);
            }
        }
        self.complete();
    }

    /// All claims were looked at: whatever is left of them is free.
    pub(super) fn check_ended(&mut self) {
        self.ledger.claimed = Default::default();
        self.complete();
    }

    /// A file is there, and digests of its pieces will tell what of it is right. Without them, nothing of it counts.
    fn repair(&mut self, length: u64) {
        let size = self.rules.size.unwrap_or(length);
        if self.chunks.as_ref().is_some_and(|pieces| pieces.fit(size)) {
            let start = Start {
                url: String::new(),
                origin: None,
                size: Some(size),
                version: Validator::Unknown,
                coding: None,
                digests: Vec::new(),
            };
            self.know_again(start);
            self.ledger.size = Some(size);
            self.ledger.written.insert(0..length.min(size));
            self.left_good = length.min(size);
        }
    }
}

/// What a partial file of another tool is to become, by a reply about its end.
pub(super) fn adopted(remote: &Remote, origin: Option<Origin>, left: &Adopted) -> Result<Start, Error> {
    let start = start_of_reply(remote, origin);
    match remote.size {
        Some(size) if size < left.end() || left.size.is_some_and(|whole| whole != size) => {
            Err(is_no_beginning(left, Some(size), &start.url))
        }
        // Where the server does not say how large its file is, the other tool may have known.
        size => Ok(Start { size: size.or(left.size), ..start }),
    }
}

/// A partial file of another tool is not of the server's file, by the sizes of both.
pub(super) fn is_no_beginning(left: &Adopted, size: Option<u64>, url: &str) -> Error {
    let here = match left.size {
        Some(size) => format!("it is of a file of {size} bytes"),
        None => format!("it has {} bytes", left.end()),
    };
    let there = size.map_or("is shorter".to_string(), |size| format!("has {size} bytes"));
    Error::new(ErrorKind::ResumeDamaged, url, format!("{here}, and the server's file {there}"))
}
