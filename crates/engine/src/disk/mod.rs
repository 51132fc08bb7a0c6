//! Where bytes are kept: [`Disk`] looks at names and opens part files, [`Part`] is one file being made.
//!
//! All calls block; the engine makes them on blocking threads, never on those that serve the network. The second
//! users of these seams are standard output ([`stdout`]) and the simulated disk of the testkit.
//!
//! Invariant: a final name appears only through [`Part::publish`]; until then an older file of that name is
//! whole.

pub(crate) mod file;
#[cfg(not(unix))]
#[path = "other.rs"]
mod platform;
#[cfg(unix)]
#[path = "unix.rs"]
mod platform;
pub(crate) mod stdout;

use bytes::Bytes;
use downhaul_core::digest::{Algorithm, Digest};
use downhaul_core::error::{Error, Kind};
use std::io;
use std::path::Path;
use std::time::SystemTime;

/// A place where files are kept.
pub trait Disk: Send + Sync {
    /// What stands at a path; `None` if nothing does. Follows symbolic links.
    ///
    /// # Errors
    /// Whatever the system says, but "not found".
    fn look(&self, path: &Path) -> Result<Option<Standing>, Error>;

    /// Opens and locks the part file of `target`, and makes the folders it needs. What is in it from earlier
    /// counts for nothing.
    ///
    /// # Errors
    /// `file.locked` when another run is at work on it, else whatever the system says.
    fn open_part(&self, target: &Path) -> Result<Box<dyn Part>, Error>;

    /// Digests of a finished file.
    ///
    /// # Errors
    /// Whatever the system says.
    fn digests(&self, path: &Path, algorithms: &[Algorithm]) -> Result<Vec<Digest>, Error>;
}

/// One file being made.
pub trait Part: Send + Sync {
    /// Writes all of `data`, in order, from `offset` on.
    ///
    /// # Errors
    /// Whatever the system says; then any part of it may have been written.
    fn write_at(&self, offset: u64, data: &[Bytes]) -> Result<(), Error>;

    /// Forgets all that was written: the file starts again.
    ///
    /// # Errors
    /// `output.started` where that is not possible any more.
    fn restart(&self) -> Result<(), Error>;

    /// Gives the file its final name, in one step. Unless `replace` is set, a file that stands there by now is
    /// left alone.
    ///
    /// # Errors
    /// `file.exists`, or whatever the system says.
    fn publish(&self, target: &Path, replace: bool, modified: Option<SystemTime>) -> Result<(), Error>;

    /// Removes it, as far as that is possible.
    fn discard(&self);
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// It is no file that could be replaced: a folder, a device.
    pub is_folder: bool,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last changed.
    pub modified: Option<SystemTime>,
}

/// The failure of a disk, named after what a person can do about it.
pub(crate) fn failure(error: &io::Error, path: &Path) -> Error {
    use io::ErrorKind as Is;
    let kind = match error.kind() {
        Is::StorageFull | Is::QuotaExceeded => Kind::DiskFull,
        Is::PermissionDenied | Is::ReadOnlyFilesystem => Kind::DiskPermission,
        Is::FileTooLarge => Kind::DiskTooLarge,
        Is::IsADirectory => Kind::FileIsFolder,
        _ if platform::is_too_many_files(error) => Kind::DiskTooManyFiles,
        _ => Kind::DiskFailed,
    };
    Error::new(kind, path.to_string_lossy(), error.to_string())
}
