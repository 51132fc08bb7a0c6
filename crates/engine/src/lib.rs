//! The downhaul library downloads many files at once, resumes interrupted downloads, and verifies files.
//!
//! A [`Session`] runs [`Job`]s according to its [`Settings`]. It never asks questions and never prints. It
//! reports [`Event`]s ([`Session::events`]) and [`Progress`] ([`Session::samples`]), and accepts answers
//! ([`Session::answer`]).
//!
//! # Tracing
//!
//! The library sends [`tracing`] events from the places where a download can stall. These are the targets:
//!
//! - `downhaul::net`: name lookups, attempts to connect, TLS (version, ALPN, time), requests (on a new or a
//!   reused connection), heads of responses (status, HTTP version, time).
//! - `downhaul::retry`: retries with the failure before them, and pauses that hosts asked for.
//! - `downhaul::concurrency`: which connection fetches which bytes, and changes of the number of connections
//!   and of files at once.
//! - `downhaul::disk`: partial files, journals, slow writes, and forcing bytes to the disk.
//!
//! Retries and pauses have the level INFO, all others DEBUG. Each event of a job is in its span `job` (target
//! `downhaul`), whose field `id` is the number of the [`JobId`]. URLs are shown without secrets, and values
//! of headers are not shown. Without a subscriber nothing is formatted.
//!
//! # Files of this crate
//!
//! In the order in which a byte passes them: `director` is the loop of a session, [`source`] fetches bytes,
//! `credentials` decides where secrets may go, `worker` is one connection, and `disk` stores bytes. `space`
//! checks the free space, `journal_check` compares partial files with their journals, `hashing` computes
//! digests, `report` sends events, and `explain` records where the time went.

mod async_writer;
mod checksum_discovery;
mod chunk_hash;
mod clock;
mod credentials;
mod director;
#[doc(hidden)]
pub mod disk;
mod explain;
mod fetch_text;
mod hashers;
mod hashing;
mod host_memory;
mod journal_check;
mod limit;
mod place;
mod report;
mod session;
mod short_blocking;
mod signed;
pub mod source;
mod space;
mod trace;
mod worker;

pub use async_writer::AsyncWriter;
pub use director::{Remove, Summary};
#[doc(hidden)]
pub use downhaul_core as core;
pub use downhaul_core::digest::{Algorithm, Digest};
pub use downhaul_core::error::{Error, ErrorKind};
pub use downhaul_core::event::{Event, EventKind, Failure, JobId, Phase, Progress, State};
pub use downhaul_core::job::{Destination, IfExists, Job};
pub use downhaul_core::name::SafeName;
pub use downhaul_core::plan::Answer;
pub use downhaul_core::settings::{HttpVersion, OnError, Resume, Settings, Verify};
pub use explain::{Explanation, FileStory, Limiter, Spent};
pub use report::Events;
pub use session::{Builder, Closed, Session};
pub use url::Url;

use disk::file::Files;
use downhaul_core::signature::Keys;
use signed::Trusted;
use source::{GivenBy, Sources};
use std::path::Path;

/// Computes digests of a file on the disk. Blocks the thread.
///
/// # Errors
/// Returns an error if the file cannot be read.
pub fn digests_of(path: &Path, algorithms: &[Algorithm]) -> Result<Vec<Digest>, Error> {
    disk::digests(&Files, path, algorithms)
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

/// Returns the signed content of a text and the key that signed it. The signature is in a file beside the
/// text, or the text contains it (OpenPGP).
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

/// Fetches a small document into memory. Returns `None` if the server says that there is none.
///
/// # Errors
/// Returns the last failure, after as many retries as a file has, or an error if the document is longer than
/// `most` bytes.
pub async fn fetch_text(settings: Settings, url: &Url, most: usize) -> Result<Option<Vec<u8>>, Error> {
    fetch_text::get(&Sources::http(&settings)?, &settings, (url, GivenBy::User), most).await
}
