//! Compares one file with the statements of lists about it.
//!
//! Invariant: only regular files of this machine are opened.

use crate::exit::Exit;
use downhaul_engine::core::digest::{self, Expected};
use downhaul_engine::core::show::escaped;
use downhaul_engine::digests_of;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The word for a file that does not exist.
pub(super) const MISSING: &str = "MISSING";

/// The statements of lists about one file.
#[derive(Default)]
pub(super) struct Stated {
    pub(super) digests: Vec<Expected>,
    /// The size in a lock file, in bytes.
    pub(super) size: Option<u64>,
    /// The folder below which the run saved the file, or the container that has the file, as a lock file
    /// states it.
    pub(super) saved_in: Option<PathBuf>,
    /// True if `downhaul repair` may write a file of this name.
    pub(super) can_be_repaired: bool,
    /// True if Windows looks up the path on another machine, or if the path may lead to a device.
    pub(super) is_remote: bool,
}

/// Compares one file with its digests or, if it has none, with its size. Returns the word that is shown, a
/// detail and the exit status.
pub(super) fn check(path: &Path, stated: &Stated) -> (&'static str, String, Exit) {
    let Stated { digests: expected, size, is_remote, .. } = stated;
    let unreadable = |why: &str| ("UNREADABLE", format!("  ({why})"), Exit::Disk);
    if *is_remote {
        return unreadable("the list names another machine or a device");
    }
    if fs::symlink_metadata(path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
        return (MISSING, String::new(), Exit::Failed);
    }
    // Opening a pipe waits for its writer, and a device may have no end.
    let there = match fs::metadata(path) {
        Ok(there) if there.is_file() => there,
        Ok(_) => return unreadable("it is not a regular file"),
        Err(error) => return unreadable(&error.to_string()),
    };
    if expected.is_empty() {
        return match size {
            Some(size) if there.len() != *size => {
                ("FAILED", format!("  ({} bytes instead of {size})", there.len()), Exit::Mismatch)
            }
            Some(_) => ("UNVERIFIED", "  (size matches, no digest)".into(), Exit::Success),
            None => ("UNVERIFIED", "  (no size, no digest)".into(), Exit::Success),
        };
    }
    let algorithms = digest::distinct(expected.iter().map(|one| one.digest.algorithm));
    let computed = match digests_of(path, &algorithms) {
        Ok(computed) => computed,
        Err(error) => return unreadable(&escaped(&error.detail)),
    };
    match digest::verdict(expected, &computed) {
        Ok(strongest) => {
            let by = strongest.map(|one| format!("  ({})", escaped(&one.to_string()))).unwrap_or_default();
            ("OK", by, Exit::Success)
        }
        Err((one, _)) => ("FAILED", format!("  ({})", escaped(&one.to_string())), Exit::Mismatch),
    }
}
