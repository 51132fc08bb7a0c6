//! Whether what is written is right: digests of pieces while they come, digests of the whole in the end, and who is to blame.
//!
//! Invariant: nothing is published that is not what every digest says that is known. A source is named a liar only when
//! the file, or a piece, became right by taking its bytes from others: who said what they must be may be wrong as well.

mod chunks;
mod expectations;

pub(super) use chunks::Chunks;
pub(super) use expectations::Expectations;

use super::{Action, Plan, State, sources::Out};
use crate::digest::{self, Digest, Expected};
use crate::error::{Error, ErrorKind};
use crate::event::{EventKind, Failure};
use crate::job::ChunkHashes;
use crate::settings::Verify;
use std::ops::Range;
use std::time::Duration;

impl Plan {
    /// Every byte is written, and every piece proven: on to the digests.
    pub(super) fn complete(&mut self) -> bool {
        self.prove();
        let whole = self.ledger.is_complete() && self.ledger.claimed.is_empty();
        // Those that do not fit the file will be told of when it is verified.
        let known = self.chunks.as_ref().zip(self.ledger.size);
        let proven = known.is_none_or(|(pieces, size)| pieces.all(size) || !pieces.fit(size));
        if self.state != State::Transferring || !whole || !proven {
            return false;
        }
        self.drop_workers();
        self.proven.get_or_insert_with(|| "size only".into());
        self.state = State::Verifying;
        self.actions.push_back(Action::Verify);
        true
    }

    pub(super) fn verified(&mut self, now: Duration, computed: Result<Vec<Digest>, Error>) {
        let computed = match computed {
            Ok(computed) => computed,
            Err(error) => return self.failed(now, error),
        };
        if let Err(error) = self.has_the_size(self.ledger.size, &self.place()) {
            return self.failed(now, error);
        }
        match digest::verdict(self.expectations.all(), &computed) {
            Ok(strongest) => {
                let (facts, proven) = self.expectations.tell(&computed, strongest);
                if let Err(error) = self.is_proven_enough().and_then(|()| self.warn()) {
                    return self.failed(now, error);
                }
                let by_piece = self.chunks.as_ref().map(|pieces| {
                    let ChunkHashes { algorithm, from, .. } = pieces.from();
                    format!("{} of each piece from {from}", algorithm.name())
                });
                self.proven = proven.or(by_piece).or(self.proven.take());
                if let Some(liar) = self.sources.convict() {
                    self.lied(
                        liar,
                        ErrorKind::DigestMismatch,
                        "it sent wrong bytes, which came from others then",
                    );
                }
                self.computed = computed;
                self.actions.extend(facts.into_iter().map(Action::Tell));
                self.state = State::Publishing;
                self.actions.push_back(Action::Publish);
            }
            Err((expected, found)) => {
                let found = found.map_or("not computed".to_string(), |digest| digest.to_string());
                let Expected { digest, from } = expected;
                let why = format!("{} is {found}, but {from} says {digest}", digest.algorithm.name());
                self.whole_is_wrong(now, why);
            }
        }
    }

    fn whole_is_wrong(&mut self, now: Duration, why: String) {
        if self.find_the_liar() {
            return;
        }
        // Nothing but the digest could tell whether its parts were of one version, or what an earlier run left is
        // of this one; in one piece it will be.
        let error = match self.unproven_join || self.fetched == 0 {
            true => Error::new(ErrorKind::RemoteChanged, self.place(), "its parts do not belong together"),
            false => Error::new(ErrorKind::DigestMismatch, self.place(), why),
        };
        self.failed(now, error);
    }

    /// What is said of the file's pieces and its size. What was said first counts. What goes to standard output cannot be
    /// read back, so that only its whole is checked.
    pub(super) fn know_pieces(&mut self, pieces: Option<ChunkHashes>, size: Option<u64>) {
        self.rules.size = self.rules.size.or(size);
        let checked = self.rules.verify != Verify::Off && !self.rules.sizes.window_is_memory;
        if let Some(pieces) = pieces.filter(|_| checked && self.chunks.is_none()) {
            let pieces = Chunks::new(pieces);
            self.ledger.align = pieces.length();
            self.chunks = Some(pieces);
        }
    }

    /// # Errors
    /// `digest.missing` where something strong must be known, and is not.
    pub(super) fn is_proven_enough(&self) -> Result<(), Error> {
        match &self.chunks {
            Some(pieces) if pieces.from().algorithm.is_strong() => Ok(()),
            _ => self.expectations.suffices(&self.place()),
        }
    }

    /// # Errors
    /// `digest.mismatch` if the size is known to be wrong.
    pub(super) fn has_the_size(&self, size: Option<u64>, at: &str) -> Result<(), Error> {
        match (self.rules.size, size) {
            (Some(wanted), Some(size)) if wanted != size && self.rules.verify != Verify::Off => {
                let why = format!("its size is {size} bytes, and must be {wanted}");
                Err(Error::new(ErrorKind::DigestMismatch, at, why))
            }
            (_, Some(size)) if self.chunks.as_ref().is_some_and(|pieces| !pieces.fit(size)) => {
                let count = self.chunks.as_ref().map_or(0, |pieces| pieces.from().digests.len());
                let why = format!("it has {size} bytes, which is not what {count} pieces have");
                Err(Error::new(ErrorKind::DigestMismatch, at, why))
            }
            _ => Ok(()),
        }
    }

    /// Has the next piece looked at that is there and not proven.
    fn prove(&mut self) {
        let Some((pieces, size)) = self.chunks.as_mut().zip(self.ledger.size) else { return };
        // What an earlier run left is looked at when its journal was found right.
        if let Some((piece, expected)) = pieces.next(&self.ledger.written, size) {
            self.actions.push_back(Action::VerifyChunk { number: self.checks, chunk: piece, expected });
        }
    }

    /// A piece was looked at.
    pub(super) fn proved(&mut self, now: Duration, piece: Range<u64>, good: Result<bool, Error>) {
        let Some(pieces) = &mut self.chunks else { return };
        if !pieces.looked(&piece, good == Ok(true)) {
            return;
        }
        match good {
            Ok(true) => {
                self.piece_is_right(&piece);
                self.complete();
            }
            Ok(false) => self.piece_is_wrong(now, piece),
            Err(error) => {
                self.drop_workers();
                self.failed(now, error);
            }
        }
    }

    /// Whoever sent it otherwise lied.
    fn piece_is_right(&mut self, piece: &Range<u64>) {
        let sent_wrong = self.chunks.as_mut().map(|pieces| pieces.take_wrong(piece)).unwrap_or_default();
        let by = self.ledger.provenance().by(piece);
        let why = self.is_not_as_said(piece);
        for liar in sent_wrong.into_iter().filter(|&one| by.is_some_and(|by| by != one)) {
            self.drop_workers_of(liar);
            self.lied(liar, ErrorKind::DigestPart, &why);
        }
    }

    fn piece_is_wrong(&mut self, now: Duration, piece: Range<u64>) {
        let by = self.ledger.provenance().by(&piece);
        let again = self.ledger.is_contested(&piece);
        let why = self.is_not_as_said(&piece);
        // All of it came from there. Whether that one is wrong, or what the digest says, is told by others.
        let suspect = by.filter(|_| self.mixes());
        let sent = match (suspect, &mut self.chunks) {
            (Some(source), Some(pieces)) => pieces.sent_wrong(&piece, source).to_vec(),
            _ => Vec::new(),
        };
        let suspect = suspect.filter(|_| self.sources.has_other_than(&sent));
        if let Some(source) = suspect {
            self.drop_workers_of(source);
            self.sources.leave(source, Out::Suspected);
        }
        self.take_back(vec![piece.clone()]);
        self.ledger.contest(&piece);
        if self.state != State::Transferring || suspect.is_some() || (by.is_none() && !again) {
            // It comes again: from another one, or, if it cannot be said whose it was, from one alone.
            self.complete();
            return;
        }
        let error = match by {
            Some(_) if sent.len() > 1 => {
                let disagree = format!(
                    "{why}, from any of {} mirrors: its digests and their bytes disagree",
                    sent.len()
                );
                Error::new(ErrorKind::DigestPart, self.place(), disagree)
            }
            Some(source) => Error::new(ErrorKind::DigestPart, self.sources.url(source), why),
            None => Error::new(ErrorKind::DigestPart, self.place(), why),
        };
        self.drop_workers();
        self.failed(now, error);
    }

    fn is_not_as_said(&self, piece: &Range<u64>) -> String {
        let from = self.chunks.as_ref().map_or("", |pieces| &pieces.from().from);
        format!("bytes {} to {} are not what {from} says", piece.start, piece.end.saturating_sub(1))
    }

    /// The whole is wrong: takes back what one of several sources brought, so that it comes from the others. False if that
    /// was tried with all of them. No source is asked for everything again as long as it is not the last one left.
    fn find_the_liar(&mut self) -> bool {
        // What is right piece by piece is right: then somebody said something wrong of the whole.
        if !self.mixes() || self.chunks.is_some() {
            return false;
        }
        let mut ranges = self.ledger.provenance().of_nobody(&self.ledger.written);
        let (at, what) = if !ranges.is_empty() && self.sources.suspect_nobody() {
            (self.place(), "some of it is not known to be from one mirror, and comes again".to_string())
        } else {
            // By one server's word alone, it may be that one whose file is another.
            let alone = ranges.is_empty() && self.expectations.is_given();
            // Whoever brought least is cheapest to do without.
            let next = self.sources.suspect(&self.ledger.provenance().contributors(), alone);
            let Some(suspect) = next else { return false };
            ranges.extend(self.ledger.provenance().all_of(suspect));
            let url = self.sources.url(suspect).to_string();
            let what = format!("what {url} sent comes from others, to find out whether it is to blame");
            (url, what)
        };
        self.take_back(ranges);
        self.state = State::Transferring;
        let error = Error::new(ErrorKind::DigestMismatch, at, what);
        self.tell_retry(&error, 0, Duration::ZERO, self.ledger.written.prefix());
        true
    }

    /// These bytes count for nothing, and are fetched again once the disk knows. Nobody may bring what it had of them.
    pub(super) fn take_back(&mut self, ranges: Vec<Range<u64>>) {
        for hedge in self.ledger.release_hedges(&ranges) {
            self.actions.push_back(Action::Drop { worker: hedge });
        }
        if let Some(pieces) = &mut self.chunks {
            ranges.iter().for_each(|range| pieces.take_back(range));
        }
        self.ledger.take_back(&ranges);
        self.actions.push_back(Action::Discard { number: self.checks, ranges });
    }

    /// The disk knows.
    pub(super) fn voided(&mut self, now: Duration, ranges: &[Range<u64>], result: Result<(), Error>) {
        self.ledger.voided(ranges);
        if let Err(error) = result {
            self.drop_workers();
            self.failed(now, error);
        }
    }

    fn lied(&mut self, source: usize, kind: ErrorKind, why: &str) {
        self.sources.leave(source, Out::Lied);
        let url = self.sources.url(source).to_string();
        if let Some(known) = &mut self.remote_file {
            known.warnings.push(format!("dropped mirror {url}: {why}"));
        }
        let error = Failure::from(&Error::new(kind, &url, why));
        self.actions.push_back(Action::Tell(EventKind::MirrorLeft { url, error }));
    }

    /// What a person should know of the content as it is.
    fn warn(&mut self) -> Result<(), Error> {
        let path = self.place();
        let Some(known) = &mut self.remote_file else { return Ok(()) };
        let warnings = self.expectations.warnings(&path, known.html)?;
        known.warnings.extend(warnings);
        Ok(())
    }
}
