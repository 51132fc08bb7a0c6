//! What downhaul **does**: network, disk and clock, carrying out what `downhaul-core` decides.
//!
//! A [`Session`] downloads many files. It never asks and never prints: it tells facts ([`Session::facts`]), gives
//! numbers when asked ([`Session::samples`]), and takes answers ([`Session::answer`]).
//!
//! Read in the order that a byte walks: [`director`](self) the one loop, [`source`] where bytes come from, `worker`
//! one connection at work, [`disk`] where they are kept, `space` whether there is room, `journal_check` what an earlier run left, `hashing` what they prove,
//! [`report`] what is told, `explain` where the time went.

mod checksum_discovery;
mod chunk_hash;
mod clock;
mod director;
pub mod disk;
mod explain;
mod fetch_text;
mod hashers;
mod hashing;
mod host_memory;
mod journal_check;
mod limit;
mod place;
pub mod report;
mod short_blocking;
mod signed;
pub mod source;
mod space;
mod worker;

pub use director::Summary;
pub use downhaul_core as core;
pub use explain::{Explanation, FileStory, Limiter, Spent};

use clock::Clock;
use director::{Command, Director};
use disk::Disk;
use disk::file::Files;
use downhaul_core::digest::{Algorithm, Digest};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::event::{JobId, Progress, State};
use downhaul_core::job::Job;
use downhaul_core::plan::Answer;
use downhaul_core::settings::Settings;
use downhaul_core::signature::Keys;
use limit::Limit;
use report::{Reader, Reporter};
use signed::Trusted;
use source::http::Client;
use source::{By, Source, Sources};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use url::Url;

/// Digests of a file on the disk. Blocks.
///
/// # Errors
/// Whatever the system says.
pub fn digests_of(path: &Path, algorithms: &[Algorithm]) -> Result<Vec<Digest>, Error> {
    disk::digests(&Files, path, algorithms)
}

/// Whether keys can be read here, to say so before anything is downloaded: OpenPGP's only where the `openpgp` feature is.
///
/// # Errors
/// Why they are of no use, for a person.
pub fn check_keys(keys: &Keys) -> Result<(), &'static str> {
    Trusted::new(keys).map(drop)
}

/// What is signed of a text, and by which of the keys: with the signature file beside it, or around it (OpenPGP).
///
/// # Errors
/// `signature.missing` or `signature.wrong`, and how.
pub fn signed_text(keys: &Keys, text: &[u8], signature: Option<&[u8]>) -> Result<(Vec<u8>, String), Error> {
    let trusted = Trusted::new(keys).map_err(|why| Error::new(ErrorKind::SignatureWrong, "the key", why))?;
    let signed = trusted.signed(text, "the text", signature.map(|signature| ("the signature", signature)))?;
    let (said, by) = signed.ok_or_else(|| Error::new(ErrorKind::SignatureMissing, "the text", ""))?;
    Ok((said.into_owned(), by))
}

/// A small text, all of it in memory. `None` where there is no such thing.
///
/// # Errors
/// What kept it from coming, after as many tries as a file has; it is longer than `most` bytes.
pub async fn fetch_text(settings: Settings, url: &Url, most: usize) -> Result<Option<Vec<u8>>, Error> {
    let settings = Arc::new(settings);
    fetch_text::get(&sources_of(&settings)?, &settings, (url, By::Person), most).await
}

fn sources_of(settings: &Arc<Settings>) -> Result<Sources, Error> {
    let client = Arc::new(Client::new(settings.clone())?);
    Ok(Arc::new(move |url, by| Arc::new(client.file(url, by)) as Arc<dyn Source>))
}

/// A run of downloads. Must be started within a tokio runtime with time and network enabled.
///
/// ```no_run
/// # async fn run() -> Result<(), downhaul_engine::core::error::Error> {
/// use downhaul_engine::{Session, core::{job::{Job, parse_url}, settings::Settings}};
/// let session = Session::start(Settings::default())?;
/// session.add(Job::new(parse_url("https://example.com/file")?)).await;
/// let summary = session.finish().await;
/// assert_eq!(summary.failed, 0);
/// # Ok(()) }
/// ```
pub struct Session {
    jobs: Mutex<Option<mpsc::Sender<Result<Job, Error>>>>,
    commands: mpsc::UnboundedSender<Command>,
    reporter: Arc<Reporter>,
    director: Mutex<Option<JoinHandle<Summary>>>,
    limit: Arc<Limit>,
}

impl Session {
    /// Starts a session on the real network and disk.
    ///
    /// # Errors
    /// When the certificates to trust (`cacert`) cannot be read.
    pub fn start(settings: Settings) -> Result<Session, Error> {
        let settings = Arc::new(settings);
        Ok(Session::start_in(settings.clone(), sources_of(&settings)?, Arc::new(Files), clock::seed()))
    }

    /// Starts a session in another world: other sources, another disk, a chosen seed.
    pub fn start_in(settings: Arc<Settings>, sources: Sources, disk: Arc<dyn Disk>, seed: u64) -> Session {
        let clock = Clock::start();
        let reporter = Arc::new(Reporter::new(clock));
        let (jobs, jobs_in) = mpsc::channel(director::QUEUE_AHEAD);
        let (commands, commands_in) = mpsc::unbounded_channel();
        let limit = Arc::new(Limit::new(settings.limit_rate));
        let director = Director::new(settings, sources, disk, reporter.clone(), limit.clone(), clock, seed);
        let director = tokio::spawn(director.run(jobs_in, commands_in));
        Session {
            jobs: Mutex::new(Some(jobs)),
            commands,
            reporter,
            director: Mutex::new(Some(director)),
            limit,
        }
    }

    /// Adds a job, as soon as there is room in the queue. False when the session takes no more.
    pub async fn add(&self, job: Job) -> bool {
        self.send(Ok(job)).await
    }

    /// Adds a job that failed before it began, such as a bad line of a list: it is told like any other.
    pub async fn add_failed(&self, error: Error) -> bool {
        self.send(Err(error)).await
    }

    async fn send(&self, job: Result<Job, Error>) -> bool {
        let Some(jobs) = self.jobs.lock().await.clone() else { return false };
        jobs.send(job).await.is_ok()
    }

    /// Answers the question about a file.
    pub fn answer(&self, job: JobId, answer: Answer) {
        // A director that is gone has no questions.
        let _ = self.commands.send(Command::Answer(job, answer));
    }

    /// Answers all questions, now and later, with "retry".
    pub fn retry_all(&self) {
        let _ = self.commands.send(Command::RetryAll);
    }

    /// From now on, so many bytes a second for everything; `None`: as fast as it goes.
    pub fn limit_rate(&self, rate: Option<u64>) {
        self.limit.set(rate);
    }

    /// Stops everything: files in flight fail with `run.stopped`. Nothing of them stays under a final name; what a later
    /// run can go on with stays in their part files.
    pub fn stop(&self) {
        let _ = self.commands.send(Command::Stop);
    }

    /// A reader that gets every fact from now on. While it is far behind, no new file starts.
    pub fn facts(&self) -> Reader {
        self.reporter.reader(true)
    }

    /// A reader for a screen: when it is far behind, it misses facts, and finds their fold in [`Session::state`].
    pub fn facts_for_a_screen(&self) -> Reader {
        self.reporter.reader(false)
    }

    /// The facts so far, folded.
    pub fn state(&self) -> State {
        self.reporter.state()
    }

    /// The numbers of all files in flight, by job.
    pub fn samples(&self) -> Vec<Progress> {
        self.reporter.samples()
    }

    /// Says that no more jobs will come: the session ends when those that are there are over.
    pub async fn close(&self) {
        self.jobs.lock().await.take();
    }

    /// Waits for the end. What the run amounted to is given to the first who asks.
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

    /// [`Session::close`] and [`Session::wait`].
    pub async fn finish(&self) -> Summary {
        self.close().await;
        self.wait().await
    }
}
