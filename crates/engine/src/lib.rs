//! Downloads many files at once, resumes what was interrupted, and verifies what arrived.
//!
//! A [`Session`] runs [`Job`]s with its [`Settings`]. A session never prints, and never reads from the
//! terminal.
//! This page shows how a program uses a session. `examples/` has complete programs.
//!
//! # Add a job
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use downhaul_engine::{Job, Session, Settings};
//!
//! let session = Session::start(Settings::default().with_output("downloads").with_retries(3))?;
//! // The URL may end in the digest that the file must have.
//! let job = Job::given("https://example.com/data.gz#md5=d41d8cd98f00b204e9800998ecf8427e")?
//!     .to_path("data.gz")
//!     .with_header("Accept", "application/gzip");
//! let id = session.add(job).await?;
//! // Waits for all jobs. An error of a job is not an error of the session.
//! let summary = session.finish().await;
//! println!("{} of {} files are complete", summary.finished, summary.files);
//! # Ok(()) }
//! ```
//!
//! # Look at what happens
//!
//! [`Event`]s are a stream. They are numbered, and [`Session::events`] loses none. [`Progress`] is the
//! current state of a running job, which a screen can read at any time. With [`OnError::Ask`], a failure that
//! may be retried becomes a question, unless the job can continue without an answer or has no retries left. A
//! program answers a question with [`Session::answer`]. Other jobs continue in the meantime.
//!
//! Read the events while the jobs run. If a reader of [`Session::events`] has more than 4,096 unread events,
//! no new job starts. A program that adds thousands of jobs and reads the events only afterwards waits
//! forever. A program that does not need every event can use [`Session::latest_events`] or
//! [`Session::state`].
//!
//! ```no_run
//! # async fn run(session: downhaul_engine::Session) {
//! use downhaul_engine::{Answer, EventKind};
//!
//! let mut events = session.events();
//! while let Some(event) = events.next().await {
//!     match (event.job, &event.kind) {
//!         (_, EventKind::Finished { path, bytes, .. }) => println!("{path}: {bytes} bytes"),
//!         (_, EventKind::Failed { error, .. }) => println!("{}: {}", error.code, error.message),
//!         (Some(job), EventKind::Question { .. }) => session.answer(job, Answer::Retry),
//!         _ => {}
//!     }
//! }
//! for progress in session.samples() {
//!     println!("{}: {} of {:?} bytes", progress.name, progress.bytes, progress.total);
//! }
//! # }
//! ```
//!
//! # Pause and limit
//!
//! The methods in this example may be called at any time, even for a job that waits in the queue. If a job
//! can be resumed, its partial file keeps the bytes that have arrived, unless [`Remove::Discard`] is used.
//!
//! ```no_run
//! # async fn run(session: downhaul_engine::Session, id: downhaul_engine::JobId) {
//! use downhaul_engine::Remove;
//!
//! session.pause(id);
//! session.resume(id);
//! session.set_priority(id, 10);
//! session.set_rate_limit(Some(1_000_000)); // bytes a second, of all jobs together
//! session.set_job_rate_limit(id, Some(100_000));
//! session.remove(id, Remove::KeepPartial);
//! session.pause_all();
//! // The unfinished jobs fail with `run.stopped`. A later session can resume their partial files.
//! session.stop();
//! # }
//! ```
//!
//! # Try again
//!
//! If a job has failed, a program can add it again. With the default settings, the name of its file still
//! belongs to the first job. So the new job is skipped, or fails with `name.taken` if its name was given with
//! [`Job::to_path`]. With [`Settings::releases_names`], the job is downloaded again. A removed job can always
//! be added again.
//!
//! # Write elsewhere
//!
//! A job can write to a writer of the program instead of a file. [`Job::to_writer`] accepts a blocking
//! writer, and [`AsyncWriter`] wraps an asynchronous one. Several connections may fetch the bytes, which are
//! written in order.
//!
//! ```no_run
//! # async fn run(session: downhaul_engine::Session) -> Result<(), Box<dyn std::error::Error>> {
//! use downhaul_engine::{AsyncWriter, Job};
//!
//! let (writer, reader) = tokio::io::duplex(64 * 1024);
//! session.add(Job::given("https://example.com/log")?.to_writer(AsyncWriter::new(writer))).await?;
//! // `reader` receives the bytes as they arrive.
//! # drop(reader); Ok(()) }
//! ```
//!
//! # Add a protocol
//!
//! A [`source::Source`] is one remote file. The module [`source`] has the rules for sources. The session in
//! this example can still fetch HTTP URLs.
//!
//! ```no_run
//! # use downhaul_engine::source::{Opened, Remote, Request, Source, Sources};
//! # use downhaul_engine::{Error, Job, Session, Settings, Url};
//! # use std::sync::Arc;
//! use futures_util::future::BoxFuture;
//! use futures_util::stream;
//!
//! struct Hello(Url);
//!
//! impl Source for Hello {
//!     fn open(&self, _request: Request) -> BoxFuture<'_, Result<Opened, Error>> {
//!         let body = Box::pin(stream::iter([Ok("hello".into())]));
//!         Box::pin(async move { Ok(Opened { remote: Remote::whole(self.0.clone()), body }) })
//!     }
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Settings::default();
//! let sources = Sources::http(&settings)?.with_scheme("hello", |url, _| Arc::new(Hello(url.clone())));
//! let url = sources.parse_url("hello://world")?;
//! let session = Session::builder(settings).sources(sources).start()?;
//! session.add(Job::new(url).to_path("hello.txt")).await?;
//! # Ok(()) }
//! ```
//!
//! # Tracing
//!
//! The library emits [`tracing`] events where a download can stall. These are the targets:
//!
//! - `downhaul::net`: name lookups, attempts to connect, TLS (version, ALPN, time), requests (on a new or a
//!   reused connection), heads of responses (status, HTTP version, time).
//! - `downhaul::retry`: retries with the failure before them, and pauses that hosts requested.
//! - `downhaul::concurrency`: which connection fetches which bytes, and changes of the number of connections
//!   and of files at once.
//! - `downhaul::disk`: partial files, journals, slow writes, and forcing bytes to the disk.
//!
//! Retries and pauses have the level INFO, and all other events have DEBUG. All events of a
//! job are in spans with the name `job` (target `downhaul`). The field `id` of such a span is the number of
//! the [`JobId`]. A job that the threads for small files have given back has two such spans. Requests for
//! checksum lists and signatures have no span. URLs are shown without secrets, and values of headers are not
//! shown. Without a subscriber, nothing is formatted.
//!
//! ```
//! use tracing::span::{Attributes, Id, Record};
//! use tracing::{Event, Metadata, Subscriber};
//!
//! /// Prints where each event comes from. Programs usually take a subscriber from `tracing-subscriber`.
//! struct Targets;
//!
//! impl Subscriber for Targets {
//!     fn enabled(&self, metadata: &Metadata<'_>) -> bool {
//!         metadata.target().starts_with("downhaul")
//!     }
//!     fn event(&self, event: &Event<'_>) {
//!         println!("{}: {}", event.metadata().level(), event.metadata().target());
//!     }
//!     fn new_span(&self, _: &Attributes<'_>) -> Id {
//!         Id::from_u64(1)
//!     }
//!     # fn record(&self, _: &Id, _: &Record<'_>) {}
//!     # fn record_follows_from(&self, _: &Id, _: &Id) {}
//!     # fn enter(&self, _: &Id) {}
//!     # fn exit(&self, _: &Id) {}
//! }
//!
//! tracing::subscriber::set_global_default(Targets)?;
//! # Ok::<_, tracing::subscriber::SetGlobalDefaultError>(())
//! ```
//!
//! # Files of this crate
//!
//! `director` runs the loop of a session, [`source`] fetches bytes, `credentials` puts secrets on requests,
//! `worker` carries out one request, and `disk` stores bytes. `space` checks the free space,
//! `journal_check` compares partial files with their journals, `hashing` computes digests, `report` sends
//! events, and `explain` records how the time was spent.

mod async_writer;
mod checked;
mod checksum_discovery;
mod chunk_hash;
mod clock;
mod credentials;
mod director;
#[doc(hidden)]
pub mod disk;
mod duplicates;
mod explain;
mod fetch_text;
mod hashers;
mod hashing;
mod host_memory;
mod journal_check;
mod known;
mod limit;
mod networks;
pub mod options;
mod place;
mod range_reader;
mod report;
mod session;
mod short_blocking;
mod signed;
mod small_files;
pub mod source;
mod space;
#[doc(hidden)]
pub mod tls;
mod trace;
mod worker;

pub use async_writer::AsyncWriter;
pub use director::{IDLE_MOST, Remove, Summary};
pub use disk::containers::{ContainerOptions, Containers};
#[doc(hidden)]
pub use disk::{force_files, force_folder};
#[doc(hidden)]
pub use downhaul_core as core;
pub use downhaul_core::digest::{Algorithm, Digest};
pub use downhaul_core::error::{Blame, Error, ErrorKind, Retry};
pub use downhaul_core::event::{Event, EventKind, Failure, JobId, Phase, Progress, State};
pub use downhaul_core::job::{Destination, IfExists, IfLocked, Job, JobWriter};
pub use downhaul_core::name::SafeName;
pub use downhaul_core::plan::Answer;
pub use downhaul_core::settings::{HttpVersion, OnError, Resume, Settings, Verify};
pub use explain::{Explanation, FileStory, Limiter, Spent};
#[doc(hidden)]
pub use place::RunNames;
pub use range_reader::RangeReader;
pub use report::Events;
pub use session::{Builder, Closed, Session};
pub use url::Url;

use disk::file::Files;
use downhaul_core::identity::{Origin, Variant};
use downhaul_core::signature::Keys;
use signed::Trusted;
use source::{GivenBy, Sources};
use std::path::Path;

/// Computes digests of a file on the disk, in the order of the algorithms. Blocks the thread.
///
/// # Errors
/// Returns an error if the file cannot be read.
pub fn digests_of(path: &Path, algorithms: &[Algorithm]) -> Result<Vec<Digest>, Error> {
    disk::digests(&Files, path, algorithms)
}

/// Deletes the files that an unfinished download of a job left for this path: its partial file and its
/// journals. The files of other jobs, and files that a run is working on, are kept. A partial file without
/// a journal does not say which job it belongs to. Such a partial file is deleted if an extended attribute
/// says that downhaul made it, unless this job has a partial file with a tag in its name (`NAME.TAG.part`).
/// Blocks the thread.
///
/// # Errors
/// Returns the first error of the disk.
pub fn delete_partial(settings: &Settings, job: &Job, path: &Path) -> Result<(), Error> {
    let origin = |url| Origin::of_variant(url, &Variant::of(settings, job, url), &settings.key);
    disk::file::delete_left(path, &job.urls.iter().map(origin).collect::<Vec<_>>())
}

/// Returns true if a file (PEM) has an encrypted key in the form PKCS #8. A session then needs
/// `Settings::client_key_password` to use the key. Returns false for a key that is encrypted in another form,
/// which a session cannot use, and if the file cannot be read. Also returns false if the file is not a
/// regular one, because a pipe, for example, can be read only once. Blocks the thread.
pub fn needs_password(file: &Path) -> bool {
    source::http::tls::identity::needs_password(file)
}

/// Checks that this build can read the keys, before anything is downloaded. OpenPGP keys need the `openpgp`
/// feature.
///
/// # Errors
/// Returns why the keys cannot be used, in words for the user.
#[doc(hidden)]
pub fn check_keys(keys: &Keys) -> Result<(), &'static str> {
    Trusted::new(keys).map(drop)
}

/// Returns the signed content of a text, and the name of the key that signed it. `signature` is the content
/// of the signature file, if there is one. Without a signature file, the text must contain the signature
/// (OpenPGP).
///
/// # Errors
/// Returns `signature.missing` or `signature.wrong`, with the reason.
#[doc(hidden)]
pub fn signed_text(keys: &Keys, text: &[u8], signature: Option<&[u8]>) -> Result<(Vec<u8>, String), Error> {
    let trusted = Trusted::new(keys).map_err(|why| Error::new(ErrorKind::SignatureWrong, "the key", why))?;
    let signed = trusted.signed(text, "the text", signature.map(|signature| ("the signature", signature)))?;
    let (said, by) = signed.ok_or_else(|| Error::new(ErrorKind::SignatureMissing, "the text", ""))?;
    Ok((said.into_owned(), by))
}

/// Fetches a small document into memory. Returns `None` if the server says that the document does not exist
/// (404, 410), or forbids access (403). If the fragment of the URL has a digest, the document must match it.
///
/// # Errors
/// Returns the last failure, after as many retries as for a file. Returns `digest.mismatch` if the digest
/// does not match, and an error if the document is longer than `most` bytes. Returns `url.invalid` if the
/// fragment of the URL cannot be understood, and an error of the settings as [`Session::start`] does.
pub async fn fetch_text(settings: Settings, url: &Url, most: usize) -> Result<Option<Vec<u8>>, Error> {
    fetch_text::get(&Sources::http(&settings)?, &settings, (url, GivenBy::User), most).await
}
