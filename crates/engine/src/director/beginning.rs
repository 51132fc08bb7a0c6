//! Starts partial files, and says what earlier runs left in them. To start a partial file means to prepare it
//! for the first byte of a download ([`Part::begin`]).
//!
//! Invariant: this module writes no bytes of a file, with one exception. A small file that arrived completely
//! is written as soon as its partial file was started.

use super::placement::Written;
use super::verifying::{look_at, promises_data};
use crate::clock;
use crate::disk::{Beginning, Disk, Found, Generation, Part};
use crate::space::Space;
use crate::worker::UNKNOWN_END;
use bytes::Bytes;
use downhaul_core::digest::Algorithm;
use downhaul_core::error::Error;
use downhaul_core::event::JobId;
use downhaul_core::job::Job;
use downhaul_core::journal;
use downhaul_core::plan::{Begin, Leftover, WorkerId};
use downhaul_core::settings::Settings;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Starts a partial file, and reserves disk space for it. Returns the new generation of the partial file.
///
/// # Errors
/// Returns `disk.full` if there is not enough disk space, or another error of the disk.
#[expect(clippy::too_many_arguments, reason = "a start needs all of these, and has two callers")]
pub(super) fn begin_part(
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
    // In a download, the disk space for a file without a journal is not checked. Such a file is small, or it
    // is repaired and has most of its bytes, or its bytes are written to an output in order.
    if let Some(size) = size.filter(|_| journal.is_some() || space.counts_all()) {
        space.reserve(job, part, size, disk, path)?;
    }
    Ok(generation)
}

/// Writes a small file completely. Returns `None` if that fails. The worker also has the bytes. After a
/// failure, the worker writes them again, and reports the error if this fails too.
pub(super) fn write_whole(
    part: &dyn Part,
    generation: Generation,
    (worker, whole): (WorkerId, Vec<Bytes>),
    path: &Path,
    spec: &Job,
    settings: &Settings,
) -> Option<Written> {
    let since = clock::instant();
    let bytes = whole.iter().map(|some| some.len() as u64).sum();
    let fresh = part.write_at(generation, 0, &whole, &AtomicU64::new(UNKNOWN_END)).ok()?;
    let look = promises_data(&path.to_string_lossy(), spec, settings).then(|| look_at(part));
    Some(Written { worker, bytes, fresh, look, took: since.elapsed() })
}

/// Returns what a partial file has that can be kept, or `None` if the download starts at the first byte.
/// If there is a journal, it is rewritten here, with as few entries as possible.
pub(super) fn what_is_left(part: &dyn Part, found: Found) -> Result<Option<Leftover>, Error> {
    match found {
        Found::Adopted(left) => Ok(Some(Leftover::Adopted(left))),
        Found::Whole(length) => Ok(Some(Leftover::Whole(length))),
        Found::Journal(bytes) => {
            // If the journal cannot be read, the download starts at the first byte.
            let Some((start, claims)) = journal::read(&bytes) else { return Ok(None) };
            let rewritten = journal::rewrite(&start, &claims);
            part.rewrite_journal(&rewritten)?;
            let left = journal::read(&rewritten);
            Ok(left.map(|(start, claims)| Leftover::Journal { start, claims, adopted: None }))
        }
    }
}
