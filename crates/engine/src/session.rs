//! Contains the [`Session`], with which a program runs downloads.
//!
//! A [`Session`] has the queue of jobs to the director, and the handle of the director's task. The director
//! makes all decisions.
//!
//! Invariant: jobs reach the director in the order of their identifiers.

use crate::checked::{usable, with_headers, with_url};
use crate::clock::{self, Clock};
use crate::director::{self, Command, Control, Director, Remove, Summary, preview};
use crate::disk::Disk;
use crate::disk::file::{Files, ReadOnlyFiles};
use crate::limit::Limit;
use crate::networks::Networks;
use crate::report::{Events, Reporter};
use crate::source::Sources;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::event::{JobId, Progress, State};
use downhaul_core::job::Job;
use downhaul_core::plan::Answer;
use downhaul_core::settings::Settings;
use downhaul_core::show;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The highest number of jobs that enter the queue at once. This is half of the length of the queue, so
/// that the next jobs can enter as soon as half of the queue is free.
const ADDED_MOST: usize = director::QUEUE_AHEAD / 2;

/// The error of a session that accepts no more jobs, for example because it was closed or stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the session accepts no more jobs")
    }
}

impl std::error::Error for Closed {}

/// The identifier of a job, with the job. If the job failed before it was added, its error takes the place of
/// the job.
pub(crate) type Added = (JobId, Result<Box<Job>, Error>);

/// Sets the parts of a session before it starts. See [`Session::builder`].
pub struct Builder {
    settings: Settings,
    sources: Option<Sources>,
    disk: Arc<dyn Disk>,
    seed: u64,
}

impl Builder {
    /// Sets which protocols the session can use, and how. The default is [`Sources::http`].
    #[must_use]
    pub fn sources(mut self, sources: Sources) -> Self {
        self.sources = Some(sources);
        self
    }

    /// Replaces the disk on which files are saved. A preview always uses the disks of this machine.
    #[doc(hidden)]
    #[must_use]
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }

    /// Sets the seed for the random waits between retries. Runs with the same seed have the same waits.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Starts the session.
    ///
    /// # Errors
    /// Returns an error if the certificates to trust ([`Settings::cacert`]) or the client certificate and its
    /// key ([`Settings::client_certificate`]) cannot be read, if DNS over HTTPS ([`Settings::doh`]) cannot be
    /// set up, or if one of [`Settings::headers`] cannot be sent. With sources of its own
    /// ([`Builder::sources`]), a session starts without an error.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime. The session needs one with time and network enabled.
    pub fn start(self) -> Result<Session, Error> {
        let Builder { settings, sources, disk, seed } = self;
        let settings = usable(settings);
        let sources = match sources {
            Some(sources) => sources,
            None => Sources::http(&settings)?,
        };
        let disk = if settings.preview.is_some() { Arc::new(ReadOnlyFiles) } else { disk };
        let settings = Arc::new(preview::settings(settings));
        let clock = Clock::start();
        let reporter = Arc::new(Reporter::new(clock));
        let (jobs, jobs_in) = mpsc::channel(director::QUEUE_AHEAD);
        let (commands, commands_in) = mpsc::unbounded_channel();
        let limit = Arc::new(Limit::new(settings.limit_rate));
        let networks = Arc::new(Networks::new(settings.clone(), sources));
        let director =
            Director::new(settings, networks.clone(), disk, reporter.clone(), limit.clone(), clock, seed);
        let director = tokio::spawn(director.run(jobs_in, commands_in));
        Ok(Session {
            jobs: Mutex::new(Some(jobs)),
            added: AtomicU64::new(0),
            commands,
            reporter,
            director: tokio::sync::Mutex::new(Some(director)),
            limit,
            networks,
        })
    }
}

/// A run of downloads. It must be started within a tokio runtime with time and network enabled. It stops when
/// it is dropped.
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
    /// The number of jobs that were added.
    added: AtomicU64,
    commands: mpsc::UnboundedSender<Command>,
    reporter: Arc<Reporter>,
    director: tokio::sync::Mutex<Option<JoinHandle<Summary>>>,
    limit: Arc<Limit>,
    networks: Arc<Networks>,
}

impl Session {
    /// Starts a session on the real network and disk.
    ///
    /// # Errors
    /// Returns an error if the certificates to trust ([`Settings::cacert`]) or the client certificate and its
    /// key ([`Settings::client_certificate`]) cannot be read, if DNS over HTTPS ([`Settings::doh`]) cannot be
    /// set up, or if one of [`Settings::headers`] cannot be sent.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime. The session needs one with time and network enabled.
    pub fn start(settings: Settings) -> Result<Session, Error> {
        Session::builder(settings).start()
    }

    /// Returns a builder, for a session with sources other than HTTP or with a chosen seed.
    pub fn builder(settings: Settings) -> Builder {
        Builder { settings, sources: None, disk: Arc::new(Files), seed: clock::random() }
    }

    /// Adds a network (a way to reach servers), and returns its number for [`Job::with_network`]. Jobs with
    /// this number use the proxies, the timeouts, the number of retries and all options for connections from
    /// these settings. A network has its own connections, and stays until it is replaced or the session ends.
    /// Its only protocols are http and https, without the protocols and wrappers of [`Builder::sources`].
    ///
    /// # Errors
    /// Returns an error as [`Session::start`] does.
    pub fn add_network(&self, settings: Settings) -> Result<u32, Error> {
        let sources = Sources::http(&settings)?;
        Ok(self.networks.add(settings, sources))
    }

    /// Replaces a network that was added, and closes its connections. All its jobs must have ended, because
    /// an unfinished job would continue with the new settings. An unknown number changes nothing.
    ///
    /// # Errors
    /// Returns an error as [`Session::start`] does. In this case, the network stays as it is.
    pub fn replace_network(&self, number: u32, settings: Settings) -> Result<(), Error> {
        let sources = Sources::http(&settings)?;
        self.networks.replace(number, settings, sources);
        Ok(())
    }

    /// Adds a job and returns its identifier. Waits while the queue is full. The queue has space for more
    /// than a hundred jobs. It stays full while no job starts: while all jobs are paused, or while a reader
    /// of [`Session::events`] is too far behind. If the returned future is dropped before it is ready, the
    /// job is not added.
    ///
    /// If an earlier job has the same request and the same name, the job is skipped. If the name was given as
    /// a path (`Destination::Path`), the job fails with `name.taken` instead. See
    /// [`Settings::releases_names`](downhaul_core::settings::Settings::releases_names).
    ///
    /// # Errors
    /// Returns an error if the session accepts no more jobs.
    pub async fn add(&self, job: Job) -> Result<JobId, Closed> {
        self.send(Ok(job)).await
    }

    /// Adds a job that failed before it could be added, for example because its line in a list cannot be
    /// read. The failure is reported like that of any other job.
    ///
    /// # Errors
    /// Returns an error if the session accepts no more jobs.
    pub async fn add_failed(&self, error: Error) -> Result<JobId, Closed> {
        self.send(Err(error)).await
    }

    /// Adds jobs, or errors of jobs that failed before they could be added. With many small files, this is
    /// faster than adding the jobs one by one. Waits while the queue is full. Returns the identifiers of the
    /// jobs that were added. If the session stops accepting jobs in the meantime, the remaining jobs are not
    /// added and have no identifier.
    pub async fn add_all(&self, jobs: Vec<Result<impl Into<Box<Job>>, Error>>) -> Vec<JobId> {
        let mut ids = Vec::with_capacity(jobs.len());
        let mut jobs = jobs.into_iter();
        while jobs.len() > 0 {
            // The session may have been closed since the last jobs were added.
            let Some(sender) = self.jobs().clone() else { break };
            let Ok(places) = sender.reserve_many(jobs.len().min(ADDED_MOST)).await else { break };
            // While this mutex is held, jobs enter the queue in the order of their identifiers.
            let _order = self.jobs();
            for (place, job) in places.zip(jobs.by_ref()) {
                let id = JobId::new(self.added.fetch_add(1, Ordering::Relaxed) + 1);
                let job = job
                    .map(Into::into)
                    .and_then(with_url)
                    .and_then(with_headers)
                    .and_then(|job| self.with_network(job));
                place.send((id, job));
                ids.push(id);
            }
        }
        ids
    }

    /// Returns the job, or an error if this session does not have its network. The job must not use another
    /// network, because the proxy of its own network would then be missing.
    fn with_network(&self, job: Box<Job>) -> Result<Box<Job>, Error> {
        if self.networks.has(job.network) {
            return Ok(job);
        }
        let why = format!("the session has no network with the number {}", job.network);
        Err(Error::new(ErrorKind::UrlInvalid, show::url(&job.urls[0]), why))
    }

    async fn send(&self, job: Result<Job, Error>) -> Result<JobId, Closed> {
        self.add_all(vec![job]).await.into_iter().next().ok_or(Closed)
    }

    fn jobs(&self) -> std::sync::MutexGuard<'_, Option<mpsc::Sender<Added>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the question about a job. Has no effect if there is no question.
    pub fn answer(&self, job: JobId, answer: Answer) {
        self.control(job, Control::Answer(answer));
    }

    /// Answers all open questions with "retry". From now on, failures are retried without a question, as
    /// with [`OnError::Retry`](downhaul_core::settings::OnError::Retry), even if the settings demand
    /// questions.
    pub fn retry_all(&self) {
        self.command(Command::RetryAll);
    }

    /// Pauses a job. Its connections are closed and another job may run in its place. Its partial file stays
    /// open. The bytes that arrived are kept if later bytes can be joined to them. Otherwise the download
    /// starts again at the first byte when the job continues. If the bytes have all arrived and the file is
    /// already being verified, the job is not paused, but continues to its end.
    pub fn pause(&self, job: JobId) {
        self.control(job, Control::Pause);
    }

    /// Continues a paused job, as soon as fewer jobs are active than may be active at once
    /// ([`Session::set_parallel`]).
    pub fn resume(&self, job: JobId) {
        self.control(job, Control::Resume);
    }

    /// Pauses all jobs. No job starts before [`Session::resume_all`] is called. This includes jobs that are
    /// added before that call. [`Session::resume`] continues a single job that has started already.
    pub fn pause_all(&self) {
        self.command(Command::PauseAll);
    }

    /// Continues all paused jobs, including those that were paused one by one.
    pub fn resume_all(&self) {
        self.command(Command::ResumeAll);
    }

    /// Removes a job. The job fails with `job.removed`, unless it has ended, or its file is being renamed to
    /// its final name. `partial_file` says if the partial file is kept. The job can be added again at once.
    pub fn remove(&self, job: JobId, partial_file: Remove) {
        self.control(job, Control::Remove(partial_file));
    }

    /// Changes the priority of a job. See [`Job::priority`].
    pub fn set_priority(&self, job: JobId, priority: i32) {
        self.control(job, Control::Priority(priority));
    }

    /// Sets how many jobs are active at once. From now on, this number replaces
    /// [`Settings::parallel`](downhaul_core::settings::Settings::parallel). 0 counts as 1. If more jobs are
    /// active already, they continue.
    pub fn set_parallel(&self, jobs: usize) {
        self.command(Command::Parallel(jobs.max(1)));
    }

    /// Sets the limit of all jobs together in bytes a second. `None` removes the limit, and 0 counts as 1.
    pub fn set_rate_limit(&self, rate: Option<u64>) {
        self.limit.set(rate);
    }

    /// Sets the limit of one job in bytes a second. `None` removes the limit, and 0 counts as 1. The limit of
    /// the session applies too.
    pub fn set_job_rate_limit(&self, job: JobId, rate: Option<u64>) {
        self.control(job, Control::RateLimit(rate));
    }

    fn control(&self, job: JobId, control: Control) {
        self.command(Command::Job(job, control));
    }

    fn command(&self, command: Command) {
        // Sending fails only if the director has ended. In this case, the command has no effect.
        let _ = self.commands.send(command);
    }

    /// Stops the session. The jobs whose files are being renamed to their final names still finish. All other
    /// running jobs, and the jobs in the queue, fail with `run.stopped`. A job that is added later is
    /// refused, or fails in the same way. Partial files that a later run can resume are kept.
    pub fn stop(&self) {
        self.command(Command::Stop);
    }

    /// Returns a stream of every event from now on. If the reader of this stream falls behind by more than
    /// 4,096 events, no new job starts until it has read more of them.
    pub fn events(&self) -> Events {
        self.reporter.events(true)
    }

    /// Returns a stream for a screen. A reader that falls behind by more than 4,096 events misses events
    /// ([`Events::missed`]). [`Session::state`] returns the state after all events.
    pub fn latest_events(&self) -> Events {
        self.reporter.events(false)
    }

    /// Returns the state after all events so far.
    pub fn state(&self) -> State {
        self.reporter.state()
    }

    /// Returns the progress of all running jobs, in the order of their identifiers.
    pub fn samples(&self) -> Vec<Progress> {
        self.reporter.samples()
    }

    /// Closes the session for new jobs. The session ends when all its jobs have ended.
    pub async fn close(&self) {
        self.jobs().take();
    }

    /// Waits for the end of the session. Unless the session was closed or stopped before, it waits for more
    /// jobs and may never end. The first call that is not cancelled returns the summary. Later calls return
    /// an empty one. If the tokio runtime of the session was shut down, the jobs that have not ended count as
    /// stopped.
    ///
    /// # Panics
    /// The first call panics if the engine itself panicked. This is a bug, or the panic of a
    /// [`Factory`](crate::source::Factory) of the program.
    pub async fn wait(&self) -> Summary {
        let mut director = self.director.lock().await;
        let ended = match director.as_mut() {
            Some(director) => director.await,
            None => Ok(Summary::default()),
        };
        *director = None;
        ended.unwrap_or_else(|error| match error.try_into_panic() {
            // If the panic were hidden, a failed run would look like a run without files.
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Summary::of_stopped(&self.state(), self.added.load(Ordering::Relaxed)),
        })
    }

    /// Calls [`Session::close`], and then [`Session::wait`].
    pub async fn finish(&self) -> Summary {
        self.close().await;
        self.wait().await
    }
}

/// Stops the session when it is dropped. Partial files that a later run can resume are kept.
impl Drop for Session {
    fn drop(&mut self) {
        self.stop();
    }
}
