//! The one loop: commands, reports and timers go into the plans; their actions are carried out and their facts
//! told.
//!
//! The director owns every decision about files in flight and touches no byte and no file itself: workers and
//! blocking tasks do, and send news. Invariant: a job is in the queue, or running, or over; at most
//! `settings.parallel` of those running are at work (not waiting for a person, nor because a host asked for a pause).
//! How many connections there are, to one host and in all, is counted in [`Lanes`]; a file that has none comes before
//! one that wants another.

use crate::check;
use crate::clerk::Clerks;
use crate::clock::{self, Clock};
use crate::disk::stdout::Stdout;
use crate::disk::{Beginning, Disk, Found, Generation, Part, Publishing, ReadBack};
use crate::explain::{self, Explanation, FileStory};
use crate::limit::Limit;
use crate::place::{self, Taken};
use crate::proofs::{Known, Proofs};
use crate::report::{Meter, Reporter};
use crate::signed::Signature;
use crate::source::{By, Source, Sources, Want};
use crate::space::Space;
use crate::verify::Verifier;
use crate::worker::{Go, UNKNOWN_END, Whole, Worker};
use bytes::Bytes;
use downhaul_core::content;
use downhaul_core::digest::{self, Algorithm, Digest};
use downhaul_core::error::{Blame, Error, Kind};
use downhaul_core::event::{Fact, Failure, JobId, Phase};
use downhaul_core::job::{IfExists, JobSpec, Target};
use downhaul_core::journal::{self, Claim};
use downhaul_core::pace::{News, Pace, Room};
use downhaul_core::plan::{
    About, Action, Answer, Begin, Input, Left, Outcome, Place, Plan, Rules, Sizes, WorkerId,
};
use downhaul_core::reply::{Links, Reply};
use downhaul_core::settings::{OnError, Resume, Settings, Sync};
use downhaul_core::show;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use url::Url;

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

/// News that are heard before the next look at everything else, which goes through all files in flight.
const NEWS_AT_ONCE: usize = 64;

/// How often to look whether a lossless reader caught up.
const READER_PATIENCE: Duration = Duration::from_millis(50);

/// What the session asks of the director.
pub(crate) enum Command {
    Answer(JobId, Answer),
    /// The person's "retry all": no question any more.
    RetryAll,
    Stop,
}

/// How a session ended.
#[derive(Debug, Clone, Default, PartialEq)]
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
    /// Some file failed, and these are to blame.
    pub blames: Vec<Blame>,
    /// `--on-error exit` stopped the run.
    pub stopped_on_error: bool,
    /// The reader of standard output was gone.
    pub output_closed: bool,
    /// Where the time went.
    pub explanation: Explanation,
}

/// What blocking tasks and workers report about a job.
enum Report {
    Input(Input),
    /// What lists and signatures say of the file.
    Known(Known),
    /// A name was chosen before anything was asked of a server.
    Looked(Result<(PathBuf, Place), Error>),
    /// A place was made, or is not needed.
    Placed(Result<Placed, Error>),
    /// The part file was begun again.
    Begun(Result<Generation, Error>),
    /// What was left of a file that is over has been removed.
    Gone,
}

/// What came of making a place for a file.
struct Placed {
    path: PathBuf,
    place: Place,
    /// Unless nothing is to be done there.
    part: Option<Arc<dyn Part>>,
    /// What an earlier run left in it.
    left: Option<Left>,
    generation: Generation,
    written: Option<Written>,
}

/// All of a small file was written when its place was made. It is of one worker and one beginning of the part file, and
/// holds for no other.
struct Written {
    worker: WorkerId,
    bytes: u64,
    /// All of it was new there.
    fresh: bool,
    /// It is an HTML page; `None` where a name does not say that it is none.
    page: Option<bool>,
    took: Duration,
}

/// The connections there are.
#[derive(Default)]
struct Lanes {
    by_host: HashMap<String, Pace>,
    all: Arc<AtomicUsize>,
    /// Somebody wanted one and got none.
    short: bool,
}

pub(crate) struct Director {
    settings: Arc<Settings>,
    sources: Sources,
    disk: Arc<dyn Disk>,
    taken: Arc<Taken>,
    proofs: Arc<Proofs>,
    space: Arc<Space>,
    clerks: Arc<Clerks>,
    clock: Clock,
    reporter: Arc<Reporter>,
    limit: Arc<Limit>,
    seed: u64,
    /// How many files at once, where that is to be found out.
    files: Option<Pace>,
    on_error: OnError,
    jobs: JobId,
    queue: VecDeque<(JobId, JobSpec)>,
    running: BTreeMap<JobId, Running>,
    /// Files that were idle and may go on, as soon as there is room: those whose pause is over, and those that a person
    /// wants to have tried again (`true`).
    ready: VecDeque<(JobId, bool)>,
    news: mpsc::UnboundedSender<(JobId, Report)>,
    from_workers: Option<mpsc::UnboundedReceiver<(JobId, Report)>>,
    /// The queue is being filled; it is filled again when it is half empty, so that whoever fills it is not woken for
    /// each file.
    filling: bool,
    /// No new file starts any more.
    closing: bool,
    lanes: Lanes,
    summary: Summary,
}

struct Running {
    spec: Arc<JobSpec>,
    plan: Plan,
    meter: Arc<Meter>,
    sources: Vec<Arc<dyn Source>>,
    workers: BTreeMap<WorkerId, AtWork>,
    checker: Option<AbortHandle>,
    /// The final path, once chosen.
    path: Option<PathBuf>,
    part: Option<Arc<dyn Part>>,
    generation: Generation,
    written: Option<Written>,
    /// What was written is an HTML page, or is none: that was seen when it was written.
    page: Option<bool>,
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

struct AtWork {
    source: usize,
    host: String,
    go: Option<oneshot::Sender<Go>>,
    end: Arc<AtomicU64>,
    whole: Whole,
    task: AbortHandle,
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
        let files = settings.parallel.is_none().then(|| Pace::of_files(FILES_LEAST, settings.max_per_host));
        Director {
            taken: Arc::new(Taken::new(&settings.reserved)),
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
            queue: VecDeque::new(),
            running: BTreeMap::new(),
            ready: VecDeque::new(),
            news,
            from_workers: Some(from_workers),
            filling: true,
            closing: false,
            lanes: Lanes::default(),
            summary: Summary::default(),
        }
    }

    /// Runs until `jobs` is closed and every job is over.
    pub(crate) async fn run(
        mut self,
        mut jobs: mpsc::Receiver<Result<JobSpec, Error>>,
        mut commands: mpsc::UnboundedReceiver<Command>,
    ) -> Summary {
        let Some(mut news) = self.from_workers.take() else { return Summary::default() };
        let mut more_jobs = true;
        let mut heard = Vec::new();
        loop {
            self.start_files();
            self.rouse();
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
        self.sum_up()
    }

    fn enqueue(&mut self, job: Result<JobSpec, Error>) {
        self.jobs += 1;
        let id = self.jobs;
        let (url, name, extra) = match &job {
            Ok(spec) => (show::url(&spec.urls[0]), given_name(spec), spec.extra.clone()),
            Err(error) => (error.at.clone(), None, serde_json::Map::new()),
        };
        self.reporter.tell(Some(id), Fact::Queued { url, name, extra });
        match job {
            Ok(spec) => self.queue.push_back((id, spec)),
            Err(error) => self.fail_unstarted(id, &error),
        }
    }

    fn wants_jobs(&mut self) -> bool {
        self.filling = self.queue.len() < if self.filling { QUEUE_AHEAD } else { QUEUE_AHEAD / 2 };
        !self.closing && self.filling && !self.reporter.is_behind()
    }

    /// Lets idle files go on, and starts files from the queue, while there is room.
    fn start_files(&mut self) {
        while self.has_room() {
            let Some((id, answered)) = self.ready.pop_front() else { break };
            if answered {
                self.tell_plan(id, Input::Answer(Answer::Retry));
            } else {
                self.drive(id);
            }
        }
        if self.closing {
            return;
        }
        while !self.queue.is_empty() && self.may_start() {
            let Some((id, spec)) = self.queue.pop_front() else { return };
            let meter =
                self.reporter.meter(id, given_name(&spec).unwrap_or_else(|| show::url(&spec.urls[0])));
            if let Some(files) = &mut self.files {
                files.opened(false);
            }
            let plan = Plan::new(Rules {
                sources: spec.urls.len(),
                size: spec.size,
                pieces: spec.pieces.clone(),
                // `update` compares with what the server says; a server's name is known from its reply.
                look_first: spec.target != Target::Server && self.settings.if_exists != IfExists::Update,
                retries: self.settings.retries,
                on_error: self.on_error,
                max_time: self.settings.max_time,
                verify: self.settings.verify,
                record: self.settings.record,
                expected: spec.expected.clone(),
                connections: self.settings.connections,
                sizes: if spec.target == Target::Stdout { Sizes::STDOUT } else { Sizes::FILE },
                seed: self.seed.wrapping_add(id),
            });
            let sources = spec.urls.iter().map(|url| (self.sources)(url, By::Person)).collect();
            let running = Running {
                spec: Arc::new(spec),
                plan,
                meter,
                sources,
                workers: BTreeMap::new(),
                checker: None,
                path: None,
                part: None,
                generation: 0,
                written: None,
                page: None,
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
            (None, Some(files)) => files.lanes(),
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
                    self.ready.push_back((id, false));
                }
                _ => self.drive(id),
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Answer(id, Answer::Retry) => self.ready.push_back((id, true)),
            Command::Answer(id, Answer::Skip) => self.tell_plan(id, Input::Answer(Answer::Skip)),
            Command::RetryAll => {
                self.on_error = OnError::Retry;
                for id in self.ids() {
                    self.tell_plan(id, Input::OnError(OnError::Retry));
                    self.ready.push_back((id, true));
                }
            }
            Command::Stop => self.stop_all(),
        }
    }

    /// Ends everything: files in flight and files that never started.
    fn stop_all(&mut self) {
        self.start_no_more();
        for id in self.ids() {
            self.tell_plan(id, Input::Stop);
        }
    }

    fn start_no_more(&mut self) {
        self.closing = true;
        let stopped = Error::new(Kind::RunStopped, "", "");
        while let Some((id, _)) = self.queue.pop_front() {
            self.fail_unstarted(id, &stopped);
        }
    }

    fn fail_unstarted(&mut self, id: JobId, error: &Error) {
        self.reporter
            .tell(Some(id), Fact::Failed { error: Failure::from(error), retries: 0, exhausted: false });
        self.count_failure(error.kind);
    }

    fn hear(&mut self, id: JobId, news: Report) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let input = match news {
            Report::Gone => return self.remove(id),
            Report::Input(input) => input,
            Report::Known(known) => {
                running.signature = known.signature.or(running.signature.take());
                let more = add_mirrors(running, &self.sources, known.mirrors);
                running.plan.on(self.clock.now(), Input::Sources(more));
                Input::Known(known.about)
            }
            Report::Looked(result) => Input::Looked(result.map(|(path, place)| {
                running.path = Some(path);
                place
            })),
            Report::Placed(Ok(placed)) => {
                running.meter.set_name(name_of(&placed.path));
                running.path = Some(placed.path);
                running.part = placed.part;
                running.written = placed.written;
                running.generation = placed.generation;
                // What is repaired has no journal: whoever breaks that off begins with the file again.
                running.journaled |= matches!(placed.left, Some(Left::Journal { .. } | Left::Prefix(_)));
                Input::Placed(Ok(placed.place), placed.left)
            }
            Report::Placed(Err(error)) => Input::Placed(Err(error), None),
            Report::Begun(result) => Input::Begun(result.map(|generation| running.generation = generation)),
        };
        match &input {
            Input::Opened { reply, .. } => running.modified = reply.last_modified.or(running.modified),
            Input::Ended { worker, .. } => self.take_worker(id, *worker),
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

    /// Drives those that got no connection before, if there may be one now.
    fn rouse(&mut self) {
        if std::mem::take(&mut self.lanes.short) {
            let mut ids = self.ids();
            // Those that have none come first.
            ids.sort_by_key(|id| self.running.get(id).is_none_or(|one| !one.plan.is_starving()));
            ids.into_iter().for_each(|id| self.drive(id));
        }
    }

    /// Carries out what the plan of a file wants next.
    fn drive(&mut self, id: JobId) {
        let now = self.clock.now();
        loop {
            let rooms = self.rooms_for(id);
            let Some(running) = self.running.get_mut(&id).filter(|running| !running.over) else { return };
            match running.plan.next(now, &rooms) {
                Action::Wait(wake) => {
                    running.wake = wake;
                    let (more, none) = (running.plan.takes_more(), running.plan.is_starving());
                    let full = |room: &Room| (none && room.most == 0) || (more && room.worth == 0);
                    self.lanes.short |= rooms.iter().any(full);
                    return;
                }
                Action::Pace { source, news } => {
                    let host = host_of(&running.spec, source);
                    if let Some(pace) = self.lanes.by_host.get_mut(host) {
                        pace.hear(now, news);
                    }
                }
                Action::Look => self.look(id),
                Action::Fetch { worker, source, from, to } => {
                    let size = listed_size(&running.spec);
                    self.fetch(id, worker, source, Want { from, to, size })
                }
                Action::Place { reply, begin } => self.place(id, reply.as_deref().cloned(), begin),
                Action::Begin(begin) => self.begin(id, begin),
                Action::Check { number, claims } => self.check(id, number, claims),
                Action::Accept { worker, skip, at, end } => self.accept(id, worker, skip, at, end),
                Action::Cut { worker, end } => {
                    if let Some(at_work) = running.workers.get(&worker) {
                        at_work.end.store(end, Ordering::Relaxed);
                    }
                }
                Action::Drop { worker } => self.take_worker(id, worker),
                Action::Prove { number, piece, expected } => self.prove(id, number, piece, expected),
                Action::Void { number, ranges } => self.void(id, number, ranges),
                Action::Verify => self.verify(id),
                Action::Publish => self.publish(id),
                Action::Tell(fact) => {
                    match &fact {
                        Fact::Retrying { wait, .. } => {
                            running.meter.set_waiting(Duration::from_secs_f64(*wait))
                        }
                        Fact::Question { .. } => running.meter.set_phase(Phase::Asking),
                        _ => {}
                    }
                    self.reporter.tell(Some(id), fact);
                }
                Action::Finish(outcome) => self.finish(id, outcome),
            }
        }
    }

    /// What room there is for further connections of a file, at the host of each of its sources.
    fn rooms_for(&self, id: JobId) -> Vec<Room> {
        let Some(running) = self.running.get(&id) else { return Vec::new() };
        (0..running.sources.len()).map(|source| self.room_at(running, source)).collect()
    }

    fn room_at(&self, running: &Running, source: usize) -> Room {
        let none = Room { most: 0, worth: 0, surplus: 0, not_before: Duration::ZERO };
        let all = self.lanes.all.load(Ordering::Relaxed);
        let host = host_of(&running.spec, source);
        let pace = self.lanes.by_host.get(host);
        let here = pace.map_or(0, Pace::in_use);
        let most = self.settings.max_per_host.saturating_sub(here);
        let most = most.min(self.settings.max_connections.saturating_sub(all));
        if running.workers.is_empty() || !running.plan.takes_more() {
            return Room { most, ..none };
        }
        // What hashes, or the disk, is the limit now.
        let at_work = self.clock.now().saturating_sub(running.came.unwrap_or_default());
        if running.verifier.as_ref().is_some_and(Verifier::is_behind)
            || explain::disk_is_full(&running.meter.spent(), at_work, running.workers.len())
        {
            return none;
        }
        // Those of this host who have none come first.
        let starving = self.running.values().filter(|one| {
            one.workers.is_empty() && one.plan.is_starving() && host_of(&one.spec, one.plan.source()) == host
        });
        let most = most.saturating_sub(starving.count());
        let mut room =
            pace.map_or(Room { most, ..none }, |pace| pace.room(most, self.settings.connections.is_some()));
        // What is slow because it shall be would be stopped with all that it has in hand.
        if self.limit.is_set() {
            room.surplus = 0;
        }
        room
    }

    fn look(&mut self, id: JobId) {
        let Some(running) = self.running.get(&id) else { return };
        let (spec, settings, taken, disk) =
            (running.spec.clone(), self.settings.clone(), self.taken.clone(), self.disk.clone());
        let quick = spec.expected.is_empty();
        self.block_knowing(id, None, quick, move |known| {
            let chosen =
                known.and_then(|known| place::choose(id, &spec, None, &settings, &known, &taken, &*disk));
            Report::Looked(chosen)
        });
    }

    fn place(&mut self, id: JobId, reply: Option<Reply>, begin: Option<Begin>) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let (space, size) = (self.space.clone(), running.plan.size());
        running.journaled = begin.as_ref().is_some_and(|begin| begin.journal.is_some());
        let (spec, settings, taken, disk) =
            (running.spec.clone(), self.settings.clone(), self.taken.clone(), self.disk.clone());
        let chosen = running.path.clone();
        // Whose reply this is, is certain where there is one worker only.
        let whole = running.workers.iter().next().filter(|_| running.workers.len() == 1);
        let whole = whole.and_then(|(&worker, at_work)| Some((worker, at_work.whole.get()?.clone())));
        let whole = whole.filter(|_| !running.journaled && spec.target != Target::Stdout);
        let algorithms = running.plan.algorithms();
        // A file that is there is read for its digests, and what an earlier run left is looked through.
        let reads = chosen.is_none() && (!spec.expected.is_empty() || settings.if_exists == IfExists::Update);
        let quick = begin.as_ref().is_some_and(|begin| begin.journal.is_none() && !begin.keep) && !reads;
        self.block_knowing(id, reply.clone(), quick, move |known| {
            Report::Placed((|| {
                let known = known?;
                let algorithms = digest::distinct(algorithms.into_iter().chain(known.algorithms()));
                let (path, place) = match chosen {
                    Some(path) => {
                        let shown = path.to_string_lossy().into_owned();
                        (path, Place::Free { path: shown, left: false })
                    }
                    None => place::choose(id, &spec, reply.as_ref(), &settings, &known, &taken, &*disk)?,
                };
                let (part, found): (Option<Arc<dyn Part>>, _) = match (&place, &spec.target) {
                    (Place::Taken { .. }, _) => (None, None),
                    (Place::Free { .. }, Target::Stdout) => (Some(Arc::new(Stdout::default())), None),
                    (Place::Free { .. }, _) => {
                        let (part, found) = disk.open_part(&path, settings.resume)?;
                        (Some(Arc::from(part)), found)
                    }
                };
                let left = match (&part, found) {
                    (Some(part), Some(found)) => what_is_left(&**part, found)?,
                    _ => None,
                };
                let mut written = None;
                let generation = match (&part, &begin, &left) {
                    (Some(part), Some(begin), None) => {
                        let generation =
                            begin_part(id, part, begin, size, &space, &*disk, &path, &algorithms)?;
                        written =
                            whole.and_then(|whole| write_whole(&**part, generation, whole, &path, &spec));
                        generation
                    }
                    (Some(part), _, Some(Left::Journal { start, .. })) => {
                        start.size.map_or(Ok(()), |size| space.reserve(id, part, size, &*disk, &path))?;
                        0
                    }
                    _ => 0,
                };
                Ok(Placed { path, place, part, left, generation, written })
            })())
        });
    }

    fn begin(&mut self, id: JobId, begin: Begin) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let (space, size) = (self.space.clone(), running.plan.size());
        running.journaled = begin.journal.is_some();
        (running.written, running.page) = (None, None);
        running.verifier = None;
        if let Some(checker) = running.checker.take() {
            checker.abort();
        }
        let (Some(part), Some(path)) = (running.part.clone(), running.path.clone()) else { return };
        let (disk, algorithms) = (self.disk.clone(), running.plan.algorithms());
        self.block(id, false, move || {
            Report::Begun(begin_part(id, &part, &begin, size, &space, &*disk, &path, &algorithms))
        });
    }

    fn check(&mut self, id: JobId, number: u32, claims: Vec<Claim>) {
        self.start_verifier(id);
        let news = self.news.clone();
        let Some(running) = self.running.get_mut(&id) else { return };
        let Some(part) = running.part.clone() else { return };
        running.meter.set_total(running.plan.size());
        running.meter.set_phase(Phase::Checking);
        let report = move |input| drop(news.send((id, Report::Input(input))));
        running.checker = Some(tokio::spawn(check::run(number, claims, part, report)).abort_handle());
    }

    fn start_verifier(&mut self, id: JobId) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let algorithms = running.plan.algorithms();
        // What goes to standard output is hashed there.
        if algorithms.is_empty() || running.spec.target == Target::Stdout {
            return;
        }
        // One that does not compute all begins again: it reads back what is there.
        if running.verifier.as_ref().is_none_or(|verifier| verifier.algorithms() != algorithms) {
            running.verifier = running.part.clone().map(|part| Verifier::start(&algorithms, part));
            if let Some(verifier) = &running.verifier {
                verifier.written(running.plan.prefix());
            }
        }
    }

    /// Reads a piece back, and compares its digest.
    fn prove(&self, id: JobId, number: u32, piece: Range<u64>, expected: Digest) {
        let Some(part) = self.running.get(&id).and_then(|running| running.part.clone()) else { return };
        self.block(id, false, move || {
            let good = check::is_as(&*part, piece.clone(), &expected);
            Report::Input(Input::Proved { number, piece, good })
        });
    }

    /// What was written there counts for nothing. What was hashed of it does not either: whoever hashes begins again.
    fn void(&mut self, id: JobId, number: u32, ranges: Vec<Range<u64>>) {
        let Some(running) = self.running.get_mut(&id) else { return };
        (running.written, running.page) = (None, None);
        running.verifier = None;
        let generation = running.generation;
        let Some(part) = running.part.clone() else { return };
        self.block(id, false, move || {
            let result = ranges.iter().try_for_each(|range| part.void(generation, range.clone()).map(drop));
            Report::Input(Input::Voided { number, ranges, result })
        });
    }

    fn fetch(&mut self, id: JobId, worker: WorkerId, source: usize, want: Want) {
        let (news, settings) = (self.news.clone(), self.settings.clone());
        let Some(running) = self.running.get_mut(&id) else { return };
        let host = host_of(&running.spec, source).to_string();
        let Some(opens) = running.sources.get(source).cloned() else { return };
        if running.workers.is_empty() && running.checker.is_none() {
            running.meter.set_phase(Phase::Connecting);
        }
        let (go, told) = oneshot::channel();
        let end = Arc::new(AtomicU64::new(UNKNOWN_END));
        let workers = self.lanes.all.clone();
        let meter = running.meter.clone();
        let (limit, whole) = (self.limit.clone(), Whole::default());
        let work = Worker {
            id: worker,
            source: opens,
            want,
            meter,
            settings,
            limit,
            go: told,
            end: end.clone(),
            whole: whole.clone(),
            workers,
        };
        // The director may be gone when a report comes: then nobody needs it.
        let report = move |input| drop(news.send((id, Report::Input(input))));
        let task = tokio::spawn(work.run(report)).abort_handle();
        self.lanes.all.fetch_add(1, Ordering::Relaxed);
        let most = self.settings.max_per_host;
        let first = !running.workers.values().any(|one| one.source == source);
        self.lanes.by_host.entry(host.clone()).or_insert_with(|| Pace::new(most)).opened(first);
        running.most_workers = running.most_workers.max(running.workers.len() + 1);
        running.workers.insert(worker, AtWork { source, host, go: Some(go), end, whole, task });
    }

    /// A worker is through, or not needed any more: its connection is free.
    fn take_worker(&mut self, id: JobId, worker: WorkerId) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let Some(at_work) = running.workers.remove(&worker) else { return };
        // Two sources at one host count as two files: each keeps one.
        let last = !running.workers.values().any(|one| one.source == at_work.source);
        // What it has not begun to write it shall not write later, over what another one brings.
        at_work.end.store(0, Ordering::Relaxed);
        at_work.task.abort();
        self.lanes.all.fetch_sub(1, Ordering::Relaxed);
        if let Some(pace) = self.lanes.by_host.get_mut(&at_work.host) {
            pace.closed(last);
            if pace.in_use() == 0 && self.lanes.by_host.len() > HOSTS_MOST {
                self.lanes.by_host.remove(&at_work.host);
            }
        }
    }

    fn accept(&mut self, id: JobId, worker: WorkerId, skip: u64, at: u64, end: Option<u64>) {
        self.start_verifier(id);
        let Some(running) = self.running.get_mut(&id) else { return };
        running.meter.set_total(running.plan.size());
        running.meter.set_phase(Phase::Receiving);
        running.came.get_or_insert(self.clock.now());
        if let Some(written) = running.written.take()
            && (written.worker, 0, 0, Some(written.bytes)) == (worker, skip, at, end)
        {
            running.page = written.page;
            running.meter.spent().disk += written.took;
            let wrote = Input::Wrote { worker, upto: written.bytes, fresh: written.fresh };
            for input in [wrote, Input::Ended { worker, result: Ok(()) }] {
                // The director hears itself.
                let _ = self.news.send((id, Report::Input(input)));
            }
            return;
        }
        let feed = running.verifier.as_ref().map(Verifier::feed);
        let (generation, journaled) = (running.generation, running.journaled);
        if let (Some(at_work), Some(part)) = (running.workers.get_mut(&worker), running.part.clone())
            && let Some(go) = at_work.go.take()
        {
            at_work.end.store(end.unwrap_or(UNKNOWN_END), Ordering::Relaxed);
            // A worker that ended meanwhile has said so.
            let clerks = self.clerks.clone();
            let _ = go.send(Go { part, generation, skip, at, journaled, clerks, feed });
        }
    }

    fn verify(&mut self, id: JobId) {
        let news = self.news.clone();
        let Some(running) = self.running.get_mut(&id) else { return };
        running.meter.set_phase(Phase::Finishing);
        running.complete = Some(self.clock.now());
        self.start_verifier(id);
        let Some(running) = self.running.get_mut(&id) else { return };
        let (verifier, part) = (running.verifier.take(), running.part.clone());
        let size = running.plan.size().unwrap_or_default();
        let signature = running.signature.clone();
        let at = running.path.as_ref().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        let seen = running.page;
        let page = part.clone().filter(|_| seen.is_none() && promises_no_page(&at, &running.spec));
        let quick = !running.journaled;
        let there =
            |part: &Option<Arc<dyn Part>>| part.as_ref().map(|part| part.digests()).unwrap_or_default();
        let verdict = |digests| Report::Input(Input::Verified(digests));
        let to_look = news.clone();
        let look = move |page: bool| {
            if page {
                let about = About { html: true, ..About::default() };
                let _ = to_look.send((id, Report::Input(Input::Known(about))));
            }
        };
        look(seen == Some(true));
        if verifier.is_none() && signature.is_none() {
            let digests = Ok(there(&part));
            return match page {
                None => drop(news.send((id, verdict(digests)))),
                Some(page) => self.block(id, quick, move || {
                    look(is_page(&*page));
                    verdict(digests)
                }),
            };
        }
        tokio::spawn(async move {
            if let Some(page) = page {
                let _ = tokio::task::spawn_blocking(move || look(is_page(&*page))).await;
            }
            let digests = match verifier {
                Some(verifier) => verifier.finish(size).await,
                None => Ok(there(&part)),
            };
            let checked = match (digests, signature, part) {
                (Ok(digests), Some(signature), Some(part)) => {
                    let check = move || {
                        let open = || Ok(Box::new(ReadBack::new(part, size)) as Box<dyn Read>);
                        signature.check_file(&digests, open, &at).map(|()| digests)
                    };
                    let failed =
                        |e: tokio::task::JoinError| Err(Error::new(Kind::DiskFailed, "", e.to_string()));
                    tokio::task::spawn_blocking(check).await.unwrap_or_else(failed)
                }
                (digests, ..) => digests,
            };
            let _ = news.send((id, verdict(checked)));
        });
    }

    fn publish(&mut self, id: JobId) {
        let Some(running) = self.running.get_mut(&id) else { return };
        running.proven = Some(self.clock.now());
        let (Some(part), Some(path)) = (running.part.clone(), running.path.clone()) else { return };
        let replace = matches!(self.settings.if_exists, IfExists::Overwrite | IfExists::Update)
            || matches!(self.settings.resume, Resume::Adopt | Resume::Repair);
        let modified = running.modified.filter(|_| self.settings.keep_mtime);
        let how = Publishing {
            size: running.plan.size().unwrap_or_default(),
            replace,
            modified,
            sync: self.settings.sync,
        };
        let quick = !running.journaled && self.settings.sync != Sync::Always;
        self.block(id, quick, move || {
            let result = part.publish(&path, how).map(|()| path.to_string_lossy().into_owned());
            Report::Input(Input::Published(result))
        });
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
        self.taken.over(id);
        self.summary.resumable += u64::from(matches!(outcome, Outcome::Failed { resumable: true, .. }));
        let keep = matches!(outcome, Outcome::Failed { resumable: true, .. });
        let finished = matches!(outcome, Outcome::Finished);
        match outcome {
            Outcome::Finished => {
                self.summary.finished += 1;
                self.explain(id);
                if let Some(files) = &mut self.files {
                    files.hear(self.clock.now(), News::Brought(FILE_COUNTS + bytes, Duration::ZERO));
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
                self.remove(id);
            }
            None => self.remove(id),
        }
    }

    /// Nothing of this file is left.
    fn remove(&mut self, id: JobId) {
        self.running.remove(&id);
        if let Some(files) = &mut self.files {
            files.closed(false);
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
        let steps = self.lanes.by_host.get(host).map_or(&[][..], Pace::steps);
        let named = self.settings.connections;
        let limit = explain::limiter(&spent, self.limit.is_set(), named, running.most_workers, steps);
        let name = running.path.as_deref().map(name_of).unwrap_or_default();
        let (bytes, connections) = (running.plan.bytes(), running.most_workers);
        self.summary.explanation.add(FileStory { name, bytes, took, connections, spent, limit });
    }

    fn count_failure(&mut self, kind: Kind) {
        self.summary.failed += 1;
        if !self.summary.blames.contains(&kind.blame()) {
            self.summary.blames.push(kind.blame());
        }
        self.summary.output_closed |= kind == Kind::OutputClosed;
    }

    fn sum_up(&mut self) -> Summary {
        self.summary.files = self.jobs;
        let hosts = std::mem::take(&mut self.lanes.by_host).into_iter();
        let mut hosts: Vec<_> = hosts.map(|(host, pace)| (host, pace.steps().to_vec())).collect();
        hosts.retain(|(_, steps)| !steps.is_empty());
        hosts.sort_by(|a, b| a.0.cmp(&b.0));
        self.summary.explanation.hosts = hosts;
        let Summary { files, finished, skipped, failed, .. } = self.summary;
        let bytes = self.reporter.state().bytes;
        let seconds = self.clock.now().as_secs_f64();
        self.reporter.tell(None, Fact::Summary { files, finished, skipped, failed, bytes, seconds });
        std::mem::take(&mut self.summary)
    }

    /// Runs what asks the disk and needs to know what lists and signatures say of the file. Without a reply, what is
    /// known before anything is asked of a server.
    fn block_knowing(
        &self,
        id: JobId,
        reply: Option<Reply>,
        quick: bool,
        work: impl FnOnce(Result<Known, Error>) -> Report + Send + 'static,
    ) {
        let Some(running) = self.running.get(&id) else { return };
        // With the name, what lists say of it was told.
        let told = self.proofs.is_idle() || running.path.is_some();
        let offers =
            reply.as_ref().filter(|reply| self.settings.mirrors && reply.links != Links::default()).cloned();
        if told && offers.is_none() {
            return self.block(id, quick, move || work(Ok(Known::default())));
        }
        let (proofs, spec, news) = (self.proofs.clone(), running.spec.clone(), self.news.clone());
        tokio::spawn(async move {
            let mut known = match told {
                true => Ok(Known::default()),
                false => proofs.about(&spec, reply.as_ref()).await,
            };
            if let (Ok(known), Some(reply)) = (&mut known, &offers) {
                proofs.add_offers(known, reply).await;
            }
            if let Ok(known) = &known {
                let _ = news.send((id, Report::Known(known.clone())));
            }
            tokio::task::spawn_blocking(move || drop(news.send((id, work(known)))));
        });
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

/// Begins a part file, if the disk has room for it.
#[expect(clippy::too_many_arguments, reason = "all that a beginning needs, from two places")]
fn begin_part(
    job: JobId,
    part: &Arc<dyn Part>,
    begin: &Begin,
    size: Option<u64>,
    space: &Space,
    disk: &dyn Disk,
    path: &Path,
    algorithms: &[Algorithm],
) -> Result<Generation, Error> {
    let journal = begin.journal.as_ref().map(journal::begin);
    let generation =
        part.begin(Beginning { journal: journal.as_deref(), keep: begin.keep, size, algorithms })?;
    // What is not worth a journal is not worth asking the disk.
    if let (Some(size), Some(_)) = (size, &journal) {
        space.reserve(job, part, size, disk, path)?;
    }
    Ok(generation)
}

/// Writes all of a small file. `None` if that fails: then the worker, who has it too, finds out why.
fn write_whole(
    part: &dyn Part,
    generation: Generation,
    (worker, whole): (WorkerId, Vec<Bytes>),
    path: &Path,
    spec: &JobSpec,
) -> Option<Written> {
    let since = clock::instant();
    let bytes = whole.iter().map(|some| some.len() as u64).sum();
    let fresh = part.write_at(generation, 0, &whole, &AtomicU64::new(UNKNOWN_END)).ok()?;
    let page = promises_no_page(&path.to_string_lossy(), spec).then(|| is_page(part));
    Some(Written { worker, bytes, fresh, page, took: since.elapsed() })
}

/// Makes sense of what was found in a part file. Its journal is rewritten once, in as few records as it takes.
fn what_is_left(part: &dyn Part, found: Found) -> Result<Option<Left>, Error> {
    match found {
        Found::Prefix(length) => Ok(Some(Left::Prefix(length))),
        Found::Whole(length) => Ok(Some(Left::Whole(length))),
        Found::Journal(bytes) => {
            // What cannot be read says nothing: the file starts again.
            let Some((start, claims)) = journal::read(&bytes) else { return Ok(None) };
            let rewritten = journal::rewrite(&start, &claims);
            part.rewrite_journal(&rewritten)?;
            Ok(journal::read(&rewritten).map(|(start, claims)| Left::Journal { start, claims }))
        }
    }
}

/// Mirrors that a server offers. How many are new.
fn add_mirrors(running: &mut Running, sources: &Sources, mirrors: Vec<Url>) -> usize {
    let before = running.sources.len();
    for url in mirrors {
        if !running.spec.urls.contains(&url) {
            running.sources.push(sources(&url, By::Server));
            Arc::make_mut(&mut running.spec).urls.push(url);
        }
    }
    running.sources.len() - before
}

/// The name of a file promises something that is no HTML page.
fn promises_no_page(at: &str, spec: &JobSpec) -> bool {
    content::is_binary(at) || content::is_binary(spec.urls[0].path())
}

/// Whether what was written begins like an HTML page.
fn is_page(part: &dyn Part) -> bool {
    let mut beginning = [0; content::ENOUGH];
    part.read_at(0, &mut beginning)
        .is_ok_and(|read| content::is_html(&beginning[..read.min(content::ENOUGH)]))
}

/// The host of a source.
fn host_of(spec: &JobSpec, source: usize) -> &str {
    spec.urls.get(source).and_then(|url| url.host_str()).unwrap_or_default()
}

/// How large a file is, as far as its list says. JSON lines and lock files say it among what else they have, which is not for
/// us to insist on.
fn listed_size(spec: &JobSpec) -> Option<u64> {
    spec.size.or_else(|| spec.extra.get("size")?.as_u64())
}

fn given_name(spec: &JobSpec) -> Option<String> {
    match &spec.target {
        Target::Server => None,
        Target::Name(name) => Some(name.to_string()),
        Target::Path(path) => Some(path.to_string_lossy().into_owned()),
        Target::Stdout => Some("-".into()),
    }
}

fn name_of(path: &std::path::Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
