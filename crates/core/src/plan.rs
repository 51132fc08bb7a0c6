//! The state machine of one file.
//!
//! Invariant: every byte of a file is in exactly one of: free, held by one worker, written, verified. With one
//! connection per file that is a prefix: `[0, written)` is written, and what follows is held by the worker, if
//! there is one, or free. No byte is accepted from a reply that was not judged first, and bytes of two
//! versions of a file are never joined. ([`Plan::check`] states it; the simulations assert it after every step.)
//!
//! The director asks [`Plan::next`] for what to do and reports what happened with [`Plan::on`]. Nothing else
//! touches a plan, and a plan touches nothing.

use crate::digest::{self, Algorithm, Digest, Expected};
use crate::error::{Blame, Error, Kind, Retry};
use crate::event::{Fact, Failure};
use crate::reply::{Reply, Version};
use crate::retry::{Budget, Verdict};
use crate::settings::OnError;
use crate::show;
use std::collections::VecDeque;
use std::time::Duration;

/// Which worker of a plan; later ones have higher numbers, so that reports of abandoned ones are recognised.
pub type WorkerId = u32;

/// What the director shall do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Look whether the wished name is free, before anything is asked of a server. Answered by `Looked`.
    Look,
    /// Start a worker that asks source number `source` for the bytes from `from` on. Answered by `Opened` or `Ended`.
    Fetch {
        /// Whom to start.
        worker: WorkerId,
        /// Index into the job's sources.
        source: usize,
        /// First byte wanted. 0 is a plain GET.
        from: u64,
    },
    /// Choose the name, if need be by the reply, and open the part file. Answered by `Placed`.
    Place {
        /// The reply that names the file.
        reply: Box<Reply>,
    },
    /// The worker's reply is right: write its body from `at` on. Answered by `Wrote` and `Ended`.
    Accept {
        /// Whose reply.
        worker: WorkerId,
        /// Where its first byte belongs. 0: the file starts (again), nothing that was written counts.
        at: u64,
        /// Where its body ends, if known; what follows is surplus.
        end: Option<u64>,
    },
    /// The worker's reply is of no use, or the file is given up: drop it.
    Drop {
        /// Whom to drop.
        worker: WorkerId,
    },
    /// Finish the digests of what was written. Answered by `Verified`.
    Verify,
    /// Move the part file to its name. Answered by `Published`.
    Publish,
    /// Tell everybody.
    Tell(Fact),
    /// Nothing to do before this moment, or before the next input.
    Wait(Option<Duration>),
    /// The file is over.
    Finish(Outcome),
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The answer to `Look`.
    Looked(Result<Place, Error>),
    /// A worker has a reply (200 or 206) and waits for a word on it.
    Opened {
        /// Whose.
        worker: WorkerId,
        /// Its head.
        reply: Box<Reply>,
    },
    /// The answer to `Place`.
    Placed(Result<Place, Error>),
    /// A worker gave all bytes below `upto` to the disk.
    Wrote {
        /// Who.
        worker: WorkerId,
        /// One past the last byte.
        upto: u64,
    },
    /// A worker is through: its body ended, or it failed.
    Ended {
        /// Who.
        worker: WorkerId,
        /// How.
        result: Result<(), Error>,
    },
    /// The answer to `Verify`.
    Verified(Result<Vec<Digest>, Error>),
    /// The answer to `Publish`: the path it has now.
    Published(Result<String, Error>),
    /// The person's answer to a question.
    Answer(Answer),
    /// From now on failures are handled like this.
    OnError(OnError),
    /// The run is being stopped.
    Stop,
}

/// Where a file may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// There.
    Free {
        /// The final path, for people.
        path: String,
    },
    /// Nothing is to be done: the file there stays.
    Taken {
        /// The file that is there.
        path: String,
        /// Why it stays: `already exists`.
        reason: String,
    },
}

/// A person's answer about one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Try again.
    Retry,
    /// Give this file up.
    Skip,
}

/// How a file ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Complete, under its name.
    Finished,
    /// Nothing was to be done.
    Skipped,
    /// Failed. What was written of it is of no use.
    Failed {
        /// Why.
        kind: Kind,
        /// No further file shall start: retries are used up and a person is watching.
        exhausted: bool,
        /// Everything shall stop.
        stop_all: bool,
    },
}

/// What a plan needs to know of the job and the settings.
#[derive(Debug, Clone)]
pub struct Rules {
    /// How many sources the job has, at least 1.
    pub sources: usize,
    /// The name is known and can be looked up before anything is asked of a server.
    pub look_first: bool,
    /// New tries after a failure.
    pub retries: u32,
    /// What to do on failure.
    pub on_error: OnError,
    /// How long the file may take, all tries included.
    pub max_time: Option<Duration>,
    /// Digests the file must have, whatever the server says.
    pub expected: Vec<Expected>,
    /// Spreads the waits between tries.
    pub seed: u64,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Looking,
    /// The next fetch happens then.
    Waiting {
        until: Duration,
        /// The host asked for it: the file's place among those in flight is free meanwhile.
        for_host: bool,
    },
    /// A request is under way; the worker holds all that is not written.
    Opening {
        worker: WorkerId,
    },
    /// Its reply is good; a place for the bytes is being made.
    Placing {
        worker: WorkerId,
        end: Option<u64>,
    },
    Receiving {
        worker: WorkerId,
        end: Option<u64>,
    },
    /// A person is asked about this failure.
    Asking(Error),
    Verifying,
    Publishing,
    Over,
}

/// The state machine of one file. See the module.
#[derive(Debug)]
pub struct Plan {
    rules: Rules,
    budget: Budget,
    actions: VecDeque<Action>,
    state: State,
    workers: WorkerId,
    source: usize,
    first_request: Option<Duration>,
    /// The final path, once there is a part file.
    placed: Option<String>,
    /// The URL that answered, without secrets.
    url: String,
    /// The version whose bytes are written, and what was said of it.
    version: Version,
    size: Option<u64>,
    joinable: bool,
    digests: Vec<Expected>,
    warnings: Vec<String>,
    proven: Option<String>,
    written: u64,
    /// The highest `written` ever: starting again does not lower it.
    best: u64,
    /// When the person was asked, and how long that took before: such time counts for nothing.
    asked: Option<Duration>,
    asked_before: Duration,
    stopped: bool,
}

impl Plan {
    /// A plan for a file of which nothing is there yet.
    pub fn new(rules: Rules) -> Self {
        let mut plan = Plan {
            budget: Budget::new(rules.retries, rules.seed),
            actions: VecDeque::new(),
            state: State::Waiting { until: Duration::ZERO, for_host: false },
            workers: 0,
            source: 0,
            first_request: None,
            placed: None,
            url: String::new(),
            version: Version::Unknown,
            size: None,
            joinable: false,
            digests: rules.expected.clone(),
            warnings: Vec::new(),
            proven: None,
            written: 0,
            best: 0,
            asked: None,
            asked_before: Duration::ZERO,
            stopped: false,
            rules,
        };
        if plan.rules.look_first {
            plan.state = State::Looking;
            plan.actions.push_back(Action::Look);
        }
        plan
    }

    /// What to do next. Every action comes once; after [`Action::Wait`] there is nothing more for now.
    pub fn next(&mut self, now: Duration) -> Action {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.drop_worker();
            self.failed(now, Error::new(Kind::JobMaxTime, self.place(), ""));
        }
        if let State::Waiting { until, .. } = self.state
            && self.actions.is_empty()
            && now >= until
        {
            self.fetch(now);
        }
        if let Some(action) = self.actions.pop_front() {
            return action;
        }
        let timer = if let State::Waiting { until, .. } = self.state { Some(until) } else { None };
        Action::Wait(timer.into_iter().chain(self.deadline()).min())
    }

    /// Takes in what happened. Reports of workers that were dropped change nothing.
    pub fn on(&mut self, now: Duration, input: Input) {
        match input {
            Input::Looked(place) if self.state == State::Looking => match place {
                Ok(Place::Free { .. }) => self.wait_until(now),
                Ok(Place::Taken { path, reason }) => self.skipped(path, reason),
                Err(error) => self.failed(now, error),
            },
            Input::Opened { worker, reply } if self.state == (State::Opening { worker }) => {
                self.opened(now, worker, *reply);
            }
            Input::Placed(place) => self.placed(now, place),
            Input::Wrote { worker, upto } => {
                if matches!(self.state, State::Receiving { worker: w, .. } if w == worker)
                    && upto > self.written
                {
                    self.written = upto;
                    self.best = self.best.max(upto);
                }
            }
            Input::Ended { worker, result } if self.worker() == Some(worker) => self.ended(now, result),
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
            | Input::Ended { .. }
            | Input::Verified(_)
            | Input::Published(_) => {}
        }
    }

    /// The algorithms whose digests `Verify` must compute. Settled when `Accept` is given.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let mut all: Vec<Algorithm> = self.digests.iter().map(|one| one.digest.algorithm).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Size of the whole, if known.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// A person is being asked about this file, or its host asked for a pause: it holds no place among those in
    /// flight.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Asking(_) | State::Waiting { for_host: true, .. })
    }

    /// The bytes that are written and count.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The invariant of the module.
    ///
    /// # Errors
    /// What is broken.
    pub fn check(&self) -> Result<(), String> {
        let whole = self.size.is_none_or(|size| self.written == size);
        let (used, of) = self.budget.tries();
        let rules = [
            (self.written <= self.best, "more is written than ever was"),
            (self.size.is_none_or(|size| self.written <= size), "more is written than the file has"),
            (self.written == 0 || self.placed.is_some(), "bytes were written without a place"),
            (
                !matches!(self.state, State::Verifying | State::Publishing) || whole,
                "an incomplete file is published",
            ),
            (used <= of, "more retries than allowed"),
            (self.source < self.rules.sources, "a source that does not exist"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, broken)) => Err(format!("{broken}: {self:?}")),
            None => Ok(()),
        }
    }

    fn fetch(&mut self, now: Duration) {
        self.first_request.get_or_insert(now);
        self.workers += 1;
        let worker = self.workers;
        self.state = State::Opening { worker };
        self.actions.push_back(Action::Fetch { worker, source: self.source, from: self.written });
    }

    fn opened(&mut self, now: Duration, worker: WorkerId, reply: Reply) {
        match self.judge(&reply) {
            Ok(true) => {
                let end = reply.range.map(|range| range.last + 1);
                self.size = self.size.or(reply.size());
                self.state = State::Receiving { worker, end };
                self.actions.push_back(Action::Tell(Fact::Resumed { from: self.written }));
                self.actions.push_back(Action::Accept { worker, at: self.written, end });
            }
            Ok(false) => self.start(worker, reply),
            Err(error) => {
                self.drop_worker();
                self.failed(now, error);
            }
        }
    }

    /// Promise 2: whether a reply goes on where we stopped (true) or begins the file (false), or is refused
    /// before a byte of it is written.
    fn judge(&self, reply: &Reply) -> Result<bool, Error> {
        let refuse = |kind, why: &str| Err(Error::new(kind, show::url(&reply.url), why));
        if reply.status == 200 {
            return Ok(false);
        }
        let Some(range) = reply.range else { return refuse(Kind::HttpRangeWrong, "it names no range") };
        if self.written == 0 || reply.multipart || range.first != self.written {
            return refuse(Kind::HttpRangeWrong, "");
        }
        if reply.coding.is_some() {
            return refuse(Kind::HttpEncoding, "");
        }
        if reply.version != self.version {
            return refuse(Kind::RemoteChanged, "");
        }
        if let (Some(size), Some(total)) = (self.size, range.total)
            && size != total
        {
            return refuse(Kind::RemoteChanged, "its size is another");
        }
        let Some(size) = self.size.or(range.total) else {
            return refuse(Kind::HttpRangeWrong, "it does not say where the file ends");
        };
        if range.last >= size {
            return refuse(Kind::HttpRangeWrong, "it goes beyond the end of the file");
        }
        Ok(true)
    }

    /// The file begins, or begins again, with this reply; what was written does not count any more.
    fn start(&mut self, worker: WorkerId, reply: Reply) {
        if self.written > 0 {
            // We asked to go on, and the server sends everything.
            let error = Error::new(Kind::HttpRangeIgnored, show::url(&reply.url), "");
            self.tell_retry(&error, 0, Duration::ZERO, 0);
        }
        self.written = 0;
        self.size = reply.size();
        self.joinable = !reply.refuses_ranges && reply.coding.is_none();
        self.digests = self.rules.expected.clone();
        self.digests.extend(reply.digests.iter().cloned());
        self.warnings = reply.notes.clone();
        if let Some(coding) = &reply.coding {
            self.warnings.push(format!("the server sent it compressed ({coding}); it is saved as sent"));
        }
        self.version = reply.version.clone();
        self.url = show::url(&reply.url);
        self.state = State::Placing { worker, end: self.size };
        if let Some(path) = self.placed.clone() {
            self.accept(worker, self.size, path);
        } else {
            self.actions.push_back(Action::Place { reply: Box::new(reply) });
        }
    }

    fn accept(&mut self, worker: WorkerId, end: Option<u64>, path: String) {
        self.state = State::Receiving { worker, end };
        self.actions.push_back(Action::Tell(Fact::Started { url: self.url.clone(), path, size: self.size }));
        self.actions.push_back(Action::Accept { worker, at: 0, end });
    }

    fn placed(&mut self, now: Duration, place: Result<Place, Error>) {
        let State::Placing { worker, end } = self.state else { return };
        match place {
            Ok(Place::Free { path }) => {
                self.placed = Some(path.clone());
                self.accept(worker, end, path);
            }
            Ok(Place::Taken { path, reason }) => {
                self.drop_worker();
                self.skipped(path, reason);
            }
            Err(error) => {
                self.drop_worker();
                self.failed(now, error);
            }
        }
    }

    fn ended(&mut self, now: Duration, result: Result<(), Error>) {
        let was = std::mem::replace(&mut self.state, State::Waiting { until: now, for_host: false });
        let end = match (was, result) {
            (_, Err(error)) => return self.failed(now, error),
            (State::Receiving { end, .. }, Ok(())) => end,
            // A worker that was never told to go on cannot be through.
            (_, Ok(())) => {
                return self.failed(now, Error::new(Kind::HttpTruncated, self.place(), "no reply"));
            }
        };
        match (end, self.size) {
            (Some(end), _) if self.written < end => {
                let missing = format!("{} bytes are missing", end - self.written);
                self.failed(now, Error::new(Kind::HttpTruncated, self.place(), missing));
            }
            // The server gave a shorter range than asked for, and all of it: ask for the rest.
            (Some(_), Some(size)) if self.written < size => {}
            _ => {
                self.size = Some(self.written);
                let announced = end.is_some();
                self.proven = Some(if announced { "size only" } else { "end of transfer only" }.into());
                self.state = State::Verifying;
                self.actions.push_back(Action::Verify);
            }
        }
    }

    fn verified(&mut self, now: Duration, computed: Result<Vec<Digest>, Error>) {
        let computed = match computed {
            Ok(computed) => computed,
            Err(error) => return self.failed(now, error),
        };
        match digest::verdict(&self.digests, &computed) {
            Ok(strongest) => {
                self.proven = strongest.map(proof).or(self.proven.take());
                for one in &self.digests {
                    self.actions.push_back(Action::Tell(Fact::Verified {
                        algorithm: one.digest.algorithm.name().into(),
                        digest: one.digest.to_string(),
                        source: one.from.clone(),
                    }));
                }
                self.state = State::Publishing;
                self.actions.push_back(Action::Publish);
            }
            Err((expected, found)) => {
                let found = found.map_or("not computed".to_string(), |digest| digest.to_string());
                let Expected { digest, from } = expected;
                let detail = format!("{} is {found}, but {from} says {digest}", digest.algorithm.name());
                self.failed(now, Error::new(Kind::DigestMismatch, self.place(), detail));
            }
        }
    }

    fn published(&mut self, now: Duration, path: String) {
        self.actions.push_back(Action::Tell(Fact::Finished {
            path,
            bytes: self.written,
            seconds: now.saturating_sub(self.first_request.unwrap_or(now)).as_secs_f64(),
            proven: self.proven.clone().unwrap_or_default(),
            warnings: std::mem::take(&mut self.warnings),
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
            self.drop_worker();
            self.give_up(&Error::new(Kind::RunStopped, self.place(), ""), false, false);
        }
    }

    /// Any failure comes through here; the worker is gone.
    fn failed(&mut self, now: Duration, error: Error) {
        if self.stopped {
            return self.give_up(&error, false, false);
        }
        let placing = matches!(self.state, State::Looking | State::Placing { .. });
        let joinable = self.joinable && self.version != Version::Unknown && !starts_again(error.kind);
        let complete = self.size == Some(self.written);
        let can_go_on = joinable && self.written > 0 && !complete;
        if !can_go_on {
            self.written = 0;
        }
        if let Some(pause) = error.pause
            && !pause.counted
        {
            self.tell_retry(&error, 0, pause.wait, self.written);
            self.state = State::Waiting { until: now + pause.wait, for_host: true };
            return;
        }
        let verdict = self.budget.verdict(&error, self.rules.on_error, self.best, can_go_on);
        if verdict == Verdict::GoOn {
            let wait = self.budget.short_wait();
            self.tell_retry(&error, 0, wait, self.written);
            self.wait_until(now + wait);
        } else if self.next_mirror_may_do(&error, verdict, can_go_on, placing) {
            // A mirror that was not asked yet costs no try. Nothing proves that it has the same bytes.
            self.source += 1;
            self.written = 0;
            self.tell_retry(&error, 0, Duration::ZERO, 0);
            self.wait_until(now);
        } else {
            match verdict {
                Verdict::GoOn => {}
                Verdict::TryAgain => {
                    let asked = error.pause.map_or(Duration::ZERO, |pause| pause.wait);
                    self.budget.spend();
                    let wait = self.budget.wait().max(asked);
                    self.again(now, &error, wait);
                }
                Verdict::Ask => {
                    let (used, of) = self.budget.tries();
                    self.actions.push_back(Action::Tell(Fact::Question {
                        error: Failure::from(&error),
                        left: of.saturating_sub(used),
                    }));
                    self.state = State::Asking(error);
                    self.asked = Some(now);
                }
                Verdict::GiveUp => self.give_up(&error, false, false),
                Verdict::Exhausted => self.give_up(&error, true, false),
                Verdict::StopAll => self.give_up(&error, false, true),
            }
        }
    }

    /// Whether a mirror that was not asked yet is the answer: it is not to what is wrong here, nor while what was
    /// written can be gone on with.
    fn next_mirror_may_do(&self, error: &Error, verdict: Verdict, can_go_on: bool, placing: bool) -> bool {
        let theirs = matches!(error.kind.blame(), Blame::Remote | Blame::Content);
        let at_its_end = matches!(verdict, Verdict::GiveUp | Verdict::Exhausted | Verdict::StopAll);
        let more = self.source + 1 < self.rules.sources;
        more && theirs && !placing && error.kind.retry() != Retry::Never && (!can_go_on || at_its_end)
    }

    fn wait_until(&mut self, until: Duration) {
        self.state = State::Waiting { until, for_host: false };
    }

    fn again(&mut self, now: Duration, error: &Error, wait: Duration) {
        if self.written == 0 {
            // Nothing would be lost: give the next mirror its turn.
            self.source = (self.source + 1) % self.rules.sources;
        }
        self.tell_retry(error, self.budget.tries().0, wait, self.written);
        self.state = State::Waiting { until: now + wait, for_host: error.pause.is_some() };
    }

    fn tell_retry(&mut self, error: &Error, attempt: u32, wait: Duration, from: u64) {
        self.actions.push_back(Action::Tell(Fact::Retrying {
            error: Failure::from(error),
            attempt,
            of: self.rules.retries,
            wait: wait.as_secs_f64(),
            from,
        }));
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
        self.finish(Outcome::Failed { kind: error.kind, exhausted, stop_all });
    }

    fn finish(&mut self, outcome: Outcome) {
        self.state = State::Over;
        self.actions.push_back(Action::Finish(outcome));
    }

    fn worker(&self) -> Option<WorkerId> {
        match self.state {
            State::Opening { worker } | State::Placing { worker, .. } | State::Receiving { worker, .. } => {
                Some(worker)
            }
            _ => None,
        }
    }

    fn drop_worker(&mut self) {
        if let Some(worker) = self.worker() {
            self.actions.push_back(Action::Drop { worker });
        }
    }

    /// When `--max-time` ends the file. The time in which a person is asked does not count, nor does finishing.
    fn deadline(&self) -> Option<Duration> {
        let running = self.worker().is_some() || matches!(self.state, State::Waiting { .. });
        let (start, most) = (self.first_request?, self.rules.max_time?);
        running.then(|| start.saturating_add(most).saturating_add(self.asked_before))
    }

    fn place(&self) -> String {
        self.placed.clone().unwrap_or_default()
    }
}

fn proof(expected: &Expected) -> String {
    format!("{} from {}", expected.digest.algorithm.name(), expected.from)
}

/// After these, what was written cannot be trusted to belong to what follows.
fn starts_again(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::RemoteChanged
            | Kind::DigestMismatch
            | Kind::HttpRangeWrong
            | Kind::HttpRangeIgnored
            | Kind::HttpEncoding
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use url::Url;

    const NOW: Duration = Duration::from_secs(1);

    fn rules() -> Rules {
        Rules {
            sources: 1,
            look_first: false,
            retries: 1,
            on_error: OnError::Retry,
            max_time: None,
            expected: Vec::new(),
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
            match plan.next(now) {
                Action::Wait(_) => return all,
                action => all.push(action),
            }
        }
        panic!("a plan that never waits: {plan:?}");
    }

    /// A plan whose first worker has written `bytes` of 100,000.
    fn half_done(etag: &str, bytes: u64) -> Plan {
        let mut plan = Plan::new(rules());
        assert_eq!(steps(&mut plan, NOW), [Action::Fetch { worker: 1, source: 0, from: 0 }]);
        let reply = reply(200, &[("content-length", "100000"), ("etag", etag)]);
        plan.on(NOW, Input::Opened { worker: 1, reply });
        steps(&mut plan, NOW);
        plan.on(NOW, Input::Placed(Ok(Place::Free { path: "f".into() })));
        assert_eq!(steps(&mut plan, NOW)[1], Action::Accept { worker: 1, at: 0, end: Some(100_000) });
        plan.on(NOW, Input::Wrote { worker: 1, upto: bytes });
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
        for (etag, range, accepted) in [
            ("\"a\"", "bytes 70000-99999/100000", true),
            ("\"b\"", "bytes 70000-99999/100000", false),
            ("\"a\"", "bytes 60000-99999/100000", false),
            ("\"a\"", "bytes 70000-99999/100001", false),
        ] {
            let mut plan = half_done("\"a\"", 70_000);
            plan.on(NOW, broken());
            assert_eq!(fetches(&steps(&mut plan, LATER)), [70_000]);
            let reply = reply(206, &[("content-range", range), ("etag", etag)]);
            plan.on(LATER, Input::Opened { worker: 2, reply });
            let goes_on = Action::Accept { worker: 2, at: 70_000, end: Some(100_000) };
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
        plan.on(NOW, Input::Wrote { worker: 1, upto: 90_000 });
        plan.on(NOW, Input::Ended { worker: 1, result: Ok(()) });
        assert_eq!(plan.written(), 70_000);
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
        assert!(steps(&mut plan, NOW).contains(&Action::Fetch { worker: 2, source: 1, from: 0 }));
        plan.on(NOW, Input::Ended { worker: 2, result: Err(Error::new(Kind::HttpNotFound, "", "")) });
        assert!(matches!(steps(&mut plan, NOW).last(), Some(Action::Finish(Outcome::Failed { .. }))));
    }

    #[test]
    fn time_for_the_whole_file_is_bounded() {
        let mut plan = Plan::new(Rules { max_time: Some(LATER), ..rules() });
        steps(&mut plan, NOW);
        assert_eq!(plan.next(NOW), Action::Wait(Some(NOW + LATER)));
        let actions = steps(&mut plan, NOW + LATER);
        assert_eq!(actions[0], Action::Drop { worker: 1 });
        assert!(matches!(
            actions.last(),
            Some(Action::Finish(Outcome::Failed { kind: Kind::JobMaxTime, .. }))
        ));
    }
}
