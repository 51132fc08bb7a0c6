//! What is done with a reply: the file begins with it, a part of it goes on, or it is refused.
//!
//! Invariant: no worker gets its word to go on before its reply was judged, and before there is a part file.

use super::ledger::Assignment;
use super::resume::adopted;
use super::validate::{self, Part};
use super::{Action, Begin, Plan, State, WorkerId};
use crate::error::{Error, ErrorKind};
use crate::event::EventKind;
use crate::identity::Origin;
use crate::journal::Start;
use crate::remote::{Remote, Span, Validator};
use crate::settings::Verify;
use crate::show;
use std::time::Duration;

/// A file that comes again with less than this share of its size is not a new version of it, but something else in its place: an
/// error of some bytes, or a page. Versions of one file differ by less; half or a third of it is a common remainder.
const FAR_SMALLER: u64 = 16;

/// What a reply says of the kind of thing that the file is.
#[derive(Debug, Clone, Copy)]
pub(super) struct First {
    html: bool,
    size: Option<u64>,
}

impl First {
    fn of(remote: &Remote) -> First {
        First { html: remote.is_html(), size: remote.size }
    }

    /// Whether a later reply can be no version of the same file.
    fn is_other(&self, remote: &Remote) -> bool {
        let smaller = |(before, now): (u64, u64)| now < before / FAR_SMALLER;
        (remote.is_html() && !self.html) || self.size.zip(remote.size).is_some_and(smaller)
    }
}

impl Plan {
    pub(super) fn opened(&mut self, now: Duration, worker: WorkerId, mut remote: Remote) {
        let Some(held) = self.ledger.get(worker).filter(|held| !held.receiving).cloned() else { return };
        self.ledger.opened(now, worker);
        if self.asking.take().is_some() {
            // It was asked about what stands here, and that is all it is good for.
            self.drop_workers();
            self.state = State::Looking;
            return self.actions.push_back(Action::Look { remote: Some(Box::new(remote)) });
        }
        self.dropped = std::mem::take(&mut remote.dropped);
        let good = self.is_no_other(&remote);
        let good = good.and_then(|()| self.has_the_size(remote.size, &show::url(&remote.url)));
        let good = good.and_then(|()| self.is_as_promised(&remote));
        let good = match remote.span {
            Span::Whole => good
                .and_then(|()| self.validate_whole(&held, &remote))
                .map(|()| self.start(now, worker, &remote)),
            Span::Range(_) | Span::Unchanged => good
                .and_then(|()| self.validate_part(&held, &remote))
                .map(|(part, adopted)| self.go_on(now, &held, &remote, &part, adopted)),
        };
        if let Err(error) = good {
            self.actions.push_back(Action::Drop { worker });
            self.worker_failed(now, worker, error);
        }
    }

    /// Where the file was, something else is now: the next try may find the file again.
    fn is_no_other(&self, remote: &Remote) -> Result<(), Error> {
        if !self.first.is_some_and(|first| first.is_other(remote)) {
            return Ok(());
        }
        let size = remote.size.map_or(String::new(), |size| format!(" of {size} bytes"));
        let what = if remote.is_html() { "an HTML page" } else { "a response" };
        Err(Error::new(ErrorKind::RemoteOther, show::url(&remote.url), format!("{what}{size}")))
    }

    /// The size that a redirect promised is checked as its digest is, but before the bytes come.
    fn is_as_promised(&self, remote: &Remote) -> Result<(), Error> {
        match (&remote.stated_size, remote.size) {
            (Some(stated), Some(size)) if stated.size != size && self.rules.verify != Verify::Off => {
                let why = format!("its size is {size} bytes, and {} says {}", stated.from, stated.size);
                Err(Error::new(ErrorKind::DigestMismatch, show::url(&remote.url), why))
            }
            _ => Ok(()),
        }
    }

    /// Whether everything is of use. Where a part was asked for, it is only to who has nothing else.
    fn validate_whole(&mut self, held: &Assignment, remote: &Remote) -> Result<(), Error> {
        let refuse = |kind| Err(Error::new(kind, show::url(&remote.url), ""));
        // What is shorter than what is here, or a page, is not begun with where a part was asked for: a plain request tells.
        let other = remote.is_html() || remote.size.is_some_and(|size| size < self.ledger.there());
        if !held.is_plain() && (other || self.is_another(held.source, remote)) {
            return refuse(ErrorKind::RemoteChanged);
        }
        let others = self.mixes() && self.sources.has_other(held.source);
        if held.is_plain() || (self.ledger.assignments().len() == 1 && !others) {
            return Ok(());
        }
        self.one_only = !others;
        refuse(ErrorKind::HttpRangeIgnored)
    }

    /// What a part is good for; and what a partial file that another tool left becomes by it, if there is one.
    fn validate_part(&self, held: &Assignment, remote: &Remote) -> Result<(Part, Option<Start>), Error> {
        let refuse = |kind, why: &str| Err(Error::new(kind, show::url(&remote.url), why));
        if let Some(known) =
            self.remote_file.as_ref().filter(|known| self.is_of_another_source(held.source, known))
        {
            return refuse(ErrorKind::RemoteChanged, &format!("what is here came from {}", known.start.url));
        }
        if let Some(left) = &self.adopting {
            let start = adopted(remote, self.sources.origin(held.source), left)?;
            return Ok((validate::part(&start, held.from, held.end, remote)?, Some(start)));
        }
        let Some(known) = &self.remote_file else {
            return refuse(ErrorKind::HttpRangeWrong, "everything was asked for");
        };
        if self.open_ended && !self.is_provable() {
            let why = "only a part came, and nothing tells whether the next one belongs to it";
            return refuse(ErrorKind::HttpTruncated, why);
        }
        let start = self.start_of(held.source, &known.start);
        Ok((validate::part(&start, held.from, held.end, remote)?, None))
    }

    /// This part is right.
    fn go_on(
        &mut self,
        now: Duration,
        held: &Assignment,
        remote: &Remote,
        part: &Part,
        adopted: Option<Start>,
    ) {
        let (worker, source) = (held.worker, held.source);
        if !self.is_needed(worker, remote, part) {
            return self.dispense_with(worker);
        }
        let primary = self.ledger.get(worker).is_some_and(|held| held.hedge_of.is_none());
        if primary && let Some(hedge) = self.ledger.shorten(worker, part.end) {
            self.actions.push_back(Action::Cut { worker: hedge, end: part.end });
        } else {
            self.ledger.end(worker, part.end);
        }
        self.first.get_or_insert(First::of(remote));
        self.open_ended = remote.size.is_none();
        if let (Some(start), Some(left)) = (adopted, self.adopting.take()) {
            self.ledger.size = start.size;
            for range in left.before_overlap() {
                self.left_good += range.end - range.start;
                self.ledger.written.insert(range);
            }
            self.comparing = Some(left);
            self.know(start, remote, remote.can_resume);
            return self.begin(worker, part.skip, true);
        }
        if self.ledger.size.is_none() {
            self.ledger.size = remote.size;
        }
        self.sources.opened(source, show::url(&remote.url), &remote.validator);
        self.sources.gives_parts(source);
        if let Some(known) = &mut self.remote_file {
            // Where a file that is repaired came from is not known.
            if known.start.origin.is_none() {
                known.start.url = show::url(&remote.url);
                known.start.origin = self.sources.origin(source);
            }
            known.start.size = self.ledger.size;
            self.unproven_join |= known.start.version == Validator::Unknown;
        }
        // Of what went to standard output nothing new can be computed; and of several sources, the first one's word counts.
        if !self.rules.sizes.window_is_memory && !self.mixes() {
            self.expectations.learn(&remote.digests);
        }
        self.accept(now, worker, part.skip);
    }

    /// Whether what it brings is not there yet, and can be told from what others bring. If it only tried whether parts are
    /// to be had, its bytes are its own now.
    fn is_needed(&mut self, worker: WorkerId, remote: &Remote, part: &Part) -> bool {
        let Some(held) = self.ledger.get(worker) else { return false };
        let (from, source) = (held.from, held.source);
        if held.at >= part.end {
            // It began as a hedge, and brings only what its primary brought before it broke.
            return false;
        }
        if held.probes {
            let Some(primary) = self.ledger.take_over(worker) else {
                self.sources.gives_parts(source);
                return false;
            };
            self.actions.push_back(Action::Cut { worker: primary, end: from });
        }
        let digested = !remote.range_digests.is_empty() && self.rules.verify != Verify::Off;
        match &remote.span {
            Span::Range(range) if digested => self.ledger.judge(worker, range.end.saturating_sub(1)),
            _ => true,
        }
    }

    /// This reply brings the whole file: everything that was there counts for nothing.
    fn start(&mut self, now: Duration, worker: WorkerId, remote: &Remote) {
        if self.ledger.there() > 0 {
            // We asked to go on, and the server sends everything.
            let error = Error::new(ErrorKind::HttpRangeIgnored, show::url(&remote.url), "");
            self.tell_retry(&error, 0, Duration::ZERO, 0);
        }
        // What another tool left is compared with what comes, from wherever the comparison begins.
        let source = self.ledger.get(worker).map_or(0, |held| held.source);
        let origin = self.sources.origin(source);
        if let Some(Err(error)) = self.adopting.as_ref().map(|left| adopted(remote, origin, left)) {
            self.drop_workers();
            return self.failed(now, error);
        }
        self.forget();
        self.comparing = self.adopting.take();
        let keep = self.comparing.is_some();
        self.first = Some(First::of(remote));
        self.ledger.size = remote.size;
        self.continuing = false;
        self.sources.opened(source, show::url(&remote.url), &remote.validator);
        let start = start_of_reply(remote, origin);
        for other in self.ledger.restart(now, worker, remote.size) {
            self.actions.push_back(Action::Drop { worker: other });
        }
        self.know(start, remote, remote.can_resume);
        if self.placed.is_some() {
            self.begin(worker, 0, keep);
        } else {
            let begin = Begin { journal: self.journal(), keep };
            self.state = State::Placing(Some(worker));
            self.actions
                .push_back(Action::Place { remote: Some(Box::new(remote.clone())), begin: Some(begin) });
        }
    }

    /// The part file begins for this worker's reply.
    pub(super) fn begin(&mut self, worker: WorkerId, skip: u64, keep: bool) {
        self.state = State::Beginning { worker, skip };
        self.actions.push_back(Action::Begin(Begin { journal: self.journal(), keep }));
    }

    /// A worker's reply is right, and there is a place for its bytes.
    pub(super) fn accept(&mut self, now: Duration, worker: WorkerId, skip: u64) {
        self.state = State::Transferring;
        let Some(held) = self.ledger.get(worker) else { return };
        let (at, end) = (held.from, held.end);
        if let Err(error) = self.is_proven_enough() {
            self.drop_workers();
            return self.failed(now, error);
        }
        self.ledger.accepted(now, worker, end);
        self.tell_start();
        if std::mem::take(&mut self.continuing) {
            let bytes = self.ledger.there();
            self.actions.push_back(Action::Tell(EventKind::Resumed { from: at, bytes }));
        }
        self.actions.push_back(Action::Accept { worker, skip, at, end });
    }

    /// Tells once that the file is on its way.
    pub(super) fn tell_start(&mut self) {
        let (path, size) = (self.place(), self.ledger.size);
        if let Some(known) = self.remote_file.as_mut().filter(|known| !known.told) {
            known.told = true;
            let url = known.start.url.clone();
            let validator = known.start.version.text();
            let notes = std::mem::take(&mut self.dropped);
            self.actions.push_back(Action::Tell(EventKind::Started { url, path, size, validator, notes }));
        }
    }
}

/// What the journal says of a file that this reply brings.
pub(super) fn start_of_reply(remote: &Remote, origin: Option<Origin>) -> Start {
    Start {
        url: show::url(&remote.url),
        origin,
        size: remote.size,
        version: remote.validator.clone(),
        coding: remote.coding.clone(),
        digests: remote.digests.clone(),
    }
}
