//! The state machine of one file.
//!
//! Invariant: every byte of a file is in exactly one of: free, claimed, held by one worker (plus at most one hedge,
//! whose bytes count only if it is through first), written, verified. No byte is accepted from a reply that was not
//! judged first, and bytes of two versions of a file are never joined. ([`Plan::check`] states it; the simulations
//! assert it after every step.)
//!
//! The director asks [`Plan::next`] for what to do and reports what happened with [`Plan::on`]. Nothing else
//! touches a plan, and a plan touches nothing. What it is told and answers is in [`contract`]; who has
//! which bytes, in [`work`]; what a reply is good for, in [`judge`]; whom to ask for what, in [`staff`] and [`sources`]; what
//! is right, in [`proving`]; and what a failure means, in [`failing`].

mod contract;
mod failing;
mod judge;
mod pieces;
mod proof;
mod proving;
mod sources;
mod staff;
mod work;

pub use contract::{
    About, Action, Answer, Begin, Input, Left, Outcome, Place, Rules, Signed, Sizes, WorkerId,
};

use crate::digest::{Algorithm, Digest};
use crate::error::{Error, Kind};
use crate::event::{Fact, Failure};
use crate::journal::Start;
use crate::pace::{News, Room};
use crate::reply::{Reply, Version};
use crate::retry::{Budget, PROGRESS};
use crate::settings::Verify;
use crate::show;
use pieces::Proving;
use proof::Proof;
use sources::Sources;
use std::collections::VecDeque;
use std::time::Duration;
use work::Work;

/// Of a partial file that another tool left, so many bytes are fetched again and compared: what a torn write or a
/// sparse end may have spoiled, and enough that two different files do not agree by chance.
pub const OVERLAP: u64 = 64 * 1024;

/// How often to look whether an idle connection could help a slow one, while nothing else happens.
const LOOK_AROUND: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, PartialEq)]
enum State {
    Looking,
    /// The part file is being opened; the worker, if any, has the reply that is waiting for it.
    Placing(Option<WorkerId>),
    /// The part file is being begun for this worker's reply.
    Beginning {
        worker: WorkerId,
        skip: u64,
    },
    /// Workers are at work, or will be as soon as there is room.
    Transferring,
    /// The next request happens then.
    Waiting {
        until: Duration,
        /// The host asked for it: the file's place among those in flight is free meanwhile.
        for_host: bool,
    },
    /// A person is asked about this failure.
    Asking(Error),
    Verifying,
    Publishing,
    Over,
}

/// The version of the file that is being fetched.
#[derive(Debug)]
struct Known {
    start: Start,
    /// Parts of it may be joined.
    joinable: bool,
    warnings: Vec<String>,
    /// It says to be an HTML page.
    html: bool,
    /// It was told.
    told: bool,
}

/// The state machine of one file. See the module.
#[derive(Debug)]
pub struct Plan {
    rules: Rules,
    budget: Budget,
    /// The server gives no parts: one connection it is.
    one_only: bool,
    actions: VecDeque<Action>,
    state: State,
    work: Work,
    workers: WorkerId,
    checks: u32,
    sources: Sources,
    /// Digests of its pieces, where somebody gave them.
    pieces: Option<Proving>,
    first_request: Option<Duration>,
    /// The final path, once there is a part file.
    placed: Option<String>,
    known: Option<Known>,
    /// A prefix that another tool left, until the server's bytes agree with its end.
    adopting: Option<u64>,
    /// What the file must be: what the person, lists and the server said.
    proof: Proof,
    proven: Option<String>,
    computed: Vec<Digest>,
    /// Bytes were joined without a validator: only a digest can tell whether they belong together.
    unproven_join: bool,
    /// How often the file changed under our hands. After the second time it comes in one stream or not at all.
    changes: u32,
    /// It broke, and goes on with the next reply.
    continuing: bool,
    /// The most bytes of this run that ever counted: starting again does not lower it.
    best: u64,
    /// Bytes that an earlier run left, and that were found good: they are no progress of this one.
    left_good: u64,
    fetched: u64,
    /// When the person was asked, and how long that took before: such time counts for nothing.
    asked: Option<Duration>,
    asked_before: Duration,
    stopped: bool,
}

impl Plan {
    /// A plan for a file of which nothing is known yet.
    pub fn new(rules: Rules) -> Self {
        let mut plan = Plan {
            budget: Budget::new(rules.retries, rules.seed),
            one_only: false,
            actions: VecDeque::new(),
            state: State::Transferring,
            work: Work::default(),
            workers: 0,
            checks: 0,
            sources: Sources::new(rules.sources),
            pieces: None,
            first_request: None,
            placed: None,
            known: None,
            adopting: None,
            proof: Proof::new(&rules),
            proven: None,
            computed: Vec::new(),
            unproven_join: false,
            changes: 0,
            continuing: false,
            best: 0,
            left_good: 0,
            fetched: 0,
            asked: None,
            asked_before: Duration::ZERO,
            stopped: false,
            rules,
        };
        if plan.rules.look_first {
            plan.state = State::Looking;
            plan.actions.push_back(Action::Look);
        }
        plan.know_pieces(plan.rules.pieces.clone(), None);
        plan
    }

    /// What to do next, with what room there is for more connections now at the host of each source. Every action comes
    /// once; after [`Action::Wait`] there is nothing more for now.
    pub fn next(&mut self, now: Duration, rooms: &[Room]) -> Action {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.drop_workers();
            self.failed(now, Error::new(Kind::JobMaxTime, self.place(), ""));
        }
        if let State::Waiting { until, .. } = self.state
            && self.actions.is_empty()
            && now >= until
        {
            self.state = State::Transferring;
        }
        let mut timer = if let State::Waiting { until, .. } = self.state { Some(until) } else { None };
        if self.state == State::Transferring && self.actions.is_empty() {
            timer = self.staff(now, rooms);
        }
        match self.actions.pop_front() {
            Some(action) => action,
            None => Action::Wait(timer.into_iter().chain(self.deadline()).min()),
        }
    }

    /// Takes in what happened. Reports of workers that were dropped change nothing.
    pub fn on(&mut self, now: Duration, input: Input) {
        if self.state == State::Over {
            return;
        }
        match input {
            Input::Known(mut about) => {
                let (pieces, size) = (about.pieces.take(), about.size.take());
                self.proof.know(about);
                self.know_pieces(pieces, size);
            }
            Input::Looked(place) if self.state == State::Looking => match place {
                Ok(Place::Free { left: true, .. }) => {
                    self.state = State::Placing(None);
                    self.actions.push_back(Action::Place { reply: None, begin: None });
                }
                Ok(Place::Free { .. }) => self.state = State::Transferring,
                Ok(Place::Taken { path, reason }) => self.skipped(path, reason),
                Err(error) => self.failed(now, error),
            },
            Input::Placed(place, left) => {
                if let State::Placing(worker) = self.state {
                    self.placed(now, worker, place, left);
                }
            }
            Input::Begun(result) => {
                if let State::Beginning { worker, skip } = self.state {
                    match result {
                        Ok(()) => self.accept(now, worker, skip),
                        Err(error) => {
                            // Nobody knows what is in the part file now.
                            self.drop_workers();
                            self.forget();
                            self.failed(now, error);
                        }
                    }
                }
            }
            Input::Opened { worker, reply } if self.state == State::Transferring => {
                self.opened(now, worker, *reply);
            }
            Input::Wrote { worker, upto, fresh } => self.wrote(now, worker, upto, fresh),
            Input::Ended { worker, result } => self.ended(now, worker, result),
            Input::Checked { number, claim, good } if number == self.checks => {
                // Claims may overlap: what one of them proved, or what was given up meanwhile, is not claimed any more.
                if good {
                    for range in self.work.claimed.take(claim.start..claim.end) {
                        self.left_good += range.end - range.start;
                        self.work.written.insert(range);
                    }
                }
                self.complete();
            }
            Input::CheckEnded { number } if number == self.checks => {
                self.work.claimed = Default::default();
                self.complete();
            }
            Input::Proved { number, piece, good } if number == self.checks => self.proved(now, piece, good),
            Input::Voided { number, ranges, result } if number == self.checks => {
                self.voided(now, &ranges, result);
            }
            Input::Sources(more) => self.sources.add(more),
            Input::Verified(digests) if self.state == State::Verifying => self.verified(now, digests),
            Input::Published(result) if self.state == State::Publishing => match result {
                Ok(path) => self.published(now, path),
                Err(error) => self.failed(now, error),
            },
            Input::Answer(answer) => self.answered(now, answer),
            Input::OnError(on_error) => self.rules.on_error = on_error,
            Input::Stop => self.stop(),
            // Late news of something that was given up.
            Input::Looked(_)
            | Input::Opened { .. }
            | Input::Checked { .. }
            | Input::CheckEnded { .. }
            | Input::Proved { .. }
            | Input::Voided { .. }
            | Input::Verified(_)
            | Input::Published(_) => {}
        }
    }

    /// The algorithms whose digests `Verify` must compute. Settled when `Accept`, `Check` or `Verify` is given:
    /// parts may bring more than the first reply did.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        self.proof.algorithms()
    }

    /// Which source is asked first.
    pub fn source(&self) -> usize {
        self.sources.current()
    }

    /// Size of the whole, if known.
    pub fn size(&self) -> Option<u64> {
        self.work.size
    }

    /// A person is being asked about this file, or its host asked for a pause: it holds no place among those in
    /// flight.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Asking(_) | State::Waiting { for_host: true, .. })
    }

    /// It would like a connection, and has none.
    pub fn is_starving(&self) -> bool {
        self.state == State::Transferring && self.work.held().is_empty()
    }

    /// It can use a further connection, if there are some to be had.
    pub fn takes_more(&self) -> bool {
        let large = self.work.size.is_some_and(|size| size >= self.rules.sizes.single_below);
        let most = self.rules.connections.unwrap_or(usize::MAX);
        self.state == State::Transferring
            && large
            && !self.one_only
            && self.is_provable()
            && self.work.held().len() < most
    }

    /// How many bytes are on the disk and count, or are being checked.
    pub fn bytes(&self) -> u64 {
        self.work.there()
    }

    /// All bytes below this are written.
    pub fn prefix(&self) -> u64 {
        self.work.written.prefix()
    }

    /// The invariant of the module.
    ///
    /// # Errors
    /// What is broken.
    pub fn check(&self) -> Result<(), String> {
        let (used, of) = self.budget.tries();
        let alone = self.known.is_some() || self.work.held().len() < 2;
        let rules = [
            (
                self.work.written.len() <= self.best.saturating_add(self.left_good),
                "more is written than ever was",
            ),
            (self.work.there() == 0 || self.placed.is_some(), "bytes were written without a place"),
            (
                !matches!(self.state, State::Verifying | State::Publishing) || self.work.is_complete(),
                "an incomplete file is published",
            ),
            (alone, "several workers fetch what nobody knows"),
            (
                self.state != State::Over || self.work.held().is_empty(),
                "somebody works for a file that is over",
            ),
            (used <= of, "more retries than allowed"),
            (self.sources.current() < self.sources.len(), "a source that does not exist"),
        ];
        let broken = rules.iter().find(|(holds, _)| !holds).map(|(_, broken)| *broken);
        match broken.or(self.work.check().err()) {
            Some(broken) => Err(format!("{broken}: {self:?}")),
            None => Ok(()),
        }
    }

    fn opened(&mut self, now: Duration, worker: WorkerId, reply: Reply) {
        let Some(held) = self.work.get(worker).filter(|held| !held.receiving) else { return };
        let (from, end, plain, source) = (held.from, held.end, held.is_plain(), held.source);
        self.work.opened(now, worker);
        if let Err(error) = self.has_the_size(reply.size(), &show::url(&reply.url)) {
            self.actions.push_back(Action::Drop { worker });
            return self.worker_failed(now, worker, error);
        }
        if reply.status == 200 {
            // Everything comes, though a part was asked for: it is of use only to who has nothing else.
            if !plain && self.is_another(source, &reply) {
                self.actions.push_back(Action::Drop { worker });
                let error = Error::new(Kind::RemoteChanged, show::url(&reply.url), "");
                return self.worker_failed(now, worker, error);
            }
            let others = self.mixes() && self.sources.has_other(source);
            if plain || (self.work.held().len() == 1 && !others) {
                return self.start(now, worker, &reply);
            }
            self.one_only = !others;
            let error = Error::new(Kind::HttpRangeIgnored, show::url(&reply.url), "");
            self.actions.push_back(Action::Drop { worker });
            return self.worker_failed(now, worker, error);
        }
        if self.known.is_none() && self.adopting.is_none() {
            let error = Error::new(Kind::HttpRangeWrong, show::url(&reply.url), "everything was asked for");
            self.actions.push_back(Action::Drop { worker });
            return self.worker_failed(now, worker, error);
        }
        let adopted = self.adopting.map(|length| adopted(&reply, length));
        if let Some(known) =
            self.known.as_ref().filter(|known| self.is_of_another_source(source, known, &reply))
        {
            let why = format!("what is here came from {}", known.start.url);
            let error = Error::new(Kind::RemoteChanged, show::url(&reply.url), why);
            self.actions.push_back(Action::Drop { worker });
            return self.worker_failed(now, worker, error);
        }
        let judged = match (&self.known, &adopted) {
            (Some(known), None) => {
                judge::part(&self.start_of(source, &known.start, &reply), from, end, &reply)
            }
            (_, Some(Ok(start))) => judge::part(start, from, end, &reply),
            (_, Some(Err(error))) => Err(error.clone()),
            (None, None) => return,
        };
        let part = match judged {
            Ok(part) => part,
            Err(error) => {
                self.actions.push_back(Action::Drop { worker });
                return self.worker_failed(now, worker, error);
            }
        };
        if self.work.get(worker).is_some_and(|held| held.at >= part.end) {
            // It began as a hedge, and brings only what its primary brought before it broke.
            self.work.release(worker);
            return self.actions.push_back(Action::Drop { worker });
        }
        if self.work.get(worker).is_some_and(|held| held.probes) {
            match self.work.take_over(worker) {
                Some(primary) => self.actions.push_back(Action::Cut { worker: primary, end: from }),
                None => {
                    self.work.release(worker);
                    self.sources.gives_parts(source);
                    return self.actions.push_back(Action::Drop { worker });
                }
            }
        }
        let digested = !reply.part_digests.is_empty() && self.rules.verify != Verify::Off;
        if digested && reply.range.is_some_and(|range| !self.work.judge(worker, range.last)) {
            self.work.release(worker);
            return self.actions.push_back(Action::Drop { worker });
        }
        let primary = self.work.get(worker).is_some_and(|held| held.hedge_of.is_none());
        if primary && let Some(hedge) = self.work.shorten(worker, part.end) {
            self.actions.push_back(Action::Cut { worker: hedge, end: part.end });
        } else {
            self.work.end(worker, part.end);
        }
        if let Some(Ok(start)) = adopted {
            self.adopting = None;
            self.work.size = start.size;
            self.work.written.insert(0..from);
            self.left_good = from;
            self.know(start, &reply, true);
            let journal = self.journal();
            self.state = State::Beginning { worker, skip: part.skip };
            self.actions.push_back(Action::Begin(Begin { journal, keep: true }));
            return;
        }
        if self.work.size.is_none() {
            self.work.size = reply.size();
        }
        self.sources.opened(source, show::url(&reply.url), &reply.version);
        self.sources.gives_parts(source);
        if let Some(known) = &mut self.known {
            // What is repaired came from nobody knows where.
            if known.start.url.is_empty() {
                known.start.url = show::url(&reply.url);
            }
            known.start.size = self.work.size;
            self.unproven_join |= known.start.version == Version::Unknown;
        }
        // Of what went to standard output nothing new can be computed; and of several sources, the first one's word counts.
        if !self.rules.sizes.window_is_memory && !self.mixes() {
            self.proof.learn(&reply.digests);
        }
        self.accept(now, worker, part.skip);
    }

    /// What a reply of that source must agree with: of several, each has a version of its own, and all have the digests.
    fn start_of(&self, source: usize, known: &Start, reply: &Reply) -> Start {
        if !self.mixes() {
            return known.clone();
        }
        let same = show::url(&reply.url) == known.url;
        let version = self.sources.version(source).or(Some(&known.version).filter(|_| same));
        let version = version.cloned().unwrap_or(Version::Unknown);
        Start { version, digests: self.proof.all().to_vec(), ..known.clone() }
    }

    /// What an earlier run left may be another mirror's, of which equal sizes and tags prove nothing.
    fn is_of_another_source(&self, source: usize, known: &Known, reply: &Reply) -> bool {
        let alone = self.sources.len() < 2 || self.mixes() || self.sources.version(source).is_some();
        !alone && show::url(&reply.url) != known.start.url
    }

    /// Whether this reply says itself that it is of another file than the one whose bytes are here.
    fn is_another(&self, source: usize, reply: &Reply) -> bool {
        let Some(Known { start, .. }) = &self.known else { return false };
        let start = &self.start_of(source, start, reply);
        let version = start.version != Version::Unknown && start.version != reply.version;
        let size = start.size.zip(reply.size()).is_some_and(|(here, there)| here != there);
        version || size
    }

    /// This reply brings the whole file: everything that was there counts for nothing.
    fn start(&mut self, now: Duration, worker: WorkerId, reply: &Reply) {
        if self.work.there() > 0 {
            // We asked to go on, and the server sends everything.
            let error = Error::new(Kind::HttpRangeIgnored, show::url(&reply.url), "");
            self.tell_retry(&error, 0, Duration::ZERO, 0);
        }
        // What another tool left is compared with what comes, from wherever the comparison begins.
        if let Some(Err(error)) =
            self.adopting.filter(|_| reply.size().is_some()).map(|length| adopted(reply, length))
        {
            self.drop_workers();
            return self.failed(now, error);
        }
        let keep = self.adopting.take().is_some();
        self.forget();
        self.work.size = reply.size();
        self.continuing = false;
        let source = self.work.get(worker).map_or(0, |held| held.source);
        self.sources.opened(source, show::url(&reply.url), &reply.version);
        let (url, version) = (show::url(&reply.url), reply.version.clone());
        let start = Start { url, size: reply.size(), version, digests: reply.digests.clone() };
        for other in self.work.restart(now, worker, reply.size()) {
            self.actions.push_back(Action::Drop { worker: other });
        }
        self.know(start, reply, !reply.refuses_ranges && reply.coding.is_none());
        let begin = Begin { journal: self.journal(), keep };
        if self.placed.is_some() {
            self.state = State::Beginning { worker, skip: 0 };
            self.actions.push_back(Action::Begin(begin));
        } else {
            self.state = State::Placing(Some(worker));
            self.actions
                .push_back(Action::Place { reply: Some(Box::new(reply.clone())), begin: Some(begin) });
        }
    }

    fn know(&mut self, start: Start, reply: &Reply, joinable: bool) {
        self.proof.begin(&start.digests);
        let mut warnings = reply.notes.clone();
        if let Some(coding) = &reply.coding {
            warnings.push(format!("the server sent it compressed ({coding}); it is saved as sent"));
        }
        let html = reply.html;
        self.known = Some(Known { start, joinable, warnings, html, told: false });
    }

    /// The beginning of the file's journal, if it shall have one.
    fn journal(&self) -> Option<Start> {
        let from = self.rules.sizes.journal_from?;
        let known = self.known.as_ref().filter(|_| self.work.size.is_none_or(|size| size >= from))?;
        // What cannot be joined now cannot be in a later run either.
        let worthless = Start { version: Version::Unknown, digests: Vec::new(), ..known.start.clone() };
        Some(if known.joinable { known.start.clone() } else { worthless })
    }

    fn placed(
        &mut self,
        now: Duration,
        worker: Option<WorkerId>,
        place: Result<Place, Error>,
        left: Option<Left>,
    ) {
        match place {
            Ok(Place::Free { path, .. }) => self.placed = Some(path),
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
                    Some(worker) => {
                        self.state = State::Beginning { worker, skip: 0 };
                        self.actions.push_back(Action::Begin(Begin { journal: self.journal(), keep: false }));
                    }
                }
            }
        }
    }

    /// Whether a download can go on with what is there, by what is known of the file now.
    fn is_useful(&self, left: &Left) -> Result<(), Error> {
        let no = |kind, why: &str| Err(Error::new(kind, self.place(), why));
        match (left, &self.known) {
            (_, Some(_)) if !self.is_provable() && matches!(left, Left::Journal { .. }) => {
                no(Kind::ResumeUnproven, "")
            }
            (Left::Journal { start, .. }, Some(known)) => {
                let same = start.version == known.start.version && start.size == known.start.size;
                if same { Ok(()) } else { no(Kind::RemoteChanged, "since an earlier run") }
            }
            (Left::Journal { start, claims }, None) => {
                let strong = self.proof.has_strong(&start.digests);
                match start.version == Version::Unknown && !strong && !claims.is_empty() {
                    true => no(Kind::ResumeUnproven, ""),
                    false => Ok(()),
                }
            }
            (Left::Prefix(_) | Left::Whole(_), _) => Ok(()),
        }
    }

    fn go_on_with(&mut self, left: Left) {
        match left {
            Left::Prefix(length) => {
                self.forget();
                self.adopting = Some(length);
            }
            Left::Whole(length) => {
                self.forget();
                self.repair(length);
            }
            Left::Journal { start, claims } => {
                self.work.clear();
                self.work.size = start.size;
                self.work.claimed = claims.iter().map(|claim| claim.start..claim.end).collect();
                if self.known.is_some() {
                    // The reply that named it says so.
                    self.tell_start();
                } else {
                    self.proof.begin(&start.digests);
                    let warnings = Vec::new();
                    let (joinable, html, told) = (true, false, false);
                    self.known = Some(Known { start, joinable, warnings, html, told });
                }
                let bytes = self.work.there();
                let from = self.work.claimed.prefix();
                if bytes > 0 {
                    self.actions.push_back(Action::Tell(Fact::Resumed { from, bytes }));
                }
                self.checks += 1;
                self.actions.push_back(Action::Check { number: self.checks, claims });
            }
        }
    }

    /// A worker's reply is right, and there is a place for its bytes.
    fn accept(&mut self, now: Duration, worker: WorkerId, skip: u64) {
        self.state = State::Transferring;
        let Some(held) = self.work.get(worker) else { return };
        let (at, end) = (held.from, held.end);
        if let Err(error) = self.is_proven_enough() {
            self.drop_workers();
            return self.failed(now, error);
        }
        self.work.accepted(now, worker, end);
        self.tell_start();
        if std::mem::take(&mut self.continuing) {
            let bytes = self.work.there();
            self.actions.push_back(Action::Tell(Fact::Resumed { from: at, bytes }));
        }
        self.actions.push_back(Action::Accept { worker, skip, at, end });
    }

    /// Tells once that the file is on its way.
    fn tell_start(&mut self) {
        let (path, size) = (self.place(), self.work.size);
        if let Some(known) = self.known.as_mut().filter(|known| !known.told) {
            known.told = true;
            let url = known.start.url.clone();
            let validator = known.start.version.text();
            self.actions.push_back(Action::Tell(Fact::Started { url, path, size, validator }));
        }
    }

    fn wrote(&mut self, now: Duration, worker: WorkerId, upto: u64, fresh: bool) {
        let Some(held) = self.work.get(worker) else { return };
        let (before, source) = (held.at, held.source);
        self.work.wrote(now, worker, upto, fresh);
        let new = upto.saturating_sub(before);
        self.fetched = self.fetched.saturating_add(new);
        let news = News::Brought(new, self.work.latency);
        self.actions.push_back(Action::Pace { source, news });
        if self.work.get(worker).is_some_and(|held| held.brought() >= PROGRESS) {
            self.actions.push_back(Action::Pace { source, news: News::Works });
        }
        self.grew();
        self.complete();
    }

    fn ended(&mut self, now: Duration, worker: WorkerId, result: Result<(), Error>) {
        let Some(held) = self.work.get(worker) else { return };
        let (at, end, receiving, source, rate) =
            (held.at, held.end, held.receiving, held.source, held.rate());
        let crumb = held.is_a_crumb(PROGRESS);
        match result {
            // It broke behind the end of its task.
            Err(_) if receiving && end.is_some_and(|end| at >= end) => self.ended(now, worker, Ok(())),
            Err(error) => self.worker_failed(now, worker, error),
            // A worker that was never told to go on cannot be through.
            Ok(()) if !receiving => {
                let error = Error::new(Kind::HttpTruncated, self.place(), "no reply");
                self.worker_failed(now, worker, error);
            }
            Ok(()) if end.is_some_and(|end| at < end) => {
                let missing = format!("{} bytes are missing", end.unwrap_or(at) - at);
                self.worker_failed(now, worker, Error::new(Kind::HttpTruncated, self.place(), missing));
            }
            Ok(()) => {
                let (_, twin) = self.work.release(worker).unzip();
                if let Some(worker) = twin.flatten() {
                    self.actions.push_back(Action::Drop { worker });
                }
                self.grew();
                if end.is_none() {
                    self.work.size = Some(at);
                    self.proven = Some("end of transfer only".into());
                }
                if crumb {
                    let news = News::Broke(Duration::ZERO);
                    self.actions.push_back(Action::Pace { source, news });
                }
                if self.sources.worked(source, rate) && self.mixes() {
                    let why = "other mirrors bring many times more";
                    self.leave(source, &Error::new(Kind::NetSlow, self.sources.url(source), why));
                }
                if !self.complete() && self.work.held().is_empty() && !self.is_provable() {
                    let why = "only a part came, and nothing tells whether the next one belongs to it";
                    self.failed(now, Error::new(Kind::HttpTruncated, self.place(), why));
                }
            }
        }
    }

    fn grew(&mut self) {
        self.best = self.best.max(self.work.written.len().saturating_sub(self.left_good));
    }

    fn published(&mut self, now: Duration, path: String) {
        let warnings = self.known.as_mut().map(|known| std::mem::take(&mut known.warnings));
        self.actions.push_back(Action::Tell(Fact::Finished {
            path,
            bytes: self.work.written.len(),
            fetched: self.fetched,
            seconds: now.saturating_sub(self.first_request.unwrap_or(now)).as_secs_f64(),
            proven: self.proven.clone().unwrap_or_default(),
            digests: std::mem::take(&mut self.computed)
                .into_iter()
                .map(|one| (one.algorithm.name().into(), one.to_string()))
                .collect(),
            warnings: warnings.unwrap_or_default(),
        }));
        self.finish(Outcome::Finished);
    }

    fn answered(&mut self, now: Duration, answer: Answer) {
        let State::Asking(error) = &self.state else { return };
        let error = error.clone();
        self.asked_before += now.saturating_sub(self.asked.take().unwrap_or(now));
        match answer {
            Answer::Retry => {
                // Whoever answers has waited already; only the server's own wish is waited for.
                let wait = error.pause.map_or(Duration::ZERO, |pause| pause.wait);
                self.budget.spend();
                self.again(now, &error, wait);
            }
            Answer::Skip => self.give_up(&error, false, false),
        }
    }

    fn stop(&mut self) {
        self.stopped = true;
        // A file that is being moved to its name is complete a moment later.
        if !matches!(self.state, State::Publishing | State::Over) {
            self.drop_workers();
            self.give_up(&Error::new(Kind::RunStopped, self.place(), ""), false, false);
        }
    }

    fn skipped(&mut self, path: String, reason: String) {
        self.actions.push_back(Action::Tell(Fact::Skipped { path, reason }));
        self.finish(Outcome::Skipped);
    }

    fn give_up(&mut self, error: &Error, exhausted: bool, stop_all: bool) {
        self.actions.push_back(Action::Tell(Fact::Failed {
            error: Failure::from(error),
            retries: self.budget.tries().0,
            exhausted,
        }));
        let resumable = self.journal().is_some() && self.is_provable() && self.work.there() > 0;
        self.finish(Outcome::Failed { kind: error.kind, exhausted, stop_all, resumable });
    }

    fn finish(&mut self, outcome: Outcome) {
        self.state = State::Over;
        self.actions.push_back(Action::Finish(outcome));
    }

    fn drop_workers(&mut self) {
        for worker in self.work.release_all() {
            self.actions.push_back(Action::Drop { worker });
        }
    }

    /// When `--max-time` ends the file. The time in which a person is asked does not count, nor does finishing.
    fn deadline(&self) -> Option<Duration> {
        let running = match self.state {
            State::Transferring | State::Placing(_) | State::Beginning { .. } | State::Waiting { .. } => true,
            State::Looking | State::Asking(_) | State::Verifying | State::Publishing | State::Over => false,
        };
        let (start, most) = (self.first_request?, self.rules.max_time?);
        running.then(|| start.saturating_add(most).saturating_add(self.asked_before))
    }

    fn place(&self) -> String {
        self.placed.clone().unwrap_or_default()
    }
}

/// What a partial file of so many bytes is to become, by a reply about its end.
fn adopted(reply: &Reply, length: u64) -> Result<Start, Error> {
    let url = show::url(&reply.url);
    match reply.size() {
        Some(size) if size >= length => {
            let (version, digests) = (reply.version.clone(), reply.digests.clone());
            Ok(Start { url, size: Some(size), version, digests })
        }
        size => {
            let whole = size.map_or("unknown".to_string(), |size| format!("{size} bytes"));
            let why = format!("it has {length} bytes, and the size of the server's file is {whole}");
            Err(Error::new(Kind::ResumeDamaged, url, why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::OnError;
    use http::HeaderMap;
    use url::Url;

    const NOW: Duration = Duration::from_secs(1);
    const ROOM: Room = Room { most: 100, worth: 100, not_before: Duration::ZERO };

    fn rules() -> Rules {
        Rules {
            sources: 1,
            look_first: false,
            retries: 1,
            on_error: OnError::Retry,
            max_time: None,
            verify: Verify::Auto,
            record: false,
            expected: Vec::new(),
            size: None,
            pieces: None,
            connections: Some(1),
            sizes: Sizes::FILE,
            seed: 1,
        }
    }

    fn reply(status: u16, headers: &[(&'static str, &str)]) -> Box<Reply> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().expect("a value")))
            .collect();
        Box::new(
            Reply::read(status, &Url::parse("http://h/f").expect("a URL"), false, &headers).expect("a reply"),
        )
    }

    /// All actions up to the next wait.
    fn steps(plan: &mut Plan, now: Duration) -> Vec<Action> {
        let mut all = Vec::new();
        for _ in 0..100 {
            plan.check().expect("the invariant");
            match plan.next(now, &[ROOM, ROOM]) {
                Action::Wait(_) => return all,
                Action::Pace { .. } => {}
                action => all.push(action),
            }
        }
        panic!("a plan that never waits: {plan:?}");
    }

    /// A plan whose first worker has written `bytes` of 100,000.
    fn half_done(etag: &str, bytes: u64) -> Plan {
        let mut plan = Plan::new(rules());
        assert_eq!(steps(&mut plan, NOW), [Action::Fetch { worker: 1, source: 0, from: 0, to: None }]);
        let reply = reply(200, &[("content-length", "100000"), ("etag", etag)]);
        plan.on(NOW, Input::Opened { worker: 1, reply });
        steps(&mut plan, NOW);
        plan.on(NOW, Input::Placed(Ok(Place::Free { path: "f".into(), left: false }), None));
        assert_eq!(
            steps(&mut plan, NOW)[1],
            Action::Accept { worker: 1, skip: 0, at: 0, end: Some(100_000) }
        );
        plan.on(NOW, Input::Wrote { worker: 1, upto: bytes, fresh: true });
        plan
    }

    fn fetches(actions: &[Action]) -> Vec<u64> {
        let from = |action: &Action| if let Action::Fetch { from, .. } = action { Some(*from) } else { None };
        actions.iter().filter_map(from).collect()
    }

    const LATER: Duration = Duration::from_secs(100);

    #[test]
    fn a_break_goes_on_where_it_stopped_only_with_the_same_version() {
        let broken = || Input::Ended { worker: 1, result: Err(Error::new(Kind::NetReset, "", "")) };
        for (etag, range, accepted, skip) in [
            ("\"a\"", "bytes 70000-99999/100000", true, 0),
            ("\"a\"", "bytes 60000-99999/100000", true, 10_000),
            ("\"b\"", "bytes 70000-99999/100000", false, 0),
            ("\"a\"", "bytes 70001-99999/100000", false, 0),
            ("\"a\"", "bytes 70000-99999/100001", false, 0),
        ] {
            let mut plan = half_done("\"a\"", 70_000);
            plan.on(NOW, broken());
            assert_eq!(fetches(&steps(&mut plan, LATER)), [70_000]);
            let reply = reply(206, &[("content-range", range), ("etag", etag)]);
            plan.on(LATER, Input::Opened { worker: 2, reply });
            let goes_on = Action::Accept { worker: 2, skip, at: 70_000, end: Some(100_000) };
            let actions = steps(&mut plan, LATER);
            assert_eq!(actions.contains(&goes_on), accepted, "{etag} {range}: {actions:?}");
            if !accepted {
                assert!(actions.contains(&Action::Drop { worker: 2 }));
                assert_eq!(fetches(&steps(&mut plan, LATER * 2)), [0], "it starts again");
            }
        }
    }

    #[test]
    fn without_a_strong_validator_it_starts_again() {
        let mut plan = half_done("W/\"a\"", 70_000);
        plan.on(NOW, Input::Ended { worker: 1, result: Err(Error::new(Kind::NetReset, "", "")) });
        assert_eq!(fetches(&steps(&mut plan, LATER)), [0]);
    }

    #[test]
    fn reports_of_dropped_workers_change_nothing() {
        let mut plan = half_done("\"a\"", 70_000);
        plan.on(NOW, Input::Ended { worker: 1, result: Err(Error::new(Kind::NetReset, "", "")) });
        plan.on(NOW, Input::Wrote { worker: 1, upto: 90_000, fresh: true });
        plan.on(NOW, Input::Ended { worker: 1, result: Ok(()) });
        assert_eq!(plan.bytes(), 70_000);
    }

    #[test]
    fn a_short_clean_end_is_a_truncation() {
        let mut plan = half_done("\"a\"", 70_000);
        plan.on(NOW, Input::Ended { worker: 1, result: Ok(()) });
        assert_eq!(fetches(&steps(&mut plan, LATER)), [70_000]);
    }

    #[test]
    fn a_further_mirror_is_used_from_the_start_and_costs_no_try() {
        let mut plan = Plan::new(Rules { sources: 2, retries: 0, ..rules() });
        steps(&mut plan, NOW);
        plan.on(NOW, Input::Ended { worker: 1, result: Err(Error::new(Kind::HttpNotFound, "", "")) });
        assert!(steps(&mut plan, NOW).contains(&Action::Fetch { worker: 2, source: 1, from: 0, to: None }));
        plan.on(NOW, Input::Ended { worker: 2, result: Err(Error::new(Kind::HttpNotFound, "", "")) });
        assert!(matches!(steps(&mut plan, NOW).last(), Some(Action::Finish(Outcome::Failed { .. }))));
    }

    #[test]
    fn time_for_the_whole_file_is_bounded() {
        let mut plan = Plan::new(Rules { max_time: Some(LATER), ..rules() });
        steps(&mut plan, NOW);
        assert_eq!(plan.next(NOW, &[ROOM]), Action::Wait(Some(NOW + LATER)));
        let actions = steps(&mut plan, NOW + LATER);
        assert_eq!(actions[0], Action::Drop { worker: 1 });
        assert!(matches!(
            actions.last(),
            Some(Action::Finish(Outcome::Failed { kind: Kind::JobMaxTime, .. }))
        ));
    }
}
