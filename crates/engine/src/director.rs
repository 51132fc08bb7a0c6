//! The one loop: commands, reports and timers go into the plans; their actions are carried out and their facts
//! told.
//!
//! The director owns every decision about files in flight and touches no byte and no file itself: workers and
//! blocking tasks do, and send news. Invariant: a job is in the queue, or running, or over; at most
//! `settings.parallel` of those running are at work (not waiting for a person, nor because a host asked for a pause).
//! How many connections there are, to one host and in all, is counted in [`Connections`]; a file that has none comes before
//! one that wants another.

mod connections;
mod control;
mod placing;
mod queue;
mod verifying;

use crate::checksum_discovery::{Known, Proofs};
use crate::clock::Clock;
use crate::disk::{Disk, Generation, Part};
use crate::explain::{self, Explanation, FileStory};
use crate::hashing::Verifier;
use crate::host_memory::Memory;
use crate::limit::{Limit, Limits};
use crate::place::{Places, Reserved};
use crate::report::{Meter, Reporter};
use crate::session::Added;
use crate::short_blocking::Clerks;
use crate::signed::Signature;
use crate::source::{GivenBy, Request, Source, Sources};
use crate::space::Space;
use connections::{AtWork, Connections};
pub use control::Remove;
pub(crate) use control::{Command, Control};
use downhaul_core::concurrency::{Allowance, Controller, Host};
use downhaul_core::content::Look;
use downhaul_core::error::{Blame, Error, ErrorKind};
use downhaul_core::event::{EventKind, JobId, Phase};
use downhaul_core::identity::Identity;
use downhaul_core::job::{Destination, Headers, Job};
use downhaul_core::name::SafeName;
use downhaul_core::plan::{
    Action, Answer, Findings, Input, Leftover, Outcome, Place, Plan, Rules, Sizes, WorkerId,
};
use downhaul_core::settings::{OnError, Settings};
use downhaul_core::show;
use placing::{Placed, Written};
use queue::Queue;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use url::Url;
pub(crate) use verifying::promises_data;

/// Jobs that are read ahead, so that the next file starts without waiting for its list.
pub(crate) const QUEUE_AHEAD: usize = 64;

/// Files that may wait for a person or a host before no new file starts: enough to keep working through a coffee break,
/// few enough to remember what was asked.
const IDLE_MOST: usize = 64;

/// Files at once before it is known whether more of them help.
const FILES_LEAST: usize = 4;

/// What a file counts beside its bytes, where files at once are found out: about what a common line brings in the time
/// that its request takes.
const FILE_COUNTS: u64 = 16 * 1024;

/// Hosts that are remembered while nothing comes from them: far more than a list of mirrors has, within a few hundred KiB.
const HOSTS_MOST: usize = 1024;

/// Observation that are heard before the next look at everything else, which goes through all files in flight.
const NEWS_AT_ONCE: usize = 64;

/// How often to look whether a lossless reader caught up.
const READER_PATIENCE: Duration = Duration::from_millis(50);

/// How a session ended.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// Files that were queued.
    pub files: u64,
    /// Of these: complete.
    pub finished: u64,
    /// Of these: nothing was to be done.
    pub skipped: u64,
    /// Of these: failed.
    pub failed: u64,
    /// Of these: the next run can go on with what is there.
    pub resumable: u64,
    /// Of these: stopped with the run before they were complete.
    pub stopped: u64,
    /// Bytes of unfinished files that the next run can continue with.
    pub kept: u64,
    /// Some file failed, and these are to blame.
    pub blames: Vec<Blame>,
    /// `--on-error exit` stopped the run.
    pub stopped_on_error: bool,
    /// The reader of standard output was gone.
    pub output_closed: bool,
    /// What a person should know of the run as a whole.
    pub notes: Vec<String>,
    /// Where the time went.
    pub explanation: Explanation,
}

/// What blocking tasks and workers report about a job.
enum Report {
    Input(Input),
    /// What lists and signatures say of the file.
    Known(Known),
    /// A name was looked at before the file is fetched.
    Looked(Result<(PathBuf, Place), Error>),
    /// A place was made, or is not needed.
    Placed(Result<Placed, Error>),
    /// The part file was begun again.
    Begun(Result<Generation, Error>),
    /// What was left of a file that is over has been removed.
    Gone,
}

/// Why a file that was idle may go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ready {
    /// The pause that its host asked for is over.
    Waited,
    /// The person wants it to be tried again.
    Answered,
    /// It was paused, and is to go on.
    Resumed,
}

pub(crate) struct Director {
    settings: Arc<Settings>,
    sources: Sources,
    disk: Arc<dyn Disk>,
    places: Arc<Places>,
    proofs: Arc<Proofs>,
    space: Arc<Space>,
    clerks: Arc<Clerks>,
    clock: Clock,
    reporter: Arc<Reporter>,
    limit: Arc<Limit>,
    seed: u64,
    /// How many files at once, where that is to be found out.
    files: Option<Controller>,
    on_error: OnError,
    jobs: u64,
    queue: Queue,
    /// What was asked about jobs that are not here yet.
    early: BTreeMap<JobId, Vec<Control>>,
    /// No file starts: all jobs are paused.
    paused: bool,
    running: BTreeMap<JobId, Running>,
    /// Files that were idle and may go on, as soon as there is room.
    ready: VecDeque<(JobId, Ready)>,
    news: mpsc::UnboundedSender<(JobId, Report)>,
    from_workers: Option<mpsc::UnboundedReceiver<(JobId, Report)>>,
    /// The queue is being filled; it is filled again when it is half empty, so that whoever fills it is not woken for
    /// each file.
    filling: bool,
    /// No new file starts any more.
    closing: bool,
    connections: Connections,
    summary: Summary,
}

struct Running {
    spec: Arc<Job>,
    plan: Plan,
    meter: Arc<Meter>,
    priority: i32,
    limits: Limits,
    /// Its partial file is to be deleted when it ends unfinished.
    discard: bool,
    /// It could use a further connection and got none.
    wants_more: bool,
    sources: Vec<Arc<dyn Source>>,
    workers: BTreeMap<WorkerId, AtWork>,
    checker: Option<AbortHandle>,
    /// What lists and signatures say of it was told to its plan.
    told: bool,
    /// The final path, once chosen.
    path: Option<PathBuf>,
    part: Option<Arc<dyn Part>>,
    generation: Generation,
    written: Option<Written>,
    /// What the file looks like, where that was seen when it was written.
    look: Option<Look>,
    journaled: bool,
    verifier: Option<Verifier>,
    /// Its own signature.
    signature: Option<Arc<Signature>>,
    modified: Option<std::time::SystemTime>,
    wake: Option<Duration>,
    /// The most connections at once, and when it began, its bytes came, they were all there, and they were proven.
    most_workers: usize,
    since: Duration,
    came: Option<Duration>,
    complete: Option<Duration>,
    proven: Option<Duration>,
    /// Only its remains are still being removed.
    over: bool,
}

impl Director {
    pub(crate) fn new(
        settings: Arc<Settings>,
        sources: Sources,
        disk: Arc<dyn Disk>,
        reporter: Arc<Reporter>,
        limit: Arc<Limit>,
        clock: Clock,
        seed: u64,
    ) -> Self {
        let (news, from_workers) = mpsc::unbounded_channel();
        let connections = Connections::new(Memory::read(settings.hosts.as_deref()));
        let files =
            settings.parallel.is_none().then(|| Controller::for_files(FILES_LEAST, settings.max_per_host));
        Director {
            places: Arc::new(Places::new(settings.clone(), disk.clone())),
            proofs: Arc::new(Proofs::new(settings.clone(), sources.clone())),
            space: Arc::default(),
            clerks: Arc::default(),
            on_error: settings.on_error,
            settings,
            sources,
            disk,
            clock,
            reporter,
            limit,
            seed,
            files,
            jobs: 0,
            queue: Queue::default(),
            early: BTreeMap::new(),
            paused: false,
            running: BTreeMap::new(),
            ready: VecDeque::new(),
            news,
            from_workers: Some(from_workers),
            filling: true,
            closing: false,
            connections,
            summary: Summary::default(),
        }
    }

    /// Runs until `jobs` is closed and every job is over.
    pub(crate) async fn run(
        mut self,
        mut jobs: mpsc::Receiver<Added>,
        mut commands: mpsc::UnboundedReceiver<Command>,
    ) -> Summary {
        let Some(mut news) = self.from_workers.take() else { return Summary::default() };
        let mut more_jobs = true;
        let mut heard = Vec::new();
        loop {
            self.start_files();
            self.drive_waiting();
            if (!more_jobs || self.closing) && self.queue.is_empty() && self.running.is_empty() {
                break;
            }
            let wake = self.next_wake();
            let timer = self.clock.instant_of(wake.unwrap_or_default());
            let wants_jobs = more_jobs && self.wants_jobs();
            tokio::select! {
                job = jobs.recv(), if wants_jobs => match job {
                    Some(job) => self.enqueue(job),
                    None => more_jobs = false,
                },
                Some(command) = commands.recv() => self.obey(command),
                _ = news.recv_many(&mut heard, NEWS_AT_ONCE) => {
                    heard.drain(..).for_each(|(job, news)| self.hear(job, news));
                }
                () = tokio::time::sleep_until(timer), if wake.is_some() => self.wake(),
            }
        }
        self.remember().await;
        self.sum_up()
    }

    fn enqueue(&mut self, (id, job): Added) {
        self.jobs += 1;
        let queued = match &job {
            Ok(job) => EventKind::queued(job),
            Err(error) => EventKind::queued_without_job(error),
        };
        self.reporter.tell(Some(id), queued);
        match job {
            Ok(spec) => match self.places.reserve(id, &spec) {
                Reserved::Path => {
                    self.queue.push(id, spec);
                    self.catch_up(id);
                }
                Reserved::Same => {
                    let path = SafeName::from_url(&spec.urls[0]).to_string();
                    let reason = "is in the list already, from the same URL: it is fetched once".to_string();
                    self.reporter.tell(Some(id), EventKind::skipped(path, reason));
                    self.summary.skipped += 1;
                }
                Reserved::Taken => {
                    let at = spec.destination.given_name().unwrap_or_default();
                    self.fail_unstarted(id, &Error::new(ErrorKind::NameTaken, at, ""));
                }
            },
            Err(error) => self.fail_unstarted(id, &error),
        }
    }

    fn wants_jobs(&mut self) -> bool {
        self.filling = self.queue.waiting() < if self.filling { QUEUE_AHEAD } else { QUEUE_AHEAD / 2 };
        !self.closing && self.filling && !self.reporter.is_behind()
    }

    /// Lets idle files go on, and starts files from the queue, while there is room.
    fn start_files(&mut self) {
        while self.has_room() {
            let Some((id, why)) = self.ready.pop_front() else { break };
            match why {
                Ready::Waited => self.drive(id),
                Ready::Answered => self.tell_plan(id, Input::Answer(Answer::Retry)),
                Ready::Resumed => self.tell_plan(id, Input::Pause(false)),
            }
        }
        if self.closing || self.paused {
            return;
        }
        while self.queue.waiting() > 0 && self.may_start() {
            let Some((id, spec)) = self.queue.pop() else { return };
            let meter = self
                .reporter
                .meter(id, spec.destination.given_name().unwrap_or_else(|| show::url(&spec.urls[0])));
            if let Some(files) = &mut self.files {
                files.on_opened(false);
            }
            let origins: Vec<_> = spec.urls.iter().map(|url| self.places.origin(url)).collect();
            let identity = Identity { origins, proven: false };
            // Where nothing stands there is nothing to look at.
            let look_first = !spec.destination.is_in_order() && !self.places.is_free(id, &identity);
            let plan = Plan::new(Rules {
                origins: identity.origins,
                size: spec.size,
                chunks: spec.chunks.clone(),
                look_first,
                retries: self.settings.retries,
                on_error: self.on_error,
                max_time: self.settings.max_time,
                verify: self.settings.verify,
                record: self.settings.record,
                expected: spec.expected.clone(),
                notes: spec.notes.clone(),
                connections: spec.connections.or(self.settings.connections),
                sizes: if spec.destination.is_in_order() { Sizes::IN_ORDER } else { Sizes::FILE },
                seed: self.seed.wrapping_add(id.get()),
            });
            let by = |url| GivenBy::of(&self.settings, url, spec.named_by);
            let sources = spec.urls.iter().map(|url| self.sources.source(url, by(url))).collect();
            let own_limit = Arc::new(Limit::new(spec.limit_rate));
            let running = Running {
                priority: spec.priority,
                limits: Limits { session: self.limit.clone(), job: own_limit },
                discard: false,
                wants_more: false,
                spec: Arc::new(spec),
                plan,
                meter,
                sources,
                workers: BTreeMap::new(),
                checker: None,
                told: false,
                path: None,
                part: None,
                generation: 0,
                written: None,
                look: None,
                journaled: false,
                verifier: None,
                signature: None,
                modified: None,
                wake: None,
                most_workers: 0,
                since: self.clock.now(),
                came: None,
                complete: None,
                proven: None,
                over: false,
            };
            self.running.insert(id, running);
            self.drive(id);
        }
    }

    fn has_room(&self) -> bool {
        self.running.len() - self.idle() < self.parallel()
    }

    /// How many files may be at work at once.
    fn parallel(&self) -> usize {
        match (self.settings.parallel, &self.files) {
            (None, Some(files)) => files.target(),
            (parallel, _) => parallel.unwrap_or(FILES_LEAST),
        }
    }

    fn may_start(&self) -> bool {
        self.has_room() && self.idle() < IDLE_MOST && !self.reporter.is_behind()
    }

    fn idle(&self) -> usize {
        self.running.values().filter(|one| one.plan.is_idle()).count()
    }

    fn next_wake(&self) -> Option<Duration> {
        let timers = self.running.values().filter_map(|one| one.wake);
        let waits_for_reader = !self.closing && self.reporter.is_behind();
        timers.chain(waits_for_reader.then(|| self.clock.now() + READER_PATIENCE)).min()
    }

    fn wake(&mut self) {
        let now = self.clock.now();
        let due: Vec<JobId> = self
            .running
            .iter()
            .filter(|(_, one)| one.wake.is_some_and(|at| at <= now))
            .map(|(&id, _)| id)
            .collect();
        for id in due {
            match self.running.get_mut(&id) {
                Some(running) if running.plan.is_idle() => {
                    running.wake = None;
                    self.ready.push_back((id, Ready::Waited));
                }
                _ => self.drive(id),
            }
        }
    }

    fn fail_unstarted(&mut self, id: JobId, error: &Error) {
        self.reporter.tell(Some(id), EventKind::failed(error));
        self.count_failure(error.kind);
    }

    fn hear(&mut self, id: JobId, news: Report) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let mut input = match news {
            Report::Gone => return self.forget(id),
            Report::Input(input) => input,
            Report::Known(known) => {
                running.told = true;
                running.signature = known.signature.or(running.signature.take());
                let more = add_mirrors(running, &self.sources, known.mirrors);
                let more = more.iter().map(|url| self.places.origin(url)).collect();
                running.plan.on(self.clock.now(), Input::Sources(more));
                Input::Found(known.findings)
            }
            Report::Looked(result) => Input::Looked(result.map(|(path, place)| {
                // A server may still give the file another name, unless it is gone on with.
                let settled = running.spec.destination != Destination::Server
                    || matches!(place, Place::Taken { .. } | Place::Free { left: true, .. });
                if settled && !matches!(place, Place::Ask(_)) {
                    running.path = Some(path);
                }
                place
            })),
            Report::Placed(Ok(placed)) => {
                running.meter.set_name(name_of(&placed.path));
                running.path = Some(placed.path);
                if placed.renamed.is_some() {
                    let findings = Findings { renamed: placed.renamed, ..Findings::default() };
                    running.plan.on(self.clock.now(), Input::Found(findings));
                }
                running.part = placed.part;
                running.written = placed.written;
                running.generation = placed.generation;
                // What is repaired has no journal: whoever breaks that off begins with the file again.
                running.journaled |=
                    matches!(placed.left, Some(Leftover::Journal { .. } | Leftover::Adopted(_)));
                Input::Placed(Ok(placed.place), placed.left)
            }
            Report::Placed(Err(error)) => Input::Placed(Err(error), None),
            Report::Begun(result) => Input::Begun(result.map(|generation| running.generation = generation)),
        };
        match &mut input {
            Input::Opened { worker, remote } => {
                // Only a response that is accepted gives the file its date.
                if let Some(at_work) = running.workers.get_mut(worker) {
                    at_work.modified = remote.modified;
                }
                self.on_served(id, *worker);
            }
            Input::Wrote { worker, .. } => self.on_bytes(id, *worker),
            Input::Ended { worker, result } => {
                if let Err(error) = result {
                    self.on_lost(id, *worker, error);
                }
                let cut = result.is_err();
                self.remove_worker(id, *worker, cut);
            }
            _ => {}
        }
        self.tell_plan(id, input);
    }

    fn tell_plan(&mut self, id: JobId, input: Input) {
        let now = self.clock.now();
        if let Some(running) = self.running.get_mut(&id) {
            running.plan.on(now, input);
            running.meter.set_bytes(running.plan.bytes());
            if let Some(verifier) = &running.verifier {
                verifier.written(running.plan.prefix());
            }
            self.drive(id);
        }
    }

    /// Carries out what the plan of a file wants next.
    fn drive(&mut self, id: JobId) {
        let now = self.clock.now();
        loop {
            let allowances = self.allowances(id);
            let Some(running) = self.running.get_mut(&id).filter(|running| !running.over) else { return };
            match running.plan.next(now, &allowances) {
                Action::Wait(wake) => {
                    running.wake = wake;
                    let (more, none) = (running.plan.takes_more(), running.plan.is_starving());
                    let full = |one: &Allowance| (none && one.most == 0) || (more && one.worth == 0);
                    running.wants_more = allowances.iter().any(full);
                    self.connections.wanted |= running.wants_more;
                    if running.plan.is_paused() {
                        running.meter.set_phase(Phase::Paused);
                    }
                    return;
                }
                Action::Observe { source, news } => {
                    let host = host_of(&running.spec, source);
                    if let Some(host) = self.connections.hosts.get_mut(host) {
                        host.on(now, news);
                    }
                }
                Action::Look { remote } => self.look(id, remote),
                Action::Fetch { worker, source, from, to } => {
                    let (size, headers) = (listed_size(&running.spec), headers_of(&running.spec));
                    let answered_at = running.plan.answered_at(source);
                    let request = Request { size, answered_at, headers, ..Request::range(from, to) };
                    self.fetch(id, worker, source, request);
                }
                Action::Ask { worker, source, conditions } => {
                    let headers = headers_of(&running.spec);
                    let request = Request { headers, ..Request::about(conditions) };
                    self.fetch(id, worker, source, request);
                }
                Action::Place { remote, begin } => self.place(id, remote.as_deref().cloned(), begin),
                Action::Begin(begin) => self.begin(id, begin),
                Action::CheckJournal { number, claims } => self.check(id, number, claims),
                Action::Accept { worker, skip, at, end } => self.accept(id, worker, skip, at, end),
                Action::Cut { worker, end } => {
                    if let Some(at_work) = running.workers.get_mut(&worker) {
                        at_work.cut = true;
                        at_work.end.store(end, Ordering::Relaxed);
                    }
                }
                Action::Drop { worker } => self.remove_worker(id, worker, true),
                Action::VerifyChunk { number, chunk, expected } => self.prove(id, number, chunk, expected),
                Action::Discard { number, ranges } => self.void(id, number, ranges),
                Action::Verify => self.verify(id),
                Action::Publish => self.publish(id),
                Action::Tell(fact) => {
                    match &fact {
                        EventKind::Retrying { wait, .. } => {
                            running.meter.set_waiting(Duration::from_secs_f64(*wait))
                        }
                        EventKind::Question { .. } => running.meter.set_phase(Phase::Asking),
                        _ => {}
                    }
                    self.reporter.tell(Some(id), fact);
                }
                Action::Finish(outcome) => self.finish(id, outcome),
            }
        }
    }

    fn finish(&mut self, id: JobId, outcome: Outcome) {
        let Some(running) = self.running.get_mut(&id) else { return };
        running.over = true;
        running.wake = None;
        running.verifier = None;
        if let Some(checker) = running.checker.take() {
            checker.abort();
        }
        let part = running.part.take();
        let bytes = running.plan.bytes();
        self.reporter.drop_meter(id);
        self.space.release(id);
        self.places.over(id);
        let keep = matches!(outcome, Outcome::Failed { resumable: true, .. }) && !running.discard;
        self.summary.resumable += u64::from(keep);
        self.summary.kept += if keep { bytes } else { 0 };
        let finished = matches!(outcome, Outcome::Finished);
        match outcome {
            Outcome::Finished => {
                self.summary.finished += 1;
                self.explain(id);
                if let Some(files) = &mut self.files {
                    files.on_progress(self.clock.now(), FILE_COUNTS + bytes, Duration::ZERO);
                }
            }
            Outcome::Skipped => self.summary.skipped += 1,
            Outcome::Failed { kind, exhausted, stop_all, .. } => {
                self.count_failure(kind);
                if exhausted {
                    self.start_no_more();
                }
                if stop_all {
                    self.summary.stopped_on_error = true;
                    self.stop_all();
                }
            }
        }
        match part {
            Some(part) if !finished => self.block(id, false, move || {
                if !keep {
                    part.discard();
                }
                Report::Gone
            }),
            Some(part) => {
                // Closing it is all that is left, and nobody waits for that.
                self.clerks.run(move || drop(part));
                self.forget(id);
            }
            None => self.forget(id),
        }
    }

    /// Nothing of this file is left.
    fn forget(&mut self, id: JobId) {
        self.running.remove(&id);
        if let Some(files) = &mut self.files {
            files.on_closed(false);
        }
    }

    /// Remembers where the time of a finished file went, if it is among those that took longest.
    fn explain(&mut self, id: JobId) {
        let now = self.clock.now();
        let Some(running) = self.running.get(&id) else { return };
        let took = now.saturating_sub(running.since);
        if !self.summary.explanation.wants(took) {
            return;
        }
        let mut spent = *running.meter.spent();
        let (complete, proven) = (running.complete.unwrap_or(now), running.proven.unwrap_or(now));
        spent.body = complete.saturating_sub(running.came.unwrap_or(complete));
        (spent.verify, spent.publish) = (proven.saturating_sub(complete), now.saturating_sub(proven));
        let host = host_of(&running.spec, running.plan.source());
        let steps = self.connections.hosts.get(host).map_or(&[][..], Host::steps);
        let named = running.spec.connections.or(self.settings.connections);
        let limit = explain::limiter(&spent, running.limits.is_set(), named, running.most_workers, steps);
        let name = running.path.as_deref().map(name_of).unwrap_or_default();
        let (bytes, connections) = (running.plan.bytes(), running.most_workers);
        self.summary.explanation.add(FileStory { name, bytes, took, connections, spent, limit });
    }

    fn count_failure(&mut self, kind: ErrorKind) {
        self.summary.failed += 1;
        self.summary.stopped += u64::from(kind == ErrorKind::RunStopped);
        if !self.summary.blames.contains(&kind.blame()) {
            self.summary.blames.push(kind.blame());
        }
        self.summary.output_closed |= kind == ErrorKind::OutputClosed;
    }

    /// Keeps what was found out about hosts for later runs.
    async fn remember(&mut self) {
        let (memory, learned) = self.connections.take_learned();
        let kept = tokio::task::spawn_blocking(move || memory.keep(&learned)).await;
        self.summary.notes.extend(kept.ok().flatten());
    }

    fn sum_up(&mut self) -> Summary {
        self.summary.files = self.jobs;
        let hosts = std::mem::take(&mut self.connections.hosts).into_iter();
        let mut hosts: Vec<_> = hosts.map(|(host, one)| (host, one.steps().to_vec())).collect();
        hosts.retain(|(_, steps)| !steps.is_empty());
        hosts.sort_by(|a, b| a.0.cmp(&b.0));
        self.summary.explanation.hosts = hosts;
        self.reporter.tell(None, EventKind::summary(&self.reporter.state(), self.clock.now()));
        std::mem::take(&mut self.summary)
    }

    /// Runs what asks the disk on a thread that may wait for it; what is quick, by the clerks.
    fn block(&self, id: JobId, quick: bool, work: impl FnOnce() -> Report + Send + 'static) {
        let news = self.news.clone();
        let work = move || drop(news.send((id, work())));
        if quick {
            self.clerks.run(work);
        } else {
            tokio::task::spawn_blocking(work);
        }
    }

    fn ids(&self) -> Vec<JobId> {
        self.running.keys().copied().collect()
    }
}

/// However the loop ends, the readers see the end.
impl Drop for Director {
    fn drop(&mut self) {
        self.reporter.close();
    }
}

/// Adds the mirrors that a server offers. Returns those that are new.
fn add_mirrors(running: &mut Running, sources: &Sources, mirrors: Vec<Url>) -> Vec<Url> {
    let mut new = Vec::new();
    for url in mirrors {
        if !running.spec.urls.contains(&url) {
            running.sources.push(sources.source(&url, GivenBy::Server));
            Arc::make_mut(&mut running.spec).urls.push(url.clone());
            new.push(url);
        }
    }
    new
}

/// The host of a source.
fn host_of(spec: &Job, source: usize) -> &str {
    spec.urls.get(source).and_then(|url| url.host_str()).unwrap_or_default()
}

/// The headers of a job, if it has some.
fn headers_of(job: &Job) -> Option<Arc<Headers>> {
    (!job.headers.0.is_empty()).then(|| Arc::new(job.headers.clone()))
}

/// How large a file is, as far as its list says. JSON lines and lock files say it among what else they have, which is not for
/// us to insist on.
fn listed_size(spec: &Job) -> Option<u64> {
    spec.size.or_else(|| spec.extra.get("size")?.as_u64())
}

fn name_of(path: &std::path::Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
