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
use crate::reply::{Reply, Validator};
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
    fn of(reply: &Reply) -> First {
        First { html: reply.html, size: reply.size() }
    }

    /// Whether a later reply can be no version of the same file.
    fn is_other(&self, reply: &Reply) -> bool {
        let smaller = |(before, now): (u64, u64)| now < before / FAR_SMALLER;
        (reply.html && !self.html) || self.size.zip(reply.size()).is_some_and(smaller)
    }
}

impl Plan {
    pub(super) fn opened(&mut self, now: Duration, worker: WorkerId, mut reply: Reply) {
        let Some(held) = self.ledger.get(worker).filter(|held| !held.receiving).cloned() else { return };
        self.ledger.opened(now, worker);
        if self.asking.take().is_some() {
            // It was asked about what stands here, and that is all it is good for.
            self.drop_workers();
            self.state = State::Looking;
            return self.actions.push_back(Action::Look { reply: Some(Box::new(reply)) });
        }
        self.dropped = std::mem::take(&mut reply.dropped);
        let good = self.is_no_other(&reply);
        let good = good.and_then(|()| self.has_the_size(reply.size(), &show::url(&reply.url)));
        let good = good.and_then(|()| self.is_as_promised(&reply));
        let good = match reply.status {
            200 => good
                .and_then(|()| self.validate_whole(&held, &reply))
                .map(|()| self.start(now, worker, &reply)),
            _ => good
                .and_then(|()| self.validate_part(&held, &reply))
                .map(|(part, adopted)| self.go_on(now, &held, &reply, &part, adopted)),
        };
        if let Err(error) = good {
            self.actions.push_back(Action::Drop { worker });
            self.worker_failed(now, worker, error);
        }
    }

    /// Where the file was, something else is now: the next try may find the file again.
    fn is_no_other(&self, reply: &Reply) -> Result<(), Error> {
        if !self.first.is_some_and(|first| first.is_other(reply)) {
            return Ok(());
        }
        let size = reply.size().map_or(String::new(), |size| format!(" of {size} bytes"));
        let what = if reply.html { "an HTML page" } else { "a reply" };
        Err(Error::new(ErrorKind::RemoteOther, show::url(&reply.url), format!("{what}{size}")))
    }

    /// The size that a redirect promised is checked as its digest is, but before the bytes come.
    fn is_as_promised(&self, reply: &Reply) -> Result<(), Error> {
        match (reply.promised_size, reply.size()) {
            (Some(promised), Some(size)) if promised != size && self.rules.verify != Verify::Off => {
                let why = format!("its size is {size} bytes, and X-Linked-Size says {promised}");
                Err(Error::new(ErrorKind::DigestMismatch, show::url(&reply.url), why))
            }
            _ => Ok(()),
        }
    }

    /// Whether everything is of use. Where a part was asked for, it is only to who has nothing else.
    fn validate_whole(&mut self, held: &Assignment, reply: &Reply) -> Result<(), Error> {
        let refuse = |kind| Err(Error::new(kind, show::url(&reply.url), ""));
        // What is shorter than what is here, or a page, is not begun with where a part was asked for: a plain request tells.
        let other = reply.html || reply.size().is_some_and(|size| size < self.ledger.there());
        if !held.is_plain() && (other || self.is_another(held.source, reply)) {
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
    fn validate_part(&self, held: &Assignment, reply: &Reply) -> Result<(Part, Option<Start>), Error> {
        let refuse = |kind, why: &str| Err(Error::new(kind, show::url(&reply.url), why));
        if let Some(known) =
            self.remote_file.as_ref().filter(|known| self.is_of_another_source(held.source, known))
        {
            return refuse(ErrorKind::RemoteChanged, &format!("what is here came from {}", known.start.url));
        }
        if let Some(left) = &self.adopting {
            let start = adopted(reply, self.sources.origin(held.source), left)?;
            return Ok((validate::part(&start, held.from, held.end, reply)?, Some(start)));
        }
        let Some(known) = &self.remote_file else {
            return refuse(ErrorKind::HttpRangeWrong, "everything was asked for");
        };
        if self.open_ended && !self.is_provable() {
            let why = "only a part came, and nothing tells whether the next one belongs to it";
            return refuse(ErrorKind::HttpTruncated, why);
        }
        let start = self.start_of(held.source, &known.start);
        Ok((validate::part(&start, held.from, held.end, reply)?, None))
    }

    /// This part is right.
    fn go_on(
        &mut self,
        now: Duration,
        held: &Assignment,
        reply: &Reply,
        part: &Part,
        adopted: Option<Start>,
    ) {
        let (worker, source) = (held.worker, held.source);
        if !self.is_needed(worker, reply, part) {
            return self.dispense_with(worker);
        }
        let primary = self.ledger.get(worker).is_some_and(|held| held.hedge_of.is_none());
        if primary && let Some(hedge) = self.ledger.shorten(worker, part.end) {
            self.actions.push_back(Action::Cut { worker: hedge, end: part.end });
        } else {
            self.ledger.end(worker, part.end);
        }
        self.first.get_or_insert(First::of(reply));
        self.open_ended = reply.size().is_none();
        if let (Some(start), Some(left)) = (adopted, self.adopting.take()) {
            self.ledger.size = start.size;
            for range in left.before_overlap() {
                self.left_good += range.end - range.start;
                self.ledger.written.insert(range);
            }
            self.comparing = Some(left);
            self.know(start, reply, validate::may_be_joined(reply));
            return self.begin(worker, part.skip, true);
        }
        if self.ledger.size.is_none() {
            self.ledger.size = reply.size();
        }
        self.sources.opened(source, show::url(&reply.url), &reply.version);
        self.sources.gives_parts(source);
        if let Some(known) = &mut self.remote_file {
            // Where a file that is repaired came from is not known.
            if known.start.origin.is_none() {
                known.start.url = show::url(&reply.url);
                known.start.origin = self.sources.origin(source);
            }
            known.start.size = self.ledger.size;
            self.unproven_join |= known.start.version == Validator::Unknown;
        }
        // Of what went to standard output nothing new can be computed; and of several sources, the first one's word counts.
        if !self.rules.sizes.window_is_memory && !self.mixes() {
            self.expectations.learn(&reply.digests);
        }
        self.accept(now, worker, part.skip);
    }

    /// Whether what it brings is not there yet, and can be told from what others bring. If it only tried whether parts are
    /// to be had, its bytes are its own now.
    fn is_needed(&mut self, worker: WorkerId, reply: &Reply, part: &Part) -> bool {
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
        let digested = !reply.part_digests.is_empty() && self.rules.verify != Verify::Off;
        !digested || reply.range.is_none_or(|range| self.ledger.judge(worker, range.last))
    }

    /// This reply brings the whole file: everything that was there counts for nothing.
    fn start(&mut self, now: Duration, worker: WorkerId, reply: &Reply) {
        if self.ledger.there() > 0 {
            // We asked to go on, and the server sends everything.
            let error = Error::new(ErrorKind::HttpRangeIgnored, show::url(&reply.url), "");
            self.tell_retry(&error, 0, Duration::ZERO, 0);
        }
        // What another tool left is compared with what comes, from wherever the comparison begins.
        let source = self.ledger.get(worker).map_or(0, |held| held.source);
        let origin = self.sources.origin(source);
        if let Some(Err(error)) = self.adopting.as_ref().map(|left| adopted(reply, origin, left)) {
            self.drop_workers();
            return self.failed(now, error);
        }
        self.forget();
        self.comparing = self.adopting.take();
        let keep = self.comparing.is_some();
        self.first = Some(First::of(reply));
        self.ledger.size = reply.size();
        self.continuing = false;
        self.sources.opened(source, show::url(&reply.url), &reply.version);
        let start = start_of_reply(reply, origin);
        for other in self.ledger.restart(now, worker, reply.size()) {
            self.actions.push_back(Action::Drop { worker: other });
        }
        self.know(start, reply, !reply.refuses_ranges && validate::may_be_joined(reply));
        if self.placed.is_some() {
            self.begin(worker, 0, keep);
        } else {
            let begin = Begin { journal: self.journal(), keep };
            self.state = State::Placing(Some(worker));
            self.actions
                .push_back(Action::Place { reply: Some(Box::new(reply.clone())), begin: Some(begin) });
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
pub(super) fn start_of_reply(reply: &Reply, origin: Option<Origin>) -> Start {
    Start {
        url: show::url(&reply.url),
        origin,
        size: reply.size(),
        version: reply.version.clone(),
        coding: reply.coding.clone(),
        digests: reply.digests.clone(),
    }
}
