//! The one loop: commands, reports and timers go into the plans; their actions are carried out and their facts
//! told.
//!
//! The director owns every decision about files in flight and touches no byte and no file itself: workers and
//! blocking tasks do, and send news. Invariant: a job is in the queue, or running, or over; at most
//! `settings.parallel` of those running are at work (not waiting for a person, nor because a host asked for a pause).

use crate::clock::Clock;
use crate::disk::stdout::Stdout;
use crate::disk::{Disk, Part};
use crate::place::{self, Taken};
use crate::report::{Meter, Reporter};
use crate::source::{Source, Sources};
use crate::verify::Verifier;
use crate::worker::{Go, Worker};
use downhaul_core::error::{Blame, Error, Kind};
use downhaul_core::event::{Fact, Failure, JobId, Phase};
use downhaul_core::job::{IfExists, JobSpec, Target};
use downhaul_core::plan::{Action, Answer, Input, Outcome, Place, Plan, Rules, WorkerId};
use downhaul_core::reply::Reply;
use downhaul_core::settings::{OnError, Settings};
use downhaul_core::show;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

/// Jobs that are read ahead, so that the next file starts without waiting for its list.
const QUEUE_AHEAD: usize = 64;

/// Files that may wait for a person or a host before no new file starts: enough to keep working through a coffee break,
/// few enough to remember what was asked.
const IDLE_MOST: usize = 64;

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
    /// Some file failed, and these are to blame.
    pub blames: Vec<Blame>,
    /// `--on-error exit` stopped the run.
    pub stopped_on_error: bool,
    /// The reader of standard output was gone.
    pub output_closed: bool,
}

/// What blocking tasks and workers report about a job.
enum News {
    Input(Input),
    /// A name was chosen before anything was asked of a server.
    Looked(Result<(PathBuf, Place), Error>),
    /// A place was made, or is not needed.
    Placed(Result<Placed, Error>),
    /// What was left of a file that is over has been removed.
    Gone,
}

/// A path, what is to be done there, and the part file if there is to be one.
type Placed = (PathBuf, Place, Option<Arc<dyn Part>>);

pub(crate) struct Director {
    settings: Arc<Settings>,
    sources: Sources,
    disk: Arc<dyn Disk>,
    taken: Arc<Taken>,
    clock: Clock,
    reporter: Arc<Reporter>,
    seed: u64,
    on_error: OnError,
    jobs: JobId,
    queue: VecDeque<(JobId, JobSpec)>,
    running: BTreeMap<JobId, Running>,
    /// Files that were idle and may go on, as soon as there is room: those whose pause is over, and those that a person
    /// wants to have tried again (`true`).
    ready: VecDeque<(JobId, bool)>,
    news: mpsc::UnboundedSender<(JobId, News)>,
    from_workers: Option<mpsc::UnboundedReceiver<(JobId, News)>>,
    /// No new file starts any more.
    closing: bool,
    summary: Summary,
}

struct Running {
    spec: Arc<JobSpec>,
    plan: Plan,
    meter: Arc<Meter>,
    sources: Vec<Arc<dyn Source>>,
    worker: Option<(WorkerId, Option<oneshot::Sender<Go>>, AbortHandle)>,
    /// The final path, once chosen.
    path: Option<PathBuf>,
    part: Option<Arc<dyn Part>>,
    verifier: Option<Verifier>,
    modified: Option<std::time::SystemTime>,
    wake: Option<Duration>,
    /// Only its remains are still being removed.
    over: bool,
}

impl Director {
    pub(crate) fn new(
        settings: Arc<Settings>,
        sources: Sources,
        disk: Arc<dyn Disk>,
        reporter: Arc<Reporter>,
        clock: Clock,
        seed: u64,
    ) -> Self {
        let (news, from_workers) = mpsc::unbounded_channel();
        Director {
            taken: Arc::new(Taken::new(&settings.reserved)),
            on_error: settings.on_error,
            settings,
            sources,
            disk,
            clock,
            reporter,
            seed,
            jobs: 0,
            queue: VecDeque::new(),
            running: BTreeMap::new(),
            ready: VecDeque::new(),
            news,
            from_workers: Some(from_workers),
            closing: false,
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
        loop {
            self.start_files();
            if (!more_jobs || self.closing) && self.queue.is_empty() && self.running.is_empty() {
                break;
            }
            let wake = self.next_wake();
            let timer = self.clock.instant_of(wake.unwrap_or_default());
            tokio::select! {
                job = jobs.recv(), if more_jobs && self.wants_jobs() => match job {
                    Some(job) => self.enqueue(job),
                    None => more_jobs = false,
                },
                Some(command) = commands.recv() => self.obey(command),
                Some((job, news)) = news.recv() => self.hear(job, news),
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

    fn wants_jobs(&self) -> bool {
        !self.closing && self.queue.len() < QUEUE_AHEAD && !self.reporter.is_behind()
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
            let plan = Plan::new(Rules {
                sources: spec.urls.len(),
                // `update` compares with what the server says; a server's name is known from its reply.
                look_first: spec.target != Target::Server && self.settings.if_exists != IfExists::Update,
                retries: self.settings.retries,
                on_error: self.on_error,
                max_time: self.settings.max_time,
                expected: spec.expected.clone(),
                seed: self.seed.wrapping_add(id),
            });
            let sources = spec.urls.iter().map(|url| (self.sources)(url)).collect();
            let running = Running {
                spec: Arc::new(spec),
                plan,
                meter,
                sources,
                worker: None,
                path: None,
                part: None,
                verifier: None,
                modified: None,
                wake: None,
                over: false,
            };
            self.running.insert(id, running);
            self.drive(id);
        }
    }

    fn has_room(&self) -> bool {
        self.running.len() - self.idle() < self.settings.parallel
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

    fn hear(&mut self, id: JobId, news: News) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let input = match news {
            News::Gone => {
                self.running.remove(&id);
                return;
            }
            News::Input(input) => input,
            News::Looked(result) => Input::Looked(result.map(|(path, place)| {
                running.path = Some(path);
                place
            })),
            News::Placed(result) => Input::Placed(result.map(|(path, place, part)| {
                running.meter.set_name(name_of(&path));
                running.path = Some(path);
                running.part = part;
                place
            })),
        };
        if let Input::Opened { reply, .. } = &input
            && reply.status == 200
        {
            running.modified = reply.last_modified;
        }
        self.tell_plan(id, input);
    }

    fn tell_plan(&mut self, id: JobId, input: Input) {
        let now = self.clock.now();
        if let Some(running) = self.running.get_mut(&id) {
            running.plan.on(now, input);
            self.drive(id);
        }
    }

    /// Carries out what the plan of a file wants next.
    fn drive(&mut self, id: JobId) {
        loop {
            let now = self.clock.now();
            let Some(running) = self.running.get_mut(&id).filter(|running| !running.over) else { return };
            match running.plan.next(now) {
                Action::Wait(wake) => {
                    running.wake = wake;
                    return;
                }
                Action::Look => self.look(id),
                Action::Fetch { worker, source, from } => self.fetch(id, worker, source, from),
                Action::Place { reply } => self.place(id, *reply),
                Action::Accept { worker, at, end } => self.accept(id, worker, at, end),
                Action::Drop { .. } => {
                    if let Some((_, _, task)) = running.worker.take() {
                        task.abort();
                    }
                }
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

    fn look(&mut self, id: JobId) {
        let Some(running) = self.running.get(&id) else { return };
        let (spec, settings, taken, disk) =
            (running.spec.clone(), self.settings.clone(), self.taken.clone(), self.disk.clone());
        self.block(id, move || News::Looked(place::choose(id, &spec, None, &settings, &taken, &*disk)));
    }

    fn place(&mut self, id: JobId, reply: Reply) {
        let Some(running) = self.running.get(&id) else { return };
        let (spec, settings, taken, disk) =
            (running.spec.clone(), self.settings.clone(), self.taken.clone(), self.disk.clone());
        let chosen = running.path.clone();
        self.block(id, move || {
            News::Placed((|| {
                let (path, place) = match chosen {
                    Some(path) => {
                        let shown = path.to_string_lossy().into_owned();
                        (path, Place::Free { path: shown })
                    }
                    None => place::choose(id, &spec, Some(&reply), &settings, &taken, &*disk)?,
                };
                let part: Option<Arc<dyn Part>> = match (&place, &spec.target) {
                    (Place::Taken { .. }, _) => None,
                    (Place::Free { .. }, Target::Stdout) => Some(Arc::new(Stdout::default())),
                    (Place::Free { .. }, _) => Some(Arc::from(disk.open_part(&path)?)),
                };
                Ok((path, place, part))
            })())
        });
    }

    fn fetch(&mut self, id: JobId, worker: WorkerId, source: usize, from: u64) {
        let (news, settings) = (self.news.clone(), self.settings.clone());
        let Some(running) = self.running.get_mut(&id) else { return };
        let Some(source) = running.sources.get(source).cloned() else { return };
        let (go, told) = oneshot::channel();
        let work = Worker { id: worker, source, from, meter: running.meter.clone(), settings, go: told };
        // The director may be gone when a report comes: then nobody needs it.
        let report = move |input| drop(news.send((id, News::Input(input))));
        let task = tokio::spawn(work.run(report));
        running.worker = Some((worker, Some(go), task.abort_handle()));
    }

    fn accept(&mut self, id: JobId, worker: WorkerId, at: u64, end: Option<u64>) {
        let Some(running) = self.running.get_mut(&id) else { return };
        running.meter.set_total(running.plan.size());
        if at == 0 {
            let algorithms = running.plan.algorithms();
            running.verifier = (!algorithms.is_empty()).then(|| Verifier::start(algorithms));
        }
        let feed = running.verifier.as_ref().map(Verifier::feed);
        if let (Some((id, go, _)), Some(part)) = (&mut running.worker, running.part.clone())
            && *id == worker
            && let Some(go) = go.take()
        {
            // A worker that ended meanwhile has said so.
            let _ = go.send(Go { part, at, end, feed });
        }
    }

    fn verify(&mut self, id: JobId) {
        let news = self.news.clone();
        let Some(running) = self.running.get_mut(&id) else { return };
        running.meter.set_phase(Phase::Finishing);
        let verifier = running.verifier.take();
        tokio::spawn(async move {
            let digests = match verifier {
                Some(verifier) => verifier.finish().await,
                None => Ok(Vec::new()),
            };
            let _ = news.send((id, News::Input(Input::Verified(digests))));
        });
    }

    fn publish(&mut self, id: JobId) {
        let Some(running) = self.running.get(&id) else { return };
        let (Some(part), Some(path)) = (running.part.clone(), running.path.clone()) else { return };
        let replace = matches!(self.settings.if_exists, IfExists::Overwrite | IfExists::Update);
        let modified = running.modified.filter(|_| self.settings.keep_mtime);
        self.block(id, move || {
            let result = part.publish(&path, replace, modified).map(|()| path.to_string_lossy().into_owned());
            News::Input(Input::Published(result))
        });
    }

    fn finish(&mut self, id: JobId, outcome: Outcome) {
        let Some(running) = self.running.get_mut(&id) else { return };
        running.over = true;
        running.wake = None;
        running.worker = None;
        running.verifier = None;
        let part = running.part.take();
        self.reporter.drop_meter(id);
        match outcome {
            Outcome::Finished => self.summary.finished += 1,
            Outcome::Skipped => self.summary.skipped += 1,
            Outcome::Failed { kind, exhausted, stop_all } => {
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
            Some(part) => self.block(id, move || {
                part.discard();
                News::Gone
            }),
            None => drop(self.running.remove(&id)),
        }
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
        let Summary { files, finished, skipped, failed, .. } = self.summary;
        let bytes = self.reporter.state().bytes;
        let seconds = self.clock.now().as_secs_f64();
        self.reporter.tell(None, Fact::Summary { files, finished, skipped, failed, bytes, seconds });
        std::mem::take(&mut self.summary)
    }

    /// Runs what asks the disk on a thread that may wait for it.
    fn block(&self, id: JobId, work: impl FnOnce() -> News + Send + 'static) {
        let news = self.news.clone();
        tokio::task::spawn_blocking(move || drop(news.send((id, work()))));
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
