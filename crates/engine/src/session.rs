//! The session: what a program holds to run downloads.
//!
//! A [`Session`] owns the queue that leads to the director and the handle of the director's task. It decides
//! nothing itself. Invariant: jobs reach the director in the order of their identifiers.

use crate::clock::{self, Clock};
use crate::director::{self, Command, Control, Director, Remove, Summary};
use crate::disk::Disk;
use crate::disk::file::Files;
use crate::limit::Limit;
use crate::report::{Events, Reporter};
use crate::source::Sources;
use downhaul_core::error::Error;
use downhaul_core::event::{JobId, Progress, State};
use downhaul_core::job::Job;
use downhaul_core::plan::Answer;
use downhaul_core::settings::Settings;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The session takes no more jobs: it was closed or stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the session takes no more jobs")
    }
}

impl std::error::Error for Closed {}

/// A job with its identifier, or the error of one that failed before it began.
pub(crate) type Added = (JobId, Result<Job, Error>);

/// Chooses the parts of a session before it starts; see [`Session::builder`].
pub struct Builder {
    settings: Settings,
    sources: Option<Sources>,
    disk: Arc<dyn Disk>,
    seed: u64,
}

impl Builder {
    /// Replaces the protocols that the session can fetch from. Without this, they are those of
    /// [`Sources::http`].
    #[must_use]
    pub fn sources(mut self, sources: Sources) -> Self {
        self.sources = Some(sources);
        self
    }

    /// Replaces the disk on which files are saved.
    #[doc(hidden)]
    #[must_use]
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }

    /// Chooses the seed that spreads the waits between retries, so that a run can be repeated.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Starts the session.
    ///
    /// # Errors
    /// The certificates to trust ([`Settings::cacert`]) cannot be read.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time and network enabled.
    pub fn start(self) -> Result<Session, Error> {
        let Builder { settings, sources, disk, seed } = self;
        let sources = match sources {
            Some(sources) => sources,
            None => Sources::http(&settings)?,
        };
        let settings = Arc::new(settings);
        let clock = Clock::start();
        let reporter = Arc::new(Reporter::new(clock));
        let (jobs, jobs_in) = mpsc::channel(director::QUEUE_AHEAD);
        let (commands, commands_in) = mpsc::unbounded_channel();
        let limit = Arc::new(Limit::new(settings.limit_rate));
        let director = Director::new(settings, sources, disk, reporter.clone(), limit.clone(), clock, seed);
        let director = tokio::spawn(director.run(jobs_in, commands_in));
        Ok(Session {
            jobs: Mutex::new(Some(jobs)),
            added: AtomicU64::new(0),
            commands,
            reporter,
            director: tokio::sync::Mutex::new(Some(director)),
            limit,
        })
    }
}

/// A run of downloads. Must be started within a tokio runtime with time and network enabled. It stops when it
/// is dropped.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use downhaul_engine::{Job, Session, Settings};
/// let session = Session::start(Settings::default().with_output("downloads"))?;
/// session.add(Job::given("https://example.com/file")?).await?;
/// let summary = session.finish().await;
/// assert_eq!(summary.failed, 0);
/// # Ok(()) }
/// ```
pub struct Session {
    jobs: Mutex<Option<mpsc::Sender<Added>>>,
    /// How many jobs were added.
    added: AtomicU64,
    commands: mpsc::UnboundedSender<Command>,
    reporter: Arc<Reporter>,
    director: tokio::sync::Mutex<Option<JoinHandle<Summary>>>,
    limit: Arc<Limit>,
}

impl Session {
    /// Starts a session on the real network and disk.
    ///
    /// # Errors
    /// The certificates to trust ([`Settings::cacert`]) cannot be read.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time and network enabled.
    pub fn start(settings: Settings) -> Result<Session, Error> {
        Session::builder(settings).start()
    }

    /// Returns a builder, for a session with other sources than HTTP or with a chosen seed.
    pub fn builder(settings: Settings) -> Builder {
        Builder { settings, sources: None, disk: Arc::new(Files), seed: clock::seed() }
    }

    /// Adds a job and returns its identifier. Waits while the queue is full.
    ///
    /// # Errors
    /// The session takes no more jobs.
    pub async fn add(&self, job: Job) -> Result<JobId, Closed> {
        self.send(Ok(job)).await
    }

    /// Adds a job that failed before it began, such as a bad line of a list. It is reported like any other.
    ///
    /// # Errors
    /// The session takes no more jobs.
    pub async fn add_failed(&self, error: Error) -> Result<JobId, Closed> {
        self.send(Err(error)).await
    }

    async fn send(&self, job: Result<Job, Error>) -> Result<JobId, Closed> {
        let jobs = self.jobs().clone().ok_or(Closed)?;
        let place = jobs.reserve().await.map_err(|_| Closed)?;
        // The lock keeps the order of the queue that of the identifiers.
        let _order = self.jobs();
        let id = JobId::new(self.added.fetch_add(1, Ordering::Relaxed) + 1);
        place.send((id, job));
        Ok(id)
    }

    fn jobs(&self) -> std::sync::MutexGuard<'_, Option<mpsc::Sender<Added>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the question about a file.
    pub fn answer(&self, job: JobId, answer: Answer) {
        self.control(job, Control::Answer(answer));
    }

    /// Answers all questions, now and later, with "retry".
    pub fn retry_all(&self) {
        self.command(Command::RetryAll);
    }

    /// Pauses a job. It gives up its connections and its place among the files at work; its partial file
    /// stays open. What arrived is kept where later bytes can be joined to it; else, and always where bytes
    /// are written in order and no such join is possible, the file starts again. A file whose digests are
    /// being computed is finished.
    pub fn pause(&self, job: JobId) {
        self.control(job, Control::Pause);
    }

    /// Lets a paused job go on, as soon as there is a place for it.
    pub fn resume(&self, job: JobId) {
        self.control(job, Control::Resume);
    }

    /// Pauses all jobs. No job starts before [`Session::resume_all`], also none that is added meanwhile.
    pub fn pause_all(&self) {
        self.command(Command::PauseAll);
    }

    /// Lets all paused jobs go on, also those that were paused one by one.
    pub fn resume_all(&self) {
        self.command(Command::ResumeAll);
    }

    /// Removes a job. It fails with `job.removed`, unless it has ended or is just getting its final name.
    pub fn remove(&self, job: JobId, partial_file: Remove) {
        self.control(job, Control::Remove(partial_file));
    }

    /// Changes the priority of a job; see [`Job::priority`].
    pub fn set_priority(&self, job: JobId, priority: i32) {
        self.control(job, Control::Priority(priority));
    }

    /// Sets the bytes a second that all jobs together may take; `None` removes the limit.
    pub fn set_rate_limit(&self, rate: Option<u64>) {
        self.limit.set(rate);
    }

    /// Sets the bytes a second that one job may take; `None` removes its own limit. That of the session holds
    /// too.
    pub fn set_job_rate_limit(&self, job: JobId, rate: Option<u64>) {
        self.control(job, Control::RateLimit(rate));
    }

    fn control(&self, job: JobId, control: Control) {
        self.command(Command::Job(job, control));
    }

    fn command(&self, command: Command) {
        // A director that has ended has nothing to control.
        let _ = self.commands.send(command);
    }

    /// Stops everything: files in flight fail with `run.stopped`. No unfinished file has its final name. What
    /// a later run can resume stays in partial files.
    pub fn stop(&self) {
        self.command(Command::Stop);
    }

    /// Returns a stream of every event from now on. While its reader is far behind (4096 events), no new file
    /// starts.
    pub fn events(&self) -> Events {
        self.reporter.events(true)
    }

    /// Returns a stream for a screen: when its reader is far behind (4096 events), it misses events
    /// ([`Events::missed`]). [`Session::state`] has their sum.
    pub fn latest_events(&self) -> Events {
        self.reporter.events(false)
    }

    /// Returns the sum of all events so far.
    pub fn state(&self) -> State {
        self.reporter.state()
    }

    /// Returns the numbers of all files in flight, by job.
    pub fn samples(&self) -> Vec<Progress> {
        self.reporter.samples()
    }

    /// Says that no more jobs will come: the session ends when those that are there have ended.
    pub async fn close(&self) {
        self.jobs().take();
    }

    /// Waits for the end of the session. The first caller gets the summary, later ones an empty one.
    ///
    /// # Panics
    /// The engine itself panicked, which is a bug.
    pub async fn wait(&self) -> Summary {
        let mut director = self.director.lock().await;
        let summary = match director.as_mut() {
            Some(director) => match director.await {
                Ok(summary) => summary,
                // A panic in the director is a bug; hiding it would make a failed run look like an empty one.
                Err(e) => std::panic::resume_unwind(e.into_panic()),
            },
            None => Summary::default(),
        };
        *director = None;
        summary
    }

    /// Calls [`Session::close`], then [`Session::wait`].
    pub async fn finish(&self) -> Summary {
        self.close().await;
        self.wait().await
    }
}

/// A session that is dropped stops. What a later one can resume stays in partial files.
impl Drop for Session {
    fn drop(&mut self) {
        self.stop();
    }
}
