//! Contains the names that the library uses for [`tracing`]. The documentation of the crate explains each of
//! them.
//!
//! Invariants: a URL is reported as [`downhaul_core::show::url`] shows it, and the value of a header is not
//! reported. Without a subscriber nothing is formatted.

use downhaul_core::event::{EventKind, JobId};
use std::time::Duration;
use tracing::{Span, info};

/// The target of events about name lookups, connections, TLS, requests and responses.
pub(crate) const NET: &str = "downhaul::net";

/// The target of events about retries, and about pauses that hosts requested.
pub(crate) const RETRY: &str = "downhaul::retry";

/// The target of events about the assignment of bytes to connections, and about changes of the number of
/// connections and of files at once.
pub(crate) const CONCURRENCY: &str = "downhaul::concurrency";

/// The target of events about partial files, journals, slow writes, and forcing bytes to the disk.
pub(crate) const DISK: &str = "downhaul::disk";

/// A write that takes longer than this time is reported. A write has at most about a megabyte, and a disk
/// needs about ten milliseconds for a megabyte. So a write that takes ten times as long had to wait.
pub(crate) const SLOW_WRITE: Duration = Duration::from_millis(100);

/// Returns the span of a job. All events of the job are in this span.
pub(crate) fn job(id: JobId) -> Span {
    // This target is a prefix of all other targets. So a filter for `downhaul` includes the span.
    tracing::info_span!(target: "downhaul", "job", id = id.get())
}

/// Reports this event if it is a retry.
pub(crate) fn retrying(event: &EventKind) {
    if let EventKind::Retrying { error, attempt, wait, from, .. } = event {
        let (code, reason, at) = (&error.code, &error.message, &error.at);
        info!(target: RETRY, error = code, reason, at, attempt, from, seconds = wait, "waiting before a retry");
    }
}
